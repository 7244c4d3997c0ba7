//! The authors' CIFAR-10 nets as a study: the smoke preset, its figures, and a run that is stopped in a
//! stage and resumed.

use std::fs;
use std::path::Path;

use serde_json::json;
use testing::Running;

use crate::outcome::Outcome;
use crate::pictures;
use crate::place::{Place, assert_code, fails, read_json, stdout, succeeds};

const VARIANTS: [&str; 7] = [
    "caffe-quick",
    "layers-18pct",
    "layers-19pct",
    "layers-19pct-13-batches",
    "layers-19pct-crops",
    "layers-80sec",
    "layers-conv-local-13pct",
];
/// The net with the most kinds of layers.
const LOCAL: &str = "layers-conv-local-11pct";

/// Flags that leave all variants but `LOCAL` away and give it `scale`; a row every two steps.
fn local_alone(scale: &str) -> Vec<String> {
    let none = VARIANTS.map(|variant| format!("cifar-nets.variants.{variant}.seeds=0"));
    let long = format!("cifar-nets.variants.{LOCAL}.scale={scale}");
    let sets = none.into_iter().chain([long]);
    sets.flat_map(|set| ["--set".to_owned(), set]).collect()
}

/// Pictures of which a border of 4 leaves the least that three pools take.
fn place() -> Place {
    let place = Place::of("cifar-nets");
    pictures::write(&place.path("data"), 16, 0);
    place
}

fn gunzip(path: &Path) -> String {
    let mut text = String::new();
    let mut gz = flate2::read::GzDecoder::new(fs::File::open(path).unwrap());
    std::io::Read::read_to_string(&mut gz, &mut text).unwrap();
    text
}

#[test]
fn smoke_trains_every_net_and_one_that_goes_on_learns() {
    let place = place();
    let said = succeeds(place.run(&["--set", "cifar-nets.variants.layers-80sec.scale=15"]));
    assert!(said.contains("jpeg-cost is left out"), "{said}");
    for variant in VARIANTS.into_iter().chain([LOCAL]) {
        let record = place.record(variant);
        assert_eq!(record["status"], "complete", "{variant}");
        let loss = record["metrics"]["train/loss"].as_f64().unwrap();
        assert!(loss < 2.4, "{variant}: loss {loss}, guessing gives 2.303");
        let crops = variant.ends_with("crops") || variant.contains("local");
        assert_eq!(record["metrics"]["test/error-10"].is_f64(), crops, "{variant}");

        let text = gunzip(&place.run_folder(variant, 0).join("predictions.csv.gz"));
        let views: Vec<&str> =
            text.lines().skip(1).map(|line| line.split(',').nth(1).unwrap()).collect();
        assert_eq!(text.lines().next(), Some("set,views,label,predicted,loss"), "{variant}");
        assert_eq!(views.iter().filter(|views| **views == "1").count(), 20, "{variant}");
        assert_eq!(views.iter().filter(|views| **views == "10").count(), 20 * usize::from(crops));
    }
    let error = place.record("layers-80sec")["metrics"]["train/error"].as_f64().unwrap();
    assert!(error < 0.6, "80sec: training error {error}, guessing gives 0.9");
    let factors = place.record("layers-18pct")["metrics"].clone();
    assert!(factors["norm1/factor"].as_f64().is_some_and(|factor| factor > 0.0 && factor <= 1.0));

    succeeds(place.alexnet(&["figures"]));
    for name in ["test-error-fashion-mnist", "curves-fashion-mnist"] {
        assert!(place.study().join(format!("{name}.svg")).exists(), "{name}");
    }
    // The claims are about CIFAR-10.
    let measured = fs::read_to_string(place.study().join("measured.csv")).unwrap();
    assert_eq!(measured.lines().count(), 1, "{measured}");
    succeeds(place.alexnet(&["verify"]));
}

#[test]
fn a_net_stopped_in_a_stage_and_resumed_ends_as_one_that_was_not() {
    let args = local_alone("0.2");
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let unbroken = place();
    succeeds(unbroken.run(&args));

    let place = place();
    let running = Running::start(place.run(&args));
    place.wait_for_rows(LOCAL, 3);
    running.signal("TERM");
    assert_code(&running.end(), 143);
    assert_eq!(place.record(LOCAL)["status"], "interrupted");
    succeeds(place.resume(&args));
    Outcome::of(&place, LOCAL).assert_is(&Outcome::of(&unbroken, LOCAL), LOCAL);
    let predictions =
        |place: &Place| gunzip(&place.run_folder(LOCAL, 0).join("predictions.csv.gz"));
    assert_eq!(predictions(&place), predictions(&unbroken));

    // The rows of its stages: held-out pictures are looked at in the first alone.
    let text = fs::read_to_string(place.run_folder(LOCAL, 0).join("metrics.csv")).unwrap();
    let val = |line: &str| !line.split(',').nth(5).unwrap().is_empty();
    let looked: Vec<bool> = text.lines().skip(1).map(val).collect();
    let first = looked.iter().take_while(|looked| **looked).count();
    assert!(first > 0 && first < looked.len(), "{text}");
    assert!(looked[first..].iter().all(|looked| !looked), "{text}");
    let stages =
        read_json(&place.run_folder(LOCAL, 0).join("run.json"))["config"]["stages"].clone();
    assert_eq!(stages[0]["share"], 0.8);
}

#[test]
fn ablations_pair_each_net_with_itself_without_an_ingredient() {
    let place = Place::of("cifar-ablations");
    pictures::write(&place.path("data"), 16, 0);
    let nets = ["layers-18pct", LOCAL];
    succeeds(place.run(&[]));
    for net in nets {
        let with = place.record(net);
        let config = |change: &str| {
            let record = place.record(&format!("{net}{change}"));
            assert_eq!(record["status"], "complete", "{net}{change}");
            record["config"].clone()
        };
        // Everything else is the same; the control has the factors that its pair ended with.
        let factors = ["norm1/factor", "norm2/factor"].map(|name| with["metrics"][name].clone());
        for (change, key, value) in [
            ("-no-norm", "normalisation", json!("none")),
            ("-disjoint", "pooling", json!("disjoint")),
            ("-factors", "normalisation", json!({ "factors": factors })),
        ] {
            let mut wanted = with["config"].clone();
            wanted[key] = value;
            assert_eq!(config(change), wanted, "{net}{change}");
        }
    }
    // What is finished is not made again, the controls neither.
    let again = succeeds(place.run(&[]));
    assert_eq!(again.matches("skipped").count(), 8, "{again}");

    succeeds(place.alexnet(&["figures"]));
    assert!(place.study().join("cifar-ablations-fashion-mnist.svg").exists());
    succeeds(place.alexnet(&["verify"]));
    let dry = place.run(&["--dry-run"]).output().unwrap();
    assert_code(&dry, 0);
    assert!(stdout(&dry).contains("layers-18pct-factors: 1 runs"), "{}", stdout(&dry));
}

#[test]
fn ablations_of_a_net_without_normalisation_are_refused() {
    let place = Place::of("cifar-ablations");
    for (set, words) in [
        ("scales={layers-19pct=0.1}", ["layers-19pct", "have a normalisation"]),
        ("scales={layers-20pct=0.1}", ["layers-20pct", "have a normalisation"]),
        ("scales.layers-18pct=0.0", ["scales.layers-18pct", "above 0"]),
        ("seeds=0", ["cifar-ablations.seeds", "from 1"]),
    ] {
        fails(place.run(&["--set", &format!("cifar-ablations.{set}")]), 2, &words);
    }
}

#[test]
fn a_preset_that_no_run_can_use_is_refused_before_anything_starts() {
    let place = place();
    for (set, words) in [
        ("variants.layers-19pct.scale=0.0", ["layers-19pct.scale", "above 0"]),
        ("variants.layers-19pct.stages=[]", ["layers-19pct.stages", "share"]),
        ("variants.layers-19pct.batch=0", ["layers-19pct.batch", "from 1"]),
        ("row_every=0", ["cifar-nets.row_every", "from 1"]),
        ("variants.layers-19pct.net=\"layers-20pct\"", ["layers-20pct", "layers-19pct"]),
    ] {
        let set = format!("cifar-nets.{set}");
        fails(place.run(&["--set", &set]), 2, &words);
    }
    // Too much is cut off these pictures; found before anything starts.
    pictures::write(&place.path("data"), 12, 0);
    fails(place.run(&[]), 1, &["layers-19pct-crops", "views of 4x4", "at least 8x8"]);
    assert!(place.results().is_empty());
}
