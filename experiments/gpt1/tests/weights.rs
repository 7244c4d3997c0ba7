//! Weights against transformers' (`oracle/transformers.py`): the same scores from Hugging Face's files, from OpenAI's
//! form and from what we write; wrong files are named. Tolerance 1e-4: scores of size 10 in single precision.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use assert_cmd::Command;
use gpt1::weights;
use serde::Deserialize;
use tch::Device;
use testing::damage::survives_file;

#[derive(Deserialize)]
struct Fixture {
    ids: Vec<i64>,
    logits: Vec<Vec<f64>>,
}

#[derive(Deserialize)]
struct Printed {
    logits: Vec<Vec<f64>>,
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn fixture() -> Fixture {
    serde_json::from_slice(&fs::read(fixtures().join("hf_logits.json")).unwrap()).unwrap()
}

fn gpt1(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gpt1"));
    command.args(args).output().unwrap()
}

fn logits(folder: &Path, ids: &[i64]) -> Output {
    let ids: Vec<String> = ids.iter().map(i64::to_string).collect();
    gpt1(&["logits", "--weights", folder.to_str().unwrap(), "--ids", &ids.join(","), "--json"])
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The largest difference between what the binary prints for `folder` and what transformers found.
fn apart(folder: &Path) -> f64 {
    let wanted = fixture();
    let output = logits(folder, &wanted.ids);
    assert!(output.status.success(), "{}", said(&output));
    let found: Printed = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found.logits.len(), wanted.ids.len());
    let rows = found.logits.iter().zip(&wanted.logits);
    rows.flat_map(|(a, b)| {
        assert_eq!(a.len(), b.len());
        a.iter().zip(b).map(|(a, b)| (a - b).abs())
    })
    .fold(0.0, f64::max)
}

/// A copy of transformers' folder, to be spoiled.
fn copy() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    for name in ["config.json", "model.safetensors"] {
        fs::copy(fixtures().join("hf").join(name), place.path().join(name)).unwrap();
    }
    place
}

#[test]
fn scores_are_those_of_transformers_from_its_own_files_and_from_openais_form() {
    for form in ["hf", "openai"] {
        let apart = apart(&fixtures().join(form));
        assert!(apart < 1e-4, "{form}: {apart}");
    }
}

#[test]
fn what_is_converted_scores_the_same_and_is_written_the_same_twice() {
    let place = tempfile::tempdir().unwrap();
    let [once, twice] = ["once", "twice"].map(|name| place.path().join(name));
    let convert = |from: &Path, to: &Path| {
        let (from, to) = (from.to_str().unwrap(), to.to_str().unwrap());
        let output = gpt1(&["convert", "--weights", from, "--to", to]);
        assert!(output.status.success(), "{}", said(&output));
    };
    convert(&fixtures().join("openai"), &once);
    convert(&once, &twice);
    assert!(apart(&once) < 1e-4);
    for name in ["config.json", "model.safetensors"] {
        assert!(
            fs::read(once.join(name)).unwrap() == fs::read(twice.join(name)).unwrap(),
            "{name}"
        );
    }
}

#[test]
fn weights_of_another_shape_are_named_with_both_shapes() {
    let place = copy();
    let config = place.path().join("config.json");
    let text = fs::read_to_string(&config).unwrap();
    for (from, to, wanted) in [
        (
            "\"vocab_size\": 61",
            "\"vocab_size\": 60",
            ["tokens_embed.weight is [61, 24]", "wanted [60, 24]"],
        ),
        ("\"n_positions\": 16", "\"n_positions\": 32", ["[16, 24]", "wanted [32, 24]"]),
        ("\"n_layer\": 2", "\"n_layer\": 3", ["lacks the tensor", "h.2."]),
        ("\"n_layer\": 2", "\"n_layer\": 1", ["holds", "h.1."]),
        ("\"n_head\": 12", "\"n_head\": 7", ["n_embd", "7"]),
        ("\"gelu\"", "\"relu\"", ["afn: found relu", "gelu"]),
    ] {
        fs::write(&config, text.replace(from, to)).unwrap();
        let output = logits(place.path(), &[1]);
        assert_eq!(output.status.code(), Some(1), "{to}");
        let said = said(&output);
        for wanted in wanted {
            assert!(said.contains(wanted), "{to}\nexpected {wanted}\ngot      {said}");
        }
    }
}

#[test]
fn a_folder_without_weights_and_ids_that_are_none_are_refused() {
    let place = tempfile::tempdir().unwrap();
    let output = logits(place.path(), &[1]);
    assert!(said(&output).contains("no weights here"), "{}", said(&output));
    let hf = fixtures().join("hf");
    for (ids, wanted) in
        [(vec![61], "found 61, wanted ids from 0 to 60"), (vec![1; 17], "at most 16")]
    {
        let output = logits(&hf, &ids);
        assert_eq!(output.status.code(), Some(1));
        assert!(said(&output).contains(wanted), "{}", said(&output));
    }
    let broken = copy();
    fs::write(broken.path().join("model.safetensors"), b"nothing").unwrap();
    let output = logits(broken.path(), &[1]);
    assert!(said(&output).contains("model.safetensors"), "{}", said(&output));
}

#[test]
fn damaged_weights_survive() {
    for (form, names) in [
        ("hf", &["config.json", "model.safetensors"][..]),
        ("openai", &["params_shapes.json", "params_3.npy"]),
    ] {
        let place = tempfile::tempdir().unwrap();
        for file in fs::read_dir(fixtures().join(form)).unwrap() {
            let path = file.unwrap().path();
            fs::copy(&path, place.path().join(path.file_name().unwrap())).unwrap();
        }
        for name in names {
            let whole = fs::read(place.path().join(name)).unwrap();
            survives_file(place.path(), name, std::slice::from_ref(&whole), |_| {
                drop(weights::read(place.path(), Device::Cpu));
            });
            fs::write(place.path().join(name), whole).unwrap();
        }
        assert!(weights::read(place.path(), Device::Cpu).is_ok());
    }
}
