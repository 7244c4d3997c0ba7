//! The figures, from what is on disk.

use std::collections::BTreeMap;

use common::experiment::of_reference;
use ledger::plot::{Axis, Figure, Panel, Reference, Series, Style};

use crate::studies::emergence::Point;
use crate::studies::language_model::Curve;
use crate::studies::probes::{DATASETS, Readout, scores};
use crate::studies::sentence_tasks::Scores;

pub(crate) mod clamping;
pub(crate) mod compression;
pub(crate) mod data_efficiency;
pub(crate) mod single_unit;
pub(crate) mod word_pieces;

/// Bits per byte of the published network on its own test shard.
const PUBLISHED_BITS: f64 = 1.12;

/// Bits per byte of the validation shard against bytes seen, a line for each width; dashed those of the published long
/// trainings.
pub(crate) fn bits_per_byte(data: &str, curves: &[Curve], published: &[Curve]) -> Figure {
    let mut widths: Vec<i64> = curves.iter().chain(published).map(|curve| curve.hidden).collect();
    widths.sort_unstable();
    widths.dedup();
    let series_of = |of: fn(&Curve) -> &Vec<(f64, f64)>| -> Vec<Series> {
        let line = |curve: &Curve, style, whose: &str| {
            let slot = widths.iter().position(|&width| width == curve.hidden).unwrap_or_default();
            Series::new(format!("{} units{whose}", curve.hidden), style, of(curve).clone())
                .colour(slot)
        };
        let dashed = |curve| line(curve, Style::Dashed, &of_reference(&curve.data, data));
        let long = published.iter().map(dashed);
        curves.iter().map(|curve| line(curve, Style::Line, "")).chain(long).collect()
    };
    let panel = |title: &str, series| Panel {
        title: title.into(),
        x: Axis::log("bytes seen"),
        y: Axis::linear("bits per byte"),
        series,
        references: vec![Reference::horizontal("published, on its own text", PUBLISHED_BITS)],
        ..Panel::default()
    };
    Figure {
        title: format!("Predicting the next byte of {data}"),
        caption: format!(
            "Bits per byte of multiplicative LSTMs against bytes of {data} seen, on the validation shard and on the \
             training text as it came; dashed, where a training is short, our published long ones. The published 1.12 \
             is on another test shard, after 32.8 thousand million bytes."
        ),
        panels: vec![
            panel("validation shard", series_of(|c| &c.val)),
            panel("training text", series_of(|c| &c.train)),
        ],
        columns: 2,
    }
}

/// All units' areas under the curve, largest first, for both made-up languages.
pub(crate) fn mood_units(areas: &BTreeMap<(String, u64), Vec<f64>>) -> Figure {
    let series = areas.iter().map(|((variant, _), areas)| {
        let mut sorted = areas.clone();
        sorted.sort_by(|a, b| b.total_cmp(a));
        let points =
            sorted.into_iter().zip(1..).map(|(area, place)| (f64::from(place), area)).collect();
        let slot = usize::from(variant != "mood");
        let label = if slot == 0 { "a mood a document" } else { "control: a mood a word" };
        Series::new(label, Style::LineAndMarkers, points).colour(slot)
    });
    Figure {
        title: "Does a unit find the hidden mood?".into(),
        caption: "Area under the ROC curve of each unit of a small network at the ends of documents it has not seen, \
                  by the document's hidden mood, units sorted; a line for each seed."
            .into(),
        panels: vec![Panel {
            x: Axis::log("place of the unit"),
            y: Axis::linear("area under the curve").range(0.45, 1.0),
            series: series.collect(),
            references: vec![Reference::horizontal("chance", 0.5)],
            ..Panel::default()
        }],
        columns: 1,
    }
}

/// Accuracy of the widest network's readers on each set.
pub(crate) fn readers(readouts: &[Readout]) -> Figure {
    let widest = readouts.iter().map(|r| r.model.hidden).max().unwrap_or_default();
    let sets: Vec<&str> =
        DATASETS.into_iter().filter(|set| readouts.iter().any(|r| r.set == *set)).collect();
    let series = [
        ("linear probe on all units", "probe/acc"),
        ("best single unit", "unit/acc"),
        ("bag of 1- and 2-grams", "bag/acc"),
    ]
    .into_iter()
    .enumerate()
    .map(|(slot, (label, name))| {
        let points = sets.iter().enumerate().map(|(x, set)| {
            let of_set = readouts.iter().filter(|r| r.set == *set && r.model.hidden == widest);
            let accs: Vec<f64> = of_set.map(|r| 100.0 * scores(&r.predictions)[name]).collect();
            (x as f64, accs.iter().sum::<f64>() / accs.len() as f64)
        });
        Series::new(label, Style::Bars, points.collect()).colour(slot)
    })
    .collect();
    Figure {
        title: format!("What {widest} units know of each set"),
        caption: format!(
            "Test accuracy of three readers: L1 logistic regression on all {widest} units, the best single unit against \
             a threshold, and L2 logistic regression on a bag of 1- and 2-grams. Mean over seeds."
        ),
        panels: vec![Panel {
            x: Axis::categories("labelled set", sets.iter().copied()),
            y: Axis::linear("test accuracy (%)").range(0.0, 100.0),
            series,
            references: vec![Reference::horizontal("chance", 50.0)],
            ..Panel::default()
        }],
        columns: 1,
    }
}

/// Scores of the widest network and of the words on the tasks beyond positive or negative.
pub(crate) fn sentence_tasks(all: &[Scores]) -> Figure {
    let title = |scores: &Scores| match scores.task {
        "sst-5" => "SST, five grades: accuracy (%)",
        "msrp" => "MSRP, paraphrase or not: accuracy (%)",
        "sick" => "SICK, relatedness: Pearson's r",
        _ => "Yelp, polarity: accuracy (%)",
    };
    let panels = all.iter().map(|scores| {
        let bars = [&scores.probe, &scores.bag].into_iter().enumerate().map(|(slot, values)| {
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let label = ["probe on all units", "words"][slot];
            Series::new(label, Style::Bars, vec![(0.0, mean)]).colour(slot)
        });
        let published = match scores.task {
            "sst-5" => 52.9,
            "msrp" => 75.0,
            "sick" => 0.792,
            _ => 95.22,
        };
        let top = if scores.task == "sick" { 1.0 } else { 100.0 };
        Panel {
            title: title(scores).into(),
            x: Axis::categories("", [format!("{} units", scores.hidden)]),
            y: Axis::linear("test score").range(0.0, top),
            series: bars.collect(),
            references: vec![Reference::horizontal("published, 4,096 units", published)],
            ..Panel::default()
        }
    });
    Figure {
        title: "Beyond positive or negative".into(),
        caption: "Test scores of linear readers of a network's units and of words: L1 logistic regression for five grades \
                  of SST; for pairs of sentences L2 logistic or ridge regression on the differences and products of their \
                  units, beside which words that are in both or in one. Mean over seeds."
            .into(),
        panels: panels.collect(),
        columns: 2,
    }
}

/// Accuracies and areas against the bits per byte that the network needs.
pub(crate) fn emergence(set: &str, points: &[Point]) -> Figure {
    let mut networks: BTreeMap<(i64, u64), Vec<&Point>> = BTreeMap::new();
    for point in points {
        networks.entry((point.model.hidden, point.model.seed)).or_default().push(point);
    }
    let mut widths: Vec<i64> = points.iter().map(|p| p.model.hidden).collect();
    widths.sort_unstable();
    widths.dedup();
    let lines = |y: &dyn Fn(&Point) -> f64| -> Vec<Series> {
        networks
            .iter()
            .map(|((hidden, _), points)| {
                let slot = widths.iter().position(|width| width == hidden).unwrap_or_default();
                let line = points.iter().map(|point| (point.bits, y(point))).collect();
                Series::new(format!("{hidden} units"), Style::LineAndMarkers, line).colour(slot)
            })
            .collect()
    };
    let bag = points.iter().map(|p| p.acc[2]).sum::<f64>() / points.len() as f64;
    let panel = |title: &str, y: Axis, series, references| Panel {
        title: title.into(),
        x: Axis::linear("bits per byte of the validation shard"),
        y,
        series,
        references,
        ..Panel::default()
    };
    let acc = || Axis::linear("test accuracy (%)").range(45.0, 95.0);
    let chance = || Reference::horizontal("chance", 50.0);
    Figure {
        title: format!("Sentiment against prediction, {set}"),
        caption: format!(
            "Readers of multiplicative LSTMs on {set} at stations of their training, against the bits per byte they need \
             there (less is better, so time runs to the left): L1 probe on all units, the best single unit, and its \
             area under the ROC curve beside the median unit's."
        ),
        panels: vec![
            panel(
                "linear probe on all units",
                acc(),
                lines(&|p| 100.0 * p.acc[0]),
                vec![chance(), Reference::horizontal("bag of 1- and 2-grams", 100.0 * bag)],
            ),
            panel("best single unit", acc(), lines(&|p| 100.0 * p.acc[1]), vec![chance()]),
            panel(
                "area under the curve, best unit",
                Axis::linear("area").range(0.45, 1.0),
                lines(&|p| p.auc[0]),
                vec![Reference::horizontal("chance", 0.5)],
            ),
            panel(
                "area under the curve, median unit",
                Axis::linear("area").range(0.45, 1.0),
                lines(&|p| p.auc[1]),
                vec![Reference::horizontal("chance", 0.5)],
            ),
        ],
        columns: 2,
    }
}
