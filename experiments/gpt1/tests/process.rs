//! The binary as a process: from books to a fine-tuned classifier, stopping and going on, bad input.
//!
//! Every test has its own results folder, cache, books and task files that it makes itself, and needs no network.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use testing::{Folder, Running, said, together, wait_until};

struct Place(Folder);

impl Deref for Place {
    type Target = Folder;

    fn deref(&self) -> &Folder {
        &self.0
    }
}

impl Place {
    /// A place with books of ten authors and the files of a task: is a sentence bright or dull?
    fn new() -> Self {
        let place = Self(Folder::default());
        let words = ["the", "old", "house", "stood", "by", "a", "river", "and", "no", "one"];
        place.write_books(&words);
        let rows = |from: usize, n: usize| -> String {
            let row = |i: usize| {
                let word = ["dull", "bright"][i % 2];
                format!("the {} {} was {word}\t{}\n", words[i % 3], words[i % 7], i % 2)
            };
            std::iter::once("sentence\tlabel\n".to_owned())
                .chain((from..from + n).map(row))
                .collect()
        };
        place.write("task/SST-2/train.tsv", rows(0, 120));
        place.write("task/SST-2/dev.tsv", rows(200, 40));
        place
    }

    fn command(&self, args: &[&str]) -> Command {
        self.0.command(env!("CARGO_BIN_EXE_gpt1"), args)
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
        let all =
            fs::read_dir(self.path("results/gpt1")).unwrap().map(|entry| entry.unwrap().path());
        all.into_iter().find(|path| path.is_dir()).unwrap()
    }

    /// The folder of a station of the transformer in the cache.
    fn station(&self, step: u64) -> PathBuf {
        let files = testing::files(&self.path("cache/checkpoints"));
        let mut folders = files.iter().filter_map(|file| file.parent());
        let station = folders.find(|folder| {
            let of_transformer = folder.components().any(|c| c.as_os_str() == "transformer");
            of_transformer && folder.ends_with(format!("stations/step-{step}"))
        });
        station.unwrap_or_else(|| panic!("no station of step {step}")).to_owned()
    }
}

/// A run's `metrics.csv` without what time it was.
fn rows(run: &Path) -> Vec<Vec<String>> {
    let mut csv = csv::Reader::from_path(run.join("metrics.csv")).unwrap();
    let header = csv.headers().unwrap().clone();
    let timeless = |row: csv::StringRecord| -> Vec<String> {
        let cells = header.iter().zip(row.iter());
        let cells = cells.filter(|(name, _)| !["elapsed_s", "tokens_per_s"].contains(name));
        cells.map(|(_, x)| x.to_owned()).collect()
    };
    csv.records().map(|row| timeless(row.unwrap())).collect()
}

/// Runs a study and stops it when `run` has so many rows; it must not have ended by itself.
fn stop_after(place: &Place, study: &str, args: &[&str], run: &str, n: usize) {
    let running = Running::start(place.run(study, args));
    let n_rows = || {
        let presets = fs::read_dir(place.path("results/gpt1")).ok();
        let preset = presets.and_then(|mut d| d.next()).map(|entry| entry.unwrap().path());
        let path = preset.map(|preset| preset.join(run).join("metrics.csv"));
        let text = path.and_then(|path| fs::read_to_string(path).ok());
        text.map_or(0, |text| text.lines().count().saturating_sub(1))
    };
    wait_until("rows", || n_rows() >= n);
    running.signal("TERM");
    assert_eq!(running.end().status.code(), Some(143));
}

#[test]
fn pretraining_learns_and_a_stopped_one_ends_as_an_unbroken_one() {
    const RUN: &str = "pretrain/own-books/transformer/seed-0";
    let args = [
        "--set",
        "pretrain.models=[{name=\"transformer\", layers={transformer={n_layers=2, n_heads=2, \
                 d_model=16}}, tokens=38400, lr=[1e-2]}]",
    ];
    let (unbroken, stopped) = (Place::new(), Place::new());
    unbroken.ok("pretrain", &args);
    stop_after(&stopped, "pretrain", &args, RUN, 5);
    assert!(rows(&stopped.results().join(RUN)).len() < 60, "it had ended before it was stopped");
    let mut again = args.to_vec();
    again.push("--resume");
    stopped.ok("pretrain", &again);

    let (a, b) = (rows(&unbroken.results().join(RUN)), rows(&stopped.results().join(RUN)));
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
fn two_processes_pre_train_together() {
    let place = Place::new();
    let models = "pretrain.models=[{name=\"transformer\", layers={transformer={n_layers=2, n_heads=2, \
                  d_model=16}}, tokens=38400, lr=[1e-2]}]";
    together(2, |_| place.run("pretrain", &["--set", models]));
    let run = place.results().join("pretrain/own-books/transformer/seed-0");
    assert!(fs::read_to_string(run.join("run.json")).unwrap().contains("\"world_size\": 2"));
    let rows = rows(&run);
    assert_eq!(rows.len(), 60);
    let val: f64 = rows.last().unwrap()[6].parse().unwrap();
    assert!(val < 3.0, "{:?}", rows.last()); // as one process
}

#[test]
fn a_stopped_fine_tuning_goes_on_and_ends_as_an_unbroken_one() {
    const RUN: &str = "finetune/sst-2/pretrained/seed-0";
    let args = ["--set", "tuning.config.epochs=30", "--set", "tuning.config.lr=[1e-3, 3e-3]"];
    let (unbroken, stopped) = (Place::new(), Place::new());
    for place in [&unbroken, &stopped] {
        place.ok("pretrain", &args);
    }
    unbroken.ok("finetune", &args);
    stop_after(&stopped, "finetune", &args, RUN, 3);
    assert!(!stopped.results().join(RUN).join("predictions.csv.gz").exists(), "it had ended");
    let mut again = args.to_vec();
    again.push("--resume");
    stopped.ok("finetune", &again);

    let (a, b) = (unbroken.results().join(RUN), stopped.results().join(RUN));
    assert_eq!(rows(&a).len(), 60);
    assert_eq!(rows(&a), rows(&b));
    let predictions = |run: &Path| fs::read(run.join("predictions.csv.gz")).unwrap();
    assert_eq!(predictions(&a), predictions(&b));
}

#[test]
fn two_processes_fine_tune_as_one_does() {
    const RUN: &str = "finetune/sst-2/pretrained/seed-0";
    // Without dropout, whose masks differ between processes.
    let args = [
        "--set",
        "tuning.config.dropout={residual=0.0, embedding=0.0, attention=0.0}",
        "--set",
        "tuning.config.classifier_dropout=0.0",
        "--set",
        "tuning.config.epochs=3",
    ];
    let (alone, pair) = (Place::new(), Place::new());
    for place in [&alone, &pair] {
        place.ok("pretrain", &args);
    }
    alone.ok("finetune", &args);
    together(2, |_| pair.run("finetune", &args));

    let record = fs::read_to_string(pair.results().join(RUN).join("run.json")).unwrap();
    assert!(record.contains("\"world_size\": 2"), "{record}");
    let (one, two) = (rows(&alone.results().join(RUN)), rows(&pair.results().join(RUN)));
    assert_eq!((one.len(), two.len()), (3, 3), "a row for each epoch");
    for (one, two) in one.iter().flatten().zip(two.iter().flatten()) {
        let [wanted, found] = [one, two].map(|cell| cell.parse::<f64>().unwrap());
        // The same sums in another order, and what 75 updates make of that.
        assert!((found - wanted).abs() <= 1e-3 * wanted.abs(), "{wanted} {found}");
    }
}

#[test]
fn rate_and_batch_are_chosen_on_the_validation_books_before_pretraining() {
    let place = Place::new();
    let args = [
        "--set",
        "pretrain.models=[{name=\"transformer\", layers={transformer={n_layers=1, n_heads=2, \
                 d_model=16}}, tokens=7680, lr=[1e-5, 1e-2]}]",
        "--set",
        "pretrain.search={seed=100, tokens=7680, warmup=0.1, batch=[4, 8]}",
    ];
    let output = place.run("pretrain", &args).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("first: gpt1 run rates --preset smoke"), "{}", said(&output));
    let output =
        place.run("rates", &args).args(["--set", "pretrain.search.seed=0"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("pretrain.search.seed"), "{}", said(&output));

    place.ok("rates", &args);
    place.ok("pretrain", &args);
    let record = |run: &str| -> serde_json::Value {
        let text = fs::read_to_string(place.results().join(run).join("run.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    let mut best = (f64::INFINITY, 0, 0.0);
    for batch in [4, 8] {
        for lr in [1e-5, 1e-2] {
            let run = format!("rates/own-books/transformer-batch-{batch}-lr-{lr}/seed-100");
            let metrics = record(&run)["metrics"].clone();
            assert!(metrics.get("test/loss").is_none(), "a search reads no test books: {metrics}");
            let loss = metrics["val/loss"].as_f64().unwrap();
            if loss < best.0 {
                best = (loss, batch, lr);
            }
        }
    }
    let run = record("pretrain/own-books/transformer/seed-0");
    let train = &run["config"]["train"];
    assert_eq!(train["batch"].as_u64(), Some(best.1));
    assert_eq!(train["lr"].as_f64(), Some(best.2));
    assert!(best.2 > 1e-3, "{best:?}");
    assert!(run["metrics"].get("test/loss").is_some());
    let drawn = place.command(&["figures"]).output().unwrap();
    assert!(drawn.status.success(), "{}", said(&drawn));
    assert!(place.results().join("rates/rates-own-books.svg").is_file());
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
