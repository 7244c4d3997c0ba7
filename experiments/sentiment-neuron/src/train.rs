//! Section 3's training: truncated back-propagation through a multiplicative LSTM over the bytes of reviews.

use std::collections::BTreeMap;
use std::f64::consts::LN_2;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use common::data::loader::Loader;
use common::data::text::segments::{Cut, Segments};
use common::data::text::shards::{Part, Shards};
use common::device::upload;
use common::distributed::Gradients;
use common::interrupt;
use common::nn::mlstm::State;
use common::nn::probe::{check_gradients, non_finite_loss};
use common::optim::schedule::warmup_linear;
use common::optim::{
    Adam, AdamConfig, Decay, Epsilon, Optimizer as _, ParamGroup, clip, named_params,
};
use common::shim::Autocast;
use common::training_run::TrainingRun;
use common::window::{Means, Window};
use serde::{Deserialize, Serialize};
use tch::Device;

use crate::features::symbols_tensor;
use crate::model::{Neuron, Sizes};

/// Everything that decides the numbers of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// The network's sizes.
    pub sizes: Sizes,
    /// Texts side by side in a batch; published: 128.
    pub streams: usize,
    /// Bytes of each text in a batch: how far back gradients reach; published: 256.
    pub steps: usize,
    /// Updates in all; published: 1,000,000.
    pub updates: u64,
    /// Adam's rate at the first update; it falls in a line to zero at the last. Published: 5e-4.
    pub lr: f64,
    /// The largest norm of all gradients together. Not published; the reproduction of NVIDIA clips at 1.
    pub clip: Option<f64>,
    /// Updates between two rows of `metrics.csv`; each row's loss is over these.
    pub row_every: u64,
    /// Updates between two looks at the validation shard; a multiple of `row_every`.
    pub val_every: u64,
    /// Bytes of the validation shard that such a look reads; the last one reads all.
    pub val_bytes: usize,
    /// Updates between two checkpoints.
    pub save_every: u64,
    /// How many times the weights are kept on the way: after all updates, half of them, a quarter, …
    pub stations: u32,
    /// sha256 over the text's shards.
    pub data_sha256: String,
}

/// Adam's constants are not published: these are the defaults of its own paper.
const ADAM: AdamConfig =
    AdamConfig { beta1: 0.9, beta2: 0.999, eps: 1e-8, epsilon: Epsilon::PyTorch, decay: Decay::L2 };

/// The columns of `metrics.csv` after step and time.
pub const COLUMNS: [&str; 8] = [
    "bytes",
    "epoch",
    "lr",
    "train/loss",
    "train/bpb",
    "train/grad_norm",
    "val/bpb",
    "loader/wait",
];

/// Where the loop stands besides its step; the state carried along is among the network's variables.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct At {
    window: Window,
    /// What the run ends with.
    last: BTreeMap<String, f64>,
}

/// Trains to the last update from wherever `run` stopped; returns the numbers it ended with. The weights of each
/// station are written to `stations`.
///
/// # Errors
/// A loss or gradient that is not finite, an interrupt, a file that cannot be read or written.
pub fn train(
    seed: u64,
    cfg: &Config,
    shards: &Arc<Shards>,
    stations: &Path,
    run: &mut TrainingRun,
) -> anyhow::Result<BTreeMap<String, f64>> {
    let cut = Cut { streams: cfg.streams, steps: cfg.steps };
    let segments = Arc::new(Segments::new(Arc::clone(shards), seed, cut)?);
    let per_epoch = segments.steps_per_epoch();
    let bytes_per_step = (cfg.streams * cfg.steps) as f64;
    let val = shards.read(Part::Val)?;
    // The texts side by side are shared out: each process carries the state of its own on.
    let own = run.world().share("streams", cfg.streams)?;
    let (from, n_own) = (own.start as i64, own.len() as i64);

    let mut neuron = Neuron::new(cfg.sizes, cfg.streams, seed, run.device());
    let params = named_params(&neuron.vs);
    let mut opt = optimizer(&neuron);
    let (mut step, mut at) = run.resume_or_start::<At>(&neuron.vs, &mut opt, &COLUMNS)?;
    let mut state = neuron.carried().narrow(from, n_own);
    let grads = Gradients::new(run.world(), &params)?;
    let mut loader = {
        let segments = Arc::clone(&segments);
        Loader::new(step..cfg.updates, 1, 4, move |step| segments.at(step))
    };
    let (mut waited, mut since) = (0.0, run.elapsed_s());
    let autocast = run.autocast();

    while step < cfg.updates {
        // 1. One update, on from the state that the last one ended with.
        let segment = loader.next().context("the loader has a segment for every step")??;
        let [xs, ys] = [&segment.xs, &segment.ys]
            .map(|bytes| symbols_tensor(bytes, cfg.streams, cfg.steps).narrow(0, from, n_own)) // [B, T]
            .map(|symbols| upload(&symbols, run.device()));
        if segment.reset {
            state = State::zeros(n_own, cfg.sizes.hidden, run.device());
        }
        let lr = warmup_linear(step, 0, cfg.updates, cfg.lr);
        let (loss, next) = {
            let _autocast = autocast();
            neuron.net.loss(&xs, &ys, &state)
        };
        let value = run.world().mean(loss.double_value(&[]))?;
        if !value.is_finite() {
            let why = non_finite_loss(value, step, &params, |probe| {
                let segment = neuron.net.composed(&xs, &state);
                (probe.see("cell state", segment.cell), probe.see("hidden state", segment.hidden))
            });
            return Err(why.into());
        }
        opt.zero_grad();
        grads.backward(&loss, true)?;
        let norm = clip::clip_grad_norm(&params, cfg.clip.unwrap_or(f64::INFINITY));
        check_gradients(norm, step, &params)?;
        opt.step(lr);
        state = next.detach();
        step += 1;

        // 2. Everything that only looks.
        at.window.add(value, norm);
        run.tick(step, cfg.updates, bytes_per_step, "bytes/s", value);
        let done = step == cfg.updates;
        if step.is_multiple_of(cfg.row_every) || done {
            let Means { loss, grad_norm } = at.window.take();
            let now = run.elapsed_s();
            let wait = loader.waited().as_secs_f64();
            let mut row = vec![
                ("bytes", step as f64 * bytes_per_step),
                ("epoch", step as f64 / per_epoch as f64),
                ("lr", lr),
                ("train/loss", loss),
                ("train/bpb", loss / LN_2),
                ("train/grad_norm", grad_norm),
                ("loader/wait", (wait - waited) / (now - since)),
            ];
            (waited, since) = (wait, now);
            if step.is_multiple_of(cfg.val_every) || done {
                let limit = if done { val.len() } else { cfg.val_bytes };
                row.push(("val/bpb", bits_per_byte(&neuron, &val, limit, &autocast)?));
            }
            run.log(step, &row)?;
            at.last = row.iter().map(|&(name, value)| (name.to_owned(), value)).collect();
            at.last.remove("loader/wait");
        }
        let station_due = common::stations::stations(cfg.updates, cfg.stations).contains(&step);
        if station_due && run.world().is_first() {
            std::fs::create_dir_all(stations)
                .with_context(|| format!("{}: cannot create", stations.display()))?;
            neuron.write(&station(stations, step))?;
        }
        let stop = run.world().interrupted();
        if step.is_multiple_of(cfg.save_every) || done || stop.is_err() {
            neuron.carry(&state.gathered(run.world())?);
            run.save(step, &neuron.vs, &opt, &at)?;
        }
        if !done {
            stop?;
        }
    }
    // The test shard is read once, by the finished network.
    let test = shards.read(Part::Test)?;
    at.last.insert("test/bpb".to_owned(), bits_per_byte(&neuron, &test, test.len(), &autocast)?);
    at.last.insert("parameters".to_owned(), neuron.net.config().parameters() as f64);
    Ok(at.last)
}

/// Adam without decay on all parameters.
pub(crate) fn optimizer(neuron: &Neuron) -> Adam {
    let params = named_params(&neuron.vs);
    Adam::new(vec![ParamGroup { params, lr_scale: 1.0, weight_decay: 0.0 }], ADAM)
}

/// The weights' file of a station.
pub fn station(folder: &Path, step: u64) -> PathBuf {
    folder.join(format!("weights-{step}.safetensors"))
}

/// Bits that the network needs for a byte of `text`, over its first `limit` bytes read as some texts side by side,
/// each from a zero state.
///
/// # Errors
/// Ctrl-C.
pub fn bits_per_byte(
    neuron: &Neuron,
    text: &[u8],
    limit: usize,
    autocast: &dyn Fn() -> Autocast,
) -> anyhow::Result<f64> {
    Ok(nats_per_symbol(neuron, text, limit, autocast)? / LN_2)
}

/// As [`bits_per_byte`] for symbols of any kind, in nats.
///
/// # Errors
/// A text without a symbol to predict; Ctrl-C.
pub(crate) fn nats_per_symbol<T: Copy + Into<i64>>(
    neuron: &Neuron,
    text: &[T],
    limit: usize,
    autocast: &dyn Fn() -> Autocast,
) -> anyhow::Result<f64> {
    const SIDE_BY_SIDE: usize = 32;
    const STEPS: usize = 128;
    let _no_grad = tch::no_grad_guard();
    let text = &text[..limit.min(text.len())];
    // Short texts are not cut into pieces that are mostly beginnings.
    let streams = (text.len() / (8 * STEPS)).clamp(1, SIDE_BY_SIDE);
    let cut = Cut { streams, steps: STEPS.min(text.len().saturating_sub(1).max(1)) };
    let device: Device = neuron.device();
    let mut state = State::zeros(streams as i64, neuron.net.config().hidden, device);
    let mut nats = 0.0;
    let n = cut.count(text.len());
    for index in 0..n {
        interrupt::check()?;
        let (xs, ys) = cut.segment(text, index);
        let [xs, ys] =
            [xs, ys].map(|symbols| symbols_tensor(&symbols, streams, cut.steps).to_device(device));
        let _autocast = autocast();
        let (loss, next) = neuron.net.loss(&xs, &ys, &state);
        nats += loss.double_value(&[]);
        state = next;
    }
    anyhow::ensure!(n > 0, "a text of {} symbols has none to predict", text.len());
    Ok(nats / n as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::device::Precision;

    #[test]
    fn a_network_whose_scores_are_all_equal_needs_eight_bits_a_byte() {
        let neuron = Neuron::new(Sizes { embedding: 2, hidden: 3 }, 1, 0, Device::Cpu);
        let output = neuron.parameters().into_iter().find(|(name, _)| name == "output.weight");
        let _ = tch::no_grad(|| output.unwrap().1.zero_());
        let autocast = || Precision::Fp32.autocast(Device::Cpu);
        for text in [&b"xy"[..], &[7; 700], &vec![9; 40_000]] {
            let found = bits_per_byte(&neuron, text, text.len(), &autocast).unwrap();
            assert!((found - 8.0).abs() < 1e-5, "{found} bits for {} bytes", text.len());
        }
        assert!(bits_per_byte(&neuron, b"x", 1, &autocast).is_err());
    }
}
