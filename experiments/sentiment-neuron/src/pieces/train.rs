//! The training of `word-pieces`: as [`crate::train`], over symbols of any kind that lie in memory.

use std::collections::BTreeMap;
use std::f64::consts::LN_2;

use common::data::sampler::epoch_order;
use common::data::text::segments::Cut;
use common::distributed::Gradients;
use common::nn::mlstm::{MlstmConfig, State};
use common::nn::probe::{check_gradients, non_finite_loss};
use common::optim::schedule::warmup_linear;
use common::optim::{Optimizer as _, clip, named_params};
use common::training_run::TrainingRun;
use serde::{Deserialize, Serialize};

use super::Symbols;
use crate::features::symbols_tensor;
use crate::model::Neuron;
use crate::train::{nats_per_symbol, optimizer};

/// Everything that decides the numbers of one run besides its text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Length of a symbol's vector.
    pub embedding: i64,
    /// Units.
    pub hidden: i64,
    /// Texts side by side in a batch.
    pub streams: usize,
    /// Symbols of each text in a batch.
    pub steps: usize,
    /// Bytes of text to see, in whatever symbols.
    pub bytes: u64,
    /// Adam's rate at the first update; it falls in a line to zero at the last.
    pub lr: f64,
    /// The largest norm of all gradients together.
    pub clip: f64,
    /// Rows of `metrics.csv`, each with a look at the validation shard and a checkpoint.
    pub rows: u64,
    /// Bytes of the validation shard that such a look reads; the last one reads all.
    pub val_bytes: u64,
}

/// The columns of `metrics.csv` after step and time.
pub const COLUMNS: [&str; 6] =
    ["bytes", "multiply_adds", "lr", "train/bpb", "train/grad_norm", "val/bpb"];

/// Sums over the updates since the last row.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Window {
    updates: u64,
    loss: f64,
    grad_norm: f64,
}

impl Config {
    /// Updates until the text seen has the wanted size, at least one.
    pub fn updates(&self, text: &Symbols) -> u64 {
        let per_update = (self.streams * self.steps) as f64 * text.bytes_per_symbol();
        ((self.bytes as f64 / per_update).round() as u64).max(1)
    }
}

/// Which segment of which shard a step reads.
fn place(seed: u64, step: u64, counts: &[u64]) -> (usize, u64) {
    let per_epoch: u64 = counts.iter().sum();
    let mut left = step % per_epoch;
    for shard in epoch_order(seed, step / per_epoch, counts.len()) {
        let count = counts[shard as usize];
        if left < count {
            return (shard as usize, left);
        }
        left -= count;
    }
    unreachable!("a step of an epoch lies in one of its shards")
}

/// Trains to the last update from wherever `run` stopped; returns the numbers it ended with, in bits per byte of text.
///
/// # Errors
/// A text too short for one update; a loss or gradient that is not finite; an interrupt; a file that cannot be written.
pub fn train(
    seed: u64,
    cfg: &Config,
    text: &Symbols,
    run: &mut TrainingRun,
) -> anyhow::Result<BTreeMap<String, f64>> {
    let cut = Cut { streams: cfg.streams, steps: cfg.steps };
    let counts: Vec<u64> = text.train.iter().map(|shard| cut.count(shard.len())).collect();
    anyhow::ensure!(
        counts.iter().sum::<u64>() > 0,
        "no shard has {} symbols: fewer streams or steps, or more text",
        cfg.streams * cfg.steps + 1
    );
    let updates = cfg.updates(text);
    let bytes_per_step = (cfg.streams * cfg.steps) as f64 * text.bytes_per_symbol();
    let net = MlstmConfig { vocab: text.vocab, embedding: cfg.embedding, hidden: cfg.hidden };
    // The backward pass costs twice the forward.
    let work_per_step = 3.0 * (net.multiply_adds() as usize * cfg.streams * cfg.steps) as f64;
    let mut neuron = Neuron::over(&net, cfg.streams, seed, run.device());
    let params = named_params(&neuron.vs);
    let mut opt = optimizer(&neuron);
    let (mut step, mut window) = run.resume_or_start::<Window>(&neuron.vs, &mut opt, &COLUMNS)?;
    let own = run.world().share("streams", cfg.streams)?;
    let (from, n_own) = (own.start as i64, own.len() as i64);
    let mut state = neuron.carried().narrow(from, n_own);
    let grads = Gradients::new(run.world(), &params)?;
    let autocast = run.autocast();
    // Nats per symbol are bits per byte by this, of a part of the text.
    let bits = |nats: f64, symbols: usize, bytes: u64| nats * symbols as f64 / bytes as f64 / LN_2;
    let mut val_bits = f64::NAN;
    while step < updates {
        // 1. One update.
        let (shard, index) = place(seed, step, &counts);
        let (xs, ys) = cut.segment(&text.train[shard], index);
        let [xs, ys] = [xs, ys].map(|symbols| {
            let all = symbols_tensor(&symbols, cfg.streams, cfg.steps);
            all.narrow(0, from, n_own).to_device(run.device())
        }); // [B, T]
        if index == 0 {
            state = State::zeros(n_own, cfg.hidden, run.device());
        }
        let lr = warmup_linear(step, 0, updates, cfg.lr);
        let (loss, next) = {
            let _autocast = autocast();
            neuron.net.loss(&xs, &ys, &state)
        };
        let value = run.world().mean(loss.double_value(&[]))?;
        if !value.is_finite() {
            return Err(non_finite_loss(value, step, &params, |_| ()).into());
        }
        opt.zero_grad();
        grads.backward(&loss, true)?;
        let norm = clip::clip_grad_norm(&params, cfg.clip);
        check_gradients(norm, step, &params)?;
        opt.step(lr);
        state = next.detach();
        step += 1;

        // 2. Everything that only looks.
        window.updates += 1;
        window.loss += value;
        window.grad_norm += norm;
        run.tick(step, updates, bytes_per_step, "bytes/s", value);
        let done = step == updates;
        let row = step.is_multiple_of((updates / cfg.rows).max(1)) || done;
        if row {
            let Window { updates: n, loss, grad_norm } = std::mem::take(&mut window);
            let share = cfg.val_bytes as f64 / text.bytes[1] as f64;
            let limit =
                if done { text.val.len() } else { (text.val.len() as f64 * share) as usize };
            let nats = nats_per_symbol(&neuron, &text.val, limit, &autocast)?;
            val_bits = bits(nats, text.val.len(), text.bytes[1]);
            run.log(
                step,
                &[
                    ("bytes", step as f64 * bytes_per_step),
                    ("multiply_adds", step as f64 * work_per_step),
                    ("lr", lr),
                    ("train/bpb", loss / n as f64 / LN_2 / text.bytes_per_symbol()),
                    ("train/grad_norm", grad_norm / n as f64),
                    ("val/bpb", val_bits),
                ],
            )?;
        }
        let stop = run.world().interrupted();
        if row || stop.is_err() {
            neuron.carry(&state.gathered(run.world())?);
            run.save(step, &neuron.vs, &opt, &window)?;
        }
        if !done {
            stop?;
        }
    }
    if val_bits.is_nan() {
        // Finished before, and stopped between the last row and the end.
        let nats = nats_per_symbol(&neuron, &text.val, text.val.len(), &autocast)?;
        val_bits = bits(nats, text.val.len(), text.bytes[1]);
    }
    let nats = nats_per_symbol(&neuron, &text.test, text.test.len(), &autocast)?;
    Ok(BTreeMap::from([
        ("bytes".to_owned(), updates as f64 * bytes_per_step),
        ("multiply_adds".to_owned(), updates as f64 * work_per_step),
        ("bytes_per_symbol".to_owned(), text.bytes_per_symbol()),
        ("vocab".to_owned(), text.vocab as f64),
        ("parameters".to_owned(), neuron.net.config().parameters() as f64),
        ("val/bpb".to_owned(), val_bits),
        ("test/bpb".to_owned(), bits(nats, text.test.len(), text.bytes[2])),
    ]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_segment_is_read_once_an_epoch_and_in_order() {
        let counts = [3, 0, 2];
        for epoch in 0..3 {
            let mut seen: Vec<_> = (0..5).map(|i| place(4, epoch * 5 + i, &counts)).collect();
            let mut last = None;
            for &(shard, index) in &seen {
                if index > 0 {
                    assert_eq!(last, Some((shard, index - 1)), "{seen:?}");
                }
                last = Some((shard, index));
            }
            seen.sort_unstable();
            assert_eq!(seen, [(0, 0), (0, 1), (0, 2), (2, 0), (2, 1)]);
        }
    }

    #[test]
    fn updates_are_so_many_that_the_same_bytes_are_seen() {
        let symbols = |n: usize, bytes| Symbols {
            vocab: 9,
            train: vec![vec![0; n]],
            val: vec![0],
            test: vec![0],
            bytes: [bytes, 1, 1],
        };
        let cfg = Config {
            embedding: 1,
            hidden: 1,
            streams: 2,
            steps: 5,
            bytes: 4000,
            lr: 0.1,
            clip: 1.0,
            rows: 1,
            val_bytes: 1,
        };
        assert_eq!(cfg.updates(&symbols(1000, 1000)), 400);
        assert_eq!(cfg.updates(&symbols(250, 1000)), 100);
    }
}
