//! Ouyang et al. 2022: supervised fine-tuning, reward model and PPO on judged answers, with and without pre-training
//! text mixed in; what it costs the language model on books, and who wins by a judge held out.

use common::data::error::DataError;
use common::experiment::{Drawings, Finished};
use common::rows::read_rows;
use common::session::Session;
use ledger::claims::Measured;
use ledger::stats::{Scale, mean_over_seeds, paired_difference};

use super::pipeline::{Pipeline, make, need, weights_of};
use super::sentiment::traces;
use super::{by_seed, data_of, paired};
use crate::figures;
use crate::stages::texts::Texts;
use crate::stages::{Kind, Labels, SAMPLES, Sampling, Task};
use crate::train_policy::{Config, Sample};

/// Its name.
pub const STUDY: &str = "instruct";
/// What it can learn from, best first.
pub const DATASETS: [&str; 2] = ["hh-rlhf-harmless-test", "human-sentiment"];

/// The first set of judged answers that can be had.
fn first_available(pipeline: &Pipeline) -> anyhow::Result<(Task, Texts)> {
    let preset = &pipeline.preset.instruct;
    let mut last = None;
    for set in &preset.sets {
        let task = Task { set: set.clone(), ..preset.task.clone() };
        match Texts::read(&task, &pipeline.session().lookup) {
            Ok(texts) => return Ok((task, texts)),
            Err(error) => match error.downcast_ref::<DataError>() {
                Some(DataError::Unavailable { .. }) => {
                    tracing::warn!("{set} is left out: {error}");
                    last = Some(error);
                }
                _ => return Err(error),
            },
        }
    }
    Err(last.unwrap_or_else(|| anyhow::anyhow!("instruct.sets: the preset names no set")))
}

/// Makes every run that is not done yet.
///
/// # Errors
/// A base or data that cannot be had; a run that fails.
pub fn run(session: &Session) -> anyhow::Result<()> {
    let pipeline = Pipeline::open(session)?;
    let preset = pipeline.preset.instruct.clone();
    let (task, texts) = first_available(&pipeline)?;
    let kind = Kind::Finetune { task: task.clone(), train: preset.sft.clone() };
    let sft = pipeline.wanted(&texts, "sft", 0, &pipeline.base, kind);
    let made = need(session, STUDY, vec![sft])?;
    let start = weights_of(session, "the base fine-tuned on preferred answers", &made[0])?;
    let layers = i64::MAX; // all blocks
    let reward = |variant: &str, seed: u64, held_out: bool| {
        let kind = Kind::Reward {
            task: task.clone(),
            labels: Labels { held_out, ..preset.labels.clone() },
            layers,
            sampling: Sampling::of(&preset.train),
            train: preset.reward.clone(),
        };
        pipeline.wanted(&texts, variant, seed, &start, kind)
    };
    let seeds = pipeline.session().seeds_or(preset.seeds);
    let mut first: Vec<_> = seeds.iter().map(|seed| reward("reward", *seed, false)).collect();
    first.push(reward("judge", 1000, true));
    let made = make(session, STUDY, first)?;
    let books = pipeline.preset.base.books.clone();
    let shelf = books.shelf(None, &session.lookup)?;
    let sha256 = books.corpus(&shelf, &session.lookup)?.sha256;
    let books = (books, sha256);
    let judge = weights_of(session, "a judge of comparisons held out", &made[seeds.len()])?;
    let mut second = Vec::new();
    for (seed, spec) in seeds.iter().zip(&made) {
        let reward = weights_of(session, "a reward model of judged answers", spec)?;
        for variant in ["ppo", "ppo-ptx"] {
            let mut train: Config = preset.train.clone();
            if variant == "ppo" {
                train.ptx = None;
            }
            let kind = Kind::Policy {
                task: task.clone(),
                reward: reward.clone(),
                gold: Some(judge.clone()),
                books: Some(books.clone()),
                train,
                publish: false,
            };
            second.push(pipeline.wanted(&texts, variant, *seed, &start, kind));
        }
    }
    make(session, STUDY, second)?;
    Ok(())
}

/// The alignment tax with and without pre-training text, win rates by the judge, the reward model's accuracy.
///
/// # Errors
/// Files that cannot be read.
pub fn measure(finished: &Finished) -> anyhow::Result<Vec<Measured>> {
    let mut rows = Vec::new();
    for data in data_of(finished) {
        let of = |variant: &str, name: &str| by_seed(finished, &data, variant, name);
        let percent = |found: Vec<(u64, f64)>| -> Vec<f64> {
            found.into_iter().map(|(_, x)| 100.0 * x).collect()
        };
        let mut add = |id: &str, values: &[f64]| -> anyhow::Result<()> {
            if !values.is_empty() {
                let estimate = mean_over_seeds(values, Scale::Natural)?;
                rows.push(finished.measured(id, &data, estimate));
            }
            Ok(())
        };
        add("ins-04", &percent(of("reward", "test/acc")?))?;
        add("instruct-win-rate", &percent(of("ppo", "test/gold_win_rate")?))?;
        add("instruct-win-rate-ptx", &percent(of("ppo-ptx", "test/gold_win_rate")?))?;
        let tax = |variant: &str| of(variant, "books/tax");
        add("alignment-tax", &tax("ppo")?.into_iter().map(|(_, x)| x).collect::<Vec<_>>())?;
        let (plain, mixed) = paired(&tax("ppo")?, &tax("ppo-ptx")?);
        if !plain.is_empty() {
            let estimate = paired_difference(&plain, &mixed)?;
            rows.push(finished.measured("ins-13", &data, estimate));
        }
    }
    Ok(rows)
}

/// Reward against divergence, the alignment tax, and the same prompts before and after.
///
/// # Errors
/// Files that cannot be read.
pub fn figures(finished: &Finished) -> anyhow::Result<Drawings> {
    let mut drawings = Drawings::new();
    for data in data_of(finished) {
        let traces = traces(finished, &data)?;
        drawings.push((format!("frontier-{data}"), figures::frontier(&data, &traces)));
        let mut taxes = Vec::new();
        for variant in ["ppo", "ppo-ptx"] {
            for (_, tax) in by_seed(finished, &data, variant, "books/tax")? {
                taxes.push((variant, tax));
            }
        }
        drawings.push((format!("tax-{data}"), figures::tax(&data, &taxes)));
    }
    let of = finished.runs.iter().find(|(_, record)| record.key.variant == "ppo-ptx");
    if let Some((folder, record)) = of {
        let samples: Vec<Sample> = read_rows(&folder.join(SAMPLES))?;
        let title = format!("Before and after: {}, PPO-ptx", record.key.data);
        drawings.push(("samples".to_owned(), figures::samples(&title, &samples)));
    }
    Ok(drawings)
}
