//! Gao, Schulman and Hilton 2022: what a gold reward does while a proxy of it is optimised, by best of n and by PPO,
//! for proxies of several sizes and numbers of comparisons.

use std::collections::BTreeMap;

use common::experiment::{Drawings, Finished};
use common::session::Session;
use ledger::claims::Measured;
use ledger::stats::{Estimate, Scale, mean_over_seeds};
use serde::Deserialize as _;

use super::data_of;
use super::pipeline::{Pipeline, make, weights_of};
use super::sentiment::{Trace, traces};
use crate::figures;
use crate::fits::{Fit, Form};
use crate::stages::{Kind, RunConfig, Sampling};

/// Its name.
pub const STUDY: &str = "overoptimisation";
/// What it learns from.
pub const DATASETS: [&str; 1] = ["human-sentiment"];

/// The proxies: blocks and comparisons.
fn proxies(preset: &super::OverPreset) -> Vec<(i64, usize)> {
    let most = preset.layers.iter().copied().max().unwrap_or(1);
    let last = preset.comparisons.last().copied().unwrap_or(1);
    let mut all: Vec<(i64, usize)> = preset.layers.iter().map(|&layers| (layers, last)).collect();
    all.extend(preset.comparisons.iter().filter(|n| **n != last).map(|&n| (most, n)));
    all
}

/// Makes every run that is not done yet: first the proxies, then what optimises them.
///
/// # Errors
/// A base or data that cannot be had; a run that fails.
pub fn run(session: &Session) -> anyhow::Result<()> {
    let pipeline = Pipeline::open(session)?;
    let texts = pipeline.style_texts()?;
    let start = pipeline.finetuned(&texts)?;
    let preset = &pipeline.preset.overoptimisation;
    let seeds = pipeline.session().seeds_or(preset.seeds);
    let golds = pipeline.rewards(&texts, &start, &seeds)?;
    let task = &pipeline.preset.sft.task;
    let mut first = Vec::new();
    let mut names = Vec::new();
    for (seed, gold) in seeds.iter().zip(&golds) {
        for (layers, comparisons) in proxies(preset) {
            let kind = Kind::Proxy {
                task: task.clone(),
                gold: gold.clone(),
                comparisons,
                layers,
                sampling: Sampling::of(&preset.train),
                train: preset.reward.clone(),
            };
            let name = format!("blocks-{layers}-pairs-{comparisons}");
            first.push(pipeline.wanted(&texts, &format!("proxy-{name}"), *seed, &start, kind));
            names.push((name, *seed, gold));
        }
    }
    let made = make(session, STUDY, first)?;
    let mut second = Vec::new();
    for (spec, (name, seed, gold)) in made.iter().zip(names) {
        let proxy = weights_of(session, &format!("a proxy of the gold model, {name}"), spec)?;
        let best_of = Kind::BestOf {
            task: task.clone(),
            reward: proxy.clone(),
            gold: Some(gold.clone()),
            answers: preset.answers,
            sampling: Sampling::of(&preset.train),
        };
        let policy = Kind::Policy {
            task: task.clone(),
            reward: proxy,
            gold: Some(gold.clone()),
            books: None,
            train: preset.train.clone(),
            publish: false,
        };
        for (what, kind) in [("best-of-n", best_of), ("ppo", policy)] {
            second.push(pipeline.wanted(&texts, &format!("{what}-{name}"), seed, &start, kind));
        }
    }
    make(session, STUDY, second)?;
    Ok(())
}

/// One proxy's optimisation by one method.
#[derive(Debug, Clone)]
pub(crate) struct Curve {
    pub(crate) form: Form,
    pub(crate) layers: i64,
    pub(crate) comparisons: usize,
    pub(crate) seed: u64,
    /// `(√KL, the proxy's score above the start's)`
    pub(crate) proxy: Vec<(f64, f64)>,
    /// `(√KL, the gold score above the start's)`
    pub(crate) gold: Vec<(f64, f64)>,
    /// Of the gold scores.
    pub(crate) fit: Option<Fit>,
}

/// The curves of all finished runs on some data, scores from that of the policy at its start.
pub(crate) fn curves(finished: &Finished, data: &str) -> anyhow::Result<Vec<Curve>> {
    let mut curves = Vec::new();
    for trace in traces(finished, data)? {
        let (form, name) = match trace.variant.split_once("-blocks-") {
            Some(("ppo", name)) => (Form::Rl, name),
            Some(("best-of-n", name)) => (Form::BestOf, name),
            _ => continue,
        };
        let numbers: Vec<i64> = name.split("-pairs-").filter_map(|n| n.parse().ok()).collect();
        let [layers, comparisons] = numbers[..] else { continue };
        let Trace { score, gold, seed, .. } = trace;
        let (proxy, gold) = (from_start(&score), from_start(&gold));
        let fit = Fit::least_squares(form, &gold);
        curves.push(Curve {
            form,
            layers,
            comparisons: comparisons as usize,
            seed,
            proxy,
            gold,
            fit,
        });
    }
    Ok(curves)
}

/// `(√KL, score above the first)`.
fn from_start(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let first = points.first().map_or(0.0, |(_, y)| *y);
    points.iter().map(|(kl, y)| (kl.max(0.0).sqrt(), y - first)).collect()
}

/// The coefficients of both curves by proxy, how well they fit, and what over-optimisation costs.
///
/// # Errors
/// Files that cannot be read.
pub fn measure(finished: &Finished) -> anyhow::Result<Vec<Measured>> {
    let mut rows = Vec::new();
    let certain = Estimate::certain(kl_of_the_best(64.0));
    for data in data_of(finished) {
        for id in ["sti-14", "gao-03"] {
            let row = finished.measured(id, &data, certain.clone());
            rows.push(Measured { protocol_ok: true, ..row });
        }
        let all = curves(finished, &data)?;
        let blocks = all.iter().map(|curve| curve.layers).max().unwrap_or_default();
        let most = all.iter().map(|curve| curve.comparisons).max().unwrap_or_default();
        let mut by_id: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        let mut add = |id: String, x: f64| {
            if x.is_finite() {
                by_id.entry(id).or_default().push(x);
            }
        };
        for curve in all.iter().filter(|curve| curve.comparisons == most) {
            let word = if curve.form == Form::Rl { "rl" } else { "bon" };
            let Some(fit) = curve.fit else { continue };
            add(format!("alpha-{word}-blocks-{}", curve.layers), fit.alpha);
            add(format!("beta-{word}-blocks-{}", curve.layers), fit.beta);
            if curve.layers == blocks {
                let id = if curve.form == Form::Rl { "gao-02" } else { "gao-01" };
                add(id.to_owned(), fit.r_squared(&curve.gold));
            }
        }
        let largest = all.iter().filter(|c| c.layers == blocks && c.comparisons == most);
        for curve in largest.clone().filter(|curve| curve.form == Form::Rl) {
            let last = |points: &[(f64, f64)]| points.last().map_or(f64::NAN, |(_, y)| *y);
            let peak = curve.gold.iter().map(|(_, y)| *y).fold(f64::NEG_INFINITY, f64::max);
            add("sti-13".to_owned(), peak - last(&curve.gold));
            add("hh-09".to_owned(), last(&curve.proxy) - last(&curve.gold));
            // The divergence that the best of n needs for the proxy score that PPO ends with, or its largest.
            let of = largest.clone().find(|c| c.form == Form::BestOf && c.seed == curve.seed);
            if let Some(best_of) = of {
                let reached = last(&best_of.proxy);
                let ppo = curve.proxy.iter().find(|(_, y)| *y >= reached).map(|(d, _)| d * d);
                let bon = best_of.proxy.last().map(|(d, _)| d * d);
                if let Some((ppo, bon)) = ppo.zip(bon) {
                    add("gao-09".to_owned(), ppo - bon);
                }
            }
        }
        for (id, values) in by_id {
            rows.push(finished.measured(&id, &data, mean_over_seeds(&values, Scale::Natural)?));
        }
    }
    Ok(rows)
}

/// The divergence of the best of `n` from one, integrated: the best's density over ranks `u` is `n·uⁿ⁻¹`.
fn kl_of_the_best(n: f64) -> f64 {
    const STEPS: i32 = 1_000_000;
    let width = 1.0 / f64::from(STEPS);
    (0..STEPS)
        .map(|i| {
            let density = n * (width * (f64::from(i) + 0.5)).powf(n - 1.0);
            if density > 0.0 { width * density * density.ln() } else { 0.0 }
        })
        .sum()
}

/// Gold and proxy scores against how far the policy has gone, and the coefficients by proxy.
///
/// # Errors
/// Files that cannot be read.
pub fn figures(finished: &Finished) -> anyhow::Result<Drawings> {
    let mut drawings = Drawings::new();
    for data in data_of(finished) {
        let all = curves(finished, &data)?;
        if all.is_empty() {
            continue;
        }
        for (form, name) in [(Form::BestOf, "best-of-n"), (Form::Rl, "ppo")] {
            let figure = figures::overoptimisation(&data, form, &all);
            drawings.push((format!("{name}-{data}"), figure));
        }
        let sizes = sizes(finished, &data)?;
        drawings.push((format!("coefficients-{data}"), figures::coefficients(&data, &all, &sizes)));
    }
    Ok(drawings)
}

/// Parameters of the proxies by blocks.
fn sizes(finished: &Finished, data: &str) -> anyhow::Result<BTreeMap<i64, f64>> {
    let mut sizes = BTreeMap::new();
    for (_, record) in finished.runs.iter().filter(|(_, record)| record.key.data == data) {
        let RunConfig { kind, .. } = RunConfig::deserialize(&record.config)?;
        if let (Kind::Proxy { layers, .. }, Some(n)) = (kind, record.metrics.get("parameters")) {
            sizes.insert(layers, *n);
        }
    }
    Ok(sizes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ppo::kl::kl_best_of;

    #[test]
    fn the_integrated_divergence_is_the_formula() {
        for n in [2.0, 64.0, 256.0] {
            let (found, wanted) = (kl_of_the_best(n), kl_best_of(n));
            assert!((found - wanted).abs() < 1e-5, "{n}: {found}, wanted {wanted}");
        }
    }
}
