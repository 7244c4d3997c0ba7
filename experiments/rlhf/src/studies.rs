//! The studies: what runs, and what is computed from the runs.

use std::path::PathBuf;

use common::device::Precision;
use common::experiment::Finished;
use serde::Deserialize;

use crate::stages::{Books, Labels, Shape, Task};
use crate::{language, train_policy, train_reward};

pub mod base;
mod check;
pub mod instruct;
pub mod kl_control;
pub mod overoptimisation;
pub(crate) mod pipeline;
pub mod reward_model;
pub mod sentiment;
pub mod sft;

/// A preset.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// Studies that run when none is named.
    pub lead: Vec<String>,
    /// Precision of the runs.
    pub precision: Precision,
    /// Where everything starts.
    pub base: BasePreset,
    /// Supervised fine-tuning for the style task.
    pub sft: SftPreset,
    /// Reward models.
    #[serde(rename = "reward-model")]
    pub reward_model: RewardPreset,
    /// Ziegler et al., section 3.1.
    pub sentiment: SentimentPreset,
    /// Adaptive against fixed.
    #[serde(rename = "kl-control")]
    pub kl_control: KlPreset,
    /// Gao et al.
    pub overoptimisation: OverPreset,
    /// Ouyang et al.
    pub instruct: InstructPreset,
}

/// Where the base comes from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BaseSource {
    /// The weights that `gpt1` publishes in this repository; while there are none, one that is trained here, and the
    /// record says so.
    Published,
    /// One that is trained here, always.
    Trained,
    /// A folder as Hugging Face keeps `openai-gpt` or `gpt2`.
    Folder(PathBuf),
}

/// `[base]` of a preset.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BasePreset {
    /// Where it comes from.
    pub source: BaseSource,
    /// What one that is trained here reads; also the text of the alignment tax.
    pub books: Books,
    /// Its shape.
    pub shape: Shape,
    /// How it is trained.
    pub train: language::Config,
}

/// `[sft]` of a preset.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SftPreset {
    /// Seeds, from 0; later studies start from the first.
    pub seeds: u64,
    /// The texts.
    pub task: Task,
    /// How.
    pub train: language::Config,
}

/// `[reward-model]` of a preset.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RewardPreset {
    /// Seeds, from 0; each draws its own comparisons.
    pub seeds: u64,
    /// Numbers of comparisons; the largest is what policies learn from.
    pub comparisons: Vec<usize>,
    /// Numbers of blocks; the largest is what policies learn from. The others are trained on the most comparisons.
    pub layers: Vec<i64>,
    /// Also train on about as many comparisons out of groups of so many texts, all pairs of a group together; 0: not.
    pub together: usize,
    /// Which judgements; `comparisons` of it is replaced.
    pub labels: Labels,
    /// How.
    pub train: train_reward::Config,
}

/// `[sentiment]` of a preset.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SentimentPreset {
    /// Seeds, from 0.
    pub seeds: u64,
    /// Fixed coefficients of the penalty, beside the adaptive one of `train`: the frontier.
    pub coefficients: Vec<f64>,
    /// Answers to each test query that the best of n is taken from.
    pub answers: usize,
    /// Comparisons of the sentences held out that the judge learns.
    pub judge: usize,
    /// Whether the first seed's policy is left for publishing.
    pub publish: bool,
    /// How.
    pub train: train_policy::Config,
}

/// `[kl-control]` of a preset; the policy is trained as in `[sentiment]` but for what stands here.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KlPreset {
    /// Seeds, from 0.
    pub seeds: u64,
    /// Responses in all.
    pub episodes: u64,
    /// β at the start, adaptive and fixed.
    pub coefficient: f64,
    /// What the adaptive one aims at.
    pub adaptive: crate::ppo::kl::Adaptive,
}

/// `[overoptimisation]` of a preset.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OverPreset {
    /// Seeds, from 0.
    pub seeds: u64,
    /// Blocks of the proxies.
    pub layers: Vec<i64>,
    /// Comparisons that the proxies learn, labelled by the gold model; the last is taken with every number of blocks, the
    /// others with the most.
    pub comparisons: Vec<usize>,
    /// Answers to each test query that the best of n is taken from.
    pub answers: usize,
    /// How proxies are trained.
    pub reward: train_reward::Config,
    /// How the policy is trained; published: no penalty.
    pub train: train_policy::Config,
}

/// `[instruct]` of a preset.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstructPreset {
    /// Seeds, from 0.
    pub seeds: u64,
    /// Sets of judged answers, best first; the first that can be had is taken.
    pub sets: Vec<String>,
    /// The prompts; `set` of it is replaced.
    pub task: Task,
    /// Supervised fine-tuning.
    pub sft: language::Config,
    /// Which judgements.
    pub labels: Labels,
    /// How the reward model is trained.
    pub reward: train_reward::Config,
    /// How the policy is trained; with and without `ptx` of it.
    pub train: train_policy::Config,
}

/// The data that finished runs ran on, each once.
fn data_of(finished: &Finished) -> Vec<String> {
    let mut names: Vec<String> = finished.runs.iter().map(|(_, r)| r.key.data.clone()).collect();
    names.sort();
    names.dedup();
    names
}

/// A number of every finished run of a variant on some data, by seed.
fn by_seed(
    finished: &Finished,
    data: &str,
    variant: &str,
    name: &str,
) -> anyhow::Result<Vec<(u64, f64)>> {
    let of = finished.runs.iter().map(|(_, record)| record);
    let of = of.filter(|record| record.key.data == data && record.key.variant == variant);
    of.map(|record| Ok((record.key.seed, record.ended_with(name)?))).collect()
}

/// Numbers of two variants, paired by seed.
fn paired(left: &[(u64, f64)], right: &[(u64, f64)]) -> (Vec<f64>, Vec<f64>) {
    let twin = |seed: u64| right.iter().find(|(other, _)| *other == seed).map(|(_, x)| *x);
    left.iter().filter_map(|(seed, x)| Some((*x, twin(*seed)?))).unzip()
}
