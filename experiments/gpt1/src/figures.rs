//! The figures, from what is on disk.

use std::collections::BTreeMap;

use common::experiment::of_reference;
use ledger::plot::{Axis, Figure, Panel, Reference, Series, Style};
use ledger::stats::{Scale, mean_over_seeds};

use crate::studies::pretrain::Curve;
use crate::studies::rates::Tried;
use crate::studies::scored::{Pairs, Scored, unit};
use crate::studies::zero_shot::Point;
use crate::tasks::{TASKS, Task};

/// Figure 2, right, at the end of pre-training.
const PUBLISHED_SENTIMENT: f64 = 0.68;

/// Loss on unseen authors and on the text as it came, against tokens read; dashed those of the published long trainings.
pub(crate) fn pretraining(data: &str, curves: &[Curve], published: &[Curve]) -> Figure {
    let all = curves.iter().chain(published);
    let mut names: Vec<&str> = all.map(|curve| curve.model.as_str()).collect();
    names.sort_unstable_by_key(|name| std::cmp::Reverse(*name)); // transformer before lstm
    names.dedup();
    let series_of = |of: fn(&Curve) -> &Vec<(f64, f64)>| -> Vec<Series> {
        let line = |curve: &Curve, style, whose: &str| {
            let slot = names.iter().position(|name| *name == curve.model).unwrap_or_default();
            let millions = curve.parameters as f64 / 1e6;
            let label = format!("{}, {millions:.1}M parameters{whose}", curve.model);
            Series::new(label, style, of(curve).clone()).colour(slot)
        };
        let dashed = |curve| line(curve, Style::Dashed, &of_reference(&curve.data, data));
        let long = published.iter().map(dashed);
        curves.iter().map(|curve| line(curve, Style::Line, "")).chain(long).collect()
    };
    let panel = |title: &str, series| Panel {
        title: title.into(),
        x: Axis::log("tokens read"),
        y: Axis::linear("loss (nats per token)"),
        series,
        ..Panel::default()
    };
    Figure {
        title: format!("Predicting the next token of {data}"),
        caption: format!(
            "Cross-entropy in nats per token of {data} against tokens read, on books of authors held out for validation \
             and on the training text as it came; dashed, where a training is short, our published long ones. The \
             published 18.4 is 2.91 nats, in another vocabulary and on other books, after some 100 thousand million \
             tokens."
        ),
        panels: vec![
            panel("unseen authors", series_of(|c| &c.val)),
            panel("training text", series_of(|c| &c.train)),
        ],
        columns: 2,
    }
}

/// Validation loss at the end of the search against rate, a line for each model and batch.
pub(crate) fn rates(data: &str, tokens: u64, tried: &[Tried]) -> Figure {
    let mut lines: BTreeMap<(&str, usize), Vec<(f64, f64)>> = BTreeMap::new();
    for Tried { model, choice, loss } in tried {
        lines.entry((model, choice.batch)).or_default().push((choice.lr, *loss));
    }
    let series = lines
        .into_iter()
        .enumerate()
        .map(|(slot, ((model, batch), mut points))| {
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            let label = format!("{model}, batch {batch}");
            Series::new(label, Style::LineAndMarkers, points).colour(slot)
        })
        .collect();
    Figure {
        title: format!("The search for learning rate and batch on {data}"),
        caption: format!(
            "Loss on the validation books after {:.1} million tokens, one run a point with a seed that no reported run \
             has. The smallest loss of a model decides for its pre-training.",
            tokens as f64 / 1e6
        ),
        panels: vec![Panel {
            x: Axis::log("highest learning rate"),
            y: Axis::linear("validation loss (nats per token)"),
            series,
            ..Panel::default()
        }],
        columns: 1,
    }
}

/// Adds the mean of `scores` at `x` to a series, with the interval over seeds where there is one.
fn add_mean(series: &mut Series, x: f64, scores: &[f64]) {
    let estimate = mean_over_seeds(scores, Scale::Natural).expect("scores are finite, and some");
    series.points.push((x, estimate.value));
    series.band.extend(estimate.low.zip(estimate.high).map(|(low, high)| (x, low, high)));
}

/// Scores by task, a bar for each of `variants` with its label.
pub(crate) fn scores(title: &str, scored: &[Scored], variants: &[(&str, &str)]) -> Figure {
    let tasks: Vec<&'static Task> =
        TASKS.iter().filter(|task| scored.iter().any(|run| run.task.name == task.name)).collect();
    let series = variants
        .iter()
        .enumerate()
        .map(|(slot, (variant, label))| {
            let mut series = Series::new(*label, Style::Bars, Vec::new()).colour(slot);
            for (x, task) in tasks.iter().enumerate() {
                let of = scored.iter().filter(|run| run.task.name == task.name);
                let scores: Vec<f64> =
                    of.filter(|run| run.variant == *variant).map(|run| run.score).collect();
                if !scores.is_empty() {
                    add_mean(&mut series, x as f64, &scores);
                }
            }
            series
        })
        .filter(|series: &Series| !series.points.is_empty())
        .collect();
    Figure {
        title: title.to_owned(),
        caption: "Test scores by task: Matthews correlation × 100 for CoLA, F1 for MRPC and QQP, Pearson correlation × \
                  100 for STS-B, accuracy in percent for the others. Mean over seeds with 95 % intervals."
            .into(),
        panels: vec![Panel {
            x: Axis::categories("task", tasks.iter().map(|task| task.name)),
            y: Axis::linear("score"),
            series,
            ..Panel::default()
        }],
        columns: 1,
    }
}

/// Scores of a task against the number of labels: with and without pre-training.
pub(crate) fn label_efficiency(task: &'static str, by_labels: &[(usize, Pairs)]) -> Figure {
    let line = |label: &str, slot: usize, of: fn(&Pairs) -> &Vec<f64>| {
        let mut series = Series::new(label, Style::LineAndMarkers, Vec::new()).colour(slot);
        for (labels, pairs) in by_labels {
            add_mean(&mut series, *labels as f64, of(pairs));
        }
        series
    };
    let metric = Task::get(task).map_or("score", |task| unit(task.metric));
    Figure {
        title: format!("{task}: what pre-training is worth by number of labels"),
        caption: format!(
            "Test score on {task} against the number of labelled training examples, fine-tuned from the pre-trained \
             transformer and from fresh weights of the same shape. Mean over seeds with 95 % intervals; each seed draws \
             its own examples, the same for both."
        ),
        panels: vec![Panel {
            x: Axis::log("labelled training examples"),
            y: Axis::linear(metric),
            series: vec![
                line("pre-trained", 0, |pairs| &pairs.left),
                line("from scratch", 1, |pairs| &pairs.right),
            ],
            ..Panel::default()
        }],
        columns: 1,
    }
}

/// Figure 2, left: scores against the number of blocks taken over; -1 stands for nothing at all.
pub(crate) fn layers_transferred(
    by_task: &BTreeMap<&'static str, BTreeMap<i64, Vec<f64>>>,
) -> Figure {
    let panels = by_task
        .iter()
        .map(|(task, by_layers)| {
            let label = "embeddings and so many blocks";
            let mut series = Series::new(label, Style::LineAndMarkers, Vec::new());
            let mut references = Vec::new();
            for (layers, scores) in by_layers {
                if *layers < 0 {
                    let mean = scores.iter().sum::<f64>() / scores.len() as f64;
                    references.push(Reference::horizontal("nothing transferred", mean));
                } else {
                    add_mean(&mut series, *layers as f64, scores);
                }
            }
            Panel {
                title: (*task).to_owned(),
                x: Axis::linear("blocks transferred"),
                y: Axis::linear(Task::get(task).map_or("score", |task| unit(task.metric))),
                series: vec![series],
                references,
                ..Panel::default()
            }
        })
        .collect();
    Figure {
        title: "Figure 2, left: layers transferred".into(),
        caption: "Test score after fine-tuning from the embeddings and the first so many blocks of the pre-trained \
                  transformer, the other blocks fresh. Mean over seeds with 95 % intervals. The paper has MultiNLI and \
                  RACE with 12 blocks, and gains up to 9 points."
            .into(),
        panels,
        columns: 2,
    }
}

/// Figure 2, right: relative scores without fine-tuning against updates of pre-training.
pub(crate) fn zero_shot(points: &[Point]) -> Figure {
    let tasks: Vec<&str> = TASKS
        .iter()
        .map(|task| task.name)
        .filter(|task| points.iter().any(|point| point.task == *task))
        .collect();
    let mut series = Vec::new();
    for (slot, task) in tasks.iter().enumerate() {
        for (model, style) in [("transformer", Style::LineAndMarkers), ("lstm", Style::Dashed)] {
            let of = points.iter().filter(|point| point.task == *task && point.model == model);
            let mut line: Vec<(f64, f64)> =
                of.map(|point| (point.step as f64, point.relative)).collect();
            line.sort_by(|a, b| a.0.total_cmp(&b.0));
            if !line.is_empty() {
                series.push(Series::new(format!("{task}, {model}"), style, line).colour(slot));
            }
        }
    }
    Figure {
        title: "Figure 2, right: without fine-tuning".into(),
        caption: "Scores of heuristics on the language model's probabilities, from chance (0) to the best single model of \
                  2018 (1), against updates of pre-training; transformer solid, LSTM dashed. Published: 0.68 for \
                  sentiment at the end."
            .into(),
        panels: vec![Panel {
            x: Axis::log("updates of pre-training"),
            y: Axis::linear("relative score"),
            series,
            references: vec![Reference::horizontal(
                "published, sentiment, at the end",
                PUBLISHED_SENTIMENT,
            )],
            ..Panel::default()
        }],
        columns: 1,
    }
}
