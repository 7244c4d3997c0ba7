//! `ledger`: doctor, report, publish. Works without libtorch.

fn main() {}
