//! The official binary version: batches of records, each a label and 3072 bytes of pixels.

use std::path::Path;

use super::{BATCH, PICTURE_BYTES, batches, image_set};
use crate::data::error::DataError;
use crate::data::images::ImageSet;
use crate::data::lookup::LocatedFile;

/// The batches in the order of the official training and test set.
pub(crate) const BATCH_FILES: [&str; 6] = [
    "data_batch_1.bin",
    "data_batch_2.bin",
    "data_batch_3.bin",
    "data_batch_4.bin",
    "data_batch_5.bin",
    "test_batch.bin",
];

const RECORD: usize = 1 + PICTURE_BYTES;

/// Reads `cifar-10-binary.tar.gz`: train and test.
///
/// # Errors
/// A damaged archive; a batch that is missing, breaks the format or is not the official one.
pub fn read_archive(path: &Path) -> Result<(ImageSet, ImageSet), DataError> {
    batches::read_archive(path, &BATCH_FILES, parse_batch)
}

/// Reads the six unpacked batch files: train and test.
///
/// # Errors
/// A file that cannot be read, breaks the format or is not the official one.
pub fn read_files(files: &[LocatedFile]) -> Result<(ImageSet, ImageSet), DataError> {
    batches::read_files(files, parse_batch)
}

fn parse_batch(path: &Path, place: &str, bytes: &[u8]) -> Result<ImageSet, DataError> {
    if bytes.len() != BATCH * RECORD {
        let found = format!("{} bytes", bytes.len());
        let wanted = format!("{} bytes: {BATCH} records of {RECORD}", BATCH * RECORD);
        return Err(DataError::malformed(path, place, found, wanted));
    }
    let mut images = Vec::with_capacity(BATCH * PICTURE_BYTES);
    let mut labels = Vec::with_capacity(BATCH);
    for (i, record) in bytes.chunks_exact(RECORD).enumerate() {
        let label = record[0];
        if label > 9 {
            let place = format!("{place}, record {i}");
            return Err(DataError::malformed(
                path,
                place,
                format!("label {label}"),
                "a label in 0..=9",
            ));
        }
        labels.push(label);
        images.extend(&record[1..]);
    }
    Ok(image_set(images, labels))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_its_label_and_then_three_planes() {
        let mut bytes = vec![0; BATCH * RECORD];
        bytes[7 * RECORD] = 9;
        bytes[7 * RECORD + 1] = 100; // red, row 0, column 0
        bytes[7 * RECORD + 1 + 2 * 1024 + 33] = 200; // blue, row 1, column 1
        let set = parse_batch(Path::new("b"), "records", &bytes).unwrap();
        assert_eq!((set.n, set.labels[6], set.labels[7]), (10_000, 0, 9));
        assert_eq!((set.picture(7)[0], set.picture(7)[2 * 1024 + 33]), (100, 200));
        assert_eq!(set.picture(7).iter().map(|b| u32::from(*b)).sum::<u32>(), 300);
    }

    #[test]
    fn a_short_batch_and_a_bad_label_are_named() {
        let mut bytes = vec![0; BATCH * RECORD];
        let path = Path::new("data_batch_1.bin");
        let error = parse_batch(path, "records", &bytes[..1000]).unwrap_err().to_string();
        assert!(
            error.contains("data_batch_1.bin: records: found 1000 bytes, wanted 30730000"),
            "{error}"
        );
        bytes[3 * RECORD] = 10;
        let error = parse_batch(path, "records", &bytes).unwrap_err().to_string();
        assert!(error.contains("record 3: found label 10, wanted a label in 0..=9"), "{error}");
    }
}
