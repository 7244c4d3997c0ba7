//! Device, threads and precision.
