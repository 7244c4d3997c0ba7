//! Released weights: read, computed with and written, against numpy.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::path::PathBuf;

use assert_cmd::Command;
use common::nn::mlstm::FixedMlstm;
use sentiment_neuron::features::cells_of_bytes;
use sentiment_neuron::released;
use serde::Deserialize;
use tch::Device;
use testing::damage::survives_file;

#[derive(Deserialize)]
struct Case {
    text: String,
    cell: Vec<f64>,
    hidden: Vec<f64>,
    first_probabilities: Vec<f64>,
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/released")
}

fn cases() -> Vec<Case> {
    serde_json::from_str(include_str!("fixtures/released/features.json")).unwrap()
}

/// The weights are fp32; sums of seven to thirty terms leave a few units of its last place.
const CLOSE: f64 = 1e-5;

fn close(found: &[f32], wanted: &[f64], what: &str) {
    assert_eq!(found.len(), wanted.len());
    for (found, wanted) in found.iter().zip(wanted) {
        assert!(
            (f64::from(*found) - wanted).abs() < CLOSE,
            "{what}: found {found}, wanted {wanted}"
        );
    }
}

#[test]
fn released_weights_compute_what_numpy_does_in_both_arithmetics() {
    let neuron = released::read(&folder(), Device::Cpu).unwrap();
    assert_eq!(neuron.hidden(), 7);
    let net = FixedMlstm::new(&neuron.net);
    for Case { text, cell, hidden, first_probabilities } in cases() {
        let fused = cells_of_bytes(&neuron, &[text.clone().into_bytes()]).unwrap();
        close(&fused, &cell, &text);
        let mut state = net.start();
        text.bytes().for_each(|byte| net.step(&mut state, usize::from(byte)));
        close(&state.c, &cell, &text);
        close(&state.h, &hidden, &text);
        close(&net.probabilities(&state)[..8], &first_probabilities, &text);
    }
}

#[test]
fn what_is_written_is_what_was_released_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    let neuron = released::read(&folder(), Device::Cpu).unwrap();
    released::write(&neuron, dir.path()).unwrap();
    for index in 0..15 {
        let name = format!("{index}.npy");
        let read = |folder: PathBuf| tch::Tensor::read_npy(folder.join(&name)).unwrap();
        assert!(read(folder()).equal(&read(dir.path().to_owned())), "{name}");
    }
}

#[test]
fn a_missing_or_misshapen_array_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let neuron = released::read(&folder(), Device::Cpu).unwrap();
    released::write(&neuron, dir.path()).unwrap();
    std::fs::copy(dir.path().join("8.npy"), dir.path().join("4.npy")).unwrap();
    let error = released::read(dir.path(), Device::Cpu).unwrap_err().to_string();
    assert!(error.contains("4.npy") && error.contains("a quarter"), "{error}");
    std::fs::remove_file(dir.path().join("9.npy")).unwrap();
    let error = released::read(dir.path(), Device::Cpu).unwrap_err().to_string();
    assert!(error.contains("9.npy: not there"), "{error}");
}

#[test]
fn the_features_verb_prints_cell_and_hidden_state_after_exactly_the_bytes_given() {
    for Case { text, cell, hidden, .. } in cases() {
        let mut command = Command::cargo_bin("sentiment-neuron").unwrap();
        command.args(["features", "--raw", "--json", "--weights"]).arg(folder());
        let out = command.args(["--text", &text]).assert().success().get_output().stdout.clone();
        let printed: serde_json::Value = serde_json::from_slice(&out).unwrap();
        let numbers =
            |name: &str| -> Vec<f32> { serde_json::from_value(printed[name].clone()).unwrap() };
        close(&numbers("cell"), &cell, &text);
        close(&numbers("hidden"), &hidden, &text);
    }
}

#[test]
fn compress_and_decompress_give_the_file_back_and_refuse_damage() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let run = |verb: &str, file: &str, output: &str| {
        let mut command = Command::cargo_bin("sentiment-neuron").unwrap();
        command
            .args([verb, "--weights"])
            .arg(folder())
            .arg(path(file))
            .arg("--output")
            .arg(path(output));
        command.assert()
    };
    for (name, content) in
        [("empty", vec![]), ("one", vec![200]), ("text", b"some text".repeat(40))]
    {
        std::fs::write(path(name), &content).unwrap();
        run("compress", name, &format!("{name}.neuron")).success();
        run("decompress", &format!("{name}.neuron"), &format!("{name}.back")).success();
        assert_eq!(std::fs::read(path(&format!("{name}.back"))).unwrap(), content);
    }
    let mut packed = std::fs::read(path("text.neuron")).unwrap();
    packed[100] ^= 1;
    std::fs::write(path("damaged.neuron"), packed).unwrap();
    let failed = run("decompress", "damaged.neuron", "damaged.back").failure();
    let said = String::from_utf8_lossy(&failed.get_output().stderr).into_owned();
    assert!(said.contains("the file is damaged"), "{said}");
    assert!(!path("damaged.back").exists());
}

#[test]
fn damaged_arrays_survive() {
    let place = tempfile::tempdir().unwrap();
    for index in 0..15 {
        let name = format!("{index}.npy");
        std::fs::copy(folder().join(&name), place.path().join(&name)).unwrap();
    }
    let whole = std::fs::read(place.path().join("1.npy")).unwrap();
    survives_file(place.path(), "1.npy", &[whole], |_| {
        drop(released::read(place.path(), Device::Cpu));
    });
}
