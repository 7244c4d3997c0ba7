//! Small sets for the tests of this folder.

use crate::data::images::ImageSet;

/// `n` pictures whose levels tell picture, channel and place apart as far as 256 levels can.
pub(crate) fn set(n: usize, side: usize, channels: usize) -> ImageSet {
    ImageSet {
        images: (0..n * channels * side * side).map(|i| (i * 37 % 251) as u8).collect(),
        labels: (0..n).map(|i| (i % 3) as u8).collect(),
        n,
        channels,
        height: side,
        width: side,
        classes: vec!["a".into(), "b".into(), "c".into()],
    }
}
