//! Adam and `AdamW`.

use std::collections::{BTreeMap, HashMap};

use tch::Tensor;

use super::{Group, OptimError, Optimizer, ParamGroup, load_into};
use crate::shim::{self, AdamUpdate};

/// Where `ε` stands. Its effect differs in the first steps, while the bias correction of `v` is
/// far from 1: with `Tf1` they are up to `1/√(1−β₂)` times more damped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Epsilon {
    /// Beside the corrected root: `w ← w − lr/(1−β₁ᵗ) · m/(√(v/(1−β₂ᵗ)) + ε)`.
    ///
    /// Source: `torch.optim.Adam`; Kingma & Ba 2015, algorithm 1.
    PyTorch,
    /// Beside the root as it is, "epsilon hat": `w ← w − lr·√(1−β₂ᵗ)/(1−β₁ᵗ) · m/(√v + ε)`.
    ///
    /// Source: `tf.train.AdamOptimizer` (version 1) and `opt.py` of openai/finetune-transformer-lm (GPT-1); Kingma & Ba
    /// 2015, the paragraph before section 2.1.
    Tf1,
}

/// What a group's `weight_decay` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decay {
    /// `weight_decay·w` is added to the gradient, and so passes through both averages.
    L2,
    /// `w ← w − lr·weight_decay·w` beside the update: `AdamW`.
    ///
    /// Source: Loshchilov & Hutter 2019, with `torch.optim.AdamW`'s factor `lr`.
    Decoupled,
}

/// The settings that all groups share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamConfig {
    /// How much of the average gradient `m` is kept.
    pub beta1: f64,
    /// How much of the average squared gradient `v` is kept.
    pub beta2: f64,
    /// `ε`.
    pub eps: f64,
    /// Where `ε` stands.
    pub epsilon: Epsilon,
    /// What weight decay does.
    pub decay: Decay,
}

/// Adam. Each parameter counts the updates it took part in, as in PyTorch.
#[derive(Debug)]
pub struct Adam {
    config: AdamConfig,
    groups: Vec<Group>,
    /// `m`, `v` and `t`, by group and parameter.
    exp_avgs: Vec<Vec<Tensor>>,
    exp_avg_sqs: Vec<Vec<Tensor>>,
    counts: Vec<Vec<i64>>,
    steps: i64,
}

impl Adam {
    /// An optimiser at rest: all averages zero.
    ///
    /// # Panics
    /// If a parameter is given twice or needs no gradient.
    pub fn new(groups: Vec<ParamGroup>, config: AdamConfig) -> Self {
        let groups = Group::split(groups);
        let exp_avgs = groups.iter().map(Group::zeros).collect();
        let exp_avg_sqs = groups.iter().map(Group::zeros).collect();
        let counts = groups.iter().map(|group| vec![0; group.params.len()]).collect();
        Self { config, groups, exp_avgs, exp_avg_sqs, counts, steps: 0 }
    }

    /// The same update as [`Optimizer::step`], tensor by tensor as the formulas stand: the
    /// kernels' test oracle.
    pub fn step_plain(&mut self, lr: f64) {
        let _no_grad = tch::no_grad_guard();
        let AdamConfig { beta1, beta2, eps, epsilon, decay } = self.config;
        for (k, group) in self.groups.iter().enumerate() {
            let (lr, strength) = (lr * group.lr_scale, group.weight_decay);
            for (i, w) in group.params.iter().enumerate() {
                let (mut w, g) = (w.shallow_clone(), w.grad());
                if !g.defined() {
                    continue;
                }
                let g = if decay == Decay::L2 { g + &w * strength } else { g };
                if decay == Decay::Decoupled {
                    w.copy_(&(&w * (1.0 - lr * strength)));
                }
                let mut m = self.exp_avgs[k][i].shallow_clone();
                let mut v = self.exp_avg_sqs[k][i].shallow_clone();
                self.counts[k][i] += 1;
                let t = self.counts[k][i] as i32;
                m.copy_(&(&m * beta1 + &g * (1.0 - beta1)));
                v.copy_(&(&v * beta2 + &g * &g * (1.0 - beta2)));
                let (m_correction, v_correction) = (1.0 - beta1.powi(t), 1.0 - beta2.powi(t));
                let update = match epsilon {
                    Epsilon::PyTorch => m / m_correction / ((v / v_correction).sqrt() + eps),
                    Epsilon::Tf1 => m * (v_correction.sqrt() / m_correction) / (v.sqrt() + eps),
                };
                w.copy_(&(&w - update * lr));
            }
        }
        self.steps += 1;
    }
}

impl Optimizer for Adam {
    fn zero_grad(&mut self) {
        self.groups.iter().for_each(Group::zero_grad);
    }

    fn step(&mut self, lr: f64) {
        let AdamConfig { beta1, beta2, eps, epsilon, decay } = self.config;
        for (k, group) in self.groups.iter().enumerate() {
            // The kernel takes one count for all its parameters. They only differ where some had
            // no gradient for a while.
            let mut by_count = BTreeMap::<i64, Vec<usize>>::new();
            for (i, has_grad) in shim::has_grad(&group.params).into_iter().enumerate() {
                if has_grad {
                    self.counts[k][i] += 1;
                    by_count.entry(self.counts[k][i]).or_default().push(i);
                }
            }
            for (step, chosen) in by_count {
                let of = |all: &[Tensor]| -> Vec<Tensor> {
                    chosen.iter().map(|&i| all[i].shallow_clone()).collect()
                };
                // √v + ε = √(1−β₂ᵗ)·(√(v/(1−β₂ᵗ)) + ε/√(1−β₂ᵗ)): TF1's form is PyTorch's with
                // another ε in each step.
                let eps = match epsilon {
                    Epsilon::PyTorch => eps,
                    Epsilon::Tf1 => eps / (1.0 - beta2.powi(step as i32)).sqrt(),
                };
                let update = AdamUpdate {
                    step,
                    lr: lr * group.lr_scale,
                    beta1,
                    beta2,
                    eps,
                    weight_decay: group.weight_decay,
                    decoupled: decay == Decay::Decoupled,
                };
                let (params, ms, vs) =
                    (of(&group.params), of(&self.exp_avgs[k]), of(&self.exp_avg_sqs[k]));
                shim::adam(&params, &ms, &vs, &update)
                    .expect("parameters, gradients and averages have one kind, device and layout");
            }
        }
        self.steps += 1;
    }

    fn steps(&self) -> i64 {
        self.steps
    }

    fn state(&self) -> Vec<(String, Tensor)> {
        let mut state = vec![("steps".to_owned(), Tensor::from(self.steps))];
        for (k, group) in self.groups.iter().enumerate() {
            for (i, name) in group.names.iter().enumerate() {
                state.push((format!("{name}.exp_avg"), self.exp_avgs[k][i].shallow_clone()));
                state.push((format!("{name}.exp_avg_sq"), self.exp_avg_sqs[k][i].shallow_clone()));
                state.push((format!("{name}.step"), Tensor::from(self.counts[k][i])));
            }
        }
        state
    }

    fn load_state(&mut self, saved: &HashMap<String, Tensor>) -> Result<(), OptimError> {
        load_into(&self.state(), saved)?;
        self.steps = saved["steps"].int64_value(&[]);
        for (group, counts) in self.groups.iter().zip(&mut self.counts) {
            for (name, count) in group.names.iter().zip(counts) {
                *count = saved[&format!("{name}.step")].int64_value(&[]);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    #[test]
    fn the_first_steps_in_units_of_the_learning_rate_are_the_golden_ones() {
        let grads = [1e-6, 1e-5, 1e-4, 1e-3];
        for (epsilon, wanted) in [
            (Epsilon::Tf1, [0.003_152_3, 0.030_653_4, 0.240_253_1, 0.759_746_9]),
            (Epsilon::PyTorch, [0.090_909_1, 0.5, 0.909_090_9, 0.990_099_0]),
        ] {
            let w = Tensor::zeros([4], (Kind::Double, Device::Cpu)).set_requires_grad(true);
            let params = vec![("w".to_owned(), w.shallow_clone())];
            let config = AdamConfig {
                beta1: 0.9,
                beta2: 0.999,
                eps: 1e-5,
                epsilon,
                decay: Decay::Decoupled,
            };
            let group = ParamGroup { params, lr_scale: 1.0, weight_decay: 0.0 };
            let mut opt = Adam::new(vec![group], config);
            (&w * Tensor::from_slice(&grads)).sum(Kind::Double).backward();
            opt.step(1.0);
            for (i, wanted) in wanted.into_iter().enumerate() {
                let moved = -w.double_value(&[i as i64]);
                assert!((moved - wanted).abs() < 1e-7, "{epsilon:?}: {moved}, wanted {wanted}");
            }
        }
    }
}
