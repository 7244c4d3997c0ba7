//! Section 4.2's other tasks: SST with five grades, paraphrases, relatedness, and Yelp's reviews with all their labels.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use common::experiment::{Drawings, Finished};
use common::rows::{read_rows, write_rows};
use common::session::{Plan, Session};
use common::training_run::{Spec, TrainingRun};
use ledger::claims::Measured;
use ledger::stats::{Scale, mean_over_seeds};
use serde::{Deserialize, Serialize};

use super::networks::{Model, load, look, networks, only_row};
use crate::figures;
use crate::sentences::{NAMES, answer_of, features, read, read_out, score};

/// Its name.
pub const STUDY: &str = "sentence-tasks";
/// The sets in the catalogue; the others are the user's own.
pub const DATASETS: [&str; 2] = ["sst-5", "mrpc"];
/// The file of predictions in a run's folder.
const PREDICTIONS: &str = "predictions.csv.gz";

/// `[sentence-tasks]` of a preset.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// Tasks; those that are not at hand are left out.
    pub tasks: Vec<String>,
}

/// One run's configuration.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct RunConfig {
    model: Model,
    /// Of the task's files.
    data_sha256: String,
}

/// Reads out every finished network on every task that is at hand.
///
/// # Errors
/// No network that is trained; damaged files; a run that fails.
pub fn run(session: &Session) -> anyhow::Result<()> {
    let preset = session.preset::<super::Preset>()?.sentence_tasks;
    let mut tasks = Vec::new();
    for name in &preset.tasks {
        if let Some(task) = read(name, &session.lookup)? {
            tasks.push((task.name, task.sha256));
        } else {
            tracing::info!(
                "left out: {name} is not at hand; the experiment's README says where it is looked for"
            );
        }
    }
    let mut plans = Vec::new();
    for (model, _) in networks(session)? {
        for (name, sha256) in &tasks {
            let config = RunConfig { model: model.clone(), data_sha256: sha256.clone() };
            plans.push(Plan {
                data: (*name).to_owned(),
                variant: model.name(),
                seed: model.seed,
                config: serde_json::to_value(config)?,
            });
        }
    }
    look(session, STUDY, plans)
}

/// One network on one task, in a process of its own.
///
/// # Errors
/// Data or weights that cannot be read; a file that cannot be written.
pub fn train(spec: &Spec, run: &mut TrainingRun) -> anyhow::Result<BTreeMap<String, f64>> {
    let RunConfig { model, data_sha256 } = spec.config()?;
    let name = &spec.key.data;
    let task = read(name, &spec.lookup)?;
    let task =
        task.with_context(|| format!("{name}: not where it was when the run was planned"))?;
    ensure!(task.sha256 == data_sha256, "{name}: the data changed since the run was planned");
    let neuron = load(spec, &model, run)?;
    let predictions = read_out(&task, &features(&neuron, &task)?)?;
    write_rows(&run.path().join(PREDICTIONS), &predictions)?;
    let ended = BTreeMap::from([
        ("probe/score".to_owned(), score(task.answer, &predictions, |p| p.probe)),
        ("bag/score".to_owned(), score(task.answer, &predictions, |p| p.bag)),
        ("n".to_owned(), predictions.len() as f64),
    ]);
    only_row(run, ended)
}

/// Scores of the widest network on one task, over seeds.
#[derive(Debug)]
pub(crate) struct Scores {
    pub(crate) task: &'static str,
    pub(crate) hidden: i64,
    /// Test examples.
    pub(crate) n: usize,
    pub(crate) probe: Vec<f64>,
    pub(crate) bag: Vec<f64>,
}

fn widest(finished: &Finished) -> anyhow::Result<Vec<Scores>> {
    let mut all: Vec<Scores> = Vec::new();
    for task in NAMES {
        for (folder, record) in finished.runs.iter().filter(|(_, record)| record.key.data == task) {
            let RunConfig { model, .. } = RunConfig::deserialize(&record.config)?;
            let predictions = read_rows(&folder.join(PREDICTIONS))?;
            let of = |reader| score(answer_of(task), &predictions, reader);
            let (probe, bag) = (of(|p| p.probe), of(|p| p.bag));
            let (hidden, n) = (model.hidden, predictions.len());
            match all.last_mut().filter(|last| last.task == task) {
                Some(last) if last.hidden == hidden => {
                    last.probe.push(probe);
                    last.bag.push(bag);
                }
                Some(last) if last.hidden > hidden => {}
                Some(last) => {
                    *last = Scores { task, hidden, n, probe: vec![probe], bag: vec![bag] }
                }
                None => all.push(Scores { task, hidden, n, probe: vec![probe], bag: vec![bag] }),
            }
        }
    }
    Ok(all)
}

/// Scores of the widest network, recomputed from the predictions.
///
/// # Errors
/// Files that cannot be read.
pub fn measure(finished: &Finished) -> anyhow::Result<Vec<Measured>> {
    let mut rows = Vec::new();
    for Scores { task, n, probe, bag, .. } in widest(finished)? {
        let id = match task {
            "sst-5" => "sn-25",
            "msrp" => "sn-18",
            "sick" => "sn-17",
            _ => "sn-16",
        };
        let gains: Vec<f64> = probe.iter().zip(&bag).map(|(probe, bag)| probe - bag).collect();
        for (id, values) in [(id, &probe), (&format!("probe-minus-bag-{task}"), &gains)] {
            let estimate = mean_over_seeds(values, Scale::Natural)?.with_n(n);
            rows.push(finished.measured(id, task, estimate));
        }
    }
    Ok(rows)
}

/// Scores of units and words on each task.
///
/// # Errors
/// Files that cannot be read.
pub fn figures(finished: &Finished) -> anyhow::Result<Drawings> {
    let scores = widest(finished)?;
    if scores.is_empty() {
        return Ok(Vec::new());
    }
    Ok(vec![("sentence-tasks".to_owned(), figures::sentence_tasks(&scores))])
}
