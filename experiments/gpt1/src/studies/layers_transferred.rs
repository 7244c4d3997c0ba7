//! Figure 2, left: fine-tuning from the embeddings and the first so many blocks only.

use std::collections::BTreeMap;

use common::experiment::{Drawings, Finished};
use common::session::Session;
use common::training_run::{Spec, TrainingRun};
use ledger::claims::Measured;
use ledger::stats::{Scale, mean_over_seeds, paired_difference};
use tch::Device;

use super::scored::{Scored, paired, scored};
use super::tuning;
use super::tuning::{Taken, Tune, load, make, plan, starts, tasks};
use crate::{GPT1, figures};

/// Its name.
pub const STUDY: &str = "layers-transferred";

/// Makes every run that is not done yet: nothing taken over, the embeddings, and each number of blocks.
///
/// # Errors
/// A model that is not trained; tasks that cannot be had; a run that fails.
pub fn run(session: &Session) -> anyhow::Result<()> {
    let super::Preset { layers_transferred: preset, tuning, .. } = session.preset()?;
    let tasks = tasks(&preset.tasks, &session.lookup)?;
    let start = starts(session)?.remove(0);
    let any = plan(&tasks[0], "", 0, None);
    let (model, _) = load(&start, &session.spec(GPT1.study(STUDY)?, any, 1), Device::Cpu)?;
    let mut variants = vec![("nothing".to_owned(), Taken::Nothing)];
    let layers = 0..=model.shape().n_layers();
    variants.extend(layers.map(|n| (format!("layers-{n}"), Taken::Layers(n))));
    let mut plans = Vec::new();
    for seed in session.seeds_or(preset.seeds) {
        for data in &tasks {
            for (variant, taken) in &variants {
                let (start, config) = (start.clone(), tuning.config.clone());
                let tune = Tune { start, taken: *taken, labels: None, config };
                plans.push(plan(data, variant, seed, Some(tune)));
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

/// How many blocks a run takes over; -1: not even the embeddings.
fn layers(run: &Scored) -> Option<i64> {
    match run.tune.as_ref()?.taken {
        Taken::Layers(n) => Some(n),
        Taken::Nothing => Some(-1),
        Taken::All => None,
    }
}

/// What all blocks gain over none, and the embeddings over nothing, paired by seed.
///
/// # Errors
/// Files that cannot be read.
pub fn measure(finished: &Finished) -> anyhow::Result<Vec<Measured>> {
    let scored = scored(finished)?;
    let of = |n: i64| scored.iter().filter(|run| layers(run) == Some(n)).collect::<Vec<_>>();
    let Some(most) = scored.iter().filter_map(layers).max() else { return Ok(Vec::new()) };
    let mut rows = Vec::new();
    for (task, pair) in paired(&of(most), &of(0)) {
        let id = if task == "race" { "layers-gain-race" } else { "gpt1-f2-1" };
        rows.push(finished.measured(id, task, paired_difference(&pair.left, &pair.right)?));
        if task == "race" {
            let estimate = mean_over_seeds(&pair.left, Scale::Natural)?;
            rows.push(finished.measured("gpt1-f2-2", task, estimate));
        }
    }
    for (task, pair) in paired(&of(0), &of(-1)) {
        let estimate = paired_difference(&pair.left, &pair.right)?;
        rows.push(finished.measured("embeddings-gain", task, estimate));
    }
    Ok(rows)
}

/// Scores against the number of blocks taken over.
///
/// # Errors
/// Files that cannot be read.
pub fn figures(finished: &Finished) -> anyhow::Result<Drawings> {
    let scored = scored(finished)?;
    let mut by_task: BTreeMap<&'static str, BTreeMap<i64, Vec<f64>>> = BTreeMap::new();
    for run in &scored {
        if let Some(n) = layers(run) {
            by_task.entry(run.task.name).or_default().entry(n).or_default().push(run.score);
        }
    }
    Ok(vec![("figure-2-left".to_owned(), figures::layers_transferred(&by_task))])
}
