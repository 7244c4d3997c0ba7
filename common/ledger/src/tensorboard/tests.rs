use std::fs;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::*;

/// What `tests/oracle/read_tfevents.py` stored: the sum of the file it was given, and what the
/// `tensorboard` package read from it.
#[derive(Deserialize)]
struct Fixture {
    sha256: String,
    size_bytes: usize,
    version: ReadVersion,
    scalars: Vec<ReadScalar>,
}

#[derive(Deserialize)]
struct ReadVersion {
    wall_time: f64,
    file_version: String,
}

#[derive(Deserialize)]
struct ReadScalar {
    step: u64,
    wall_time: f64,
    tag: String,
    /// As `float32` bits, since JSON has neither NaN nor infinity.
    value_bits: u32,
}

/// The events both sides agree on: multi-byte tags, steps and lengths above 127, values that single
/// precision rounds, and values JSON cannot say.
fn events() -> Vec<(u64, f64, String, f64)> {
    let start = 1_700_000_000.25;
    let mut events = vec![
        (0, start, "train/loss".to_owned(), 0.693_2),
        (1, start + 0.5, "train/loss".to_owned(), 1e-3),
        (1, start + 0.5, "val/accuracy".to_owned(), 0.1),
        (127, start + 1.0, "train/loss".to_owned(), -0.0),
        (128, start + 1.5, "train/loss".to_owned(), 1e300),
        (300, start + 2.0, "train/loss".to_owned(), f64::NAN),
        (70_000, start + 2.5, "λ/größe".to_owned(), 3.4e38),
        (5_000_000_000, start + 3.0, "long/".to_owned() + &"x".repeat(200), 1e-45),
    ];
    for step in 0..200_u64 {
        let loss = 1.0 / (1.0 + step as f64);
        events.push((
            5_000_000_001 + step,
            start + 4.0 + step as f64 / 8.0,
            "run/loss".into(),
            loss,
        ));
    }
    events
}

fn write_all(path: &Path) {
    let mut writer = EventWriter::create(path, 1_700_000_000.0).unwrap();
    for (step, wall_time, tag, value) in events() {
        writer.scalar(step, wall_time, &tag, value).unwrap();
    }
}

#[test]
fn the_tensorboard_package_reads_back_what_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE_NAME);
    write_all(&path);
    let bytes = fs::read(&path).unwrap();
    if let Some(copy) = std::env::var_os("LEDGER_TFEVENTS_OUT") {
        fs::write(copy, &bytes).unwrap(); // for the oracle script to read
    }
    let fixture = include_str!("../../tests/fixtures/tensorboard.json");
    let fixture: Fixture = serde_json::from_str(fixture).unwrap();
    let sha256 = crate::run::hex(&Sha256::digest(&bytes));
    assert_eq!(fixture.size_bytes, bytes.len());
    assert_eq!(fixture.sha256, sha256, "run tests/oracle/read_tfevents.py again");

    assert_eq!(fixture.version.file_version, "brain.Event:2");
    assert_eq!(fixture.version.wall_time.to_bits(), 1_700_000_000.0_f64.to_bits());
    let events = events();
    assert_eq!(fixture.scalars.len(), events.len());
    for (read, (step, wall_time, tag, value)) in fixture.scalars.iter().zip(events) {
        assert_eq!((read.step, &read.tag), (step, &tag));
        assert_eq!(read.wall_time.to_bits(), wall_time.to_bits(), "{tag} at {step}");
        let (got, wanted) = (f32::from_bits(read.value_bits), value as f32);
        assert!(got.to_bits() == wanted.to_bits() || (got.is_nan() && wanted.is_nan()), "{tag}");
    }
}

#[test]
fn resume_equals_an_unbroken_file_wherever_it_was_cut() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE_NAME);
    let mut writer = EventWriter::create(&path, 1.0).unwrap();
    let mut ends = vec![fs::read(&path).unwrap().len()];
    for step in 1..=4_u64 {
        writer.scalar(step, 2.0, "loss", 0.5).unwrap();
        ends.push(fs::read(&path).unwrap().len());
    }
    let whole = fs::read(&path).unwrap();
    for cut in ends[2]..=whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        let mut writer = EventWriter::resume(&path, 9.0, 2).unwrap();
        assert_eq!(fs::read(&path).unwrap(), &whole[..ends[2]], "cut at {cut}");
        writer.scalar(3, 2.0, "loss", 0.5).unwrap();
        writer.scalar(4, 2.0, "loss", 0.5).unwrap();
        assert_eq!(fs::read(&path).unwrap(), whole, "cut at {cut}");
    }
    // A power cut can leave zeros where a record should be.
    let zeros = [&whole[..ends[2]], &[0; 50]].concat();
    fs::write(&path, zeros).unwrap();
    EventWriter::resume(&path, 9.0, 4).unwrap();
    assert_eq!(fs::read(&path).unwrap(), &whole[..ends[2]]);
}

#[test]
fn resume_starts_a_file_where_there_is_none_or_only_its_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let (fresh, path) = (dir.path().join("fresh.tfevents"), dir.path().join(FILE_NAME));
    EventWriter::create(&fresh, 7.0).unwrap();
    let wanted = fs::read(&fresh).unwrap();
    EventWriter::resume(&path, 7.0, 3).unwrap();
    assert_eq!(fs::read(&path).unwrap(), wanted);
    fs::write(&path, &wanted[..5]).unwrap();
    EventWriter::resume(&path, 7.0, 3).unwrap();
    assert_eq!(fs::read(&path).unwrap(), wanted);
}

#[test]
fn a_flipped_bit_before_the_last_record_is_an_error_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE_NAME);
    let mut writer = EventWriter::create(&path, 1.0).unwrap();
    let first = fs::read(&path).unwrap().len();
    writer.scalar(1, 2.0, "loss", 0.5).unwrap();
    writer.scalar(2, 2.0, "loss", 0.5).unwrap();
    let whole = fs::read(&path).unwrap();
    for byte in [first, first + 9, first + 20] {
        let mut bytes = whole.clone();
        bytes[byte] ^= 4;
        fs::write(&path, &bytes).unwrap();
        let message = EventWriter::resume(&path, 9.0, 2).unwrap_err().to_string();
        assert!(
            message.contains(&format!("{FILE_NAME}, byte {first}: a record whose")),
            "{message}"
        );
        assert_eq!(fs::read(&path).unwrap(), bytes, "a refusal changes nothing");
    }
}
