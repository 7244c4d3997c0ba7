//! Tables 2 to 4: the pre-trained transformer fine-tuned on each task, a bag of words beside it.

use std::collections::BTreeMap;

use common::experiment::{Drawings, Finished};
use common::session::{Plan, Session};
use common::training_run::{Spec, TrainingRun};
use ledger::claims::Measured;
use ledger::stats::{Scale, mean_over_seeds};
use serde::Deserialize;

use super::scored::{Scored, scored};
use super::tuning;
use super::tuning::{Taken, Tune, make, plan, starts, tasks};
use crate::{bag, figures};

/// Its name.
pub const STUDY: &str = "finetune";
/// The sets of tasks that the catalogue has.
pub const DATASETS: [&str; 7] =
    ["sst", "cola", "mrpc", "sts-b", "rte", "story-cloze", "rotten-tomatoes"];
/// The variant of the transformer.
pub(crate) const PRETRAINED: &str = "pretrained";
/// The variant of the baseline.
pub(crate) const BAG: &str = "bag-of-words";

/// `[finetune]` of a preset.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// Seeds, from 0.
    pub seeds: u64,
    /// Tasks; those that cannot be had are left out with a warning.
    pub tasks: Vec<String>,
}

/// Fine-tunes on every task that is not done yet.
///
/// # Errors
/// A model that is not trained; tasks that cannot be had; a run that fails.
pub fn run(session: &Session) -> anyhow::Result<()> {
    let super::Preset { finetune: preset, tuning, .. } = session.preset()?;
    let tasks = tasks(&preset.tasks, &session.lookup)?;
    let start = starts(session)?.remove(0);
    let mut plans: Vec<Plan> = Vec::new();
    for seed in session.seeds_or(preset.seeds) {
        for data in &tasks {
            let (start, config) = (start.clone(), tuning.config.clone());
            let tune = Tune { start, taken: Taken::All, labels: None, config };
            plans.push(plan(data, PRETRAINED, seed, Some(tune)));
        }
    }
    for data in tasks.iter().filter(|data| bag::can_do(data.task)) {
        plans.push(plan(data, BAG, 0, None)); // no randomness in it
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

/// The claim of Tables 2 to 4 about a task.
fn claim(task: &str) -> Option<&'static str> {
    Some(match task {
        "mnli-m" => "gpt1-t2-1",
        "mnli-mm" => "gpt1-t2-2",
        "snli" => "gpt1-t2-3",
        "scitail" => "gpt1-t2-4",
        "qnli" => "gpt1-t2-5",
        "rte" => "gpt1-t2-6",
        "story-cloze" => "gpt1-t3-1",
        "race" => "gpt1-t3-4",
        "cola" => "gpt1-t4-1",
        "sst-2" => "gpt1-t4-2",
        "mrpc" => "gpt1-t4-3",
        "sts-b" => "gpt1-t4-4",
        "qqp" => "gpt1-t4-5",
        _ => return None,
    })
}

/// Scores by task, and how far they are above the baseline's.
///
/// # Errors
/// Files that cannot be read.
pub fn measure(finished: &Finished) -> anyhow::Result<Vec<Measured>> {
    let scored = scored(finished)?;
    let mut rows = Vec::new();
    for (task, runs) in by_task(&scored, PRETRAINED) {
        let scores: Vec<f64> = runs.iter().map(|run| run.score).collect();
        let n = runs[0].n_test;
        if let Some(id) = claim(task) {
            let estimate = mean_over_seeds(&scores, Scale::Natural)?.with_n(n);
            rows.push(finished.measured(id, task, estimate));
        }
        let baseline = scored.iter().find(|run| run.variant == BAG && run.task.name == task);
        if let Some(bag) = baseline {
            let gains: Vec<f64> = scores.iter().map(|score| score - bag.score).collect();
            let estimate = mean_over_seeds(&gains, Scale::Natural)?.with_n(n);
            rows.push(finished.measured(&format!("over-bag-{task}"), task, estimate));
        }
    }
    Ok(rows)
}

/// The runs of a variant by task, in the order of the tasks.
pub(crate) fn by_task<'a>(
    scored: &'a [Scored],
    variant: &str,
) -> Vec<(&'static str, Vec<&'a Scored>)> {
    let of = |task: &'static crate::tasks::Task| {
        let runs: Vec<&Scored> = scored
            .iter()
            .filter(|run| run.task.name == task.name && run.variant == variant)
            .collect();
        (!runs.is_empty()).then_some((task.name, runs))
    };
    crate::tasks::TASKS.iter().filter_map(of).collect()
}

/// Scores of the fine-tuned model and the baseline by task.
///
/// # Errors
/// Files that cannot be read.
pub fn figures(finished: &Finished) -> anyhow::Result<Drawings> {
    let scored = scored(finished)?;
    let labels = [(PRETRAINED, "pre-trained transformer"), (BAG, "bag of words")];
    Ok(vec![("scores".to_owned(), figures::scores("Fine-tuned on each task", &scored, &labels))])
}
