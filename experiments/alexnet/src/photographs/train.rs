//! Section 5's training: SGD with momentum on random crops, the rate divided along the way.

use std::collections::BTreeMap;

use anyhow::Context as _;
use common::checkpoint::{CheckpointError, Tensors, restore_variables, variables};
use common::data::photos::TestView;
use common::distributed::Gradients;
use common::nn::probe::Probe;
use common::nn::to_channels_last;
use common::optim::{ParamGroup, Sgd, SgdConfig, SgdForm, named_params};
use common::rng;
use common::training_run::TrainingRun;
use ledger::run::RunKey;
use serde::{Deserialize, Serialize};
use tch::Tensor;
use tch::nn::VarStore;

use super::data::{Augment, Photographs};
use super::eval::{self, Errors, Judged};
use super::schedule::{Plateau, Schedule};
use crate::loss::Loss;
use crate::network::{AlexNet, NetworkConfig, is_default};
use crate::train::{Window, update};

/// Everything that decides the numbers of one run, but the data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The network; `classes` are those of the data set.
    pub network: NetworkConfig,
    /// What is lowered; the softmax's in the paper.
    #[serde(default, skip_serializing_if = "is_default")]
    pub loss: Loss,
    /// What is done to training pictures.
    pub augment: Augment,
    /// Levels 0–255 minus the mean picture are multiplied by this; 1 in the paper.
    pub input_scale: f64,
    /// Training pictures; fewer than the set has are a fixed random subset.
    pub pictures: usize,
    /// Training pictures that are held out to follow the training by and to choose by; never trained on.
    pub held_out: usize,
    /// Pictures in a batch.
    pub batch: usize,
    /// Passes over the training pictures, at the most when the schedule waits for plateaus.
    pub epochs: f64,
    /// The first learning rate.
    pub lr: f64,
    /// How it falls.
    pub schedule: Schedule,
    /// How that of the biases falls; as that of the weights where none is given, as in the paper.
    #[serde(default, skip_serializing_if = "is_default")]
    pub bias_schedule: Option<Schedule>,
    /// How much of the last update is kept.
    pub momentum: f64,
    /// Decay of the weights; times the learning rate, as section 5 writes it.
    pub weight_decay: f64,
    /// Decay of the biases.
    pub bias_decay: f64,
    /// The biases' learning rate is this many times that of the weights.
    pub bias_lr_scale: f64,
    /// Updates after which a loss that is still that of guessing ends the run; 0 never does.
    pub flat_after: u64,
    /// Pictures between two rows of `metrics.csv`.
    pub row_every: usize,
    /// Pictures between two evaluations on the held-out pictures.
    pub eval_every: usize,
    /// Pictures between two checkpoints.
    pub save_every: usize,
}

/// The columns of `metrics.csv` after step and time.
pub const COLUMNS: [&str; 13] = [
    "epoch",
    "lr",
    "train/loss",
    "train/error",
    "loader/wait",
    "val/loss",
    "val/top1_error",
    "test/loss",
    "test/top1_error",
    "test/top5_error",
    "test/ten_views_loss",
    "test/ten_views_top1_error",
    "test/ten_views_top5_error",
];

/// A training that stands still.
///
/// Source: the way out is that of BVLC/caffe, `models/bvlc_alexnet/readme.md`.
#[derive(Debug, thiserror::Error)]
#[error(
    "the loss is {loss:.4} after {step} updates, still that of guessing among {classes} classes \
     ({guessing:.4}). A network whose biases begin at {bias} is known to stall there: begin at 0.1, as \
     Caffe's does (--set photographs.recipe.network.bias=0.1), or try another rate (--set photographs.recipe.lr={lr}); \
     --set photographs.recipe.flat_after=0 waits for ever"
)]
pub struct FlatLossError {
    /// Mean loss over the last pictures, nats.
    pub loss: f64,
    /// Updates made.
    pub step: u64,
    /// Classes.
    pub classes: i64,
    /// The loss of guessing, nats.
    pub guessing: f64,
    /// What the raised biases began at.
    pub bias: f64,
    /// Another learning rate than that of the run.
    pub lr: f64,
}

/// The metric, beside the columns, with the mean loss over the first [`FIRST`] pictures.
pub const FIRST_LOSS: &str = "train/first_loss";
/// Pictures of the first line of cuda-convnet2's log: one of its data batches.
///
/// Source: akrizhevsky/cuda-convnet2, `TrainingExample.md`, `Data.md`.
const FIRST: usize = 3072;

/// How near to the loss of guessing a loss has to be to count as that, as a share of it.
const A_HAIR: f64 = 0.01;

/// Where the loop stands besides its step.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct At {
    window: Window,
    /// The first pictures.
    #[serde(default)]
    first: Window,
    plateau: Plateau,
    /// What the run ends with: the last value of every column.
    last: BTreeMap<String, f64>,
    /// Whether the training is over; a run that was killed after that has nothing more to do.
    done: bool,
}

/// Trains to the end from wherever `run` stopped, then reads the test pictures, once; returns the numbers
/// it ended with. A run begins with the weights `start`, its last layer drawn anew, or with all drawn.
///
/// # Errors
/// A loss that is not finite, or still that of guessing; pictures that cannot be read; weights of another
/// network; an interrupt; a file that cannot be written.
pub fn train(
    key: &RunKey,
    cfg: &Recipe,
    set: &Photographs,
    start: Option<&Tensors>,
    run: &mut TrainingRun,
) -> anyhow::Result<BTreeMap<String, f64>> {
    let steps_per_epoch = set.steps_per_epoch(cfg.batch);
    let steps = (cfg.epochs * steps_per_epoch as f64).round() as u64;
    let [row_every, eval_every, save_every] =
        [cfg.row_every, cfg.eval_every, cfg.save_every].map(|n| (n / cfg.batch).max(1) as u64);

    let mut vs = VarStore::new(run.device());
    let net = build(&mut vs, &cfg.network, key.seed);
    if let Some(start) = start {
        take_over(&vs, start)?;
    }
    let params = named_params(&vs);
    let mut opt = optimizer(&params, cfg);
    let (mut step, mut at) = run.resume_or_start::<At>(&vs, &mut opt, &COLUMNS)?;
    let grads = Gradients::new(run.world(), &params)?;
    let mut loader = set.train_batches(cfg, key.seed, step..steps, run.world().own())?;
    let (mut waited, mut since) = (0.0, run.elapsed_s());
    let (device, autocast) = (run.device(), run.autocast());

    while step < steps && !at.done {
        // 1. One update.
        let batch = loader.next().context("the loader has a batch for every step")??;
        let (xs, ys) = batch.tensors(device);
        let lr = cfg.schedule.rate(cfg.lr, step, steps, &at.plateau);
        if let Some(schedule) = &cfg.bias_schedule {
            let of_biases = schedule.rate(cfg.bias_lr_scale * cfg.lr, step, steps, &at.plateau);
            opt.set_lr_scale(BIASES, of_biases / lr);
        }
        let forward = |xs: &Tensor, probe: &Probe| {
            grads.world().seed_torch(key.seed, "dropout", step);
            net.forward(xs, true, probe)
        };
        let by = cfg.loss;
        let seen = update(forward, by, &mut opt, &grads, &params, &xs, &ys, lr, step, &autocast)?;
        step += 1;

        // 2. Everything that only looks.
        at.window.add(&seen);
        if !at.last.contains_key(FIRST_LOSS) {
            at.first.add(&seen);
            if at.first.pictures() >= FIRST {
                at.last.insert(FIRST_LOSS.to_owned(), at.first.take().0);
            }
        }
        run.tick(step, steps, cfg.batch as f64, "images/s", seen.loss);
        at.done = step == steps;
        let mut row = Vec::new();
        if step.is_multiple_of(eval_every) || at.done {
            let Errors { loss, top1, .. } =
                eval::errors(&net, cfg.loss, set.held_out_batches(cfg)?, 1, device, &autocast)?;
            row.extend([("val/loss", loss), ("val/top1_error", top1)]);
            at.done |= cfg.schedule.evaluated(top1, &mut at.plateau);
        }
        if step.is_multiple_of(row_every) || at.done || !row.is_empty() {
            let (mean_loss, error) = at.window.take();
            let (now, wait) = (run.elapsed_s(), loader.waited().as_secs_f64());
            row.extend([
                ("epoch", step as f64 / steps_per_epoch as f64),
                ("lr", lr),
                ("train/loss", mean_loss),
                ("train/error", error),
            ]);
            if at.done {
                row.extend(test(&net, cfg, set, run)?.iter().flat_map(Judged::row));
            }
            at.last.extend(row.iter().map(|&(name, value)| (name.to_owned(), value)));
            row.push(("loader/wait", (wait - waited) / (now - since)));
            (waited, since) = (wait, now);
            run.log(step, &row)?;
            check_flat(mean_loss, step, cfg)?;
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

/// What the finished network gets wrong on the test pictures; none where there are no test pictures.
fn test(
    net: &AlexNet,
    cfg: &Recipe,
    set: &Photographs,
    run: &TrainingRun,
) -> anyhow::Result<Option<Judged>> {
    let errors = |view: TestView| -> anyhow::Result<Option<Errors>> {
        let Some(batches) = set.test_batches(cfg, view)? else { return Ok(None) };
        let views = view.count() as i64;
        eval::errors(net, cfg.loss, batches, views, run.device(), &run.autocast()).map(Some)
    };
    let both = errors(TestView::Centre)?.zip(errors(TestView::Ten)?);
    Ok(both.map(|(one, ten)| Judged { one, ten }))
}

/// Ends a run whose loss has not left that of guessing by the update it was given for that.
fn check_flat(loss: f64, step: u64, cfg: &Recipe) -> Result<(), FlatLossError> {
    let classes = cfg.network.classes;
    let guessing = cfg.loss.of_guessing(classes);
    let due = cfg.flat_after > 0 && step >= cfg.flat_after;
    if !due || (loss - guessing).abs() > A_HAIR * guessing {
        return Ok(());
    }
    Err(FlatLossError { loss, step, classes, guessing, bias: cfg.network.bias, lr: cfg.lr / 2.0 })
}

/// The network with its first weights, in the layout that trains fastest.
pub fn build(vs: &mut VarStore, cfg: &NetworkConfig, seed: u64) -> AlexNet {
    rng::seed_torch(seed, "init", 0);
    let net = AlexNet::new(&vs.root(), cfg);
    to_channels_last(vs);
    net
}

/// Copies `start`, the weights of a network that differs at most in its classes, into `vs`, but for the last
/// layer, which stays as it is.
///
/// # Errors
/// Weights of another network.
pub fn take_over(vs: &VarStore, start: &Tensors) -> Result<(), CheckpointError> {
    let own = variables(vs).into_iter().filter(|(name, _)| name.starts_with(LAST));
    let others = start.iter().filter(|(name, _)| !name.starts_with(LAST));
    let others = others.map(|(name, tensor)| (name.clone(), tensor.shallow_clone()));
    restore_variables(vs, &others.chain(own).collect(), "the weights to start from")
}

/// The layer that depends on the classes.
const LAST: &str = "fc8.";
/// The optimiser's group of biases.
const BIASES: usize = 1;

/// Momentum and decay as the paper writes them, biases with a rate and a decay of their own.
pub fn optimizer(params: &[(String, Tensor)], cfg: &Recipe) -> Sgd {
    let share = |(name, param): &(String, Tensor)| (name.clone(), param.shallow_clone());
    let (biases, weights): (Vec<_>, Vec<_>) =
        params.iter().map(share).partition(|(name, _)| name.ends_with("bias"));
    let group = |params, lr_scale, weight_decay| ParamGroup { params, lr_scale, weight_decay };
    let groups = vec![
        group(weights, 1.0, cfg.weight_decay),
        group(biases, cfg.bias_lr_scale, cfg.bias_decay),
    ];
    let config = SgdConfig { momentum: cfg.momentum, form: SgdForm::Paper, nesterov: false };
    Sgd::new(groups, config)
}
