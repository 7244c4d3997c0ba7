//! Downloads: resumed, retried, verified, placed atomically.
