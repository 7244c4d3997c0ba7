//! What the finished runs say about the claims.

use common::experiment::Finished;
use ledger::claims::Measured;
use ledger::stats::{Estimate, Scale};

use super::{HF, PRE_TRAINED_CG, RunConfig};
use crate::momentum::Schedule;
use crate::studies::deep_autoencoder::{LAYERS, MNIST_CASES};
use crate::studies::{BySeed, Reading, ended, mean, measured, ratio};
use crate::train::{Config, Method};

const HF_L2: &str = "hf-l2";
const PRE_TRAINED_HF: &str = "pre-trained-hf";
const PRE_TRAINED_HF_L2: &str = "pre-trained-hf-l2";
const MU_0: &str = "mu-0";
/// Nesterov's momentum up to 0.990; the other variants are called in the same way.
const NAG_990: &str = "nag-990";

/// Claims of Sutskever et al.'s Table 1 by variant.
const TABLE_1: [(&str, &str); 9] = [
    ("mom-mnist-01", MU_0),
    ("mom-mnist-02", "nag-900"),
    ("mom-mnist-03", NAG_990),
    ("mom-mnist-04", "nag-995"),
    ("mom-mnist-05", "nag-999"),
    ("mom-mnist-06", "cm-900"),
    ("mom-mnist-07", "cm-990"),
    ("mom-mnist-08", "cm-995"),
    ("mom-mnist-09", "cm-999"),
];

/// Errors of every variant, and how many times larger one is than another.
///
/// # Errors
/// Files that cannot be read.
pub fn measure(finished: &Finished) -> anyhow::Result<Vec<Measured>> {
    let mut rows = Vec::new();
    for (data, runs) in &Reading::<RunConfig>::all(finished)? {
        let mut add = |id: &str, estimate: Option<Estimate>, protocol_ok| {
            rows.extend(estimate.map(|e| measured(finished, id, data, e, protocol_ok)));
        };
        let same = |variant: &str| {
            let mut of = runs.iter().filter(|run| run.variant == variant);
            of.all(|run| is_published(data, &run.config.train))
        };
        let level = |variant, name| mean(&ended(runs, variant, name), Scale::Log);
        for (id, variant) in [
            ("hf-05", HF),
            ("hf-06", PRE_TRAINED_HF),
            ("hf-08", HF_L2),
            ("hf-09", PRE_TRAINED_HF_L2),
        ] {
            add(&format!("{id}a"), level(variant, "train/error"), same(variant));
            add(&format!("{id}b"), level(variant, "test/error"), same(variant));
        }
        for (id, variant) in
            TABLE_1.into_iter().chain([("mom-mnist-11", HF), ("mom-mnist-12", HF_L2)])
        {
            add(id, level(variant, "train/error"), same(variant));
        }
        if let Some(run) = runs.iter().find(|run| run.variant == HF) {
            let cases = Estimate::certain(run.config.train.cases as f64);
            add("hf-14", Some(cases), same(HF));
        }
        let (before, after) = around_the_last_updates(runs, NAG_990)?;
        add("mom-late-01", mean(&before, Scale::Log), same(NAG_990));
        add("mom-late-02", mean(&after, Scale::Log), same(NAG_990));

        let error = |variant| ended(runs, variant, "train/error");
        let hf = error(HF);
        let both = same(HF) && same(PRE_TRAINED_CG);
        add("hf-16", ratio(&error(PRE_TRAINED_CG), &hf), both);
        if let Some(best) = best_momentum(runs) {
            add("plain-over-momentum", ratio(&error(MU_0), &error(best)), false);
            let (momentum, hf) = at_equal_work(runs, best, HF)?;
            add("momentum-over-hf-at-equal-work", ratio(&momentum, &hf), false);
        }
    }
    Ok(rows)
}

/// Whether a run is the published one: all of MNIST, the published net and the published training.
fn is_published(data: &str, config: &Config) -> bool {
    let trained = match &config.method {
        Method::HessianFree { newton, .. } => newton.iterations >= 140 && newton.chunks == 8,
        Method::ConjugateGradients(cg) => cg.epochs >= 200 && cg.batch == 1000,
        Method::Momentum(momentum) => {
            momentum.schedule.updates >= 750_000 && momentum.schedule.batch == 200
        }
    };
    data == "mnist" && config.cases == MNIST_CASES && config.widths[1..] == LAYERS && trained
}

/// The variant with momentum whose reported runs end with the smallest mean training error. Chosen by what it is then
/// reported for, which favours it.
pub(crate) fn best_momentum(runs: &[Reading<RunConfig>]) -> Option<&str> {
    let variants = TABLE_1.iter().map(|(_, variant)| *variant).filter(|variant| *variant != MU_0);
    let error =
        |variant| Some((mean(&ended(runs, variant, "train/error"), Scale::Log)?.value, variant));
    variants.filter_map(error).min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, variant)| variant)
}

/// Training errors of two variants by seed, at the most work that both runs of a seed did.
fn at_equal_work(
    runs: &[Reading<RunConfig>],
    left: &str,
    right: &str,
) -> anyhow::Result<(BySeed, BySeed)> {
    let (mut at_left, mut at_right) = (BySeed::new(), BySeed::new());
    for a in runs.iter().filter(|run| run.variant == left) {
        let Some(b) = runs.iter().find(|run| run.variant == right && run.seed == a.seed) else {
            continue;
        };
        let [a_rows, b_rows] = [a, b].map(|run| run.curve("passes", "train/error"));
        let (a_rows, b_rows) = (a_rows?, b_rows?);
        let end = |rows: &[(f64, f64)]| rows.last().map_or(0.0, |row| row.0);
        let work = end(&a_rows).min(end(&b_rows));
        if let (Some(x), Some(y)) = (at_work(&a_rows, work), at_work(&b_rows, work)) {
            at_left.insert(a.seed, x);
            at_right.insert(a.seed, y);
        }
    }
    Ok((at_left, at_right))
}

/// The error of the last row at or before so much work.
fn at_work(rows: &[(f64, f64)], work: f64) -> Option<f64> {
    rows.iter().rev().find(|row| row.0 <= work).map(|row| row.1)
}

/// Training errors of a variant by seed before and after its last updates, which are made with less momentum.
fn around_the_last_updates(
    runs: &[Reading<RunConfig>],
    variant: &str,
) -> anyhow::Result<(BySeed, BySeed)> {
    let (mut before, mut after) = (BySeed::new(), BySeed::new());
    for run in runs.iter().filter(|run| run.variant == variant) {
        let Method::Momentum(config) = &run.config.train.method else { continue };
        let Schedule { updates, last_updates, .. } = config.schedule;
        let rows = run.curve("passes", "train/error")?;
        let Some(end) = rows.last() else { continue };
        // Each update is the same work; half a one of slack for sums of fractions.
        let work = end.0 * (updates.saturating_sub(last_updates) as f64 + 0.5) / updates as f64;
        if let Some(error) = at_work(&rows, work) {
            before.insert(run.seed, error);
            after.insert(run.seed, end.1);
        }
    }
    Ok((before, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_at_so_much_work_is_that_of_the_row_before() {
        let rows = [(1.0, 9.0), (2.0, 5.0), (4.0, 3.0)];
        for (work, wanted) in [(0.5, None), (1.0, Some(9.0)), (3.9, Some(5.0)), (4.0, Some(3.0))] {
            assert_eq!(at_work(&rows, work), wanted, "{work}");
        }
    }
}
