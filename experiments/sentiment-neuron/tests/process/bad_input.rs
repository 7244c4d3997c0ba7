//! What is damaged or makes no sense ends with an error that says where, and leaves what was there before.

use std::fs;
use std::io::Write as _;

use testing::said;

use crate::place::{Place, on_the_dump, rows, run_folder, stop_after, strs};

#[test]
fn a_dump_damaged_in_the_middle_is_an_error_with_file_and_place_and_leaves_nothing() {
    let place = Place::new();
    let dump = fs::read(place.path("reviews.json.gz")).unwrap();
    fs::write(place.path("reviews.json.gz"), &dump[..dump.len() / 2]).unwrap();
    let failed = place.run("language-model", "results", &strs(&on_the_dump(10))).output().unwrap();
    assert_eq!(failed.status.code(), Some(1));
    let said = said(&failed);
    assert!(
        said.contains("reviews.json.gz: byte ") && said.contains("a whole gzip file"),
        "{said}"
    );
    assert!(!place.path("results").exists());
}

#[test]
fn a_dump_damaged_under_a_stopped_training_is_an_error_and_the_checkpoint_stays_good() {
    let place = Place::new();
    let (dump, results) = (place.path("reviews.json.gz"), place.path("results"));
    let args = on_the_dump(400);
    stop_after(place.run("language-model", "results", &strs(&args)), &results, 5);
    let whole = fs::read(&dump).unwrap();
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 64].fill(0xff);
    fs::write(&dump, damaged).unwrap();
    let resume = || {
        let again = [strs(&args), vec!["--resume"]].concat();
        place.run("language-model", "results", &again).output().unwrap()
    };
    let before = rows(&results);
    let failed = resume();
    assert_eq!(failed.status.code(), Some(1), "{}", said(&failed));
    // What the packer still makes of it is no JSON any more: the line is the place.
    let said_of = said(&failed);
    assert!(
        said_of.contains("reviews.json.gz: line ") && said_of.contains("one JSON object"),
        "{said_of}"
    );
    assert_eq!(rows(&results), before);
    fs::write(&dump, whole).unwrap();
    let resumed = resume();
    assert!(resumed.status.success(), "{}", said(&resumed));
    assert_eq!(rows(&results).len(), 80);
}

#[test]
fn bytes_that_are_no_utf_8_and_empty_reviews_are_counted_and_no_end_of_the_training() {
    let place = Place::new();
    let mut dump = fs::File::create(place.path("odd.json")).unwrap();
    for i in 0..400 {
        let mut line = b"{\"reviewText\": \"".to_vec();
        match i {
            0..5 => line.extend(b" &nbsp; "),
            5..12 => line.extend(format!("cr\u{e8}me {i}").chars().map(|c| c as u8)),
            _ => line.extend(format!("a plain review of some length, number {i}").bytes()),
        }
        line.extend(b"\"}\n");
        dump.write_all(&line).unwrap();
    }
    writeln!(dump, "{{\"overall\": 5.0}}").unwrap();
    let mut args = on_the_dump(10);
    args[1] = "language-model.text=\"odd.json\"".into();
    let made = place.run("language-model", "results", &strs(&args)).output().unwrap();
    assert!(made.status.success(), "{}", said(&made));
    let wanted = "395 reviews";
    assert!(said(&made).contains(wanted), "wanted {wanted}: {}", said(&made));
    assert!(said(&made).contains("and 6 empty ones; 7 were not UTF-8"), "{}", said(&made));
}

#[test]
fn a_loss_that_leaves_the_numbers_is_an_error_with_the_step_and_the_run_is_marked_failed() {
    let place = Place::new();
    let mut args = on_the_dump(50);
    args[3] = args[3].replace("lr=2e-2", "lr=1e38");
    let failed = place.run("language-model", "results", &strs(&args)).output().unwrap();
    assert_eq!(failed.status.code(), Some(1), "{}", said(&failed));
    let said = said(&failed);
    assert!(said.contains("at step ") && said.contains("learning rate"), "{said}");
    let folder = run_folder(&place.path("results")).unwrap();
    let record = fs::read_to_string(folder.join("run.json")).unwrap();
    assert!(record.contains("\"failed\""), "{record}");
}

#[test]
fn a_preset_that_no_run_can_use_is_refused_before_anything_starts() {
    let place = Place::new();
    let mut args = on_the_dump(10);
    args[3] = args[3].replace("lr=2e-2", "lr=0.0");
    let failed = place.run("language-model", "results", &strs(&args)).output().unwrap();
    assert_eq!(failed.status.code(), Some(2), "{}", said(&failed));
    assert!(said(&failed).contains("language-model.mlstm-16.lr"), "{}", said(&failed));
}
