//! The machine as the checks see it: files, environment and commands, which a test can fake.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long a command may take; `nvidia-smi` hangs where a driver is ill.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where the checks look.
pub(super) struct System {
    /// The work tree: the folder with `rust-toolchain.toml`.
    pub(super) tree: PathBuf,
    /// Where `/proc` and `/sys` are found, `/` on a real machine.
    pub(super) root: PathBuf,
    /// The environment.
    pub(super) vars: BTreeMap<String, String>,
}

impl System {
    /// This machine, seen from the folder `from` in a work tree.
    pub(super) fn real(from: &Path) -> Self {
        let tree = from.ancestors().find(|f| f.join("rust-toolchain.toml").is_file());
        let vars = env::vars_os()
            .map(|(k, v)| (k.to_string_lossy().into_owned(), v.to_string_lossy().into_owned()))
            .collect();
        Self { tree: tree.unwrap_or(from).to_owned(), root: PathBuf::from("/"), vars }
    }

    /// An environment variable, unless it is unset or empty.
    pub(super) fn var(&self, name: &str) -> Option<&str> {
        self.vars.get(name).map(String::as_str).filter(|v| !v.is_empty())
    }

    /// An absolute path below the root.
    pub(super) fn path(&self, absolute: &str) -> PathBuf {
        self.root.join(absolute.trim_start_matches('/'))
    }

    /// The text of a file of the system, if it can be read.
    pub(super) fn read(&self, absolute: &str) -> Option<String> {
        fs::read_to_string(self.path(absolute)).ok()
    }

    /// The folder for everything heavy.
    pub(super) fn cache(&self) -> Option<PathBuf> {
        let var = |name| self.var(name).map(PathBuf::from);
        var("LANDMARKS_CACHE")
            .or_else(|| var("XDG_CACHE_HOME").map(|d| d.join("landmarks")))
            .or_else(|| var("HOME").map(|d| d.join(".cache/landmarks")))
    }

    /// Runs a command of `PATH` in the work tree and returns what it printed: the first line of
    /// its output if it succeeded, else why not.
    pub(super) fn first_line(&self, program: &str, args: &[&str]) -> Result<String, String> {
        let output = self.output(program, args)?;
        let line = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes);
            text.lines().map(str::trim).find(|l| !l.is_empty()).unwrap_or_default().to_owned()
        };
        if output.status.success() {
            return Ok(line(&output.stdout));
        }
        let said = [line(&output.stderr), line(&output.stdout)].into_iter().find(|l| !l.is_empty());
        Err(said.unwrap_or_else(|| format!("{program} ended with {}", output.status)))
    }

    /// Runs a command of `PATH` in the work tree.
    pub(super) fn output(&self, program: &str, args: &[&str]) -> Result<Output, String> {
        let mut child = Command::new(program)
            .args(args)
            .env_clear()
            .envs(&self.vars)
            .current_dir(&self.tree)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| match e.kind() {
                std::io::ErrorKind::NotFound => "not found".to_owned(),
                _ => format!("{program} does not start: {e}"),
            })?;
        let started = Instant::now();
        while let Ok(None) = child.try_wait() {
            if started.elapsed() > PATIENCE {
                // It may be gone by now; then there is nothing to end.
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("{program} does not answer in {} s", PATIENCE.as_secs()));
            }
            thread::sleep(Duration::from_millis(5));
        }
        child.wait_with_output().map_err(|e| format!("{program}: {e}"))
    }

    /// How this user installs a Debian package.
    pub(super) fn apt(package: &str) -> String {
        // Root's home is the one sign that needs no call into the system.
        let root = fs::metadata("/proc/self").is_ok_and(|m| {
            use std::os::unix::fs::MetadataExt as _;
            m.uid() == 0
        });
        format!("{}apt-get install {package}", if root { "" } else { "sudo " })
    }
}

/// The first number with dots in a text, as a version: `rustc 1.95.0 (…)` → `1.95.0`.
pub(super) fn version_in(text: &str) -> Option<&str> {
    text.split(|c: char| c.is_whitespace() || "(),".contains(c))
        .find(|word| word.contains('.') && word.starts_with(|c: char| c.is_ascii_digit()))
}

/// Whether version `found` is at least `wanted`, number by number.
pub(super) fn at_least(found: &str, wanted: &str) -> bool {
    let numbers = |text: &str| -> Vec<u64> {
        text.split('.')
            .map(|part| {
                let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
                part[..digits].parse().unwrap_or(0)
            })
            .collect()
    };
    numbers(found) >= numbers(wanted)
}

/// Bytes as people read them.
pub(super) fn gigabytes(bytes: u64) -> String {
    format!("{:.1} GB", bytes as f64 / 1e9)
}
