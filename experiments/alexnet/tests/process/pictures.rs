//! A data set that a test makes itself: idx files under the names of Fashion-MNIST.

use std::fs;
use std::path::Path;

/// Pictures for training.
pub(crate) const N: usize = 256;
/// Rows and columns of the usual set; small, so that an update takes a few milliseconds.
pub(crate) const SIZE: usize = 12;

/// Writes grey pictures of `size × size` in ten classes to `folder`, the four idx files not compressed.
///
/// A class is the place of a bright column; `salt` changes the noise. The last pictures of a split all look
/// alike whatever their label, so that no net gets to an error of 0 and a run lasts as long as it was told.
pub(crate) fn write(folder: &Path, size: usize, salt: u64) {
    fs::create_dir_all(folder).unwrap();
    for (split, n) in [("train", N), ("t10k", 20)] {
        let mut noise = Noise(salt + n as u64);
        let mut images = header(&[n, size, size]);
        let mut labels = header(&[n]);
        for i in 0..n {
            let label = i % 10;
            labels.push(label as u8);
            let column = |x: usize| if x * 10 / size == label { 215 } else { 0 };
            images.extend((0..size * size).map(|at| column(at % size) + noise.next() % 40));
        }
        let (picture, end) = (size * size, images.len());
        for i in 1..n / 8 {
            images.copy_within(end - picture..end, end - (i + 1) * picture);
        }
        fs::write(folder.join(format!("{split}-images-idx3-ubyte")), images).unwrap();
        fs::write(folder.join(format!("{split}-labels-idx1-ubyte")), labels).unwrap();
    }
}

/// Zero, zero, unsigned bytes, the number of dimensions, the dimensions.
fn header(dims: &[usize]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, dims.len() as u8];
    bytes.extend(dims.iter().flat_map(|&dim| (dim as u32).to_be_bytes()));
    bytes
}

/// The same bytes on every machine.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u8 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 56) as u8
    }
}
