//! Checkpoints: model, optimiser and loop state, written whole or not at all.
