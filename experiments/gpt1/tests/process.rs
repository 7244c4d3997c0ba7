//! The binary as a process: from books to a fine-tuned classifier, stopping and going on, bad input.
//!
//! Every test has its own results folder, cache, books and task files that it makes itself, and needs no network.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How long a run may take to write its first rows; the machine may be busy.
const PATIENCE: Duration = Duration::from_mins(2);

struct Place(tempfile::TempDir);

impl Place {
    /// A place with books of ten authors and the files of a task: is a sentence bright or dull?
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let words = ["the", "old", "house", "stood", "by", "a", "river", "and", "no", "one"];
        for book in 0..10_usize {
            let lines: Vec<String> = (0..40)
                .map(|line| {
                    let line: Vec<&str> =
                        (0..12).map(|i| words[(line * 3 + i * i + book * i) % 10]).collect();
                    line.join(" ") + "."
                })
                .collect();
            place.write(&format!("books/author{book}/one.txt"), &lines.join("\n"));
        }
        let rows = |from: usize, n: usize| -> String {
            let row = |i: usize| {
                let word = ["dull", "bright"][i % 2];
                format!("the {} {} was {word}\t{}\n", words[i % 3], words[i % 7], i % 2)
            };
            std::iter::once("sentence\tlabel\n".to_owned())
                .chain((from..from + n).map(row))
                .collect()
        };
        place.write("task/SST-2/train.tsv", &rows(0, 120));
        place.write("task/SST-2/dev.tsv", &rows(200, 40));
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gpt1"));
        command.args(args).current_dir(self.0.path()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("LANDMARKS_CACHE", self.path("cache"));
        command
    }

    /// `run` of a study at the smoke preset on the place's own books and task.
    fn run(&self, study: &str, args: &[&str]) -> Command {
        let mut command = self.command(&["run", study, "--preset", "smoke", "--device", "cpu"]);
        command.args(["--threads", "1", "--offline", "--data", "task"]);
        command.args(["--set", "books.own=\"books\"", "--set", "books.vocabulary.trained=80"]);
        for study in
            ["finetune", "ablations", "label-efficiency", "layers-transferred", "zero-shot"]
        {
            command.args(["--set", &format!("{study}.tasks=[\"sst-2\"]")]);
        }
        command.args(args);
        command
    }

    fn ok(&self, study: &str, args: &[&str]) -> Output {
        let output = self.run(study, args).output().unwrap();
        assert!(output.status.success(), "{study}: {}", said(&output));
        output
    }

    /// The folder of the only preset's results.
    fn results(&self) -> PathBuf {
        let folder = fs::read_dir(self.path("results/gpt1")).unwrap().next().unwrap();
        folder.unwrap().path()
    }

    /// The folder of a station of the transformer in the cache.
    fn station(&self, step: u64) -> PathBuf {
        let mut folders = vec![self.path("cache/checkpoints")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let of_transformer = path.components().any(|c| c.as_os_str() == "transformer");
                if of_transformer && path.ends_with(format!("stations/step-{step}")) {
                    return path;
                }
                if path.is_dir() {
                    folders.push(path);
                }
            }
        }
        panic!("no station of step {step}")
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// `metrics.csv` of the transformer without what time it was.
fn rows(results: &Path) -> Vec<Vec<String>> {
    let run = results.join("pretrain/own-books/transformer/seed-0/metrics.csv");
    let mut csv = csv::Reader::from_path(run).unwrap();
    let header = csv.headers().unwrap().clone();
    let timeless = |row: csv::StringRecord| -> Vec<String> {
        let cells = header.iter().zip(row.iter());
        let cells = cells.filter(|(name, _)| !["elapsed_s", "tokens_per_s"].contains(name));
        cells.map(|(_, x)| x.to_owned()).collect()
    };
    csv.records().map(|row| timeless(row.unwrap())).collect()
}

#[test]
fn pretraining_learns_and_a_stopped_one_ends_as_an_unbroken_one() {
    let args = [
        "--set",
        "pretrain.models=[{name=\"transformer\", layers={transformer={n_layers=2, n_heads=2, \
                 d_model=16}}, steps=300, lr=1e-2}]",
    ];
    let (unbroken, stopped) = (Place::new(), Place::new());
    unbroken.ok("pretrain", &args);
    let mut child =
        stopped.run("pretrain", &args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    let n_rows = || {
        let results = stopped.path("results/gpt1");
        let preset =
            fs::read_dir(results).ok().and_then(|mut d| d.next()).map(|e| e.unwrap().path());
        let path = preset.map(|p| p.join("pretrain/own-books/transformer/seed-0/metrics.csv"));
        path.and_then(|p| fs::read_to_string(p).ok()).map_or(0, |text| text.lines().count())
    };
    while n_rows() < 6 {
        assert!(begun.elapsed() < PATIENCE, "no rows after {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
    let kill = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert!(rows(&stopped.results()).len() < 60, "it had ended before it was stopped");
    let mut again = args.to_vec();
    again.push("--resume");
    stopped.ok("pretrain", &again);

    let (a, b) = (rows(&unbroken.results()), rows(&stopped.results()));
    assert_eq!(a.len(), 60);
    assert_eq!(a, b);
    for step in [75, 150, 300] {
        let tensors =
            |place: &Place| fs::read(place.station(step).join("model.safetensors")).unwrap();
        assert!(tensors(&unbroken) == tensors(&stopped), "the weights differ at step {step}");
    }
    // Ten words in a pattern, some 20 tokens: the loss of a guess is 4.4.
    let val: f64 = a.last().unwrap()[6].parse().unwrap();
    assert!(val < 3.0, "{:?}", a.last());
}

#[test]
fn every_study_runs_from_a_pretrained_model_to_its_figure() {
    let place = Place::new();
    place.ok("pretrain", &[]);
    let studies = ["finetune", "ablations", "label-efficiency", "layers-transferred", "zero-shot"];
    for study in studies {
        place.ok(study, &[]);
    }
    let drawn = place.command(&["figures"]).output().unwrap();
    assert!(drawn.status.success(), "{}", said(&drawn));
    let results = place.results();
    for (study, figure, id) in [
        ("pretrain", "loss-own-books", "gpt1-01"),
        ("finetune", "scores", "over-bag-sst-2"),
        ("ablations", "table-5", "pre-training-gain-sst-2"),
        ("ablations", "table-5", "gpt1-t5d-sst2"),
        ("layers-transferred", "figure-2-left", "embeddings-gain"),
        ("zero-shot", "figure-2-right", "gpt1-f2-3"),
    ] {
        assert!(results.join(study).join(format!("{figure}.svg")).is_file(), "{study}");
        let measured = fs::read_to_string(results.join(study).join("measured.csv")).unwrap();
        assert!(measured.contains(id), "{id} is not in\n{measured}");
    }
    assert!(results.join("label-efficiency/labels-sst-2.svg").is_file());
    let verified = place.command(&["verify"]).output().unwrap();
    assert!(verified.status.success(), "{}", said(&verified));
}

#[test]
fn weights_write_on_are_fine_tuned_and_judged() {
    let place = Place::new();
    place.ok("pretrain", &[]);
    let station = place.station(60);
    let weights = station.to_str().unwrap();
    let write = |seed: &str| {
        let args = ["generate", "--weights", weights, "--prompt", "The old house \u{1f980}"];
        let output =
            place.command(&args).args(["--tokens", "30", "--seed", seed]).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        assert!(said(&output).contains("1 characters of the prompt are not in the vocabulary"));
        assert!(said(&output).contains("outgrew the context of 16 tokens"), "{}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let text = write("1");
    assert!(text.starts_with("the old house") && text.len() > 30, "{text}");
    assert_eq!(text, write("1"));
    assert_ne!(text, write("2"));

    let of_task = ["--task", "sst-2", "--data", "task", "--device", "cpu", "--threads", "1"];
    let judge = |weights: &str| {
        place.command(&["eval", "--weights", weights, "--json"]).args(of_task).output().unwrap()
    };
    let unready = judge(weights);
    assert_eq!(unready.status.code(), Some(1));
    assert!(said(&unready).contains("no classifier here"), "{}", said(&unready));
    let args =
        ["finetune", "--weights", weights, "--to", "tuned", "--epochs", "20", "--lr", "5e-3"];
    let tuned = place.command(&args).args(of_task).output().unwrap();
    assert!(tuned.status.success(), "{}", said(&tuned));
    let judged = judge("tuned");
    assert!(judged.status.success(), "{}", said(&judged));
    let line: serde_json::Value = serde_json::from_slice(&judged.stdout).unwrap();
    // One word tells: the classifier learns it.
    assert!(line["score"].as_f64().unwrap() > 95.0, "{line}");
    assert_eq!(line["n"], 40);
}

#[test]
fn bad_books_tasks_and_presets_are_refused_by_name() {
    let place = Place::new();
    place.write("books/author3/empty.txt", " \n");
    let output = place.run("pretrain", &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("author3/empty.txt: found an empty book"), "{}", said(&output));
    fs::remove_file(place.path("books/author3/empty.txt")).unwrap();

    let output = place.run("finetune", &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("first: gpt1 run pretrain --preset smoke"), "{}", said(&output));

    let output = place.run("pretrain", &["--set", "pretrain.length=100000"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("windows of 100000 tokens"), "{}", said(&output));

    let output = place.run("pretrain", &["--set", "pretrain.clip=0.0"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("pretrain.clip"), "{}", said(&output));

    place.write("task/SST-2/train.tsv", "sentence\tlabel\ngood\t1\nbad\n");
    let output = place.run("finetune", &[]).output().unwrap();
    assert!(
        said(&output).contains("train.tsv: line 3: found 1 columns, wanted 2"),
        "{}",
        said(&output)
    );
}
