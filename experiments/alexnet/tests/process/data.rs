//! Data that is not there, damaged or wrong: what is said, and that no results are begun.

use std::fs;
use std::path::Path;

use testing::{Running, files, said, wait_until};

use crate::place::{Place, assert_code, fails, stdout};

/// `run` on the folder called `data` fails with exit code 1, says `words`, and begins nothing.
#[track_caller]
fn refused(place: &Place, words: &[&str]) {
    fails(place.run(&[]), 1, words);
    assert!(place.results().is_empty(), "{:?}", place.results());
    assert!(files(&place.path("cache/checkpoints")).is_empty());
}

#[test]
fn no_data_at_all_names_the_sets_the_places_and_the_ways_out() {
    let place = Place::new();
    let words = [
        "cifar10",
        "cifar10-jpeg",
        "fashion-mnist",
        "cache/data/fashion-mnist",
        "train-images-idx3-ubyte.gz",
        "--data DIR",
        "LANDMARKS_MIRROR",
        "--offline",
    ];
    fails(place.alexnet(&["run", "--preset", "smoke", "--offline"]), 1, &words);
    assert!(place.results().is_empty());
}

#[test]
fn a_folder_without_the_data_names_it_and_the_ways_out() {
    let place = Place::new();
    fs::remove_file(place.path("data/t10k-labels-idx1-ubyte")).unwrap();
    refused(&place, &["your folder data", "cifar10", "fashion-mnist", "--data"]);
    fs::remove_dir_all(place.path("data")).unwrap();
    refused(&place, &["--data", "data: no such folder"]);
    let mut command = place.alexnet(&["run", "--preset", "smoke", "--offline"]);
    command.env("LANDMARKS_MIRROR", place.path("mirror"));
    fails(command, 1, &["LANDMARKS_MIRROR", "mirror: no such folder"]);
}

#[test]
fn a_truncated_file_is_named_with_found_and_wanted() {
    let place = Place::new();
    let path = place.path("data/train-images-idx3-ubyte");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    let wanted = format!("wanted {}", bytes.len() - 16);
    refused(&place, &["data/train-images-idx3-ubyte", &wanted]);
    fs::write(&path, &bytes[..10]).unwrap();
    refused(&place, &["data/train-images-idx3-ubyte", "header"]);
}

#[test]
fn a_label_that_is_no_class_is_named_with_its_place() {
    let place = Place::new();
    let path = place.path("data/train-labels-idx1-ubyte");
    let mut bytes = fs::read(&path).unwrap();
    bytes[8 + 33] = 10;
    fs::write(&path, bytes).unwrap();
    let words = ["data/train-labels-idx1-ubyte", "label 33: found label 10", "0..=9"];
    refused(&place, &words);
}

#[test]
fn a_file_with_another_sum_or_size_is_named_with_both_and_the_way_out() {
    let place = Place::new();
    // Of the size that the catalogue wants, but empty inside.
    let path = place.path("data/train-images-idx3-ubyte.gz");
    for (size, words) in [
        (26_421_880, ["found sha256", "wanted sha256"]),
        (1_000, ["found 1000 bytes", "wanted 26421"]),
    ] {
        fs::File::create(&path).unwrap().set_len(size).unwrap();
        for other in ["train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"] {
            fs::write(place.path(&format!("data/{other}-ubyte.gz")), "x").unwrap();
        }
        refused(
            &place,
            &["data/train-images-idx3-ubyte.gz", words[0], words[1], "copy or download"],
        );
    }
}

#[test]
fn the_environment_may_name_the_folder() {
    let place = Place::new();
    let mut command = place.alexnet(&["data", "fashion-mnist", "--offline"]);
    command.env("LANDMARKS_DATA", "data");
    let output = command.output().unwrap();
    assert_code(&output, 0);
    assert!(stdout(&output).contains("fashion-mnist: whole, from your folder data"), "{output:?}");
}

#[test]
fn data_check_says_what_is_here_and_fails_when_nothing_is() {
    let place = Place::new();
    let output = place.alexnet(&["data", "--check", "--data", "data"]).output().unwrap();
    assert_code(&output, 0);
    assert!(stdout(&output).contains("fashion-mnist: whole"), "{output:?}");
    // The pictures are made here, under the published names.
    let other = "data/t10k-labels-idx1-ubyte: not what is in the published files of fashion-mnist";
    assert!(said(&output).contains(other), "{output:?}");
    let output = place.alexnet(&["data", "--check"]).output().unwrap();
    assert_code(&output, 1);
    assert!(stdout(&output).contains("fashion-mnist: missing"), "{output:?}");
    assert!(stdout(&output).contains("apt package"), "{output:?}");
    assert!(said(&output).contains("0 of 5"), "{output:?}");
    // A folder that is named is the only one looked in.
    fs::create_dir_all(place.path("empty")).unwrap();
    let output = place.alexnet(&["data", "--check", "--data", "empty"]).output().unwrap();
    assert_code(&output, 1);
    assert!(stdout(&output).contains("leave --data out to look elsewhere"), "{output:?}");
}

#[test]
fn data_gets_what_can_be_had_and_says_what_cannot() {
    let place = Place::new();
    let output = place.alexnet(&["data", "--data", "data"]).output().unwrap();
    assert_code(&output, 0);
    for said in ["fashion-mnist: whole", "imagenette-128 or imagenet-sample: cannot be had here"] {
        assert!(stdout(&output).contains(said), "{said}: {output:?}");
    }
    // A set that was named, or nothing at all, is an error.
    fails(place.alexnet(&["data", "imagenette-128", "--offline"]), 1, &["imagenette-128"]);
    fails(place.alexnet(&["data", "--offline"]), 1, &["was not found"]);
}

#[test]
fn an_unknown_data_set_is_wrong_usage_that_names_the_nearest() {
    let place = Place::new();
    let args = ["data", "fashon-mnist", "--offline"];
    fails(place.alexnet(&args), 2, &["fashon-mnist", "did you mean `fashion-mnist`"]);
}

#[test]
fn a_signal_while_data_is_fetched_ends_with_its_exit_code() {
    let place = Place::new();
    // Stands in for apt: says that it was started, and takes longer than the test waits.
    let tools = place.path("tools");
    fs::create_dir(&tools).unwrap();
    let script = format!("#!/bin/sh\n: > {}\nexec sleep 30\n", place.path("asked").display());
    write_script(&tools.join("apt-get"), &script);
    let mut command = place.alexnet(&["data", "fashion-mnist"]);
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{}:{path}", tools.display()));
    let running = Running::start(command);
    wait_until("the fetch to begin", || place.path("asked").exists());
    running.signal_all("TERM");
    let output = running.end();
    assert_code(&output, 143);
    assert!(said(&output).contains("interrupted"), "{output:?}");
}

/// Written by another process: a program that this one still holds open for writing, or that a test
/// starting at this instant inherits, does not start ("text file busy").
fn write_script(path: &Path, text: &str) {
    let mut write = std::process::Command::new("/bin/sh");
    write.args(["-c", r#"printf %s "$1" > "$0" && chmod 755 "$0""#]).arg(path).arg(text);
    assert!(write.status().unwrap().success());
}
