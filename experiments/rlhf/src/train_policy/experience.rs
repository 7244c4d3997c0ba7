//! What the policy does and what comes of it: responses to a batch of queries, their scores, rewards and
//! advantages.
//!
//! `B` queries of `P` tokens, `R` tokens of each response.

use common::data::sampler::epoch_order;
use tch::{IndexOp as _, Kind, Tensor};

use super::{Log, Setting, Turn};
use crate::policy::{Seen, log_probs};
use crate::ppo::advantage::{advantages, moments, whiten};
use crate::ppo::kl::{kl_per_response, kl3_per_response, rewards};
use crate::reward::check_rewards;
use crate::rollout::respond;
use crate::tokens::{length_and_repetition, rows, truncate};

/// Responses of one batch with everything that the update needs, all on the policy's device.
#[derive(Debug)]
pub struct Batch {
    /// `[B, P]`
    pub queries: Tensor,
    /// `[B, R]`
    pub responses: Tensor,
    /// What the policy said of them before the update.
    pub old: Seen,
    /// The same of this process's rows of the first minibatch, with their graph: the update's first pass.
    pub first: Seen,
    /// `[B, R]`, not whitened yet.
    pub advantages: Tensor,
    /// `[B, R]`: what values are trained towards.
    pub returns: Tensor,
}

/// A batch, and the means that the loop goes by.
#[derive(Debug)]
pub struct Experience {
    /// What the update learns from.
    pub batch: Batch,
    /// Divergence from the reference, nats per response.
    pub kl: f64,
    /// Of the whole response, with the penalty for a missing end.
    pub score: f64,
    /// Nats per token.
    pub entropy: f64,
}

/// The experience of a step, with `beta` the coefficient of the penalty; everything else that is seen goes to `log`.
///
/// # Errors
/// A reward that is not finite or constant; a process that has gone.
pub fn gather(
    turn: &Turn,
    setting: &Setting,
    beta: f64,
    log: &mut Log,
) -> anyhow::Result<Experience> {
    let Turn { cfg, policy, seed, step, shared, .. } = *turn;
    // 1. The policy answers a batch of queries; each process writes its own answers, and has all of them then.
    let queries = queries_of(setting.queries, seed, step, cfg.batch).to_device(policy.vs.device());
    let own = shared.own(&queries);
    let written = {
        let _autocast = (turn.autocast)();
        shared.world.seed_torch(seed, "rollout", step);
        respond(&policy.net, &own, cfg.response, cfg.temperature).responses
    };
    let (old, first) = see_in_parts(turn, &own, &written)?;
    let reference = {
        let _autocast = (turn.autocast)();
        log_probs(setting.reference, &own, &written, cfg.temperature)
    };
    let (responses, reference) = (shared.all(&written)?, shared.all(&reference)?);
    // 2. The reward model scores the texts as far as they count.
    let (cut, ended) = match (&cfg.ending, setting.end) {
        (Some(ending), Some(end)) => truncate(&responses, end, ending.from),
        _ => (responses.shallow_clone(), responses.select(1, 0).ge(0)),
    };
    let texts = Tensor::cat(&[&queries, &cut], 1);
    let raw = shared.all(&(setting.reward)(&shared.own(&texts)))?; // [B]
    check_rewards(&raw, "a batch of responses")?;
    let penalty = cfg.ending.as_ref().map_or(0.0, |ending| ending.penalty);
    let scores = raw.where_self(&ended, &raw.full_like(penalty));
    // 3. Rewards: the score on the last token, the penalty on each.
    let rewarded = rewards(&old.log_probs, &reference, &scores, beta); // [B, R]
    let rewarded =
        if cfg.whiten_rewards { whiten(&rewarded, None, true, cfg.variance) } else { rewarded };
    // 4. Advantages over what was expected.
    let (advantages, returns) = advantages(&rewarded, &old.values, cfg.gamma, cfg.lambda);

    let mean = |xs: &Tensor| xs.mean(Kind::Float).double_value(&[]);
    let (kl, score) = (mean(&kl_per_response(&old.log_probs, &reference)), mean(&scores));
    let entropy = mean(&old.entropy);
    let non_score = (&old.log_probs - &reference).sum_dim_intlist(1, false, Kind::Float) * -beta;
    let non_score = mean(&non_score);
    let (mean_return, variance) = moments(&returns);
    log.extend([
        ("episodes", ((step + 1) * cfg.batch as u64) as f64),
        ("objective/kl", kl),
        ("objective/kl3", mean(&kl3_per_response(&old.log_probs, &reference))),
        ("objective/kl_coef", beta),
        ("objective/entropy", entropy * cfg.response as f64),
        ("objective/score", score),
        ("objective/score_std", moments(&scores).1.sqrt()),
        ("objective/reward", score + non_score),
        ("ppo/mean_non_score_reward", non_score),
        ("ppo/val/mean", mean(&old.values)),
        ("ppo/val/var", moments(&old.values).1),
        ("response/ended", mean(&ended.to_kind(Kind::Float))),
        ("ppo/returns/mean", mean_return),
        ("ppo/returns/var", variance),
    ]);
    log.extend(of_texts(&cut));
    if let Some(gold) = setting.gold {
        log.insert("objective/gold", mean(&shared.all(&gold(&shared.own(&texts)))?));
    }
    let batch = Batch { queries, responses, old, first, advantages, returns };
    Ok(Experience { batch, kl, score, entropy })
}

/// What the policy says, before the update, of its responses to this process's queries: all processes' together, and
/// that of the first minibatch with its graph. As the update does it, a minibatch at a time, so that its first pass is
/// this one and the ratio there exactly 1.
fn see_in_parts(turn: &Turn, queries: &Tensor, responses: &Tensor) -> anyhow::Result<(Seen, Seen)> {
    let Turn { cfg, policy, shared, .. } = *turn;
    let see = |queries: &Tensor, responses: &Tensor| {
        // Of its own each time: what an autocast keeps without a graph would be none for the first.
        let _autocast = (turn.autocast)();
        policy.see(queries, responses, cfg.temperature)
    };
    let (rows, n) = (shared.rows as i64, queries.size()[0]);
    let first = see(&queries.narrow(0, 0, rows), &responses.narrow(0, 0, rows));
    let _no_grad = tch::no_grad_guard();
    let later: Vec<Seen> = (rows..n)
        .step_by(shared.rows)
        .map(|from| see(&queries.narrow(0, from, rows), &responses.narrow(0, from, rows)))
        .collect();
    let parts: Vec<&Seen> = std::iter::once(&first).chain(&later).collect();
    let old = Seen::cat(&parts).map(|own| shared.all(own))?;
    Ok((old, first))
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
