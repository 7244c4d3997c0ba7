//! Networks that learn to predict the next byte of reviews: bits per byte against bytes seen.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::ensure;
use common::data::text::corpora::Corpus;
use common::experiment::{Drawings, Finished};
use common::session::{Plan, Session};
use common::training_run::{METRICS, Spec, TrainingRun};
use ledger::claims::Measured;
use ledger::metrics;
use ledger::stats::{Estimate, Scale, mean_over_seeds};
use serde::{Deserialize, Serialize};

use super::{Training, describe, shards, stations_of};
use crate::SENTIMENT_NEURON;
use crate::figures;
use crate::model::PUBLISHED;
use crate::train::Config;

/// Its name.
pub const STUDY: &str = "language-model";

/// The first set of each text, best first.
pub const DATASETS: [&str; 2] = ["amazon-reviews", "rotten-tomatoes"];

/// `[language-model]` of a preset.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// Seeds, from 0.
    pub seeds: u64,
    /// Your own reviews instead of a text we know: a file or a folder.
    pub text: Option<PathBuf>,
    /// Training shards by text; there are one for validation and one for the test more.
    pub shards: BTreeMap<String, usize>,
    /// The networks, in the order they are trained in.
    pub models: Vec<Training>,
}

/// One run's configuration.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunConfig {
    /// Training shards.
    pub shards: usize,
    /// The user's own text.
    pub text: Option<PathBuf>,
    /// The training.
    #[serde(flatten)]
    pub train: Config,
}

/// The name of a network in paths.
fn variant(training: &Training) -> String {
    format!("mlstm-{}", training.hidden)
}

/// The text that networks learn.
#[derive(Debug, Clone)]
pub(super) struct Text {
    /// Training shards.
    pub(super) shards: usize,
    /// The user's own file or folder.
    pub(super) own: Option<PathBuf>,
    /// Over its shards.
    pub(super) sha256: String,
}

/// The text that this session's networks learn, with its name in paths. Makes the shards if they are not there.
///
/// # Errors
/// A preset that does not fit, data that cannot be had.
pub(super) fn text(session: &Session) -> anyhow::Result<(String, Text)> {
    let preset = session.preset::<super::Preset>()?.language_model;
    let name = match &preset.text {
        Some(_) => "own-text",
        None => Corpus::first_available(&session.lookup)?.name,
    };
    let Some(&n_shards) = preset.shards.get(name).filter(|n| **n > 0) else {
        anyhow::bail!("preset {}: language-model.shards.{name} is missing, or 0", session.preset);
    };
    let shards = match &preset.text {
        Some(path) => common::data::text::corpora::own_shards(path, n_shards, &session.lookup)?,
        None => Corpus::get(name).expect("a text we know").shards(n_shards, &session.lookup)?,
    };
    let counts = shards.counts();
    tracing::info!(
        "{name}: {} reviews, {} bytes; dropped {} repeated and {} empty ones; {} were not UTF-8",
        counts.kept,
        counts.bytes,
        counts.repeated,
        counts.empty,
        counts.not_utf8
    );
    let text = Text { shards: n_shards, own: preset.text, sha256: shards.sha256.clone() };
    Ok((name.to_owned(), text))
}

/// Every run of the study, with its configuration. Makes the shards if they are not there.
///
/// # Errors
/// A preset that does not fit, data that cannot be had.
pub fn plans(session: &Session) -> anyhow::Result<Vec<(Plan, Config)>> {
    let preset = session.preset::<super::Preset>()?.language_model;
    let seeds = session.seeds_or(preset.seeds);
    let (name, Text { shards, own, sha256 }) = text(session)?;
    let mut plans = Vec::new();
    for seed in seeds {
        for training in &preset.models {
            let variant = variant(training);
            let key = format!("language-model.{variant}");
            let train = training.config(&session.preset, &key, &sha256)?;
            let config = RunConfig { shards, text: own.clone(), train: train.clone() };
            let config = serde_json::to_value(config)?;
            plans.push((Plan { data: name.clone(), variant, seed, config }, train));
        }
    }
    Ok(plans)
}

/// Trains every network that is not trained yet.
///
/// # Errors
/// As [`plans`]; a run that fails.
pub fn run(session: &Session) -> anyhow::Result<()> {
    let study = SENTIMENT_NEURON.study(STUDY)?;
    let plans = plans(session)?;
    if session.dry_run {
        return describe(session, study, &plans);
    }
    session.grid(study, plans.into_iter().map(|(plan, _)| plan).collect())?;
    Ok(())
}

/// One training, in a process of its own.
///
/// # Errors
/// Data that cannot be read; what the training says.
pub fn train(spec: &Spec, run: &mut TrainingRun) -> anyhow::Result<BTreeMap<String, f64>> {
    let RunConfig { shards: n, text, train } = spec.config()?;
    let shards = shards(&spec.key.data, text.as_deref(), n, spec)?;
    ensure!(
        shards.sha256 == train.data_sha256,
        "{}: the text changed between planning and training",
        spec.key.data
    );
    crate::train::train(spec.key.seed, &train, &shards, &stations_of(spec), run)
}

/// One finished network's way.
#[derive(Debug, Clone)]
pub(crate) struct Curve {
    pub(crate) hidden: i64,
    pub(crate) data: String,
    /// `(bytes seen, bits per byte of the validation shard)`.
    pub(crate) val: Vec<(f64, f64)>,
    /// `(bytes seen, bits per byte of the training text since the row before)`.
    pub(crate) train: Vec<(f64, f64)>,
}

pub(crate) fn curves(finished: &Finished) -> anyhow::Result<Vec<Curve>> {
    let mut curves = Vec::new();
    for (folder, record) in &finished.runs {
        let RunConfig { train, .. } = RunConfig::deserialize(&record.config)?;
        let metrics = metrics::read(folder.join(METRICS))?;
        let bytes: BTreeMap<u64, f64> = metrics.column("bytes")?.into_iter().collect();
        let along = |column| -> anyhow::Result<Vec<(f64, f64)>> {
            let rows = metrics.column(column)?;
            Ok(rows.into_iter().filter_map(|(step, y)| Some((*bytes.get(&step)?, y))).collect())
        };
        let (val, train_curve) = (along("val/bpb")?, along("train/bpb")?);
        let data = record.key.data.clone();
        curves.push(Curve { hidden: train.sizes.hidden, data, val, train: train_curve });
    }
    Ok(curves)
}

/// The parameters of the published network, and the bits per byte of the widest network on its test shard.
///
/// # Errors
/// Files that cannot be read.
pub fn measure(finished: &Finished) -> anyhow::Result<Vec<Measured>> {
    let mut widest: BTreeMap<String, (i64, Vec<f64>)> = BTreeMap::new();
    for (_, record) in &finished.runs {
        let RunConfig { train, .. } = RunConfig::deserialize(&record.config)?;
        let bits = record.ended_with("test/bpb")?;
        let of_data = widest.entry(record.key.data.clone()).or_default();
        if train.sizes.hidden > of_data.0 {
            *of_data = (train.sizes.hidden, Vec::new());
        }
        if train.sizes.hidden == of_data.0 {
            of_data.1.push(bits);
        }
    }
    let mut rows = Vec::new();
    for (data, (_, bits)) in widest {
        let bits = mean_over_seeds(&bits, Scale::Log)?;
        // The same statement in two published lists.
        rows.push(finished.measured("sn-01", &data, bits.clone()));
        rows.push(finished.measured("lm-amazon-01", &data, bits));
        let parameters = Estimate::certain(PUBLISHED.config().parameters() as f64);
        let counted = finished.measured("sn-22", &data, parameters);
        rows.push(Measured { protocol_ok: true, ..counted });
    }
    Ok(rows)
}

/// Bits per byte against bytes seen, for each text.
///
/// # Errors
/// Files that cannot be read.
pub fn figures(finished: &Finished) -> anyhow::Result<Drawings> {
    let mut by_data: BTreeMap<String, Vec<Curve>> = BTreeMap::new();
    for curve in curves(finished)? {
        by_data.entry(curve.data.clone()).or_default().push(curve);
    }
    let published = curves(&finished.reference()?)?;
    let draw = |(data, curves): (String, Vec<Curve>)| {
        let figure = figures::bits_per_byte(&data, &curves, &published);
        (format!("bits-per-byte-{data}"), figure)
    };
    Ok(by_data.into_iter().map(draw).collect())
}
