//! `alexnet`: the command line.

fn main() {}
