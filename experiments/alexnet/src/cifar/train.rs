//! Training a CIFAR net through its stages, and the one reading of the test pictures at the end.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use anyhow::Context as _;
use common::distributed::Gradients;
use common::interrupt;
use common::nn::probe::Probe;
use common::nn::to_channels_last;
use common::optim::named_params;
use common::rng;
use common::shim::Autocast;
use common::training_run::TrainingRun;
use ledger::run::RunKey;
use serde::{Deserialize, Serialize};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use super::data::{MeanView, Pictures, View, Views};
use super::layers::{Normalisation, Pooling};
use super::net::{CifarNet, optimizer};
use super::nets::Net;
use super::predictions::{self, Prediction, error_and_loss};
use super::schedule::{Schedule, Stage};
use crate::loss::Loss;
use crate::train::{Window, update};

/// Everything that decides the numbers of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// The layers.
    pub net: Net,
    /// What stands where the net has a response normalisation.
    pub normalisation: Normalisation,
    /// The windows of its pools.
    pub pooling: Pooling,
    /// What it sees of a picture.
    pub views: Views,
    /// Whether weights decay as the net's table says, or not at all.
    pub decay: bool,
    /// Learning rate of the weights in a stage that divides it by 1.
    pub lr: f64,
    /// The biases' learning rate is this many times that of the weights.
    pub bias_lr_scale: f64,
    /// How much of the last update is kept.
    pub momentum: f64,
    /// Pictures in a batch.
    pub batch: usize,
    /// The stages.
    pub stages: Vec<Stage>,
    /// Each stage has this many times its epochs.
    pub scale: f64,
    /// Training pictures.
    pub pictures: usize,
    /// Test pictures.
    pub test_pictures: usize,
    /// Pictures between two rows of `metrics.csv`; a row's training error is over these. A stage ends with
    /// a row.
    pub row_every: usize,
    /// Rows between two looks at the pictures held out, in a stage that holds any out; and at its end.
    pub val_rows: u64,
    /// Pictures between two checkpoints.
    pub save_every: usize,
    /// sha256 over the labels and pixels of the data sets, separated by blanks.
    pub data_sha256: String,
}

/// The columns of `metrics.csv` after step and time.
pub const COLUMNS: [&str; 6] =
    ["epoch", "train/loss", "train/error", "val/loss", "val/error", "loader/wait"];

/// Views that one forward pass takes when nothing is trained.
const TEST_BATCH: usize = 500;

/// Training views over which the factors of normalisations are measured.
const FACTOR_VIEWS: usize = 1000;

/// Where the loop stands besides its step.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct At {
    window: Window,
    /// The last row: what the run ends with.
    last: BTreeMap<String, f64>,
}

/// Trains through the stages from wherever `run` stopped, then takes `tests`, sets of pictures by name;
/// returns the numbers the run ended with.
///
/// # Errors
/// A loss or gradient that is not finite, an interrupt, a file that cannot be written.
pub fn train(
    key: &RunKey,
    cfg: &Config,
    set: Pictures,
    tests: &[(&str, Pictures)],
    run: &mut TrainingRun,
) -> anyhow::Result<BTreeMap<String, f64>> {
    let set = Arc::new(set);
    let mean = set.mean_view(cfg.views);
    let schedule = Schedule::new(&cfg.stages, cfg.scale, set.n, cfg.batch, key.seed);
    let schedule = Arc::new(schedule.shared(run.world().own())?);
    let steps = schedule.steps();
    let [row_every, save_every] =
        [cfg.row_every, cfg.save_every].map(|n| (n / cfg.batch).max(1) as u64);

    let mut vs = VarStore::new(run.device());
    let net = build(&mut vs, cfg, key.seed, &set);
    let params = named_params(&vs);
    let mut opt = optimizer(&params, &cfg.net.table(), cfg.momentum, cfg.bias_lr_scale, cfg.decay);
    let (mut step, mut at) = run.resume_or_start::<At>(&vs, &mut opt, &COLUMNS)?;
    let grads = Gradients::new(run.world(), &params)?;
    let mut loader = set.loader(cfg.views, &mean, &schedule, step..steps);
    let (mut waited, mut since) = (0.0, run.elapsed_s());
    let (device, autocast) = (run.device(), run.autocast());
    let look = |name: &str, set: &Pictures, indices: Range<u32>, views: &[View]| {
        look(&net, name, set, indices, views, cfg.views.side(set.size), &mean, device, &autocast)
    };

    while step < steps {
        // 1. One update.
        let batch = loader.next().context("the loader has a batch for every step")??;
        let (xs, ys) = batch.tensors(device);
        let lr = cfg.lr / schedule.divisor(step);
        let forward = |xs: &Tensor, probe: &Probe| net.forward(xs, probe);
        let by = Loss::Softmax;
        let seen = update(forward, by, &mut opt, &grads, &params, &xs, &ys, lr, step, &autocast)?;
        let trained_on = schedule.pictures(step);
        step += 1;

        // 2. Everything that only looks. The error is that of the batches as they were trained on, as the
        // authors' program logs it.
        at.window.add(&seen);
        run.tick(step, steps, cfg.batch as f64, "images/s", seen.loss);
        let stage_ends = schedule.stage_ends(step);
        if step.is_multiple_of(row_every) || stage_ends {
            let (mean_loss, error) = at.window.take();
            let mut row = vec![
                ("epoch", schedule.epochs(step)),
                ("train/loss", mean_loss),
                ("train/error", error),
            ];
            at.last.extend(row.iter().map(|&(name, value)| (name.to_owned(), value)));
            let val_due = step.is_multiple_of(row_every * cfg.val_rows) || stage_ends;
            if trained_on < set.n && val_due {
                let held_out = trained_on as u32..set.n as u32;
                let seen = look("val", &set, held_out, &[cfg.views.centre()]);
                let (error, loss) =
                    error_and_loss(&seen, "val", 1).context("pictures are held out")?;
                row.extend([("val/loss", loss), ("val/error", error)]);
            }
            let (now, wait) = (run.elapsed_s(), loader.waited().as_secs_f64());
            row.push(("loader/wait", (wait - waited) / (now - since)));
            (waited, since) = (wait, now);
            run.log(step, &row)?;
        }
        let stop = run.world().interrupted();
        if step.is_multiple_of(save_every) || step == steps || stop.is_err() {
            run.save(step, &vs, &opt, &at)?;
        }
        stop?;
    }

    // 3. The test pictures, once.
    let mut numbers = at.last;
    let mut all = Vec::new();
    for (name, pictures) in tests {
        for views in [vec![cfg.views.centre()], cfg.views.test()] {
            if views.len() == 1 && all.iter().any(|p: &Prediction| p.set == *name) {
                continue; // a whole picture is one view
            }
            interrupt::check()?;
            let seen = look(name, pictures, 0..pictures.n as u32, &views);
            let (error, loss) =
                error_and_loss(&seen, name, views.len()).context("there are test pictures")?;
            let of = if views.len() == 1 { String::new() } else { format!("-{}", views.len()) };
            numbers.insert(format!("{name}/error{of}"), error);
            numbers.insert(format!("{name}/loss{of}"), loss);
            all.extend(seen);
        }
    }
    predictions::write(run.path(), &all)?;
    let some = (0..set.n.min(FACTOR_VIEWS) as u32).map(|i| (i, cfg.views.centre()));
    let (xs, _) = set.batch(some, cfg.views.side(set.size), &mean).tensors(device);
    let factors = net.norm_factors(&xs);
    numbers.extend(factors.into_iter().map(|(name, factor)| (format!("{name}/factor"), factor)));
    Ok(numbers)
}

/// The net with its first weights, in the layout that trains fastest.
pub fn build(vs: &mut VarStore, cfg: &Config, seed: u64, set: &Pictures) -> CifarNet {
    rng::seed_torch(seed, "init", 0);
    let [channels, side] = [set.channels, cfg.views.side(set.size)].map(|n| n as i64);
    let net = CifarNet::new(
        &vs.root(),
        &cfg.net.table(),
        &cfg.normalisation,
        cfg.pooling,
        channels,
        side,
    );
    to_channels_last(vs);
    net
}

/// What `net` takes the pictures of `set` at `indices` for, by the name `name`: the class with the largest
/// mean over `views`, of `side × side` each, of the softmax outputs.
#[expect(clippy::too_many_arguments, reason = "a net, what it looks at, and how it computes")]
fn look(
    net: &CifarNet,
    name: &str,
    set: &Pictures,
    indices: Range<u32>,
    views: &[View],
    side: usize,
    mean: &MeanView,
    device: Device,
    autocast: &dyn Fn() -> Autocast,
) -> Vec<Prediction> {
    let _no_grad = tch::no_grad_guard();
    let mut seen = Vec::with_capacity(indices.len());
    for start in indices.clone().step_by(TEST_BATCH) {
        let chunk = start..indices.end.min(start + TEST_BATCH as u32);
        let mut labels = None;
        let probabilities = views.iter().map(|&view| {
            let batch = set.batch(chunk.clone().map(|i| (i, view)), side, mean);
            let (xs, ys) = batch.tensors(device);
            labels = Some(ys);
            let logits = {
                let _autocast = autocast();
                net.forward(&xs, &Probe::off())
            };
            logits.softmax(-1, Kind::Float) // [N, classes]
        });
        let sum = probabilities.reduce(|sum, next| sum + next).expect("there is a view");
        let mean = sum / views.len() as f64;
        let labels = labels.expect("there is a view");
        let own = mean.gather(1, &labels.unsqueeze(1), false).squeeze_dim(1); // [N]
        let best = Vec::<i64>::try_from(mean.argmax(-1, false)).expect("one class a picture");
        let labels = Vec::<i64>::try_from(labels).expect("one label a picture");
        let own = Vec::<f32>::try_from(own).expect("one probability a picture");
        for ((predicted, label), p) in best.into_iter().zip(labels).zip(own) {
            // A probability that rounds to 0 would be a loss without end.
            let loss = -f64::from(p.max(f32::MIN_POSITIVE)).ln();
            seen.push(Prediction {
                set: name.to_owned(),
                views: views.len(),
                label: label as u8,
                predicted: predicted as u8,
                loss: (loss * 1e4).round() / 1e4,
            });
        }
    }
    seen
}
