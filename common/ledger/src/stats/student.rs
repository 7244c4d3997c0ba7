//! Student t intervals, plain and paired.
