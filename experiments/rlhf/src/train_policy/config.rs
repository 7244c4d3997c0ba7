//! Every switch of the algorithm, with what was published.

use serde::{Deserialize, Serialize};

use crate::policy::ValueNet;
use crate::ppo::advantage::Variance;
use crate::ppo::kl::KlConfig;
use crate::train_reward::AdamForm;

/// How the rate goes over the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LrSchedule {
    /// A line to 0: Ziegler et al. 2019, Stiennon et al. 2020.
    Linear,
    /// The same always: Ouyang et al. 2022.
    Constant,
}

/// Where a response ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ending {
    /// The word that ends it, as one token; published: a full stop (style), a line break (summaries).
    pub token: String,
    /// The first place, from 0, at which it counts; published: 16 of 24 tokens (style), 55 of 75 (summaries).
    pub from: i64,
    /// The score of a response without it; published: −1.
    pub penalty: f64,
}

/// Pre-training text mixed into the updates.
///
/// Source: Ouyang et al. 2022, equation 2: PPO-ptx.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ptx {
    /// What its loss is multiplied by; published: 27.8.
    pub coefficient: f64,
    /// Windows of text for each episode; published: 8.
    pub per_episode: f64,
}

/// Every switch of the algorithm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Responses in all; published: 1,000,000 (Ziegler, Stiennon), 256,000 (Ouyang).
    pub episodes: u64,
    /// Responses of a step; published: 512 (style), 32 (summaries).
    pub batch: usize,
    /// Parts that a batch is updated in; published: 1, and 8 (Ouyang et al.).
    pub minibatches: usize,
    /// Passes over a batch; published: 4, and 1 (Ouyang et al.).
    pub inner_epochs: u64,
    /// Adam's rate; published: 1e-5 (124M, style).
    pub lr: f64,
    /// How it goes on.
    pub schedule: LrSchedule,
    /// Steps over which the rate rises from a tenth; published: 0, and 10 (Ouyang et al.).
    pub warmup: u64,
    /// Which Adam; the released code: TensorFlow 1's.
    pub adam: AdamForm,
    /// Adam's ε; published: 1e-5.
    pub eps: f64,
    /// The largest norm of all gradients together; published: no limit.
    pub clip: Option<f64>,
    /// How far the ratio of probabilities may go; published: 0.2.
    pub clip_ratio: f64,
    /// How far values may go from those at the rollout; published: 0.2.
    pub clip_value: f64,
    /// What the value loss is multiplied by; published: 0.1.
    pub value_coefficient: f64,
    /// Where values come from.
    pub value: ValueNet,
    /// The rate of value parameters over that of the policy; published: 1, and 9e-6/5e-6 (Ouyang et al.).
    pub value_lr_scale: f64,
    /// Discount; published: 1.
    pub gamma: f64,
    /// Of generalised advantages; published: 0.95.
    pub lambda: f64,
    /// Whether rewards are scaled to variance 1, their mean kept; published: yes, and no (Huang et al. 2024).
    pub whiten_rewards: bool,
    /// Which variance whitening takes; the released code: biased.
    pub variance: Variance,
    /// The penalty for going away from the reference.
    pub kl: KlConfig,
    /// Of sampling, and of log-probabilities everywhere; published: 0.7 (style, TL;DR), 1 (Ouyang et al.).
    pub temperature: f64,
    /// Tokens of a response; published: 24 (style), 75 (summaries), 53 (Huang et al. 2024).
    pub response: i64,
    /// Where a response ends; without it, at its full length.
    pub ending: Option<Ending>,
    /// Pre-training text mixed in.
    pub ptx: Option<Ptx>,
    /// How much of its running mean the weights that are kept hold on to; published: none, and 0.992 (Ouyang et al.).
    pub ema: Option<f64>,
    /// Steps between two rows.
    pub row_every: u64,
    /// Steps between two checkpoints.
    pub save_every: u64,
}

impl Config {
    /// Steps in all.
    pub fn steps(&self) -> u64 {
        self.episodes / self.batch as u64
    }

    /// The rate of a step.
    pub(super) fn lr_at(&self, step: u64) -> f64 {
        let rising = match self.warmup {
            0 => 1.0,
            n => (0.1 + 0.9 * step as f64 / n as f64).min(1.0),
        };
        rising
            * match self.schedule {
                LrSchedule::Constant => self.lr,
                LrSchedule::Linear => self.lr * (1.0 - step as f64 / self.steps() as f64),
            }
    }
}
