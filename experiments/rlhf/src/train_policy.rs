//! Proximal policy optimisation of a language model against a reward, held near a reference.
//!
//! `B` queries of `P` tokens, `R` tokens of each response.

use std::collections::BTreeMap;

use anyhow::ensure;
use common::data::sampler::epoch_order;
use common::distributed::{Gradients, World, WorldError};
use common::nn::probe::{Probe, check_gradients};
use common::nn::transformer::Transformer;
use common::optim::{Adam, Optimizer as _, ParamGroup, clip, named_params};
use common::training_run::TrainingRun;
use serde::{Deserialize, Serialize};
use tch::{Device, IndexOp as _, Kind, Tensor};

use crate::language::loss_of;
use crate::policy::{Policy, Seen, ValueNet, log_probs};
use crate::ppo::advantage::{Variance, advantages, moments, whiten};
use crate::ppo::kl::{KlConfig, kl_per_response, kl3_per_response, rewards};
use crate::ppo::loss::{approxkl, explained_variance, policy_loss, ratio, value_loss};
use crate::reward::check_rewards;
use crate::rollout::respond;
use crate::tokens::{length_and_repetition, rows, truncate};
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
    fn lr_at(&self, step: u64) -> f64 {
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

/// A policy that has left the reference too far behind.
#[derive(Debug, thiserror::Error)]
#[error(
    "step {step}: the divergence from the reference has run away: {kl:.1} nats per response, at most {stop} are allowed \
     (ppo.kl.stop). β is {beta:.4}, the score {score:.2} (first: {first_score:.2}), entropy {entropy:.2} nats a token. \
     {reading} The last good checkpoint is that of step {saved}: go on from it with a higher ppo.kl.coefficient or a \
     lower ppo.lr"
)]
pub struct Runaway {
    step: u64,
    kl: f64,
    stop: f64,
    beta: f64,
    score: f64,
    first_score: f64,
    entropy: f64,
    reading: &'static str,
    saved: u64,
}

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

/// Responses of one batch with everything that the update needs, all on the policy's device.
struct Batch {
    queries: Tensor,
    responses: Tensor,
    old: Seen,
    advantages: Tensor,
    returns: Tensor,
}

/// Trains `policy` to the last episode from wherever `run` stopped; returns the numbers it ended with.
///
/// # Errors
/// A reward that is not finite or constant, a divergence that runs away, a loss or gradient that is not finite, an
/// interrupt, a file that cannot be read or written.
pub fn train(
    seed: u64,
    cfg: &Config,
    policy: &mut Policy,
    setting: &Setting,
    run: &mut TrainingRun,
) -> anyhow::Result<BTreeMap<String, f64>> {
    let steps = cfg.steps();
    let params = named_params(&policy.vs);
    let (own, value): (Vec<_>, Vec<_>) = params
        .iter()
        .map(|(n, p)| (n.clone(), p.shallow_clone()))
        .partition(|(n, _)| n.starts_with("policy."));
    let group = |params, lr_scale| ParamGroup { params, lr_scale, weight_decay: 0.0 };
    let mut opt = Adam::new(
        vec![group(own, 1.0), group(value, cfg.value_lr_scale)],
        cfg.adam.config(cfg.eps),
    );
    let world = run.world().clone();
    let shared = Shared::new(&world, cfg, policy.vs.device())?;
    let (mut step, mut at) = run.resume_or_start::<At>(&policy.vs, &mut opt, &COLUMNS)?;
    let grads = Gradients::new(&world, &params)?;
    let (autocast, device) = (run.autocast(), run.device());
    let (mut seen, mut since) = (step, run.elapsed_s());
    while step < steps {
        let beta = at.beta.unwrap_or(cfg.kl.coefficient);
        let mut log: BTreeMap<&'static str, f64> = BTreeMap::new();
        // 1. Responses to a batch of queries; each process writes its own, and has all of them then.
        let (queries, responses, old, reference) = {
            let (_no_grad, _autocast) = (tch::no_grad_guard(), autocast());
            let queries = queries_of(setting.queries, seed, step, cfg.batch).to_device(device);
            let own = shared.own(&queries);
            world.seed_torch(seed, "rollout", step);
            let made = respond(&policy.net, &own, cfg.response, cfg.temperature);
            // Once more as the update does it, so that its first ratio is exactly 1.
            let old = see_in_parts(policy, &own, &made.responses, cfg.temperature, shared.rows);
            let reference = log_probs(setting.reference, &own, &made.responses, cfg.temperature);
            let old = Seen {
                log_probs: shared.all(&old.log_probs)?,
                values: shared.all(&old.values)?,
                entropy: shared.all(&old.entropy)?,
            };
            (queries, shared.all(&made.responses)?, old, shared.all(&reference)?)
        };
        // 2. Their scores and rewards.
        let (cut, ended) = match (&cfg.ending, setting.end) {
            (Some(ending), Some(end)) => truncate(&responses, end, ending.from),
            _ => (responses.shallow_clone(), responses.select(1, 0).ge(0)),
        };
        let texts = Tensor::cat(&[&queries, &cut], 1);
        let raw = shared.all(&(setting.reward)(&shared.own(&texts)))?; // [B]
        check_rewards(&raw, "a batch of responses")?;
        let penalty = cfg.ending.as_ref().map_or(0.0, |ending| ending.penalty);
        let scores = raw.where_self(&ended, &raw.full_like(penalty));
        let rewarded = rewards(&old.log_probs, &reference, &scores, beta); // [B, R]
        let kl = kl_per_response(&old.log_probs, &reference).mean(Kind::Float).double_value(&[]);
        let kl3 = kl3_per_response(&old.log_probs, &reference).mean(Kind::Float).double_value(&[]);
        let score = scores.mean(Kind::Float).double_value(&[]);
        let entropy = old.entropy.mean(Kind::Float).double_value(&[]);
        if step == 0 {
            at.first_score = score;
        }
        if !kl.is_finite() || kl > cfg.kl.stop {
            return Err(runaway(step, cfg, &at, [kl, beta, score, entropy]).into());
        }
        let non_score =
            (&old.log_probs - &reference).sum_dim_intlist(1, false, Kind::Float) * -beta;
        let non_score = non_score.mean(Kind::Float).double_value(&[]);
        log.extend([
            ("episodes", ((step + 1) * cfg.batch as u64) as f64),
            ("objective/kl", kl),
            ("objective/kl3", kl3),
            ("objective/kl_coef", beta),
            ("objective/entropy", entropy * cfg.response as f64),
            ("objective/score", score),
            ("objective/score_std", moments(&scores).1.sqrt()),
            ("objective/reward", score + non_score),
            ("ppo/mean_non_score_reward", non_score),
            ("ppo/val/mean", old.values.mean(Kind::Float).double_value(&[])),
            ("ppo/val/var", moments(&old.values).1),
            ("response/ended", ended.to_kind(Kind::Float).mean(Kind::Float).double_value(&[])),
        ]);
        if let Some(gold) = setting.gold {
            let judged = shared.all(&gold(&shared.own(&texts)))?.mean(Kind::Float);
            log.insert("objective/gold", judged.double_value(&[]));
        }
        log.extend(of_texts(&cut));
        let batch = prepare(cfg, queries, responses, old, &rewarded);
        let (mean, variance) = moments(&batch.returns);
        log.extend([("ppo/returns/mean", mean), ("ppo/returns/var", variance)]);

        // 3. The update.
        let lr = cfg.lr_at(step);
        log.insert("lr", lr);
        let ptx = setting.ptx.map(|of| of(step).to_device(device));
        let ptx = ptx.as_ref();
        update(cfg, policy, &batch, ptx, &mut opt, &grads, seed, step, lr, run, &mut log)?;
        if let Some(kept) = cfg.ema {
            policy.follow(kept);
        }
        at.beta = Some(cfg.kl.next(beta, kl, cfg.batch as f64));
        step += 1;

        // 4. Everything that only looks.
        at.rows += 1;
        for (name, value) in &log {
            *at.sums.entry((*name).to_owned()).or_default() += value;
        }
        run.tick(step, steps, cfg.batch as f64, "responses/s", -score);
        let done = step == steps;
        if step.is_multiple_of(cfg.row_every) || done {
            let now = run.elapsed_s();
            let rate = (step - seen) as f64 * cfg.batch as f64 / (now - since);
            let mut row: Vec<(&str, f64)> = COLUMNS
                .iter()
                .filter_map(|name| Some((*name, at.sums.get(*name)? / at.rows as f64)))
                .map(|(name, x)| (name, if name == "episodes" { log["episodes"] } else { x }))
                .collect();
            row.push(("samples_per_s", rate));
            run.log(step, &row)?;
            (seen, since) = (step, now);
            at.last = row.iter().map(|&(name, value)| (name.to_owned(), value)).collect();
            at.last.remove("samples_per_s");
            (at.rows, at.sums) = (0, BTreeMap::new());
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

/// Everything an update needs of a batch: advantages and returns from rewards `[B, R]`.
fn prepare(
    cfg: &Config,
    queries: Tensor,
    responses: Tensor,
    old: Seen,
    rewarded: &Tensor,
) -> Batch {
    let rewarded = if cfg.whiten_rewards {
        whiten(rewarded, None, true, cfg.variance)
    } else {
        rewarded.shallow_clone()
    };
    let (advantages, returns) = advantages(&rewarded, &old.values, cfg.gamma, cfg.lambda);
    Batch { queries, responses, old, advantages, returns }
}

/// All inner epochs over a batch, each in an order of its own; what is logged is the mean over all minibatches.
#[expect(clippy::too_many_arguments, reason = "one step of the loop, on its own for its length")]
fn update(
    cfg: &Config,
    policy: &Policy,
    batch: &Batch,
    ptx: Option<&Tensor>,
    opt: &mut Adam,
    grads: &Gradients,
    seed: u64,
    step: u64,
    lr: f64,
    run: &TrainingRun,
    log: &mut BTreeMap<&'static str, f64>,
) -> anyhow::Result<()> {
    let params = named_params(&policy.vs);
    let size = cfg.batch / cfg.minibatches;
    let mut sums: BTreeMap<&'static str, f64> = BTreeMap::new();
    let mut ratio_max: f64 = 0.0;
    let (autocast, world) = (run.autocast(), run.world());
    for inner in 0..cfg.inner_epochs {
        let order = minibatch_order(seed, step, inner, cfg);
        for (m, places) in order.chunks(size).enumerate() {
            let places = Tensor::from_slice(places).to_device(batch.queries.device());
            let of = |xs: &Tensor| xs.i(&places);
            let (old, old_values, returns) =
                (of(&batch.old.log_probs), of(&batch.old.values), of(&batch.returns));
            let advantages = whiten(&of(&batch.advantages), None, false, cfg.variance);
            // Of all these, the rows that this process computes.
            let own = |xs: &Tensor| world.rows("a minibatch", xs);
            let windows = match ptx {
                Some(windows) => {
                    let windows = part(windows, m, cfg.minibatches);
                    Some(world.rows("the pre-training text of a minibatch", &windows)?)
                }
                None => None,
            };
            opt.zero_grad();
            let (new, of_policy, of_value, of_text) = {
                let _autocast = autocast();
                let (queries, responses) = (own(&of(&batch.queries))?, own(&of(&batch.responses))?);
                let new = policy.see(&queries, &responses, cfg.temperature);
                let (was, better) = (own(&old)?, own(&advantages)?);
                let of_policy = policy_loss(&new.log_probs, &was, &better, cfg.clip_ratio);
                let (was, wanted) = (own(&old_values)?, own(&returns)?);
                let of_value = value_loss(&new.values, &was, &wanted, cfg.clip_value);
                let of_text = windows.map(|ids| loss_of(&policy.net, &ids, &Probe::off()));
                (new, of_policy, of_value, of_text)
            };
            let number = |xs: &Tensor| xs.double_value(&[]);
            let mut loss = &of_policy.loss + &of_value.loss * cfg.value_coefficient;
            let total = number(&loss);
            let mut text = 0.0;
            if let (Some(Ptx { coefficient, .. }), Some(of_text)) = (cfg.ptx, &of_text) {
                text = number(of_text);
                loss += of_text * coefficient;
            }
            let [value, total, text, policy_part, value_part, clipped, value_clipped] = world
                .means([
                    number(&loss),
                    total,
                    text,
                    number(&of_policy.loss),
                    number(&of_value.loss),
                    number(&of_policy.clipfrac),
                    number(&of_value.clipfrac),
                ])?;
            if of_text.is_some() {
                *sums.entry("ppo/loss/ptx").or_default() += text;
            }
            ensure!(value.is_finite(), "the loss is {value} at step {step}: lower ppo.lr ({lr})");
            grads.backward(&loss, true)?;
            let norm = clip::clip_grad_norm(&params, cfg.clip.unwrap_or(f64::INFINITY));
            check_gradients(norm, step, &params)?;
            opt.step(lr);

            // What is no mean over rows is computed of all of them.
            let new = Seen {
                log_probs: world.gather(&new.log_probs)?,
                values: world.gather(&new.values)?,
                entropy: world.gather(&new.entropy)?,
            };
            let moved = number(&approxkl(&new.log_probs, &old));
            ratio_max = ratio_max.max(number(&ratio(&new.log_probs, &old).max()));
            for (name, x) in [
                ("ppo/loss/policy", policy_part),
                ("ppo/loss/value", value_part),
                ("ppo/loss/total", total),
                ("ppo/policy/entropy", number(&new.entropy.mean(Kind::Float))),
                ("ppo/policy/approxkl", moved),
                ("ppo/policy/clipfrac", clipped),
                ("ppo/policy/advantages_mean", number(&advantages.mean(Kind::Float))),
                ("ppo/policy/grad_norm", norm),
                ("ppo/val/vpred", number(&new.values.mean(Kind::Float))),
                ("ppo/val/error", number(&(&new.values - &returns).square().mean(Kind::Float))),
                ("ppo/val/clipfrac", value_clipped),
                ("ppo/val/var_explained", number(&explained_variance(&new.values, &returns))),
            ] {
                *sums.entry(name).or_default() += x;
            }
            if inner == 0 && m == 0 {
                log.insert("ppo/policy/approxkl_first_epoch", moved);
            }
        }
    }
    let n = (cfg.inner_epochs * cfg.minibatches as u64) as f64;
    log.extend(sums.into_iter().map(|(name, sum)| (name, sum / n)));
    log.insert("ppo/policy/ratio_max", ratio_max);
    Ok(())
}

/// The order of a batch's responses in an inner epoch. With one minibatch the order changes nothing but the last bits of
/// sums: it stays, so that the first ratio is exactly 1.
fn minibatch_order(seed: u64, step: u64, inner: u64, cfg: &Config) -> Vec<i64> {
    if cfg.minibatches == 1 || inner == 0 {
        return (0..cfg.batch as i64).collect();
    }
    let epoch = step * cfg.inner_epochs + inner;
    epoch_order(seed, epoch, cfg.batch).into_iter().map(i64::from).collect()
}

/// The rows of a batch that a process writes: its share of each minibatch of the first inner epoch.
struct Shared<'a> {
    world: &'a World,
    /// Its places in the batch.
    own: Tensor,
    /// Where each place of the batch is when the rows of all processes follow one another.
    order: Tensor,
    /// Its rows of a minibatch.
    rows: usize,
}

impl<'a> Shared<'a> {
    fn new(world: &'a World, cfg: &Config, device: Device) -> Result<Self, WorldError> {
        let size = cfg.batch / cfg.minibatches;
        let rows = world.share("a minibatch", size)?.len();
        let of = |rank: usize| {
            let firsts = (0..cfg.minibatches).map(move |m| m * size + rank * rows);
            firsts.flat_map(move |first| first..first + rows).map(|place| place as i64)
        };
        let places = |all: Vec<i64>| Tensor::from_slice(&all).to_device(device);
        Ok(Self {
            world,
            own: places(of(world.rank()).collect()),
            order: places((0..world.size()).flat_map(of).collect()).argsort(0, false),
            rows,
        })
    }

    /// This process's rows of `all: [B, …]`.
    fn own(&self, all: &Tensor) -> Tensor {
        if self.world.size() == 1 { all.shallow_clone() } else { all.i(&self.own) }
    }

    /// The rows of all processes, in the batch's order.
    fn all(&self, own: &Tensor) -> Result<Tensor, WorldError> {
        let all = self.world.gather(own)?;
        Ok(if self.world.size() == 1 { all } else { all.i(&self.order) })
    }
}

/// What the policy says of queries and responses before the update, `rows` at a time: those that the first inner epoch
/// takes together.
fn see_in_parts(
    policy: &Policy,
    queries: &Tensor,
    responses: &Tensor,
    temperature: f64,
    rows: usize,
) -> Seen {
    let size = rows as i64;
    let parts: Vec<Seen> = queries
        .split(size, 0)
        .iter()
        .zip(responses.split(size, 0))
        .map(|(queries, responses)| policy.see(queries, &responses, temperature))
        .collect();
    let cat = |of: fn(&Seen) -> &Tensor| Tensor::cat(&parts.iter().map(of).collect::<Vec<_>>(), 0);
    Seen {
        log_probs: cat(|seen| &seen.log_probs),
        values: cat(|seen| &seen.values),
        entropy: cat(|seen| &seen.entropy),
    }
}

/// Part `m` of `of` equal parts of rows.
fn part(rows: &Tensor, m: usize, of: usize) -> Tensor {
    let n = rows.size()[0];
    let (from, to) = (n * m as i64 / of as i64, n * (m as i64 + 1) / of as i64);
    rows.narrow(0, from, (to - from).max(1))
}

/// The queries of a step: all of them once, in an order of their own, before any again.
pub fn queries_of(queries: &Tensor, seed: u64, step: u64, batch: usize) -> Tensor {
    let n = queries.size()[0] as u64;
    let first = step * batch as u64;
    let mut epoch = (u64::MAX, Vec::new());
    let places: Vec<i64> = (first..first + batch as u64)
        .map(|i| {
            if epoch.0 != i / n {
                epoch = (i / n, epoch_order(seed ^ 0x51, i / n, n as usize));
            }
            i64::from(epoch.1[(i % n) as usize])
        })
        .collect();
    queries.i(&Tensor::from_slice(&places).to_device(queries.device()))
}

/// Length and repetition of responses `[B, R]`, padded behind.
fn of_texts(cut: &Tensor) -> [(&'static str, f64); 2] {
    let all: Vec<(usize, f64)> = rows(cut).iter().map(|ids| length_and_repetition(ids)).collect();
    let n = all.len() as f64;
    [
        ("response/length", all.iter().map(|(length, _)| *length as f64).sum::<f64>() / n),
        ("response/repetition", all.iter().map(|(_, share)| share).sum::<f64>() / n),
    ]
}

fn runaway(step: u64, cfg: &Config, at: &At, [kl, beta, score, entropy]: [f64; 4]) -> Runaway {
    let reading = if entropy < 0.5 {
        "The policy has collapsed to a few texts: it says nearly the same always."
    } else if score > at.first_score {
        "The score went up with it: the policy has found texts that the reward likes too much and the penalty is too \
         small to hold it."
    } else {
        "The score did not go up: the updates are too large."
    };
    let (stop, first_score, saved) = (cfg.kl.stop, at.first_score, at.saved);
    Runaway { step, kl, stop, beta, score, first_score, entropy, reading, saved }
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
