//! `scaling-laws`: the command line.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use scaling_laws::verbs;

#[derive(Parser)]
#[command(version, about = "Scaling laws: fits to tables of runs")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    #[command(flatten)]
    Own(verbs::Verb),
}

fn main() -> ExitCode {
    let Verb::Own(verb) = Cli::parse().verb;
    match verbs::execute(verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
