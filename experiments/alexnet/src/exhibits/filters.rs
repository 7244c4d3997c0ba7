//! The kernels of the first layer (Figure 3).

use std::path::Path;

use anyhow::ensure;
use ledger::plot::Picture;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use common::rows::{read_rows, write_rows};

/// The file in a run's folder.
pub const FILE: &str = "filters.csv.gz";

/// One pixel of a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Pixel {
    kernel: usize,
    row: usize,
    column: usize,
    red: f32,
    green: f32,
    blue: f32,
}

/// Writes the weights of the first layer, `[kernels, 3, size, size]`, to [`FILE`] in `folder`.
///
/// # Errors
/// When the file cannot be written.
///
/// # Panics
/// If they do not see three colours.
pub fn write(folder: &Path, weights: &Tensor) -> anyhow::Result<()> {
    let (kernels, colours, size, _) = weights.size4().expect("kernels are [K, 3, S, S]");
    assert_eq!(colours, 3, "kernels of the first layer see red, green and blue");
    let numbers = weights.to_kind(Kind::Float).permute([0, 2, 3, 1]).contiguous(); // [K, S, S, 3]
    let numbers: Vec<f32> = Vec::try_from(numbers.flatten(0, -1))?;
    let size = size as usize;
    let row = |(i, pixel): (usize, &[f32])| {
        let (kernel, row, column) = (i / size / size, i / size % size, i % size);
        Pixel { kernel, row, column, red: pixel[0], green: pixel[1], blue: pixel[2] }
    };
    let rows: Vec<Pixel> = numbers.chunks_exact(3).enumerate().map(row).collect();
    assert_eq!(rows.len(), kernels as usize * size * size, "every pixel has a row");
    write_rows(&folder.join(FILE), &rows)
}

/// The kernels in a run's folder as pictures: grey is no weight, and each is scaled to its own largest.
///
/// # Errors
/// A file that is missing, damaged, or lacks a pixel.
pub fn read(folder: &Path) -> anyhow::Result<Vec<Picture>> {
    let path = folder.join(FILE);
    let rows: Vec<Pixel> = read_rows(&path)?;
    let size = rows.iter().map(|row| row.column + 1).max().unwrap_or(0);
    let whole = rows.iter().enumerate().all(|(i, row)| {
        (row.kernel, row.row, row.column)
            == (i / (size * size).max(1), i / size.max(1) % size.max(1), i % size.max(1))
    });
    ensure!(
        size > 0 && whole && rows.len().is_multiple_of(size * size),
        "{}: rows are missing or out of order; run the study again",
        path.display()
    );
    Ok(rows.chunks_exact(size * size).map(|kernel| picture(kernel, size)).collect())
}

fn picture(kernel: &[Pixel], size: usize) -> Picture {
    let weights = || kernel.iter().flat_map(|row| [row.red, row.green, row.blue]);
    let largest = weights().fold(f32::MIN_POSITIVE, |most, w| most.max(w.abs()));
    let level = |w: f32| (127.5 + 127.5 * w / largest).round() as u8;
    Picture::new(size, size, weights().map(level).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_drawn_with_grey_for_zero_and_its_own_largest_weight_at_an_end_of_the_range() {
        let folder = tempfile::tempdir().unwrap();
        // Two kernels of 2×2: the second is the first times 1,000.
        let first = [0.0_f32, 0.5, -1.0, 0.25, 0.0, 0.0, 0.0, 0.0, 1.0, -0.5, 0.0, 0.125];
        let both: Vec<f32> = first.iter().copied().chain(first.map(|w| 1000.0 * w)).collect();
        write(folder.path(), &Tensor::from_slice(&both).reshape([2, 3, 2, 2])).unwrap();
        let pictures = read(folder.path()).unwrap();
        assert_eq!(pictures.len(), 2);
        assert_eq!(pictures[0], pictures[1], "each is scaled to itself");
        let wanted = [[128, 128, 255], [191, 128, 64], [0, 128, 128], [159, 128, 143]];
        assert_eq!(pictures[0].rgb(), wanted.concat());
    }

    #[test]
    fn a_table_that_lacks_a_pixel_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &Tensor::zeros([2, 3, 3, 3], (Kind::Float, tch::Device::Cpu)))
            .unwrap();
        let path = folder.path().join(FILE);
        let rows: Vec<Pixel> = read_rows(&path).unwrap();
        for left_out in [0, 7, 17] {
            let fewer: Vec<_> =
                rows.iter().enumerate().filter(|(i, _)| *i != left_out).map(|(_, r)| *r).collect();
            write_rows(&path, &fewer).unwrap();
            let error = read(folder.path()).unwrap_err().to_string();
            assert!(error.contains("filters.csv.gz: rows are missing"), "{left_out}: {error}");
        }
        std::fs::write(&path, b"no gzip").unwrap();
        assert!(format!("{:#}", read(folder.path()).unwrap_err()).contains("filters.csv.gz"));
    }
}
