//! Test predictions on disk, and scores computed again from them: what is measured and drawn of fine-tuned models.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::ensure;
use common::experiment::Finished;
use common::rows::{read_rows, rounded, write_rows};
use ledger::run::RunRecord;
use serde::{Deserialize, Serialize};

use super::tuning::{RunConfig, Tune};
use crate::tasks::{Metric, Task};

/// The file of predictions in a run's folder.
const PREDICTIONS: &str = "predictions.csv.gz";

/// One test example.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Predicted {
    /// Index in the test part.
    index: usize,
    /// Its class, or its number.
    label: f64,
    #[serde(serialize_with = "rounded")]
    prediction: f64,
}

/// Writes predictions and labels of the test part to a run's folder.
///
/// # Errors
/// A file that cannot be written.
pub(crate) fn write_predictions(
    folder: &Path,
    predictions: &[f64],
    labels: &[f64],
) -> anyhow::Result<()> {
    let rows = predictions.iter().zip(labels).enumerate();
    let rows = rows.map(|(index, (&prediction, &label))| Predicted { index, label, prediction });
    write_rows(&folder.join(PREDICTIONS), &rows.collect::<Vec<_>>())
}

/// What [`write_predictions`] wrote: predictions and labels.
///
/// # Errors
/// A file that cannot be read or has none.
pub(crate) fn read_predictions(folder: &Path) -> anyhow::Result<(Vec<f64>, Vec<f64>)> {
    let path = folder.join(PREDICTIONS);
    let rows: Vec<Predicted> = read_rows(&path)?;
    ensure!(!rows.is_empty(), "{}: no predictions", path.display());
    Ok(rows.into_iter().map(|row| (row.prediction, row.label)).unzip())
}

/// A finished run's score, computed again from its predictions.
#[derive(Debug, Clone)]
pub(crate) struct Scored {
    pub(crate) task: &'static Task,
    pub(crate) variant: String,
    pub(crate) seed: u64,
    /// Times 100.
    pub(crate) score: f64,
    pub(crate) n_test: usize,
    pub(crate) tune: Option<Tune>,
}

/// The scores of all finished runs of a study.
///
/// # Errors
/// Files that cannot be read.
pub(crate) fn scored(finished: &Finished) -> anyhow::Result<Vec<Scored>> {
    let read = |(folder, record): &(PathBuf, RunRecord)| {
        let task = Task::get(&record.key.data)?;
        let (predictions, labels) = read_predictions(folder)?;
        Ok(Scored {
            task,
            variant: record.key.variant.clone(),
            seed: record.key.seed,
            score: task.metric.of(&predictions, &labels),
            n_test: labels.len(),
            tune: RunConfig::deserialize(&record.config)?.tune,
        })
    };
    finished.runs.iter().map(read).collect()
}

/// Scores of two variants, one pair a seed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pairs {
    pub(crate) left: Vec<f64>,
    pub(crate) right: Vec<f64>,
}

/// Pairs of scores with the same task and seed: of `left`, of `right`.
pub(crate) fn paired(left: &[&Scored], right: &[&Scored]) -> BTreeMap<&'static str, Pairs> {
    let mut pairs: BTreeMap<&'static str, Pairs> = BTreeMap::new();
    for a in left {
        let twin = right.iter().find(|b| b.task.name == a.task.name && b.seed == a.seed);
        if let Some(b) = twin {
            let of_task = pairs.entry(a.task.name).or_default();
            of_task.left.push(a.score);
            of_task.right.push(b.score);
        }
    }
    pairs
}

/// Means over tasks, for the seeds that every task has: one pair a seed.
pub(crate) fn means(pairs: &BTreeMap<&'static str, Pairs>) -> Pairs {
    let seeds = pairs.values().map(|pair| pair.left.len()).min().unwrap_or_default();
    let mean = |of: fn(&Pairs) -> &Vec<f64>, seed: usize| -> f64 {
        pairs.values().map(|pair| of(pair)[seed]).sum::<f64>() / pairs.len() as f64
    };
    Pairs {
        left: (0..seeds).map(|seed| mean(|pair| &pair.left, seed)).collect(),
        right: (0..seeds).map(|seed| mean(|pair| &pair.right, seed)).collect(),
    }
}

/// What a task's score is called on an axis.
pub(crate) fn unit(metric: Metric) -> &'static str {
    match metric {
        Metric::Accuracy => "accuracy (%)",
        Metric::Matthews => "Matthews correlation × 100",
        Metric::F1 => "F1 (%)",
        Metric::Pearson => "Pearson correlation × 100",
    }
}
