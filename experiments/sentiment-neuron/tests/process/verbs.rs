//! The verbs on small weights in the release's form.

use std::fs;
use std::path::PathBuf;

use testing::said;

use crate::place::Place;

fn released() -> String {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/released");
    folder.to_string_lossy().into_owned()
}

#[test]
fn a_heat_map_is_a_page_and_a_picture_when_asked_and_text_otherwise() {
    let place = Place::new();
    let weights = released();
    let common = ["heatmap", "--weights", &weights, "--unit", "3", "--text", "So good"];
    let shown = place.command(&common).output().unwrap();
    let text = String::from_utf8(shown.stdout).unwrap();
    let words: Vec<&str> = text.lines().filter_map(|line| line.split('\t').nth(1)).collect();
    assert_eq!(words, ["So", "good"]);
    let files = ["--html", "map.html", "--png", "map.png"];
    let made = place.command(&[&common[..], &files].concat()).output().unwrap();
    assert!(made.status.success() && made.stdout.is_empty(), "{}", said(&made));
    assert!(fs::read_to_string(place.path("map.html")).unwrap().contains("Unit 3"));
    assert!(fs::read(place.path("map.png")).unwrap().starts_with(b"\x89PNG"));
}

#[test]
fn verbs_without_weights_or_without_a_unit_say_what_to_do() {
    let place = Place::new();
    let weights = released();
    for (args, words) in [
        (&["heatmap", "--text", "x"][..], "--weights"),
        (&["compress", "reviews.json.gz"], "--weights"),
        (&["classify", "x", "--weights", &weights], "pack-weights"),
        (&["heatmap", "--text", "x", "--weights", &weights], "pack-weights"),
        (&["heatmap", "--unit", "7", "--text", "x", "--weights", &weights], "units 0 to 6"),
        (&["generate", "--clamp", "7=1", "--weights", &weights], "units 0 to 6"),
        (&["generate", "--temperature=-1", "--weights", &weights], "0 or more"),
    ] {
        let failed = place.command(args).output().unwrap();
        assert!(!failed.status.success(), "{args:?}");
        assert!(said(&failed).contains(words), "{args:?}: {}", said(&failed));
    }
}

#[test]
fn a_clamped_unit_changes_what_is_written_and_the_seed_repeats_it() {
    let place = Place::new();
    let weights = released();
    let write = |more: &[&str]| {
        let args = [&["generate", "--bytes", "60", "--prefix", "So ", "--weights", &weights], more]
            .concat();
        let made = place.command(&args).output().unwrap();
        assert!(made.status.success(), "{}", said(&made));
        assert!(made.stdout.starts_with(b"So ") && made.stdout.len() == 3 + 60 + 1);
        made.stdout
    };
    assert_eq!(write(&[]), write(&[]));
    assert_ne!(write(&[]), write(&["--seed", "1"]));
    assert_ne!(write(&[]), write(&["--clamp", "2=5.0"]));
}
