//! Section 4.4: does what the network writes turn positive or negative with the sentiment unit alone?
//!
//! The finished networks of `language-model` write reviews with the unit held on either side, with another unit held,
//! and with none. The judge is a bag of n-grams that learned labelled texts and has never seen the network; each number
//! of text is written in every condition with the same random numbers, so that differences are paired.
//!
//! Differs: the publication shows samples and measures nothing; it held the unit at values of its own network, ours are
//! in deviations of the unit over labelled texts.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use common::data::text::labelled::LabelledSet;
use common::experiment::{Drawings, Finished};
use common::linear::metrics::accuracy;
use common::linear::threshold::Threshold;
use common::nn::mlstm::FixedMlstm;
use common::rows::{read_rows, write_rows};
use common::session::{self, Session};
use common::training_run::{Spec, TrainingRun};
use ledger::claims::Measured;
use ledger::run::RunRecord;
use ledger::stats::{Estimate, paired_difference};
use serde::{Deserialize, Serialize};

use super::networks::{Model, load, look, networks, only_row, planned_set, sets};
use crate::clamping::{CONDITIONS, Condition, Judge, Plan, Written, judged, write};
use crate::figures;
use crate::model::Neuron;
use crate::readout::{Unit, areas};
use crate::single::choose_unit;
use crate::weights::ChosenUnit;

/// Its name.
pub const STUDY: &str = "clamping";
/// The published set, and one that every machine can have.
pub const DATASETS: [&str; 2] = ["sst", "rotten-tomatoes"];
/// The file of texts in a run's folder.
const TEXTS: &str = "texts.csv.gz";

/// `[clamping]` of a preset.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// Labelled sets to choose the unit on; the first that can be had.
    pub sets: Vec<String>,
    /// Labelled sets for the judge to learn; the first that can be had.
    pub judges: Vec<String>,
    /// Texts in each condition.
    pub texts: u64,
    /// Bytes of a text at the most.
    pub bytes: usize,
    /// How far from its threshold a unit is held, in deviations.
    pub deviations: f64,
    /// Of the draws.
    pub temperature: f64,
}

/// One run's configuration.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct RunConfig {
    model: Model,
    /// Of the labelled set that the unit is chosen on.
    data_sha256: String,
    judge: String,
    judge_sha256: String,
    #[serde(flatten)]
    plan: Plan,
}

/// Lets every finished network write.
///
/// # Errors
/// A network that is not trained; sets that cannot be had; a run that fails.
pub fn run(session: &Session) -> anyhow::Result<()> {
    let preset = session.preset::<super::Preset>()?.clamping;
    let Preset { texts, bytes, deviations, temperature, .. } = preset;
    ensure!(
        texts > 1 && bytes > 0 && deviations > 0.0 && temperature >= 0.0,
        "preset {}: clamping wants texts > 1, bytes > 0, deviations > 0 and temperature >= 0",
        session.preset
    );
    let (sets, judges) = (sets(session, &preset.sets)?, sets(session, &preset.judges)?);
    let (set, judge) = (&sets[0], &judges[0]);
    let mut plans = Vec::new();
    for (model, _) in networks(session)? {
        let (variant, seed) = (model.name(), model.seed);
        let config = RunConfig {
            model,
            data_sha256: set.sha256.clone(),
            judge: judge.name.clone(),
            judge_sha256: judge.sha256.clone(),
            plan: Plan { texts, bytes, deviations, temperature },
        };
        let config = serde_json::to_value(config)?;
        plans.push(session::Plan { data: set.name.clone(), variant, seed, config });
    }
    look(session, STUDY, plans)
}

/// One network, in a process of its own.
///
/// # Errors
/// Data or weights that cannot be read; a file that cannot be written.
pub fn train(spec: &Spec, run: &mut TrainingRun) -> anyhow::Result<BTreeMap<String, f64>> {
    let RunConfig { model, data_sha256, judge, judge_sha256, plan } = spec.config()?;
    let set = planned_set(spec, &spec.key.data, &data_sha256)?;
    let judge = Judge::new(&planned_set(spec, &judge, &judge_sha256)?)?;
    let neuron = load(spec, &model, run)?;
    let (unit, control) = units(&neuron, &set)?;
    let net = FixedMlstm::new(&neuron.net);
    let written = write(&net, &unit, &control, &judge, &plan, model.seed)?;
    write_rows(&run.path().join(TEXTS), &written)?;
    let mut ended = BTreeMap::from([
        ("unit/index".to_owned(), unit.index as f64),
        ("control/index".to_owned(), control.index as f64),
        ("judge/acc".to_owned(), judge.acc),
    ]);
    for condition in CONDITIONS {
        ended.insert(format!("{}/positive", name(condition)), share(&written, condition) / 100.0);
    }
    only_row(run, ended)
}

/// The sentiment unit of a network, and the one that stands in the middle of all others by its area under the curve:
/// both as the training part of `set` says.
fn units(neuron: &Neuron, set: &LabelledSet) -> anyhow::Result<(ChosenUnit, ChosenUnit)> {
    let (unit, train, ys) = choose_unit(neuron, set)?;
    let areas = areas(&train, &ys);
    let mut order: Vec<usize> = (0..train.d()).filter(|&j| j != unit.index).collect();
    order.sort_by(|&a, &b| areas[a].total_cmp(&areas[b]));
    let index = order.get(order.len() / 2).copied().context("a network has more than one unit")?;
    let threshold = Threshold::fit(&train.column(index), &ys)?;
    let train_acc = accuracy(&threshold.scores(&train.column(index)), &ys);
    let rank = order.len() / 2;
    let control = Unit { index, threshold, train_acc, rank };
    Ok((unit, ChosenUnit::new(&control, &train, &set.name)))
}

/// A condition as the run's numbers call it.
fn name(condition: Condition) -> &'static str {
    match condition {
        Condition::Free => "free",
        Condition::Positive => "positive",
        Condition::Negative => "negative",
        Condition::ControlPositive => "control_positive",
        Condition::ControlNegative => "control_negative",
    }
}

/// Texts of a condition that were judged positive, in per cent.
fn share(written: &[Written], condition: Condition) -> f64 {
    let judged = judged(written, condition);
    judged.iter().sum::<f64>() / judged.len().max(1) as f64
}

/// A finished run's texts.
#[derive(Debug)]
pub(crate) struct Texts {
    pub(crate) set: String,
    pub(crate) judge: String,
    pub(crate) model: Model,
    pub(crate) written: Vec<Written>,
}

impl Texts {
    fn read((folder, record): &(PathBuf, RunRecord)) -> anyhow::Result<Self> {
        let RunConfig { model, judge, .. } = RunConfig::deserialize(&record.config)?;
        let written = read_rows(&folder.join(TEXTS))?;
        Ok(Self { set: record.key.data.clone(), judge, model, written })
    }

    /// Texts judged positive in each condition, in per cent.
    pub(crate) fn shares(&self) -> [f64; 5] {
        CONDITIONS.map(|condition| share(&self.written, condition))
    }
}

/// How many points more of the widest network's texts are judged positive with a unit held on its positive side than
/// on its negative: of the sentiment unit, and of the control.
///
/// # Errors
/// Files that cannot be read.
pub fn measure(finished: &Finished) -> anyhow::Result<Vec<Measured>> {
    let texts = finished.runs.iter().map(Texts::read).collect::<anyhow::Result<Vec<_>>>()?;
    let mut rows = Vec::new();
    for set in DATASETS {
        let of_set = texts.iter().filter(|t| t.set == set);
        let Some(widest) = of_set.clone().map(|t| t.model.hidden).max() else { continue };
        let of_set: Vec<&Texts> = of_set.filter(|t| t.model.hidden == widest).collect();
        let all = |condition| -> Vec<f64> {
            of_set.iter().flat_map(|t| judged(&t.written, condition)).collect()
        };
        for (id, up, down) in [
            ("clamped-effect", Condition::Positive, Condition::Negative),
            ("clamped-control", Condition::ControlPositive, Condition::ControlNegative),
        ] {
            let (up, down) = (all(up), all(down));
            // Pairs are numbers of texts, over the network's seeds together.
            let effect = Estimate { n_seeds: of_set.len(), ..paired_difference(&up, &down)? };
            rows.push(finished.measured(id, set, effect.with_n(up.len())));
        }
    }
    Ok(rows)
}

/// Texts judged positive in each condition, for each width.
///
/// # Errors
/// Files that cannot be read.
pub fn figures(finished: &Finished) -> anyhow::Result<Drawings> {
    let texts = finished.runs.iter().map(Texts::read).collect::<anyhow::Result<Vec<_>>>()?;
    let mut drawings = Vec::new();
    for set in DATASETS {
        let of_set: Vec<&Texts> = texts.iter().filter(|t| t.set == set).collect();
        if !of_set.is_empty() {
            drawings.push((format!("clamping-{set}"), figures::clamping::draw(&of_set)));
        }
    }
    Ok(drawings)
}
