//! The binary as a process: from books and comparisons to a policy, stopping and going on, bad input.
//!
//! Every test has its own results folder, cache, books and comparisons that it makes itself, and needs no network.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::fs;
use std::io::Write as _;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use testing::{Folder, Running, said, together, wait_until};

const WORDS: [&str; 12] =
    ["the", "old", "house", "stood", "by", "a", "river", "and", "no", "one", "dull", "bright"];

struct Place(Folder);

impl Deref for Place {
    type Target = Folder;

    fn deref(&self) -> &Folder {
        &self.0
    }
}

impl Place {
    /// A place with books of ten authors, and comparisons in which people like one word and not another.
    fn new() -> Self {
        let place = Self(Folder::default());
        place.write_books(&WORDS);
        let lines: Vec<String> = (0..400).map(comparison).collect();
        place.write("likes.jsonl", lines.concat());
        place
    }

    fn command(&self, args: &[&str]) -> Command {
        self.0.command(env!("CARGO_BIN_EXE_rlhf"), args)
    }

    /// `run` of a study at the smoke preset on the place's own books and comparisons.
    fn run(&self, study: &str, args: &[&str]) -> Command {
        let mut command = self.command(&["run", study, "--preset", "smoke", "--device", "cpu"]);
        command.args(["--threads", "1", "--offline"]);
        for set in [
            "base.books.own=\"books\"",
            "base.books.vocabulary.trained=90",
            "sft.task.own=\"likes.jsonl\"",
            "sft.task.query=12",
            "instruct.task.own=\"likes.jsonl\"",
            "instruct.task.query=12",
            "instruct.task.show=[\"the old\"]",
            "reward-model.train.batch=4",
        ] {
            command.args(["--set", set]);
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
        let mut all =
            fs::read_dir(self.path("results/rlhf")).unwrap().map(|entry| entry.unwrap().path());
        all.find(|path| path.is_dir()).unwrap()
    }

    /// The folder of weights that a run left in the cache.
    fn weights(&self, study: &str, variant: &str) -> PathBuf {
        let files = testing::files(&self.path("cache/checkpoints"));
        let mut folders = files.iter().filter_map(|file| file.parent());
        let weights = folders.find(|folder| {
            let has = |name: &str| folder.components().any(|c| c.as_os_str() == name);
            folder.ends_with("weights") && has(study) && has(variant)
        });
        weights.unwrap_or_else(|| panic!("no weights of {study} {variant}")).to_owned()
    }
}

/// A line of the comparisons: every prompt is different, the better answer says bright.
fn comparison(i: usize) -> String {
    let (a, b, c) = (WORDS[i % 10], WORDS[(i / 10) % 10], WORDS[(i / 100) % 10]);
    let prompt = format!("{a} {b} {c} {}", WORDS[(i * 7) % 10]);
    let answer = |word: &str| format!("{c} {word} {b} {word}.");
    format!(
        "{}\n",
        serde_json::json!({"prompt": prompt, "better": answer("bright"), "worse": answer("dull")})
    )
}

/// A column of a run's `metrics.csv`.
fn column(run: &Path, name: &str) -> Vec<f64> {
    let mut csv = csv::Reader::from_path(run.join("metrics.csv")).unwrap();
    let at = csv.headers().unwrap().iter().position(|column| column == name).unwrap();
    let cells = csv.records().map(|row| row.unwrap()[at].to_owned());
    cells.filter(|cell| !cell.is_empty()).map(|cell| cell.parse().unwrap()).collect()
}

/// `metrics.csv` without what time it was.
fn rows(run: &Path) -> Vec<Vec<String>> {
    let mut csv = csv::Reader::from_path(run.join("metrics.csv")).unwrap();
    let header = csv.headers().unwrap().clone();
    let timeless = |row: csv::StringRecord| -> Vec<String> {
        let cells = header.iter().zip(row.iter());
        let cells = cells.filter(|(name, _)| !["elapsed_s", "samples_per_s"].contains(name));
        cells.map(|(_, x)| x.to_owned()).collect()
    };
    csv.records().map(|row| timeless(row.unwrap())).collect()
}

fn metric(run: &Path, name: &str) -> f64 {
    let record = fs::read_to_string(run.join("run.json")).unwrap();
    let record: serde_json::Value = serde_json::from_str(&record).unwrap();
    record["metrics"][name].as_f64().unwrap_or_else(|| panic!("no {name} in {record}"))
}

/// PPO long enough to stop in.
const LONG: [&str; 12] = [
    "--set",
    "sentiment.train.episodes=480",
    "--set",
    "sentiment.train.lr=3e-3",
    "--set",
    "sentiment.train.minibatches=1",
    "--set",
    "sentiment.train.kl.coefficient=0.02",
    "--set",
    "sentiment.coefficients=[]",
    "--set",
    "sentiment.train.temperature=1.0",
];

#[test]
fn ppo_that_was_stopped_ends_as_an_unbroken_one_and_raises_its_reward() {
    let (unbroken, stopped) = (Place::new(), Place::new());
    unbroken.ok("sentiment", &LONG);
    let running = Running::start(stopped.run("sentiment", &LONG));
    let policy = "sentiment/own-comparisons/adaptive/seed-0";
    let n_rows = || {
        let results = stopped.path("results/rlhf");
        let preset = fs::read_dir(results).ok().and_then(|mut d| d.next());
        let path = preset.map(|e| e.unwrap().path().join(policy).join("metrics.csv"));
        path.and_then(|p| fs::read_to_string(p).ok()).map_or(0, |text| text.lines().count())
    };
    wait_until("rows", || n_rows() >= 8);
    running.signal("TERM");
    assert_eq!(running.end().status.code(), Some(143));
    let cut = rows(&stopped.results().join(policy)).len();
    assert!(cut < 60, "it had ended before it was stopped");
    let mut again = LONG.to_vec();
    again.push("--resume");
    stopped.ok("sentiment", &again);

    let (a, b) = (unbroken.results().join(policy), stopped.results().join(policy));
    assert_eq!(rows(&a).len(), 60);
    assert_eq!(rows(&a), rows(&b));
    let tensors = |place: &Place| {
        fs::read(place.weights("sentiment", "adaptive").join("model.safetensors")).unwrap()
    };
    assert!(tensors(&unbroken) == tensors(&stopped), "the policies differ");

    // Before the first update the policy is the reference; in the first pass over a batch its ratio is exactly 1.
    assert!(column(&a, "objective/kl")[0].abs() < 1e-4);
    assert!(column(&a, "ppo/policy/approxkl_first_epoch").iter().all(|x| *x == 0.0));
    let scores = column(&a, "objective/score");
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let (first, last) = (mean(&scores[..10]), mean(&scores[50..]));
    assert!(last > first + 0.3, "score {first} to {last}");
    let reward = unbroken.results().join("reward-model/own-comparisons/pairs-256-blocks-2/seed-0");
    assert!(metric(&reward, "test/acc") > 0.9, "one word tells");
}

#[test]
fn two_processes_learn_from_their_shares_of_queries() {
    let place = Place::new();
    together(2, |_| place.run("sentiment", &LONG));
    let run = place.results().join("sentiment/own-comparisons/adaptive/seed-0");
    assert!(fs::read_to_string(run.join("run.json")).unwrap().contains("\"world_size\": 2"));
    assert_eq!(rows(&run).len(), 60);
    // What each process wrote comes back to it, in the order of the batch.
    assert!(column(&run, "objective/kl")[0].abs() < 1e-4);
    assert!(column(&run, "ppo/policy/approxkl_first_epoch").iter().all(|x| *x == 0.0));
    let scores = column(&run, "objective/score");
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let (first, last) = (mean(&scores[..10]), mean(&scores[50..]));
    assert!(last > first + 0.3, "score {first} to {last}");
}

#[test]
fn every_study_runs_to_its_figures_and_its_numbers_verify() {
    let place = Place::new();
    let studies =
        ["base", "sft", "reward-model", "sentiment", "kl-control", "overoptimisation", "instruct"];
    for study in studies {
        place.ok(study, &[]);
    }
    let drawn = place.command(&["figures"]).output().unwrap();
    assert!(drawn.status.success(), "{}", said(&drawn));
    let results = place.results();
    for (study, figure, id) in [
        ("base", "loss-own-books", "base-perplexity"),
        ("sft", "loss", "sft-gain"),
        ("reward-model", "accuracy-own-comparisons", "reward-acc"),
        ("sentiment", "frontier-own-comparisons", "zie-01"),
        ("sentiment", "samples", "sti-17"),
        ("kl-control", "control-own-comparisons", "adaptive-holds-target"),
        ("overoptimisation", "coefficients-own-comparisons", "gao-03"),
        ("overoptimisation", "ppo-own-comparisons", "alpha-bon-blocks-2"),
        ("instruct", "tax-own-comparisons", "ins-13"),
    ] {
        assert!(results.join(study).join(format!("{figure}.svg")).is_file(), "{study} {figure}");
        let measured = fs::read_to_string(results.join(study).join("measured.csv")).unwrap();
        assert!(measured.contains(id), "{id} is not in\n{measured}");
    }
    let verified = place.command(&["verify"]).output().unwrap();
    assert!(verified.status.success(), "{}", said(&verified));

    // What was trained is of use.
    let [before, after, reward] = [
        place.weights("sft", "sft"),
        place.weights("sentiment", "adaptive"),
        place.weights("reward-model", "pairs-256-blocks-2"),
    ];
    let [before, after, reward] = [&before, &after, &reward].map(|path| path.to_str().unwrap());
    let sample = |prompt: &str| {
        let args = ["sample", "--before", before, "--policy", after, "--reward", reward];
        let more = ["--prompt", prompt, "--samples", "2", "--tokens", "8", "--json"];
        place.command(&args).args(more).output().unwrap()
    };
    let output = sample("the old house");
    assert!(output.status.success(), "{}", said(&output));
    let lines = String::from_utf8(output.stdout).unwrap();
    let first: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert!(first["before"].is_string() && first["score_after"].is_f64(), "{first}");
    let long = sample(&"the old house ".repeat(40));
    assert_eq!(long.status.code(), Some(1));
    assert!(said(&long).contains("wanted at most"), "{}", said(&long));

    let scored = place.command(&["score", "--reward", reward, "a bright house", "a dull house"]);
    let scored = { scored }.output().unwrap();
    let text = String::from_utf8(scored.stdout).unwrap();
    assert_eq!(text.lines().count(), 2, "{text}{}", String::from_utf8_lossy(&scored.stderr));

    // A person closes the loop.
    let mut label =
        place.command(&["label", "--policy", before, "--prompt", "the old", "--to", "mine.jsonl"]);
    label.args(["--prompt", "a river", "--tokens", "8", "--temperature", "1.0"]);
    let mut child =
        label.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"what\n2\n1\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let mine = fs::read_to_string(place.path("mine.jsonl")).unwrap();
    assert_eq!(mine.lines().count(), 2, "{mine}");
    assert!(mine.contains("\"prompt\":\"a river\"") && mine.contains("\"better\""), "{mine}");
    let args = [
        "--set",
        "reward-model.labels.also=\"mine.jsonl\"",
        "--set",
        "reward-model.comparisons=[64]",
    ];
    place.ok("reward-model", &args);
}

#[test]
fn bad_comparisons_prompts_and_runaways_are_refused_with_their_place() {
    let place = Place::new();
    let good = comparison(1);
    let refused = |text: &str, study: &str, args: &[&str], wanted: &[&str]| {
        place.write("likes.jsonl", text);
        let output = place.run(study, args).output().unwrap();
        assert_ne!(output.status.code(), Some(0), "{wanted:?}");
        for wanted in wanted {
            assert!(said(&output).contains(wanted), "{wanted} is not in\n{}", said(&output));
        }
    };
    let equal = r#"{"prompt": "a", "better": "same.", "worse": "same."}"#;
    refused(&format!("{good}{equal}\n"), "sft", &[], &["likes.jsonl: line 2", "two equal texts"]);
    let robot = r#"{"chosen": "\n\nRobot: beep", "rejected": "\n\nHuman: hi"}"#;
    refused(robot, "sft", &[], &["line 1", "a turn by \"Robot\""]);
    refused("{\"prompt\"", "sft", &[], &["line 1", "a JSON object"]);

    let lines: String = (0..400).map(comparison).collect();
    let short = ["--set", "sft.task.query=2"];
    refused(&lines, "sentiment", &short, &["no query of the", "sft.task.query"]);
    let long = ["--set", "sft.task.query=80"];
    refused(&lines, "sentiment", &long, &["do not fit the context of 64"]);
    let far = [
        "--set",
        "sentiment.train.kl.stop=0.5",
        "--set",
        "sentiment.train.lr=0.05",
        "--set",
        "sentiment.train.kl.coefficient=0.0",
        "--set",
        "sentiment.coefficients=[]",
    ];
    let wanted =
        ["the divergence from the reference has run away", "last good checkpoint", "entropy"];
    refused(&lines, "sentiment", &far, &wanted);
    refused(&lines, "sft", &["--set", "sft.train.lr=-1"], &["sft.train.lr"]);
    let own = ["--set", "reward-model.labels.tested_on=\"train\""];
    refused(&lines, "reward-model", &own, &["labels.tested_on is Train", "learns from"]);
}
