//! A stack of restricted Boltzmann machines, each trained on what the one below makes of the data, and unrolled into an
//! autoencoder.
//!
//! Source: Hinton & Salakhutdinov 2006, and its supporting material.

use anyhow::ensure;
use common::data::sampler::{LastBatch, Sampler};
use common::rng;
use serde::{Deserialize, Serialize};
use tch::Tensor;
use tch::nn::Path;

use crate::data::batch;
use crate::net::{Net, Units};
use crate::rbm::{Rbm, Velocity, Visible};
use crate::steps::Steps;

/// How the machines are trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Passes over the cases, for each machine.
    pub epochs: u64,
    /// Cases in a batch.
    pub batch: usize,
    /// Learning rate.
    pub lr: f64,
    /// Learning rate of a machine with linear hidden units.
    pub linear_lr: f64,
    /// How much of the last update is kept …
    pub momentum: f64,
    /// … in the first epochs: how much …
    pub first_momentum: f64,
    /// … and how many.
    pub first_epochs: u64,
    /// Decay of the weights, relative to the learning rate.
    pub weight_decay: f64,
    /// Standard deviation of the first weights.
    pub std: f64,
}

/// What the topmost machine's units are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Top {
    /// Hidden units are linear: an autoencoder's code.
    Code,
    /// All units are logistic.
    Hidden,
    /// So many classes stand beside what comes from below, as one softmax unit.
    Labelled(i64),
}

/// The machines from the pixels up.
#[derive(Debug)]
pub struct Stack {
    /// The lowest first.
    pub rbms: Vec<Rbm>,
    velocities: Vec<Velocity>,
    units: Vec<Units>,
}

impl Config {
    /// Updates of so many `machines` on so many `cases`.
    pub fn steps(&self, machines: usize, cases: usize) -> u64 {
        machines as u64 * self.epochs * (cases / self.batch) as u64
    }
}

/// Trains machine after machine on `n` cases, each on what it `sees` of them, from wherever the run stands; a row for each
/// epoch.
///
/// # Errors
/// A reconstruction that is not finite, an interrupt, a file that cannot be written.
pub(crate) fn train(
    steps: &mut Steps,
    cfg: &Config,
    stack: &mut Stack,
    n: usize,
    sees: impl Fn(&Stack, usize) -> Tensor,
) -> anyhow::Result<()> {
    let sampler = Sampler::new(steps.seed, n, cfg.batch, LastBatch::Drop);
    let per_machine = cfg.steps(1, n);
    while steps.step < cfg.steps(stack.rbms.len(), n) {
        let layer = (steps.step / per_machine) as usize;
        let inputs = sees(stack, layer); // [n, in]
        while steps.step < (layer as u64 + 1) * per_machine {
            let within = steps.step % per_machine;
            let chosen = sampler.batch_of(within);
            rng::seed_torch(steps.seed, "gibbs", steps.step);
            let xs = batch(&inputs, &chosen.indices);
            let error = stack.update(layer, &xs, cfg, chosen.epoch);
            ensure!(
                error.is_finite(),
                "machine {layer}: the error of its reconstructions is {error} at step {}; try a lower learning rate",
                steps.step
            );
            steps.at.window.add(error, 0.0);
            steps.at.multiply_adds += (stack.multiply_adds(layer) * xs.size()[0]) as f64;
            steps.step += 1;
            if (within + 1).is_multiple_of(sampler.steps_per_epoch()) {
                let error = steps.at.window.take().loss;
                steps.run.log(steps.step, &[("layer", layer as f64), ("rbm/error", error)])?;
            }
            steps.end_step(cfg.batch, error)?;
        }
    }
    Ok(())
}

/// Cases that a machine sees at a time when they are only passed on.
const CHUNK: i64 = 5000;

impl Stack {
    /// Machines between neighbours of `widths` with weights drawn from libtorch's generator. All they consist of is in
    /// the store below `path`.
    pub fn new(path: &Path, widths: &[i64], top: Top, std: f64) -> Self {
        let last = widths.len() - 2;
        let mut stack = Self { rbms: Vec::new(), velocities: Vec::new(), units: Vec::new() };
        for (i, pair) in widths.windows(2).enumerate() {
            let (units, classes) = match top {
                Top::Code if i == last => (Units::Linear, 0),
                Top::Labelled(classes) if i == last => (Units::Logistic, classes),
                _ => (Units::Logistic, 0),
            };
            let rbm = Rbm::new(&(path / format!("rbm{i}")), pair[0], classes, pair[1], units, std);
            stack.velocities.push(Velocity::new(&(path / format!("velocity{i}")), &rbm));
            stack.rbms.push(rbm);
            stack.units.push(units);
        }
        stack
    }

    /// What machine `layer` sees of `cases: [N, pixels]`: the probabilities of the units below it, without labels.
    pub fn inputs(&self, cases: &Tensor, layer: usize) -> Tensor {
        if layer == 0 {
            return cases.shallow_clone();
        }
        let up = |xs: Tensor| self.rbms[..layer].iter().fold(xs, |xs, rbm| rbm.up(&xs));
        Tensor::cat(&cases.split(CHUNK, 0).into_iter().map(up).collect::<Vec<_>>(), 0)
    }

    /// One update of machine `layer` by contrastive divergence with one step on a batch `xs: [N, in]` of what it sees;
    /// returns the squared error of its reconstruction, mean over the cases.
    pub fn update(&mut self, layer: usize, xs: &Tensor, cfg: &Config, epoch: u64) -> f64 {
        let (rbm, velocity) = (&mut self.rbms[layer], &mut self.velocities[layer]);
        let lr = if self.units[layer] == Units::Linear { cfg.linear_lr } else { cfg.lr };
        let momentum = if epoch < cfg.first_epochs { cfg.first_momentum } else { cfg.momentum };
        let contrast = rbm.contrast(xs, 1, Visible::Probabilities);
        velocity.step(rbm, &contrast.direction, lr, momentum, cfg.weight_decay);
        contrast.error
    }

    /// The parameters of the autoencoder that the machines unroll into, `[P]`: up with the hidden biases, down with the
    /// same weights and the visible biases.
    pub fn unrolled(&self) -> Tensor {
        let up = self.rbms.iter().flat_map(|rbm| [rbm.weight.flatten(0, -1), rbm.hidden.copy()]);
        let down = self.rbms.iter().rev();
        let down = down.flat_map(|rbm| [rbm.weight.tr().flatten(0, -1), rbm.visible.copy()]);
        Tensor::cat(&up.chain(down).collect::<Vec<_>>(), 0)
    }

    /// Puts the machines' weights and hidden biases into the layers of a `net` that begins as they do; the layers above
    /// are left as they are.
    pub fn put_into(&self, net: &Net, theta: &Tensor) {
        for (mut layer, rbm) in net.layers(theta).into_iter().zip(&self.rbms) {
            layer.weight.copy_(&rbm.weight);
            layer.bias.copy_(&rbm.hidden);
        }
    }

    /// Multiply-adds of an update of machine `layer`, for each case: up, down, up, and two sums of products.
    pub fn multiply_adds(&self, layer: usize) -> i64 {
        5 * self.rbms[layer].weight.numel() as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::nn::VarStore;
    use tch::{Device, Kind};

    fn config() -> Config {
        Config {
            epochs: 20,
            batch: 20,
            lr: 0.1,
            linear_lr: 0.01,
            momentum: 0.9,
            first_momentum: 0.5,
            first_epochs: 5,
            weight_decay: 2e-4,
            std: 0.1,
        }
    }

    #[test]
    fn an_unrolled_stack_goes_up_and_down_as_its_machines_do() {
        let vs = VarStore::new(Device::Cpu);
        tch::manual_seed(1);
        let stack = Stack::new(&vs.root(), &[9, 5, 2], Top::Code, 1.0);
        for rbm in &stack.rbms {
            for bias in [&rbm.visible, &rbm.hidden] {
                let _ = bias.shallow_clone().normal_(0.0, 1.0);
            }
        }
        let xs = Tensor::rand([6, 9], (Kind::Float, Device::Cpu));
        let code = stack.inputs(&xs, 2);
        let wanted = stack.rbms[0].down(&stack.rbms[1].down(&code));
        let net = Net::autoencoder(&[9, 5, 2]);
        let found = net.forward(&stack.unrolled(), &xs).output;
        assert!((found - wanted).abs().max().double_value(&[]) < 1e-6);
    }

    #[test]
    fn a_machine_learns_to_give_its_cases_back() {
        let vs = VarStore::new(Device::Cpu);
        tch::manual_seed(1);
        let mut stack = Stack::new(&vs.root(), &[16, 8], Top::Hidden, 0.1);
        // Two patterns with a little noise.
        let pattern = Tensor::from_slice(&[1.0_f32, 0.0]).repeat([8]);
        let cases = Tensor::stack(&[&pattern, &(1.0 - &pattern)], 0).repeat([10, 1]) * 0.9 + 0.05;
        let (mut first, mut last) = (0.0, 0.0);
        for step in 0..200 {
            last = stack.update(0, &cases, &config(), step);
            if step == 0 {
                first = last;
            }
        }
        assert!(last < 0.2 * first, "from {first} to {last}");
    }
}
