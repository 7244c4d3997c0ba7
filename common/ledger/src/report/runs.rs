//! The runs under a results folder, the unfinished and unreadable ones too.

use std::path::Path;

use super::ReportError;
use crate::run::{RunError, RunRecord, Status, run_folders};

/// One run folder.
pub(super) struct Run {
    /// Relative to the results folder, with `/` between the parts.
    pub(super) path: String,
    /// The record, or what is wrong with it.
    pub(super) record: Result<RunRecord, String>,
}

impl Run {
    /// The preset, as the folder says it.
    pub(super) fn preset(&self) -> &str {
        self.path.split('/').nth(1).unwrap_or_default()
    }

    /// The folder below that of the preset.
    pub(super) fn within_preset(&self) -> &str {
        self.path.splitn(3, '/').nth(2).unwrap_or_default()
    }
}

/// Every run of an experiment, sorted by path, without those under `skip`.
pub(super) fn find(
    results: &Path,
    experiment: &str,
    skip: Option<&Path>,
) -> Result<Vec<Run>, ReportError> {
    let mut runs = Vec::new();
    for folder in run_folders(&results.join(experiment), skip)? {
        let record = match RunRecord::read(&folder) {
            Ok(Some(record)) => Ok(record),
            Ok(None) => continue, // removed since it was listed
            Err(RunError::Record { message, .. }) => Err(message),
            Err(error) => return Err(error.into()),
        };
        runs.push(Run { path: relative(&folder, results), record });
    }
    Ok(runs)
}

/// `path` seen from `base`, with `/` between the parts.
pub(crate) fn relative(path: &Path, base: &Path) -> String {
    let path = path.strip_prefix(base).unwrap_or(path);
    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
    parts.join("/")
}

/// The status in words that also say what a reader may conclude.
pub(super) fn status(status: Status) -> &'static str {
    match status {
        Status::Complete => "complete",
        Status::Running => "unfinished",
        Status::Interrupted => "interrupted",
        Status::Failed => "failed",
    }
}
