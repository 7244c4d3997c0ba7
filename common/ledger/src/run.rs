//! Run folders: where the files of one training live, its record, its lock.
//!
//! A run is one training: study, preset, data set, variant, seed. Its folder is
//! `<results>/<experiment>/<preset>/<study>/<data>/<variant>/seed-<n>/` and holds `run.json` (the
//! record below), `metrics.csv`, a TensorBoard event file and the raw outputs that claims are
//! computed from. An advisory lock keeps two processes off one folder.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// The version of `run.json`'s layout.
pub const SCHEMA: u32 = 1;
const RECORD: &str = "run.json";
const LOCK: &str = ".lock";

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

    fn write(&self, folder: &Path) -> Result<(), RunError> {
        let mut text = serde_json::to_string_pretty(self).expect("a record is plain data");
        text.push('\n');
        write_atomic(&folder.join(RECORD), text.as_bytes())
    }
}

/// Writes a file under a temporary name, syncs it and renames it into place.
///
/// # Errors
/// When any of the three fails; the old file, if there was one, is then still whole.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), RunError> {
    // A bare name lies in the current folder.
    let named = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = named.unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(".writing-")
        .tempfile_in(folder)
        .map_err(io_error(folder))?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(io_error(path))?;
    // A temporary file is private to its owner; a result is not.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::Permissions::from_mode(0o644);
        file.as_file().set_permissions(mode).map_err(io_error(path))?;
    }
    file.persist(path).map_err(|error| io_error(path)(error.error))?;
    Ok(())
}

/// sha256 of a configuration, independent of the order its keys were written in.
pub fn digest(config: &Value) -> String {
    let mut canonical = String::new();
    write_canonical(config, &mut canonical);
    hex(&Sha256::digest(canonical.as_bytes()))
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        write!(out, "{byte:02x}").expect("writing to a string");
        out
    })
}

fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let sorted: BTreeMap<_, _> = map.iter().collect();
            out.push('{');
            for (key, value) in sorted {
                let _ = write!(out, "{key:?}:");
                write_canonical(value, out);
                out.push(',');
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for item in items {
                write_canonical(item, out);
                out.push(',');
            }
            out.push(']');
        }
        plain => {
            let _ = write!(out, "{plain}");
        }
    }
}

/// The keys in which two configurations differ, each as `key (a → b)`.
pub fn differences(a: &Value, b: &Value) -> Vec<String> {
    fn flatten(prefix: &str, value: &Value, out: &mut BTreeMap<String, String>) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    let dot = if prefix.is_empty() { "" } else { "." };
                    flatten(&format!("{prefix}{dot}{key}"), value, out);
                }
            }
            plain => {
                out.insert(prefix.to_owned(), plain.to_string());
            }
        }
    }
    let (mut left, mut right) = (BTreeMap::new(), BTreeMap::new());
    flatten("", a, &mut left);
    flatten("", b, &mut right);
    let keys: std::collections::BTreeSet<_> = left.keys().chain(right.keys()).collect();
    let absent = || "absent".to_owned();
    keys.into_iter()
        .filter(|key| left.get(*key) != right.get(*key))
        .map(|key| {
            let show = |side: &BTreeMap<_, _>| side.get(key).cloned().unwrap_or_else(absent);
            format!("{key} ({} → {})", show(&left), show(&right))
        })
        .collect()
}

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

/// Every finished run below `<results>/<experiment>/<preset>/<study>`, sorted by path.
///
/// # Errors
/// When a folder cannot be listed or a record cannot be read.
pub fn finished_runs(study_folder: &Path) -> Result<Vec<(PathBuf, RunRecord)>, RunError> {
    let mut found = Vec::new();
    for folder in run_folders(study_folder, None)? {
        if let Some(record) = RunRecord::read(&folder)?.filter(|r| r.status == Status::Complete) {
            found.push((folder, record));
        }
    }
    found.sort_by(|a, b| a.1.key.cmp(&b.1.key));
    Ok(found)
}

/// Every folder below `root` that holds a `run.json`, sorted; the folder `skip` and what is below it
/// are left out. None where `root` does not exist.
///
/// # Errors
/// When a folder cannot be listed.
pub fn run_folders(root: &Path, skip: Option<&Path>) -> Result<Vec<PathBuf>, RunError> {
    let skip = skip.and_then(|path| path.canonicalize().ok());
    let mut found = Vec::new();
    let mut pending = vec![root.to_owned()];
    while let Some(folder) = pending.pop() {
        if skip.is_some() && folder.canonicalize().ok() == skip {
            continue;
        }
        if folder.join(RECORD).is_file() {
            found.push(folder);
            continue;
        }
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(io_error(&folder)(error)),
        };
        for entry in entries {
            let path = entry.map_err(io_error(&folder))?.path();
            if path.is_dir() {
                pending.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESUME: Existing = Existing::Resume { allow_inexact: false };

    fn record(config: Value) -> RunRecord {
        RunRecord {
            schema: SCHEMA,
            key: RunKey {
                experiment: "alexnet".into(),
                preset: "smoke".into(),
                study: "relu-vs-tanh".into(),
                data: "cifar10".into(),
                variant: "authors-relu".into(),
                seed: 3,
            },
            status: Status::Running,
            digest: digest(&config),
            config,
            build: Build {
                commit: "abc".into(),
                dirty: false,
                binary_sha256: "00".into(),
                versions: BTreeMap::new(),
            },
            host: Host {
                system: "linux x86_64".into(),
                cpu: "test".into(),
                cpu_capability: "AVX2".into(),
                cores: 2,
                gpu: None,
            },
            started: "2026-01-01T00:00:00Z".into(),
            elapsed_s: 0.1 + 0.2,
            peak_memory_bytes: 1,
            resumed: 0,
            inexact: false,
            metrics: BTreeMap::from([("test/error".into(), 0.25)]),
        }
    }

    fn open(root: &Path, lr: f64, existing: Existing) -> Result<Opened, RunError> {
        let config = serde_json::json!({"lr": lr, "net": {"act": "relu"}});
        RunFolder::open(root, record(config), existing, "alexnet run --resume")
    }

    fn ready(opened: Opened) -> (Box<RunFolder>, bool) {
        match opened {
            Opened::Ready { folder, resume } => (folder, resume),
            Opened::Complete(_) => panic!("the run is not complete"),
        }
    }

    #[test]
    fn the_folder_is_the_one_the_design_names() {
        let relative = record(Value::Null).key.relative();
        let wanted = "alexnet/smoke/relu-vs-tanh/cifar10/authors-relu/seed-3";
        assert_eq!(relative, Path::new(wanted));
    }

    #[test]
    fn a_record_survives_being_written_and_read() {
        let root = tempfile::tempdir().unwrap();
        let (folder, _) = ready(open(root.path(), 0.1, Existing::Keep).unwrap());
        let read = RunRecord::read(folder.path()).unwrap().unwrap();
        assert_eq!(read, folder.record);
    }

    #[test]
    fn a_digest_ignores_the_order_of_keys_and_sees_every_value() {
        let parse = |text| digest(&serde_json::from_str(text).unwrap());
        let first = parse(r#"{"a": 1, "b": {"c": [1, 2], "d": "x"}}"#);
        assert_eq!(first, parse(r#"{"b": {"d": "x", "c": [1, 2]}, "a": 1}"#));
        for other in [
            r#"{"a": 2, "b": {"c": [1, 2], "d": "x"}}"#,
            r#"{"a": 1, "b": {"c": [2, 1], "d": "x"}}"#,
            r#"{"a": 1, "b": {"c": [1, 2], "d": "y"}}"#,
        ] {
            assert_ne!(first, parse(other));
        }
    }

    #[test]
    fn a_half_done_run_is_refused_with_the_command_that_resumes_it() {
        let root = tempfile::tempdir().unwrap();
        drop(open(root.path(), 0.1, Existing::Keep).unwrap());
        let error = open(root.path(), 0.1, Existing::Keep).unwrap_err().to_string();
        assert!(error.contains("alexnet run --resume"), "{error}");
        assert!(ready(open(root.path(), 0.1, RESUME).unwrap()).1);
    }

    #[test]
    fn another_configuration_is_refused_naming_the_keys_unless_overwritten() {
        let root = tempfile::tempdir().unwrap();
        drop(open(root.path(), 0.1, Existing::Keep).unwrap());
        for existing in [Existing::Keep, RESUME] {
            let error = open(root.path(), 0.2, existing).unwrap_err().to_string();
            assert!(error.contains("lr (0.1 → 0.2)"), "{error}");
        }
        let (folder, resume) = ready(open(root.path(), 0.2, Existing::Overwrite).unwrap());
        assert!(!resume);
        assert_eq!(folder.record.config["lr"], 0.2);
    }

    #[test]
    fn other_conditions_are_refused_on_resume_unless_allowed_and_then_recorded() {
        let root = tempfile::tempdir().unwrap();
        let record = |threads: u32, binary: &str| {
            let config = serde_json::json!({"lr": 0.1, "conditions": {"threads": threads}});
            let mut record = record(config);
            record.build.binary_sha256 = binary.into();
            record
        };
        let open = |record, existing| RunFolder::open(root.path(), record, existing, "resume");
        drop(open(record(1, "aa"), Existing::Keep).unwrap());
        for (threads, binary, named) in
            [(2, "aa", "threads (1 → 2)"), (1, "bb", "binary (aa → bb)")]
        {
            let error = open(record(threads, binary), RESUME).unwrap_err().to_string();
            assert!(error.contains(named) && error.contains("--allow-inexact"), "{error}");
        }
        let allowed = Existing::Resume { allow_inexact: true };
        let (folder, resume) = ready(open(record(2, "bb"), allowed).unwrap());
        assert!(resume && folder.record.inexact && folder.record.resumed == 1);
        assert_eq!(folder.record.config["conditions"]["threads"], 2);
    }

    #[test]
    fn a_finished_run_is_not_opened_again() {
        let root = tempfile::tempdir().unwrap();
        let (mut folder, _) = ready(open(root.path(), 0.1, Existing::Keep).unwrap());
        folder.record.status = Status::Complete;
        folder.save().unwrap();
        drop(folder);
        let opened = open(root.path(), 0.1, RESUME).unwrap();
        assert!(matches!(opened, Opened::Complete(_)));
        assert_eq!(finished_runs(root.path()).unwrap().len(), 1);
    }

    #[test]
    fn a_second_holder_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let held = open(root.path(), 0.1, Existing::Keep).unwrap();
        let error = open(root.path(), 0.1, RESUME).unwrap_err();
        assert!(matches!(error, RunError::Locked(_)), "{error}");
        drop(held);
        assert!(open(root.path(), 0.1, RESUME).is_ok());
    }

    #[test]
    fn a_damaged_record_is_named() {
        let root = tempfile::tempdir().unwrap();
        let (folder, _) = ready(open(root.path(), 0.1, Existing::Keep).unwrap());
        let path = folder.path().join(RECORD);
        drop(folder);
        fs::write(&path, "{\"schema\": 1").unwrap();
        let error = open(root.path(), 0.1, RESUME).unwrap_err().to_string();
        assert!(error.contains("run.json"), "{error}");
        assert!(open(root.path(), 0.1, Existing::Overwrite).is_ok());
    }
}
