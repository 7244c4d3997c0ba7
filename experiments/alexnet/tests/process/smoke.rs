//! The smoke preset from start to end: it learns, it records, and it is not made twice.

use std::fs;
use std::process::Command;

use serde_json::Value;
use testing::files;

use crate::place::{Place, fails, read_json, stdout, succeeds};

/// Two runs with one epoch each, and one search.
const SHORT: [&str; 4] = ["--seed", "0", "--set", "relu-vs-tanh.epochs={relu=1.0}"];

fn lines(mut command: Command) -> Vec<Value> {
    let output = command.output().unwrap();
    stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn smoke_learns_and_records_everything_about_its_runs() {
    let place = Place::new();
    succeeds(place.run(&[]));
    for regime in ["authors", "standardised"] {
        for activation in ["relu", "tanh"] {
            for seed in [0, 1] {
                let folder = place.run_folder(&format!("{regime}-{activation}"), seed);
                let record = read_json(&folder.join("run.json"));
                assert_eq!(record["status"], "complete", "{}", folder.display());
                // Guessing among ten classes is wrong nine times of ten.
                let error = record["metrics"]["train/error"].as_f64().unwrap();
                assert!(error < 0.6, "{}: error {error}", folder.display());
            }
        }
    }
    let record = place.record("authors-relu");
    let config = &record["config"];
    assert_eq!(config["conditions"]["device"], "cpu");
    assert_eq!(
        (&config["conditions"]["precision"], &config["conditions"]["threads"]),
        (&"fp32".into(), &1.into())
    );
    assert_eq!(config["data_sha256"].as_str().unwrap().len(), 64);
    for (place, key) in [(&record, "digest"), (&record["build"], "binary_sha256")] {
        assert_eq!(place[key].as_str().map(str::len), Some(64), "{key}");
    }
    assert_eq!(record["build"]["versions"]["libtorch"], "2.13.0");
    assert!(record["build"]["commit"].is_string() && record["build"]["dirty"].is_boolean());
    for key in ["system", "cpu", "cpu_capability"] {
        assert!(!record["host"][key].as_str().unwrap().is_empty(), "{key}");
    }
    assert!(record["elapsed_s"].as_f64().unwrap() > 0.0);
    assert!(record["peak_memory_bytes"].as_u64().unwrap() > 1 << 20);
    assert_eq!((&record["resumed"], &record["inexact"]), (&0.into(), &false.into()));

    let error_at = |lr: &str| {
        let folder = place.run_folder(&format!("authors-relu-search-lr-{lr}"), 1000);
        read_json(&folder.join("run.json"))["metrics"]["train/error"].as_f64().unwrap()
    };
    let better = if error_at("0.0005") <= error_at("0.001") { 0.0005 } else { 0.001 };
    assert_eq!(config["lr"], better, "the search takes the better of two rates");
}

#[test]
fn a_finished_run_is_skipped_with_a_line_and_left_as_it_is() {
    let place = Place::new();
    succeeds(place.run(&SHORT));
    let snapshot = || -> Vec<_> {
        let stamp = |path| {
            (fs::read(&path).unwrap(), fs::metadata(&path).unwrap().modified().unwrap(), path)
        };
        place.results().into_iter().filter(|path| !path.ends_with(".lock")).map(stamp).collect()
    };
    let before = snapshot();
    for args in [SHORT.as_slice(), &[SHORT.as_slice(), &["--resume"]].concat()] {
        let said = succeeds(place.run(args));
        for variant in ["authors-relu-search-lr-0.001", "authors-relu", "standardised-relu"] {
            assert!(said.contains(&format!("{variant} seed ")), "{said}");
        }
        assert_eq!(said.matches("finished before, skipped").count(), 4, "{said}");
        assert!(snapshot() == before, "a skipped run was written to");
    }
}

#[test]
fn overwrite_makes_a_finished_run_again() {
    let place = Place::new();
    succeeds(place.run(&SHORT));
    let metrics = place.run_folder("authors-relu", 0).join("metrics.csv");
    fs::write(&metrics, "spoiled").unwrap();
    succeeds(place.run(&[SHORT.as_slice(), &["--overwrite"]].concat()));
    assert!(fs::read_to_string(&metrics).unwrap().starts_with("step,elapsed_s,epoch"));
}

#[test]
fn json_prints_one_object_for_each_finished_run_and_nothing_else() {
    let place = Place::new();
    let with_json = [SHORT.as_slice(), &["--json"]].concat();
    for _ in ["made now", "finished before"] {
        let objects = lines(place.run(&with_json));
        assert_eq!(objects.len(), 4, "{objects:?}");
        for object in &objects {
            let keys: Vec<_> = object.as_object().unwrap().keys().collect();
            assert_eq!(keys, ["elapsed_s", "metrics", "path", "status"]);
            assert_eq!(object["status"], "complete");
            assert!(object["metrics"]["train/error"].is_f64());
            let record = place.path(object["path"].as_str().unwrap()).join("run.json");
            assert_eq!(read_json(&record)["metrics"], object["metrics"]);
        }
    }
}

/// One run whose learning rate is absurd, and one that is sound.
const DIVERGES: [&str; 8] = [
    "--seed",
    "0",
    "--set",
    "relu-vs-tanh.epochs={relu=2.0}",
    "--set",
    "relu-vs-tanh.authors.lr={relu=[1e30]}",
    "--set",
    "relu-vs-tanh.target.fashion-mnist=0.0",
];

#[test]
fn a_loss_that_is_not_finite_fails_its_run_naming_step_and_layer_and_the_others_go_on() {
    let place = Place::new();
    let said =
        fails(place.run(&DIVERGES), 1, &["authors-relu seed 0", "at step ", "1 of 2 runs failed"]);
    let why = said.lines().last().unwrap();
    let layers = ["conv1", "conv2", "conv3", "pool", "fc", "loss itself"];
    assert!(layers.iter().any(|layer| why.contains(layer)), "no layer in: {why}");
    assert_eq!(place.record("authors-relu")["status"], "failed");
    assert_eq!(place.record("standardised-relu")["status"], "complete");
    assert_eq!(place.record("authors-relu")["metrics"], serde_json::json!({}));
}

#[test]
fn json_tells_the_runs_that_finished_when_another_failed() {
    let place = Place::new();
    let objects = lines(place.run(&[DIVERGES.as_slice(), &["--json"]].concat()));
    let finished: Vec<_> = objects.iter().filter(|object| object["status"] == "complete").collect();
    assert_eq!(finished.len(), 1, "{objects:?}");
    assert!(finished[0]["path"].as_str().unwrap().ends_with("standardised-relu/seed-0"));
}

#[test]
fn a_changed_preset_goes_to_a_folder_of_its_own() {
    let place = Place::new();
    succeeds(place.run(&SHORT));
    let name = place.study().parent().unwrap().file_name().unwrap().to_string_lossy().into_owned();
    let digits = name.strip_prefix("smoke+").unwrap_or_else(|| panic!("{name}"));
    assert!(digits.len() == 8 && digits.bytes().all(|b| b.is_ascii_hexdigit()), "{name}");
    assert!(
        files(&place.path("cache/checkpoints"))
            .iter()
            .all(|path| path.to_string_lossy().contains(&name))
    );
}
