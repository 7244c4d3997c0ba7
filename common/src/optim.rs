//! Optimisers with state that can be saved, learning-rate schedules, clipping.

pub mod adam;
pub mod clip;
pub mod schedule;
pub mod sgd;
