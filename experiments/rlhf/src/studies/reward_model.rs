//! Reward models of human judgements: accuracy against the number of comparisons and of blocks, beside a bag of words and
//! beside people.

use common::experiment::{Drawings, Finished};
use common::rows::read_rows;
use common::session::Session;
use ledger::claims::Measured;
use ledger::stats::{Scale, mean_over_seeds, paired_difference};
use serde::Deserialize as _;

use super::pipeline::{Pipeline, RewardPlan, Wanted, make};
use super::{Preset, RewardPreset, by_seed, data_of, paired};
use crate::figures;
use crate::stages::texts::Texts;
use crate::stages::{JUDGEMENTS, Judgement, Kind, Labels, RunConfig};
use crate::weights::Origin;

/// Its name.
pub const STUDY: &str = "reward-model";
/// What it learns from.
pub const DATASETS: [&str; 1] = ["human-sentiment"];
/// Pairs whose raters' means are further apart than this are clear.
const CLEAR: f64 = 2.0;

/// The most comparisons, and the most blocks: what policies learn from.
pub(super) fn largest(preset: &Preset) -> (usize, i64) {
    let RewardPreset { comparisons, layers, .. } = &preset.reward_model;
    (comparisons.iter().copied().max().unwrap_or(1), layers.iter().copied().max().unwrap_or(1))
}

/// The name of a model of so many comparisons and blocks.
fn name(comparisons: usize, layers: i64) -> String {
    format!("pairs-{comparisons}-blocks-{layers}")
}

pub(super) fn wanted(
    pipeline: &Pipeline,
    texts: &Texts,
    start: &Origin,
    (comparisons, layers): (usize, i64),
    seed: u64,
) -> Wanted {
    let RewardPlan { labels, train, .. } = pipeline.reward_plan();
    let kind = Kind::Reward {
        task: pipeline.preset.sft.task.clone(),
        labels: Labels { comparisons, ..labels },
        layers,
        sampling: pipeline.sampling(),
        train,
    };
    pipeline.wanted(texts, &name(comparisons, layers), seed, start, kind)
}

/// Makes every run that is not done yet.
///
/// # Errors
/// A base or data that cannot be had; a run that fails.
pub fn run(session: &Session) -> anyhow::Result<()> {
    let pipeline = Pipeline::open(session)?;
    let texts = pipeline.style_texts()?;
    let start = pipeline.finetuned(&texts)?;
    let preset = &pipeline.preset.reward_model;
    let (most, blocks) = largest(&pipeline.preset);
    let mut all = Vec::new();
    for seed in pipeline.session().seeds_or(preset.seeds) {
        for &n in &preset.comparisons {
            all.push(wanted(&pipeline, &texts, &start, (n, blocks), seed));
            let labels = Labels { comparisons: n, ..preset.labels.clone() };
            let task = pipeline.preset.sft.task.clone();
            let kind = Kind::Bag { task, labels };
            all.push(pipeline.wanted(&texts, &format!("bag-{n}"), seed, &start, kind));
        }
        for &layers in preset.layers.iter().filter(|layers| **layers != blocks) {
            all.push(wanted(&pipeline, &texts, &start, (most, layers), seed));
        }
        if preset.together > 2 {
            let together = preset.together;
            let kind = Kind::Reward {
                task: pipeline.preset.sft.task.clone(),
                labels: Labels { comparisons: most, together, ..preset.labels.clone() },
                layers: blocks,
                sampling: pipeline.sampling(),
                train: crate::train_reward::Config {
                    batch: (2 * preset.train.batch / together).max(1),
                    ..preset.train.clone()
                },
            };
            let variant = format!("groups-of-{together}");
            all.push(pipeline.wanted(&texts, &variant, seed, &start, kind));
        }
    }
    make(session, STUDY, all)?;
    Ok(())
}

/// One reward model or baseline, judged.
#[derive(Debug, Clone)]
pub(crate) struct Judged {
    pub(crate) bag: bool,
    pub(crate) together: usize,
    pub(crate) judge: bool,
    pub(crate) comparisons: usize,
    pub(crate) layers: i64,
    pub(crate) parameters: f64,
    pub(crate) seed: u64,
    /// Percent of all held-out pairs.
    pub(crate) acc: f64,
    /// Percent of the clear ones.
    pub(crate) clear: f64,
    /// Percent of pairs on which one rater agrees with the others.
    pub(crate) people: Option<f64>,
    pub(crate) judgements: Vec<Judgement>,
}

/// All finished runs on some data, from their judgements.
fn judged(finished: &Finished, data: &str) -> anyhow::Result<Vec<Judged>> {
    let mut all = Vec::new();
    for (folder, record) in finished.runs.iter().filter(|(_, record)| record.key.data == data) {
        let RunConfig { kind, .. } = RunConfig::deserialize(&record.config)?;
        let judgements: Vec<Judgement> = read_rows(&folder.join(JUDGEMENTS))?;
        let (bag, labels, layers) = match kind {
            Kind::Reward { labels, layers, .. } => (false, labels, layers),
            Kind::Bag { labels, .. } => (true, labels, 0),
            _ => continue,
        };
        let clear: Vec<&Judgement> =
            judgements.iter().filter(|j| j.gap.is_some_and(|gap| gap > CLEAR)).collect();
        let share = |right: usize, of: usize| 100.0 * right as f64 / (of as f64).max(1.0);
        let right = |j: &&Judgement| j.margin > 0.0;
        all.push(Judged {
            bag,
            together: labels.together,
            judge: labels.held_out,
            comparisons: labels.comparisons,
            layers,
            parameters: if bag { 0.0 } else { record.ended_with("parameters")? },
            seed: record.key.seed,
            acc: share(judgements.iter().filter(right).count(), judgements.len()),
            clear: share(clear.iter().copied().filter(right).count(), clear.len()),
            people: record.metrics.get("people/acc").map(|acc| 100.0 * acc),
            judgements,
        });
    }
    Ok(all)
}

/// The slope of accuracy against the logarithm of base 2 of `x`: points a doubling; none with fewer than two sizes.
fn per_doubling(points: &[(f64, f64)]) -> Option<f64> {
    let n = points.len() as f64;
    let mean = |of: &dyn Fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / n;
    let (mx, my) = (mean(&|p| p.0.log2()), mean(&|p| p.1));
    let sxx: f64 = points.iter().map(|p| (p.0.log2() - mx).powi(2)).sum();
    let sxy: f64 = points.iter().map(|p| (p.0.log2() - mx) * (p.1 - my)).sum();
    (sxx > 1e-9).then(|| sxy / sxx)
}

/// How far the odds of being right follow the margins: the slope of a logistic regression of being right on the margin,
/// 1 where a margin is the logarithm of odds. Found by Newton's method.
fn calibration(judgements: &[Judgement]) -> f64 {
    // Being right is "the sign of the margin": with x = |margin|, P(right) = σ(s·x).
    let xs: Vec<(f64, f64)> =
        judgements.iter().map(|j| (j.margin.abs(), f64::from(u8::from(j.margin > 0.0)))).collect();
    let mut slope = 0.0;
    for _ in 0..50 {
        let (mut gradient, mut curvature) = (0.0, 1e-9);
        for (x, y) in &xs {
            let p = 1.0 / (1.0 + (-slope * x).exp());
            gradient += (y - p) * x;
            curvature += p * (1.0 - p) * x * x;
        }
        slope += (gradient / curvature).clamp(-1.0, 1.0);
    }
    slope
}

/// Accuracy by comparisons and blocks, gains a doubling, against the bag of words and people.
///
/// # Errors
/// Files that cannot be read.
pub fn measure(finished: &Finished) -> anyhow::Result<Vec<Measured>> {
    let mut rows = Vec::new();
    for data in data_of(finished) {
        let all = judged(finished, &data)?;
        let mut add = |id: &str, values: &[f64]| -> anyhow::Result<()> {
            if !values.is_empty() {
                let estimate = mean_over_seeds(values, Scale::Natural)?;
                rows.push(finished.measured(id, &data, estimate));
            }
            Ok(())
        };
        let models: Vec<&Judged> =
            all.iter().filter(|j| !j.bag && !j.judge && j.together == 2).collect();
        let Some(most) = models.iter().map(|j| j.comparisons).max() else { continue };
        let blocks = models.iter().map(|j| j.layers).max().unwrap_or_default();
        let best: Vec<&&Judged> =
            models.iter().filter(|j| j.comparisons == most && j.layers == blocks).collect();
        add("reward-acc", &best.iter().map(|j| j.acc).collect::<Vec<_>>())?;
        add("reward-acc-clear", &best.iter().map(|j| j.clear).collect::<Vec<_>>())?;
        add("human-ceiling", &best.iter().filter_map(|j| j.people).take(1).collect::<Vec<_>>())?;
        add("hh-08", &best.iter().map(|j| calibration(&j.judgements)).collect::<Vec<_>>())?;
        for n in [500, 2000, 8000] {
            let of = |bag: bool| -> Vec<(u64, f64)> {
                let of = all.iter().filter(|j| j.bag == bag && !j.judge && j.together == 2);
                let of = of.filter(|j| j.comparisons == n && (bag || j.layers == blocks));
                of.map(|j| (j.seed, j.acc)).collect()
            };
            let (ours, bag) = paired(&of(false), &of(true));
            if !ours.is_empty() {
                let gain = paired_difference(&ours, &bag)?;
                rows.push(finished.measured(&format!("over-bag-{n}"), &data, gain));
            }
        }
        let mut seeds: Vec<u64> = models.iter().map(|j| j.seed).collect();
        seeds.sort_unstable();
        seeds.dedup();
        let slopes = |keep: &dyn Fn(&Judged) -> Option<f64>| -> Vec<f64> {
            let of_seed = |seed: &u64| {
                let of = models.iter().filter(|j| j.seed == *seed);
                let points: Vec<_> = of.filter_map(|j| Some((keep(j)?, j.acc))).collect();
                per_doubling(&points)
            };
            seeds.iter().filter_map(of_seed).collect()
        };
        let by_data = slopes(&|j| (j.layers == blocks).then_some(j.comparisons as f64));
        let by_size = slopes(&|j| (j.comparisons == most).then_some(j.parameters));
        for (id, values) in [("sti-06", by_data), ("sti-07", by_size)] {
            if !values.is_empty() {
                let estimate = mean_over_seeds(&values, Scale::Natural)?;
                rows.push(finished.measured(id, &data, estimate));
            }
        }
        let groups: Vec<(u64, f64)> =
            all.iter().filter(|j| j.together > 2).map(|j| (j.seed, j.acc)).collect();
        let pairs: Vec<(u64, f64)> = best.iter().map(|j| (j.seed, j.acc)).collect();
        let (groups, pairs) = paired(&groups, &pairs);
        if !groups.is_empty() {
            let gain = paired_difference(&groups, &pairs)?;
            rows.push(finished.measured("groups-over-pairs", &data, gain));
        }
        let judge: Vec<f64> = by_seed(finished, &data, &judge_name(finished), "test/acc")?
            .into_iter()
            .map(|(_, acc)| 100.0 * acc)
            .collect();
        if !judge.is_empty() {
            rows.push(finished.measured(
                "judge-acc",
                &data,
                mean_over_seeds(&judge, Scale::Natural)?,
            ));
        }
    }
    Ok(rows)
}

/// What the judge's variant is called; nothing where there is none.
fn judge_name(finished: &Finished) -> String {
    let mut of = finished.runs.iter().map(|(_, record)| record.key.variant.as_str());
    of.rfind(|variant| variant.starts_with("judge-")).unwrap_or_default().to_owned()
}

/// Accuracy against comparisons and blocks, and calibration.
///
/// # Errors
/// Files that cannot be read.
pub fn figures(finished: &Finished) -> anyhow::Result<Drawings> {
    let mut drawings = Drawings::new();
    for data in data_of(finished) {
        let all = judged(finished, &data)?;
        if all.iter().any(|j| !j.bag && !j.judge) {
            drawings.push((format!("accuracy-{data}"), figures::reward_accuracy(&data, &all)));
            drawings.push((format!("calibration-{data}"), figures::calibration(&data, &all)));
        }
    }
    Ok(drawings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slope_is_points_a_doubling() {
        let points = [(500.0, 60.0), (1000.0, 62.0), (4000.0, 66.0)];
        assert!((per_doubling(&points).unwrap() - 2.0).abs() < 1e-9);
        assert_eq!(per_doubling(&points[..1]), None);
    }

    #[test]
    fn margins_that_are_odds_have_slope_one_and_twice_as_large_ones_half() {
        // Of 100 pairs at each margin m, 100·σ(m) are right.
        let at = |m: f64, scale: f64| -> Vec<Judgement> {
            let right = (10_000.0 / (1.0 + (-m).exp())).round() as usize;
            let margin = |i: usize| if i < right { scale * m } else { -scale * m };
            (0..10_000).map(|i| Judgement { margin: margin(i), gap: None }).collect()
        };
        for (scale, wanted) in [(1.0, 1.0), (2.0, 0.5)] {
            let all: Vec<Judgement> =
                [0.3, 1.0, 2.0].into_iter().flat_map(|m| at(m, scale)).collect();
            let found = calibration(&all);
            assert!((found - wanted).abs() < 0.01, "{found}, wanted {wanted}");
        }
    }
}
