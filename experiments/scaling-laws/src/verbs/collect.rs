//! `collect`: all finished trainings as one table.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use common::{cli, interrupt};
use ledger::run::write_atomic;

use crate::SCALING_LAWS;
use crate::rows::collect as rows;

/// Flags of `collect`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only this preset (as in the results folder); without it, all
    #[arg(long)]
    preset: Option<String>,
    /// The results folder
    #[arg(long, value_name = "DIR", default_value = "results")]
    out: PathBuf,
    /// Where the table is written [default: runs.csv in the experiment's results]
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

/// Writes the table, whole or not at all; damaged and unfinished runs are named and left out.
///
/// # Errors
/// Nothing to collect, a folder that cannot be listed, a file that cannot be written.
pub fn collect(args: &Args) -> anyhow::Result<()> {
    cli::start_logs(false, 0);
    interrupt::install()?; // a write past the file-size limit is then an error of that write
    let own = args.out.join(SCALING_LAWS.name);
    let root = args.preset.as_ref().map_or_else(|| own.clone(), |preset| own.join(preset));
    let (rows, left_out) = rows(&root)?;
    for run in &left_out {
        tracing::warn!("left out: {}: {}", run.folder.display(), run.why);
    }
    ensure!(
        !rows.is_empty(),
        "{}: no finished trainings here; make some with `scaling-laws run`",
        root.display()
    );
    let mut table = csv::Writer::from_writer(Vec::new());
    rows.iter().try_for_each(|row| table.serialize(row))?;
    let path = args.to.clone().unwrap_or_else(|| own.join("runs.csv"));
    let bytes = table.into_inner()?;
    write_atomic(&path, &bytes).with_context(|| {
        format!("{}: not written; an earlier table is untouched", path.display())
    })?;
    let (n, left) = (rows.len(), left_out.len());
    Ok(cli::print(&format!("{}: {n} runs, {left} left out\n", path.display()))?)
}
