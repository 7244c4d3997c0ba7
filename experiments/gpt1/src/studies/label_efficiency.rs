//! Ours: what pre-training is worth with few labels, and with many.

use std::collections::BTreeMap;

use common::experiment::{Drawings, Finished};
use common::session::Session;
use common::training_run::{Spec, TrainingRun};
use ledger::claims::Measured;
use ledger::stats::paired_difference;
use serde::Deserialize;

use super::scored::{Pairs, Scored, scored};
use super::tuning;
use super::tuning::{Taken, Tune, first_task, make, plan, starts};
use crate::figures;
use crate::finetune::Config;

/// Its name.
pub const STUDY: &str = "label-efficiency";
/// Numbers of labels that `claims.csv` has a row for.
const CLAIMED: [usize; 4] = [100, 300, 1000, 3000];

/// `[label-efficiency]` of a preset.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// Seeds, from 0; each draws its own labelled examples too.
    pub seeds: u64,
    /// Tasks; the first that can be had is taken.
    pub tasks: Vec<String>,
    /// Numbers of labelled examples.
    pub labels: Vec<usize>,
    /// Fewer labels than these are passed over more often, so that there are as many updates as with these.
    pub at_least: usize,
}

impl Preset {
    /// The passes over `labels` examples that make as many updates as those over `at_least`.
    fn epochs(&self, labels: usize, config: &Config) -> u64 {
        let factor = (self.at_least as f64 / labels as f64).max(1.0).ceil();
        config.epochs * factor as u64
    }
}

/// Makes every run that is not done yet.
///
/// # Errors
/// A model that is not trained; tasks that cannot be had; a run that fails.
pub fn run(session: &Session) -> anyhow::Result<()> {
    let super::Preset { label_efficiency: preset, tuning, .. } = session.preset()?;
    let data = first_task(&preset.tasks, &session.lookup)?;
    let start = starts(session)?.remove(0);
    let mut plans = Vec::new();
    for seed in session.seeds_or(preset.seeds) {
        for &labels in preset.labels.iter().filter(|labels| **labels <= data.train.len()) {
            for (word, taken) in [("pretrained", Taken::All), ("scratch", Taken::Nothing)] {
                let epochs = preset.epochs(labels, &tuning.config);
                let (start, config) = (start.clone(), Config { epochs, ..tuning.config.clone() });
                let tune = Tune { start, taken, labels: Some(labels), config };
                plans.push(plan(&data, &format!("{word}-{labels}"), seed, Some(tune)));
            }
        }
    }
    make(session, STUDY, plans)
}

/// One run, in a process of its own.
///
/// # Errors
/// As [`tuning::train`].
pub fn train(spec: &Spec, run: &mut TrainingRun) -> anyhow::Result<BTreeMap<String, f64>> {
    tuning::train(spec, run)
}

/// Scores with and without pre-training, by task and number of labels, paired by seed.
fn pairs(scored: &[Scored]) -> BTreeMap<(&'static str, usize), Pairs> {
    let mut pairs: BTreeMap<(&'static str, usize), Pairs> = BTreeMap::new();
    for run in scored {
        let Some(Tune { taken: Taken::All, labels: Some(labels), .. }) = run.tune else {
            continue;
        };
        let twin = scored.iter().find(|other| {
            other.task.name == run.task.name
                && other.seed == run.seed
                && other.variant == format!("scratch-{labels}")
        });
        if let Some(twin) = twin {
            let of = pairs.entry((run.task.name, labels)).or_default();
            of.left.push(run.score);
            of.right.push(twin.score);
        }
    }
    pairs
}

/// The gain of pre-training by number of labels.
///
/// # Errors
/// Files that cannot be read.
pub fn measure(finished: &Finished) -> anyhow::Result<Vec<Measured>> {
    let mut rows = Vec::new();
    for ((task, labels), pair) in pairs(&scored(finished)?) {
        if CLAIMED.contains(&labels) {
            let estimate = paired_difference(&pair.left, &pair.right)?;
            rows.push(finished.measured(&format!("gain-{labels}-labels"), task, estimate));
        }
    }
    Ok(rows)
}

/// Scores against the number of labels, with and without pre-training.
///
/// # Errors
/// Files that cannot be read.
pub fn figures(finished: &Finished) -> anyhow::Result<Drawings> {
    let pairs = pairs(&scored(finished)?);
    let mut tasks: Vec<&'static str> = pairs.keys().map(|(task, _)| *task).collect();
    tasks.dedup();
    let draw = |task: &'static str| {
        let of_task: Vec<_> = pairs
            .iter()
            .filter(|((name, _), _)| *name == task)
            .map(|((_, labels), pair)| (*labels, pair.clone()))
            .collect();
        (format!("labels-{task}"), figures::label_efficiency(task, &of_task))
    };
    Ok(tasks.into_iter().map(draw).collect())
}
