//! The paper's figures, from the rows on disk.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use ledger::claims::parse_claims;
use ledger::plot::{Axis, Figure, Panel, Reference, Series, Style};

use crate::ALEXNET;
use crate::eval;
use crate::model::Activation;
use crate::studies::relu_vs_tanh::{Curve, REGIMES};

pub(crate) mod ablations;
pub(crate) mod anatomy;
pub(crate) mod averaging;
pub(crate) mod cifar_ablations;
pub(crate) mod cifar_nets;
pub(crate) mod exhibits;
pub(crate) mod gains;

/// Breaks a line, so that the legend names its pieces once.
const GAP: (f64, f64) = (f64::NAN, f64::NAN);

/// The published value of a claim, where there is one.
pub(crate) fn published(id: &str) -> anyhow::Result<Option<f64>> {
    let claims = parse_claims(Path::new("claims.csv"), ALEXNET.claims)?;
    let claim = claims.iter().find(|claim| claim.id == id);
    Ok(claim.with_context(|| format!("claims.csv has no {id}"))?.published)
}

/// The published value of a claim that has one.
pub(crate) fn published_value(id: &str) -> anyhow::Result<f64> {
    published(id)?.with_context(|| format!("claims.csv: {id} has no published value"))
}

/// What the paper's Figure 1 shows.
#[derive(Debug)]
pub(crate) struct Published {
    /// Epochs to 25 % error with ReLU, read off the plot.
    pub(crate) relu_epochs: f64,
    /// How many times longer tanh takes.
    pub(crate) ratio: f64,
}

/// The paper's Figure 1 with a panel for each regime: training error over epochs, the mean over seeds solid,
/// their spread shaded, the target and the published epochs dashed.
pub(crate) fn figure_1(data: &str, curves: &[Curve], published: &Published) -> Figure {
    let reported: Vec<&Curve> = curves.iter().filter(|curve| !curve.search).collect();
    let target = reported.first().map_or(0.25, |curve| curve.target);
    let longest =
        reported.iter().filter_map(|c| c.rows.last()).map(|r| r.epoch).fold(1.0, f64::max);
    let seeds =
        reported.iter().map(|curve| curve.seed).collect::<std::collections::BTreeSet<_>>().len();
    let pictures = reported.first().map_or(0, |curve| curve.pictures);
    let panels = REGIMES.map(|regime| {
        let series = Activation::ALL.into_iter().enumerate().filter_map(|(slot, activation)| {
            let runs: Vec<&Curve> = reported
                .iter()
                .filter(|c| c.regime == regime && c.activation == activation)
                .copied()
                .collect();
            let mean = mean_curve(&runs)?;
            Some(Series {
                band: mean.1,
                ..Series::new(label(activation), Style::Line, mean.0).colour(slot)
            })
        });
        let mut references =
            vec![Reference::horizontal(format!("{} % error", target * 100.0), target)];
        // An epoch over fewer pictures is not the paper's epoch.
        if regime == REGIMES[0] && data.starts_with("cifar10") && pictures == 50_000 {
            let Published { relu_epochs, ratio } = published;
            references.push(Reference::vertical("ReLU, published", *relu_epochs).colour(0));
            references.push(Reference::vertical("tanh, published", relu_epochs * ratio).colour(1));
        }
        let title = match regime {
            "authors" => "the authors' way: raw inputs, small weights",
            _ => "standardised inputs, He and Glorot weights",
        };
        Panel {
            title: title.into(),
            x: Axis::linear("epochs").range(0.0, longest),
            y: Axis::linear("training error").range(0.0, 0.9),
            series: series.collect(),
            references,
            ..Panel::default()
        }
    });
    Figure {
        title: format!("Figure 1: a four-layer net on {data}, {pictures} pictures"),
        caption: format!(
            "Training error of a four-layer convolutional net on {pictures} pictures of {data} by kind of \
             unit, mean and range over {seeds} seeds; a run ends at {} % error. Learning rates: {}.",
            target * 100.0,
            rates(&reported)
        ),
        panels: panels.into(),
        columns: 2,
    }
}

/// Error at the end of the search over learning rate: how each was chosen, and at what cost.
pub(crate) fn search(data: &str, curves: &[Curve]) -> Figure {
    let searched: Vec<&Curve> = curves.iter().filter(|curve| curve.search).collect();
    let panels = REGIMES.map(|regime| {
        let series = Activation::ALL.into_iter().enumerate().filter_map(|(slot, activation)| {
            let mut points: Vec<(f64, f64)> = searched
                .iter()
                .filter(|c| c.regime == regime && c.activation == activation)
                .filter_map(|c| Some((c.lr, c.rows.last()?.error)))
                .collect();
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            (!points.is_empty())
                .then(|| Series::new(label(activation), Style::LineAndMarkers, points).colour(slot))
        });
        Panel {
            title: format!("{regime} regime"),
            x: Axis::log("learning rate"),
            y: Axis::linear("training error at the end of the search").range(0.0, 0.95),
            series: series.collect(),
            ..Panel::default()
        }
    });
    let epochs: f64 = searched.iter().filter_map(|c| c.rows.last()).map(|row| row.epoch).sum();
    let minutes = searched.iter().map(|c| c.elapsed_s).sum::<f64>() / 60.0;
    Figure {
        title: format!("The search for learning rates on {data}"),
        caption: format!(
            "Training error after the search's budget, one run a point with a seed that no reported run has. \
             The lowest point of each curve is taken. Cost: {} runs, {epochs:.0} epochs, {minutes:.0} minutes \
             of one thread.",
            searched.len()
        ),
        panels: panels.into(),
        columns: 2,
    }
}

fn label(activation: Activation) -> &'static str {
    match activation {
        Activation::Relu => "ReLU",
        Activation::Tanh => "tanh",
        Activation::Sigmoid => "sigmoid",
    }
}

type Points = Vec<(f64, f64)>;
type Band = Vec<(f64, f64, f64)>;

/// Mean and range over the runs at each row, as long as at least half of them are still training: beyond
/// that the mean would be that of the slow ones. None without runs.
fn mean_curve(runs: &[&Curve]) -> Option<(Points, Band)> {
    let curves: Vec<Points> = runs.iter().map(|run| eval::curve(&run.rows)).collect();
    let longest = curves.iter().map(Vec::len).max()?;
    let (mut points, mut band) = (Vec::new(), Vec::new());
    for i in 0..longest {
        let at: Vec<(f64, f64)> = curves.iter().filter_map(|curve| curve.get(i)).copied().collect();
        if 2 * at.len() < runs.len() {
            break;
        }
        let epoch = at[0].0;
        let errors = at.iter().map(|point| point.1);
        let (low, high) =
            errors.clone().fold((f64::MAX, f64::MIN), |(l, h), x| (l.min(x), h.max(x)));
        points.push((epoch, errors.sum::<f64>() / at.len() as f64));
        band.push((epoch, low, high));
    }
    Some((points, band))
}

/// `authors ReLU 0.001, tanh 0.003; …`.
fn rates(reported: &[&Curve]) -> String {
    let mut found: BTreeMap<&str, BTreeMap<Activation, f64>> = BTreeMap::new();
    for curve in reported {
        found.entry(&curve.regime).or_default().insert(curve.activation, curve.lr);
    }
    let regime = |(regime, rates): (&&str, &BTreeMap<Activation, f64>)| {
        let rates: Vec<_> = rates.iter().map(|(a, lr)| format!("{} {lr}", label(*a))).collect();
        format!("{regime} {}", rates.join(", "))
    };
    found.iter().map(regime).collect::<Vec<_>>().join("; ")
}
