//! The most probable classes of every test picture (Figure 4, left).

use std::path::Path;

use anyhow::ensure;
use ledger::plot::Picture;
use ledger::run::write_atomic;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::{cut, drawn, thumbnail};
use common::rows::{read_rows, write_rows};

/// The table in a run's folder.
pub const FILE: &str = "predictions.csv.gz";
/// The pictures that the figure shows, side by side, in the order of the column `shown`.
pub const SHEET: &str = "predictions.png";
/// Guesses told of each picture.
pub const TOP: i64 = 5;
/// Pictures in the figure.
const SHOWN: usize = 8;
/// Pixels of a picture in the figure.
const SMALL: usize = 64;

/// One guess about one picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Row {
    /// The picture's place among the test pictures.
    picture: usize,
    /// Its class.
    class: String,
    /// From 1, the most probable.
    rank: usize,
    /// A class.
    guess: String,
    /// Its probability.
    probability: f32,
    /// The picture's place on the sheet; none for most.
    shown: Option<usize>,
}

/// A picture and what a network says about it.
#[derive(Debug)]
pub struct Shown {
    /// The picture.
    pub picture: Picture,
    /// Its class.
    pub class: String,
    /// Classes and probabilities, the most probable first.
    pub guesses: Vec<(String, f64)>,
}

/// Shares of pictures whose class is not among the guesses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Errors {
    /// Not the first.
    pub top1: f64,
    /// None of five.
    pub top5: f64,
}

/// Writes the guesses of a network that gave the test pictures, whose classes are `labels: [n]`, the
/// probabilities `p: [n, classes]`. `picture(i)` are the levels `[side, side, 3]` of picture `i`.
///
/// # Errors
/// When a file cannot be written.
///
/// # Panics
/// If there are not as many labels as rows of `p`.
pub fn write<'a>(
    folder: &Path,
    p: &Tensor,
    labels: &[u32],
    classes: &[String],
    side: usize,
    picture: impl Fn(usize) -> &'a [u8],
) -> anyhow::Result<Errors> {
    let (n, outputs) = p.size2().expect("probabilities are [n, classes]");
    assert_eq!((n as usize, outputs as usize), (labels.len(), classes.len()));
    let top = TOP.min(outputs);
    let (best, order) = p.to_kind(Kind::Float).topk(top, 1, true, true); // [n, top] each
    let best: Vec<f32> = Vec::try_from(best.contiguous().flatten(0, -1))?;
    let order: Vec<i64> = Vec::try_from(order.contiguous().flatten(0, -1))?;
    let shown = drawn(labels, SHOWN);
    let top = top as usize;
    let row = |i: usize| {
        let (at, rank) = (i / top, i % top);
        Row {
            picture: at,
            class: classes[labels[at] as usize].clone(),
            rank: rank + 1,
            guess: classes[order[i] as usize].clone(),
            probability: best[i],
            shown: shown.iter().position(|&j| j == at),
        }
    };
    let rows: Vec<Row> = (0..best.len()).map(row).collect();
    write_rows(&folder.join(FILE), &rows)?;
    let pictures: Vec<_> = shown.iter().map(|&i| thumbnail(picture(i), side, SMALL)).collect();
    write_atomic(&folder.join(SHEET), &Picture::sheet(&pictures, pictures.len()).to_png())?;
    Ok(errors_of(&rows))
}

/// The errors that a run's table gives.
///
/// # Errors
/// A table that is missing or damaged.
pub fn errors(folder: &Path) -> anyhow::Result<Errors> {
    let rows: Vec<Row> = read_rows(&folder.join(FILE))?;
    Ok(errors_of(&rows))
}

fn errors_of(rows: &[Row]) -> Errors {
    let n = rows.iter().filter(|row| row.rank == 1).count() as f64;
    let right = |most: usize| {
        rows.iter().filter(|row| row.rank <= most && row.guess == row.class).count() as f64
    };
    Errors { top1: 1.0 - right(1) / n, top5: 1.0 - right(5) / n }
}

/// What the figure shows of a run.
///
/// # Errors
/// Files that are missing or do not fit together.
pub fn shown(folder: &Path) -> anyhow::Result<Vec<Shown>> {
    let path = folder.join(FILE);
    let rows: Vec<Row> = read_rows(&path)?;
    let n = rows.iter().filter_map(|row| row.shown).max().map_or(0, |last| last + 1);
    ensure!(n > 0, "{}: no picture is to be shown; run the study again", path.display());
    let pictures = cut(&folder.join(SHEET), n, 1)?;
    let of = |k: usize| rows.iter().filter(move |row| row.shown == Some(k));
    let shown = pictures.into_iter().enumerate().map(|(k, picture)| Shown {
        picture,
        class: of(k).map(|row| row.class.clone()).next().unwrap_or_default(),
        guesses: of(k).map(|row| (row.guess.clone(), f64::from(row.probability))).collect(),
    });
    Ok(shown.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_and_pictures_are_those_of_the_probabilities_written() {
        let folder = tempfile::tempdir().unwrap();
        let classes: Vec<String> = (0..7).map(|i| format!("class {i}")).collect();
        // The right class is at rank 1, 2, 5, 6 in turn.
        let n = 40;
        let labels: Vec<u32> = (0..n).map(|i| [0, 1, 4, 5][i % 4]).collect();
        let p =
            Tensor::from_slice(&[0.4_f32, 0.2, 0.15, 0.1, 0.08, 0.05, 0.02]).repeat([n as i64, 1]);
        let levels: Vec<Vec<u8>> = (0..n).map(|i| vec![i as u8; 70 * 70 * 3]).collect();
        let found =
            write(folder.path(), &p, &labels, &classes, 70, |i| levels[i].as_slice()).unwrap();
        assert!(
            (found.top1 - 0.75).abs() < 1e-12 && (found.top5 - 0.25).abs() < 1e-12,
            "{found:?}"
        );
        assert_eq!(errors(folder.path()).unwrap(), found);
        let shown = shown(folder.path()).unwrap();
        assert_eq!(shown.len(), 8);
        for (one, i) in shown.iter().zip(drawn(&labels, 8)) {
            assert_eq!(one.class, classes[labels[i] as usize]);
            assert_eq!((one.picture.width(), one.picture.height()), (SMALL, SMALL));
            assert!(one.picture.rgb().iter().all(|&level| usize::from(level) == i), "picture {i}");
            let names: Vec<_> = one.guesses.iter().map(|(name, _)| name.clone()).collect();
            assert_eq!(names, classes[..5]);
            assert!((one.guesses[4].1 - 0.08).abs() < 1e-6);
        }
    }
}
