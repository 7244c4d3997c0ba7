//! Kaplan–Meier medians of censored times, and the ratio of two.
