//! Grey pictures of a run as PNG files, and back.

use std::path::Path;

use ledger::plot::{Picture, PlotError};
use ledger::run::write_atomic;
use tch::{Device, Kind, Tensor};

/// One picture of each class and below it what an autoencoder makes of it, in a run's folder.
pub const PAIRS: &str = "reconstructions.png";
/// Digits that a deep belief net generated, a row for each class, in a run's folder.
pub const GENERATED: &str = "generated.png";

/// Writes `xs: [n, pixels]` above `ys`, which is like it, to [`PAIRS`] in `folder`.
///
/// # Errors
/// When the file cannot be written.
pub fn write_pairs(folder: &Path, xs: &Tensor, ys: &Tensor) -> anyhow::Result<()> {
    let columns = xs.size()[0] as usize;
    write(&folder.join(PAIRS), &Tensor::cat(&[xs, ys], 0), columns)
}

/// Writes square pictures `xs: [n, pixels]` of grey levels 0–1, `columns` in a row.
///
/// # Errors
/// When the file cannot be written.
pub fn write(path: &Path, xs: &Tensor, columns: usize) -> anyhow::Result<()> {
    let side = (xs.size()[1] as f64).sqrt().round() as usize;
    let bytes = (xs.clamp(0.0, 1.0) * 255.0).round().to_kind(Kind::Uint8).to_device(Device::Cpu);
    let bytes = Vec::<u8>::try_from(bytes.contiguous().view(-1))?;
    let picture =
        |grey: &[u8]| Picture::new(side, side, grey.iter().flat_map(|&level| [level; 3]).collect());
    let pictures: Vec<Picture> = bytes.chunks_exact(side * side).map(picture).collect();
    Ok(write_atomic(path, &Picture::sheet(&pictures, columns).to_png())?)
}

/// The rows of a file that [`write()`] wrote with `rows` rows, each a list of its pictures.
///
/// # Errors
/// A file that cannot be read or holds other pictures.
pub fn read(path: &Path, rows: usize) -> Result<Vec<Vec<Picture>>, PlotError> {
    let sheet = Picture::read_png(path)?;
    let side = sheet.height() / rows;
    let place = |row, column| sheet.part(column * side, row * side, side, side);
    let rows = (0..rows).map(|row| (0..).map_while(|column| place(row, column)).collect());
    Ok(rows.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_come_back_in_their_rows() {
        let folder = tempfile::tempdir().unwrap();
        let levels: Vec<f32> = (0..6 * 4).map(|i| i as f32 / 255.0).collect();
        let xs = Tensor::from_slice(&levels).view([6, 4]);
        write_pairs(folder.path(), &xs.narrow(0, 0, 3), &xs.narrow(0, 3, 3)).unwrap();
        let rows = read(&folder.path().join(PAIRS), 2).unwrap();
        let grey: Vec<u8> =
            rows.iter().flatten().flat_map(|p| p.rgb().iter().step_by(3).copied()).collect();
        assert_eq!(grey, (0..24).collect::<Vec<u8>>());
        assert_eq!(rows.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3]);
    }
}
