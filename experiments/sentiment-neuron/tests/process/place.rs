//! A folder for one test, with reviews to learn from.

use std::fs;
use std::io::Write as _;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;

use testing::{Folder, Running, files, wait_until};

pub(crate) struct Place(Folder);

impl Deref for Place {
    type Target = Folder;

    fn deref(&self) -> &Folder {
        &self.0
    }
}

impl Place {
    /// A place with 800 reviews in a packed dump.
    pub(crate) fn new() -> Self {
        let place = Self(Folder::default());
        let words = ["good", "bad", "very", "film", "the", "plot", "was", "dull", "bright", "not"];
        let mut dump = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        for i in 0..800_usize {
            let text: Vec<&str> =
                (0..20).map(|j| words[(i * 7 + j * j * 3 + i * j) % 10]).collect();
            writeln!(dump, "{{\"reviewText\": \"{} {i}\", \"overall\": 5.0}}", text.join(" "))
                .unwrap();
        }
        place.write("reviews.json.gz", dump.finish().unwrap());
        place
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        self.0.command(env!("CARGO_BIN_EXE_sentiment-neuron"), args)
    }

    /// `run` of a study at the smoke preset into `out`.
    pub(crate) fn run(&self, study: &str, out: &str, args: &[&str]) -> Command {
        let mut command = self.command(&[
            "run",
            study,
            "--preset",
            "smoke",
            "--device",
            "cpu",
            "--threads",
            "1",
            "--offline",
        ]);
        command.args(["--out", out]).args(args);
        command
    }
}

/// The dump as text, and a training of so many updates.
pub(crate) fn on_the_dump(updates: u64) -> [String; 4] {
    let model = format!(
        "language-model.models=[{{hidden=16, embedding=8, streams=4, steps=16, updates={updates}, lr=2e-2, clip=1.0, \
         row_every=5, val_every=25, val_bytes=2048, save_every=10, stations=2}}]"
    );
    ["--set".into(), "language-model.text=\"reviews.json.gz\"".into(), "--set".into(), model]
}

pub(crate) fn strs(args: &[String]) -> Vec<&str> {
    args.iter().map(String::as_str).collect()
}

/// The only run's folder below `results`.
pub(crate) fn run_folder(results: &Path) -> Option<PathBuf> {
    let mut folder = results.to_owned();
    for _ in 0..6 {
        folder = fs::read_dir(folder)
            .ok()?
            .filter_map(Result::ok)
            .map(|e| e.path())
            .find(|p| p.is_dir())?;
    }
    Some(folder)
}

/// `metrics.csv` without what time it was and how long the loader took.
pub(crate) fn rows(results: &Path) -> Vec<Vec<String>> {
    let mut csv = csv::Reader::from_path(run_folder(results).unwrap().join("metrics.csv")).unwrap();
    let header = csv.headers().unwrap().clone();
    csv.records()
        .map(|row| {
            let row = row.unwrap();
            let cells = header.iter().zip(row.iter());
            cells
                .filter(|(name, _)| !["elapsed_s", "loader/wait"].contains(name))
                .map(|(_, x)| x.to_owned())
                .collect()
        })
        .collect()
}

/// Every file of weights below the cache, by its name.
pub(crate) fn weights(cache: &Path, results: &Path) -> Vec<(String, Vec<u8>)> {
    let record = fs::read_to_string(run_folder(results).unwrap().join("run.json")).unwrap();
    assert!(record.contains("\"complete\""), "{record}");
    let mut found = files(&cache.join("checkpoints"));
    found.retain(|path| path.parent().unwrap().ends_with("stations"));
    let named = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    let mut found: Vec<_> =
        found.iter().map(|path| (named(path), fs::read(path).unwrap())).collect();
    found.sort();
    found
}

/// Starts a training and stops it with TERM after some rows; the test has it whole afterwards.
pub(crate) fn stop_after(command: Command, results: &Path, rows: usize) {
    let running = Running::start(command);
    wait_until("rows", || {
        let metrics = run_folder(results).map(|folder| folder.join("metrics.csv"));
        let text = metrics.and_then(|path| fs::read_to_string(path).ok());
        text.is_some_and(|text| text.lines().count() > rows)
    });
    running.signal("TERM");
    assert_eq!(running.end().status.code(), Some(143));
}
