//! `plan`: what `run` would train, with its cost.

use common::cli::RunArgs;

use crate::SCALING_LAWS;

/// Prints every run of the studies with parameters, FLOPs and estimated time.
///
/// # Errors
/// As `run --dry-run`.
pub fn plan(mut args: RunArgs) -> anyhow::Result<()> {
    args.dry_run = true;
    common::cli::execute(&SCALING_LAWS, common::cli::Command::Run(args))
}
