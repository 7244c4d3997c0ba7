//! Figure 2, right: what the language model knows of tasks without fine-tuning, at stations of its pre-training, the
//! LSTM beside it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::ensure;
use common::experiment::{Drawings, Finished};
use common::session::{Plan, Session};
use common::training_run::{Spec, TrainingRun};
use ledger::claims::Measured;
use ledger::run::RunRecord;
use ledger::stats::{Scale, mean_over_seeds};
use serde::{Deserialize, Serialize};

use super::scored::{read_predictions, write_predictions};
use super::tuning::{Start, load, make, stations, tasks};
use crate::tasks::Task;
use crate::{figures, weights, zero_shot};

/// Its name.
pub const STUDY: &str = "zero-shot";

/// `[zero-shot]` of a preset.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// Tasks; those that cannot be had are left out with a warning.
    pub tasks: Vec<String>,
}

/// One run's configuration.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct RunConfig {
    start: Start,
    task_sha256: String,
}

/// Judges every station on every task that is not done yet.
///
/// # Errors
/// A model that is not trained; tasks that cannot be had; a run that fails.
pub fn run(session: &Session) -> anyhow::Result<()> {
    let preset = session.preset::<super::Preset>()?.zero_shot;
    let tasks = tasks(&preset.tasks, &session.lookup)?;
    let mut plans = Vec::new();
    for start in stations(session, true)? {
        for data in &tasks {
            let config = RunConfig { start: start.clone(), task_sha256: data.sha256.clone() };
            plans.push(Plan {
                data: data.task.name.to_owned(),
                variant: format!("{}-step-{}", start.model, start.step.unwrap_or_default()),
                seed: start.seed.unwrap_or_default(),
                config: serde_json::to_value(config)?,
            });
        }
    }
    make(session, STUDY, plans)
}

/// One station on one task, in a process of its own.
///
/// # Errors
/// Data or weights that changed or cannot be read; a task without a heuristic.
pub fn train(spec: &Spec, run: &mut TrainingRun) -> anyhow::Result<BTreeMap<String, f64>> {
    let RunConfig { start, task_sha256 } = spec.config()?;
    let data = Task::get(&spec.key.data)?.read(&spec.lookup)?;
    ensure!(data.sha256 == task_sha256, "{}: the data changed", data.task.name);
    let (model, folder) = load(&start, spec, run.device())?;
    let tokenizer = weights::tokenizer(&folder, None)?;
    let found = zero_shot::predict(&model, &tokenizer, &data, &run.autocast())?;
    let Some(zero_shot::Found { predictions, cut }) = found else {
        anyhow::bail!("{}: the paper has no heuristic for this task", data.task.name);
    };
    let labels: Vec<f64> = data.test.iter().map(|example| example.label).collect();
    write_predictions(run.path(), &predictions, &labels)?;
    let score = data.task.metric.of(&predictions, &labels);
    run.start(&["test/score"])?;
    run.log(start.step.unwrap_or_default(), &[("test/score", score)])?;
    let ended =
        [("test/score", score), ("n_test", labels.len() as f64), ("sequences_cut", cut as f64)];
    Ok(ended.into_iter().map(|(name, x)| (name.to_owned(), x)).collect())
}

/// Chance and the best single model of the time, which are 0 and 1 of Figure 2.
///
/// Source: Radford et al. 2018, Tables 2 to 4, the best of the earlier systems.
fn scale(task: &str) -> Option<(f64, f64)> {
    Some(match task {
        "sst-2" => (50.0, 93.2),
        "cola" => (0.0, 35.0),
        "story-cloze" => (50.0, 77.6),
        "race" => (25.0, 53.3),
        _ => return None,
    })
}

/// A station's score on a task.
#[derive(Debug, Clone)]
pub(crate) struct Point {
    pub(crate) task: String,
    pub(crate) model: String,
    pub(crate) step: u64,
    /// From chance (0) to the best of the time (1); where that is not known, from chance to all right.
    pub(crate) relative: f64,
    n_test: usize,
}

fn points(finished: &Finished) -> anyhow::Result<Vec<Point>> {
    let read = |(folder, record): &(PathBuf, RunRecord)| {
        let RunConfig { start, .. } = RunConfig::deserialize(&record.config)?;
        let task = Task::get(&record.key.data)?;
        let (predictions, labels) = read_predictions(folder)?;
        let score = task.metric.of(&predictions, &labels);
        let (chance, best) = scale(task.name).unwrap_or((100.0 / task.classes as f64, 100.0));
        Ok(Point {
            task: task.name.to_owned(),
            model: start.model,
            step: start.step.unwrap_or_default(),
            relative: (score - chance) / (best - chance),
            n_test: labels.len(),
        })
    };
    finished.runs.iter().map(read).collect()
}

/// The transformer at the end of its pre-training, on the scale of Figure 2.
///
/// # Errors
/// Files that cannot be read.
pub fn measure(finished: &Finished) -> anyhow::Result<Vec<Measured>> {
    let points = points(finished)?;
    let mut rows = Vec::new();
    let transformer = || points.iter().filter(|point| point.model == "transformer");
    let Some(last) = transformer().map(|point| point.step).max() else { return Ok(rows) };
    for point in transformer().filter(|point| point.step == last) {
        let id = match point.task.as_str() {
            "sst-2" => "gpt1-f2-3".to_owned(),
            task => format!("zero-shot-{task}"),
        };
        let estimate = mean_over_seeds(&[point.relative], Scale::Natural)?.with_n(point.n_test);
        rows.push(finished.measured(&id, &point.task, estimate));
    }
    Ok(rows)
}

/// Relative scores against updates of pre-training.
///
/// # Errors
/// Files that cannot be read.
pub fn figures(finished: &Finished) -> anyhow::Result<Drawings> {
    Ok(vec![("figure-2-right".to_owned(), figures::zero_shot(&points(finished)?))])
}
