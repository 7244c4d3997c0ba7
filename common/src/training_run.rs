//! One training: its folder, metrics, checkpoints and end.
