//! The figures, from what is on disk.

use std::collections::BTreeMap;

use ledger::plot::{Axis, Figure, Panel, Reference, Series, Style, Table};
use ledger::stats::{Scale, mean_over_seeds};

use crate::fits::Form;
use crate::studies::overoptimisation::Curve;
use crate::studies::reward_model::Judged;
use crate::studies::sentiment::Trace;
use crate::train_policy::Sample;

/// Rows of the table of samples.
const SHOWN: usize = 12;

/// Losses against tokens read.
pub(crate) fn language_model(title: &str, train: Vec<(f64, f64)>, val: Vec<(f64, f64)>) -> Figure {
    Figure {
        title: title.to_owned(),
        caption: "Cross-entropy in nats per token of the run's own vocabulary, on the training text as it came and on \
                  text held out."
            .into(),
        panels: vec![Panel {
            x: Axis::log("tokens read"),
            y: Axis::linear("loss (nats per token)"),
            series: vec![
                Series::new("training text", Style::Dashed, train).colour(1),
                Series::new("held out", Style::LineAndMarkers, val).colour(0),
            ],
            ..Panel::default()
        }],
        columns: 1,
    }
}

/// A series of means over seeds with their intervals.
fn means(label: &str, slot: usize, by_x: &BTreeMap<u64, Vec<f64>>) -> Series {
    let mut series = Series::new(label, Style::LineAndMarkers, Vec::new()).colour(slot);
    for (x, values) in by_x {
        let estimate =
            mean_over_seeds(values, Scale::Natural).expect("scores are finite, and some");
        series.points.push((*x as f64, estimate.value));
        let band = estimate.low.zip(estimate.high).map(|(low, high)| (*x as f64, low, high));
        series.band.extend(band);
    }
    series
}

/// Accuracy against the number of comparisons, and against the model's size.
pub(crate) fn reward_accuracy(data: &str, all: &[Judged]) -> Figure {
    let models = || all.iter().filter(|j| !j.bag && !j.judge && j.together == 2);
    let blocks = models().map(|j| j.layers).max().unwrap_or_default();
    let most = models().map(|j| j.comparisons).max().unwrap_or_default();
    let group = |keep: &dyn Fn(&Judged) -> Option<(u64, f64)>| {
        let mut by_x: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
        for (x, y) in all.iter().filter_map(keep) {
            by_x.entry(x).or_default().push(y);
        }
        by_x
    };
    let by_data = |bag: bool, clear: bool| {
        group(&move |j| {
            let here = j.bag == bag && !j.judge && j.together == 2 && (bag || j.layers == blocks);
            here.then_some((j.comparisons as u64, if clear { j.clear } else { j.acc }))
        })
    };
    let by_size = group(&|j| {
        let here = !j.bag && !j.judge && j.together == 2 && j.comparisons == most;
        here.then_some((j.parameters as u64, j.acc))
    });
    let people: Vec<Reference> = all
        .iter()
        .find_map(|j| j.people)
        .map(|acc| Reference::horizontal("one rater against the others", acc))
        .into_iter()
        .collect();
    let panel = |title: &str, x: Axis, series: Vec<Series>| Panel {
        title: title.to_owned(),
        x,
        y: Axis::linear("accuracy on held-out pairs (%)"),
        series: series.into_iter().filter(|series| !series.points.is_empty()).collect(),
        references: people.clone(),
        ..Panel::default()
    };
    Figure {
        title: format!("Reward models of human judgements: {data}"),
        caption: "Share of held-out pairs whose better text, by the raters' means, gets the higher reward; dashed: how \
                  often one rater of each text agrees with the means of the others. Mean over seeds, each with its own \
                  comparisons, with 95 % intervals."
            .into(),
        panels: vec![
            panel(
                "by comparisons",
                Axis::log("comparisons learned from"),
                vec![
                    means("reward model", 0, &by_data(false, false)),
                    means("reward model, clear pairs", 2, &by_data(false, true)),
                    means("bag of words", 1, &by_data(true, false)),
                ],
            ),
            panel(
                "by size",
                Axis::log("parameters without embeddings"),
                vec![means("reward model", 0, &by_size)],
            ),
        ],
        columns: 2,
    }
}

/// How often a model is right against how sure it is.
pub(crate) fn calibration(data: &str, all: &[Judged]) -> Figure {
    const BINS: usize = 8;
    let models = || all.iter().filter(|j| !j.bag && !j.judge && j.together == 2);
    let blocks = models().map(|j| j.layers).max().unwrap_or_default();
    let most = models().map(|j| j.comparisons).max().unwrap_or_default();
    let of = models().filter(|j| j.layers == blocks && j.comparisons == most);
    let mut margins: Vec<f64> =
        of.flat_map(|j| j.judgements.iter().map(|judgement| judgement.margin)).collect();
    margins.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
    let size = margins.len().div_ceil(BINS).max(1);
    let sigma = |x: f64| 100.0 / (1.0 + (-x).exp());
    let points: Vec<(f64, f64)> = margins
        .chunks(size)
        .map(|bin| {
            let n = bin.len() as f64;
            let sure = bin.iter().map(|x| sigma(x.abs())).sum::<f64>() / n;
            let right = bin.iter().filter(|x| **x > 0.0).count() as f64;
            (sure, 100.0 * right / n)
        })
        .collect();
    Figure {
        title: format!("Calibration: {data}"),
        caption: format!(
            "Share of held-out pairs judged right against the probability that the difference of rewards stands for, in \
             {BINS} groups of as many pairs, all seeds together; dashed: as often as it says."
        ),
        panels: vec![Panel {
            x: Axis::linear("probability by the reward model (%)"),
            y: Axis::linear("right (%)"),
            series: vec![Series::new("reward model", Style::LineAndMarkers, points)],
            references: vec![Reference::curve("calibrated", vec![(50.0, 50.0), (100.0, 100.0)])],
            ..Panel::default()
        }],
        columns: 1,
    }
}

/// The names of variants, each once, in a steady order.
fn variants(traces: &[Trace]) -> Vec<String> {
    let mut names: Vec<String> = traces.iter().map(|trace| trace.variant.clone()).collect();
    names.sort();
    names.dedup();
    names
}

/// One series for each trace, coloured by its variant.
fn by_variant(traces: &[Trace], of: fn(&Trace) -> &Vec<(f64, f64)>) -> Vec<Series> {
    let names = variants(traces);
    traces
        .iter()
        .filter(|trace| !of(trace).is_empty())
        .map(|trace| {
            let slot = names.iter().position(|name| *name == trace.variant).unwrap_or_default();
            let best_of = trace.variant.starts_with("best-of");
            let style = if best_of { Style::LineAndMarkers } else { Style::Line };
            Series::new(trace.variant.clone(), style, of(trace).clone()).colour(slot)
        })
        .collect()
}

/// Reward against divergence: the frontier of each penalty, and of the best of n.
pub(crate) fn frontier(data: &str, traces: &[Trace]) -> Figure {
    let panel = |title: &str, y: &str, of: fn(&Trace) -> &Vec<(f64, f64)>| Panel {
        title: title.to_owned(),
        x: Axis::linear("divergence from the start (nats per response)"),
        y: Axis::linear(y),
        series: by_variant(traces, of),
        ..Panel::default()
    };
    let judged = traces.iter().any(|trace| !trace.gold.is_empty());
    let mut panels = vec![panel("the reward it learns from", "score", |trace| &trace.score)];
    if judged {
        panels.push(panel("a judge that it never sees", "judge's score", |trace| &trace.gold));
    }
    Figure {
        title: format!("Reward against divergence: {data}"),
        caption: "Mean score of responses against the divergence of the policy from its start, summed over the tokens of a \
                  response, along each training; one line a seed. A score of 0 is the mean of the start's own texts, 1 \
                  their standard deviation. Best of n: exact divergence, expected score."
            .into(),
        columns: panels.len(),
        panels,
    }
}

/// Divergence against episodes.
pub(crate) fn training(data: &str, traces: &[Trace]) -> Figure {
    Figure {
        title: format!("Divergence while training: {data}"),
        caption: "Mean divergence of the policy from its start, in nats per response, against responses; one line a seed."
            .into(),
        panels: vec![Panel {
            x: Axis::linear("responses"),
            y: Axis::linear("divergence (nats per response)"),
            series: by_variant(traces, |trace| &trace.kl),
            ..Panel::default()
        }],
        columns: 1,
    }
}

/// Divergence and coefficient against episodes.
pub(crate) fn control(data: &str, traces: &[Trace]) -> Figure {
    let panel = |title: &str, y: &str, of: fn(&Trace) -> &Vec<(f64, f64)>| Panel {
        title: title.to_owned(),
        x: Axis::linear("responses"),
        y: Axis::linear(y),
        series: by_variant(traces, of),
        ..Panel::default()
    };
    Figure {
        title: format!("Adaptive and fixed penalties: {data}"),
        caption: "The divergence from the start and the coefficient of its penalty against responses; one line a seed. The \
                  adaptive coefficient grows while the divergence is above its target."
            .into(),
        panels: vec![
            panel("divergence", "nats per response", |trace| &trace.kl),
            panel("coefficient", "β", |trace| &trace.beta),
        ],
        columns: 2,
    }
}

/// The same prompts before and after.
pub(crate) fn samples(title: &str, samples: &[Sample]) -> Figure {
    let row = |sample: &Sample| {
        let scored = |text: &str, score: f64| format!("{text} ({score:+.1})");
        vec![
            sample.query.clone(),
            scored(&sample.before, sample.score_before),
            scored(&sample.after, sample.score_after),
        ]
    };
    Figure {
        title: title.to_owned(),
        caption: "Prompts that no training saw: what the reference went on with and what the trained policy did, by \
                  the same random draws, each with its reward. Not chosen."
            .into(),
        panels: vec![Panel {
            table: Some(Table {
                columns: vec![("prompt".into(), 0.8), ("before".into(), 1.2), ("after".into(), 1.2)],
                rows: samples.iter().take(SHOWN).map(row).collect(),
            }),
            ..Panel::default()
        }],
        columns: 1,
    }
}

/// Gold and proxy scores against the root of the divergence, for each proxy.
pub(crate) fn overoptimisation(data: &str, form: Form, all: &[Curve]) -> Figure {
    let mut kinds: Vec<(i64, usize)> = all.iter().map(|c| (c.layers, c.comparisons)).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let panels = kinds
        .iter()
        .map(|(layers, comparisons)| {
            let of = all
                .iter()
                .filter(|c| c.form == form && c.layers == *layers && c.comparisons == *comparisons);
            let mut series = Vec::new();
            for curve in of {
                series.push(Series::new("proxy", Style::Dashed, curve.proxy.clone()).colour(1));
                series.push(Series::new("gold", Style::Line, curve.gold.clone()).colour(0));
                if let Some(fit) = curve.fit {
                    let farthest = curve.gold.iter().map(|(d, _)| *d).fold(0.0, f64::max);
                    let points = (1..=60).map(|i| f64::from(i) / 60.0 * farthest);
                    let points = points.map(|d| (d, fit.at(d))).collect();
                    series.push(Series::new("fit to gold", Style::Line, points).colour(2));
                }
            }
            Panel {
                title: format!("{layers} blocks, {comparisons} comparisons"),
                x: Axis::linear("√ of the divergence (√nats per response)"),
                y: Axis::linear("score above the start"),
                series,
                ..Panel::default()
            }
        })
        .collect();
    let (what, formula) = match form {
        Form::BestOf => ("best of n", "d·(α − β·d)"),
        Form::Rl => ("PPO without a penalty", "d·(α − β·ln d)"),
    };
    Figure {
        title: format!("Over-optimisation by {what}: {data}"),
        caption: format!(
            "The score by the proxy that is optimised and by the gold model that labelled its comparisons, against \
             d = √KL, in standard deviations of the start's own texts; the curve {formula} fitted to gold by least \
             squares. One line a seed."
        ),
        panels,
        columns: 2,
    }
}

/// The coefficients of both curves against the proxies' sizes.
pub(crate) fn coefficients(data: &str, all: &[Curve], sizes: &BTreeMap<i64, f64>) -> Figure {
    let most = all.iter().map(|curve| curve.comparisons).max().unwrap_or_default();
    let panel = |title: &str, pick: fn(&crate::fits::Fit) -> f64| {
        let series =
            [(Form::BestOf, "best of n", 0), (Form::Rl, "PPO", 1)].map(|(form, label, slot)| {
                let mut by_size: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
                for curve in all.iter().filter(|c| c.form == form && c.comparisons == most) {
                    if let Some((fit, size)) = curve.fit.zip(sizes.get(&curve.layers)) {
                        by_size.entry(*size as u64).or_default().push(pick(&fit));
                    }
                }
                means(label, slot, &by_size)
            });
        Panel {
            title: title.to_owned(),
            x: Axis::log("proxy's parameters without embeddings"),
            y: Axis::linear(title),
            series: series.into_iter().filter(|series| !series.points.is_empty()).collect(),
            ..Panel::default()
        }
    };
    Figure {
        title: format!("Coefficients of over-optimisation: {data}"),
        caption: "α and β of the fitted curves against the size of the proxy. Mean over seeds with 95 % intervals. \
                  Published, for proxies of 3M to 3B and in other units: α of best of n .49 to .66, β .12 to .09; β of RL \
                  .175 to .118."
            .into(),
        panels: vec![panel("α", |fit| fit.alpha), panel("β", |fit| fit.beta)],
        columns: 2,
    }
}

/// What training costs the language model on books.
pub(crate) fn tax(data: &str, taxes: &[(&str, f64)]) -> Figure {
    let names = ["ppo", "ppo-ptx"];
    let mut series = Series::new("policies", Style::Bars, Vec::new());
    for (x, name) in names.iter().enumerate() {
        let of: Vec<f64> = taxes.iter().filter(|(n, _)| n == name).map(|(_, tax)| *tax).collect();
        if let Ok(estimate) = mean_over_seeds(&of, Scale::Natural) {
            series.points.push((x as f64, estimate.value));
            let band = estimate.low.zip(estimate.high).map(|(low, high)| (x as f64, low, high));
            series.band.extend(band);
        }
    }
    Figure {
        title: format!("Alignment tax: {data}"),
        caption: "How much the loss on books held out rises by training on preferences, in nats per token, with and \
                  without pre-training text mixed in. Mean over seeds with 95 % intervals."
            .into(),
        panels: vec![Panel {
            x: Axis::categories("policy", names),
            y: Axis::linear("rise of the loss (nats per token)"),
            series: vec![series],
            ..Panel::default()
        }],
        columns: 1,
    }
}
