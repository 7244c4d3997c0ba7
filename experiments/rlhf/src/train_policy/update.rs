//! The update: passes over a batch, in minibatches, down the clipped losses of policy and value.

use std::collections::BTreeMap;

use anyhow::ensure;
use common::data::sampler::epoch_order;
use common::nn::probe::{Probe, check_gradients};
use common::optim::{Adam, Optimizer as _, clip, named_params};
use tch::{IndexOp as _, Kind, Tensor};

use super::experience::Batch;
use super::{Config, Log, Ptx, Turn};
use crate::language::loss_of;
use crate::ppo::advantage::whiten;
use crate::ppo::loss::{approxkl, explained_variance, policy_loss, ratio, value_loss};

/// All inner epochs over a batch, each in an order of its own; what is logged is the mean over all minibatches.
///
/// # Errors
/// A loss or a gradient that is not finite; a process that has gone.
pub fn update(
    turn: &Turn,
    batch: Batch,
    ptx: Option<&Tensor>,
    opt: &mut Adam,
    log: &mut Log,
) -> anyhow::Result<()> {
    let Turn { cfg, policy, seed, step, autocast, .. } = *turn;
    let world = turn.shared.world;
    let lr = cfg.lr_at(step);
    log.insert("lr", lr);
    let params = named_params(&policy.vs);
    let size = cfg.batch / cfg.minibatches;
    let mut sums: BTreeMap<&'static str, f64> = BTreeMap::new();
    let mut ratio_max: f64 = 0.0;
    let Batch { queries, responses, old: seen, first, advantages, returns } = batch;
    let mut first = Some(first);
    for inner in 0..cfg.inner_epochs {
        let order = minibatch_order(seed, step, inner, cfg);
        for (m, places) in order.chunks(size).enumerate() {
            let places = Tensor::from_slice(places).to_device(queries.device());
            let of = |xs: &Tensor| xs.i(&places);
            let (old, old_values, returns) = (of(&seen.log_probs), of(&seen.values), of(&returns));
            let advantages = whiten(&of(&advantages), None, false, cfg.variance);
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
                // The weights have not moved since the first minibatch was seen.
                let new = if let Some(seen) = first.take() {
                    seen
                } else {
                    let (queries, responses) = (own(&of(&queries))?, own(&of(&responses))?);
                    policy.see(&queries, &responses, cfg.temperature)
                };
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
            turn.grads.backward(&loss, true)?;
            let norm = clip::clip_grad_norm(&params, cfg.clip.unwrap_or(f64::INFINITY));
            check_gradients(norm, step, &params)?;
            opt.step(lr);

            // What is no mean over rows is computed of all of them.
            let new = new.map(|own| world.gather(own))?;
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

/// Part `m` of `of` equal parts of rows.
fn part(rows: &Tensor, m: usize, of: usize) -> Tensor {
    let n = rows.size()[0];
    let (from, to) = (n * m as i64 / of as i64, n * (m as i64 + 1) / of as i64);
    rows.narrow(0, from, (to - from).max(1))
}
