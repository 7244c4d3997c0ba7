//! Compiles the C++ shim against the libtorch that `.libtorch` points to.

fn main() {}
