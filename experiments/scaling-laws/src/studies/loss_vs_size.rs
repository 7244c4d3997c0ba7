//! Loss against size at the most tokens that every size read (Kaplan et al. 2020, Figure 1 right and
//! Figure 6).

use std::collections::BTreeMap;

use common::experiment::{Drawings, Finished};
use common::session::Session;
use ledger::claims::Measured;
use ledger::stats::{Scale, mean_over_seeds};

use super::{Fitted, critical, n_seeds, reading};
use crate::figures;
use crate::fit::{Form, Point};
use crate::rows::Row;

/// Its name.
pub const STUDY: &str = "loss-vs-size";

/// Makes the runs of `joint-fit` and reads them.
///
/// # Errors
/// As [`reading::run`].
pub fn run(session: &Session) -> anyhow::Result<()> {
    reading::run(session, STUDY)
}

/// The rows with the most tokens that every size was given.
pub(crate) fn longest(rows: &[Row]) -> Vec<Row> {
    let mut most: BTreeMap<u64, f64> = BTreeMap::new();
    for row in rows {
        let most = most.entry(row.params as u64).or_insert(0.0);
        *most = most.max(row.tokens);
    }
    let shared = most.into_values().fold(f64::INFINITY, f64::min);
    // Batches of another size end a little elsewhere.
    rows.iter().filter(|row| (row.tokens / shared - 1.0).abs() < 0.02).cloned().collect()
}

fn fits(rows: &[Row]) -> [Option<Fitted>; 2] {
    let points: Vec<Point> = rows.iter().map(Row::point).collect();
    [Form::PurePower, Form::Power]
        .map(|form| Fitted::new(STUDY, form, points.clone(), n_seeds(rows)))
}

/// Exponent and constant without irreducible loss, the exponent with one, and the spread of seeds.
///
/// # Errors
/// Files that cannot be read.
pub fn measure(finished: &Finished) -> anyhow::Result<Vec<Measured>> {
    let mut found = Vec::new();
    for (data, rows) in reading::read(finished)? {
        let rows = longest(&rows);
        let [pure, free] = fits(&rows);
        let mut add = |id: &str, estimate| found.push(finished.measured(id, &data, estimate));
        if let Some(pure) = &pure {
            add("kap-01", pure.constant("k"));
            add("kap-02", pure.estimate(critical));
        }
        if let Some(free) = &free {
            add("exponent-of-size-with-irreducible-loss", free.constant("k"));
        }
        let mut by_variant: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for row in &rows {
            by_variant.entry(&row.variant).or_default().push(row.loss);
        }
        let spreads: Vec<f64> = by_variant
            .values()
            .filter(|losses| losses.len() > 1)
            .map(|losses| {
                let mean = losses.iter().sum::<f64>() / losses.len() as f64;
                let square: f64 = losses.iter().map(|x| (x - mean).powi(2)).sum();
                (square / (losses.len() - 1) as f64).sqrt()
            })
            .collect();
        if !spreads.is_empty() {
            let seeds = n_seeds(&rows);
            let mut spread = mean_over_seeds(&spreads, Scale::Natural)?.with_n(rows.len());
            spread.method =
                format!("standard deviation over seeds, mean of {} sizes", spreads.len());
            spread.n_seeds = seeds;
            add("kap-17", spread);
        }
    }
    Ok(super::finite(found))
}

/// Figure 6 and the right of Figure 1.
///
/// # Errors
/// Files that cannot be read.
pub fn figures(finished: &Finished) -> anyhow::Result<Drawings> {
    let mut drawings = Vec::new();
    for (data, rows) in reading::read(finished)? {
        let rows = longest(&rows);
        let figure = figures::power_laws(&figures::PowerLaws {
            title: format!("Loss against size on {data}"),
            caption: format!(
                "Test loss in nats per token of models trained on {:.3e} tokens of {data}, against \
                 non-embedding parameters; one point a run.",
                rows.first().map_or(f64::NAN, |row| row.tokens)
            ),
            variable: "non-embedding parameters",
            fits: &fits(&rows),
            published: &[("Kaplan 2020: 0.076", 0.076)],
        });
        drawings.push((format!("loss-vs-size-{data}"), figure));
    }
    Ok(drawings)
}
