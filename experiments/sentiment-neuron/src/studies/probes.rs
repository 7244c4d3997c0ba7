//! Tables 2 and 4: what a linear probe, the best single unit and a bag of n-grams know of each labelled
//! set.
//!
//! Features come from the finished networks of `language-model` with the same preset. All three readers are fitted on
//! the training part and chosen on the validation part; each test text is predicted once.

use std::collections::BTreeMap;

use common::experiment::{Drawings, Finished};
use common::linear::metrics::{accuracy, auc};
use common::rows::{read_rows, write_rows};
use common::session::{Plan, Session};
use common::training_run::{Spec, TrainingRun};
use ledger::claims::Measured;
use ledger::run::RunRecord;
use ledger::stats::{Scale, mean_over_seeds};
use serde::{Deserialize, Serialize};

use super::networks::{Model, load, look, networks, only_row, planned_set, sets};
use crate::features::features;
use crate::figures;
use crate::readout::{Fitted, Prediction, read_out};

/// Its name.
pub const STUDY: &str = "probes";
/// The sets of the publication, and two that every machine can have.
pub const DATASETS: [&str; 8] =
    ["sst", "mr", "cr", "subj", "mpqa", "imdb", "rotten-tomatoes", "human-sentiment"];
/// The file of predictions in a run's folder.
const PREDICTIONS: &str = "predictions.csv.gz";

/// `[probes]` of a preset.
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
}

/// Reads out every finished network on every set.
///
/// # Errors
/// A network that is not trained; sets that cannot be had; a run that fails.
pub fn run(session: &Session) -> anyhow::Result<()> {
    let preset = session.preset::<super::Preset>()?.probes;
    let sets = sets(session, &preset.sets)?;
    let mut plans = Vec::new();
    for (model, _) in networks(session)? {
        for set in &sets {
            let config = RunConfig { model: model.clone(), data_sha256: set.sha256.clone() };
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
    let RunConfig { model, data_sha256 } = spec.config()?;
    let set = planned_set(spec, &spec.key.data, &data_sha256)?;
    let neuron = load(spec, &model, run)?;
    let features = features(&neuron, &set.texts)?;
    let (predictions, fitted) = read_out(&set, &features)?;
    write_rows(&run.path().join(PREDICTIONS), &predictions)?;
    let mut ended = scores(&predictions);
    ended.extend(choices(&fitted));
    only_row(run, ended)
}

/// How well each reader does on the test texts.
pub(crate) fn scores(predictions: &[Prediction]) -> BTreeMap<String, f64> {
    let labels: Vec<bool> = predictions.iter().map(|p| p.label).collect();
    let mut ended = BTreeMap::new();
    for (name, reader) in ["probe", "unit", "bag"].into_iter().zip(0..) {
        let score = |p: &Prediction| [p.probe, p.unit, p.bag][reader];
        let scores: Vec<f64> = predictions.iter().map(score).collect();
        ended.insert(format!("{name}/acc"), accuracy(&scores, &labels));
        ended.insert(format!("{name}/auc"), auc(&scores, &labels));
    }
    ended.insert("n".to_owned(), labels.len() as f64);
    ended
}

/// What was chosen, the mean over rounds.
pub(super) fn choices(fitted: &[Fitted]) -> BTreeMap<String, f64> {
    let mean =
        |of: &dyn Fn(&Fitted) -> f64| fitted.iter().map(of).sum::<f64>() / fitted.len() as f64;
    BTreeMap::from([
        ("probe/val_acc".to_owned(), mean(&|f| f.probe.val_acc)),
        ("probe/nonzeros".to_owned(), mean(&|f| f.probe.linear.nonzeros() as f64)),
        ("unit/rank".to_owned(), mean(&|f| f.unit.rank as f64)),
        ("unit/train_acc".to_owned(), mean(&|f| f.unit.train_acc)),
        ("unit/index".to_owned(), fitted[0].unit.index as f64),
    ])
}

/// A finished run's predictions.
#[derive(Debug)]
pub(crate) struct Readout {
    pub(crate) set: String,
    pub(crate) model: Model,
    pub(crate) predictions: Vec<Prediction>,
}

fn readouts(finished: &Finished) -> anyhow::Result<Vec<Readout>> {
    let read = |(folder, record): &(std::path::PathBuf, RunRecord)| {
        let RunConfig { model, .. } = RunConfig::deserialize(&record.config)?;
        let predictions = read_rows(&folder.join(PREDICTIONS))?;
        Ok(Readout { set: record.key.data.clone(), model, predictions })
    };
    finished.runs.iter().map(read).collect()
}

/// Accuracies of the widest network on each set, recomputed from the predictions.
///
/// # Errors
/// Files that cannot be read.
pub fn measure(finished: &Finished) -> anyhow::Result<Vec<Measured>> {
    let readouts = readouts(finished)?;
    let mut rows = Vec::new();
    for set in DATASETS {
        let of_set: Vec<&Readout> = readouts.iter().filter(|r| r.set == set).collect();
        let Some(widest) = of_set.iter().map(|r| r.model.hidden).max() else { continue };
        let of_set: Vec<&&Readout> = of_set.iter().filter(|r| r.model.hidden == widest).collect();
        let n = of_set[0].predictions.len();
        let percent = |name: &str| -> Vec<f64> {
            of_set.iter().map(|r| 100.0 * scores(&r.predictions)[name]).collect()
        };
        let mut row = |id: &str, values: &[f64]| -> anyhow::Result<()> {
            rows.push(finished.measured(
                id,
                set,
                mean_over_seeds(values, Scale::Natural)?.with_n(n),
            ));
            Ok(())
        };
        let probe = percent("probe/acc");
        let published = match set {
            "sst" => Some("sn-02"),
            "mr" => Some("sn-07"),
            "cr" => Some("sn-08"),
            "subj" => Some("sn-09"),
            "mpqa" => Some("sn-10"),
            "imdb" => Some("sn-12"),
            _ => None,
        };
        if let Some(id) = published {
            row(id, &probe)?;
        }
        let bag = percent("bag/acc");
        let gains: Vec<f64> = probe.iter().zip(&bag).map(|(probe, bag)| probe - bag).collect();
        row(&format!("probe-minus-bag-{set}"), &gains)?;
        row(&format!("unit-auc-{set}"), &percent("unit/auc"))?;
    }
    Ok(rows)
}

/// Accuracy of each reader on each set.
///
/// # Errors
/// Files that cannot be read.
pub fn figures(finished: &Finished) -> anyhow::Result<Drawings> {
    Ok(vec![("readers".to_owned(), figures::readers(&readouts(finished)?))])
}
