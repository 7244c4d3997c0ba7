//! `rlhf`: the command line.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use common::cli;
use rlhf::{RLHF, verbs};

#[derive(Parser)]
#[command(version, about = RLHF.about)]
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
        Verb::Shared(command) => cli::exit(|| cli::execute(&RLHF, command)),
        Verb::Own(verb) => cli::exit(|| verbs::execute(verb)),
    }
}
