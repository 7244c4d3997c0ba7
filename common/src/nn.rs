//! Layers and helpers that tch lacks.

pub mod probe;
