//! Sweeps: planned, trained in shards, resumed, collected, measured.

use std::fs;
use std::path::PathBuf;

use testing::{Running, together, wait_until};

use crate::place::{Place, fails, succeeds};

/// A grid of two sizes, two amounts of text and two seeds.
const PLAN: &str = "transformers = [[1, 8], [1, 16]]\ntokens = [3200, 6400]\nseeds = 2\n";

fn with_plan() -> Place {
    let place = Place::new();
    fs::write(place.path("plan.toml"), PLAN).unwrap();
    place
}

const SWEEP: [&str; 3] = ["sweep", "--set", "sweep.plan=plan.toml"];

#[test]
fn a_plan_says_what_each_run_costs() {
    let place = with_plan();
    let (out, _) = succeeds(place.on_text("plan", &SWEEP));
    // N = 12·1·16²; + embedding 256·16; 6·3,072·6,400.
    let line = out.lines().find(|line| line.contains("l1-d16-t6.4k-b4")).unwrap();
    let cells: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(cells[1..6], ["0", "3072", "7168", "6400", "1.18e8"], "{line}");
    assert!(out.contains("8 runs"), "{out}");
    assert!(!place.path("results").exists());
}

#[test]
fn shards_make_every_run_once_and_collect_makes_one_table_of_them() {
    let place = with_plan();
    for index in ["0/2", "1/2"] {
        let before = if index == "0/2" { 0 } else { 4 };
        succeeds(place.on_text("run", &[&SWEEP[..], &["--index", index]].concat()));
        assert_eq!(place.records("sweep").len(), before + 4, "shard {index}");
    }
    // All are there: nothing is trained again.
    let stamp = |path: PathBuf| fs::metadata(path).unwrap().modified().unwrap();
    let before: Vec<_> = place.records("sweep").into_iter().map(stamp).collect();
    let (_, err) = succeeds(place.on_text("run", &SWEEP));
    assert!(err.contains("finished before, skipped"), "{err}");
    let after: Vec<_> = place.records("sweep").into_iter().map(stamp).collect();
    assert_eq!(before, after);

    // One run damaged, one unfinished: both named and left out.
    let records = place.records("sweep");
    fs::write(&records[0], "{").unwrap();
    let half = fs::read_to_string(&records[1]).unwrap().replace("\"complete\"", "\"interrupted\"");
    fs::write(&records[1], half).unwrap();
    let (out, err) = succeeds(place.command(&["collect"]));
    assert!(out.contains("6 runs, 2 left out"), "{out}");
    for (record, why) in [(&records[0], "not a run record"), (&records[1], "not finished")] {
        let folder = record.parent().unwrap();
        let tail = folder.strip_prefix(place.path("")).unwrap().display().to_string();
        let said = err.lines().any(|line| line.contains(&tail) && line.contains(why));
        assert!(said, "expected {tail}: {why}\ngot {err}");
    }
    let table = fs::read_to_string(place.path("results/scaling-laws/runs.csv")).unwrap();
    let mut reader = csv::Reader::from_reader(table.as_bytes());
    let header = reader.headers().unwrap().clone();
    let at = |name: &str| header.iter().position(|column| column == name).unwrap();
    for row in reader.records() {
        let row = row.unwrap();
        let number = |name: &str| row[at(name)].parse::<f64>().unwrap();
        assert!((number("flops") - 6.0 * number("params") * number("tokens")).abs() < 1.0);
        assert!((number("bits_per_byte") - number("loss") / 2_f64.ln()).abs() < 1e-9);
    }
    // What was collected can be fitted.
    let args = ["fit", "results/scaling-laws/runs.csv", "--form", "power", "--bootstrap", "0"];
    let (out, _) = succeeds(place.command(&args));
    assert!(out.contains("power on 6 points"), "{out}");
}

#[test]
fn an_interrupted_shard_goes_on_and_ends_as_if_it_had_not_been() {
    let place = with_plan();
    let long = "transformers = [[1, 16]]\ntokens = [256000]\nseeds = 1\n";
    fs::write(place.path("plan.toml"), long).unwrap();
    let shard = [&SWEEP[..], &["--index", "0/1", "--set", "training.looks=40"]].concat();
    let running = Running::start(place.on_text("run", &shard));
    let rows = || -> usize {
        let metrics = || {
            let records = place.records("sweep");
            fs::read_to_string(records.first()?.with_file_name("metrics.csv")).ok()
        };
        metrics().map_or(0, |text| text.lines().count())
    };
    wait_until("rows", || rows() >= 4);
    running.signal("INT");
    let ended = running.end();
    assert_eq!(ended.status.code(), Some(130), "had it ended before it was stopped? {ended:?}");
    let record = fs::read_to_string(&place.records("sweep")[0]).unwrap();
    assert!(record.contains("\"interrupted\""), "{record}");
    succeeds(place.on_text("run", &shard));

    let unbroken = with_plan();
    fs::write(unbroken.path("plan.toml"), long).unwrap();
    succeeds(unbroken.on_text("run", &shard));
    let metrics = |place: &Place| {
        let record = fs::read(&place.records("sweep")[0]).unwrap();
        let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
        record["metrics"].clone()
    };
    assert_eq!(metrics(&place), metrics(&unbroken));
}

#[test]
fn two_processes_train_a_grid_as_one_does() {
    // `batch-size` also measures the noise of gradients, which are then of one process each.
    let args = [
        &SWEEP[..],
        &["batch-size", "--set", "batch-size.tokens=[3200]", "--set", "batch-size.batch=[2, 4]"],
    ]
    .concat();
    let (alone, pair) = (with_plan(), with_plan());
    succeeds(alone.on_text("run", &args));
    together(2, |_| pair.on_text("run", &args));
    for (study, n) in [("sweep", 8), ("batch-size", 2)] {
        let (one, two) = (alone.records(study), pair.records(study));
        assert_eq!((one.len(), two.len()), (n, n));
        for (one, two) in one.iter().zip(&two) {
            let [one, two] = [one, two].map(|path| -> serde_json::Value {
                serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
            });
            assert_eq!(two["status"], "complete");
            assert_eq!(two["config"]["conditions"]["world_size"], 2);
            let (one, two) =
                (one["metrics"].as_object().unwrap(), two["metrics"].as_object().unwrap());
            assert!(one.keys().eq(two.keys()), "{one:?}\n{two:?}");
            for (name, wanted) in one {
                let [wanted, found] = [wanted, &two[name]].map(|x| x.as_f64().unwrap());
                // The same sums in another order, and what a hundred updates make of that.
                assert!((found - wanted).abs() <= 1e-3 * wanted.abs(), "{name}: {wanted} {found}");
            }
        }
    }
}

#[test]
fn studies_that_read_the_grid_are_measured_drawn_and_verified() {
    let place = Place::new();
    // Three sizes, three amounts of text: enough for every law.
    let studies = ["joint-fit", "loss-vs-size", "loss-vs-compute", "allocation", "transfer"];
    succeeds(place.on_text("run", &[&studies[..], &["compute-efficient"]].concat()));
    let (out, _) = succeeds(place.command(&["figures"]));
    for wanted in [
        "kap-01",
        "kap-11",
        "chi-10",
        "joint-fit-made-up.svg",
        "loss-vs-size-made-up.svg",
        "kap-18",
        "kap-05",
        "kap-57",
        "learning-curves-made-up.svg",
        "compute-efficient-made-up.svg",
    ] {
        assert!(out.contains(wanted), "expected {wanted}\ngot {out}");
    }
    let (out, _) = succeeds(place.command(&["verify"]));
    assert!(out.contains("are what the files give"), "{out}");
    // The text repeats itself: any model that learns is far below a guess among 256 bytes.
    let (_, err) = succeeds(place.command(&["collect"]));
    assert!(!err.contains("left out"), "{err}");
    let table = fs::read_to_string(place.path("results/scaling-laws/runs.csv")).unwrap();
    let mut reader = csv::Reader::from_reader(table.as_bytes());
    let header = reader.headers().unwrap().clone();
    let at = |name: &str| header.iter().position(|column| column == name).unwrap();
    let (mut best, mut n) = (f64::INFINITY, 0);
    for row in reader.records() {
        best = best.min(row.unwrap()[at("loss")].parse().unwrap());
        n += 1;
    }
    assert_eq!(n, 26 + 4); // and the batches
    assert!(best < 2.5, "expected below 2.5 nats, got {best}; a guess is {}", 256_f64.ln());
}

#[test]
fn a_prediction_is_written_down_before_the_run_that_it_is_of() {
    let place = Place::new();
    let (out, _) = succeeds(place.on_text("run", &["predict-ahead"]));
    assert!(out.contains("predicted before training l2-d24"), "{out}");
    let large = place.records("predict-ahead");
    let large = large.iter().find(|path| path.to_string_lossy().contains("l2-d24")).unwrap();
    let record: serde_json::Value = serde_json::from_slice(&fs::read(large).unwrap()).unwrap();
    let predicted = &record["config"]["predicted"][0];
    assert_eq!(predicted["form"], "hoffmann");
    assert_eq!(predicted["from"].as_array().unwrap().len(), 12);
    let (out, _) = succeeds(place.command(&["figures", "predict-ahead"]));
    let off = 100.0
        * (predicted["loss"].as_f64().unwrap() / record["metrics"]["test/loss"].as_f64().unwrap()
            - 1.0);
    assert!(out.contains("prediction-error-hoffmann smoke"), "{out}");
    assert!(out.contains(&format!("{off:.4}")), "expected {off:.4}\ngot {out}");
}

#[test]
fn small_runs_that_are_too_large_are_refused_before_anything_is_trained() {
    let place = Place::new();
    let said = fails(place.on_text("run", &["predict-ahead", "--set", "predict-ahead.factor=1e6"]));
    assert!(said.contains("more than 1/1000000 of"), "{said}");
    assert!(!place.path("results").exists());
}

#[test]
fn what_a_sweep_cannot_use_is_named() {
    let place = with_plan();
    for (plan, wanted) in [
        ("tokens = [1e5]\nseeds = 1\nwidths = [3]\n", "unknown field `widths`"),
        ("transformers = [[1, 8]]\ntokens = [2]\nseeds = 1\n", "tokens is 2, wanted"),
        ("transformers = [[0, 8]]\ntokens = [6400]\nseeds = 1\n", "n_layers is 0"),
    ] {
        fs::write(place.path("plan.toml"), plan).unwrap();
        let said = fails(place.on_text("run", &SWEEP));
        assert!(said.contains(wanted), "expected {wanted}\ngot {said}");
    }
    let said = fails(place.on_text("run", &["sweep", "--set", "sweep.plan=none.toml"]));
    assert!(said.contains("none.toml"), "{said}");
    let said = fails(place.on_text("run", &["joint-fit", "--set", "text.own=none.txt"]));
    assert!(said.contains("none.txt is not there"), "{said}");
    let said = fails(place.on_text("run", &["joint-fit", "--index", "2/2"]));
    assert!(said.contains("wanted I/N"), "{said}");
    let said = fails(place.command(&["collect"]));
    assert!(said.contains("no finished trainings here"), "{said}");
}

#[test]
fn a_full_disk_in_the_middle_of_collect_leaves_the_earlier_table() {
    let place = with_plan();
    succeeds(place.on_text("run", &SWEEP));
    succeeds(place.command(&["collect"]));
    let path = place.path("results/scaling-laws/runs.csv");
    let before = fs::read(&path).unwrap();
    // No file may grow at all.
    let binary = env!("CARGO_BIN_EXE_scaling-laws");
    let mut limited = std::process::Command::new("bash");
    let script = format!("ulimit -f 0; exec {binary} collect");
    limited.args(["-c", &script]).current_dir(place.path("")).env_clear();
    limited.env("LANDMARKS_CACHE", place.path("cache"));
    let said = fails(limited);
    assert!(said.contains("an earlier table is untouched"), "{said}");
    assert_eq!(fs::read(&path).unwrap(), before);
}
