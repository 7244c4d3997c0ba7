//! Copies finished runs into `results/reference`, the folder we publish.
//!
//! Only what can be repeated is published: runs that are complete, built from a known commit without
//! changes, at a preset as it stands in the repository. Figures, measured values and pages are not
//! copied: they are computed again from the published runs.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::claims::changed;
use crate::run::{RunError, RunRecord, Status, differences, digest, run_folders};

mod files;
pub mod limits;

pub use limits::Excess;

/// Why nothing was published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// A run folder could not be listed or read.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A file or folder could not be read, copied or renamed.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something would be larger than what a repository should hold.
    #[error("nothing was published, because of size:\n{}", list(.0))]
    TooLarge(Vec<Excess>),
}

fn list(excess: &[Excess]) -> String {
    let lines: Vec<_> = excess.iter().map(|e| format!("  {e}")).collect();
    lines.join("\n")
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> PublishError + '_ {
    |source| PublishError::Io { path: path.to_owned(), source }
}

/// What was done with a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// It was not published before.
    Copied,
    /// Another run of the same place was; the text says in what it differs.
    Replaced(String),
    /// The same files are published already.
    Kept,
    /// It may not be published; the text says why.
    Refused(String),
}

/// A run and what was done with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The run folder below the results folder, with `/` between the parts.
    pub run: String,
    /// What was done.
    pub action: Action,
}

impl fmt::Display for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.action {
            Action::Copied => write!(f, "{}: copied", self.run),
            Action::Replaced(why) => write!(f, "{}: replaced ({why})", self.run),
            Action::Kept => write!(f, "{}: published already", self.run),
            Action::Refused(why) => write!(f, "{}: not published: {why}", self.run),
        }
    }
}

/// Copies every run of `results` that may be published to the same place below `reference`, each whole
/// or not at all, and says what was done with each run, sorted by place.
///
/// # Errors
/// A file that would be larger than the [limits] allow; then nothing was changed. A file or folder that
/// cannot be read or written; then every run is either as before or copied whole.
pub fn publish(results: &Path, reference: &Path) -> Result<Vec<Published>, PublishError> {
    let mut plan = Vec::new();
    for folder in run_folders(results, Some(reference))? {
        let run = files::relative(&folder, results);
        let action = decide(&folder, &run, &reference.join(&run))?;
        plan.push((folder, Published { run, action }));
    }
    let copied: Vec<_> = plan.iter().filter(|(_, p)| p.action.copies()).collect();
    let excess = limits::excess(&sizes_after(reference, &copied)?);
    if !excess.is_empty() {
        return Err(PublishError::TooLarge(excess));
    }
    for (folder, published) in copied {
        files::copy_whole(folder, &reference.join(&published.run))?;
    }
    Ok(plan.into_iter().map(|(_, published)| published).collect())
}

impl Action {
    fn copies(&self) -> bool {
        matches!(self, Self::Copied | Self::Replaced(_))
    }
}

fn decide(folder: &Path, run: &str, target: &Path) -> Result<Action, PublishError> {
    let record = match RunRecord::read(folder) {
        Ok(Some(record)) => record,
        Ok(None) => return Ok(Action::Refused("its run.json is gone".into())),
        Err(RunError::Record { message, .. }) => {
            return Ok(Action::Refused(format!("its run.json is no run record ({message})")));
        }
        Err(error) => return Err(error.into()),
    };
    if let Some(why) = faults(&record, run).into_iter().next() {
        return Ok(Action::Refused(why));
    }
    Ok(match RunRecord::read(target) {
        Ok(None) => Action::Copied,
        Ok(Some(_)) if files::same(folder, target)? => Action::Kept,
        Ok(Some(old)) if old.digest != record.digest => {
            Action::Replaced(differences(&old.config, &record.config).join(", "))
        }
        Ok(Some(old)) if old.build.commit != record.build.commit => {
            let (old, new) = (old.build.commit, record.build.commit);
            Action::Replaced(format!("the same configuration, commit {old} → {new}"))
        }
        Ok(Some(_)) => Action::Replaced("the same configuration and commit, run again".into()),
        Err(RunError::Record { .. }) => Action::Replaced("the old run.json is damaged".into()),
        Err(error) => return Err(error.into()),
    })
}

/// Everything that keeps a run from being published; `run` is its folder below the results folder.
pub fn faults(record: &RunRecord, run: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let mut check = |bad: bool, why: String| {
        if bad {
            faults.push(why);
        }
    };
    let RunRecord { key, build, .. } = record;
    let named = files::relative(&key.relative(), Path::new(""));
    check(named != run, format!("its run.json says that it is {named}"));
    match record.status {
        Status::Running => check(true, "it is not finished".into()),
        Status::Interrupted => check(true, "it was interrupted".into()),
        Status::Failed => check(true, "it failed".into()),
        Status::Complete => {}
    }
    let base = key.preset.split('+').next().unwrap_or_default();
    check(base == "smoke", "smoke only checks that the study works".into());
    check(changed(&key.preset), format!("the preset {base} was changed on the command line"));
    check(build.dirty, format!("built from {} with uncommitted changes", build.commit));
    check(build.commit == "unknown", "built from an unknown commit".into());
    check(record.inexact, "--allow-inexact let it go on under other conditions".into());
    let computed = digest(&record.config);
    check(
        computed != record.digest,
        format!("its configuration has the digest {computed}, run.json says {}", record.digest),
    );
    faults
}

/// The size of every file below `reference` as it would be after copying, by its place there.
fn sizes_after(
    reference: &Path,
    copied: &[&(PathBuf, Published)],
) -> Result<BTreeMap<String, u64>, PublishError> {
    let mut sizes = sizes(reference)?;
    for (folder, Published { run, .. }) in copied {
        let below = format!("{run}/");
        sizes.retain(|file, _| !file.starts_with(&below));
        for (file, size) in self::sizes(folder)? {
            sizes.insert(format!("{below}{file}"), size);
        }
    }
    Ok(sizes)
}

/// The size of every published file, by its place below `reference`; hidden files do not count.
///
/// # Errors
/// When a folder cannot be listed.
pub fn sizes(reference: &Path) -> Result<BTreeMap<String, u64>, PublishError> {
    let mut sizes = BTreeMap::new();
    for path in files::below(reference)? {
        let size = fs::metadata(&path).map_err(io_error(&path))?.len();
        sizes.insert(files::relative(&path, reference), size);
    }
    Ok(sizes)
}
