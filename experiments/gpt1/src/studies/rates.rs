//! Rate and batch of each language model, chosen by short runs: the loss on the validation books decides.
//!
//! The paper publishes one rate and one batch, of a model many times as large as ours. Each run of the search reads the
//! same number of tokens, with a seed that no reported run has; none reads the test books.

use std::collections::BTreeMap;

use anyhow::Context as _;
use common::data::token_corpus::TokenCorpus;
use common::experiment::{Drawings, Finished};
use common::preset::PresetError;
use common::session::{Plan, Session};
use common::training_run::{Spec, TrainingRun};
use ledger::claims::Measured;
use ledger::run::{RunRecord, Status};
use serde::Deserialize;

use super::Books;
use super::pretrain::{ModelPreset, Preset, RunConfig, describe};
use crate::GPT1;
use crate::figures;
use crate::model::Shape;
use crate::pretrain::Config;

/// Its name.
pub const STUDY: &str = "rates";

/// `[pretrain.search]` of a preset.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Search {
    /// The seed of the search; not one of the reported ones, or the winner would be flattered.
    pub seed: u64,
    /// Tokens that each run reads.
    pub tokens: u64,
    /// Share of its updates over which the rate rises.
    pub warmup: f64,
    /// Windows of a micro-batch to choose from.
    pub batch: Vec<usize>,
}

/// What is chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choice {
    /// Windows of a micro-batch.
    pub batch: usize,
    /// The highest rate.
    pub lr: f64,
}

/// What there is to choose from for a model: every batch with every rate.
pub(super) fn choices(preset: &Preset, model: &ModelPreset) -> Vec<Choice> {
    let own = [preset.batch];
    let batches = preset.search.as_ref().map_or(&own[..], |search| &search.batch);
    let with = |&batch: &usize| model.lr.iter().map(move |&lr| Choice { batch, lr });
    batches.iter().flat_map(with).collect()
}

/// The search's runs of a model, none where nothing is left to choose.
fn plans_of(
    session: &Session,
    preset: &Preset,
    model: &ModelPreset,
    data: &str,
    books: &Books,
    vocab: i64,
    corpus: &TokenCorpus,
) -> anyhow::Result<Vec<(Plan, Config)>> {
    let choices = choices(preset, model);
    if choices.len() == 1 {
        return Ok(Vec::new());
    }
    let search = preset.search.as_ref().with_context(|| {
        let name = &model.name;
        format!("pretrain.models.{name}.lr has several rates, and pretrain.search is missing")
    })?;
    let short = Preset { warmup: search.warmup, stations: 1, ..preset.clone() };
    let model = ModelPreset { tokens: search.tokens, ..model.clone() };
    let plan = |choice: Choice| {
        let train = short.config(&session.preset, &model, choice, vocab, &corpus.sha256)?;
        let train = Config { stations: 0, test: false, ..train };
        let config = RunConfig { books: books.clone(), train: train.clone() };
        let Choice { batch, lr } = choice;
        let variant = format!("{}-batch-{batch}-lr-{lr}", model.name);
        let config = serde_json::to_value(config)?;
        Ok((Plan { data: data.to_owned(), variant, seed: search.seed, config }, train))
    };
    choices.into_iter().map(plan).collect()
}

/// The batch and rate of a model: the only ones, or those with the smallest validation loss at the end of the search;
/// of equals, the smaller rate. None, with a warning that names the command, where the search has not been made; a dry
/// run then takes the first ones.
///
/// # Errors
/// A record that cannot be read.
pub(super) fn chosen(
    session: &Session,
    preset: &Preset,
    model: &ModelPreset,
    data: &str,
    books: &Books,
    vocab: i64,
    corpus: &TokenCorpus,
) -> anyhow::Result<Option<Choice>> {
    let first = choices(preset, model).first().copied().context("the preset was checked")?;
    let study = GPT1.study(STUDY)?;
    let mut best: Option<(f64, Choice)> = None;
    for (plan, cfg) in plans_of(session, preset, model, data, books, vocab, corpus)? {
        let folder = session.spec(study, plan, 1).folder();
        let record = RunRecord::read(&folder)?;
        let Some(record) = record.filter(|record| record.status == Status::Complete) else {
            if session.dry_run {
                return Ok(Some(first));
            }
            tracing::warn!(
                "{}: batch and rate of the {} are not chosen yet; first: gpt1 run {STUDY} --preset {}",
                folder.display(),
                model.name,
                session.source.name
            );
            return Ok(None);
        };
        let loss = record.ended_with("val/loss")?;
        let better = |(least, choice): &(f64, Choice)| {
            loss.total_cmp(least).then(cfg.lr.total_cmp(&choice.lr)).is_lt()
        };
        if best.as_ref().is_none_or(better) {
            best = Some((loss, Choice { batch: cfg.batch, lr: cfg.lr }));
        }
    }
    Ok(Some(best.map_or(first, |(_, choice)| choice)))
}

/// Makes the search's runs.
///
/// # Errors
/// A preset that does not fit, data that cannot be had, a run that fails.
pub fn run(session: &Session) -> anyhow::Result<()> {
    let super::Preset { books, pretrain: preset, .. } = session.preset()?;
    preset.check(&session.preset)?;
    let reported = session.seeds_or(preset.seeds);
    if let Some(search) = preset.search.as_ref().filter(|search| reported.contains(&search.seed)) {
        let (preset, key) = (session.preset.clone(), "pretrain.search.seed".to_owned());
        let (found, wanted) = (search.seed.to_string(), "a seed that is not reported");
        return Err(PresetError::Value { preset, key, found, wanted }.into());
    }
    let shelf = books.shelf(None, &session.lookup)?;
    let corpus = books.corpus(&shelf, &session.lookup)?;
    let vocab = corpus.tokenizer.vocab_size() as i64;
    let mut plans = Vec::new();
    for model in &preset.models {
        let name = &shelf.name;
        plans.extend(plans_of(session, &preset, model, name, &books, vocab, &corpus)?);
    }
    if plans.is_empty() {
        tracing::info!(
            "preset {}: one batch and one rate a model, nothing to search",
            session.preset
        );
        return Ok(());
    }
    if session.dry_run {
        return describe(session, STUDY, &plans);
    }
    session.grid(GPT1.study(STUDY)?, plans.into_iter().map(|(plan, _)| plan).collect())?;
    Ok(())
}

/// One training, in a process of its own.
///
/// # Errors
/// As [`super::pretrain::train`].
pub fn train(spec: &Spec, run: &mut TrainingRun) -> anyhow::Result<BTreeMap<String, f64>> {
    super::pretrain::train(spec, run)
}

/// Nothing: a search judges no claim.
///
/// # Errors
/// None.
pub fn measure(_: &Finished) -> anyhow::Result<Vec<Measured>> {
    Ok(Vec::new())
}

/// How one choice did.
#[derive(Debug)]
pub(crate) struct Tried {
    pub(crate) model: &'static str,
    pub(crate) choice: Choice,
    /// Validation loss at the end, in nats per token.
    pub(crate) loss: f64,
}

/// Validation loss against rate, for each library.
///
/// # Errors
/// Files that cannot be read.
pub fn figures(finished: &Finished) -> anyhow::Result<Drawings> {
    let mut by_data: BTreeMap<String, Vec<Tried>> = BTreeMap::new();
    let mut tokens = 0;
    for (_, record) in &finished.runs {
        let RunConfig { train, .. } = RunConfig::deserialize(&record.config)?;
        let model = match train.shape {
            Shape::Transformer(_) => "transformer",
            Shape::Lstm(_) => "lstm",
        };
        let choice = Choice { batch: train.batch, lr: train.lr };
        tokens = train.steps * train.accumulate * (train.batch * train.length) as u64;
        let loss = record.ended_with("val/loss")?;
        by_data.entry(record.key.data.clone()).or_default().push(Tried { model, choice, loss });
    }
    let draw = |(data, tried): (String, Vec<Tried>)| {
        (format!("rates-{data}"), figures::rates(&data, tokens, &tried))
    };
    Ok(by_data.into_iter().map(draw).collect())
}
