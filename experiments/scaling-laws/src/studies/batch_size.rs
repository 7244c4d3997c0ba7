//! The critical batch: where a larger one buys no fewer updates (Kaplan et al. 2020, Figures 10 and
//! 18), and the gradient noise scale beside it.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use common::experiment::{Drawings, Finished};
use common::session::Session;
use common::training_run::METRICS;
use ledger::claims::Measured;
use ledger::metrics;

use super::{Fitted, Preset, make, runs_of};
use crate::figures;
use crate::fit::{Fit, Form, Point};
use crate::frontier::ends;
use crate::rows::Row;

/// Its name.
pub const STUDY: &str = "batch-size";

/// Makes every run that is not done yet.
///
/// # Errors
/// As [`make`].
pub fn run(session: &Session) -> anyhow::Result<()> {
    let preset: Preset = session.preset()?;
    let read = preset.read(&session.lookup)?;
    make(session, STUDY, &runs_of(session, std::slice::from_ref(&preset.batch_size), &read)?)
}

/// A run's looks: updates, validation loss, noise scale in tokens.
#[derive(Debug)]
pub(crate) struct Curve {
    pub(crate) row: Row,
    looks: Vec<(f64, f64)>,
    noise: Vec<(f64, f64)>,
}

fn curves(finished: &Finished) -> anyhow::Result<BTreeMap<String, Vec<Curve>>> {
    let mut found: BTreeMap<String, Vec<Curve>> = BTreeMap::new();
    for (folder, record) in &finished.runs {
        let Some(row) = Row::of(record) else { continue };
        let rows = metrics::read(folder.join(METRICS))?;
        let looks: Vec<(u64, f64)> = rows.column("val/loss")?;
        let noise: BTreeMap<u64, f64> = rows.column("noise_scale")?.into_iter().collect();
        let noise = looks.iter().filter_map(|(step, loss)| Some((*loss, *noise.get(step)?)));
        let noise = noise.collect();
        let looks = looks.iter().map(|&(step, loss)| (step as f64, loss)).collect();
        found.entry(row.data.clone()).or_default().push(Curve { row, looks, noise });
    }
    Ok(found)
}

/// Updates until the loss first is `target`, between looks in logs; None if it never is.
pub(crate) fn updates_to(looks: &[(f64, f64)], target: f64) -> Option<f64> {
    let pair = looks.windows(2).find(|pair| pair[0].1 > target && pair[1].1 <= target)?;
    let share = (pair[0].1 - target) / (pair[0].1 - pair[1].1);
    Some((pair[0].0.ln() + share * (pair[1].0.ln() - pair[0].0.ln())).exp())
}

/// What a loss costs at each batch: fewest updates and fewest tokens, and the batch between.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cost {
    /// The loss.
    pub(crate) loss: f64,
    /// `(tokens of an update, updates)`.
    pub(crate) seen: Vec<(f64, f64)>,
    /// Updates with batches without end.
    pub(crate) s_min: f64,
    /// Tokens with batches of nothing.
    pub(crate) e_min: f64,
}

impl Cost {
    /// Tokens of an update at which both costs are twice the least.
    pub(crate) fn critical(&self) -> f64 {
        self.e_min / self.s_min
    }
}

/// Fits `(S/S_min − 1)(E/E_min − 1) = 1` to updates `S` at batches `B`, `E = B·S`; None unless three
/// batches reached the loss and both costs come out positive.
///
/// The relation says `S = S_min + E_min/B`, a line in `1/B`: least squares of relative errors.
/// Source: Kaplan et al. 2020, eq. 5.1.
pub(crate) fn cost(loss: f64, seen: Vec<(f64, f64)>) -> Option<Cost> {
    if seen.len() < 3 {
        return None;
    }
    let (mut s11, mut s1x, mut sxx, mut sy, mut sxy) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for &(batch, steps) in &seen {
        // Divided by `steps`: 1 = S_min/steps + E_min/(batch·steps).
        let (u, v) = (1.0 / steps, 1.0 / (batch * steps));
        s11 += u * u;
        s1x += u * v;
        sxx += v * v;
        sy += u;
        sxy += v;
    }
    let determinant = s11 * sxx - s1x * s1x;
    let s_min = (sy * sxx - sxy * s1x) / determinant;
    let e_min = (s11 * sxy - s1x * sy) / determinant;
    (s_min > 0.0 && e_min > 0.0).then_some(Cost { loss, seen, s_min, e_min })
}

/// Losses that are looked for, evenly between the highest loss all runs begin under and the lowest
/// that three batches reach.
const TARGETS: usize = 8;

/// The costs of several losses: updates are means in logs over the seeds that reached it.
pub(crate) fn costs(curves: &[Curve]) -> Vec<Cost> {
    let lowest =
        |curve: &Curve| curve.looks.iter().map(|look| look.1).fold(f64::INFINITY, f64::min);
    let mut ends: Vec<f64> = curves.iter().map(lowest).collect();
    ends.sort_by(f64::total_cmp);
    let firsts = curves.iter().filter_map(|curve| Some(curve.looks.first()?.1));
    let (Some(low), high) = (ends.get(2), firsts.fold(f64::INFINITY, f64::min)) else {
        return Vec::new();
    };
    let target = |i: usize| low + (high - low) * (i as f64 + 0.5) / TARGETS as f64;
    let of_target = |loss: f64| {
        let mut by_batch: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
        for curve in curves {
            if let Some(steps) = updates_to(&curve.looks, loss) {
                by_batch.entry(curve.row.batch_tokens as u64).or_default().push(steps.ln());
            }
        }
        let mean = |(batch, logs): (u64, Vec<f64>)| {
            (batch as f64, (logs.iter().sum::<f64>() / logs.len() as f64).exp())
        };
        cost(loss, by_batch.into_iter().map(mean).collect())
    };
    (0..TARGETS).map(target).filter_map(of_target).collect()
}

/// `B_crit = B*/L^(1/alpha_B)`, a power law of the loss.
pub(crate) fn law(costs: &[Cost], n_seeds: usize) -> Option<Fitted> {
    let points: Vec<Point> =
        costs.iter().map(|cost| Point { x: cost.loss, y: 1.0, loss: cost.critical() }).collect();
    Fitted::new(STUDY, Form::PurePower, points, n_seeds)
}

/// The losses that the law was fitted to, from the lowest to the highest.
pub(crate) fn measured(law: &Fitted) -> RangeInclusive<f64> {
    let (low, high) = ends(law.points.iter().map(|point| point.x));
    low..=high
}

/// The critical batch at a loss, in tokens. The law is steep: at a loss beyond those that it was fitted
/// to, it is taken at the nearest of them.
pub(crate) fn critical_at(law: &Fitted, loss: f64) -> f64 {
    let losses = measured(law);
    law.best.loss(loss.clamp(*losses.start(), *losses.end()), 1.0)
}

/// [`law`] by text, for studies that need the critical batch.
///
/// # Errors
/// Files that cannot be read.
pub(crate) fn laws(finished: &Finished) -> anyhow::Result<BTreeMap<String, Fitted>> {
    let of = |(data, curves): (String, Vec<Curve>)| {
        let rows: Vec<Row> = curves.iter().map(|curve| curve.row.clone()).collect();
        Some((data, law(&costs(&curves), super::n_seeds(&rows))?))
    };
    Ok(curves(finished)?.into_iter().filter_map(of).collect())
}

/// Noise scales of all looks against the loss there.
pub(crate) fn noise(curves: &[Curve]) -> Vec<(f64, f64)> {
    curves.iter().flat_map(|curve| curve.noise.iter().copied()).collect()
}

/// Exponent and constant of the critical batch, and the noise scale beside it.
///
/// # Errors
/// Files that cannot be read.
pub fn measure(finished: &Finished) -> anyhow::Result<Vec<Measured>> {
    let mut found = Vec::new();
    for (data, curves) in curves(finished)? {
        let mut add = |id: &str, estimate| found.push(finished.measured(id, &data, estimate));
        let costs = costs(&curves);
        let rows: Vec<Row> = curves.iter().map(|curve| curve.row.clone()).collect();
        let Some(law) = law(&costs, super::n_seeds(&rows)) else { continue };
        add("kap-09", law.estimate(|fit: &Fit| 1.0 / fit.theta[1]));
        add("kap-10", law.estimate(|fit: &Fit| fit.named()[0]));
        // The identity, at every batch and loss: its mean is 1 where the relation holds.
        let products: Vec<f64> = costs
            .iter()
            .flat_map(|cost| {
                cost.seen.iter().map(|(batch, steps)| {
                    (steps / cost.s_min - 1.0) * (batch * steps / cost.e_min - 1.0)
                })
            })
            .collect();
        let n = products.len();
        let mut sorted = products;
        sorted.sort_by(f64::total_cmp);
        let mut identity = law.estimate(|_| sorted[n / 2]);
        (identity.n, identity.low, identity.high) = (n, None, None);
        "median over batches and losses, no interval".clone_into(&mut identity.method);
        add("kap-40", identity);
        let ratios: Vec<f64> = noise(&curves)
            .into_iter()
            .map(|(loss, scale)| (scale / law.best.loss(loss, 1.0)).ln())
            .collect();
        if !ratios.is_empty() {
            let ratio = (ratios.iter().sum::<f64>() / ratios.len() as f64).exp();
            let mut estimate = law.estimate(|_| ratio);
            (estimate.n, estimate.low, estimate.high) = (ratios.len(), None, None);
            "geometric mean over looks, no interval".clone_into(&mut estimate.method);
            add("noise-scale-over-critical-batch", estimate);
        }
    }
    Ok(super::finite(found))
}

/// Figures 10 and 18.
///
/// # Errors
/// Files that cannot be read.
pub fn figures(finished: &Finished) -> anyhow::Result<Drawings> {
    let draw = |(data, curves): (String, Vec<Curve>)| {
        let costs = costs(&curves);
        let law = law(&costs, 1);
        (
            format!("batch-size-{data}"),
            figures::batch_size(&data, &costs, law.as_ref(), &noise(&curves)),
        )
    };
    Ok(curves(finished)?.into_iter().map(draw).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_costs_of_runs_that_obey_the_relation_come_back() {
        let seen: Vec<(f64, f64)> =
            [500.0, 1000.0, 4000.0, 16_000.0].map(|batch| (batch, 300.0 + 6e5 / batch)).to_vec();
        let found = cost(2.0, seen).unwrap();
        assert!((found.s_min - 300.0).abs() < 1e-6, "expected 300, got {}", found.s_min);
        assert!((found.e_min - 6e5).abs() < 1e-3, "expected 6e5, got {}", found.e_min);
        assert!((found.critical() - 2000.0).abs() < 1e-6);
        assert_eq!(cost(2.0, vec![(500.0, 1000.0), (1000.0, 900.0)]), None);
    }

    #[test]
    fn beyond_the_measured_losses_the_critical_batch_is_that_of_the_nearest() {
        let point = |loss: f64| Point { x: loss, y: 1.0, loss: 2e8 / loss.powi(5) };
        let points = [2.0, 2.25, 2.5, 2.75, 3.0].map(point).to_vec();
        let law = Fitted::new(STUDY, Form::PurePower, points, 3).unwrap();
        for (loss, nearest) in [(1.0, 2.0), (2.0, 2.0), (2.6, 2.6), (3.0, 3.0), (9.0, 3.0_f64)] {
            let (wanted, got) = (2e8 / nearest.powi(5), critical_at(&law, loss));
            assert!((got / wanted - 1.0).abs() < 1e-6, "at {loss}: expected {wanted}, got {got}");
        }
    }

    #[test]
    fn a_loss_between_looks_is_met_between_them() {
        let looks = [(100.0, 4.0), (400.0, 3.0), (1600.0, 2.0)];
        let found = updates_to(&looks, 3.5).unwrap();
        assert!((found - 200.0).abs() < 1e-9, "expected 200, got {found}");
        assert_eq!(updates_to(&looks, 1.0), None);
    }
}
