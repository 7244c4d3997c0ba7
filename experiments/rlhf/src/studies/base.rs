//! The base: a small language model of books, trained here while `gpt1` publishes none.

use std::collections::BTreeMap;

use common::experiment::{Drawings, Finished};
use common::session::Session;
use common::training_run::METRICS;
use ledger::claims::Measured;
use ledger::metrics;
use ledger::stats::{Scale, mean_over_seeds};

use super::pipeline::{Pipeline, Wanted, need, weights_of};
use super::{Preset, data_of};
use crate::figures;
use crate::stages::{Kind, RunConfig};
use crate::weights::Origin;

/// Its name.
pub const STUDY: &str = "base";
/// The first set of each library, best first.
pub const DATASETS: [&str; 2] = ["novels", "austen"];

/// The base that is trained here, made if it is not there.
///
/// # Errors
/// Books that cannot be had, a run that fails.
pub(super) fn trained(session: &Session, preset: &Preset) -> anyhow::Result<Origin> {
    let super::BasePreset { books, shape, train, .. } = preset.base.clone();
    let shelf = books.shelf(None, &session.lookup)?;
    let corpus = books.corpus(&shelf, &session.lookup)?;
    let config = RunConfig {
        base: None,
        start: None,
        data_sha256: corpus.sha256,
        kind: Kind::Base { books, shape, train },
    };
    let (data, variant) = (shelf.name.clone(), "transformer".to_owned());
    let wanted = Wanted { data, variant, seed: 0, config };
    let made = need(session, STUDY, vec![wanted])?;
    weights_of(session, &format!("trained here on {}", shelf.name), &made[0])
}

/// Trains the base where it has to be.
///
/// # Errors
/// As [`Pipeline::open`].
pub fn run(session: &Session) -> anyhow::Result<()> {
    Pipeline::open(session)?;
    Ok(())
}

/// Perplexity on the books held out.
///
/// # Errors
/// Files that cannot be read.
pub fn measure(finished: &Finished) -> anyhow::Result<Vec<Measured>> {
    let mut rows = Vec::new();
    for data in data_of(finished) {
        let of = finished.runs.iter().filter(|(_, record)| record.key.data == data);
        let values: Vec<f64> =
            of.map(|(_, record)| record.ended_with("test/perplexity")).collect::<Result<_, _>>()?;
        let estimate = mean_over_seeds(&values, Scale::Log)?;
        rows.push(finished.measured("base-perplexity", &data, estimate));
    }
    Ok(rows)
}

/// Loss against tokens read.
///
/// # Errors
/// Files that cannot be read.
pub fn figures(finished: &Finished) -> anyhow::Result<Drawings> {
    let mut drawings = Drawings::new();
    for (folder, record) in &finished.runs {
        let rows = metrics::read(folder.join(METRICS))?;
        let tokens: BTreeMap<u64, f64> = rows.column("tokens")?.into_iter().collect();
        let against = |name: &str| -> anyhow::Result<Vec<(f64, f64)>> {
            Ok(rows.column(name)?.into_iter().map(|(step, y)| (tokens[&step], y)).collect())
        };
        let data = &record.key.data;
        let figure = figures::language_model(
            &format!("The base: predicting the next token of {data}"),
            against("train/loss")?,
            against("val/loss")?,
        );
        drawings.push((format!("loss-{data}"), figure));
    }
    Ok(drawings)
}
