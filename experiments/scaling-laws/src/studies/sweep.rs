//! Your own grid: a TOML file like one `[[joint-fit]]` table of a preset, trained and fitted as
//! `joint-fit` is.

use std::path::PathBuf;

use anyhow::Context as _;
use common::experiment::{Drawings, Finished};
use common::session::Session;
use ledger::claims::Measured;
use serde::Deserialize;

use super::{make, runs_of};
use crate::runs::Grid;

/// Its name.
pub const STUDY: &str = "sweep";

/// `[sweep]` of a preset.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// The file of the grid; empty for none.
    pub plan: PathBuf,
}

/// Makes every run of the plan that is not done yet.
///
/// # Errors
/// A plan that cannot be read; as [`make`].
pub fn run(session: &Session) -> anyhow::Result<()> {
    let preset: super::Preset = session.preset()?;
    let path = &preset.sweep.plan;
    if path.as_os_str().is_empty() {
        tracing::info!("sweep: no plan; give one with --set sweep.plan=FILE.toml");
        return Ok(());
    }
    let place = || format!("--set sweep.plan={}", path.display());
    let text = std::fs::read_to_string(path).with_context(place)?;
    let grid: Grid = toml::from_str(&text).with_context(place)?;
    let read = preset.read(&session.lookup)?;
    make(session, STUDY, &runs_of(session, std::slice::from_ref(&grid), &read)?)
}

/// Nothing was published of your grid.
///
/// # Errors
/// Never.
pub fn measure(_finished: &Finished) -> anyhow::Result<Vec<Measured>> {
    Ok(Vec::new())
}

/// The figures of `joint-fit`, of your runs.
///
/// # Errors
/// Files that cannot be read.
pub fn figures(finished: &Finished) -> anyhow::Result<Drawings> {
    super::joint_fit::figures(finished)
}
