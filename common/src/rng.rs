//! Random numbers drawn from (seed, purpose, step).
