//! `alexnet`: the command line.

use std::process::ExitCode;

use alexnet::evaluate::EvaluateArgs;
use alexnet::predict::{PredictArgs, predict};
use alexnet::prepare::PrepareArgs;
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
    /// Say what is on pictures: the most probable classes
    Predict(PredictArgs),
    /// Say what a network gets wrong on labelled pictures, with one view of each and with ten
    Evaluate(EvaluateArgs),
    /// Pack a folder of photographs once into one file that training streams from
    Prepare(PrepareArgs),
}

fn main() -> ExitCode {
    cli::exit(|| match Cli::parse().verb {
        Verb::Shared(command) => cli::execute(&alexnet::ALEXNET, command),
        Verb::Predict(args) => {
            cli::start_logs(false, 0);
            predict(&args)
        }
        Verb::Evaluate(args) => {
            cli::start_logs(false, 0);
            alexnet::evaluate::run(&args)
        }
        Verb::Prepare(args) => {
            cli::start_logs(false, 0);
            alexnet::prepare::run(&args)
        }
    })
}
