//! Scaling laws (Kaplan et al. 2020, Hoffmann et al. 2022): counts of parameters and FLOPs, fits.

pub mod counts;
pub mod fit;
pub mod table;
pub mod verbs;
