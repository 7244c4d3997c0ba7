//! The training pictures nearest to test pictures (Figure 4, right), by the last hidden layer's features and,
//! to compare, by the pixels themselves. Distances are Euclidean.
//!
//! `Q` queries, `D` numbers that stand for a picture, `B` training pictures in a block.

use std::path::Path;

use anyhow::ensure;
use common::data::sampler::epoch_order;
use ledger::plot::Picture;
use ledger::run::write_atomic;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use super::{SHOWN_SEED, cut, drawn, thumbnail};
use common::rows::{read_rows, write_rows};

/// The table in a run's folder.
pub const FILE: &str = "neighbours.csv.gz";
/// The pictures that the figure shows: a row for each query, the query first.
pub const SHEET: &str = "neighbours.png";
/// Neighbours of a query; six in the paper.
pub const NEAREST: i64 = 6;
/// Queries in the figure; five in the paper.
const SHOWN: usize = 5;
/// Queries that precision is measured over, at the most.
const QUERIES: usize = 1000;
/// Pixels of a picture in the figure.
const SMALL: usize = 40;

/// What stands for a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Space {
    /// Outputs of the last hidden layer.
    Features,
    /// The levels that the network sees.
    Pixels,
}

/// One neighbour of one query.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Row {
    space: Space,
    /// The query's place among the test pictures.
    query: usize,
    class: String,
    /// From 1, the nearest.
    rank: usize,
    /// The neighbour's place among the training pictures.
    neighbour: usize,
    neighbour_class: String,
    distance: f32,
    /// The query's row on the sheet; none for most.
    shown: Option<usize>,
}

/// Pictures and their classes.
#[derive(Debug, Clone, Copy)]
pub struct Labels<'a> {
    /// Classes of the test pictures.
    pub test: &'a [u32],
    /// Classes of the training pictures.
    pub train: &'a [u32],
    /// Names of the classes.
    pub names: &'a [String],
}

/// The nearest of what was added so far to each query.
#[derive(Debug)]
pub struct Nearest {
    queries: Tensor,   // [Q, D]
    squares: Tensor,   // [Q, 1]
    distances: Tensor, // [Q, at most NEAREST], squared, ascending
    places: Tensor,    // the same
    seen: i64,
}

impl Nearest {
    /// Nothing yet, for `queries: [Q, D]`.
    pub fn new(queries: &Tensor) -> Self {
        let queries = queries.to_kind(Kind::Float);
        let (n, device) = (queries.size()[0], queries.device());
        let squares = queries.square().sum_dim_intlist(1, true, Kind::Float);
        let distances = Tensor::zeros([n, 0], (Kind::Float, device));
        let places = Tensor::zeros([n, 0], (Kind::Int64, device));
        Self { queries, squares, distances, places, seen: 0 }
    }

    /// Adds the next training pictures, `block: [B, D]`.
    pub fn add(&mut self, block: &Tensor) {
        let block = block.to_kind(Kind::Float);
        let n = block.size()[0];
        let squares = block.square().sum_dim_intlist(1, false, Kind::Float); // [B]
        let distances = &self.squares + squares - self.queries.matmul(&block.tr()) * 2.0; // [Q, B]
        let places = Tensor::arange_start(self.seen, self.seen + n, (Kind::Int64, block.device()));
        let places = places.unsqueeze(0).expand_as(&distances);
        let all = Tensor::cat(&[&self.distances, &distances], 1);
        let places = Tensor::cat(&[&self.places, &places], 1);
        let kept = NEAREST.min(all.size()[1]);
        let (least, at) = all.topk(kept, 1, false, true);
        (self.distances, self.places) = (least, places.gather(1, &at, false));
        self.seen += n;
    }

    /// Places among the training pictures and distances of the nearest, the nearest first.
    fn found(&self) -> anyhow::Result<Vec<Vec<(usize, f32)>>> {
        let k = self.places.size()[1] as usize;
        // Rounding can bring the square of a distance near 0 below it.
        let distances = self.distances.clamp_min(0.0).sqrt().to_device(Device::Cpu);
        let distances: Vec<f32> = Vec::try_from(distances.contiguous().flatten(0, -1))?;
        let places = self.places.to_device(Device::Cpu).contiguous().flatten(0, -1);
        let places: Vec<i64> = Vec::try_from(places)?;
        let both = places.iter().map(|&at| at as usize).zip(distances).collect::<Vec<_>>();
        Ok(both.chunks_exact(k.max(1)).map(<[_]>::to_vec).collect())
    }
}

/// The test pictures that are asked with, in order: those shown and others, drawn at random.
pub fn queries(labels: &[u32]) -> Vec<usize> {
    let shown = drawn(labels, SHOWN);
    let order = epoch_order(SHOWN_SEED, 0, labels.len()).into_iter().map(|i| i as usize);
    let others = order.filter(|i| !shown.contains(i)).take(QUERIES.saturating_sub(shown.len()));
    let mut queries: Vec<usize> = shown.iter().copied().chain(others).collect();
    queries.sort_unstable();
    queries
}

/// Writes what was found for [`queries`], by features and by pixels. `test(i)` and `train(i)` are the levels
/// `[side, side, 3]` of pictures.
///
/// # Errors
/// When a file cannot be written.
pub fn write<'a>(
    folder: &Path,
    labels: Labels<'_>,
    found: &[(Space, Nearest)],
    side: usize,
    test: impl Fn(usize) -> &'a [u8],
    train: impl Fn(usize) -> &'a [u8],
) -> anyhow::Result<()> {
    let name = |label: u32| labels.names[label as usize].clone();
    let shown = drawn(labels.test, SHOWN);
    let mut rows = Vec::new();
    let mut pictures = Vec::new();
    for (space, nearest) in found {
        for (query, neighbours) in queries(labels.test).into_iter().zip(nearest.found()?) {
            let on_sheet = shown.iter().position(|&i| i == query);
            for (i, (neighbour, distance)) in neighbours.iter().enumerate() {
                rows.push(Row {
                    space: *space,
                    query,
                    class: name(labels.test[query]),
                    rank: i + 1,
                    neighbour: *neighbour,
                    neighbour_class: name(labels.train[*neighbour]),
                    distance: *distance,
                    shown: on_sheet,
                });
            }
            if let (Space::Features, Some(row)) = (space, on_sheet) {
                let small = |levels| thumbnail(levels, side, SMALL);
                let of_row = std::iter::once(small(test(query)))
                    .chain(neighbours.iter().map(|(at, _)| small(train(*at))));
                pictures.push((row, of_row.collect::<Vec<_>>()));
            }
        }
    }
    write_rows(&folder.join(FILE), &rows)?;
    pictures.sort_by_key(|(row, _)| *row);
    let columns = pictures.first().map_or(1, |(_, of_row)| of_row.len());
    let all: Vec<Picture> = pictures.into_iter().flat_map(|(_, of_row)| of_row).collect();
    Ok(write_atomic(&folder.join(SHEET), &Picture::sheet(&all, columns).to_png())?)
}

/// Share of the neighbours that are of their query's class, by features and by pixels.
///
/// # Errors
/// A table that is missing or damaged.
pub fn precision(folder: &Path) -> anyhow::Result<[f64; 2]> {
    let rows: Vec<Row> = read_rows(&folder.join(FILE))?;
    Ok([Space::Features, Space::Pixels].map(|space| {
        let of = || rows.iter().filter(|row| row.space == space);
        let same = of().filter(|row| row.class == row.neighbour_class).count();
        same as f64 / of().count() as f64
    }))
}

/// A query or a neighbour, as the figure shows it.
#[derive(Debug)]
pub struct Shown {
    /// The picture.
    pub picture: Picture,
    /// Its class.
    pub class: String,
    /// Whether it is a neighbour of its query's class.
    pub same: bool,
}

/// The rows of the figure: a query and its nearest by features.
///
/// # Errors
/// Files that are missing or do not fit together.
pub fn shown(folder: &Path) -> anyhow::Result<Vec<Vec<Shown>>> {
    let path = folder.join(FILE);
    let mut rows: Vec<Row> = read_rows(&path)?;
    rows.retain(|row| row.space == Space::Features && row.shown.is_some());
    rows.sort_by_key(|row| (row.shown, row.rank));
    let nearest = rows.iter().map(|row| row.rank).max().unwrap_or(0);
    ensure!(
        nearest > 0 && rows.len().is_multiple_of(nearest),
        "{}: no query is to be shown, or neighbours are missing; run the study again",
        path.display()
    );
    let mut pictures = cut(&folder.join(SHEET), nearest + 1, rows.len() / nearest)?.into_iter();
    let mut picture = || pictures.next().expect("there are as many as there are places");
    let shown = rows.chunks_exact(nearest).map(|of_query| {
        let class = of_query[0].class.clone();
        let mut row = vec![Shown { picture: picture(), class, same: false }];
        row.extend(of_query.iter().map(|row| Shown {
            picture: picture(),
            class: row.neighbour_class.clone(),
            same: row.neighbour_class == row.class,
        }));
        row
    });
    Ok(shown.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Distances by the definition, in double precision.
    fn by_definition(queries: &[Vec<f64>], others: &[Vec<f64>]) -> Vec<Vec<(usize, f64)>> {
        let distance = |a: &[f64], b: &[f64]| {
            a.iter().zip(b).map(|(x, y)| (x - y).powi(2)).sum::<f64>().sqrt()
        };
        let nearest = |query: &Vec<f64>| {
            let mut all: Vec<_> =
                others.iter().enumerate().map(|(i, other)| (i, distance(query, other))).collect();
            all.sort_by(|a, b| a.1.total_cmp(&b.1));
            all.truncate(NEAREST as usize);
            all
        };
        queries.iter().map(nearest).collect()
    }

    /// `n` vectors of 9 numbers that are all different.
    fn vectors(n: usize, offset: usize) -> Vec<Vec<f64>> {
        let number = |i: usize| ((i * i * 31 + i * 17 + offset) % 1009) as f64 / 16.0;
        (0..n).map(|i| (0..9).map(|j| number(9 * i + j)).collect()).collect()
    }

    fn tensor(vectors: &[Vec<f64>]) -> Tensor {
        Tensor::from_slice(&vectors.concat())
            .reshape([vectors.len() as i64, 9])
            .to_kind(Kind::Float)
    }

    #[test]
    fn neighbours_in_blocks_are_those_by_the_definition() {
        let (queries, others) = (vectors(20, 3), vectors(130, 500));
        let mut nearest = Nearest::new(&tensor(&queries));
        for block in others.chunks(4).collect::<Vec<_>>() {
            nearest.add(&tensor(block));
        }
        let (found, wanted) = (nearest.found().unwrap(), by_definition(&queries, &others));
        for (found, wanted) in found.iter().zip(&wanted) {
            let places = |row: &[(usize, f64)]| row.iter().map(|n| n.0).collect::<Vec<_>>();
            let as_double: Vec<_> = found.iter().map(|(i, d)| (*i, f64::from(*d))).collect();
            assert_eq!(places(&as_double), places(wanted));
            for ((_, found), (_, wanted)) in as_double.iter().zip(wanted) {
                assert!((found - wanted).abs() < 1e-2, "{found}, wanted {wanted}");
            }
        }
    }

    #[test]
    fn a_picture_is_its_own_nearest() {
        let others = vectors(40, 0);
        let mut nearest = Nearest::new(&tensor(&others));
        nearest.add(&tensor(&others));
        for (i, row) in nearest.found().unwrap().iter().enumerate() {
            assert!(row[0].0 == i && row[0].1 < 0.05, "{i}: {row:?}");
        }
    }

    #[test]
    fn what_was_found_is_counted_and_shown_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["cat", "dog"].map(str::to_owned);
        let test: Vec<u32> = (0..12).map(|i| i % 2).collect();
        let train: Vec<u32> = (0..30).map(|i| i % 2).collect();
        // By features a picture lies at its class, a little apart from the others of it; by pixels, where
        // its place in the list says.
        let at = |x: &dyn Fn(usize) -> f64, n: usize| {
            Tensor::from_slice(&(0..n).map(x).collect::<Vec<_>>()).reshape([n as i64, 1])
        };
        let asked = queries(&test);
        assert_eq!(asked, (0..12).collect::<Vec<_>>(), "all, when there are few");
        let by = |x: &dyn Fn(usize) -> f64| {
            let mut nearest = Nearest::new(&at(x, 12));
            nearest.add(&at(x, 30));
            nearest
        };
        let features = by(&|i| 300.0 * (i % 2) as f64 + i as f64);
        let pixels = by(&|i| i as f64);
        let levels: Vec<Vec<u8>> = (0..60).map(|i| vec![i as u8; 50 * 50 * 3]).collect();
        write(
            folder.path(),
            Labels { test: &test, train: &train, names: &names },
            &[(Space::Features, features), (Space::Pixels, pixels)],
            50,
            |i| &levels[i],
            |i| &levels[i + 30],
        )
        .unwrap();
        let [by_features, by_pixels] = precision(folder.path()).unwrap();
        assert!((by_features - 1.0).abs() < 1e-12, "{by_features}");
        assert!(
            (by_pixels - 0.5).abs() < 0.1,
            "{by_pixels}: of every two neighbours in a row, one"
        );
        let rows = shown(folder.path()).unwrap();
        assert_eq!(rows.iter().map(Vec::len).collect::<Vec<_>>(), [7; 5]);
        for (row, query) in rows.iter().zip(drawn(&test, 5)) {
            let level = |one: &Shown| usize::from(one.picture.rgb()[0]);
            assert_eq!((level(&row[0]), &row[0].class), (query, &names[query % 2]));
            assert_eq!(level(&row[1]), query + 30, "the training picture at the same place");
            assert!(row[1..].iter().all(|one| one.same && one.class == row[0].class));
        }
    }
}
