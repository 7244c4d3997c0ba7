//! Bias-corrected and accelerated bootstrap intervals.
