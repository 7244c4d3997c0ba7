//! `digits`: the command line.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use common::cli;
use digits::DIGITS;

#[derive(Parser)]
#[command(version, about = DIGITS.about)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    #[command(flatten)]
    Shared(cli::Command),
}

fn main() -> ExitCode {
    cli::exit(|| match Cli::parse().verb {
        Verb::Shared(command) => cli::execute(&DIGITS, command),
    })
}
