//! CIFAR-10: 50,000 training and 10,000 test pictures of 32x32 in 10 classes.
//!
//! Source: Krizhevsky 2009, and the description of the files on the data set's page.

use super::images::ImageSet;

mod batches;
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

/// A split of 32x32 colour pictures.
fn image_set(images: Vec<u8>, labels: Vec<u8>) -> ImageSet {
    let classes = CLASSES.iter().map(|c| (*c).to_owned()).collect();
    let n = labels.len();
    ImageSet { images, labels, n, channels: 3, height: SIDE, width: SIDE, classes }
}
