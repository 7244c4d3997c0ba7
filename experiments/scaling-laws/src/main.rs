//! `scaling-laws`: the command line.

use std::process::ExitCode;

use scaling_laws::{SCALING_LAWS, verbs};

fn main() -> ExitCode {
    common::cli::main(&SCALING_LAWS, verbs::execute)
}
