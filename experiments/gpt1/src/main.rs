//! `gpt1`: the command line.

use std::process::ExitCode;

use gpt1::{GPT1, verbs};

fn main() -> ExitCode {
    common::cli::main(&GPT1, verbs::execute)
}
