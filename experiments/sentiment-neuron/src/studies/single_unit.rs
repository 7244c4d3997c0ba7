//! Figure 3, and section 4.2's one unit against all: does the unit that the probe leans on most tell sentiment alone?
//!
//! Nothing is trained here: the finished networks of `language-model` at the same preset are read. The unit is chosen
//! and its threshold fitted on the training part; each test text is predicted once. The run of the widest network with
//! the smallest seed on the first set also leaves the weights that the other verbs use.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use common::data::text::shards::Part;
use common::experiment::{Drawings, Finished};
use common::linear::metrics::{accuracy, auc};
use common::rows::{read_rows, write_rows};
use common::session::{Plan, Session};
use common::training_run::{Spec, TrainingRun};
use ledger::claims::Measured;
use ledger::plot::Coloured;
use ledger::run::{RunRecord, write_atomic};
use ledger::stats::{Scale, mean_over_seeds, paired_difference};
use serde::{Deserialize, Serialize};

use super::networks::{Learned, Model, load, look, networks, only_row, planned_set, sets};
use super::{language_model, shards};
use crate::features::features;
use crate::figures;
use crate::model::Neuron;
use crate::readout::{areas, median};
use crate::single::{Fitted, Prediction, single_out};
use crate::train::bits_per_byte;
use crate::weights::{Card, ChosenUnit, packed, unpacked, write};

mod shown;

/// Its name.
pub const STUDY: &str = "single-unit";
/// The published sets, and one that every machine can have.
pub const DATASETS: [&str; 3] = ["sst", "imdb", "rotten-tomatoes"];
/// The file of predictions in a run's folder.
const PREDICTIONS: &str = "predictions.csv.gz";
/// The file of units in a run's folder.
const UNITS: &str = "units.csv";

/// `[single-unit]` of a preset.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// Labelled sets; those that cannot be had are left out with a warning.
    pub sets: Vec<String>,
}

/// One run's configuration.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct RunConfig {
    model: Model,
    /// Of the labelled set.
    data_sha256: String,
    /// In a run that leaves weights: the text that the network learned, whose validation shard is read for the card.
    export: Option<Learned>,
}

/// Looks at every finished network on every set.
///
/// # Errors
/// A network that is not trained; sets that cannot be had; a run that fails.
pub fn run(session: &Session) -> anyhow::Result<()> {
    let preset = session.preset::<super::Preset>()?.single_unit;
    let sets = sets(session, &preset.sets)?;
    let networks = networks(session)?;
    let width = |model: &Model| (model.hidden, Reverse(model.seed));
    let widest = networks.iter().map(|(model, _)| width(model)).max();
    let mut plans = Vec::new();
    for (model, learned) in networks {
        for (place, set) in sets.iter().enumerate() {
            let exported = place == 0 && Some(width(&model)) == widest;
            let config = RunConfig {
                model: model.clone(),
                data_sha256: set.sha256.clone(),
                // The published weights have been left already.
                export: learned.clone().filter(|_| exported),
            };
            plans.push(Plan {
                data: set.name.clone(),
                variant: model.name(),
                seed: model.seed,
                config: serde_json::to_value(config)?,
            });
        }
    }
    look(session, STUDY, plans)
}

/// One network on one set, in a process of its own.
///
/// # Errors
/// Data or weights that cannot be read; a file that cannot be written.
pub fn train(spec: &Spec, run: &mut TrainingRun) -> anyhow::Result<BTreeMap<String, f64>> {
    let config: RunConfig = spec.config()?;
    let set = planned_set(spec, &spec.key.data, &config.data_sha256)?;
    let neuron = load(spec, &config.model, run)?;
    let features = features(&neuron, &set.texts)?;
    let (predictions, fitted) = single_out(&set, &features)?;
    write_rows(&run.path().join(PREDICTIONS), &predictions)?;
    let test: Vec<usize> = predictions.iter().map(|p| p.index).collect();
    let labels: Vec<bool> = predictions.iter().map(|p| p.label).collect();
    let areas = areas(&features.select(&test), &labels);
    write_units(&run.path().join(UNITS), &fitted[0].all.linear.weights, &areas)?;
    let chosen = features.select(&set.rounds()[0].train);
    let chosen = ChosenUnit::new(&fitted[0].unit, &chosen, &spec.key.data);
    shown::write(run.path(), &neuron, &chosen, &set, &predictions)?;
    let mut ended = scores(&predictions);
    ended.extend(choices(&fitted));
    ended.insert("median_unit/auc".to_owned(), median(&areas));
    if let Some(learned) = &config.export {
        ended.extend(export(spec, &config.model, learned, &neuron, chosen, run)?);
    }
    only_row(run, ended)
}

/// Leaves the weights with the chosen unit in the run's folder, or in the cache where they are too large to be
/// published; returns what their form costs in bits per byte.
fn export(
    spec: &Spec,
    model: &Model,
    learned: &Learned,
    neuron: &Neuron,
    unit: ChosenUnit,
    run: &TrainingRun,
) -> anyhow::Result<BTreeMap<String, f64>> {
    let Learned { shards: n, text, val_bytes, .. } = learned;
    let (tensors, publishable) = packed(neuron);
    let by_name = tensors.iter().map(|(name, tensor)| (name.clone(), tensor.copy())).collect();
    let left = unpacked(by_name, "the packed weights", run.device())?;
    let val = shards(&model.data, text.as_deref(), *n, spec)?.read(Part::Val)?;
    let bits = |neuron| bits_per_byte(neuron, &val, *val_bytes, &run.autocast());
    let (before, after) = (bits(neuron)?, bits(&left)?);
    let origin = format!(
        "{}/{}/{}/{}/{}/seed-{} after {} updates",
        spec.key.experiment,
        spec.key.preset,
        language_model::STUDY,
        model.data,
        model.variant,
        model.seed,
        model.updates
    );
    let folder = if publishable { run.path().to_owned() } else { spec.checkpoints() };
    let path = write(&folder, &tensors, Card::new(origin, Some(after), unit))?;
    tracing::info!("weights for heatmap, classify, generate and compress: {}", path.display());
    Ok(BTreeMap::from([
        ("val/bpb".to_owned(), before),
        ("exported/bpb".to_owned(), after),
        ("exported/bytes".to_owned(), std::fs::metadata(&path)?.len() as f64),
    ]))
}

/// The readers by their names among the run's numbers.
const READERS: [&str; 4] = ["all", "unit", "best_unit", "without_unit"];

fn by_reader(p: &Prediction) -> [f64; 4] {
    [p.all, p.unit, p.best, p.without]
}

/// How well each reader does on the test texts.
fn scores(predictions: &[Prediction]) -> BTreeMap<String, f64> {
    let labels: Vec<bool> = predictions.iter().map(|p| p.label).collect();
    let mut ended = BTreeMap::from([("n".to_owned(), labels.len() as f64)]);
    for (reader, name) in READERS.into_iter().enumerate() {
        let scores: Vec<f64> = predictions.iter().map(|p| by_reader(p)[reader]).collect();
        ended.insert(format!("{name}/acc"), accuracy(&scores, &labels));
        ended.insert(format!("{name}/auc"), auc(&scores, &labels));
    }
    ended
}

/// What was chosen, the mean over rounds.
fn choices(fitted: &[Fitted]) -> BTreeMap<String, f64> {
    let mean =
        |of: &dyn Fn(&Fitted) -> f64| fitted.iter().map(of).sum::<f64>() / fitted.len() as f64;
    let share = |f: &Fitted| {
        let size = |weight: &f64| weight.abs();
        let all: f64 = f.all.linear.weights.iter().map(size).sum();
        if all > 0.0 { size(&f.all.linear.weights[f.unit.index]) / all } else { 0.0 }
    };
    let same = |f: &Fitted| if f.unit.index == f.best.index { 1.0 } else { 0.0 };
    BTreeMap::from([
        ("all/nonzeros".to_owned(), mean(&|f| f.all.linear.nonzeros() as f64)),
        ("unit/index".to_owned(), fitted[0].unit.index as f64),
        ("unit/share_of_weights".to_owned(), mean(&share)),
        ("best_unit/index".to_owned(), fitted[0].best.index as f64),
        ("best_unit/rank".to_owned(), mean(&|f| f.best.rank as f64)),
        ("best_unit/is_unit".to_owned(), mean(&same)),
    ])
}

/// One row a unit: its weight in the first round's probe, and the area under its curve on the test texts.
fn write_units(path: &Path, weights: &[f64], areas: &[f64]) -> anyhow::Result<()> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    csv.write_record(["unit", "weight", "area"])?;
    for (unit, (weight, area)) in weights.iter().zip(areas).enumerate() {
        csv.write_record([unit.to_string(), format!("{weight:.6}"), format!("{area:.6}")])?;
    }
    Ok(write_atomic(path, &csv.into_inner()?)?)
}

/// A finished run as the figures take it.
#[derive(Debug)]
pub(crate) struct Singled {
    pub(crate) set: String,
    pub(crate) model: Model,
    pub(crate) predictions: Vec<Prediction>,
    /// Weights of the first round's probe, by unit.
    pub(crate) weights: Vec<f64>,
    /// Texts on the colours of the unit, with their labels.
    pub(crate) shown: Vec<(bool, Coloured)>,
    /// What the run ended with.
    record: RunRecord,
}

impl Singled {
    fn read((folder, record): &(PathBuf, RunRecord)) -> anyhow::Result<Self> {
        let RunConfig { model, .. } = RunConfig::deserialize(&record.config)?;
        let predictions = read_rows(&folder.join(PREDICTIONS))?;
        let units =
            csv::Reader::from_path(folder.join(UNITS))?.into_deserialize::<(usize, f64, f64)>();
        let weights = units.map(|row| Ok(row?.1)).collect::<anyhow::Result<_>>()?;
        let (set, record) = (record.key.data.clone(), record.clone());
        let shown = shown::read(folder)?;
        Ok(Self { set, model, predictions, weights, shown, record })
    }
}

/// The widest network's runs on each set.
fn widest(finished: &Finished) -> anyhow::Result<BTreeMap<String, Vec<Singled>>> {
    let mut by_set: BTreeMap<String, Vec<Singled>> = BTreeMap::new();
    for run in &finished.runs {
        let singled = Singled::read(run)?;
        by_set.entry(singled.set.clone()).or_default().push(singled);
    }
    for runs in by_set.values_mut() {
        let hidden = runs.iter().map(|r| r.model.hidden).max().context("a set has a run")?;
        runs.retain(|r| r.model.hidden == hidden);
        runs.sort_by_key(|r| r.model.seed);
    }
    Ok(by_set)
}

/// Accuracies of the widest network on each set, recomputed from the predictions.
///
/// # Errors
/// Files that cannot be read.
pub fn measure(finished: &Finished) -> anyhow::Result<Vec<Measured>> {
    let mut rows = Vec::new();
    for (set, runs) in widest(finished)? {
        let n = runs[0].predictions.len();
        let percent = |name: &str| -> Vec<f64> {
            runs.iter().map(|r| 100.0 * scores(&r.predictions)[name]).collect()
        };
        let (all, unit) = (percent("all/acc"), percent("unit/acc"));
        let mut row = |id: &str, estimate| rows.push(finished.measured(id, &set, estimate));
        if set == "imdb" {
            row("sn-11", mean_over_seeds(&unit, Scale::Natural)?.with_n(n));
        }
        if set == "sst" {
            let places = runs.iter().map(|r| r.record.ended_with("best_unit/rank"));
            let places = places.collect::<Result<Vec<_>, _>>()?;
            row("sn-23", mean_over_seeds(&places, Scale::Natural)?);
        }
        if DATASETS.contains(&set.as_str()) {
            let against = |left: &[f64]| paired_difference(left, &all);
            row(&format!("unit-minus-all-{set}"), against(&unit)?.with_n(n));
            let without = against(&percent("without_unit/acc"))?.with_n(n);
            row(&format!("without-unit-minus-all-{set}"), without);
        }
    }
    Ok(rows)
}

/// Figure 3 for each set: the unit's values by class, and the sizes of all units' weights; and texts coloured by it.
///
/// # Errors
/// Files that cannot be read.
pub fn figures(finished: &Finished) -> anyhow::Result<Drawings> {
    let draw = |(set, runs): (String, Vec<Singled>)| {
        let figure_3 = (format!("figure-3-{set}"), figures::single_unit::draw(&runs[0]));
        [figure_3, (format!("heatmap-{set}"), figures::single_unit::heatmap(&runs[0]))]
    };
    Ok(widest(finished)?.into_iter().flat_map(draw).collect())
}
