//! `alexnet`: the command line.

use std::process::ExitCode;

use alexnet::evaluate::{self, EvaluateArgs};
use alexnet::predict::{PredictArgs, predict};
use alexnet::prepare::{self, PrepareArgs};
use clap::Subcommand;
use common::cli;

#[derive(Subcommand)]
enum Verb {
    /// Say what is on pictures: the most probable classes
    Predict(PredictArgs),
    /// Say what a network gets wrong on labelled pictures, with one view of each and with ten
    Evaluate(EvaluateArgs),
    /// Pack a folder of photographs once into one file that training streams from
    Prepare(PrepareArgs),
}

fn main() -> ExitCode {
    cli::main(&alexnet::ALEXNET, |verb| {
        cli::start_logs(false, 0);
        match verb {
            Verb::Predict(args) => predict(&args),
            Verb::Evaluate(args) => evaluate::run(&args),
            Verb::Prepare(args) => prepare::run(&args),
        }
    })
}
