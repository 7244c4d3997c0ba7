//! The coefficient of the penalty: adaptive against fixed, and both forms of Adam.

use common::experiment::{Drawings, Finished};
use common::session::Session;
use ledger::claims::Measured;
use ledger::stats::{paired_difference, paired_ratio};
use serde::Deserialize as _;

use super::pipeline::{Pipeline, make};
use super::sentiment::traces;
use super::{by_seed, data_of, paired};
use crate::figures;
use crate::ppo::kl::KlConfig;
use crate::stages::{Kind, RunConfig};
use crate::train_policy::Config;
use crate::train_reward::AdamForm;

/// Its name.
pub const STUDY: &str = "kl-control";
/// What it learns from.
pub const DATASETS: [&str; 1] = ["human-sentiment"];
const VARIANTS: [&str; 3] = ["adaptive", "fixed", "pytorch-adam"];

/// Makes every run that is not done yet.
///
/// # Errors
/// A base or data that cannot be had; a run that fails.
pub fn run(session: &Session) -> anyhow::Result<()> {
    let pipeline = Pipeline::open(session)?;
    let texts = pipeline.style_texts()?;
    let start = pipeline.finetuned(&texts)?;
    let preset = &pipeline.preset.kl_control;
    let seeds = pipeline.session().seeds_or(preset.seeds);
    let rewards = pipeline.rewards(&texts, &start, &seeds)?;
    let from = &pipeline.preset.sentiment.train;
    let mut all = Vec::new();
    for (seed, reward) in seeds.iter().zip(&rewards) {
        for variant in VARIANTS {
            let adaptive = (variant != "fixed").then_some(preset.adaptive);
            let kl = KlConfig { coefficient: preset.coefficient, adaptive, ..from.kl };
            let adam = if variant == "pytorch-adam" { AdamForm::Pytorch } else { AdamForm::Tf1 };
            let train = Config { episodes: preset.episodes, kl, adam, ..from.clone() };
            let task = pipeline.preset.sft.task.clone();
            let (gold, books, publish) = (None, None, false);
            let kind = Kind::Policy { task, reward: reward.clone(), gold, books, train, publish };
            all.push(pipeline.wanted(&texts, variant, *seed, &start, kind));
        }
    }
    make(session, STUDY, all)?;
    Ok(())
}

/// How far each ends from the target, and how much more the first updates move with PyTorch's Adam.
///
/// # Errors
/// Files that cannot be read.
pub fn measure(finished: &Finished) -> anyhow::Result<Vec<Measured>> {
    let mut rows = Vec::new();
    for data in data_of(finished) {
        let target = finished.runs.iter().find_map(|(_, record)| {
            match RunConfig::deserialize(&record.config).ok()?.kind {
                Kind::Policy { train, .. } => train.kl.adaptive.map(|adaptive| adaptive.target),
                _ => None,
            }
        });
        if let Some(target) = target {
            let off = |variant: &str| -> anyhow::Result<Vec<(u64, f64)>> {
                let found = by_seed(finished, &data, variant, "objective/kl")?;
                Ok(found.into_iter().map(|(seed, kl)| (seed, (kl - target).abs())).collect())
            };
            let (fixed, adaptive) = paired(&off("fixed")?, &off("adaptive")?);
            if !fixed.is_empty() {
                let estimate = paired_difference(&fixed, &adaptive)?;
                rows.push(finished.measured("adaptive-holds-target", &data, estimate));
            }
        }
        let first = |variant: &str| -> anyhow::Result<Vec<(u64, f64)>> {
            let of = finished.runs.iter().filter(|(_, record)| record.key.data == data);
            let of = of.filter(|(_, record)| record.key.variant == variant);
            let value = |(folder, record): &(std::path::PathBuf, ledger::run::RunRecord)| {
                let rows = ledger::metrics::read(folder.join(common::training_run::METRICS))?;
                let first = rows.column("ppo/policy/approxkl")?.first().map(|(_, x)| *x);
                anyhow::Ok(first.map(|x| (record.key.seed, x)))
            };
            let all: Vec<Option<(u64, f64)>> = of.map(value).collect::<Result<_, _>>()?;
            Ok(all.into_iter().flatten().collect())
        };
        let (pytorch, tf1) = paired(&first("pytorch-adam")?, &first("adaptive")?);
        if !pytorch.is_empty() && pytorch.iter().chain(&tf1).all(|x| *x > 0.0) {
            let estimate = paired_ratio(&pytorch, &tf1)?;
            rows.push(finished.measured("pytorch-adam-first-approxkl", &data, estimate));
        }
    }
    Ok(rows)
}

/// Divergence and coefficient against episodes.
///
/// # Errors
/// Files that cannot be read.
pub fn figures(finished: &Finished) -> anyhow::Result<Drawings> {
    let mut drawings = Drawings::new();
    for data in data_of(finished) {
        let traces = traces(finished, &data)?;
        drawings.push((format!("control-{data}"), figures::control(&data, &traces)));
    }
    Ok(drawings)
}
