//! Supervised fine-tuning on the sentences that people rated, without their ratings: the reference of the style task.

use std::collections::BTreeMap;

use common::experiment::{Drawings, Finished};
use common::session::Session;
use common::training_run::METRICS;
use ledger::claims::Measured;
use ledger::metrics;
use ledger::run::RunError;
use ledger::stats::paired_difference;

use super::data_of;
use super::pipeline::{Pipeline, Wanted, make};
use crate::figures;
use crate::stages::Kind;
use crate::stages::texts::Texts;

/// Its name.
pub const STUDY: &str = "sft";
/// What it reads.
pub const DATASETS: [&str; 1] = ["human-sentiment"];

pub(super) fn wanted(pipeline: &Pipeline, texts: &Texts, seed: u64) -> Wanted {
    let super::SftPreset { task, train, .. } = pipeline.preset.sft.clone();
    let start = pipeline.base.clone();
    pipeline.wanted(texts, "sft", seed, &start, Kind::Finetune { task, train })
}

/// Makes every run that is not done yet.
///
/// # Errors
/// A base or data that cannot be had; a run that fails.
pub fn run(session: &Session) -> anyhow::Result<()> {
    let pipeline = Pipeline::open(session)?;
    let texts = pipeline.style_texts()?;
    let seeds = pipeline.session().seeds_or(pipeline.preset.sft.seeds);
    make(session, STUDY, seeds.into_iter().map(|seed| wanted(&pipeline, &texts, seed)).collect())?;
    Ok(())
}

/// What fine-tuning is worth on sentences held out.
///
/// # Errors
/// Files that cannot be read.
pub fn measure(finished: &Finished) -> anyhow::Result<Vec<Measured>> {
    let mut rows = Vec::new();
    for data in data_of(finished) {
        let of = || finished.runs.iter().filter(|(_, record)| record.key.data == data);
        let all = |name: &str| -> Result<Vec<f64>, RunError> {
            of().map(|(_, record)| record.ended_with(name)).collect()
        };
        let estimate = paired_difference(&all("before/test_loss")?, &all("test/loss")?)?;
        rows.push(finished.measured("sft-gain", &data, estimate));
    }
    Ok(rows)
}

/// Loss against tokens read.
///
/// # Errors
/// Files that cannot be read.
pub fn figures(finished: &Finished) -> anyhow::Result<Drawings> {
    let Some((folder, record)) = finished.runs.first() else { return Ok(Drawings::new()) };
    let rows = metrics::read(folder.join(METRICS))?;
    let tokens: BTreeMap<u64, f64> = rows.column("tokens")?.into_iter().collect();
    let against = |name: &str| -> anyhow::Result<Vec<(f64, f64)>> {
        Ok(rows.column(name)?.into_iter().map(|(step, y)| (tokens[&step], y)).collect())
    };
    let title = format!("Supervised fine-tuning on {}", record.key.data);
    let figure = figures::language_model(&title, against("train/loss")?, against("val/loss")?);
    Ok(vec![("loss".to_owned(), figure)])
}
