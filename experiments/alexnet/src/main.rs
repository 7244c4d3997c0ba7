//! `alexnet`: the command line.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use common::cli;

#[derive(Parser)]
#[command(version, about = alexnet::ALEXNET.about)]
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
    let Verb::Shared(command) = Cli::parse().verb;
    cli::exit(|| cli::execute(&alexnet::ALEXNET, command))
}
