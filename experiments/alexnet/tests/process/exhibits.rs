//! What trained networks show, on photographs made here: `filters`, `predictions` and `retrieval` after the
//! runs they look at, their figures, and the weights that `predict` then takes.

use std::fs;
use std::path::Path;

use image::{Rgb, RgbImage};
use serde_json::Value;

use crate::place::{Place, assert_code, fails, read_json, stdout, succeeds};

/// As many as ImageNet has: folders of a user are ImageNet or nothing.
const CLASSES: usize = 1000;
/// Test pictures, of the first classes.
const TEST: usize = 20;
const SIDE: u32 = 24;

/// The smoke preset on the user's photographs, with one run of one epoch.
const FLAGS: [&str; 12] = [
    "--seed",
    "0",
    "--set",
    "photographs.data=[\"imagenet\"]",
    "--set",
    "photographs.side=64",
    "--set",
    "photographs.recipe.epochs=1.0",
    "--set",
    "photographs.recipe.pictures=1000",
    "--set",
    "photographs.recipe.held_out=10",
];

/// One training picture a class, and test pictures that are these but for their noise.
pub(crate) fn photographs(folder: &Path) {
    for (split, n) in [("train", CLASSES), ("val", TEST)] {
        for class in 0..n {
            let of_class = folder.join(split).join(format!("c{class:04}"));
            fs::create_dir_all(&of_class).unwrap();
            let level = |x: u32, y: u32, c: u32| {
                let seed = (class as u32 + 1) * (1 + x / 6 + 4 * (y / 6) + 16 * c);
                (seed.wrapping_mul(2_654_435_761) >> 24) as u8 / 2 * 2 + u8::from(split == "val")
            };
            let picture = RgbImage::from_fn(SIDE, SIDE, |x, y| {
                Rgb([level(x, y, 0), level(x, y, 1), level(x, y, 2)])
            });
            picture.save(of_class.join("1.png")).unwrap();
        }
    }
}

/// Runs `study` in `place`.
fn run(place: &Place, study: &str) -> String {
    let flags = ["run", study, "--preset", "smoke", "--threads", "1", "--device", "cpu"];
    let places = ["--data", "photos", "--out", "results"];
    succeeds(place.alexnet(&[&flags[..], &places, &FLAGS].concat()))
}

#[test]
fn each_exhibit_shows_the_network_that_was_trained_once() {
    let place = Place::of("predictions");
    photographs(&place.path("photos"));
    let said = run(&place, "filters");
    assert!(said.contains("base seed 0: done"), "{said}");
    for study in ["predictions", "retrieval"] {
        let said = run(&place, study);
        assert!(said.contains("base seed 0: finished before, skipped"), "{study}: {said}");
    }
    let preset = place.study().parent().unwrap().to_owned();
    let folder = |study: &str| preset.join(study).join("imagenet/base/seed-0");
    let of = |study: &str, name: &str| -> Value {
        let record = read_json(&folder(study).join("run.json"));
        assert_eq!(record["status"], "complete", "{study}");
        record["metrics"][name].clone()
    };
    let number = |study: &str, name: &str| of(study, name).as_f64().unwrap();
    // 96 kernels at a sixteenth of the width.
    assert_eq!(of("filters", "kernels"), 6.0);
    let [top1, top5] = ["test/top1_error", "test/top5_error"].map(|e| number("predictions", e));
    assert!((0.0..=1.0).contains(&top5) && top5 <= top1, "{top1} {top5}");
    // The same network, pictures and views.
    let error = "test/top1_error";
    assert_eq!(of("predictions", error), of("imagenet", error));
    // One of the six nearest can be of the class, and by pixels it is, unless it is held out.
    let precision = number("retrieval", "pixels/precision");
    assert!(precision > 0.8 / 6.0 && precision <= 1.0 / 6.0, "{precision}");
    for (study, files) in [
        ("filters", vec!["filters.csv.gz"]),
        ("predictions", vec!["predictions.csv.gz", "predictions.png", "weights.safetensors"]),
        ("retrieval", vec!["neighbours.csv.gz", "neighbours.png"]),
    ] {
        for file in files {
            assert!(folder(study).join(file).is_file(), "{study}: {file}");
        }
    }

    succeeds(place.alexnet(&["figures"]));
    for study in ["filters", "predictions", "retrieval"] {
        let figure = preset.join(study).join(format!("{study}-imagenet.svg"));
        assert!(figure.is_file(), "{}", figure.display());
    }
    let measured = fs::read_to_string(preset.join("retrieval/measured.csv")).unwrap();
    assert!(measured.contains("retrieval-features,"), "{measured}");
    succeeds(place.alexnet(&["verify"]));

    let weights = folder("predictions").join("weights.safetensors").display().to_string();
    let picture = "photos/val/c0003/1.png";
    let flags = ["predict", "--json", "--weights", &weights, picture];
    let output = place.alexnet(&flags).output().unwrap();
    assert_code(&output, 0);
    let line: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(line["predictions"].as_array().unwrap().len(), 5, "{line}");
}

#[test]
fn an_exhibit_of_pictures_without_a_test_split_says_what_is_missing() {
    let place = Place::of("predictions");
    photographs(&place.path("photos"));
    fs::remove_dir_all(place.path("photos/val")).unwrap();
    let flags = ["run", "predictions", "--preset", "smoke", "--threads", "1", "--device", "cpu"];
    let places = ["--data", "photos", "--out", "results"];
    let command = place.alexnet(&[&flags[..], &places, &FLAGS].concat());
    fails(command, 1, &["no test pictures (val/)"]);
}
