//! Lossless parts of CIFAR-10 as strips of PNG: one picture a row, its 1024 pixels row by row.

use std::fs;
use std::path::Path;

use super::jpeg::{Order, read_order};
use super::{BATCH, PICTURE_BYTES, SIDE, image_set};
use crate::data::error::DataError;
use crate::data::image_folder::decode;
use crate::data::images::ImageSet;
use crate::data::lookup::LocatedFile;

/// Name of each strip, whether it is of the training set, and the place of its first picture in
/// the official order of its split.
const STRIPS: [(&str, bool, usize); 9] = [
    ("cifar10_batch_0.png", true, 0),
    ("cifar10_batch_1.png", true, 1000),
    ("cifar10_batch_2.png", true, 2000),
    ("cifar10_batch_3.png", true, 3000),
    ("cifar10_data_batch_2_head.png", true, BATCH),
    ("cifar10_data_batch_3_head.png", true, 2 * BATCH),
    ("cifar10_data_batch_4_head.png", true, 3 * BATCH),
    ("cifar10_data_batch_5_head.png", true, 4 * BATCH),
    ("cifar10_test_batch_head.png", false, 0),
];

/// Reads the strips and the order's labels: train and test.
///
/// # Errors
/// A missing or damaged file; a strip that is not 1024 pixels wide.
pub fn read(files: &[LocatedFile]) -> Result<(ImageSet, ImageSet), DataError> {
    let mut splits = [image_set(Vec::new(), Vec::new()), image_set(Vec::new(), Vec::new())];
    let order = read_order(find(files, "cifar10_order.csv.gz")?)?;
    for (name, is_train, first) in STRIPS {
        let set = &mut splits[usize::from(!is_train)];
        let rows = read_strip(find(files, name)?, &mut set.images)?;
        let Order { train, test } = &order;
        let labels = if is_train { train } else { test };
        set.labels.extend(labels[first..first + rows].iter().map(|(label, _)| *label));
        set.n += rows;
    }
    let [train, test] = splits;
    Ok((train, test))
}

/// Places in the official order of the pictures that [`read`] returns: of train and of test.
///
/// # Errors
/// As [`read`].
pub fn official_places(files: &[LocatedFile]) -> Result<(Vec<usize>, Vec<usize>), DataError> {
    let mut places = (Vec::new(), Vec::new());
    for (name, is_train, first) in STRIPS {
        let rows = read_strip(find(files, name)?, &mut Vec::new())?;
        let split = if is_train { &mut places.0 } else { &mut places.1 };
        split.extend(first..first + rows);
    }
    Ok(places)
}

fn find<'a>(files: &'a [LocatedFile], name: &str) -> Result<&'a Path, DataError> {
    let file = files.iter().find(|f| f.name == name);
    file.map(|f| f.path.as_path())
        .ok_or_else(|| DataError::Catalog(format!("cifar10-lossless has no file {name}")))
}

/// Appends the pictures of one strip, `[3, 32, 32]` each; returns their number.
fn read_strip(path: &Path, images: &mut Vec<u8>) -> Result<usize, DataError> {
    let bytes = fs::read(path).map_err(DataError::io(path, "read"))?;
    let strip = decode(path, "strip", &bytes)?.into_rgb8();
    let (width, rows) = (strip.width() as usize, strip.height() as usize);
    if width != SIDE * SIDE || rows > BATCH {
        let found = format!("{width}x{rows} pixels");
        return Err(DataError::malformed(
            path,
            "strip",
            found,
            "1024 pixels a row, a row a picture",
        ));
    }
    for row in strip.as_raw().chunks_exact(PICTURE_BYTES) {
        for channel in 0..3 {
            images.extend(row.iter().skip(channel).step_by(3));
        }
    }
    Ok(rows)
}
