//! The official Python version: batches pickled as a dictionary with `data` `[10000, 3072]` and
//! `labels` `[10000]`.

use std::path::Path;

use super::{BATCH, PICTURE_BYTES, batches, image_set};
use crate::data::error::DataError;
use crate::data::images::ImageSet;
use crate::data::lookup::LocatedFile;
use crate::data::pickle::Pickle;

/// The batches in the order of the official training and test set.
pub(crate) const BATCH_FILES: [&str; 6] =
    ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"];

/// Reads `cifar-10-python.tar.gz`: train and test.
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
    let bad = |found: String, wanted: &str| DataError::malformed(path, place, found, wanted);
    let pickle = Pickle::parse(bytes)
        .map_err(|e| bad(e.to_string(), "a pickled batch of the official archive"))?;
    let (shape, pixels) = pickle
        .get("data")
        .and_then(|v| pickle.bytes_array(v))
        .ok_or_else(|| bad("no array `data`".into(), "an array of bytes"))?;
    if shape != [BATCH, PICTURE_BYTES] {
        return Err(bad(format!("`data` of shape {shape:?}"), "[10000, 3072]"));
    }
    let labels = pickle
        .get("labels")
        .and_then(|v| pickle.ints(v))
        .ok_or_else(|| bad("no list `labels`".into(), "a list of numbers"))?;
    if labels.len() != BATCH {
        return Err(bad(format!("{} labels", labels.len()), "10000"));
    }
    let labels = labels
        .iter()
        .enumerate()
        .map(|(i, label)| match u8::try_from(*label) {
            Ok(label @ 0..=9) => Ok(label),
            _ => Err(bad(format!("label {label} at {i}"), "a label in 0..=9")),
        })
        .collect::<Result<Vec<u8>, _>>()?;
    Ok(image_set(pixels.to_vec(), labels))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A batch as the official ones, with these labels and one grey level for all pixels.
    fn batch(labels: &[u8], shape: &str, level: u8) -> Vec<u8> {
        let mut bytes = b"\x80\x02}(U\x06labels](".to_vec();
        for label in labels {
            bytes.extend([b'K', *label]);
        }
        bytes.extend(b"eU\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01");
        bytes.extend(shape.chars().map(|c| c as u8));
        bytes.extend(b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03tb\x89T");
        bytes.extend((10_000 * 3072_u32).to_le_bytes());
        bytes.resize(bytes.len() + 10_000 * 3072, level);
        bytes.extend(b"tbu.");
        bytes
    }

    const SHAPE: &str = "M\u{10}\u{27}M\u{0}\u{c}\u{86}"; // (10000, 3072)

    #[test]
    fn a_batch_has_its_labels_and_its_rows_as_pictures() {
        let labels: Vec<u8> = (0..10_000).map(|i| (i % 10) as u8).collect();
        let set = parse_batch(Path::new("b"), "x", &batch(&labels, SHAPE, 5)).unwrap();
        assert_eq!((set.n, set.labels.as_slice()), (10_000, labels.as_slice()));
        assert!(set.images.len() == 30_720_000 && set.images.iter().all(|b| *b == 5));
    }

    #[test]
    fn another_shape_and_a_bad_label_are_named() {
        let error = |labels: &[u8], shape| {
            let bytes = batch(labels, shape, 0);
            parse_batch(Path::new("data_batch_1"), "x", &bytes).unwrap_err().to_string()
        };
        let mut labels = vec![0; 10_000];
        let turned = "M\u{0}\u{c}M\u{10}\u{27}\u{86}";
        let text = error(&labels, turned);
        assert!(text.contains("`data` of shape [3072, 10000], wanted [10000, 3072]"), "{text}");
        labels[17] = 11;
        let text = error(&labels, SHAPE);
        assert!(text.contains("data_batch_1: x: found label 11 at 17"), "{text}");
        let text = error(&labels[..9], SHAPE);
        assert!(text.contains("found 9 labels, wanted 10000"), "{text}");
    }
}
