//! The binary as a process: every study from pictures to figures, stopping and going on, bad input.
//!
//! Every test has its own results folder, cache and pictures that it makes itself, and needs no network.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use testing::{Folder, Running, said, wait_until};

const SIDE: usize = 28;

struct Place(Folder);

impl Deref for Place {
    type Target = Folder;

    fn deref(&self) -> &Folder {
        &self.0
    }
}

impl Place {
    /// A place with 700 training and 60 test pictures of ten kinds, as MNIST's files hold them.
    fn new() -> Self {
        let place = Self(Folder::default());
        for (part, n, first) in [("train", 700, 0), ("t10k", 60, 700)] {
            let pictures: Vec<u8> = (first..first + n).flat_map(picture).collect();
            let labels: Vec<u8> = (first..first + n).map(|i| (i % 10) as u8).collect();
            let side = SIDE as u32;
            let images = idx(&[n as u32, side, side], &pictures);
            place.write(&format!("data/mnist/{part}-images-idx3-ubyte"), images);
            let labels = idx(&[n as u32], &labels);
            place.write(&format!("data/mnist/{part}-labels-idx1-ubyte"), labels);
        }
        place
    }

    fn command(&self, args: &[&str]) -> Command {
        self.0.command(env!("CARGO_BIN_EXE_digits"), args)
    }

    /// `run` of a study at the smoke preset on the place's own pictures.
    fn run(&self, study: &str, args: &[&str]) -> Command {
        let mut command = self.command(&["run", study, "--preset", "smoke", "--device", "cpu"]);
        command.args(["--threads", "1", "--data", "data"]).args(args);
        command
    }

    fn ok(&self, study: &str, args: &[&str]) {
        let output = self.run(study, args).output().unwrap();
        assert!(output.status.success(), "{study}: {}", said(&output));
    }

    /// The folder of the only preset's results.
    fn results(&self) -> PathBuf {
        let mut all =
            fs::read_dir(self.path("results/digits")).unwrap().map(|entry| entry.unwrap().path());
        all.find(|path| path.is_dir()).unwrap()
    }
}

/// An idx file.
fn idx(dims: &[u32], content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, dims.len() as u8];
    bytes.extend(dims.iter().flat_map(|dim| dim.to_be_bytes()));
    bytes.extend(content);
    bytes
}

/// A blob whose place says its kind, a little aside for each picture.
fn picture(i: usize) -> Vec<u8> {
    let kind = (i % 10) as f64;
    let aside = |k: usize| (i / 10 * k % 7) as f64 / 3.5 - 1.0;
    let (x, y) = (5.0 + 6.0 * (kind % 4.0) + aside(3), 6.0 + 8.0 * (kind / 4.0).floor() + aside(5));
    let level = |at: usize| {
        let (row, column) = ((at / SIDE) as f64, (at % SIDE) as f64);
        (255.0 * (-((row - y).powi(2) + (column - x).powi(2)) / 8.0).exp()) as u8
    };
    (0..SIDE * SIDE).map(level).collect()
}

fn record(run: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(run.join("run.json")).unwrap()).unwrap()
}

fn metric(run: &Path, name: &str) -> f64 {
    let record = record(run);
    record["metrics"][name].as_f64().unwrap_or_else(|| panic!("no {name} in {record}"))
}

/// The lines of `metrics.csv` without what time it was, the second cell.
fn rows(run: &Path) -> Vec<String> {
    let text = fs::read_to_string(run.join("metrics.csv")).unwrap();
    let timeless = |line: &str| {
        let mut cells: Vec<&str> = line.split(',').collect();
        cells.remove(1);
        cells.join(",")
    };
    text.lines().map(timeless).collect()
}

#[test]
fn every_study_learns_and_goes_on_to_its_figures_and_verdicts() {
    let place = Place::new();
    for study in ["deep-autoencoder", "hessian-free", "deep-belief-net"] {
        place.ok(study, &[]);
    }
    let results = place.results();
    let run = |path: &str| results.join(path).join("seed-0");
    // Pictures that all look like their mean have this error.
    let pixels: Vec<Vec<u8>> = (0..700).map(picture).collect();
    let mean_error: f64 = (0..SIDE * SIDE)
        .map(|at| {
            let mean = pixels.iter().map(|p| f64::from(p[at])).sum::<f64>() / 700.0;
            pixels.iter().map(|p| (f64::from(p[at]) - mean).powi(2)).sum::<f64>() / 700.0
        })
        .sum::<f64>()
        / (255.0 * 255.0);
    for path in [
        "deep-autoencoder/mnist/pre-trained",
        "deep-autoencoder/mnist/logistic-pca",
        "deep-autoencoder/mnist/pca",
        "hessian-free/mnist/hf",
        "hessian-free/mnist/pre-trained-cg",
        "hessian-free/mnist/nag-990",
    ] {
        let error = metric(&run(path), "test/error");
        assert!(error < 0.9 * mean_error, "{path}: {error}, the mean's {mean_error}");
    }
    let tuned = metric(&run("deep-belief-net/mnist/up-down"), "test/error");
    assert!(tuned < 0.5, "{tuned}: nine of ten are wrong by guessing");
    let classified = metric(&run("deep-belief-net/mnist/classifier"), "test/error");
    assert!(classified < 0.5, "{classified}: nine of ten are wrong by guessing");

    let searched = |lr| {
        let run = results.join(format!("hessian-free/mnist/nag-990-search-lr-{lr}/seed-1000"));
        metric(&run, "train/error")
    };
    let best = if searched(0.002) <= searched(0.005) { 0.002 } else { 0.005 };
    let chosen =
        record(&run("hessian-free/mnist/nag-990"))["config"]["method"]["momentum"]["lr"].clone();
    assert_eq!(chosen, best, "the search takes the better of two rates");

    let drawn = place.command(&["figures"]).output().unwrap();
    assert!(drawn.status.success(), "{}", said(&drawn));
    for (study, figure, ids) in [
        ("deep-autoencoder", "reconstructions-mnist", ["ae-01", "ae-03", "pca-over-autoencoder"]),
        ("deep-autoencoder", "fine-tuning-mnist", ["ae-02", "ae-12", "hf-04a"]),
        ("deep-autoencoder", "errors-mnist", ["ae-01", "ae-02", "ae-03"]),
        ("hessian-free", "training-mnist", ["hf-05a", "hf-16", "plain-over-momentum"]),
        (
            "hessian-free",
            "updates-mnist",
            ["hf-14", "mom-late-01", "momentum-over-hf-at-equal-work"],
        ),
        ("deep-belief-net", "generated-mnist", ["dbn-01", "dbn-07", "dbn-08"]),
        ("deep-belief-net", "up-down-mnist", ["ae-10", "ae-11", "dbn-07"]),
    ] {
        assert!(results.join(study).join(format!("{figure}.svg")).is_file(), "{study} {figure}");
        let measured = fs::read_to_string(results.join(study).join("measured.csv")).unwrap();
        for id in ids {
            assert!(measured.contains(id), "{id} is not in\n{measured}");
        }
    }
    let verified = place.command(&["verify"]).output().unwrap();
    assert!(verified.status.success(), "{}", said(&verified));
}

#[test]
fn a_dry_run_says_what_would_run_and_runs_nothing() {
    let place = Place::new();
    for (study, words) in [
        ("deep-autoencoder", ["pre-trained/seed-0", "52278 parameters"]),
        ("hessian-free", ["nag-990-search-lr-0.002/seed-1000", "hf/seed-0"]),
        ("deep-belief-net", ["up-down/seed-0", "operations"]),
    ] {
        let output = place.run(study, &["--dry-run"]).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        let text = String::from_utf8(output.stdout).unwrap();
        for word in words {
            assert!(text.contains(word), "{study}: {word} is not in\n{text}");
        }
    }
    assert!(!place.path("results").exists());
}

/// Stops a run of `study` when it has more than so many rows, goes on, and compares with one that was never stopped.
fn stop_and_go_on(study: &str, run: &str, args: &[&str], n_rows: usize, files: &[&str]) {
    let (unbroken, stopped) = (Place::new(), Place::new());
    unbroken.ok(study, args);
    let running = Running::start(stopped.run(study, args));
    let there = || {
        let preset = fs::read_dir(stopped.path("results/digits")).ok().and_then(|mut d| d.next());
        let path = preset.map(|e| e.unwrap().path().join(run).join("metrics.csv"));
        let text = path.and_then(|path| fs::read_to_string(path).ok());
        text.map_or(0, |text| text.lines().count().saturating_sub(1))
    };
    wait_until(&format!("{n_rows} rows"), || there() >= n_rows);
    running.signal("TERM");
    let output = running.end();
    assert_eq!(output.status.code(), Some(143), "{}", said(&output));
    let folder = stopped.results().join(run);
    assert_eq!(record(&folder)["status"], "interrupted", "it had ended before it was stopped");
    let mut again = args.to_vec();
    again.push("--resume");
    stopped.ok(study, &again);

    let whole = unbroken.results().join(run);
    assert_eq!(record(&folder)["resumed"], 1);
    assert_eq!(rows(&folder), rows(&whole));
    assert_eq!(record(&folder)["metrics"], record(&whole)["metrics"]);
    for file in files {
        assert!(
            fs::read(folder.join(file)).unwrap() == fs::read(whole.join(file)).unwrap(),
            "{file}"
        );
    }
}

const LONG: [&str; 4] = [
    "--set",
    "pre-training.epochs=40",
    "--set",
    "deep-autoencoder.search={epochs=60, batch=100, searches=3}",
];

#[test]
fn pre_training_that_was_stopped_ends_as_an_unbroken_one() {
    // 120 rows of the machines come first.
    let run = "deep-autoencoder/mnist/pre-trained/seed-0";
    stop_and_go_on("deep-autoencoder", run, &LONG, 50, &["reconstructions.png"]);
}

#[test]
fn fine_tuning_that_was_stopped_ends_as_an_unbroken_one() {
    let run = "deep-autoencoder/mnist/pre-trained/seed-0";
    stop_and_go_on("deep-autoencoder", run, &LONG, 130, &["reconstructions.png"]);
}

#[test]
fn hessian_free_optimisation_that_was_stopped_ends_as_an_unbroken_one() {
    let args = [
        "--set",
        "hessian-free.newton.iterations=60",
        "--set",
        "hessian-free.momentum_variants={}",
    ];
    stop_and_go_on("hessian-free", "hessian-free/mnist/hf/seed-0", &args, 10, &[]);
}

#[test]
fn momentum_that_was_stopped_ends_as_an_unbroken_one() {
    let args = [
        "--set",
        "hessian-free.momentum.updates=4000",
        "--set",
        "hessian-free.momentum_variants={nag-990={form=\"nag\", max_momentum=0.99, lr=[0.002]}}",
        "--set",
        "hessian-free.newton_variants={}",
    ];
    stop_and_go_on("hessian-free", "hessian-free/mnist/nag-990/seed-0", &args, 20, &[]);
}

#[test]
fn up_down_tuning_that_was_stopped_ends_as_an_unbroken_one() {
    let args = ["--set", "deep-belief-net.up_down.epochs=120"];
    let run = "deep-belief-net/mnist/up-down/seed-0";
    stop_and_go_on("deep-belief-net", run, &args, 20, &["generated.png", "predictions.csv.gz"]);
}

#[test]
fn a_classifier_that_was_stopped_ends_as_an_unbroken_one() {
    let args = [
        "--set",
        "deep-belief-net.classifier.descent.epochs=300",
        "--set",
        "deep-belief-net.up_down.epochs=1",
    ];
    let run = "deep-belief-net/mnist/classifier/seed-0";
    stop_and_go_on("deep-belief-net", run, &args, 20, &[]);
}

#[test]
fn presets_that_no_run_can_use_are_refused_by_name() {
    let place = Place::new();
    for (study, set, words) in [
        ("deep-autoencoder", "deep-autoencoder.cases=0", "deep-autoencoder.cases is 0"),
        (
            "deep-autoencoder",
            "deep-autoencoder.search.batch=900",
            "deep-autoencoder.search.batch is 900",
        ),
        ("deep-autoencoder", "deep-autoencoder.layers=[]", "deep-autoencoder.layers is []"),
        ("deep-autoencoder", "pre-training.batch=0", "pre-training.batch is 0"),
        ("hessian-free", "hessian-free.rates.seed=0", "a seed that is not reported"),
        ("hessian-free", "hessian-free.newton.cg.spacing=1.0", "a factor above 1"),
        ("hessian-free", "hessian-free.momentum_variants.mu-0.lr=[]", "momentum_variants.mu-0.lr"),
        (
            "deep-belief-net",
            "deep-belief-net.val_cases=700",
            "fewer than there are training pictures",
        ),
        (
            "deep-belief-net",
            "deep-belief-net.up_down.gibbs=[3, 0, 10]",
            "deep-belief-net.up_down.gibbs is 0",
        ),
        ("deep-belief-net", "deep-belief-net.top=-3", "deep-belief-net.top is -3"),
    ] {
        let output = place.run(study, &["--set", set]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{set}: {}", said(&output));
        assert!(said(&output).contains(words), "{set}: {}", said(&output));
    }
    let output = place.run("hessian-free", &["--precision", "bf16"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("--precision is bf16"), "{}", said(&output));
    assert!(!place.path("results").exists());
}
