use std::fs;

use proptest::prelude::*;

use super::*;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn rows_are_written_as_plain_csv_with_empty_cells() {
    let dir = folder();
    let path = dir.path().join("metrics.csv");
    let mut writer = MetricsWriter::create(&path, &["train/loss", "val/loss"]).unwrap();
    writer.row(1, 0.25, &[("train/loss", 2.5)]).unwrap();
    writer.row(1, 0.5, &[("val/loss", 1e-7), ("train/loss", -0.0)]).unwrap();
    writer.row(2, 1e3, &[]).unwrap();
    writer.row(3, 1001.0, &[("train/loss", f64::NAN), ("val/loss", f64::NEG_INFINITY)]).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let wanted = "step,elapsed_s,train/loss,val/loss\n\
                  1,0.25,2.5,\n1,0.5,-0,1e-7\n2,1000,,\n3,1001,NaN,-inf\n";
    assert_eq!(text, wanted);
}

#[test]
fn a_file_reads_back_by_column() {
    let dir = folder();
    let path = dir.path().join("metrics.csv");
    let mut writer = MetricsWriter::create(&path, &["train/loss", "val/loss"]).unwrap();
    writer.row(1, 0.1, &[("train/loss", 2.0)]).unwrap();
    writer.row(2, 0.2, &[("train/loss", 1.5), ("val/loss", 1.75)]).unwrap();
    let metrics = read(&path).unwrap();
    assert_eq!(metrics.columns, ["train/loss", "val/loss"]);
    assert_eq!(metrics.column("train/loss").unwrap(), [(1, 2.0), (2, 1.5)]);
    assert_eq!(metrics.column("val/loss").unwrap(), [(2, 1.75)]);
    assert_eq!(metrics.rows[1].elapsed_s.to_bits(), 0.2_f64.to_bits());
    let message = metrics.column("val/los").unwrap_err().to_string();
    assert!(message.contains("no column `val/los`"), "{message}");
    assert!(message.contains("train/loss, val/loss"), "{message}");
}

proptest! {
    #[test]
    fn every_finite_number_reads_back_bit_for_bit(bits: u64) {
        let value = f64::from_bits(bits);
        prop_assume!(!value.is_nan());
        let mut text = String::new();
        push_float(&mut text, value);
        prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), bits, "{}", text);
        prop_assert!(text.len() <= 24, "{} is longer than any shortest form", text);
    }
}

#[test]
fn resume_keeps_rows_up_to_the_step_and_goes_on() {
    let dir = folder();
    let (straight, stopped) = (dir.path().join("a.csv"), dir.path().join("b.csv"));
    let mut writer = MetricsWriter::create(&straight, &["loss"]).unwrap();
    for step in 1..=6 {
        writer.row(step, 1.0, &[("loss", 1.0 / step as f64)]).unwrap();
    }
    let mut writer = MetricsWriter::create(&stopped, &["loss"]).unwrap();
    for step in 1..=5 {
        writer.row(step, 1.0, &[("loss", 1.0 / step as f64)]).unwrap();
    }
    drop(writer);
    let mut writer = MetricsWriter::resume(&stopped, &["loss"], 3).unwrap();
    for step in 4..=6 {
        writer.row(step, 1.0, &[("loss", 1.0 / step as f64)]).unwrap();
    }
    assert_eq!(fs::read_to_string(&straight).unwrap(), fs::read_to_string(&stopped).unwrap());
}

#[test]
fn resume_drops_a_torn_last_line_at_every_place_it_can_be_cut() {
    let dir = folder();
    let path = dir.path().join("metrics.csv");
    let whole = "step,elapsed_s,loss\n1,0.5,2\n2,1,1.5\n";
    let kept = "step,elapsed_s,loss\n1,0.5,2\n";
    for cut in kept.len()..whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        assert_eq!(read(&path).unwrap().rows.len(), 1, "cut at {cut}");
        MetricsWriter::resume(&path, &["loss"], 9).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), kept, "cut at {cut}");
    }
    // A power cut can leave zeros where the row should be.
    fs::write(&path, format!("{kept}{}", "\0".repeat(40))).unwrap();
    MetricsWriter::resume(&path, &["loss"], 9).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), kept);
}

#[test]
fn resume_to_before_the_first_row_keeps_the_header() {
    let dir = folder();
    let path = dir.path().join("metrics.csv");
    fs::write(&path, "step,elapsed_s,loss\n1,0.5,2\n").unwrap();
    let mut writer = MetricsWriter::resume(&path, &["loss"], 0).unwrap();
    writer.row(1, 0.75, &[]).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "step,elapsed_s,loss\n1,0.75,\n");
}

#[test]
fn resume_refuses_other_columns_and_a_missing_file() {
    let dir = folder();
    let path = dir.path().join("metrics.csv");
    let message = MetricsWriter::resume(&path, &["loss"], 0).unwrap_err().to_string();
    assert!(message.contains("metrics.csv: cannot read the file to resume"), "{message}");
    fs::write(&path, "step,elapsed_s,loss\n").unwrap();
    let message = MetricsWriter::resume(&path, &["loss", "acc"], 0).unwrap_err().to_string();
    assert!(message.contains("line 1: columns loss; wanted columns loss, acc"), "{message}");
}

#[test]
fn a_row_with_an_unknown_or_repeated_column_or_an_earlier_step_changes_nothing() {
    let dir = folder();
    let path = dir.path().join("metrics.csv");
    let mut writer = MetricsWriter::create(&path, &["loss"]).unwrap();
    writer.row(5, 1.0, &[("loss", 2.0)]).unwrap();
    let before = fs::read_to_string(&path).unwrap();
    let message = writer.row(6, 1.0, &[("los", 1.0)]).unwrap_err().to_string();
    assert!(message.contains("no column `los`; the columns are loss"), "{message}");
    let message = writer.row(6, 1.0, &[("loss", 1.0), ("loss", 1.0)]).unwrap_err().to_string();
    assert!(message.contains("step 6 gives column `loss` twice"), "{message}");
    let message = writer.row(4, 1.0, &[]).unwrap_err().to_string();
    assert!(message.contains("step 4 after step 5"), "{message}");
    assert_eq!(fs::read_to_string(&path).unwrap(), before);
    drop(writer);
    let mut writer = MetricsWriter::resume(&path, &["loss"], 5).unwrap();
    assert!(writer.row(4, 1.0, &[]).is_err(), "the last step is known after a resume too");
}

#[test]
fn names_that_csv_cannot_hold_bare_are_refused() {
    let dir = folder();
    for name in ["", "step", "elapsed_s", "a,b", "a\"b", "a\nb"] {
        let made = MetricsWriter::create(dir.path().join("metrics.csv"), &["loss", name]);
        assert!(matches!(made, Err(Error::BadColumn { .. })), "{name:?}: {made:?}");
    }
    let made = MetricsWriter::create(dir.path().join("metrics.csv"), &["loss", "loss"]);
    assert!(matches!(made, Err(Error::BadColumn { .. })), "{made:?}");
}

#[test]
fn damage_is_reported_with_file_and_line() {
    let dir = folder();
    let path = dir.path().join("metrics.csv");
    for (text, wanted) in [
        ("", "line 1: an empty file"),
        ("epoch,loss\n", "line 1: `epoch,loss`; wanted a header that begins `step,elapsed_s`"),
        ("step,elapsed_s,loss\n1,0.5\n", "line 2: 2 cells in `1,0.5`; wanted 3 cells"),
        ("step,elapsed_s,loss\n1,0.5,1\n2,0.5,x1\n", "line 3: `x1`; wanted a number"),
        ("step,elapsed_s,loss\n1.5,0.5,1\n", "line 2: step `1.5`; wanted a whole number"),
        ("step,elapsed_s,loss\n2,0.5,1\n1,0.5,1\n", "line 3: step 1 after step 2"),
        ("step,elapsed_s,loss\n\n", "line 2: 1 cells in ``"),
    ] {
        fs::write(&path, text).unwrap();
        let message = read(&path).unwrap_err().to_string();
        assert!(message.contains(wanted), "\nexpected {wanted}\n     got {message}");
        assert!(message.contains("metrics.csv, line"), "{message}");
    }
}

#[test]
fn a_write_that_the_disk_refuses_is_an_error_that_names_the_file() {
    // Every write to /dev/full fails with ENOSPC.
    let file = OpenOptions::new().append(true).open("/dev/full").unwrap();
    let columns = vec!["loss".to_owned()];
    let path = PathBuf::from("/dev/full");
    let mut writer = MetricsWriter { file, path, columns, last_step: None, len: 0 };
    let message = writer.row(1, 0.0, &[]).unwrap_err().to_string();
    assert!(message.starts_with("/dev/full: cannot append a row: No space left"), "{message}");
}
