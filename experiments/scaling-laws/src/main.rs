//! `scaling-laws`: the command line.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use common::cli;
use scaling_laws::{SCALING_LAWS, verbs};

#[derive(Parser)]
#[command(version, about = SCALING_LAWS.about)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    #[command(flatten)]
    Shared(cli::Command),
    #[command(flatten)]
    Own(verbs::Verb),
}

fn main() -> ExitCode {
    match Cli::parse().verb {
        Verb::Shared(command) => cli::exit(|| cli::execute(&SCALING_LAWS, command)),
        Verb::Own(verb) => cli::exit(|| verbs::execute(verb)),
    }
}
