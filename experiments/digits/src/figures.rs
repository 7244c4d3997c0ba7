//! One function for each figure, from what the finished runs hold to the plot.

use std::collections::BTreeMap;

use ledger::plot::{
    Axis, Figure, Gallery, Panel, Picture, Reference, Scaling, Series, Style, Tile,
};

use crate::pictures::{self, GENERATED, PAIRS};
use crate::studies::deep_autoencoder::{
    LAYERS, LOGISTIC_PCA, PCA, PRE_TRAINED, RunConfig as Coding, WITHOUT,
};
use crate::studies::hessian_free::{HF, PRE_TRAINED_CG, RunConfig as Optimising};
use crate::studies::{Reading, ended, published};
use crate::train_dbn;

/// Four ways of coding: variant, name, slot of the palette.
const WAYS: [(&str, &str, usize); 4] = [
    (PRE_TRAINED, "deep autoencoder, pre-trained", 0),
    (WITHOUT, "deep autoencoder without pre-training", 1),
    (LOGISTIC_PCA, "logistic PCA", 2),
    (PCA, "PCA", 3),
];

type Points = Vec<(f64, f64)>;
type Band = Vec<(f64, f64, f64)>;

/// Figure 2B: a digit of each class and what each way of coding makes of it.
pub(crate) fn reconstructions(data: &str, runs: &[Reading<Coding>]) -> anyhow::Result<Figure> {
    let mut panels = Vec::new();
    let mut size = 0;
    for (variant, name, _) in WAYS {
        // The smallest seed stands for its variant.
        let Some(run) = runs.iter().filter(|run| run.variant == variant).min_by_key(|run| run.seed)
        else {
            continue;
        };
        size = code_size(&run.config);
        let rows = pictures::read(&run.folder.join(PAIRS), 2)?;
        let mut rows = rows.into_iter();
        let (digits, given_back) =
            (rows.next().unwrap_or_default(), rows.next().unwrap_or_default());
        if panels.is_empty() {
            panels.push(gallery("test pictures".into(), digits));
        }
        let error = run.metrics.get("test/error").copied().unwrap_or(f64::NAN);
        panels.push(gallery(format!("{name}: squared error {error:.2} a picture"), given_back));
    }
    Ok(Figure {
        title: format!("Test pictures of {data} and what {size} numbers for each give back"),
        caption: format!(
            "The first test picture of each class of {data}, and below it what the ways of coding it with {size} \
             numbers give back, seed 0; the squared error is summed over the pixels, mean over all test pictures."
        ),
        panels,
        columns: 1,
    })
}

fn code_size(config: &Coding) -> i64 {
    match config {
        Coding::Net(config) => *config.widths.last().expect("a net has a code"),
        Coding::Pca { components, .. } => *components,
    }
}

/// Pictures in one row.
fn gallery(title: String, pictures: Vec<Picture>) -> Panel {
    let columns = pictures.len().max(1);
    Panel { title, gallery: Some(tiles(pictures, columns)), ..Panel::default() }
}

fn tiles(pictures: Vec<Picture>, columns: usize) -> Gallery {
    let tile = |picture| Tile { picture, caption: String::new(), mark: None, bars: Vec::new() };
    let tiles = pictures.into_iter().map(tile).collect();
    Gallery { tiles, columns, scaling: Scaling::Pixelated, ..Gallery::default() }
}

/// Training error of the nets over work, and of PCA.
pub(crate) fn fine_tuning(data: &str, runs: &[Reading<Coding>]) -> anyhow::Result<Figure> {
    let mut series = Vec::new();
    let mut longest: f64 = 1.0;
    for (variant, name, slot) in WAYS.into_iter().filter(|way| way.0 != PCA) {
        let of: Vec<_> = runs.iter().filter(|run| run.variant == variant).collect();
        let curves: Vec<Points> =
            of.iter().map(|run| run.curve("passes", "train/error")).collect::<Result<_, _>>()?;
        let (points, band) = mean_curve(&curves);
        longest = points.iter().fold(longest, |longest, point| longest.max(point.0));
        series.push(Series::new(name, Style::Line, points).band(band).colour(slot));
    }
    if let Some(&error) = ended(runs, PCA, "train/error").values().next() {
        let points = vec![(0.0, error), (longest, error)];
        series.push(Series::new("PCA", Style::Line, points).colour(3));
    }
    let seeds = ended(runs, PRE_TRAINED, "train/error").len();
    Ok(Figure {
        title: format!("Squared error of autoencoders on {data}, with and without pre-training"),
        caption: format!(
            "Squared error a training picture of {data}, mean and range over {seeds} seeds, over the work done, \
             pre-training counted, in gradients of all training pictures. PCA has the same size of code."
        ),
        panels: vec![Panel {
            x: Axis::linear("work (gradients of all training pictures)").range(0.0, longest),
            y: Axis::log("squared error a training picture"),
            series,
            ..Panel::default()
        }],
        columns: 1,
    })
}

/// Test error of each way of coding, and the published ones where the code has the published size.
pub(crate) fn errors(data: &str, runs: &[Reading<Coding>]) -> anyhow::Result<Figure> {
    let (mut points, mut band) = (Vec::new(), Vec::new());
    for (place, (variant, ..)) in WAYS.into_iter().enumerate() {
        let errors = ended(runs, variant, "test/error");
        let (low, high) = range(errors.values().copied());
        if !errors.is_empty() {
            let mean = errors.values().sum::<f64>() / errors.len() as f64;
            points.push((place as f64, mean));
            band.push((place as f64, low, high));
        }
    }
    let size = runs.iter().find(|run| run.variant == PCA).map_or(0, |run| code_size(&run.config));
    let mut references = Vec::new();
    if size == LAYERS[3] && data.starts_with("mnist") {
        for (id, name, slot) in [
            ("ae-01", "deep autoencoder, published", 0),
            ("ae-02", "logistic PCA, published", 2),
            ("ae-03", "PCA, published", 3),
        ] {
            references.push(Reference::horizontal(name, published(id)?).colour(slot));
        }
    }
    let seeds = ended(runs, PRE_TRAINED, "test/error").len();
    let names = ["pre-trained", "without pre-training", "logistic PCA", "PCA"];
    Ok(Figure {
        title: format!("Squared error on test pictures of {data}, codes of {size} numbers"),
        caption: format!(
            "Squared error a test picture of {data} of four ways of coding it with {size} numbers; mean and range over \
             {seeds} seeds."
        ),
        panels: vec![Panel {
            x: Axis::categories("", names),
            y: Axis::log("squared error a test picture"),
            series: vec![Series::new("ours", Style::Intervals, points).band(band)],
            references,
            ..Panel::default()
        }],
        columns: 1,
    })
}

/// Training error over work of every reported variant.
pub(crate) fn training(data: &str, runs: &[Reading<Optimising>]) -> anyhow::Result<Figure> {
    let mut by_variant: BTreeMap<&str, Vec<Points>> = BTreeMap::new();
    for run in runs.iter().filter(|run| run.config.search.is_none()) {
        let curve = run.curve("passes", "train/error")?;
        by_variant.entry(&run.variant).or_default().push(curve);
    }
    let seeds = by_variant.values().map(Vec::len).max().unwrap_or(0);
    let series = by_variant.iter().map(|(variant, curves)| {
        let (points, band) = mean_curve(curves);
        Series::new(name(variant), Style::Line, points).band(band)
    });
    Ok(Figure {
        title: format!("Training a deep autoencoder of {data}, by optimiser"),
        caption: format!(
            "Squared error a training picture of {data}, mean and range over {seeds} seeds, over the work done in \
             gradients of all training pictures: products with the Gauss\u{2013}Newton matrix, line searches and \
             pre-training are counted by their multiplications."
        ),
        panels: vec![Panel {
            x: Axis::log("work (gradients of all training pictures)"),
            y: Axis::log("squared error a training picture"),
            series: series.collect(),
            ..Panel::default()
        }],
        columns: 1,
    })
}

/// What Hessian-free optimisation did in each update: damping and inner iterations.
pub(crate) fn updates(data: &str, runs: &[Reading<Optimising>]) -> anyhow::Result<Figure> {
    let of: Vec<_> = runs.iter().filter(|run| run.variant == HF).collect();
    let panel = |column: &str, y: Axis| {
        let series = of.iter().map(|run| {
            let rows = run.curve(column, column)?;
            let points = rows.into_iter().zip(1..).map(|((_, y), i)| (f64::from(i), y)).collect();
            anyhow::Ok(Series::new(format!("seed {}", run.seed), Style::Line, points))
        });
        let series = series.collect::<Result<_, _>>()?;
        anyhow::Ok(Panel { x: Axis::linear("update"), y, series, ..Panel::default() })
    };
    Ok(Figure {
        title: format!("Hessian-free optimisation on {data}, update by update"),
        caption: format!(
            "The damping \u{3bb} after each update of Hessian-free optimisation on {data}, and the iterations of conjugate \
             gradients in it, for each seed."
        ),
        panels: vec![
            panel("hf/lambda", Axis::log("damping \u{3bb}"))?,
            panel("hf/cg_iterations", Axis::linear("iterations of conjugate gradients"))?,
        ],
        columns: 2,
    })
}

fn name(variant: &str) -> String {
    match variant {
        HF => "Hessian-free".into(),
        PRE_TRAINED_CG => "pre-trained, conjugate gradients".into(),
        "mu-0" => "no momentum".into(),
        "hf-l2" => "Hessian-free, \u{2113}2".into(),
        "pre-trained-hf" => "pre-trained, Hessian-free".into(),
        "pre-trained-hf-l2" => "pre-trained, Hessian-free, \u{2113}2".into(),
        other => {
            other.replace("nag-", "Nesterov's momentum 0.").replace("cm-", "classical momentum 0.")
        }
    }
}

/// Digits that a net made, a row for each class.
pub(crate) fn generated(data: &str, run: &Reading<train_dbn::Config>) -> anyhow::Result<Figure> {
    let (classes, each) = (run.config.classes as usize, run.config.generated);
    let rows = pictures::read(&run.folder.join(GENERATED), classes)?;
    let gallery = tiles(rows.into_iter().flatten().collect(), each);
    Ok(Figure {
        title: format!("Pictures that a deep belief net of {data} makes, a row for each label"),
        caption: format!(
            "Each row: {each} pictures that the net of seed {} makes of one label, after {} steps of Gibbs sampling in its \
             associative memory with the label held; grey levels are probabilities.",
            run.seed, run.config.generated_gibbs
        ),
        panels: vec![Panel { gallery: Some(gallery), ..Panel::default() }],
        columns: 1,
    })
}

/// Validation error while a net is tuned.
pub(crate) fn up_down(data: &str, runs: &[Reading<train_dbn::Config>]) -> anyhow::Result<Figure> {
    let mut curves = Vec::new();
    for run in runs {
        let greedy = run.metrics.get("greedy/val/error").copied();
        let mut curve: Points = greedy.map(|error| (0.0, 100.0 * error)).into_iter().collect();
        let rows = run.curve("epoch", "val/error")?;
        curve.extend(rows.into_iter().map(|(epoch, error)| (epoch, 100.0 * error)));
        curves.push(curve);
    }
    let (points, band) = mean_curve(&curves);
    let seeds = curves.len();
    Ok(Figure {
        title: format!("Up-down tuning of a deep belief net on {data}"),
        caption: format!(
            "Validation error of a deep belief net on {data} over epochs of the up-down algorithm, mean and range over \
             {seeds} seeds; epoch 0 is the net after greedy training."
        ),
        panels: vec![Panel {
            x: Axis::linear("epochs of the up-down algorithm"),
            y: Axis::linear("validation error (%)"),
            series: vec![Series::new("ours", Style::Line, points).band(band)],
            ..Panel::default()
        }],
        columns: 1,
    })
}

/// Mean and range over curves, row by row as long as all have one.
fn mean_curve(curves: &[Points]) -> (Points, Band) {
    let rows = curves.iter().map(Vec::len).min().unwrap_or(0);
    let n = curves.len() as f64;
    let at = |i: usize| {
        let x = curves.iter().map(|curve| curve[i].0).sum::<f64>() / n;
        let y = curves.iter().map(|curve| curve[i].1).sum::<f64>() / n;
        let (low, high) = range(curves.iter().map(|curve| curve[i].1));
        ((x, y), (x, low, high))
    };
    (0..rows).map(at).unzip()
}

fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_curve_ends_with_the_shortest_and_its_band_holds_all() {
        let curves = [vec![(1.0, 4.0), (2.0, 2.0), (3.0, 1.0)], vec![(2.0, 8.0), (4.0, 3.0)]];
        let (points, band) = mean_curve(&curves);
        assert_eq!(points, [(1.5, 6.0), (3.0, 2.5)]);
        assert_eq!(band, [(1.5, 4.0, 8.0), (3.0, 2.0, 3.0)]);
    }
}
