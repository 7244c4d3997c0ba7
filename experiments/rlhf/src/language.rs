//! Training a language model: the base, where none is published, and supervised fine-tuning.
//!
//! `B` windows of `T` tokens.

use std::collections::BTreeMap;

use common::data::sampler::below;
use common::device::upload;
use common::distributed::Gradients;
use common::interrupt;
use common::nn::probe::{Probe, check_gradients, non_finite_loss};
use common::nn::transformer::Transformer;
use common::nn::transformer::parts::tied_loss;
use common::optim::schedule::warmup_cosine;
use common::optim::{
    Adam, AdamConfig, Decay, Epsilon, Optimizer as _, ParamGroup, clip, named_params,
};
use common::rng;
use common::shim::Autocast;
use common::training_run::TrainingRun;
use serde::{Deserialize, Serialize};
use tch::Tensor;
use tch::nn::VarStore;

/// How a language model is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Tokens that a window predicts.
    pub length: usize,
    /// Windows of an update.
    pub batch: usize,
    /// Updates in all.
    pub steps: u64,
    /// Adam's highest rate; half a cosine leads down to 0.
    pub lr: f64,
    /// Updates over which the rate rises from 0.
    pub warmup: u64,
    /// Decoupled decay of matrices and embeddings.
    pub weight_decay: f64,
    /// The largest norm of all gradients together.
    pub clip: f64,
    /// Updates between two rows of `metrics.csv`.
    pub row_every: u64,
    /// Updates between two looks at the validation text; a multiple of `row_every`.
    pub val_every: u64,
    /// Updates between two checkpoints.
    pub save_every: u64,
    /// Windows that a look at the validation or the test text reads.
    pub val_windows: usize,
}

/// What is read: ids `[B, T + 1]` of which the last `T` are predicted.
pub struct Text<'a> {
    /// The batch of a step.
    pub train: &'a dyn Fn(u64) -> Tensor,
    /// What is looked at on the way.
    pub val: &'a [Tensor],
    /// Read once, at the end.
    pub test: &'a [Tensor],
}

/// The columns of `metrics.csv` after step and time.
const COLUMNS: [&str; 6] =
    ["tokens", "lr", "train/loss", "train/grad_norm", "val/loss", "val/perplexity"];

/// Where the loop stands besides its step.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct At {
    updates: u64,
    loss: f64,
    grad_norm: f64,
    last: BTreeMap<String, f64>,
}

/// Trains `net`, whose variables are those of `vs`, to the last update from wherever `run` stopped; returns the numbers
/// it ended with.
///
/// # Errors
/// A loss or gradient that is not finite, an interrupt, a file that cannot be read or written.
pub fn train(
    seed: u64,
    cfg: &Config,
    vs: &VarStore,
    net: &Transformer,
    text: &Text,
    run: &mut TrainingRun,
) -> anyhow::Result<BTreeMap<String, f64>> {
    let params = named_params(vs);
    let mut opt = optimizer(vs, cfg.weight_decay);
    let (mut step, mut at) = run.resume_or_start::<At>(vs, &mut opt, &COLUMNS)?;
    let grads = Gradients::new(run.world(), &params)?;
    let autocast = run.autocast();
    let tokens_per_step = (cfg.batch * cfg.length) as f64;
    while step < cfg.steps {
        // 1. One update.
        let lr = warmup_cosine(step, cfg.warmup, cfg.steps, cfg.lr);
        run.world().seed_torch(seed, "dropout", step);
        let ids = (text.train)(step); // [B, T + 1]
        let ids = upload(&run.world().rows("a batch", &ids)?, run.device());
        opt.zero_grad();
        let loss = {
            let _autocast = autocast();
            loss_of(net, &ids, &Probe::off())
        };
        let value = run.world().mean(loss.double_value(&[]))?;
        if !value.is_finite() {
            let why =
                non_finite_loss(value, step, &params, |probe| drop(loss_of(net, &ids, probe)));
            return Err(why.into());
        }
        grads.backward(&loss, true)?;
        let norm = clip::clip_grad_norm(&params, cfg.clip);
        check_gradients(norm, step, &params)?;
        opt.step(lr);
        step += 1;

        // 2. Everything that only looks.
        at.updates += 1;
        at.loss += value;
        at.grad_norm += norm;
        run.tick(step, cfg.steps, tokens_per_step, "tokens/s", value);
        let done = step == cfg.steps;
        if step.is_multiple_of(cfg.row_every) || done {
            let n = at.updates as f64;
            let mut row = vec![
                ("tokens", step as f64 * tokens_per_step),
                ("lr", lr),
                ("train/loss", at.loss / n),
                ("train/grad_norm", at.grad_norm / n),
            ];
            if step.is_multiple_of(cfg.val_every) || done {
                let loss = mean_loss_of(net, text.val, &autocast)?;
                row.extend([("val/loss", loss), ("val/perplexity", loss.exp())]);
            }
            run.log(step, &row)?;
            let last = row.iter().map(|&(name, value)| (name.to_owned(), value)).collect();
            at = At { last, ..At::default() };
        }
        let stop = run.world().interrupted();
        if step.is_multiple_of(cfg.save_every) || done || stop.is_err() {
            run.save(step, vs, &opt, &at)?;
        }
        if !done {
            stop?;
        }
    }
    let loss = mean_loss_of(net, text.test, &autocast)?;
    at.last.insert("test/loss".to_owned(), loss);
    at.last.insert("test/perplexity".to_owned(), loss.exp());
    at.last.insert("parameters".to_owned(), net.config().parameters() as f64);
    Ok(at.last)
}

/// Mean loss in nats a token of ids `[B, T + 1]`, whose last `T` are predicted.
pub fn loss_of(net: &Transformer, ids: &Tensor, probe: &Probe) -> Tensor {
    let t = ids.size()[1] - 1;
    let states = net.forward(&ids.narrow(1, 0, t), true, probe).flatten(0, 1); // [B·T, C]
    tied_loss(&states, net.tokens(), &ids.narrow(1, 1, t).flatten(0, 1), None)
}

/// Mean loss in nats a token over all of `batches`.
///
/// # Errors
/// An interrupt.
pub fn mean_loss_of(
    net: &Transformer,
    batches: &[Tensor],
    autocast: &dyn Fn() -> Autocast,
) -> anyhow::Result<f64> {
    let _no_grad = tch::no_grad_guard();
    let (mut sum, mut n) = (0.0, 0.0);
    for ids in batches {
        interrupt::check()?;
        let _autocast = autocast();
        let ids = ids.to_device(net.tokens().device());
        let tokens = (ids.size()[0] * (ids.size()[1] - 1)) as f64;
        sum += loss_of(net, &ids, &Probe::off()).double_value(&[]) * tokens;
        n += tokens;
    }
    Ok(sum / n)
}

/// GPT-1's optimiser: decay for matrices and embeddings only.
fn optimizer(vs: &VarStore, weight_decay: f64) -> Adam {
    let (matrices, vectors): (Vec<_>, Vec<_>) =
        named_params(vs).into_iter().partition(|(_, param)| param.dim() > 1);
    let group = |params, weight_decay| ParamGroup { params, lr_scale: 1.0, weight_decay };
    let config = AdamConfig {
        beta1: 0.9,
        beta2: 0.999,
        eps: 1e-8,
        epsilon: Epsilon::Tf1,
        decay: Decay::Decoupled,
    };
    Adam::new(vec![group(matrices, weight_decay), group(vectors, 0.0)], config)
}

/// A text in one row, cut anywhere.
#[derive(Debug, Clone)]
pub struct Stream {
    /// The ids.
    pub ids: Vec<i64>,
}

impl Stream {
    /// Windows `[batch, length + 1]` that begin where `seed` and `step` say; a text that is too short is repeated.
    pub fn batch(&self, seed: u64, step: u64, batch: usize, length: usize) -> Tensor {
        let mut rng = rng::chacha(seed, "windows of a stream", step);
        let n = self.ids.len();
        let mut flat = Vec::with_capacity(batch * (length + 1));
        for _ in 0..batch {
            let start = below(&mut rng, n as u32) as usize;
            flat.extend((0..=length).map(|i| self.ids[(start + i) % n]));
        }
        Tensor::from_slice(&flat).view([batch as i64, length as i64 + 1])
    }

    /// At most `most` windows that follow each other, as batches of up to `batch`.
    pub fn windows(&self, most: usize, batch: usize, length: usize) -> Vec<Tensor> {
        let whole: Vec<&[i64]> = self.ids.windows(length + 1).step_by(length).take(most).collect();
        let pack = |some: &[&[i64]]| {
            Tensor::from_slice(&some.concat()).view([some.len() as i64, length as i64 + 1])
        };
        whole.chunks(batch).map(pack).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_of_a_stream_follow_each_other_and_draws_repeat_with_their_step() {
        let stream = Stream { ids: (0..23).collect() };
        let windows = stream.windows(10, 2, 5);
        let all: Vec<Vec<i64>> =
            windows.iter().flat_map(|w| Vec::<Vec<i64>>::try_from(w).unwrap()).collect();
        assert_eq!(all.len(), 4);
        assert_eq!(all[1], [5, 6, 7, 8, 9, 10]);
        assert_eq!(stream.batch(1, 2, 3, 30), stream.batch(1, 2, 3, 30));
        assert_ne!(stream.batch(1, 2, 3, 30), stream.batch(1, 3, 3, 30));
    }
}
