//! Scaling laws (Kaplan et al. 2020, Hoffmann et al. 2022): counts and the laws themselves.

pub mod counts;
pub mod fit;
