//! Models that learn to predict the next token of books: perplexity on authors they never saw, against tokens read.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use anyhow::ensure;
use common::cli;
use common::data::lookup::Lookup;
use common::experiment::{Drawings, Finished};
use common::nn::probe::Probe;
use common::nn::transformer::{NormPlace, TransformerConfig};
use common::optim::Optimizer as _;
use common::preset::PresetError;
use common::progress::human_seconds;
use common::session::{Plan, Session};
use common::training_run::{METRICS, Spec, TrainingRun};
use ledger::claims::Measured;
use ledger::metrics;
use ledger::stats::{Estimate, Scale, mean_over_seeds, paired_ratio};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::rates::{self, Choice, Search};
use super::{Books, stations_of};
use crate::GPT1;
use crate::figures;
use crate::lstm::LstmConfig;
use crate::model::{Dropout, Model, Shape};
use crate::pretrain::{Config, optimizer};

/// Its name.
pub const STUDY: &str = "pretrain";

/// The first set of each library, best first.
pub const DATASETS: [&str; 2] = ["novels", "austen"];

/// `[pretrain]` of a preset; [`Config`] explains what is not explained here.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// Seeds, from 0.
    pub seeds: u64,
    /// Tokens that a window predicts: the models' context.
    pub length: usize,
    /// Windows of a micro-batch, unless the search offers others.
    pub batch: usize,
    /// Micro-batches of an update.
    pub accumulate: u64,
    /// Whether blocks are computed again for the gradient instead of kept.
    pub recompute: bool,
    /// Share of the updates over which the rate rises.
    pub warmup: f64,
    /// Decay of matrices and embeddings.
    pub weight_decay: f64,
    /// The largest norm of all gradients.
    pub clip: f64,
    /// What is dropped.
    pub dropout: Dropout,
    /// Standard deviation of initial weights.
    pub init_std: f64,
    /// Updates between two rows.
    pub row_every: u64,
    /// Updates between two looks at the validation books.
    pub val_every: u64,
    /// Windows that such a look reads.
    pub val_windows: usize,
    /// Updates between two checkpoints.
    pub save_every: u64,
    /// How many times the weights are kept.
    pub stations: u32,
    /// How rate and batch are chosen where there are several; see [`super::rates`].
    pub search: Option<Search>,
    /// The models; the first is the one that later studies start from.
    pub models: Vec<ModelPreset>,
}

/// A model of a preset.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelPreset {
    /// Its name in paths.
    pub name: String,
    /// Its layers.
    pub layers: Layers,
    /// Tokens read in all; updates follow from the batch.
    pub tokens: u64,
    /// The highest rate; where there are several, or several batches, the study `rates` has chosen.
    pub lr: Vec<f64>,
}

/// Layers of a model.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Layers {
    /// GPT-1's decoder.
    Transformer {
        /// Blocks.
        n_layers: i64,
        /// Heads of each.
        n_heads: i64,
        /// Channels.
        d_model: i64,
    },
    /// One layer of LSTM units.
    Lstm {
        /// Units.
        hidden: i64,
        /// Channels of the embedding.
        d_model: i64,
    },
}

/// One run's configuration.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunConfig {
    /// What is read.
    pub books: Books,
    /// The training.
    pub train: Config,
}

impl Preset {
    /// The configuration of `model` on a text with this sum, written in `vocab` tokens; `preset` is what messages
    /// call it.
    ///
    /// # Errors
    /// A value that no run can use.
    pub fn config(
        &self,
        preset: &str,
        model: &ModelPreset,
        choice: Choice,
        vocab: i64,
        data_sha256: &str,
    ) -> Result<Config, PresetError> {
        let refuse = |key: &str, found: String, wanted| {
            let (preset, key) = (preset.to_owned(), format!("pretrain.{key}"));
            Err(PresetError::Value { preset, key, found, wanted })
        };
        let of_model = format!("models.{}", model.name);
        let counts = [
            ("length".to_owned(), self.length as u64),
            ("batch".to_owned(), choice.batch as u64),
            ("accumulate".to_owned(), self.accumulate),
            ("row_every".to_owned(), self.row_every),
            ("save_every".to_owned(), self.save_every),
            ("val_windows".to_owned(), self.val_windows as u64),
            ("stations".to_owned(), u64::from(self.stations)),
            (format!("{of_model}.tokens"), model.tokens),
        ];
        if let Some((key, found)) = counts.into_iter().find(|(_, n)| *n == 0 || *n > 1 << 40) {
            return refuse(&key, (found as i64).to_string(), "a whole number from 1");
        }
        if self.val_every == 0 || !self.val_every.is_multiple_of(self.row_every) {
            return refuse("val_every", self.val_every.to_string(), "a multiple of row_every");
        }
        if !(0.0..1.0).contains(&self.warmup) {
            return refuse("warmup", self.warmup.to_string(), "a share of the updates below 1");
        }
        let positive = [("clip".to_owned(), self.clip), (format!("{of_model}.lr"), choice.lr)];
        if let Some((key, x)) = positive.into_iter().find(|(_, x)| !(*x > 0.0 && x.is_finite())) {
            return refuse(&key, x.to_string(), "a number above 0");
        }
        let shape = self.shape(model, vocab);
        if let Some((field, found, _)) = shape.wrong() {
            let wanted = "whole numbers from 1, heads that divide the channels, dropout below 1";
            return refuse(&format!("{of_model}.layers.{field}"), found, wanted);
        }
        let of_update = (choice.batch * self.length) as u64 * self.accumulate;
        let steps = (model.tokens / of_update).max(1);
        Ok(Config {
            shape,
            length: self.length,
            batch: choice.batch,
            accumulate: self.accumulate,
            recompute: self.recompute,
            steps,
            lr: choice.lr,
            warmup: (self.warmup * steps as f64).round() as u64,
            weight_decay: self.weight_decay,
            clip: self.clip,
            row_every: self.row_every,
            val_every: self.val_every,
            val_windows: self.val_windows,
            save_every: self.save_every,
            stations: self.stations,
            test: true,
            data_sha256: data_sha256.to_owned(),
        })
    }

    /// Refuses what cannot be before anything is fetched or encoded.
    ///
    /// # Errors
    /// A value that no run can use.
    pub fn check(&self, preset: &str) -> Result<(), PresetError> {
        for model in &self.models {
            let choices = rates::choices(self, model);
            if choices.is_empty() {
                let (preset, key) =
                    (preset.to_owned(), format!("pretrain.models.{}.lr", model.name));
                let (found, wanted) = ("none".to_owned(), "at least one rate and one batch");
                return Err(PresetError::Value { preset, key, found, wanted });
            }
            for choice in choices {
                self.config(preset, model, choice, 1, "")?;
            }
        }
        Ok(())
    }

    fn shape(&self, model: &ModelPreset, vocab: i64) -> Shape {
        let (context, init_std) = (self.length as i64, self.init_std);
        match model.layers {
            Layers::Transformer { n_layers, n_heads, d_model } => {
                Shape::Transformer(TransformerConfig {
                    vocab,
                    context,
                    n_layers,
                    n_heads,
                    d_model,
                    norm: NormPlace::Post,
                    bias: true,
                    residual_dropout: self.dropout.residual,
                    embedding_dropout: self.dropout.embedding,
                    attention_dropout: self.dropout.attention,
                    init_std,
                })
            }
            Layers::Lstm { hidden, d_model } => Shape::Lstm(LstmConfig {
                vocab,
                context,
                d_model,
                hidden,
                dropout: self.dropout.residual,
                init_std,
            }),
        }
    }
}

/// Every run of the study, with its configuration; its books are looked for as `lookup` says. Makes vocabulary and
/// tokens if they are not there. A model whose rate is still to be searched is left out with a warning.
///
/// # Errors
/// A preset that does not fit, data that cannot be had; no model whose rate is known.
pub fn plans(session: &Session, lookup: &Lookup) -> anyhow::Result<Vec<(Plan, Config)>> {
    let super::Preset { books, pretrain: preset, .. } = session.preset()?;
    preset.check(&session.preset)?;
    let shelf = books.shelf(None, lookup)?;
    let corpus = books.corpus(&shelf, lookup)?;
    let vocab = corpus.tokenizer.vocab_size() as i64;
    let mut ready = Vec::new();
    for model in &preset.models {
        let choice = rates::chosen(session, &preset, model, &shelf.name, &books, vocab, &corpus)?;
        ready.extend(choice.map(|choice| (model, choice)));
    }
    ensure!(
        !ready.is_empty(),
        "no model's batch and rate are chosen yet; first: gpt1 run {} --preset {}",
        rates::STUDY,
        session.source.name
    );
    let mut plans = Vec::new();
    for seed in session.seeds_or(preset.seeds) {
        for &(model, choice) in &ready {
            let train = preset.config(&session.preset, model, choice, vocab, &corpus.sha256)?;
            let config = RunConfig { books: books.clone(), train: train.clone() };
            let (data, variant) = (shelf.name.clone(), model.name.clone());
            let config = serde_json::to_value(config)?;
            plans.push((Plan { data, variant, seed, config }, train));
        }
    }
    Ok(plans)
}

/// Trains every model that is not trained yet.
///
/// # Errors
/// As [`plans`]; a run that fails.
pub fn run(session: &Session) -> anyhow::Result<()> {
    let plans = plans(session, &session.lookup)?;
    if session.dry_run {
        return describe(session, STUDY, &plans);
    }
    session.grid(GPT1.study(STUDY)?, plans.into_iter().map(|(plan, _)| plan).collect())?;
    Ok(())
}

/// One training, in a process of its own.
///
/// # Errors
/// Data that cannot be read or changed since; what the training says.
pub fn train(spec: &Spec, run: &mut TrainingRun) -> anyhow::Result<BTreeMap<String, f64>> {
    let RunConfig { books, train } = spec.config()?;
    let shelf = books.shelf(Some(&spec.key.data), &spec.lookup)?;
    let corpus = Arc::new(books.corpus(&shelf, &spec.lookup)?);
    ensure!(
        corpus.sha256 == train.data_sha256,
        "{}: the books changed since the run was planned",
        spec.key.data
    );
    crate::pretrain::train(spec.key.seed, &train, &corpus, &stations_of(spec), run)
}

/// Updates timed for a dry run, after as many to warm up.
const TIMED: u64 = 2;

/// `--dry-run`: the resolved configuration of every run, and what it costs; the time is that of a few updates on
/// tokens that mean nothing.
pub(super) fn describe(
    session: &Session,
    study: &str,
    plans: &[(Plan, Config)],
) -> anyhow::Result<()> {
    let study = GPT1.study(study)?;
    let mut out = String::new();
    let mut seconds = 0.0;
    tch::set_num_threads(if session.device.is_cuda() { session.threads as i32 } else { 1 });
    for (plan, cfg) in plans {
        let spec = session.spec(study, plan.clone(), 1);
        writeln!(out, "{} {}", spec.folder().display(), serde_json::to_string(&plan.config)?)?;
        let model = Model::new(&cfg.shape, 0, session.device);
        let mut opt = optimizer(&model.vs, cfg.weight_decay);
        let shape = [cfg.batch as i64, cfg.length as i64 + 1];
        let ids = Tensor::randint(cfg.shape.vocab(), shape, (Kind::Int64, session.device));
        let mut begun = Instant::now();
        for step in 0..2 * TIMED {
            if step == TIMED {
                begun = Instant::now();
            }
            opt.zero_grad();
            let loss = {
                let _autocast = session.precision.autocast(session.device);
                model.loss(&ids, true, &Probe::off())
            };
            loss.backward();
            opt.step(1e-4);
            let _ = loss.double_value(&[]);
        }
        let step_s = cfg.accumulate as f64 * begun.elapsed().as_secs_f64() / TIMED as f64;
        let tokens = (cfg.batch * cfg.length) as f64 * cfg.accumulate as f64;
        seconds += step_s * cfg.steps as f64;
        writeln!(
            out,
            "  {} parameters, {} updates of {tokens} tokens, {:.2e} multiply-adds a token, {:.0} tokens/s here, {}",
            cfg.shape.parameters(),
            cfg.steps,
            // The backward pass costs twice the forward.
            3.0 * cfg.shape.multiply_adds() as f64,
            tokens / step_s,
            human_seconds(step_s * cfg.steps as f64)
        )?;
    }
    let processes = if session.device.is_cuda() { 1 } else { session.threads };
    let memory = common::device::peak_memory(session.device);
    let megabytes = memory.gpu.or(memory.host).unwrap_or_default() / (1 << 20);
    writeln!(out, "memory          about {megabytes} MiB a process, {processes} at a time")?;
    writeln!(out, "time            about {} in all", human_seconds(seconds / processes as f64))?;
    Ok(cli::print(&out)?)
}

/// A finished run's losses against tokens read.
#[derive(Debug, Clone)]
pub(crate) struct Curve {
    pub(crate) data: String,
    pub(crate) model: String,
    pub(crate) parameters: i64,
    pub(crate) train: Vec<(f64, f64)>,
    pub(crate) val: Vec<(f64, f64)>,
}

fn curves(finished: &Finished) -> anyhow::Result<Vec<Curve>> {
    let mut curves = Vec::new();
    for (folder, record) in &finished.runs {
        let RunConfig { train, .. } = RunConfig::deserialize(&record.config)?;
        let rows = metrics::read(folder.join(METRICS))?;
        let tokens: BTreeMap<u64, f64> = rows.column("tokens")?.into_iter().collect();
        let against = |name: &str| -> anyhow::Result<Vec<(f64, f64)>> {
            let column = rows.column(name)?;
            Ok(column.into_iter().map(|(step, y)| (tokens[&step], y)).collect())
        };
        curves.push(Curve {
            data: record.key.data.clone(),
            model: record.key.variant.clone(),
            parameters: train.shape.parameters(),
            train: against("train/loss")?,
            val: against("val/loss")?,
        });
    }
    Ok(curves)
}

/// Perplexity of the transformers on the test books, beside the LSTM's, and the parameters of the published model.
///
/// # Errors
/// Files that cannot be read.
pub fn measure(finished: &Finished) -> anyhow::Result<Vec<Measured>> {
    let mut by_data: BTreeMap<&str, BTreeMap<(&str, u64), f64>> = BTreeMap::new();
    for (_, record) in &finished.runs {
        let perplexity = record.ended_with("test/perplexity")?;
        let key = (record.key.variant.as_str(), record.key.seed);
        by_data.entry(&record.key.data).or_default().insert(key, perplexity);
    }
    let mut rows = Vec::new();
    for (data, runs) in by_data {
        let transformers = runs.iter().filter(|((model, _), _)| *model == "transformer");
        let perplexities: Vec<f64> = transformers.clone().map(|(_, x)| *x).collect();
        if !perplexities.is_empty() {
            let estimate = mean_over_seeds(&perplexities, Scale::Log)?;
            rows.push(finished.measured("gpt1-01", data, estimate));
        }
        let pairs: Vec<(f64, f64)> = transformers
            .filter_map(|((_, seed), ours)| Some((*runs.get(&("lstm", *seed))?, *ours)))
            .collect();
        if !pairs.is_empty() {
            let (lstm, ours): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
            let id = "perplexity-lstm-over-transformer";
            rows.push(finished.measured(id, data, paired_ratio(&lstm, &ours)?));
        }
        let parameters = Estimate::certain(TransformerConfig::GPT1.parameters() as f64);
        let counted = finished.measured("gpt1-an-7", data, parameters);
        rows.push(Measured { protocol_ok: true, ..counted });
    }
    Ok(rows)
}

/// Loss against tokens read, for each library.
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
        (format!("loss-{data}"), figures::pretraining(&data, &curves, &published))
    };
    Ok(by_data.into_iter().map(draw).collect())
}
