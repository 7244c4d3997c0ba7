//! CIFAR-10: 50,000 training and 10,000 test pictures of 32x32 in 10 classes.
//!
//! Source: Krizhevsky 2009, and the description of the files on the data set's page.

use std::path::Path;

use sha2::{Digest, Sha256};

use super::error::DataError;
use super::images::{ImageSet, hex};

pub mod binary;
pub mod folders;
pub mod jpeg;
pub mod python;
pub mod strips;

/// Class names in the official order of labels (`batches.meta.txt`).
pub const CLASSES: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// Rows and columns of a picture.
pub const SIDE: usize = 32;

/// Bytes of a picture: red, green and blue planes.
pub const PICTURE_BYTES: usize = 3 * SIDE * SIDE;

/// Pictures in one official batch; five for training, one for testing.
pub const BATCH: usize = 10_000;

/// Training pictures.
pub const N_TRAIN: usize = 5 * BATCH;

/// Test pictures.
pub const N_TEST: usize = BATCH;

/// Sums of the official `data_batch_1.bin` to `data_batch_5.bin` and `test_batch.bin`.
///
/// Source: the list of files of two independent loaders, torchvision for Ruby and red-datasets for
/// Ruby, and for the test batch a third repository.
const BATCH_SHA256: [&str; 6] = [
    "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
    "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
    "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
    "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
    "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
    "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
];

/// A split of 32x32 colour pictures.
fn image_set(images: Vec<u8>, labels: Vec<u8>) -> ImageSet {
    let classes = CLASSES.iter().map(|c| (*c).to_owned()).collect();
    let n = labels.len();
    ImageSet { images, labels, n, channels: 3, height: SIDE, width: SIDE, classes }
}

/// Train and test split out of the six official batches, in order.
fn join(batches: Vec<ImageSet>) -> (ImageSet, ImageSet) {
    let mut train = image_set(Vec::with_capacity(N_TRAIN * PICTURE_BYTES), Vec::new());
    let mut test = image_set(Vec::new(), Vec::new());
    for (i, batch) in batches.into_iter().enumerate() {
        let split = if i < 5 { &mut train } else { &mut test };
        split.images.extend(batch.images);
        split.labels.extend(batch.labels);
        split.n = split.labels.len();
    }
    (train, test)
}

/// Checks that the batches, from whatever file, hold exactly the official labels and pixels.
fn check_official(path: &Path, batches: &[ImageSet]) -> Result<(), DataError> {
    for (i, (batch, wanted)) in batches.iter().zip(BATCH_SHA256).enumerate() {
        let mut hash = Sha256::new();
        for (k, label) in batch.labels.iter().enumerate() {
            hash.update([*label]);
            hash.update(batch.picture(k));
        }
        let found = hex(&hash.finalize());
        if found != wanted {
            let place =
                if i < 5 { format!("training batch {}", i + 1) } else { "test batch".into() };
            let found = format!("labels and pixels with sha256 {found}");
            return Err(DataError::malformed(path, place, found, format!("the official {wanted}")));
        }
    }
    Ok(())
}
