//! A place of its own for each test: data, cache and results, and the binary started on them.

use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use testing::{Folder, Running, files, wait_until};

use crate::pictures;

/// Two runs of 160 steps that end when their epochs are over: long enough to be stopped in the
/// middle. Rows every 4 steps, checkpoints every 8.
pub(crate) const LONG: [&str; 12] = [
    "--seed",
    "0",
    "--set",
    "relu-vs-tanh.epochs={relu=20.0}",
    "--set",
    "relu-vs-tanh.authors.lr={relu=[0.001]}",
    "--set",
    "relu-vs-tanh.target.fashion-mnist=0.0",
    "--set",
    "relu-vs-tanh.row_every=128",
    "--set",
    "relu-vs-tanh.save_every=256",
];
/// The runs of [`LONG`] in their order.
pub(crate) const LONG_RUNS: [&str; 2] = ["authors-relu", "standardised-relu"];

/// Data, cache and results of one test; removed at its end.
pub(crate) struct Place {
    folder: Folder,
    /// The study that runs here.
    study: &'static str,
}

impl Deref for Place {
    type Target = Folder;

    fn deref(&self) -> &Folder {
        &self.folder
    }
}

impl Place {
    /// A place with the usual pictures, for Figure 1.
    pub(crate) fn new() -> Self {
        Self::of("relu-vs-tanh")
    }

    /// A place with the usual pictures, for `study`.
    pub(crate) fn of(study: &'static str) -> Self {
        let place = Self { folder: Folder::default(), study };
        pictures::write(&place.path("data"), pictures::SIZE, 0);
        place
    }

    /// The binary with `args`, an environment of its own, and this place as its working folder.
    pub(crate) fn alexnet(&self, args: &[&str]) -> Command {
        self.command(env!("CARGO_BIN_EXE_alexnet"), args)
    }

    /// `run` with the smoke preset on this place's data, and `args`.
    pub(crate) fn run(&self, args: &[&str]) -> Command {
        let mut command = self.alexnet(&["run", self.study, "--preset", "smoke", "--threads", "1"]);
        command.args(["--device", "cpu", "--data", "data", "--out", "results"]).args(args);
        command
    }

    /// [`Place::run`] with `--resume`.
    pub(crate) fn resume(&self, args: &[&str]) -> Command {
        let mut command = self.run(args);
        command.arg("--resume");
        command
    }

    /// The folder of a run of the only preset and study in `results`.
    pub(crate) fn run_folder(&self, variant: &str, seed: u64) -> PathBuf {
        self.study().join("fashion-mnist").join(variant).join(format!("seed-{seed}"))
    }

    /// The only study's folder in `results`.
    pub(crate) fn study(&self) -> PathBuf {
        only_folder(&self.path("results/alexnet")).join(self.study)
    }

    /// Where the checkpoints of a run in `results` lie.
    pub(crate) fn checkpoints(&self, variant: &str) -> PathBuf {
        let of_results = only_folder(&self.path("cache/checkpoints"));
        let run = self.run_folder(variant, 0);
        of_results.join(run.strip_prefix(self.path("results")).unwrap())
    }

    /// `run.json` of a run with seed 0.
    pub(crate) fn record(&self, variant: &str) -> Value {
        read_json(&self.run_folder(variant, 0).join("run.json"))
    }

    /// Waits until the run with seed 0 has this many rows.
    pub(crate) fn wait_for_rows(&self, variant: &str, rows: usize) {
        wait_until(&format!("{rows} rows of {variant}"), || {
            // Logs of several processes lie beside the preset's folder.
            let preset = |mut found: fs::ReadDir| found.any(|e| e.unwrap().path().is_dir());
            let begun = fs::read_dir(self.path("results/alexnet")).is_ok_and(preset);
            let file = || self.run_folder(variant, 0).join("metrics.csv");
            begun && fs::read_to_string(file()).is_ok_and(|text| text.lines().count() > rows)
        });
    }

    /// Starts [`LONG`], waits for a few rows of its first run, and stops it by SIGTERM.
    pub(crate) fn half_done(&self) {
        let running = Running::start(self.run(&LONG));
        self.wait_for_rows(LONG_RUNS[0], 3);
        running.signal("TERM");
        assert_code(&running.end(), 143);
    }

    /// Names of everything below `results`; none when there is no such folder.
    pub(crate) fn results(&self) -> Vec<PathBuf> {
        files(&self.path("results"))
    }
}

/// What a process said on stdout.
pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[track_caller]
pub(crate) fn assert_code(output: &Output, code: i32) {
    let said = format!("{}{}", stdout(output), testing::said(output));
    assert_eq!(output.status.code(), Some(code), "{}; it said\n{said}", output.status);
}

/// Runs `command`, which must end with `code` and say each of `words` on stderr; returns stderr.
#[track_caller]
pub(crate) fn fails(mut command: Command, code: i32, words: &[&str]) -> String {
    let output = command.output().unwrap();
    assert_code(&output, code);
    let said = testing::said(&output);
    for word in words {
        assert!(said.contains(word), "expected: {word}\n     got: {said}");
    }
    assert!(!said.contains("panicked"), "{said}");
    said
}

/// Runs `command`, which must succeed; returns stderr.
#[track_caller]
pub(crate) fn succeeds(command: Command) -> String {
    fails(command, 0, &[])
}

pub(crate) fn read_json(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap()
}

/// The one folder in `folder`.
pub(crate) fn only_folder(folder: &Path) -> PathBuf {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let found: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).filter(|p| p.is_dir()).collect();
    assert_eq!(found.len(), 1, "in {}: {found:?}", folder.display());
    found.into_iter().next().unwrap()
}
