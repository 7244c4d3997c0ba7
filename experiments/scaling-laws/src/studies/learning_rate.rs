//! The best rate by size (Kaplan et al. 2020, eq. D.1), and whether one rate for all sizes does with
//! µP's rates by layer.

use std::collections::BTreeMap;

use anyhow::Context as _;
use common::experiment::{Drawings, Finished};
use common::session::Session;
use ledger::claims::Measured;
use ledger::stats::Estimate;
use serde::Deserialize;

use super::{Preset, make, runs_of};
use crate::figures;
use crate::rows::Row;
use crate::runs::RunConfig;
use crate::train::Rates;

/// Its name.
pub const STUDY: &str = "learning-rate";

/// Makes every run that is not done yet.
///
/// # Errors
/// As [`make`].
pub fn run(session: &Session) -> anyhow::Result<()> {
    let preset: Preset = session.preset()?;
    let read = preset.read(&session.lookup)?;
    make(session, STUDY, &runs_of(session, std::slice::from_ref(&preset.learning_rate), &read)?)
}

/// Losses of one size by rate, means over seeds.
#[derive(Debug, Clone)]
pub(crate) struct Sweep {
    pub(crate) params: f64,
    /// `(rate, factor of the rule, validation loss)`, by rate.
    pub(crate) losses: Vec<(f64, f64, f64)>,
}

impl Sweep {
    fn best(&self) -> Option<(f64, f64, f64)> {
        self.losses.iter().copied().min_by(|a, b| a.2.total_cmp(&b.2))
    }

    fn at_factor(&self, factor: f64) -> Option<f64> {
        self.losses.iter().find(|loss| (loss.1 - factor).abs() < 1e-9).map(|loss| loss.2)
    }
}

/// By text and kind of rates, a sweep for each size, by size. The rate is chosen by the validation
/// part.
pub(crate) type Sweeps = BTreeMap<(String, bool), Vec<Sweep>>;

fn sweeps(finished: &Finished) -> anyhow::Result<Sweeps> {
    type ByRate = BTreeMap<u64, (f64, f64, Vec<f64>)>;
    let mut found: BTreeMap<(String, bool), BTreeMap<u64, ByRate>> = BTreeMap::new();
    for (_, record) in &finished.runs {
        let Some(row) = Row::of(record) else { continue };
        let RunConfig { train, .. } = RunConfig::deserialize(&record.config)?;
        let factor = row.variant.split("-lr").nth(1).and_then(|rest| rest.split('-').next());
        let factor: f64 = factor.and_then(|text| text.parse().ok()).with_context(|| {
            format!("{}: the variant names no factor of the rate", record.key.relative().display())
        })?;
        let key = (row.data.clone(), train.rates == Rates::Mup);
        let of_size = found.entry(key).or_default().entry(row.params as u64).or_default();
        let at = of_size.entry(row.lr.to_bits()).or_insert((row.lr, factor, Vec::new()));
        at.2.push(row.val_loss);
    }
    let mean = |(lr, factor, losses): (f64, f64, Vec<f64>)| {
        (lr, factor, losses.iter().sum::<f64>() / losses.len() as f64)
    };
    let of_size = |(params, by_rate): (u64, ByRate)| Sweep {
        params: params as f64,
        losses: by_rate.into_values().map(mean).collect(),
    };
    let of_key =
        |(key, sizes): (_, BTreeMap<u64, ByRate>)| (key, sizes.into_iter().map(of_size).collect());
    Ok(found.into_iter().map(of_key).collect())
}

/// `a` and `b` of `lr = a − b·ln N` through the best rates.
fn rule(sweeps: &[Sweep]) -> Option<(f64, f64)> {
    let best: Vec<(f64, f64)> =
        sweeps.iter().filter_map(|sweep| Some((sweep.params.ln(), sweep.best()?.0))).collect();
    if best.len() < 3 {
        return None;
    }
    let n = best.len() as f64;
    let (mx, my) = best.iter().fold((0.0, 0.0), |(a, b), (x, y)| (a + x / n, b + y / n));
    let xx: f64 = best.iter().map(|(x, _)| (x - mx).powi(2)).sum();
    let xy: f64 = best.iter().map(|(x, y)| (x - mx) * (y - my)).sum();
    let slope = xy / xx;
    Some((my - slope * mx, -slope))
}

/// How much the largest size loses, in percent, when it takes the factor that was best for the
/// smallest.
fn regret(sweeps: &[Sweep]) -> Option<f64> {
    let factor = sweeps.first()?.best()?.1;
    let largest = sweeps.last().filter(|_| sweeps.len() > 1)?;
    Some(100.0 * (largest.at_factor(factor)? / largest.best()?.2 - 1.0))
}

/// The rule's constants, and what one factor for all sizes costs with each kind of rates.
///
/// # Errors
/// Files that cannot be read.
pub fn measure(finished: &Finished) -> anyhow::Result<Vec<Measured>> {
    let mut found = Vec::new();
    for ((data, mup), sweeps) in sweeps(finished)? {
        let runs: usize = sweeps.iter().map(|sweep| sweep.losses.len()).sum();
        let mut add = |id: &str, value: f64| {
            let mut estimate = Estimate::certain(value).with_n(runs);
            "best of the rates tried, no interval".clone_into(&mut estimate.method);
            found.push(finished.measured(id, &data, estimate));
        };
        if let (false, Some((a, b))) = (mup, rule(&sweeps)) {
            add("kap-43", a);
            add("kap-44", b);
        }
        if let Some(regret) = regret(&sweeps) {
            add(if mup { "regret-of-one-rate-mup" } else { "regret-of-the-rule" }, regret);
        }
    }
    Ok(super::finite(found))
}

/// Loss against rate for each size, both kinds of rates.
///
/// # Errors
/// Files that cannot be read.
pub fn figures(finished: &Finished) -> anyhow::Result<Drawings> {
    let mut by_data: BTreeMap<String, Vec<(bool, Vec<Sweep>)>> = BTreeMap::new();
    for ((data, mup), sweeps) in sweeps(finished)? {
        by_data.entry(data).or_default().push((mup, sweeps));
    }
    let draw = |(data, kinds): (String, Vec<(bool, Vec<Sweep>)>)| {
        (format!("learning-rate-{data}"), figures::learning_rate(&data, &kinds))
    };
    Ok(by_data.into_iter().map(draw).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sweep(params: f64, losses: &[(f64, f64, f64)]) -> Sweep {
        Sweep { params, losses: losses.to_vec() }
    }

    #[test]
    fn the_rule_is_a_line_through_the_best_rates() {
        let at = |params: f64| {
            let lr = 0.02 - 0.001 * params.ln();
            sweep(params, &[(lr / 2.0, 0.5, 2.1), (lr, 1.0, 2.0), (lr * 2.0, 2.0, 2.2)])
        };
        let (a, b) = rule(&[at(1e4), at(1e5), at(1e6)]).unwrap();
        assert!((a - 0.02).abs() < 1e-9 && (b - 0.001).abs() < 1e-9, "{a}, {b}");
        assert_eq!(rule(&[at(1e4), at(1e5)]), None);
    }

    #[test]
    fn the_regret_is_of_the_largest_with_the_smallests_factor() {
        let small = sweep(1e4, &[(0.1, 1.0, 2.0), (0.2, 2.0, 2.5)]);
        let large = sweep(1e6, &[(0.1, 1.0, 1.5), (0.2, 2.0, 1.2)]);
        let found = regret(&[small.clone(), large]).unwrap();
        assert!((found - 25.0).abs() < 1e-9, "expected 25, got {found}");
        assert_eq!(regret(&[small]), None);
    }
}
