//! The studies that read finished networks. They want labelled sets, which are real data: the mirror folder's.

use std::fs;

use testing::said;

use crate::place::{Place, on_the_dump, strs};

/// The command with the mirror folder, or `None` where there is none.
fn mirrored(mut command: std::process::Command) -> Option<std::process::Command> {
    command.env("LANDMARKS_MIRROR", std::env::var_os("LANDMARKS_MIRROR")?);
    Some(command)
}

/// A trained network, and these studies of it with their figures; `None` where there is no mirror folder.
fn studied(studies: &[&str]) -> Option<Place> {
    let place = Place::new();
    let mut args = Vec::from(on_the_dump(60));
    args[3] = args[3].replace("hidden=16", "hidden=2");
    // Few labels, short texts: this checks that everything fits together.
    for set in ["data-efficiency.examples=[4]", "data-efficiency.draws=2", "clamping.texts=3"] {
        args.extend(["--set".into(), set.into()]);
    }
    for study in [&["language-model"], studies].concat() {
        let made = mirrored(place.run(study, "results", &strs(&args)))?.output().unwrap();
        assert!(made.status.success(), "{study}: {}", said(&made));
    }
    let drawn = place.command(&["figures", "--out", "results"]).output().unwrap();
    assert!(drawn.status.success(), "{}", said(&drawn));
    let verified = place.command(&["verify", "--out", "results"]).output().unwrap();
    assert!(verified.status.success(), "{}", said(&verified));
    Some(place)
}

/// What `measured.csv` of a study and the names of its figures say.
fn left(place: &Place, study: &str) -> (String, Vec<String>) {
    let presets = place.path("results/sentiment-neuron");
    let preset = fs::read_dir(presets).unwrap().next().unwrap().unwrap().path();
    let folder = preset.join(study);
    let measured = fs::read_to_string(folder.join("measured.csv")).unwrap();
    let names =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    (measured, names.filter_map(|name| Some(name.strip_suffix(".svg")?.to_owned())).collect())
}

#[test]
fn one_unit_against_all_leaves_its_rows_its_figure_and_weights_that_the_verbs_take() {
    let Some(place) = studied(&["single-unit"]) else { return };
    let (measured, figures) = left(&place, "single-unit");
    for id in ["sn-23", "unit-minus-all-sst", "without-unit-minus-all-sst"] {
        assert!(measured.contains(id), "{id}: {measured}");
    }
    assert!(figures.contains(&"figure-3-sst".to_owned()), "{figures:?}");
    let find = std::process::Command::new("find")
        .arg(place.path("results"))
        .args(["-name", "weights.safetensors"])
        .output()
        .unwrap();
    let weights = String::from_utf8(find.stdout).unwrap();
    let weights: Vec<&str> = weights.lines().collect();
    assert_eq!(weights.len(), 1, "one run leaves weights");
    let weights = ["--weights", weights[0]];
    let classified =
        place.command(&[&["classify", "Good film"], &weights[..]].concat()).output().unwrap();
    let answer = String::from_utf8(classified.stdout).unwrap();
    assert!(answer.contains("itive\t") || answer.contains("negative\t"), "{answer}");
    let written = |sentiment: &str| {
        let args =
            [&["generate", "--bytes", "200", "--sentiment", sentiment], &weights[..]].concat();
        let made = place.command(&args).output().unwrap();
        assert!(made.status.success(), "{}", said(&made));
        made.stdout
    };
    assert_ne!(written("8"), written("-8"));
}

#[test]
fn few_labels_clamping_and_compression_leave_their_rows_and_figures() {
    let Some(place) = studied(&["data-efficiency", "clamping", "compression"]) else { return };
    for (study, ids, figure) in [
        ("data-efficiency", &["sn-04", "sn-05", "sn-06"][..], "figure-2-sst"),
        ("clamping", &["clamped-effect", "clamped-control"], "clamping-sst"),
        (
            "compression",
            &["network-over-usual-held-out-reviews", "network-over-usual-tiny-shakespeare"],
            "bits-per-byte",
        ),
    ] {
        let (measured, figures) = left(&place, study);
        for id in ids {
            assert!(measured.contains(id), "{id}: {measured}");
        }
        assert!(figures.contains(&figure.to_owned()), "{study}: {figures:?}");
    }
}

#[test]
fn pieces_and_bytes_are_trained_on_the_same_text() {
    let place = Place::new();
    let made = place.run("word-pieces", "results", &strs(&on_the_dump(10))).output().unwrap();
    assert!(made.status.success(), "{}", said(&made));
    let drawn = place.command(&["figures", "--out", "results"]).output().unwrap();
    assert!(drawn.status.success(), "{}", said(&drawn));
    let (measured, figures) = left(&place, "word-pieces");
    assert!(measured.contains("pieces-over-bytes"), "{measured}");
    assert_eq!(figures, ["bits-per-byte-own-text"]);
}

#[test]
fn a_study_of_networks_that_are_not_trained_says_what_to_run_first() {
    let place = Place::new();
    let args = on_the_dump(10);
    let failed = place.run("compression", "results", &strs(&args)).output().unwrap();
    assert_eq!(failed.status.code(), Some(1));
    assert!(said(&failed).contains("run language-model"), "{}", said(&failed));
}
