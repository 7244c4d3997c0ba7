//! Proximal policy optimisation of a language model against a reward, held near a reference.
//!
//! A step is one batch of [`experience`] and one [`update`] on it: Ziegler et al. 2019, section 2, and Schulman et al.
//! 2017, algorithm 1.

use std::collections::BTreeMap;

use common::distributed::Gradients;
use common::nn::transformer::Transformer;
use common::optim::{Adam, ParamGroup, named_params};
use common::shim::Autocast;
use common::training_run::TrainingRun;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::policy::Policy;

mod config;
mod experience;
mod runaway;
mod shared;
mod update;

pub use config::{Config, Ending, LrSchedule, Ptx};
pub use experience::{Batch, Experience, gather, queries_of};
pub use runaway::Runaway;
pub use shared::Shared;
pub use update::update;

/// What a policy learns from and is held to.
pub struct Setting<'a> {
    /// The queries `[N, P]`, padding before them.
    pub queries: &'a Tensor,
    /// What the policy is held near.
    pub reference: &'a Transformer,
    /// Scores `[B]` of texts `[B, P + R]`: query and response, cut and padded behind.
    pub reward: &'a dyn Fn(&Tensor) -> Tensor,
    /// A judge that the policy never learns from, logged beside the score.
    pub gold: Option<&'a dyn Fn(&Tensor) -> Tensor>,
    /// Pre-training windows `[n, T + 1]` of a step.
    pub ptx: Option<&'a dyn Fn(u64) -> Tensor>,
    /// The token of [`Ending::token`].
    pub end: Option<i64>,
}

/// The columns of `metrics.csv` after step and time, under the names that OpenAI's code logs where it has them.
pub const COLUMNS: [&str; 34] = [
    "episodes",
    "lr",
    "objective/kl",
    "objective/kl3",
    "objective/kl_coef",
    "objective/entropy",
    "objective/score",
    "objective/score_std",
    "objective/reward",
    "objective/gold",
    "ppo/mean_non_score_reward",
    "ppo/loss/policy",
    "ppo/loss/value",
    "ppo/loss/total",
    "ppo/loss/ptx",
    "ppo/policy/entropy",
    "ppo/policy/approxkl",
    "ppo/policy/approxkl_first_epoch",
    "ppo/policy/clipfrac",
    "ppo/policy/ratio_max",
    "ppo/policy/advantages_mean",
    "ppo/policy/grad_norm",
    "ppo/returns/mean",
    "ppo/returns/var",
    "ppo/val/vpred",
    "ppo/val/error",
    "ppo/val/clipfrac",
    "ppo/val/mean",
    "ppo/val/var",
    "ppo/val/var_explained",
    "response/length",
    "response/ended",
    "response/repetition",
    "samples_per_s",
];

/// A step of a policy's training.
#[derive(Clone, Copy)]
pub struct Turn<'a> {
    /// The algorithm.
    pub cfg: &'a Config,
    /// What is trained.
    pub policy: &'a Policy,
    /// Decides, with the step, everything that is drawn.
    pub seed: u64,
    /// Counted from 0.
    pub step: u64,
    /// Starts autocast for a forward pass.
    pub autocast: &'a dyn Fn() -> Autocast,
    /// The rows of a batch that this process computes.
    pub shared: &'a Shared<'a>,
    /// Averages gradients over all processes.
    pub grads: &'a Gradients,
}

/// Numbers of a step by their names in [`COLUMNS`].
pub type Log = BTreeMap<&'static str, f64>;

/// Where the loop stands besides its step.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct At {
    /// β; none before the first step.
    beta: Option<f64>,
    first_score: f64,
    saved: u64,
    rows: u64,
    /// Sums of what is logged since the last row.
    sums: BTreeMap<String, f64>,
    last: BTreeMap<String, f64>,
}

impl At {
    /// Adds what a step logged.
    fn add(&mut self, log: &Log) {
        self.rows += 1;
        for (name, value) in log {
            *self.sums.entry((*name).to_owned()).or_default() += value;
        }
    }

    /// Means since the last row, but for the episodes, which are counted from the start.
    fn row(&mut self, log: &Log) -> Vec<(&'static str, f64)> {
        let row: Vec<(&str, f64)> = COLUMNS
            .iter()
            .filter_map(|name| Some((*name, self.sums.get(*name)? / self.rows as f64)))
            .map(|(name, x)| (name, if name == "episodes" { log["episodes"] } else { x }))
            .collect();
        self.last = row.iter().map(|&(name, value)| (name.to_owned(), value)).collect();
        (self.rows, self.sums) = (0, BTreeMap::new());
        row
    }
}

/// Trains `policy` to the last episode from wherever `run` stopped; returns the numbers it ended with.
///
/// # Errors
/// A reward that is not finite or constant, a divergence that runs away, a loss or gradient that is not finite, an
/// interrupt, a file that cannot be read or written.
pub fn train(
    seed: u64,
    cfg: &Config,
    policy: &Policy,
    setting: &Setting,
    run: &mut TrainingRun,
) -> anyhow::Result<BTreeMap<String, f64>> {
    let steps = cfg.steps();
    let mut opt = optimizer(policy, cfg);
    let world = run.world().clone();
    let shared = Shared::new(&world, cfg, policy.vs.device())?;
    let (mut step, mut at) = run.resume_or_start::<At>(&policy.vs, &mut opt, &COLUMNS)?;
    let grads = Gradients::new(&world, &named_params(&policy.vs))?;
    let autocast = run.autocast();
    let (mut seen, mut since) = (step, run.elapsed_s());
    while step < steps {
        let beta = at.beta.unwrap_or(cfg.kl.coefficient);
        let mut log = Log::new();
        let turn =
            Turn { cfg, policy, seed, step, autocast: &autocast, shared: &shared, grads: &grads };
        // 1. Responses, their scores, rewards and advantages.
        let Experience { batch, kl, score, entropy } = gather(&turn, setting, beta, &mut log)?;
        if step == 0 {
            at.first_score = score;
        }
        if !kl.is_finite() || kl > cfg.kl.stop {
            let here = [kl, score, entropy];
            return Err(Runaway::new(step, cfg, beta, here, at.first_score, at.saved).into());
        }
        // 2. The policy and its values are updated, and with them what holds the policy back.
        let ptx = setting.ptx.map(|of| of(step).to_device(run.device()));
        update(&turn, batch, ptx.as_ref(), &mut opt, &mut log)?;
        if let Some(kept) = cfg.ema {
            policy.follow(kept);
        }
        at.beta = Some(cfg.kl.next(beta, kl, cfg.batch as f64));
        step += 1;

        // 3. Everything that only looks.
        at.add(&log);
        run.tick(step, steps, cfg.batch as f64, "responses/s", -score);
        let done = step == steps;
        if step.is_multiple_of(cfg.row_every) || done {
            let now = run.elapsed_s();
            let rate = (step - seen) as f64 * cfg.batch as f64 / (now - since);
            let mut row = at.row(&log);
            row.push(("samples_per_s", rate));
            run.log(step, &row)?;
            (seen, since) = (step, now);
        }
        let stop = world.interrupted();
        if step.is_multiple_of(cfg.save_every) || done || stop.is_err() {
            at.saved = step;
            run.save(step, &policy.vs, &opt, &at)?;
        }
        if !done {
            stop?;
        }
    }
    Ok(at.last)
}

/// Adam over the policy's and, at a rate of their own, the values' variables.
pub fn optimizer(policy: &Policy, cfg: &Config) -> Adam {
    let (own, value): (Vec<_>, Vec<_>) =
        named_params(&policy.vs).into_iter().partition(|(name, _)| name.starts_with("policy."));
    let group = |params, lr_scale| ParamGroup { params, lr_scale, weight_decay: 0.0 };
    let groups = vec![group(own, 1.0), group(value, cfg.value_lr_scale)];
    Adam::new(groups, cfg.adam.config(cfg.eps))
}

/// A policy's responses beside those of the reference to the same queries, and their scores.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct Sample {
    /// The query.
    pub query: String,
    /// What the reference went on with.
    pub before: String,
    /// What the policy went on with.
    pub after: String,
    /// The score of the first.
    pub score_before: f64,
    /// The score of the second.
    pub score_after: f64,
}
