//! What tch does not expose of libtorch, over csrc/.
