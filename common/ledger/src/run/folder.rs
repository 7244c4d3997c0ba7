//! A run's folder while it is trained in: whether a run may start or go on there, and its lock.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{RunError, RunRecord, Status, WRITING, differences, io_error};

const LOCK: &str = ".lock";

/// What to do with what a run folder already holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Existing {
    /// Skip a finished run, refuse a half-done one.
    Keep,
    /// Skip a finished run, go on with a half-done one.
    Resume {
        /// Whether it may go on with another binary, processor, precision or number of threads.
        allow_inexact: bool,
    },
    /// Start anew whatever is there.
    Overwrite,
}

/// What opening a run folder found.
#[derive(Debug)]
pub enum Opened {
    /// A folder to train in; `resume` tells whether it holds a half-done run of the same digest.
    Ready {
        /// The locked folder.
        folder: Box<RunFolder>,
        /// Whether to look for a checkpoint.
        resume: bool,
    },
    /// The run is finished; its record.
    Complete(Box<RunRecord>),
}

/// What a run folder holds, as seen by somebody who would run `record` there.
#[derive(Debug)]
pub enum Found {
    /// Nothing, or what may be overwritten.
    Nothing,
    /// A run that stopped before its end and may go on; its record as it will be.
    HalfDone(Box<RunRecord>),
    /// The finished run; its record.
    Complete(Box<RunRecord>),
}

/// Looks whether `record` would start, go on or be skipped below `results`, without changing
/// anything.
///
/// # Errors
/// As [`RunFolder::open`].
pub fn look(
    results: &Path,
    record: &RunRecord,
    existing: Existing,
    resume_command: &str,
) -> Result<Found, RunError> {
    let folder = results.join(record.key.relative());
    if folder.join(LOCK).exists() {
        drop(lock(&folder)?);
    }
    compare(results, record, existing, resume_command)
}

fn compare(
    results: &Path,
    record: &RunRecord,
    existing: Existing,
    resume_command: &str,
) -> Result<Found, RunError> {
    let path = results.join(record.key.relative());
    if existing == Existing::Overwrite {
        return Ok(Found::Nothing);
    }
    let Some(mut stored) = RunRecord::read(&path)? else { return Ok(Found::Nothing) };
    let differ = differences(&stored.config, &record.config);
    if stored.digest != record.digest
        && (stored.status == Status::Complete || !differ.iter().all(|key| is_condition(key)))
    {
        return Err(RunError::OtherDigest { path, keys: differ.join(", ") });
    }
    if stored.status == Status::Complete {
        return Ok(Found::Complete(Box::new(stored)));
    }
    let Existing::Resume { allow_inexact } = existing else {
        return Err(RunError::Incomplete { path, command: resume_command.to_owned() });
    };
    let mut keys = differ;
    for (name, then, now) in [
        ("cpu_capability", &stored.host.cpu_capability, &record.host.cpu_capability),
        ("binary", &stored.build.binary_sha256, &record.build.binary_sha256),
    ] {
        if then != now {
            keys.push(format!("{name} ({then:.8} → {now:.8})"));
        }
    }
    if !keys.is_empty() {
        if !allow_inexact {
            return Err(RunError::OtherConditions { path, keys: keys.join(", ") });
        }
        stored.inexact = true;
        stored.config = record.config.clone();
        stored.digest.clone_from(&record.digest);
        stored.build = record.build.clone();
        stored.host = record.host.clone();
    }
    stored.status = Status::Running;
    stored.resumed += 1;
    Ok(Found::HalfDone(Box::new(stored)))
}

/// Whether a difference is one of the conditions a run was computed under, and not of what it computes.
fn is_condition(difference: &str) -> bool {
    difference.starts_with("conditions.")
}

/// A run folder held by this process.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// The record, written by [`RunFolder::save`].
    pub record: RunRecord,
    /// Held until the folder is dropped.
    _lock: File,
}

impl RunFolder {
    /// Opens and locks the folder of `record.key` below `results`.
    ///
    /// `resume_command` is what the error for a half-done run tells the user to type.
    ///
    /// # Errors
    /// When another process holds the folder, it holds a half-done run and `existing` is `Keep`,
    /// it holds another configuration and `existing` is not `Overwrite`, or a file fails.
    pub fn open(
        results: &Path,
        record: RunRecord,
        existing: Existing,
        resume_command: &str,
    ) -> Result<Opened, RunError> {
        let path = results.join(record.key.relative());
        fs::create_dir_all(&path).map_err(io_error(&path))?;
        let lock = lock(&path)?;
        clear_half_written(&path)?;
        let (record, resume) = match compare(results, &record, existing, resume_command)? {
            Found::Complete(stored) => return Ok(Opened::Complete(stored)),
            Found::HalfDone(stored) => (*stored, true),
            Found::Nothing => {
                clear(&path)?;
                (record, false)
            }
        };
        let folder = Self { path, record, _lock: lock };
        folder.save()?;
        Ok(Opened::Ready { folder: Box::new(folder), resume })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes `run.json`, whole or not at all.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self) -> Result<(), RunError> {
        self.record.write(&self.path)
    }
}

fn lock(folder: &Path) -> Result<File, RunError> {
    let path = folder.join(LOCK);
    let file = File::create(&path).map_err(io_error(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(RunError::Locked(folder.to_owned())),
        Err(TryLockError::Error(error)) => Err(io_error(&path)(error)),
    }
}

/// Removes what processes that were killed left half-written in the folder and those in it.
fn clear_half_written(folder: &Path) -> Result<(), RunError> {
    for entry in fs::read_dir(folder).map_err(io_error(folder))? {
        let entry = entry.map_err(io_error(folder))?;
        let path = entry.path();
        if path.is_dir() {
            clear_half_written(&path)?;
        } else if entry.file_name().to_string_lossy().starts_with(WRITING) {
            fs::remove_file(&path).map_err(io_error(&path))?;
        }
    }
    Ok(())
}

/// Removes what an earlier run left, except the lock.
fn clear(folder: &Path) -> Result<(), RunError> {
    for entry in fs::read_dir(folder).map_err(io_error(folder))? {
        let path = entry.map_err(io_error(folder))?.path();
        if path.is_file() && path.file_name().is_some_and(|name| name != LOCK) {
            fs::remove_file(&path).map_err(io_error(&path))?;
        }
    }
    Ok(())
}
