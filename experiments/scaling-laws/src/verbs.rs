//! The verbs that this experiment adds to the shared ones.

use clap::Subcommand;
use common::cli::RunArgs;

pub mod collect;
pub mod fit;
pub mod plan;

/// What this experiment adds to the command line.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Fit a scaling law to a CSV of runs
    Fit(fit::Args),
    /// Print every run of the studies with parameters, FLOPs and estimated time
    Plan(RunArgs),
    /// Merge all finished trainings into one table
    Collect(collect::Args),
}

/// Runs the verb.
///
/// # Errors
/// What the verb says.
pub fn execute(verb: Verb) -> anyhow::Result<()> {
    match verb {
        Verb::Fit(args) => fit::fit(&args),
        Verb::Plan(args) => plan::plan(args),
        Verb::Collect(args) => collect::collect(&args),
    }
}
