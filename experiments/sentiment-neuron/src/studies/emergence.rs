//! Ours: how far must prediction get before sentiment appears?
//!
//! At every station of every network of `language-model` the same three readers as in `probes` are fitted on one
//! labelled set, and set against the bits per byte that the network needs there. The training may still be going on:
//! the stations it has reached are read.

use std::collections::BTreeMap;
use std::path::PathBuf;

use common::data::text::shards::Part;
use common::experiment::{Drawings, Finished};
use common::session::{Plan, Session};
use common::training_run::{Spec, TrainingRun};
use ledger::claims::Measured;
use ledger::run::RunRecord;
use ledger::stats::{Scale, mean_over_seeds};
use serde::{Deserialize, Serialize};

use super::networks::{Learned, Model, Trained, load, look, only_row, planned_set, sets, trained};
use super::probes::{choices, scores};
use super::shards;
use crate::features::features;
use crate::figures;
use crate::readout::{areas, median, read_out};
use crate::train::bits_per_byte;

/// Its name.
pub const STUDY: &str = "emergence";
/// The published set, and one that every machine can have.
pub const DATASETS: [&str; 2] = ["sst", "rotten-tomatoes"];

/// `[emergence]` of a preset.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// Labelled sets; the first that can be had is read.
    pub sets: Vec<String>,
}

/// One run's configuration.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct RunConfig {
    model: Model,
    /// Of the labelled set.
    data_sha256: String,
    /// Training shards of the text that the network learned; its validation shard is read.
    shards: usize,
    text: Option<PathBuf>,
    /// Bytes of that shard.
    val_bytes: usize,
}

/// Reads every station that a network has reached.
///
/// # Errors
/// No network that has begun; sets that cannot be had; a run that fails.
pub fn run(session: &Session) -> anyhow::Result<()> {
    let preset = session.preset::<super::Preset>()?.emergence;
    let sets = sets(session, &preset.sets)?;
    let set = &sets[0];
    let mut plans = Vec::new();
    for Trained { model, learned } in trained(session, true)? {
        let Learned { shards, text, val_bytes, .. } = learned;
        let (variant, seed) = (format!("{}-after-{}", model.name(), model.updates), model.seed);
        let config = RunConfig { model, data_sha256: set.sha256.clone(), shards, text, val_bytes };
        plans.push(Plan {
            data: set.name.clone(),
            variant,
            seed,
            config: serde_json::to_value(config)?,
        });
    }
    look(session, STUDY, plans)
}

/// One station on the set, in a process of its own.
///
/// # Errors
/// Data or weights that cannot be read.
pub fn train(spec: &Spec, run: &mut TrainingRun) -> anyhow::Result<BTreeMap<String, f64>> {
    let RunConfig { model, data_sha256, shards: n, text, val_bytes } = spec.config()?;
    let set = planned_set(spec, &spec.key.data, &data_sha256)?;
    let neuron = load(spec, &model, run)?;
    let features = features(&neuron, &set.texts)?;
    let (predictions, fitted) = read_out(&set, &features)?;
    let mut ended = scores(&predictions);
    ended.extend(choices(&fitted));
    let test: Vec<usize> = set.rounds().into_iter().flat_map(|round| round.test).collect();
    let labels: Vec<bool> = test.iter().map(|&i| set.labels[i]).collect();
    ended.insert("median_unit/auc".to_owned(), median(&areas(&features.select(&test), &labels)));
    let val = shards(&model.data, text.as_deref(), n, spec)?.read(Part::Val)?;
    let bits = bits_per_byte(&neuron, &val, val_bytes, &run.autocast())?;
    ended.insert("val/bpb".to_owned(), bits);
    only_row(run, ended)
}

/// One station as read.
#[derive(Debug)]
pub(crate) struct Point {
    pub(crate) model: Model,
    pub(crate) bits: f64,
    /// Accuracies of probe, single unit and bag of n-grams, fractions.
    pub(crate) acc: [f64; 3],
    /// Areas under the curve of the best and of the median unit.
    pub(crate) auc: [f64; 2],
}

fn points(runs: &[(PathBuf, RunRecord)], set: &str) -> anyhow::Result<Vec<Point>> {
    let of_set = runs.iter().filter(|(_, record)| record.key.data == set);
    let mut points = Vec::new();
    for (_, record) in of_set {
        let RunConfig { model, .. } = RunConfig::deserialize(&record.config)?;
        let get = |name| record.ended_with(name);
        points.push(Point {
            model,
            bits: get("val/bpb")?,
            acc: [get("probe/acc")?, get("unit/acc")?, get("bag/acc")?],
            auc: [get("unit/auc")?, get("median_unit/auc")?],
        });
    }
    points.sort_by_key(|point| (point.model.hidden, point.model.seed, point.model.updates));
    Ok(points)
}

/// The best unit's area under the curve less the median unit's, at the end of the widest network.
///
/// # Errors
/// Files that cannot be read.
pub fn measure(finished: &Finished) -> anyhow::Result<Vec<Measured>> {
    let mut rows = Vec::new();
    for set in DATASETS {
        let points = points(&finished.runs, set)?;
        let last = points.iter().map(|p| (p.model.hidden, p.model.updates)).max();
        let at_end = points.iter().filter(|p| Some((p.model.hidden, p.model.updates)) == last);
        let gaps: Vec<f64> = at_end.map(|p| 100.0 * (p.auc[0] - p.auc[1])).collect();
        if !gaps.is_empty() {
            rows.push(finished.measured(
                "emergence-unit",
                set,
                mean_over_seeds(&gaps, Scale::Natural)?,
            ));
        }
    }
    Ok(rows)
}

/// Accuracy and area against bits per byte.
///
/// # Errors
/// Files that cannot be read.
pub fn figures(finished: &Finished) -> anyhow::Result<Drawings> {
    let mut drawings = Vec::new();
    for set in DATASETS {
        let points = points(&finished.runs, set)?;
        if !points.is_empty() {
            drawings.push((format!("emergence-{set}"), figures::emergence(set, &points)));
        }
    }
    Ok(drawings)
}
