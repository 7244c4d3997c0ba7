//! What a trained network shows: its first kernels (Figure 3), its guesses (Figure 4, left), its nearest
//! neighbours (Figure 4, right). Each is written to a run's folder and read back from there for the figure.
//!
//! Tables are gzipped CSV, one row a kernel's pixel, a guess, a neighbour. The few pictures that a figure shows
//! lie beside them as one small PNG, for the figure alone.

use std::path::Path;

use anyhow::Context as _;
use common::data::photos::square;
use common::data::sampler::epoch_order;
use image::RgbImage;
use ledger::plot::Picture;

pub mod filters;
pub mod neighbours;
pub mod predictions;

/// The pictures that are shown are drawn by this, before any network has seen them: none is chosen.
const SHOWN_SEED: u64 = 0;

/// `n` pictures out of those with these `labels`, drawn at random but of as many classes as there are.
pub fn drawn(labels: &[u32], n: usize) -> Vec<usize> {
    let order = epoch_order(SHOWN_SEED, 0, labels.len());
    let mut taken: Vec<usize> = Vec::new();
    let mut round = 0;
    while taken.len() < n.min(labels.len()) {
        // In each round one more of every class.
        for i in order.iter().map(|&i| i as usize) {
            let of_class = taken.iter().filter(|&&j| labels[j] == labels[i]).count();
            if taken.len() < n && of_class == round && !taken.contains(&i) {
                taken.push(i);
            }
        }
        round += 1;
    }
    taken
}

/// A picture `levels: [side, side, 3]` as it is shown, `small` pixels wide and high.
fn thumbnail(levels: &[u8], side: usize, small: usize) -> Picture {
    let picture = RgbImage::from_raw(side as u32, side as u32, levels.to_vec());
    let picture = picture.expect("three levels a pixel");
    let mut out = vec![0; small * small * 3];
    square(&picture, small, &mut out);
    Picture::new(small, small, out)
}

/// The `columns × rows` pictures of a sheet, row by row.
fn cut(path: &Path, columns: usize, rows: usize) -> anyhow::Result<Vec<Picture>> {
    let sheet = Picture::read_png(path)?;
    let (width, height) = (sheet.width() / columns, sheet.height() / rows);
    let at = |i: usize| sheet.part(i % columns * width, i / columns * height, width, height);
    let all: Option<Vec<_>> = (0..columns * rows).map(at).collect();
    all.with_context(|| {
        let (w, h) = (sheet.width(), sheet.height());
        format!("{}: {w} x {h} pixels, wanted {columns} x {rows} pictures", path.display())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pictures_shown_are_of_as_many_classes_as_there_are_and_the_same_each_time() {
        let labels: Vec<u32> = (0..200).map(|i| i % 6).collect();
        for n in [1, 5, 6, 8, 13] {
            let taken = drawn(&labels, n);
            assert_eq!(taken, drawn(&labels, n));
            let mut counts = [0; 6];
            for &i in &taken {
                counts[labels[i] as usize] += 1;
            }
            let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
            assert!(taken.len() == n && most - least <= 1, "{n}: {counts:?}");
        }
        assert_ne!(drawn(&labels, 6), [0, 1, 2, 3, 4, 5], "not simply the first");
        assert_eq!(drawn(&[3, 3], 5).len(), 2, "no more than there are");
    }
}
