//! What a transformer makes of a long context and an LSTM does not (Kaplan et al. 2020, Figure 7).

use std::collections::BTreeMap;

use common::experiment::{Drawings, Finished};
use common::rows::read_rows;
use common::session::Session;
use ledger::claims::Measured;
use ledger::stats::{Scale, mean_over_seeds, paired_ratio};

use super::{Preset, make, runs_of};
use crate::figures;
use crate::frontier::power;
use crate::rows::Row;
use crate::text::file;
use crate::train::{POSITIONS, Position};

/// Its name.
pub const STUDY: &str = "lstm-vs-transformer";

/// Makes every run that is not done yet.
///
/// # Errors
/// As [`make`].
pub fn run(session: &Session) -> anyhow::Result<()> {
    let preset: Preset = session.preset()?;
    let read = preset.read(&session.lookup)?;
    make(
        session,
        STUDY,
        &runs_of(session, std::slice::from_ref(&preset.lstm_vs_transformer), &read)?,
    )
}

/// A run and its loss at each place of the context.
#[derive(Debug)]
pub(crate) struct Places {
    pub(crate) row: Row,
    pub(crate) losses: Vec<f64>,
}

fn places(finished: &Finished) -> anyhow::Result<BTreeMap<String, Vec<Places>>> {
    let mut found: BTreeMap<String, Vec<Places>> = BTreeMap::new();
    for (folder, record) in &finished.runs {
        let Some(row) = Row::of(record) else { continue };
        let rows: Vec<Position> = read_rows(&file(folder, POSITIONS))?;
        let losses = rows.into_iter().map(|place| place.loss).collect();
        found.entry(row.data.clone()).or_default().push(Places { row, losses });
    }
    Ok(found)
}

/// The first place from which on the loss stays within this of its mean over the last quarter.
const PLATEAU: f64 = 0.01;

/// Where a curve's plateau begins, counted from 1; means over sixteen places, since places differ.
fn plateau(losses: &[f64]) -> usize {
    let width = 16.min(losses.len());
    let smooth: Vec<f64> =
        losses.windows(width).map(|some| some.iter().sum::<f64>() / width as f64).collect();
    let last = &losses[losses.len() - losses.len().div_ceil(4)..];
    let level = last.iter().sum::<f64>() / last.len() as f64;
    let above = smooth.iter().rposition(|loss| *loss > level * (1.0 + PLATEAU));
    above.map_or(1, |at| at + 1 + width / 2)
}

/// Mean loss of the first and of the last eighth of the places.
fn ends(losses: &[f64]) -> (f64, f64) {
    let n = losses.len().div_ceil(8);
    let mean = |some: &[f64]| some.iter().sum::<f64>() / some.len() as f64;
    (mean(&losses[..n]), mean(&losses[losses.len() - n..]))
}

/// The exponent `k` of loss ∝ place^-k, least squares in logs; NaN with fewer than two places.
///
/// Source: Kaplan et al. 2020, appendix D.5, Figure 20.
fn exponent_of_place(losses: &[f64]) -> f64 {
    let place = |(i, &loss): (usize, &f64)| ((i + 1) as f64, loss);
    let points: Vec<(f64, f64)> = losses.iter().enumerate().map(place).collect();
    power(&points).map_or(f64::NAN, |(k, _)| -k)
}

/// By seed, the largest transformer and the largest LSTM.
fn largest(all: &[Places]) -> BTreeMap<u64, (&Places, &Places)> {
    let mut found: BTreeMap<u64, [Option<&Places>; 2]> = BTreeMap::new();
    for places in all {
        let of_seed = found.entry(places.row.seed).or_default();
        let best = &mut of_seed[usize::from(places.row.model == "lstm")];
        if best.is_none_or(|best| best.row.params < places.row.params) {
            *best = Some(places);
        }
    }
    found.into_iter().filter_map(|(seed, [a, b])| Some((seed, a.zip(b)?))).collect()
}

/// Where the LSTM's plateau begins, how the transformer's loss falls with place, and what the LSTM loses
/// to it late and early in the context.
///
/// # Errors
/// Files that cannot be read.
pub fn measure(finished: &Finished) -> anyhow::Result<Vec<Measured>> {
    let mut found = Vec::new();
    for (data, all) in places(finished)? {
        let pairs = largest(&all);
        if pairs.is_empty() {
            continue;
        }
        let mut add = |id: &str, estimate| found.push(finished.measured(id, &data, estimate));
        let begins: Vec<f64> =
            pairs.values().map(|(_, lstm)| plateau(&lstm.losses) as f64).collect();
        add("kap-38", mean_over_seeds(&begins, Scale::Log)?);
        let falls: Vec<f64> =
            pairs.values().map(|(model, _)| exponent_of_place(&model.losses)).collect();
        add("kap-56", mean_over_seeds(&falls, Scale::Natural)?);
        let of = |which: fn(&(f64, f64)) -> f64| -> (Vec<f64>, Vec<f64>) {
            let one = |places: &Places| which(&ends(&places.losses));
            pairs.values().map(|(transformer, lstm)| (one(lstm), one(transformer))).unzip()
        };
        for (id, (lstm, transformer)) in [
            ("lstm-over-transformer-early", of(|ends| ends.0)),
            ("lstm-over-transformer-late", of(|ends| ends.1)),
        ] {
            add(id, paired_ratio(&lstm, &transformer)?);
        }
    }
    Ok(super::finite(found))
}

/// Loss against place for all models.
///
/// # Errors
/// Files that cannot be read.
pub fn figures(finished: &Finished) -> anyhow::Result<Drawings> {
    let draw = |(data, all): (String, Vec<Places>)| {
        (format!("lstm-vs-transformer-{data}"), figures::places(&data, &all))
    };
    Ok(places(finished)?.into_iter().map(draw).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plateau_begins_where_the_loss_stops_falling() {
        let falling = |until: usize| -> Vec<f64> {
            (0..256)
                .map(|i| if i < until { 4.0 - i as f64 * 0.02 } else { 4.0 - until as f64 * 0.02 })
                .collect()
        };
        for until in [50, 100, 150] {
            let found = plateau(&falling(until));
            assert!(found.abs_diff(until) <= 16, "expected about {until}, got {found}");
        }
        assert_eq!(plateau(&[2.0; 64]), 1);
    }

    #[test]
    fn ends_are_the_first_and_the_last_eighth() {
        let losses: Vec<f64> = (0..64).map(f64::from).collect();
        assert_eq!(ends(&losses), (3.5, 59.5));
    }

    #[test]
    fn a_power_of_the_place_gives_its_exponent() {
        let losses: Vec<f64> = (1..=64).map(|t| 4.0 * f64::from(t).powf(-0.15)).collect();
        let found = exponent_of_place(&losses);
        assert!((found - 0.15).abs() < 1e-9, "expected 0.15, got {found}");
        assert!(exponent_of_place(&losses[..1]).is_nan());
    }
}
