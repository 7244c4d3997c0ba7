//! CIFAR-10 as one archive of JPEG pictures and a table that gives the official order.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::Path;

use flate2::read::GzDecoder;
use serde::Deserialize;

use super::{BATCH, CLASSES, N_TEST, N_TRAIN, PICTURE_BYTES, SIDE, class_names};
use crate::data::error::DataError;
use crate::data::image_folder::decode_rgb;
use crate::data::images::{ImageSet, fill_parallel};

/// One row of `cifar10_order.csv.gz`.
#[derive(Debug, Deserialize)]
struct Row {
    split: String,
    /// 1..=5 for training, 0 for the test batch.
    batch: usize,
    index: usize,
    label: u8,
    jpeg: String,
}

/// Where a picture belongs: label and path in the archive, in official order.
struct Order {
    train: Vec<(u8, String)>,
    test: Vec<(u8, String)>,
}

/// Reads `cifar10-jpeg.tar.gz` in the order of `cifar10_order.csv.gz`: train and test.
///
/// # Errors
/// A damaged archive, a picture that does not decode or is not 32x32, an order that names a picture
/// twice, leaves a place empty or contradicts the folder's class.
pub fn read(archive: &Path, order: &Path) -> Result<(ImageSet, ImageSet), DataError> {
    let pictures = Pictures::unpack(archive)?;
    let order = read_order(order)?;
    Ok((pictures.decode(archive, &order.train)?, pictures.decode(archive, &order.test)?))
}

/// All files of the archive in one buffer.
struct Pictures {
    bytes: Vec<u8>,
    by_path: HashMap<String, Range<usize>>,
}

impl Pictures {
    fn unpack(path: &Path) -> Result<Self, DataError> {
        let file = File::open(path).map_err(DataError::io(path, "open"))?;
        let mut archive = tar::Archive::new(GzDecoder::new(file));
        let mut bytes = Vec::new();
        let mut by_path = HashMap::new();
        for entry in archive.entries().map_err(DataError::io(path, "unpack"))? {
            let mut entry = entry.map_err(DataError::io(path, "unpack"))?;
            if !entry.header().entry_type().is_file() {
                continue;
            }
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let start = bytes.len();
            entry.read_to_end(&mut bytes).map_err(DataError::io(path, "unpack"))?;
            by_path.insert(name, start..bytes.len());
        }
        Ok(Self { bytes, by_path })
    }

    fn decode(&self, archive: &Path, order: &[(u8, String)]) -> Result<ImageSet, DataError> {
        let mut images = vec![0; order.len() * PICTURE_BYTES];
        fill_parallel(&mut images, PICTURE_BYTES, |i, out| {
            let name = &order[i].1;
            let bytes = self.by_path.get(name).ok_or_else(|| {
                DataError::malformed(archive, name, "no such picture", "a picture the order names")
            })?;
            let bytes = &self.bytes[bytes.clone()];
            decode_rgb(archive, name, bytes, (SIDE, SIDE), out)
        })?;
        Ok(ImageSet {
            images,
            labels: order.iter().map(|(label, _)| *label).collect(),
            n: order.len(),
            channels: 3,
            height: SIDE,
            width: SIDE,
            classes: class_names(),
        })
    }
}

fn read_order(path: &Path) -> Result<Order, DataError> {
    let file = File::open(path).map_err(DataError::io(path, "open"))?;
    let mut train = vec![(0, String::new()); N_TRAIN];
    let mut test = vec![(0, String::new()); N_TEST];
    for (i, row) in csv::Reader::from_reader(GzDecoder::new(file)).deserialize().enumerate() {
        let line = format!("line {}", i + 2);
        let row: Row = row.map_err(|e| {
            DataError::malformed(path, &line, e.to_string(), "split,batch,index,label,jpeg")
        })?;
        let class = CLASSES.get(usize::from(row.label)).ok_or_else(|| {
            DataError::malformed(path, &line, format!("label {}", row.label), "a label in 0..=9")
        })?;
        if !row.jpeg.starts_with(&format!("{}/{class}/", row.split)) {
            let wanted = format!("a picture in {}/{class}/", row.split);
            return Err(DataError::malformed(path, &line, row.jpeg, wanted));
        }
        let place = match (row.split.as_str(), row.batch, row.index) {
            ("train", 1..=5, 0..BATCH) => &mut train[(row.batch - 1) * BATCH + row.index],
            ("test", 0, 0..BATCH) => &mut test[row.index],
            (split, batch, index) => {
                let found = format!("{split}, batch {batch}, index {index}");
                let wanted = "train with batch 1..=5 or test with batch 0, index below 10000";
                return Err(DataError::malformed(path, &line, found, wanted));
            }
        };
        if !place.1.is_empty() {
            return Err(DataError::malformed(
                path,
                &line,
                "a place named twice",
                "each place once",
            ));
        }
        *place = (row.label, row.jpeg);
    }
    for (split, rows) in [("train", &train), ("test", &test)] {
        if let Some(i) = rows.iter().position(|(_, jpeg)| jpeg.is_empty()) {
            let place = format!("{split}, picture {i}");
            return Err(DataError::malformed(path, place, "no row", "one row a picture"));
        }
    }
    Ok(Order { train, test })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::catalog::Catalog;
    use crate::data::lookup::Lookup;

    /// The mirror's set, or `None` where there is no mirror.
    pub(crate) fn mirrored() -> Option<crate::data::images::Splits> {
        let mirror = std::env::var_os("LANDMARKS_MIRROR")?.into();
        let cache = tempfile::tempdir().unwrap();
        let lookup = Lookup {
            data_dir: None,
            data_dir_is_flag: false,
            cache: cache.path().to_owned(),
            mirror: Some(mirror),
            offline: true,
        };
        let located = Catalog::builtin().locate("cifar10-jpeg", &lookup).unwrap();
        Some(crate::data::load_images(&located, &lookup).unwrap())
    }

    #[test]
    fn the_real_set_has_the_published_counts_and_first_labels() {
        let Some(splits) = mirrored() else { return };
        assert_eq!((splits.train.n, splits.test.n), (50_000, 10_000));
        let count = |set: &ImageSet, class| {
            set.labels.iter().map(|l| usize::from(*l == class)).sum::<usize>()
        };
        for class in 0..10 {
            assert_eq!(count(&splits.train, class), 5000);
            assert_eq!(count(&splits.test, class), 1000);
        }
        // As every copy of test_batch begins.
        assert_eq!(splits.test.labels[..10], [3, 8, 8, 0, 6, 6, 1, 6, 3, 1]);
        assert_eq!(splits.train.labels[..5], [6, 9, 9, 4, 1]);
    }
}
