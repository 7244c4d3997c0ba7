//! `digits`: the command line.

use std::convert::Infallible;
use std::process::ExitCode;

fn main() -> ExitCode {
    common::cli::main(&digits::DIGITS, |none: Infallible| match none {})
}
