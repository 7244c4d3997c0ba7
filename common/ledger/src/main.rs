//! `ledger`: doctor, report, publish. Works without libtorch.

use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
#[command(about, version)]
enum Command {
    /// Say what this machine has, what is missing, and what mends it
    Doctor(ledger::doctor::Args),
}

fn main() -> ExitCode {
    match Command::parse() {
        Command::Doctor(args) => ledger::doctor::run(&args),
    }
}
