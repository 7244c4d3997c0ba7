//! `evaluate`: its errors are those of `predict`, picture by picture, and what it refuses.

use std::fs;

use image::{Rgb, RgbImage};
use serde_json::Value;

use crate::place::{Place, assert_code, fails, stdout};
use crate::predict::write_weights;

const CLASSES: usize = 7;
const FLAGS: [&str; 7] =
    ["evaluate", "--weights", "weights/weights.safetensors", "--device", "cpu", "--threads", "1"];

/// A place with the weights of a small network and two pictures of each class in `photos/val`; their paths with
/// their labels.
fn place() -> (Place, Vec<(String, usize)>) {
    let place = Place::new();
    write_weights(&place.path("weights"));
    let mut paths = Vec::new();
    for class in 0..CLASSES {
        let folder = format!("photos/val/c{class}");
        fs::create_dir_all(place.path(&folder)).unwrap();
        for i in 0..2 {
            let k = (3 * class + i + 1) as u32;
            let level = |x: u32, y: u32| [(x * k) as u8, (y * (k + 2)) as u8, (x * y * k) as u8];
            let path = format!("{folder}/{i}.png");
            let picture = RgbImage::from_fn(90 + k, 70, |x, y| Rgb(level(x, y)));
            picture.save(place.path(&path)).unwrap();
            paths.push((path, class));
        }
    }
    (place, paths)
}

#[test]
fn errors_and_loss_with_one_view_are_those_of_predict() {
    let (place, paths) = place();
    let args = [&FLAGS[..], &["--data", "photos", "--json"]].concat();
    let output = place.alexnet(&args).output().unwrap();
    assert_code(&output, 0);
    let found: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(found["pictures"], 14);

    let files: Vec<&str> = paths.iter().map(|(path, _)| path.as_str()).collect();
    let flags = ["predict", "--weights", FLAGS[2], "--json", "--top", "7"];
    let output = place.alexnet(&[&flags[..], &files].concat()).output().unwrap();
    assert_code(&output, 0);
    let (mut wrong, mut loss) = ([0.0, 0.0], 0.0);
    for (line, (_, label)) in stdout(&output).lines().zip(&paths) {
        let line: Value = serde_json::from_str(line).unwrap();
        let guesses = line["predictions"].as_array().unwrap();
        let rank = guesses.iter().position(|guess| guess["index"] == *label).unwrap();
        wrong[0] += f64::from(u8::from(rank > 0)) / 14.0;
        wrong[1] += f64::from(u8::from(rank > 4)) / 14.0;
        loss -= guesses[rank]["probability"].as_f64().unwrap().ln() / 14.0;
    }
    let of = |name: &str| found["one_view"][name].as_f64().unwrap();
    for (name, wanted) in [("top1", wrong[0]), ("top5", wrong[1]), ("loss", loss)] {
        assert!((of(name) - wanted).abs() < 1e-4, "{name}: {}, wanted {wanted}", of(name));
    }
    assert!(wrong[0] > 0.0, "a network that was not trained errs");
    assert_ne!(found["ten_views"]["loss"], found["one_view"]["loss"]);

    let output = place.alexnet(&args[..args.len() - 1]).output().unwrap();
    let text = stdout(&output);
    let wanted = format!("top-1 error {:6.3} %", 100.0 * wrong[0]);
    assert!(text.starts_with("one view") && text.contains(&wanted), "{wanted}\n{text}");
}

#[test]
fn pictures_that_are_not_there_or_of_other_classes_are_refused() {
    let (place, _) = place();
    let refused = |data: &[&str], words: &[&str]| {
        fails(place.alexnet(&[&FLAGS[..], data].concat()), 1, words);
    };
    fs::create_dir(place.path("empty")).unwrap();
    refused(&["--data", "empty"], &["empty: no folder val, wanted val/<class>/<picture>"]);
    fs::write(place.path("photos/val/c3/0.png"), "a text").unwrap();
    refused(&["--data", "photos"], &["c3/0.png: neither JPEG nor PNG"]);
    fs::remove_dir_all(place.path("photos/val/c3")).unwrap();
    refused(&["--data", "photos"], &["photos/val: found 6 class folders, wanted 7"]);
}
