//! Checkpoints and records that are damaged, gone, or those of something else.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::outcome::assert_as_unbroken;
use crate::pictures::{self, SIZE};
use crate::place::{LONG, LONG_RUNS, Place, fails, read_json, succeeds};

fn half_done() -> Place {
    let place = Place::new();
    place.half_done();
    place
}

/// The folder of the last checkpoint of the run that was stopped.
fn last_checkpoint(place: &Place) -> PathBuf {
    let folder = place.checkpoints(LONG_RUNS[0]);
    let name = fs::read_to_string(folder.join("LATEST")).unwrap();
    folder.join(name.trim())
}

/// Changes `run.json` of the run that was stopped.
fn edit_record(place: &Place, edit: impl Fn(&mut Value)) {
    let mut record = place.record(LONG_RUNS[0]);
    edit(&mut record);
    let path = place.run_folder(LONG_RUNS[0], 0).join("run.json");
    fs::write(path, record.to_string()).unwrap();
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[test]
fn a_damaged_checkpoint_is_named_and_the_way_out_leads_to_the_end_of_an_unbroken_run() {
    let place = half_done();
    let folder = last_checkpoint(&place);
    let path = folder.join("model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    let way_out = format!("delete {}", folder.display());
    fails(place.resume(&LONG), 1, &[&shown(&path), "damaged", &way_out]);
    fs::remove_dir_all(folder).unwrap();
    succeeds(place.resume(&LONG));
    assert_as_unbroken(&place);
}

#[test]
fn every_file_of_a_checkpoint_is_checked() {
    let place = half_done();
    let folder = last_checkpoint(&place);
    let way_out = format!("delete {}", folder.display());
    for name in ["optim.safetensors", "state.json"] {
        let path = folder.join(name);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        fails(place.resume(&LONG), 1, &[&shown(&path), "damaged", &way_out]);
        fs::remove_file(&path).unwrap();
        let said = fails(place.resume(&LONG), 1, &[&shown(&path), &way_out]);
        let last = said.lines().last().unwrap();
        assert_eq!(last.matches("No such file").count(), 1, "the reason is said once: {last}");
        fs::write(&path, bytes).unwrap();
    }
    succeeds(place.resume(&LONG));
    assert_as_unbroken(&place);
}

#[test]
fn a_checkpoint_folder_that_is_gone_is_an_error_that_names_it() {
    let place = half_done();
    let folder = place.checkpoints(LONG_RUNS[0]);
    let metrics = place.run_folder(LONG_RUNS[0], 0).join("metrics.csv");
    let rows = fs::read(&metrics).unwrap();
    fs::remove_dir_all(&folder).unwrap();
    fails(place.resume(&LONG), 1, &["no checkpoint", &shown(&folder), "--overwrite"]);
    assert_eq!(fs::read(&metrics).unwrap(), rows, "the rows are still there");
    succeeds(place.run(&[LONG.as_slice(), &["--overwrite"]].concat()));
    assert_as_unbroken(&place);
}

#[test]
fn a_checkpoint_of_another_model_is_refused_naming_file_and_tensor() {
    let (place, other) = (half_done(), Place::new());
    // Larger pictures give the last layer more inputs.
    pictures::write(&other.path("data"), SIZE + 4, 0);
    other.half_done();
    let (own, from) = (last_checkpoint(&place), last_checkpoint(&other));
    let folder = own.parent().unwrap();
    fs::remove_dir_all(folder).unwrap();
    let to = folder.join(from.file_name().unwrap());
    fs::create_dir_all(&to).unwrap();
    for name in ["model.safetensors", "optim.safetensors", "state.json"] {
        fs::copy(from.join(name), to.join(name)).unwrap();
    }
    let words = ["another model", "fc.weight", "[10, 256]", "[10, 64]", &shown(&to)];
    fails(place.resume(&LONG), 1, &words);
    assert_eq!(place.record(LONG_RUNS[0])["status"], "failed");
}

#[test]
fn a_run_on_other_pictures_is_refused_naming_the_key_and_may_be_overwritten() {
    let place = half_done();
    let kept = fs::read(place.run_folder(LONG_RUNS[0], 0).join("metrics.csv")).unwrap();
    pictures::write(&place.path("data"), SIZE, 7);
    for command in [place.run(&LONG), place.resume(&LONG)] {
        fails(command, 1, &["data_sha256 (", "--overwrite", "--out"]);
    }
    assert_eq!(fs::read(place.run_folder(LONG_RUNS[0], 0).join("metrics.csv")).unwrap(), kept);
    succeeds(place.run(&[LONG.as_slice(), &["--overwrite"]].concat()));
    // A finished run is no less protected.
    pictures::write(&place.path("data"), SIZE, 8);
    fails(place.run(&LONG), 1, &["data_sha256 (", "--overwrite"]);
}

#[test]
fn another_binary_or_processor_is_refused_unless_allowed_and_then_recorded() {
    let place = half_done();
    edit_record(&place, |record| {
        record["build"]["binary_sha256"] = json!("0123456789abcdef".repeat(4));
        record["host"]["cpu_capability"] = json!("ABACUS");
    });
    let words = ["binary (01234567 → ", "cpu_capability (ABACUS → ", "--allow-inexact"];
    fails(place.resume(&LONG), 1, &words);
    assert_eq!(place.record(LONG_RUNS[0])["status"], "interrupted");
    let mut allowed = place.resume(&LONG);
    allowed.arg("--allow-inexact");
    succeeds(allowed);
    let record = place.record(LONG_RUNS[0]);
    assert_eq!((&record["status"], &record["inexact"]), (&json!("complete"), &json!(true)));
    assert_eq!(record["resumed"], 1);
    // The other run of the grid began under one set of conditions only.
    assert_eq!(place.record(LONG_RUNS[1])["inexact"], false);
}

#[test]
fn a_record_that_is_cut_off_is_named_with_the_way_out() {
    let place = half_done();
    let path = place.run_folder(LONG_RUNS[0], 0).join("run.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, &text[..text.len() / 2]).unwrap();
    for command in [place.run(&LONG), place.resume(&LONG)] {
        fails(command, 1, &["seed-0/run.json", "--overwrite"]);
    }
}

#[test]
fn rows_that_do_not_read_are_named_and_a_lost_event_file_does_no_harm() {
    let place = half_done();
    let rows = place.run_folder(LONG_RUNS[0], 0).join("metrics.csv");
    let text = fs::read_to_string(&rows).unwrap();
    fs::write(&rows, text.replacen("\n4,", "\nfour,", 1)).unwrap();
    fails(place.resume(&LONG), 1, &["metrics.csv, line 2", "four"]);
    fs::write(&rows, text).unwrap();
    fs::remove_file(place.run_folder(LONG_RUNS[0], 0).join("events.out.tfevents.run")).unwrap();
    succeeds(place.resume(&LONG));
    assert_eq!(read_json(&rows.with_file_name("run.json"))["status"], "complete");
}
