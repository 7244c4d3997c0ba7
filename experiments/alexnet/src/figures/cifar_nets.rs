//! The authors' CIFAR-10 nets: test errors beside the published ones, and the curves of training.

use ledger::plot::{Axis, Figure, Panel, Reference, Series, Style};
use ledger::stats::{Estimate, mean_over_seeds};

use super::GAP;
use crate::studies::cifar_nets::{Run, short_name};

/// The highest error that the curves' panels show.
const HIGHEST: f64 = 0.8;

/// The test error of one variant.
#[derive(Debug)]
pub(crate) struct Bar {
    pub(crate) variant: String,
    /// Views averaged.
    pub(crate) views: usize,
    /// How much of the published schedule was trained.
    pub(crate) scale: f64,
    /// Ours, a fraction.
    pub(crate) estimate: Estimate,
    /// The published one, a fraction.
    pub(crate) published: f64,
}

/// The test error of each net with its interval over seeds; dashed the published one, where `about_cifar`
/// says that it is about these data.
pub(crate) fn test_errors(data: &str, bars: &[Bar], about_cifar: bool) -> Figure {
    let name = |bar: &Bar| {
        let short = short_name(&bar.variant);
        let scale = if bar.scale < 1.0 { format!(" ×{}", bar.scale) } else { String::new() };
        format!("{short}{scale}")
    };
    let at = |(i, bar): (usize, &Bar)| (i as f64, bar.estimate.value);
    let interval =
        |(i, bar): (usize, &Bar)| Some((i as f64, bar.estimate.low?, bar.estimate.high?));
    let ours = Series::new("ours", Style::Intervals, bars.iter().enumerate().map(at).collect())
        .band(bars.iter().enumerate().filter_map(interval).collect())
        .colour(0);
    // One line with gaps, so that the legend names it once.
    let dash = |(i, bar): (usize, &Bar)| {
        [(i as f64 - 0.35, bar.published), (i as f64 + 0.35, bar.published), GAP]
    };
    let published = Reference::curve("published", bars.iter().enumerate().flat_map(dash).collect());
    let references = if about_cifar { vec![published] } else { Vec::new() };
    let largest = bars.iter().map(|bar| bar.estimate.high.unwrap_or(bar.estimate.value));
    let top = largest.chain(bars.iter().map(|bar| bar.published)).fold(0.0, f64::max);
    let each = |bar: &Bar| {
        let seeds = bar.estimate.n_seeds;
        let views = if bar.views > 1 { ", ten views" } else { "" };
        format!("{} {:.1} % ({seeds} seeds{views})", name(bar), 100.0 * bar.estimate.value)
    };
    Figure {
        title: format!("The authors' own nets on {data}"),
        caption: format!(
            "Test error of the authors' CIFAR-10 nets on {data}, mean and 95 % interval over seeds, beside \
             the published errors; ×0.2 stands for a fifth of the published schedule. {}.",
            bars.iter().map(each).collect::<Vec<_>>().join(", ")
        ),
        panels: vec![Panel {
            title: String::new(),
            x: Axis::categories("net", bars.iter().map(name)),
            y: Axis::linear("test error").range(0.0, (top * 1.1).min(1.0)),
            series: vec![ours],
            references,
            ..Panel::default()
        }],
        columns: 1,
    }
}

/// For each net the training error over epochs, dashed that on pictures held out, the end of each stage, and
/// the test error at the end.
pub(crate) fn curves(data: &str, nets: &[(&str, Vec<&Run>, usize)]) -> Figure {
    let panels = nets.iter().map(|(variant, runs, views)| {
        let train = |run: &Run| run.rows.iter().map(|row| (row.0, row.2)).collect();
        let mut series = vec![
            mean(runs, train, "training", Style::Line).colour(0),
            mean(runs, |run| run.val.clone(), "held out", Style::Dashed).colour(1),
        ];
        series.retain(|one| !one.points.is_empty());
        let end =
            runs.iter().filter_map(|run| run.rows.last()).map(|row| row.0).fold(0.0, f64::max);
        let tests: Vec<f64> = runs.iter().filter_map(|run| run.error("test", *views)).collect();
        if let Ok(test) = mean_over_seeds(&tests, ledger::stats::Scale::Natural) {
            let band = test.low.zip(test.high).map(|(low, high)| (end, low, high));
            series.push(
                Series::new("test", Style::Intervals, vec![(end, test.value)])
                    .band(band.into_iter().collect())
                    .colour(2),
            );
        }
        let mut ends = runs.first().map(|run| run.stage_ends()).unwrap_or_default();
        ends.pop(); // the end of training
        let boundary = |x: f64| [(x, 0.0), (x, HIGHEST), GAP];
        let boundaries =
            Reference::curve("end of a stage", ends.into_iter().flat_map(boundary).collect());
        Panel {
            title: (*variant).to_owned(),
            x: Axis::linear("epochs").range(0.0, end * 1.02),
            y: Axis::linear("error").range(0.0, HIGHEST),
            series,
            references: vec![boundaries],
            ..Panel::default()
        }
    });
    Figure {
        title: format!("Training the authors' own nets on {data}"),
        caption: format!(
            "Error over epochs of the authors' CIFAR-10 nets on {data}: over the training pictures as they \
             were trained on (mean and range over seeds), over the pictures held out in the first stage, \
             and on the test pictures, read once at the end. Dashed lines: a stage ends, after which the \
             fifth data batch is added or the learning rate divided by 10."
        ),
        panels: panels.collect(),
        columns: 2,
    }
}

/// Mean and range over runs, point by point, as long as all of them have one.
fn mean(
    runs: &[&Run],
    curve: impl Fn(&Run) -> Vec<(f64, f64)>,
    label: &str,
    style: Style,
) -> Series {
    let curves: Vec<Vec<(f64, f64)>> = runs.iter().map(|run| curve(run)).collect();
    let n = curves.iter().map(Vec::len).min().unwrap_or(0);
    let (mut points, mut band) = (Vec::new(), Vec::new());
    for i in 0..n {
        let errors = curves.iter().map(|curve| curve[i].1);
        let (low, high) =
            errors.clone().fold((f64::MAX, f64::MIN), |(l, h), x| (l.min(x), h.max(x)));
        let epoch = curves[0][i].0;
        points.push((epoch, errors.sum::<f64>() / curves.len() as f64));
        if curves.len() > 1 {
            band.push((epoch, low, high));
        }
    }
    Series::new(label, style, points).band(band)
}
