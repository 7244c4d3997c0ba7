//! `predict`: what it says about pictures, on which stream, and about files that are none.

use std::fs;
use std::path::{Path, PathBuf};

use alexnet::network::{AlexNet, NetworkConfig};
use alexnet::weights::{self, Card, Origin, Preprocessing};
use image::{Rgb, RgbImage};
use serde_json::Value;
use tch::nn::VarStore;
use testing::said;

use crate::place::{Place, assert_code, fails, stdout, succeeds};

/// A place with two pictures and the weights of a small network in `weights`.
fn place() -> Place {
    let place = Place::new();
    write_weights(&place.path("weights"));
    let waves = |k: u32| {
        RgbImage::from_fn(90, 70, move |x, y| Rgb([(x * k) as u8, (y * 3) as u8, (x * y) as u8]))
    };
    waves(2).save(place.path("a.png")).unwrap();
    waves(5).save(place.path("b.jpg")).unwrap();
    place
}

/// Weights of a small network of 7 classes that was not trained, in `folder`.
pub(crate) fn write_weights(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let cfg = NetworkConfig { width: 1.0 / 32.0, crop: 64, classes: 7, ..NetworkConfig::paper() };
    let vs = VarStore::new(tch::Device::Cpu);
    tch::manual_seed(5);
    let _net = AlexNet::new(&vs.root(), &cfg);
    let classes = ["tench", "horn", "church", "truck", "pump", "ball", "saw"];
    let origin = Origin {
        run: "alexnet/laptop/imagenet/some-photographs/base/seed-0".into(),
        digest: "0".into(),
        data: "some-photographs".into(),
        top1_error: 0.25,
    };
    let preprocessing = Preprocessing { side: 70, scale: 1.0 };
    let card = Card::new(cfg, classes.map(str::to_owned).to_vec(), preprocessing, origin);
    weights::write(folder, &vs, &vec![120.0; 70 * 70 * 3], card).unwrap();
}

const OURS: [&str; 2] = ["--weights", "weights/weights.safetensors"];

fn predict<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["predict"], more].concat()
}

/// A file that `common`'s tests have.
fn foreign(name: &str) -> String {
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../common/tests/fixtures");
    folder.join(name).display().to_string()
}

#[test]
fn each_picture_is_named_with_its_most_probable_classes_and_their_bars() {
    let place = place();
    let args = predict(&[&OURS[..], &["a.png", "b.jpg"]].concat());
    let output = place.alexnet(&args).output().unwrap();
    assert_code(&output, 0);
    let text = stdout(&output);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 12, "{text}");
    assert_eq!((lines[0], lines[6]), ("a.png", "b.jpg"));
    let shares: Vec<f64> = lines[1..6]
        .iter()
        .map(|line| line.split_once('%').unwrap().0.trim().parse().unwrap())
        .collect();
    assert!(shares.is_sorted_by(|a, b| a >= b) && shares.iter().sum::<f64>() <= 100.1, "{text}");
    assert!(text.contains('█') && !text.contains('\u{1b}'), "bars without colours: {text}");
    for word in ["weights.safetensors", "trained on some-photographs", "7 classes", "25.0 %"] {
        assert!(said(&output).contains(word), "{word} is not in\n{}", said(&output));
    }
}

#[test]
fn json_is_one_object_a_picture_and_nothing_else_on_stdout() {
    let place = place();
    let args = [&OURS[..], &["--json", "--top", "3", "a.png", "no.png", "b.jpg"]].concat();
    let output = place.alexnet(&predict(&args)).output().unwrap();
    assert_code(&output, 1); // one of them is not there
    let lines: Vec<Value> =
        stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    for (line, image) in lines.iter().zip(["a.png", "b.jpg"]) {
        let keys: Vec<&String> = line.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["image", "predictions", "weights"]);
        assert_eq!((&line["image"], &line["weights"]), (&image.into(), &OURS[1].into()));
        let guesses = line["predictions"].as_array().unwrap();
        assert_eq!(guesses.len(), 3);
        for guess in guesses {
            let keys: Vec<&String> = guess.as_object().unwrap().keys().collect();
            assert_eq!(keys, ["class", "index", "probability"]);
            assert!((0..7).contains(&guess["index"].as_i64().unwrap()), "{guess}");
            assert!((0.0..=1.0).contains(&guess["probability"].as_f64().unwrap()), "{guess}");
        }
    }
    for word in ["no.png", "No such file", "1 of 3 files could not be read"] {
        assert!(said(&output).contains(word), "{word} is not in\n{}", said(&output));
    }
}

#[test]
fn more_classes_than_there_are_are_all_of_them() {
    let place = place();
    let args = [&OURS[..], &["--top", "100", "a.png"]].concat();
    let output = place.alexnet(&predict(&args)).output().unwrap();
    assert_eq!(stdout(&output).lines().count(), 8, "{}", stdout(&output));
}

#[test]
fn the_published_weights_are_used_when_none_are_named_and_it_says_so() {
    let place = place();
    let words = ["results/reference/alexnet", "--weights", "alexnet run predictions"];
    fails(place.alexnet(&predict(&["a.png"])), 1, &words);
    let run = "results/reference/alexnet/overnight/predictions/some-photographs/base/seed-0";
    write_weights(&place.path(run));
    let said = succeeds(place.alexnet(&predict(&["a.png"])));
    assert!(said.contains("overnight/predictions") && said.contains("some-photographs"), "{said}");
}

#[test]
fn what_is_no_picture_is_named_with_what_it_is() {
    let place = place();
    fs::write(place.path("text.png"), "a text").unwrap();
    fs::write(place.path("empty.jpg"), "").unwrap();
    let whole = fs::read(place.path("b.jpg")).unwrap();
    fs::write(place.path("half.jpg"), &whole[..whole.len() / 2]).unwrap();
    let args = [&OURS[..], &["text.png", "empty.jpg", "half.jpg", "."]].concat();
    let words = [
        "text.png: neither JPEG nor PNG",
        "empty.jpg: the file is empty",
        "half.jpg: damaged JPEG",
        "4 of 4 files",
    ];
    fails(place.alexnet(&predict(&args)), 1, &words);
}

#[test]
fn weights_that_cannot_be_used_are_refused_with_the_way_out() {
    let place = place();
    let refused = |path: &str, words: &[&str]| {
        let args = ["--weights", path, "a.png"];
        fails(place.alexnet(&predict(&args)), 1, words);
    };
    refused("nowhere.pth", &["nowhere.pth: cannot read"]);
    refused("a.png", &["a.png: found a file that begins with \"\\x89PNG", "wanted .safetensors"]);
    let old = foreign("before_1_6.pth");
    refused(&old, &["before PyTorch 1.6", "convert it once: python3 -c", ".zip.pth"]);
    refused(&foreign("whole_module.pth"), &["`torch.nn.modules.linear Linear`", "refused"]);
    refused(&foreign("checkpoint.pth"), &["entry epoch: found a number", "model.state_dict()"]);
    refused(&foreign("module_state.pth"), &["neither features.0.weight", "nor conv1.weight"]);
    fs::rename(place.path("weights/weights.json"), place.path("weights.json")).unwrap();
    refused(OURS[1], &["weights of ours without weights/weights.json", "copy it too"]);
}

#[test]
fn a_card_with_fewer_classes_than_the_network_has_outputs_is_refused() {
    let place = place();
    let card = place.path("weights/weights.json");
    let text = fs::read_to_string(&card).unwrap();
    fs::write(&card, text.replacen("    \"horn\",\n", "", 1)).unwrap();
    let args = [&OURS[..], &["a.png"]].concat();
    fails(place.alexnet(&predict(&args)), 1, &["found 6 names of classes, wanted 7"]);
}

#[test]
fn wrong_usage_of_predict_ends_with_2() {
    let place = place();
    fails(place.alexnet(&["predict"]), 2, &["<IMAGE>"]);
    fails(place.alexnet(&predict(&["--top", "0", "a.png"])), 2, &["--top"]);
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let place = place();
    let script =
        r#""$0" predict --weights weights/weights.safetensors a.png b.jpg a.png | head -n 1"#;
    let args = ["-c", script, env!("CARGO_BIN_EXE_alexnet")];
    let output = place.command("/bin/sh", &args).output().unwrap();
    assert_code(&output, 0);
    assert_eq!(stdout(&output), "a.png\n");
    assert!(!said(&output).contains("panicked"), "{}", said(&output));
}
