//! `rlhf`: the command line.

use std::process::ExitCode;

use rlhf::{RLHF, verbs};

fn main() -> ExitCode {
    common::cli::main(&RLHF, verbs::execute)
}
