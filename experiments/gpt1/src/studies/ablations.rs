//! Table 5: without pre-training, without the auxiliary loss, and an LSTM in place of the transformer, each beside the
//! full model of `finetune` with the same seeds.

use std::collections::{BTreeMap, BTreeSet};

use common::experiment::{Drawings, Finished};
use common::session::{Plan, Session};
use common::training_run::{Spec, TrainingRun};
use ledger::claims::Measured;
use ledger::stats::{Scale, mean_over_seeds, paired_difference};

use super::finetune::{self, PRETRAINED, by_task};
use super::scored::{Scored, means, paired, scored};
use super::tuning;
use super::tuning::{Taken, Tune, make, plan, starts, tasks};
use crate::figures;
use crate::finetune::Config;

/// Its name.
pub const STUDY: &str = "ablations";
/// Variants: what is taken away.
const SCRATCH: &str = "no-pre-training";
const NO_AUX: &str = "no-auxiliary-loss";
const LSTM: &str = "lstm";

/// Makes every run that is not done yet.
///
/// # Errors
/// A model that is not trained; tasks that cannot be had; a run that fails.
pub fn run(session: &Session) -> anyhow::Result<()> {
    let super::Preset { ablations: preset, tuning, .. } = session.preset()?;
    let tasks = tasks(&preset.tasks, &session.lookup)?;
    let starts = starts(session)?;
    let lstm = starts.iter().find(|start| start.model == "lstm");
    if lstm.is_none() {
        tracing::warn!("no pre-trained LSTM is there: its row of Table 5 is left out");
    }
    let no_aux = Config { lm_weight: 0.0, ..tuning.config.clone() };
    let mut plans: Vec<Plan> = Vec::new();
    for seed in session.seeds_or(preset.seeds) {
        for data in &tasks {
            let mut add = |variant: &str, start: &tuning::Start, taken, config: &Config| {
                let (start, config) = (start.clone(), config.clone());
                let tune = Tune { start, taken, labels: None, config };
                plans.push(plan(data, variant, seed, Some(tune)));
            };
            // Only the pre-training is taken away; the paper does not say whether its auxiliary loss stayed.
            add(SCRATCH, &starts[0], Taken::Nothing, &tuning.config);
            add(NO_AUX, &starts[0], Taken::All, &no_aux);
            if let Some(lstm) = lstm {
                add(LSTM, lstm, Taken::All, &tuning.config);
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

/// A task's column in Table 5, as claims call it.
fn column(task: &str) -> Option<&'static str> {
    Some(match task {
        "cola" => "cola",
        "sst-2" => "sst2",
        "mrpc" => "mrpc",
        "sts-b" => "stsb",
        "qqp" => "qqp",
        "mnli-m" => "mnli",
        "qnli" => "qnli",
        "rte" => "rte",
        _ => return None,
    })
}

/// The runs of this study and the full ones of `finetune`.
fn all(finished: &Finished) -> anyhow::Result<Vec<Scored>> {
    let mut all = scored(finished)?;
    let full = scored(&finished.beside(finetune::STUDY)?)?;
    all.extend(full.into_iter().filter(|run| run.variant == PRETRAINED));
    Ok(all)
}

/// Table 5's cells that were run, and what each thing taken away costs, paired by seed.
///
/// # Errors
/// Files that cannot be read.
pub fn measure(finished: &Finished) -> anyhow::Result<Vec<Measured>> {
    let all = all(finished)?;
    let mut rows = Vec::new();
    for (letter, variant) in [("a", PRETRAINED), ("b", SCRATCH), ("c", NO_AUX), ("d", LSTM)] {
        for (task, runs) in by_task(&all, variant) {
            let Some(column) = column(task) else { continue };
            let scores: Vec<f64> = runs.iter().map(|run| run.score).collect();
            let estimate = mean_over_seeds(&scores, Scale::Natural)?.with_n(runs[0].n_test);
            let row = finished.measured(&format!("gpt1-t5{letter}-{column}"), task, estimate);
            let beside = format!("../{}/{task}", finetune::STUDY);
            let evidence = if variant == PRETRAINED { beside } else { row.evidence.clone() };
            rows.push(Measured { evidence, ..row });
        }
    }
    let of = |variant: &str| all.iter().filter(|run| run.variant == variant).collect::<Vec<_>>();
    let full = of(PRETRAINED);
    for (variant, gain, of_mean) in [
        (SCRATCH, "pre-training-gain", "gpt1-an-1"),
        (NO_AUX, "auxiliary-gain", "auxiliary-gain-mean"),
        (LSTM, "transformer-gain", "gpt1-an-2"),
    ] {
        let pairs = paired(&full, &of(variant));
        for (task, pair) in &pairs {
            let estimate = paired_difference(&pair.left, &pair.right)?;
            rows.push(finished.measured(&format!("{gain}-{task}"), task, estimate));
        }
        let mean = means(&pairs);
        if !mean.left.is_empty() {
            let data = pairs.keys().copied().collect::<Vec<_>>().join("+");
            let row =
                finished.measured(of_mean, &data, paired_difference(&mean.left, &mean.right)?);
            // The mean lies in no one folder.
            rows.push(Measured { evidence: ".".to_owned(), ..row });
        }
    }
    Ok(rows)
}

/// Table 5 as bars, of the tasks from which something was taken away.
///
/// # Errors
/// Files that cannot be read.
pub fn figures(finished: &Finished) -> anyhow::Result<Drawings> {
    let mut all = all(finished)?;
    let ablated: BTreeSet<&str> =
        all.iter().filter(|run| run.variant != PRETRAINED).map(|run| run.task.name).collect();
    all.retain(|run| ablated.contains(run.task.name));
    let labels = [
        (PRETRAINED, "full"),
        (SCRATCH, "no pre-training"),
        (NO_AUX, "no auxiliary loss"),
        (LSTM, "LSTM"),
    ];
    let drawing = figures::scores("Table 5: what each part is worth", &all, &labels);
    Ok(vec![("table-5".to_owned(), drawing)])
}
