//! `sentiment-neuron`: the command line.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use common::cli;
use sentiment_neuron::{SENTIMENT_NEURON, verbs};

#[derive(Parser)]
#[command(version, about = SENTIMENT_NEURON.about)]
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
        Verb::Shared(command) => cli::exit(|| cli::execute(&SENTIMENT_NEURON, command)),
        Verb::Own(verb) => cli::exit(|| verbs::execute(verb)),
    }
}
