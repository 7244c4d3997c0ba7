//! Section 3.1's training: plain SGD with momentum until the training error reaches the target.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context as _;
use common::data::images::ImageSet;
use common::distributed::{Gradients, World, WorldError};
use common::nn::probe::{Probe, check_gradients, non_finite_loss};
use common::nn::to_channels_last;
use common::optim::{Optimizer as _, ParamGroup, Sgd, SgdConfig, SgdForm, clip, named_params};
use common::rng;
use common::shim::Autocast;
use common::training_run::TrainingRun;
use ledger::run::RunKey;
use serde::{Deserialize, Serialize};
use tch::nn::VarStore;
use tch::{Kind, Tensor};

use crate::data::{Inputs, TrainingSet};
use crate::loss::Loss;
use crate::model::{Activation, Figure1Net, Init};

/// Everything that decides the numbers of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// What the units do.
    pub activation: Activation,
    /// What the net sees.
    pub inputs: Inputs,
    /// How the weights begin.
    pub init: Init,
    /// Learning rate of the weights, constant.
    pub lr: f64,
    /// The biases' learning rate is this many times that of the weights.
    pub bias_lr_scale: f64,
    /// Pictures in a batch.
    pub batch: usize,
    /// How much of the last update is kept.
    pub momentum: f64,
    /// Training pictures; fewer than the set has are a fixed random subset.
    pub pictures: usize,
    /// Passes over the pictures at the most.
    pub epochs: f64,
    /// Training error, a fraction, at which the run ends.
    pub target: f64,
    /// Pictures between two rows of `metrics.csv`; each row's error is over these.
    pub row_every: usize,
    /// Pictures between two checkpoints.
    pub save_every: usize,
    /// sha256 over the data set's labels and pixels.
    pub data_sha256: String,
}

/// The columns of `metrics.csv` after step and time.
pub const COLUMNS: [&str; 4] = ["epoch", "train/loss", "train/error", "loader/wait"];

/// What an update saw of its batch, in all processes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seen {
    /// Pictures.
    pub pictures: usize,
    /// Mean loss before the update, nats.
    pub loss: f64,
    /// Pictures whose largest score was at another class than their own.
    pub wrong: i64,
}

/// Sums over the batches since the last row of `metrics.csv`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Window {
    pictures: usize,
    loss: f64,
    wrong: i64,
}

impl Window {
    /// Adds a batch.
    pub(crate) fn add(&mut self, seen: &Seen) {
        self.pictures += seen.pictures;
        self.loss += seen.loss * seen.pictures as f64;
        self.wrong += seen.wrong;
    }

    /// Pictures added.
    pub(crate) fn pictures(&self) -> usize {
        self.pictures
    }

    /// Mean loss and error over the pictures added; none is left then.
    pub(crate) fn take(&mut self) -> (f64, f64) {
        let Self { pictures, loss, wrong } = std::mem::take(self);
        (loss / pictures as f64, wrong as f64 / pictures as f64)
    }
}

/// Where the loop stands besides its step.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct At {
    window: Window,
    /// The last row: what the run ends with.
    last: BTreeMap<String, f64>,
    /// Whether the target was reached; a run that was killed after that has nothing more to do.
    done: bool,
}

/// Trains until the error of a window is at the target or the epochs are over, from wherever `run`
/// stopped; returns the numbers it ended with.
///
/// # Errors
/// A loss or gradient that is not finite, an interrupt, a file that cannot be written.
pub fn train(
    key: &RunKey,
    cfg: &Config,
    pictures: &ImageSet,
    run: &mut TrainingRun,
) -> anyhow::Result<BTreeMap<String, f64>> {
    let set = Arc::new(TrainingSet::new(pictures, cfg.pictures, cfg.inputs));
    let steps_per_epoch = set.sampler(key.seed, cfg.batch).steps_per_epoch();
    let steps = (cfg.epochs * steps_per_epoch as f64).round() as u64;
    let [row_every, save_every] =
        [cfg.row_every, cfg.save_every].map(|n| (n / cfg.batch).max(1) as u64);

    let mut vs = VarStore::new(run.device());
    let model = build(&mut vs, cfg, key.seed, &set);
    let params = named_params(&vs);
    let mut opt = optimizer(&params, cfg);
    let (mut step, mut at) = run.resume_or_start::<At>(&vs, &mut opt, &COLUMNS)?;
    let grads = Gradients::new(run.world(), &params)?;
    let sampler = set.sampler(key.seed, cfg.batch).shared(run.world().own())?;
    let mut loader = set.loader(sampler, step..steps);
    let (mut waited, mut since) = (0.0, run.elapsed_s());
    let autocast = run.autocast();

    while step < steps && !at.done {
        // 1. One update.
        let batch = loader.next().context("the loader has a batch for every step")??;
        let (xs, ys) = batch.tensors(run.device());
        let forward = |xs: &Tensor, probe: &Probe| model.forward(xs, probe);
        let (by, lr) = (Loss::Softmax, cfg.lr);
        let seen = update(forward, by, &mut opt, &grads, &params, &xs, &ys, lr, step, &autocast)?;
        step += 1;

        // 2. Everything that only looks. The error is that of the batches as they were trained on, as the
        // authors' program logs it.
        at.window.add(&seen);
        run.tick(step, steps, cfg.batch as f64, "images/s", seen.loss);
        at.done = step == steps;
        if step.is_multiple_of(row_every) || at.done {
            let (mean_loss, error) = at.window.take();
            let epoch = epoch(step, steps_per_epoch);
            let now = run.elapsed_s();
            let wait = loader.waited().as_secs_f64();
            let row = [epoch, mean_loss, error, (wait - waited) / (now - since)];
            (waited, since) = (wait, now);
            let row: Vec<_> = COLUMNS.into_iter().zip(row).collect();
            run.log(step, &row)?;
            at.last = row[..3].iter().map(|&(name, value)| (name.to_owned(), value)).collect();
            at.done |= error <= cfg.target;
        }
        let stop = run.world().interrupted();
        if step.is_multiple_of(save_every) || at.done || stop.is_err() {
            run.save(step, &vs, &opt, &at)?;
        }
        if !at.done {
            stop?;
        }
    }
    Ok(at.last)
}

/// One update of `net` by `loss` on pictures `xs: [N, C, S, S]` with labels `ys: [N]`, this process's share of a batch;
/// returns what all processes saw of it before the update.
///
/// # Errors
/// A loss or gradient that is not finite, before anything is changed; names the first layer or parameter. A process
/// that has gone.
#[expect(
    clippy::too_many_arguments,
    reason = "an update needs net, loss, optimiser, batch and rate"
)]
pub fn update(
    net: impl Fn(&Tensor, &Probe) -> Tensor,
    loss: Loss,
    opt: &mut Sgd,
    grads: &Gradients,
    params: &[(String, Tensor)],
    xs: &Tensor,
    ys: &Tensor,
    lr: f64,
    step: u64,
    autocast: &dyn Fn() -> Autocast,
) -> anyhow::Result<Seen> {
    let forward = |probe: &Probe| {
        let _autocast = autocast();
        net(xs, probe)
    };
    let logits = forward(&Probe::off()).to_kind(Kind::Float); // [N, classes]
    let loss = loss.of(&logits, ys);
    let seen = Seen {
        pictures: ys.size()[0] as usize,
        loss: loss.double_value(&[]),
        wrong: wrong(&logits, ys),
    };
    let (seen, weight) = together(grads.world(), seen)?;
    if !seen.loss.is_finite() {
        return Err(non_finite_loss(seen.loss, step, params, forward).into());
    }
    opt.zero_grad();
    grads.backward(&(loss * weight), true)?;
    check_gradients(clip::grad_norm(params), step, params)?;
    opt.step(lr);
    Ok(seen)
}

/// What all processes saw, and what each one's mean loss is to be multiplied by, so that the mean over processes is that
/// over pictures: 1, unless a short batch is not shared evenly.
fn together(world: &World, own: Seen) -> Result<(Seen, f64), WorldError> {
    if world.size() == 1 {
        return Ok((own, 1.0));
    }
    let n = own.pictures as f64;
    let [pictures, loss, wrong] = world.sum([n, own.loss * n, own.wrong as f64])?;
    let seen = Seen { pictures: pictures as usize, loss: loss / pictures, wrong: wrong as i64 };
    Ok((seen, n * world.size() as f64 / pictures))
}

/// The net with its first weights, in the layout that trains fastest.
pub fn build(vs: &mut VarStore, cfg: &Config, seed: u64, set: &TrainingSet) -> Figure1Net {
    rng::seed_torch(seed, "init", 0);
    let [channels, size, classes] = [set.channels, set.size, set.classes].map(|n| n as i64);
    let model = Figure1Net::new(&vs.root(), cfg.activation, &cfg.init, channels, size, classes);
    to_channels_last(vs);
    model
}

/// Momentum as the paper writes it, with the authors' separate learning rate for biases and no decay.
pub fn optimizer(params: &[(String, Tensor)], cfg: &Config) -> Sgd {
    let share = |(name, param): &(String, Tensor)| (name.clone(), param.shallow_clone());
    let (biases, weights): (Vec<_>, Vec<_>) =
        params.iter().map(share).partition(|(name, _)| name.ends_with("bias"));
    let group = |params, lr_scale| ParamGroup { params, lr_scale, weight_decay: 0.0 };
    let config = SgdConfig { momentum: cfg.momentum, form: SgdForm::Paper, nesterov: false };
    Sgd::new(vec![group(weights, 1.0), group(biases, cfg.bias_lr_scale)], config)
}

/// Passes over the training pictures after `step` updates.
fn epoch(step: u64, steps_per_epoch: u64) -> f64 {
    step as f64 / steps_per_epoch as f64
}

/// How many of `logits: [N, classes]` have their largest score at another class than `ys: [N]` says.
fn wrong(logits: &Tensor, ys: &Tensor) -> i64 {
    logits.argmax(-1, false).not_equal_tensor(ys).sum(Kind::Int64).int64_value(&[])
}
