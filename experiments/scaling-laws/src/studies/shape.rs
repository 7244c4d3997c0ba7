//! Depth against width at one size (Kaplan et al. 2020, Figure 5).

use std::collections::BTreeMap;

use common::experiment::{Drawings, Finished};
use common::session::Session;
use ledger::claims::Measured;
use ledger::stats::{Estimate, Scale, mean_over_seeds, paired_ratio};

use super::{Preset, by_data, make, rows, runs_of};
use crate::figures;
use crate::rows::Row;

/// Its name.
pub const STUDY: &str = "shape";

/// Makes every run that is not done yet.
///
/// # Errors
/// As [`make`].
pub fn run(session: &Session) -> anyhow::Result<()> {
    let preset: Preset = session.preset()?;
    let read = preset.read(&session.lookup)?;
    make(session, STUDY, &runs_of(session, std::slice::from_ref(&preset.shape), &read)?)
}

/// Published exponent by which sizes that differ a little are made comparable.
const ALPHA_N: f64 = 0.076;

/// Losses by depth and seed, as if all had the size of the first: no whole number of blocks and
/// channels gives exactly the same.
///
/// Source of the correction: Kaplan et al. 2020, section 3.1, compares at the nearest size too, by L(N).
pub(crate) fn losses(rows: &[Row]) -> BTreeMap<(u64, u64), BTreeMap<u64, f64>> {
    let mut found: BTreeMap<(u64, u64), BTreeMap<u64, f64>> = BTreeMap::new();
    let Some(first) = rows.first() else { return found };
    for row in rows {
        let loss = row.loss * (row.params / first.params).powf(ALPHA_N);
        found.entry((row.n_layers, row.d_model)).or_default().insert(row.seed, loss);
    }
    found
}

/// By seed, how much the worst shape loses against the best, in percent; one-layer models apart.
fn spread(losses: &BTreeMap<(u64, u64), BTreeMap<u64, f64>>) -> anyhow::Result<Option<Estimate>> {
    let mut by_seed: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    for ((depth, _), of_shape) in losses {
        if *depth > 1 {
            for (seed, loss) in of_shape {
                by_seed.entry(*seed).or_default().push(*loss);
            }
        }
    }
    let most = by_seed.values().map(Vec::len).max().unwrap_or(0);
    let spreads: Vec<f64> = by_seed
        .values()
        .filter(|losses| losses.len() == most && most > 1)
        .map(|losses| {
            let low = losses.iter().copied().fold(f64::INFINITY, f64::min);
            let high = losses.iter().copied().fold(0.0, f64::max);
            100.0 * (high / low - 1.0)
        })
        .collect();
    if spreads.is_empty() {
        return Ok(None);
    }
    Ok(Some(mean_over_seeds(&spreads, Scale::Natural)?))
}

/// What the worst shape loses, and how much a model of one block loses against two or more.
///
/// # Errors
/// Files that cannot be read.
pub fn measure(finished: &Finished) -> anyhow::Result<Vec<Measured>> {
    let mut found = Vec::new();
    for (data, rows) in by_data(rows(finished)) {
        let losses = losses(&rows);
        if let Some(spread) = spread(&losses)? {
            found.push(finished.measured("kap-36", &data, spread));
        }
        let one = losses.iter().find(|((depth, _), _)| *depth == 1);
        let deeper = losses.iter().find(|((depth, _), _)| *depth > 1);
        if let (Some((_, one)), Some((_, deeper))) = (one, deeper) {
            let pairs = one.iter().filter_map(|(seed, loss)| Some((*loss, *deeper.get(seed)?)));
            let (one, deeper): (Vec<f64>, Vec<f64>) = pairs.unzip();
            if !one.is_empty() {
                found.push(finished.measured("kap-37", &data, paired_ratio(&one, &deeper)?));
            }
        }
    }
    Ok(super::finite(found))
}

/// Figure 5: loss against width over depth.
///
/// # Errors
/// Files that cannot be read.
pub fn figures(finished: &Finished) -> anyhow::Result<Drawings> {
    let draw = |(data, rows): (String, Vec<Row>)| {
        (format!("shape-{data}"), figures::shape(&data, &losses(&rows)))
    };
    Ok(by_data(rows(finished)).into_iter().map(draw).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_is_that_of_the_worst_shape_with_more_than_one_block() {
        let of = |losses: [f64; 2]| BTreeMap::from([(0, losses[0]), (1, losses[1])]);
        let losses = BTreeMap::from([
            ((1, 64), of([9.0, 9.0])),
            ((2, 48), of([2.0, 2.0])),
            ((8, 24), of([2.04, 2.08])),
        ]);
        let found = spread(&losses).unwrap().unwrap();
        assert!((found.value - 3.0).abs() < 1e-9, "expected 3, got {}", found.value);
        assert_eq!(found.n_seeds, 2);
    }
}
