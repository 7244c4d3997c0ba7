//! Ours: how much of the budget was spelling? The same network predicts the pieces of a BPE vocabulary instead of bytes,
//! on the same text, and both are set side by side in bits per byte at the same number of bytes seen.
//!
//! A piece is several bytes, so a network of pieces sees the same text in fewer and longer steps, and its gradients reach
//! further back; its output layer is wider. The figure therefore also has the work on its axis. See [`crate::pieces`]
//! for what the text is.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::ensure;
use common::data::text::shards::Shards;
use common::experiment::{Drawings, Finished};
use common::session::{Plan, Session};
use common::training_run::{METRICS, Spec, TrainingRun};
use ledger::claims::Measured;
use ledger::metrics;
use ledger::stats::paired_ratio;
use serde::{Deserialize, Serialize};

use super::networks::look;
use super::{language_model, shards};
use crate::figures;
use crate::pieces::train::Config;
use crate::pieces::{Symbols, Unit, cut, train};

/// Its name.
pub const STUDY: &str = "word-pieces";

/// `[word-pieces]` of a preset; the text is that of `language-model`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// Seeds, from 0.
    pub seeds: u64,
    /// Pieces of the vocabulary.
    pub vocab: usize,
    /// The training, the same for both.
    pub model: Config,
}

/// One run's configuration.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct RunConfig {
    /// What the text is cut into.
    unit: Unit,
    vocab: usize,
    /// Training shards of the text.
    shards: usize,
    text: Option<PathBuf>,
    /// sha256 over the shards.
    data_sha256: String,
    #[serde(flatten)]
    train: Config,
}

/// The symbols of a run; vocabulary and tokens are made at the first call.
fn symbols(spec: &Spec, config: &RunConfig) -> anyhow::Result<Symbols> {
    let RunConfig { unit, vocab, shards: n, text, data_sha256, train } = config;
    let found: Arc<Shards> = shards(&spec.key.data, text.as_deref(), *n, spec)?;
    ensure!(
        found.sha256 == *data_sha256,
        "{}: the text changed since the run was planned",
        spec.key.data
    );
    cut(&found, train.bytes, *vocab, *unit, &spec.lookup.cache_for(STUDY))
}

/// Trains both networks.
///
/// # Errors
/// A preset that does not fit; a text that cannot be had; a run that fails.
pub fn run(session: &Session) -> anyhow::Result<()> {
    let Preset { seeds, vocab, model } = session.preset::<super::Preset>()?.word_pieces;
    let counts =
        [model.streams as u64, model.steps as u64, model.bytes, model.rows, model.val_bytes];
    ensure!(
        counts.iter().all(|&n| n > 0) && model.hidden > 0 && model.embedding > 0,
        "preset {}: every number of word-pieces.model has to be above 0",
        session.preset
    );
    ensure!(
        model.lr > 0.0 && model.clip > 0.0,
        "preset {}: word-pieces.model.lr and clip have to be above 0",
        session.preset
    );
    let (data, of_text) = language_model::text(session)?;
    let seeds = session.seeds_or(seeds);
    let mut plans = Vec::new();
    for seed in seeds {
        for unit in [Unit::Pieces, Unit::Bytes] {
            let language_model::Text { shards, own, sha256 } = of_text.clone();
            let train = model.clone();
            let (text, data_sha256) = (own, sha256);
            let config = RunConfig { unit, vocab, shards, text, data_sha256, train };
            let variant = name(unit).to_owned();
            plans.push(Plan {
                data: data.clone(),
                variant,
                seed,
                config: serde_json::to_value(config)?,
            });
        }
    }
    if !session.dry_run
        && let Some(plan) = plans.first()
    {
        // Once, before several processes want it.
        let spec = session.spec(crate::SENTIMENT_NEURON.study(STUDY)?, plan.clone(), 1);
        symbols(&spec, &spec.config()?)?;
    }
    look(session, STUDY, plans)
}

fn name(unit: Unit) -> &'static str {
    match unit {
        Unit::Pieces => "pieces",
        Unit::Bytes => "bytes",
    }
}

/// One training, in a process of its own.
///
/// # Errors
/// A text that cannot be had; what the training says.
pub fn train(spec: &Spec, run: &mut TrainingRun) -> anyhow::Result<BTreeMap<String, f64>> {
    let config: RunConfig = spec.config()?;
    let text = symbols(spec, &config)?;
    train::train(spec.key.seed, &config.train, &text, run)
}

/// Bits per byte of the test shard of the network of pieces over those of the network of bytes, by seed.
///
/// # Errors
/// Files that cannot be read.
pub fn measure(finished: &Finished) -> anyhow::Result<Vec<Measured>> {
    let mut by_data: BTreeMap<&str, [BTreeMap<u64, f64>; 2]> = BTreeMap::new();
    for (_, record) in &finished.runs {
        let of_unit = usize::from(record.key.variant == name(Unit::Bytes));
        let bits = record.ended_with("test/bpb")?;
        by_data.entry(&record.key.data).or_default()[of_unit].insert(record.key.seed, bits);
    }
    let mut rows = Vec::new();
    for (data, [pieces, bytes]) in by_data {
        let pairs = pieces.iter().filter_map(|(seed, bits)| Some((*bits, *bytes.get(seed)?)));
        let (pieces, bytes): (Vec<f64>, Vec<f64>) = pairs.unzip();
        if !pieces.is_empty() {
            let ratio = paired_ratio(&pieces, &bytes)?;
            rows.push(finished.measured("pieces-over-bytes", data, ratio));
        }
    }
    Ok(rows)
}

/// One network's way.
#[derive(Debug)]
pub(crate) struct Way {
    pub(crate) pieces: bool,
    /// `(bytes seen, bits per byte of the validation shard)`.
    pub(crate) by_bytes: Vec<(f64, f64)>,
    /// The same against multiply-adds of the training.
    pub(crate) by_work: Vec<(f64, f64)>,
}

/// Bits per byte against bytes seen and against work, for each text.
///
/// # Errors
/// Files that cannot be read.
pub fn figures(finished: &Finished) -> anyhow::Result<Drawings> {
    let mut by_data: BTreeMap<&str, Vec<Way>> = BTreeMap::new();
    for (folder, record) in &finished.runs {
        let metrics = metrics::read(folder.join(METRICS))?;
        let val: BTreeMap<u64, f64> = metrics.column("val/bpb")?.into_iter().collect();
        let against = |column| -> anyhow::Result<Vec<(f64, f64)>> {
            let rows = metrics.column(column)?;
            Ok(rows.into_iter().filter_map(|(step, x)| Some((x, *val.get(&step)?))).collect())
        };
        by_data.entry(&record.key.data).or_default().push(Way {
            pieces: record.key.variant == name(Unit::Pieces),
            by_bytes: against("bytes")?,
            by_work: against("multiply_adds")?,
        });
    }
    let draw = |(data, ways): (&str, Vec<Way>)| {
        (format!("bits-per-byte-{data}"), figures::word_pieces::draw(data, &ways))
    };
    Ok(by_data.into_iter().map(draw).collect())
}
