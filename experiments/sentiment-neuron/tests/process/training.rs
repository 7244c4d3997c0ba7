//! The binary as a process: training on a dump of reviews, stopping and going on, bad input.
//!
//! Every test has its own results folder, cache and reviews that it makes itself, and needs no network.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How long a run may take to write its first rows; the machine may be busy.
const PATIENCE: Duration = Duration::from_mins(2);

struct Place(tempfile::TempDir);

impl Place {
    /// A place with 800 reviews in a packed dump.
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let words = ["good", "bad", "very", "film", "the", "plot", "was", "dull", "bright", "not"];
        let mut dump = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        for i in 0..800_usize {
            let text: Vec<&str> =
                (0..20).map(|j| words[(i * 7 + j * j * 3 + i * j) % 10]).collect();
            writeln!(dump, "{{\"reviewText\": \"{} {i}\", \"overall\": 5.0}}", text.join(" "))
                .unwrap();
        }
        fs::write(place.path("reviews.json.gz"), dump.finish().unwrap()).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sentiment-neuron"));
        command.args(args).current_dir(self.0.path()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("LANDMARKS_CACHE", self.path("cache"));
        command
    }

    /// `run` of a study at the smoke preset into `out`.
    fn run(&self, study: &str, out: &str, args: &[&str]) -> Command {
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
fn on_the_dump(updates: u64) -> [String; 4] {
    let model = format!(
        "language-model.models=[{{hidden=16, embedding=8, streams=4, steps=16, updates={updates}, lr=2e-2, clip=1.0, \
         row_every=5, val_every=25, val_bytes=2048, save_every=10, stations=2}}]"
    );
    ["--set".into(), "language-model.text=\"reviews.json.gz\"".into(), "--set".into(), model]
}

fn strs(args: &[String]) -> Vec<&str> {
    args.iter().map(String::as_str).collect()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The only run's folder below `results`.
fn run_folder(results: &Path) -> Option<PathBuf> {
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
fn rows(results: &Path) -> Vec<Vec<String>> {
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
fn weights(cache: &Path, results: &Path) -> Vec<(String, Vec<u8>)> {
    let record = fs::read_to_string(run_folder(results).unwrap().join("run.json")).unwrap();
    assert!(record.contains("\"complete\""), "{record}");
    let mut found = Vec::new();
    let mut folders = vec![cache.join("checkpoints")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.parent().unwrap().ends_with("stations") {
                found.push((
                    path.file_name().unwrap().to_string_lossy().into_owned(),
                    fs::read(path).unwrap(),
                ));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn training_learns_and_a_stopped_one_ends_as_an_unbroken_one() {
    let (unbroken, stopped) = (Place::new(), Place::new());
    let args = on_the_dump(400);
    let whole = unbroken.run("language-model", "results", &strs(&args)).output().unwrap();
    assert!(whole.status.success(), "{}", said(&whole));

    let mut child = stopped
        .run("language-model", "results", &strs(&args))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    let results = stopped.path("results");
    let n_rows = || {
        let metrics = run_folder(&results).map(|folder| folder.join("metrics.csv"));
        metrics
            .and_then(|path| fs::read_to_string(path).ok())
            .map_or(0, |text| text.lines().count())
    };
    while n_rows() < 6 {
        assert!(begun.elapsed() < PATIENCE, "no rows after {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
    let kill = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert!(rows(&results).len() < 80, "it had ended before it was stopped");
    let mut again = strs(&args);
    again.push("--resume");
    let resumed = stopped.run("language-model", "results", &again).output().unwrap();
    assert!(resumed.status.success(), "{}", said(&resumed));

    let (a, b) = (rows(&unbroken.path("results")), rows(&results));
    assert_eq!(a.len(), 80);
    assert_eq!(a, b);
    let of = |place: &Place| weights(&place.path("cache"), &place.path("results"));
    assert_eq!(of(&unbroken).len(), 2);
    assert!(of(&unbroken) == of(&stopped), "the weights differ");
    // Ten words in a fixed pattern: well below the four bits of their letters.
    let last = a.last().unwrap();
    let bits: f64 = last.iter().rev().find_map(|cell| cell.parse().ok()).unwrap();
    assert!(bits < 2.5, "{last:?}");
}

#[test]
fn a_dump_damaged_in_the_middle_is_an_error_with_file_and_place_and_leaves_nothing() {
    let place = Place::new();
    let dump = fs::read(place.path("reviews.json.gz")).unwrap();
    fs::write(place.path("reviews.json.gz"), &dump[..dump.len() / 2]).unwrap();
    let failed = place.run("language-model", "results", &strs(&on_the_dump(10))).output().unwrap();
    assert_eq!(failed.status.code(), Some(1));
    let said = said(&failed);
    assert!(
        said.contains("reviews.json.gz: byte ") && said.contains("a whole gzip file"),
        "{said}"
    );
    assert!(!place.path("results").exists());
}

#[test]
fn a_preset_that_no_run_can_use_is_refused_before_anything_starts() {
    let place = Place::new();
    let mut args = on_the_dump(10);
    args[3] = args[3].replace("lr=2e-2", "lr=0.0");
    let failed = place.run("language-model", "results", &strs(&args)).output().unwrap();
    assert_eq!(failed.status.code(), Some(2), "{}", said(&failed));
    assert!(said(&failed).contains("language-model.mlstm-16.lr"), "{}", said(&failed));
}

#[test]
fn hidden_mood_runs_to_its_figure_without_any_data() {
    let place = Place::new();
    let made = place.run("hidden-mood", "results", &[]).output().unwrap();
    assert!(made.status.success(), "{}", said(&made));
    let drawn = place.command(&["figures", "--out", "results"]).output().unwrap();
    assert!(drawn.status.success(), "{}", said(&drawn));
    let study = place.path("results/sentiment-neuron/smoke/hidden-mood");
    assert!(study.join("units.svg").is_file());
    let measured = fs::read_to_string(study.join("measured.csv")).unwrap();
    for id in ["hidden-mood-unit", "hidden-mood-control", "hidden-mood-counting"] {
        assert!(measured.contains(id), "{measured}");
    }
}
