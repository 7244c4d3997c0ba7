//! Pictures without meaning.

use common::data::images::ImageSet;

/// `n` pictures as large as CIFAR-10's, the same each time.
pub(crate) fn noise(n: usize) -> ImageSet {
    let level = |i: usize| (i.wrapping_mul(2_654_435_761) >> 13) as u8;
    ImageSet {
        images: (0..n * 3072).map(level).collect(),
        labels: (0..n).map(|i| (i % 10) as u8).collect(),
        n,
        channels: 3,
        height: 32,
        width: 32,
        classes: (0..10).map(|i| i.to_string()).collect(),
    }
}
