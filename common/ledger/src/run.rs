//! Run folders: where the files of one training live, its record, its lock.
//!
//! A run is one training: study, preset, data set, variant, seed. Its folder is
//! `<results>/<experiment>/<preset>/<study>/<data>/<variant>/seed-<n>/` and holds `run.json` (the
//! record below), `metrics.csv`, a TensorBoard event file and the raw outputs that claims are
//! computed from. An advisory lock keeps two processes off one folder.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tempfile::NamedTempFile;

mod configuration;
mod folder;
mod listing;

pub use configuration::{differences, digest, hex};
pub use folder::{Existing, Found, Opened, RunFolder, look};
pub use listing::{finished_runs, run_folders};

/// The version of `run.json`'s layout.
pub const SCHEMA: u32 = 1;
const RECORD: &str = "run.json";

/// What can go wrong with a run folder.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// `run.json` is not a run record.
    #[error("{path}: not a run record ({message}); delete the folder or pass --overwrite")]
    Record {
        /// The record's path.
        path: PathBuf,
        /// What was wrong with it.
        message: String,
    },
    /// Another process holds the folder.
    #[error("{0}: another process is writing this run; wait for it or stop it")]
    Locked(PathBuf),
    /// The folder holds a run of another configuration.
    #[error(
        "{path}: holds a run with another configuration, which differs in {keys}; \
         pass --overwrite to replace it or --out to write elsewhere"
    )]
    OtherDigest {
        /// The run folder.
        path: PathBuf,
        /// `key (stored → asked)` for each difference.
        keys: String,
    },
    /// The run began under other conditions than it would go on with.
    #[error(
        "{path}: the run would not go on exactly, since {keys} changed; resume it as it began, or \
         pass --allow-inexact, which its record will say"
    )]
    OtherConditions {
        /// The run folder.
        path: PathBuf,
        /// `condition (stored → now)` for each difference.
        keys: String,
    },
    /// A finished run lacks a number that its study needs.
    #[error("{path}: the run ended without {name}; pass --overwrite to make it again")]
    NoMetric {
        /// The run folder, from the results folder on.
        path: PathBuf,
        /// The number's name.
        name: String,
    },
    /// There is no half-done run to go on with.
    #[error("{0}: --resume finds no half-done run here; start it without --resume")]
    NothingToResume(PathBuf),
    /// The folder holds a run that was not finished.
    #[error("{path}: this run stopped before its end; go on with it: {command}")]
    Incomplete {
        /// The run folder.
        path: PathBuf,
        /// The command that resumes it.
        command: String,
    },
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> RunError + '_ {
    |source| RunError::Io { path: path.to_owned(), source }
}

/// The names that place a run in the results folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RunKey {
    /// The experiment, e.g. `alexnet`.
    pub experiment: String,
    /// The preset, with `+<8 hex>` behind it when `--set` or a flag changed it.
    pub preset: String,
    /// The study, e.g. `relu-vs-tanh`.
    pub study: String,
    /// The data set's name in `datasets.toml`.
    pub data: String,
    /// What is varied within the study, e.g. `authors-relu`.
    pub variant: String,
    /// The seed.
    pub seed: u64,
}

impl RunKey {
    /// The folder below the results folder.
    pub fn relative(&self) -> PathBuf {
        [&self.experiment, &self.preset, &self.study, &self.data, &self.variant]
            .iter()
            .collect::<PathBuf>()
            .join(format!("seed-{}", self.seed))
    }
}

/// How far a run has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Training, or stopped without a chance to say so.
    Running,
    /// Stopped by Ctrl-C or SIGTERM with a checkpoint written.
    Interrupted,
    /// Stopped by an error.
    Failed,
    /// Finished; its metrics may be used.
    Complete,
}

/// Source and build of the binary that ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// The commit the binary was built from, or `unknown`.
    pub commit: String,
    /// Whether the tree had uncommitted changes when it was built.
    pub dirty: bool,
    /// sha256 of the executable.
    pub binary_sha256: String,
    /// Versions of what the numbers depend on, e.g. `libtorch`.
    pub versions: BTreeMap<String, String>,
}

/// The machine that ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Operating system and architecture.
    pub system: String,
    /// The processor's name.
    pub cpu: String,
    /// The instruction set libtorch chose, e.g. `AVX512`.
    pub cpu_capability: String,
    /// Cores available to the process.
    pub cores: usize,
    /// The accelerator's name, if one was used.
    pub gpu: Option<String>,
}

/// `run.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The layout's version.
    pub schema: u32,
    /// Where the run belongs.
    #[serde(flatten)]
    pub key: RunKey,
    /// How far it has come.
    pub status: Status,
    /// sha256 of `config` in canonical form.
    pub digest: String,
    /// Everything that can change a number: the study's configuration, data hashes, precision,
    /// threads, device kind, world size.
    pub config: Value,
    /// What ran.
    pub build: Build,
    /// Where it ran.
    pub host: Host,
    /// When it first started, RFC 3339, UTC.
    pub started: String,
    /// Seconds spent training and evaluating, over all sittings.
    pub elapsed_s: f64,
    /// The largest resident memory of the process, in bytes.
    pub peak_memory_bytes: u64,
    /// How often it was resumed.
    pub resumed: u32,
    /// Whether `--allow-inexact` let it go on under other conditions than it started with.
    pub inexact: bool,
    /// The numbers the run ended with.
    pub metrics: BTreeMap<String, f64>,
}

impl RunRecord {
    /// Reads `run.json` of a run folder; `None` where there is none.
    ///
    /// # Errors
    /// When the file cannot be read or is not a run record.
    pub fn read(folder: &Path) -> Result<Option<Self>, RunError> {
        let path = folder.join(RECORD);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error(&path)(error)),
        };
        serde_json::from_str(&text)
            .map(Some)
            .map_err(|error| RunError::Record { path, message: error.to_string() })
    }

    /// A number that the finished run ended with.
    ///
    /// # Errors
    /// When it has no number of that name.
    pub fn ended_with(&self, name: &str) -> Result<f64, RunError> {
        let missing = || RunError::NoMetric { path: self.key.relative(), name: name.to_owned() };
        self.metrics.get(name).copied().ok_or_else(missing)
    }

    fn write(&self, folder: &Path) -> Result<(), RunError> {
        let mut text = serde_json::to_string_pretty(self).expect("a record is plain data");
        text.push('\n');
        write_atomic(&folder.join(RECORD), text.as_bytes())
    }
}

/// What names begin with until all of a file is written; a killed process leaves such files behind.
pub const WRITING: &str = ".writing-";

/// Writes a file under a temporary name, syncs it and renames it into place.
///
/// # Errors
/// When any of the three fails; the old file, if there was one, is then still whole.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), RunError> {
    // A bare name lies in the current folder.
    let named = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = named.unwrap_or(Path::new("."));
    let mut file = temporary_in(folder).map_err(io_error(folder))?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(io_error(path))?;
    file.persist(path).map_err(|error| io_error(path)(error.error))?;
    Ok(())
}

/// A file in `folder` that is removed unless it is given a name; as readable as any other file, where temporary ones are
/// private to their owner.
///
/// # Errors
/// A folder that cannot be written to.
pub fn temporary_in(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(WRITING);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666)); // less the umask
    builder.tempfile_in(folder)
}

#[cfg(test)]
mod tests;
