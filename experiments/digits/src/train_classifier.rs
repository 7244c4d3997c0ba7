//! One classifier: machine after machine if it is pre-trained, a softmax on top, then gradient descent on all of it.
//!
//! Source: Hinton & Salakhutdinov 2006, supporting material: the softmax layer learns five times faster than the others, and
//! its weights decay.

use std::collections::BTreeMap;

use anyhow::ensure;
use common::data::sampler::{LastBatch, Sampler};
use common::rng;
use common::training_run::TrainingRun;
use ledger::run::RunKey;
use serde::{Deserialize, Serialize};
use tch::Tensor;
use tch::nn::VarStore;

use crate::data::{Cases, batch, one_hot};
use crate::net::Net;
use crate::pretrain::{self, Stack, Top};
use crate::steps::Steps;

/// Everything that decides the numbers of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// Units from the pixels to the classes.
    pub widths: Vec<i64>,
    /// How the machines below the softmax are trained; without, all weights begin at random.
    pub pre_training: Option<pretrain::Config>,
    /// Standard deviation of the first weights; of a pre-trained net, of the softmax layer's.
    pub std: f64,
    /// Gradient descent.
    pub descent: Descent,
    /// Training pictures; fewer than the set has are a fixed random subset.
    pub cases: usize,
    /// Pictures beside them that only validate.
    pub val_cases: usize,
    /// sha256 over the data set's labels and pixels.
    pub data_sha256: String,
}

/// The settings of gradient descent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Descent {
    /// Passes over the cases.
    pub epochs: u64,
    /// Cases in a batch.
    pub batch: usize,
    /// Learning rate.
    pub lr: f64,
    /// The softmax layer's is this many times that of the others.
    pub softmax_lr_scale: f64,
    /// Decay of the softmax layer's weights.
    pub softmax_decay: f64,
    /// How much of the last update is kept.
    pub momentum: f64,
}

/// The columns of `metrics.csv` after step and time. `val/error` is a fraction.
pub const COLUMNS: [&str; 5] = ["layer", "rbm/error", "epoch", "train/loss", "val/error"];
/// Cases classified at a time.
const CHUNK: i64 = 5000;

impl Config {
    /// The net.
    pub fn net(&self) -> Net {
        Net::classifier(&self.widths)
    }

    /// Parameters, and about how many multiply-adds a run takes.
    pub fn size(&self) -> (i64, f64) {
        let net = self.net();
        let machines = self.pre_training.as_ref().map_or(0, |pre| 5 * pre.epochs);
        let each = net.multiply_adds() * (machines + 3 * self.descent.epochs) as i64;
        (net.n_params(), self.cases as f64 * each as f64)
    }
}

/// Trains from wherever `run` stopped; returns the numbers it ended with. The test pictures are looked at once, at the end.
///
/// # Errors
/// A loss that is not finite, an interrupt, a file that cannot be written.
pub fn train(
    key: &RunKey,
    cfg: &Config,
    train: &Cases,
    val: &Cases,
    test: &Cases,
    run: &mut TrainingRun,
) -> anyhow::Result<BTreeMap<String, f64>> {
    let _no_grad = tch::no_grad_guard();
    let (net, descent) = (cfg.net(), cfg.descent);
    let store = VarStore::new(run.device());
    let root = store.root();
    rng::seed_torch(key.seed, "init", 0);
    let mut theta = root.zeros_no_train("theta", &[net.n_params()]);
    let mut velocity = root.zeros_no_train("velocity", &[net.n_params()]);
    theta.copy_(&net.gaussian(cfg.std, run.device()));
    let machines = &cfg.widths[..cfg.widths.len() - 1];
    let mut pre_training = cfg
        .pre_training
        .as_ref()
        .map(|pre| (pre, Stack::new(&(&root / "stack"), machines, Top::Hidden, pre.std)));
    let sampler = Sampler::new(key.seed, train.len(), descent.batch, LastBatch::Drop);
    let pre_steps =
        cfg.pre_training.as_ref().map_or(0, |pre| pre.steps(machines.len() - 1, train.len()));
    let n_steps = pre_steps + descent.epochs * sampler.steps_per_epoch();
    let mut steps = Steps::resume_or_start(run, store, key.seed, n_steps, &COLUMNS)?;

    if let Some((pre, stack)) = &mut pre_training {
        let sees = |stack: &Stack, layer| stack.inputs(&train.xs, layer);
        pretrain::train(&mut steps, pre, stack, train.len(), sees)?;
        if steps.step == pre_steps {
            stack.put_into(&net, &theta);
        }
    }
    let (rates, decays) = rates(&net, &descent, &theta);
    let ys = one_hot(&train.labels, *cfg.widths.last().expect("a net has classes"));
    while !steps.done() {
        let t = steps.step - pre_steps;
        let chosen = sampler.batch_of(t);
        let (xs, ys) = (batch(&train.xs, &chosen.indices), batch(&ys, &chosen.indices));
        let (loss, gradient) = net.gradient(&theta, &xs, &ys);
        ensure!(loss.is_finite(), "the loss is {loss} at step {t}; try a lower learning rate");
        velocity *= descent.momentum;
        velocity -= (gradient + &decays * &theta) * &rates;
        theta += &velocity;
        steps.at.window.add(loss, 0.0);
        steps.step += 1;
        if (t + 1).is_multiple_of(sampler.steps_per_epoch()) {
            let loss = steps.at.window.take().loss;
            let epoch = (chosen.epoch + 1) as f64;
            let val_error = error(&net, &theta, val);
            let row = [("epoch", epoch), ("train/loss", loss), ("val/error", val_error)];
            steps.run.log(steps.step, &row)?;
        }
        steps.end_step(descent.batch, loss)?;
    }
    let numbers =
        [("val/error", error(&net, &theta, val)), ("test/error", error(&net, &theta, test))];
    Ok(numbers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// The learning rate and the decay of each parameter, both `[P]`.
fn rates(net: &Net, descent: &Descent, theta: &Tensor) -> (Tensor, Tensor) {
    let (rates, decays) = (theta.full_like(descent.lr), theta.zeros_like());
    let mut softmax = net.layers(&rates).pop().expect("a net has a layer");
    softmax.weight *= descent.softmax_lr_scale;
    softmax.bias *= descent.softmax_lr_scale;
    let mut decaying = net.layers(&decays).pop().expect("a net has a layer");
    decaying.weight += descent.softmax_decay;
    (rates, decays)
}

/// Share of the cases whose most probable class is not their own.
fn error(net: &Net, theta: &Tensor, cases: &Cases) -> f64 {
    let class = |xs: &Tensor| net.forward(theta, xs).output.argmax(-1, false);
    let found: Vec<Tensor> = cases.xs.split(CHUNK, 0).iter().map(class).collect();
    cases.error(&Tensor::cat(&found, 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn only_the_softmax_layer_learns_faster_and_only_its_weights_decay() {
        let net = Net::classifier(&[3, 2, 2]);
        let descent = Descent {
            epochs: 1,
            batch: 1,
            lr: 0.5,
            softmax_lr_scale: 5.0,
            softmax_decay: 1e-4,
            momentum: 0.9,
        };
        let theta = net.gaussian(1.0, Device::Cpu);
        let (rates, decays) = rates(&net, &descent, &theta);
        let (rates, decays) =
            (Vec::<f32>::try_from(rates).unwrap(), Vec::<f32>::try_from(decays).unwrap());
        // 3·2 + 2 parameters below, 2·2 weights and 2 biases of the softmax.
        assert_eq!(rates, [[0.5; 8].as_slice(), &[2.5; 6]].concat());
        assert_eq!(decays, [[0.0; 8].as_slice(), &[1e-4; 4], &[0.0; 2]].concat());
    }
}
