//! Figure 1: how many epochs a four-layer net needs to 25 % training error with ReLU and with tanh units.
//!
//! Two regimes, since the answer depends on them:
//! - `authors`: raw grey levels minus their mean, small Gaussian weights, as the authors' own CIFAR-10 nets
//!   begin;
//! - `standardised`: inputs and weights scaled so that activations begin near unit size (He, Glorot).
//!
//! "The learning rates for each network were chosen independently to make training as fast as possible"
//! (caption of Figure 1). So each activation and regime first runs once for every learning rate of its
//! list, with a seed and a budget of its own, and the one with the smallest error at the end of that
//! search is taken. Runs of one seed share their order of pictures and their draws of weights, so that the
//! ratio is over pairs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, ensure};
use common::data::catalog::Catalog;
use common::data::images::Splits;
use common::data::load_images;
use common::experiment::{Drawings, Finished};
use common::preset::PresetError;
use common::session::{Plan, Session};
use common::training_run::{METRICS, Spec, TrainingRun};
use ledger::claims::Measured;
use ledger::metrics;
use ledger::run::RunRecord;
use ledger::stats::kaplan_meier::Observation;
use ledger::stats::{Scale, StatsError, mean_over_seeds, median_ratio};
use serde::{Deserialize, Serialize};

use super::Preset;
use crate::ALEXNET;
use crate::data::Inputs;
use crate::eval::{Row, epochs_to_target};
use crate::figures::{Published, figure_1, published_value};
use crate::model::{Activation, Init};
use crate::train::Config;

/// CIFAR-10 is the paper's; Fashion-MNIST is there on every machine that reaches a package registry.
pub const DATASETS: [&str; 3] = ["cifar10", "cifar10-jpeg", "fashion-mnist"];

/// The two regimes, in the order of the panels.
pub const REGIMES: [&str; 2] = ["authors", "standardised"];

/// `[relu-vs-tanh]` of a preset.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudyPreset {
    /// Seeds of the reported runs, from 0.
    pub seeds: u64,
    /// Training pictures; fewer than the set has are a fixed random subset.
    pub pictures: usize,
    /// Pictures in a batch.
    pub batch: usize,
    /// How much of the last update is kept.
    pub momentum: f64,
    /// Passes over the pictures at the most, by activation. An activation that is not listed does not run.
    pub epochs: BTreeMap<Activation, f64>,
    /// Pictures between two rows of `metrics.csv`.
    pub row_every: usize,
    /// Pictures between two checkpoints.
    pub save_every: usize,
    /// Training error to reach, by data set.
    pub target: BTreeMap<String, f64>,
    /// The search for a learning rate.
    pub search: Search,
    /// Raw inputs and small weights, as the authors trained.
    pub authors: Regime,
    /// Inputs and weights scaled to unit size.
    pub standardised: Regime,
}

/// How learning rates are picked.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Search {
    /// The seed of the search; not one of the reported ones, or the winner would be flattered.
    pub seed: u64,
    /// Passes over the pictures.
    pub epochs: f64,
}

/// Inputs, first weights and learning rates.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Regime {
    /// What the net sees.
    pub inputs: Inputs,
    /// How the weights begin.
    pub init: Init,
    /// The biases' learning rate is this many times that of the weights.
    pub bias_lr_scale: f64,
    /// Learning rates to choose from, by activation; one alone is taken without a search.
    pub lr: BTreeMap<Activation, Vec<f64>>,
}

/// What the runs of this study have in common, so that `measure` and `figures` need no preset.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct RunConfig {
    regime: String,
    /// Whether this run only helps to choose a learning rate.
    search: bool,
    #[serde(flatten)]
    train: Config,
}

impl StudyPreset {
    /// Refuses what no run can use, before anything is fetched or started.
    fn check(&self, preset: &str, seeds: &[u64]) -> Result<(), PresetError> {
        let refuse = |key: &str, found: String, wanted| {
            let (preset, key) = (preset.to_owned(), format!("relu-vs-tanh.{key}"));
            Err(PresetError::Value { preset, key, found, wanted })
        };
        let counts = [
            ("batch", self.batch),
            ("pictures", self.pictures),
            ("row_every", self.row_every),
            ("save_every", self.save_every),
            ("seeds", self.seeds as usize),
        ];
        if let Some((key, found)) = counts.into_iter().find(|(_, n)| *n == 0) {
            return refuse(key, found.to_string(), "a whole number from 1");
        }
        let lengths = self.epochs.iter().map(|(a, n)| (format!("epochs.{}", a.name()), *n));
        for (key, epochs) in lengths.chain([("search.epochs".to_owned(), self.search.epochs)]) {
            if !(epochs > 0.0 && epochs.is_finite()) {
                return refuse(&key, epochs.to_string(), "a number above 0");
            }
        }
        if seeds.contains(&self.search.seed) {
            return refuse(
                "search.seed",
                self.search.seed.to_string(),
                "a seed that is not reported",
            );
        }
        Ok(())
    }

    fn regime(&self, name: &str) -> &Regime {
        if name == REGIMES[0] { &self.authors } else { &self.standardised }
    }
}

/// Picks the learning rate of a regime and an activation out of its list.
type Choice<'a> = &'a dyn Fn(&str, Activation, &[f64]) -> anyhow::Result<f64>;

/// Makes the search's runs, then the reported ones.
///
/// # Errors
/// A preset that does not fit, data that cannot be had, a run that fails.
pub fn run(session: &Session) -> anyhow::Result<()> {
    let study = ALEXNET.study("relu-vs-tanh")?;
    let preset = session.preset::<Preset>()?.relu_vs_tanh;
    let seeds = session.seeds_or(preset.seeds);
    preset.check(&session.preset, &seeds)?;
    let located = Catalog::builtin().first_available(&DATASETS, &session.lookup)?;
    let splits = load_images(&located, &session.lookup)?;
    let plan = |regime: &str, activation, search, lr, seed| {
        plan(&preset, &splits, regime, activation, search, lr, seed)
    };

    // Every learning rate of every list that leaves a choice.
    let mut searches = Vec::new();
    let mut cells = Vec::new();
    for regime in REGIMES {
        for &activation in preset.epochs.keys() {
            let rates = preset.regime(regime).lr.get(&activation).filter(|rates| !rates.is_empty());
            let rates = rates.with_context(|| {
                format!(
                    "preset {}: relu-vs-tanh.{regime}.lr.{} is missing",
                    session.preset,
                    activation.name()
                )
            })?;
            cells.push((regime, activation, rates.clone()));
            if rates.len() > 1 {
                for &lr in rates {
                    searches.push(plan(regime, activation, true, lr, preset.search.seed)?);
                }
            }
        }
    }
    let reported = |chosen: Choice| {
        let mut plans = Vec::new();
        for &seed in &seeds {
            for (regime, activation, rates) in &cells {
                let lr = chosen(regime, *activation, rates)?;
                plans.push(plan(regime, *activation, false, lr, seed)?);
            }
        }
        anyhow::Ok(plans)
    };
    if session.dry_run {
        let plans = reported(&|_, _, rates| Ok(rates[0]))?;
        return super::describe(session, study, &splits, &[searches, plans].concat());
    }
    let searched = session.grid(study, searches)?;
    let plans = reported(&|regime, activation, rates| {
        if let [only] = rates { Ok(*only) } else { best_rate(&searched, regime, activation) }
    })?;
    session.grid(study, plans)?;
    Ok(())
}

/// One run, as the process that makes it gets it.
fn plan(
    preset: &StudyPreset,
    splits: &Splits,
    regime: &str,
    activation: Activation,
    search: bool,
    lr: f64,
    seed: u64,
) -> anyhow::Result<Plan> {
    let Regime { inputs, init, bias_lr_scale, .. } = preset.regime(regime).clone();
    let target = preset.target.get(&splits.data_name).copied();
    let target = target.with_context(|| {
        format!("relu-vs-tanh.target has no training error for {}", splits.data_name)
    })?;
    let train = Config {
        activation,
        inputs,
        init,
        lr,
        bias_lr_scale,
        batch: preset.batch,
        momentum: preset.momentum,
        pictures: preset.pictures.min(splits.train.n),
        epochs: if search { preset.search.epochs } else { preset.epochs[&activation] },
        target,
        row_every: preset.row_every,
        save_every: preset.save_every,
        data_sha256: splits.sha256.clone(),
    };
    let name = format!("{regime}-{}", activation.name());
    let variant = if search { format!("{name}-search-lr-{lr}") } else { name };
    let config = serde_json::to_value(RunConfig { regime: regime.to_owned(), search, train })?;
    Ok(Plan { data: splits.data_name.clone(), variant, seed, config })
}

/// One training, in a process of its own.
///
/// # Errors
/// Data that cannot be read; what the training says.
pub fn train(spec: &Spec, run: &mut TrainingRun) -> anyhow::Result<BTreeMap<String, f64>> {
    let config: RunConfig = spec.config()?;
    let located = Catalog::builtin().locate(&spec.key.data, &spec.lookup)?;
    let splits = load_images(&located, &spec.lookup)?;
    ensure!(
        splits.sha256 == config.train.data_sha256,
        "{}: the data changed between planning and training",
        spec.key.data
    );
    crate::train::train(&spec.key, &config.train, &splits.train, run)
}

/// The learning rate with the smallest error at the end of the search; of equals, the smaller.
fn best_rate(searched: &[RunRecord], regime: &str, activation: Activation) -> anyhow::Result<f64> {
    let mut found: Vec<(f64, f64)> = Vec::new(); // error, rate
    for record in searched {
        let config = RunConfig::deserialize(&record.config)?;
        if config.regime == regime && config.train.activation == activation {
            // A rate at which training left the numbers' range would be an error of that run.
            let error = record.metrics.get("train/error").context("a finished run has an error")?;
            found.push((*error, config.train.lr));
        }
    }
    found.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    Ok(found.first().context("the search has finished")?.1)
}

/// One finished run of the study.
#[derive(Debug)]
pub(crate) struct Curve {
    pub(crate) regime: String,
    pub(crate) activation: Activation,
    pub(crate) search: bool,
    pub(crate) seed: u64,
    pub(crate) data: String,
    pub(crate) lr: f64,
    pub(crate) pictures: usize,
    pub(crate) target: f64,
    pub(crate) rows: Vec<Row>,
    pub(crate) elapsed_s: f64,
}

impl Curve {
    fn read(folder: &Path, record: &RunRecord) -> anyhow::Result<Self> {
        let RunConfig { regime, search, train } = RunConfig::deserialize(&record.config)?;
        let metrics = metrics::read(folder.join(METRICS))?;
        let (epochs, errors) = (metrics.column("epoch")?, metrics.column("train/error")?);
        let rows =
            epochs.iter().zip(&errors).map(|(e, x)| Row { epoch: e.1, error: x.1 }).collect();
        Ok(Self {
            regime,
            activation: train.activation,
            search,
            seed: record.key.seed,
            data: record.key.data.clone(),
            lr: train.lr,
            pictures: train.pictures,
            target: train.target,
            rows,
            elapsed_s: record.elapsed_s,
        })
    }

    pub(crate) fn time(&self) -> Option<Observation> {
        epochs_to_target(&self.rows, self.target)
    }
}

/// The curves by data set.
fn curves(finished: &Finished) -> anyhow::Result<BTreeMap<String, Vec<Curve>>> {
    let mut by_data: BTreeMap<String, Vec<Curve>> = BTreeMap::new();
    for (folder, record) in &finished.runs {
        let curve = Curve::read(folder, record)?;
        by_data.entry(curve.data.clone()).or_default().push(curve);
    }
    Ok(by_data)
}

/// Times to the target by seed.
fn times(curves: &[Curve], regime: &str, activation: Activation) -> BTreeMap<u64, Observation> {
    let wanted = |c: &&Curve| !c.search && c.regime == regime && c.activation == activation;
    curves.iter().filter(wanted).filter_map(|c| Some((c.seed, c.time()?))).collect()
}

/// Ratios of epochs tanh over ReLU in both regimes, and the epochs ReLU takes in the authors'.
///
/// # Errors
/// Files that cannot be read.
pub fn measure(finished: &Finished) -> anyhow::Result<Vec<Measured>> {
    let mut rows = Vec::new();
    for (data, curves) in &curves(finished)? {
        let row = |id: &str, estimate, protocol_ok| Measured {
            id: id.to_owned(),
            preset: finished.preset.clone(),
            data: data.clone(),
            estimate,
            evidence: data.clone(),
            protocol_ok,
        };
        for (id, regime) in
            [("alexnet-22", "authors"), ("relu-vs-tanh-standardised", "standardised")]
        {
            let relu = times(curves, regime, Activation::Relu);
            let tanh = times(curves, regime, Activation::Tanh);
            let both: BTreeSet<u64> =
                relu.keys().filter(|seed| tanh.contains_key(seed)).copied().collect();
            let of = |side: &BTreeMap<u64, Observation>| {
                both.iter().map(|s| side[s]).collect::<Vec<_>>()
            };
            match median_ratio(&of(&tanh), &of(&relu)) {
                Ok(estimate) => rows.push(row(id, estimate, protocol_ok(finished, curves, regime))),
                // Nothing is known before a pair has run, and nothing is claimed.
                Err(StatsError::TooFew { .. } | StatsError::NeitherReached) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let relu: Vec<_> = times(curves, "authors", Activation::Relu).into_values().collect();
        if !relu.is_empty() && relu.iter().all(|time| time.reached) {
            let epochs: Vec<f64> = relu.iter().map(|time| time.time).collect();
            let estimate = mean_over_seeds(&epochs, Scale::Natural)?;
            rows.push(row("alexnet-23", estimate, protocol_ok(finished, curves, "authors")));
        }
    }
    Ok(rows)
}

/// Whether the runs are the paper's: its data, all 50,000 pictures, its target, and the authors' regime.
fn protocol_ok(finished: &Finished, curves: &[Curve], regime: &str) -> bool {
    let paper =
        |c: &Curve| c.data == "cifar10" && c.pictures == 50_000 && (c.target - 0.25).abs() < 1e-9;
    regime == "authors"
        && !finished.preset.contains('+')
        && curves.iter().filter(|c| c.regime == regime).all(paper)
}

/// Figure 1, the epochs behind it, and the search, for each data set.
///
/// # Errors
/// Files that cannot be read.
pub fn figures(finished: &Finished) -> anyhow::Result<Drawings> {
    let (relu_epochs, ratio) = (published_value("alexnet-23")?, published_value("alexnet-22")?);
    let published = Published { relu_epochs, ratio };
    let mut figures = Vec::new();
    for (data, curves) in &curves(finished)? {
        figures.push((format!("figure-1-{data}"), figure_1(data, curves, &published)));
        if curves.iter().any(|curve| curve.search) {
            figures.push((format!("search-{data}"), crate::figures::search(data, curves)));
        }
    }
    Ok(figures)
}
