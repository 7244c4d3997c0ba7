//! `sentiment-neuron`: the command line.

use std::process::ExitCode;

use sentiment_neuron::{SENTIMENT_NEURON, verbs};

fn main() -> ExitCode {
    common::cli::main(&SENTIMENT_NEURON, verbs::execute)
}
