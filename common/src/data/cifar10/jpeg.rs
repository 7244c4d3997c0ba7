//! CIFAR-10 as one archive of JPEG pictures and a table that gives the official order.

use std::collections::HashMap;
use std::fs::File;
use std::ops::Range;
use std::path::Path;

use flate2::read::GzDecoder;
use serde::Deserialize;

use super::{BATCH, CLASSES, N_TEST, N_TRAIN, PICTURE_BYTES, SIDE, image_set};
use crate::data::error::DataError;
use crate::data::image_folder::{decode_rgb, for_each_file};
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
pub(super) struct Order {
    pub(super) train: Vec<(u8, String)>,
    pub(super) test: Vec<(u8, String)>,
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
        let mut pictures = Self { bytes: Vec::new(), by_path: HashMap::new() };
        for_each_file(path, |name, content| {
            let start = pictures.bytes.len();
            content.read_to_end(&mut pictures.bytes)?;
            pictures.by_path.insert(name.to_owned(), start..pictures.bytes.len());
            Ok(())
        })?;
        Ok(pictures)
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
        Ok(image_set(images, order.iter().map(|(label, _)| *label).collect()))
    }
}

/// The official order and labels, from `cifar10_order.csv.gz`.
pub(super) fn read_order(path: &Path) -> Result<Order, DataError> {
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
    use std::io::Write;

    use super::*;
    use crate::data::catalog::Catalog;
    use crate::data::cifar10::strips;
    use crate::data::images::Splits;
    use crate::data::lookup::{Located, Lookup};

    /// A set of the mirror folder, or `None` where there is no mirror.
    fn mirrored(name: &str) -> Option<(Located, Splits)> {
        let mirror = std::env::var_os("LANDMARKS_MIRROR")?.into();
        let cache = tempfile::tempdir().unwrap();
        let lookup = Lookup { mirror: Some(mirror), ..Lookup::in_cache(cache.path().to_owned()) };
        let located = Catalog::builtin().locate(name, &lookup).unwrap();
        let splits = crate::data::load_images(&located, &lookup).unwrap();
        Some((located, splits))
    }

    #[test]
    fn the_real_set_has_the_published_counts_and_first_labels() {
        let Some((_, splits)) = mirrored("cifar10-jpeg") else { return };
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

    #[test]
    fn each_jpeg_is_near_the_official_pixels_at_its_place() {
        let Some((_, jpeg)) = mirrored("cifar10-jpeg") else { return };
        let Some((located, strips)) = mirrored("cifar10-lossless") else { return };
        let (train, test) = strips::official_places(&located.files).unwrap();
        assert_eq!((train.len(), test.len()), (8068, 1017));
        let mut psnr = Vec::new();
        for (exact, lossy, places) in
            [(&strips.train, &jpeg.train, train), (&strips.test, &jpeg.test, test)]
        {
            for (i, place) in places.into_iter().enumerate() {
                assert_eq!(exact.labels[i], lossy.labels[place]);
                let pairs = exact.picture(i).iter().zip(lossy.picture(place));
                let squares: f64 =
                    pairs.map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
                psnr.push(10.0 * (255.0_f64.powi(2) * PICTURE_BYTES as f64 / squares).log10());
            }
        }
        let mean = psnr.iter().sum::<f64>() / psnr.len() as f64;
        let least = psnr.iter().copied().fold(f64::INFINITY, f64::min);
        // As measured with another decoder when the copy was made: mean 30.5, least 23.1.
        assert!((mean - 30.5).abs() < 0.1, "mean {mean} dB");
        assert!((least - 23.1).abs() < 0.2, "least {least} dB");
    }

    #[test]
    fn an_order_that_contradicts_itself_is_refused_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("order.csv.gz");
        let error = |rows: &str| {
            let file = File::create(&path).unwrap();
            let mut gz = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
            write!(gz, "split,batch,index,label,jpeg\n{rows}").unwrap();
            gz.finish().unwrap();
            read_order(&path).err().unwrap().to_string()
        };
        let row = "train,1,0,6,train/frog/0000.jpg\n";
        for (rows, expected) in [
            ("train,1,0,10,train/frog/0000.jpg\n".to_owned(), "line 2: found label 10"),
            ("train,1,0,6,train/cat/0000.jpg\n".to_owned(), "wanted a picture in train/frog/"),
            ("train,6,0,6,train/frog/0000.jpg\n".to_owned(), "found train, batch 6, index 0"),
            ("test,0,10000,6,test/frog/0000.jpg\n".to_owned(), "index 10000"),
            (format!("{row}{row}"), "line 3: found a place named twice"),
            (row.to_owned(), "train, picture 1: found no row"),
            ("train,1\n".to_owned(), "line 2: found"),
        ] {
            let error = error(&rows);
            assert!(error.contains(expected), "expected {expected}\n     got {error}");
        }
    }
}
