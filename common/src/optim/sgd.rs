//! SGD with momentum, as the AlexNet paper writes it and as PyTorch does.

use std::collections::HashMap;

use tch::Tensor;

use super::{Group, OptimError, Optimizer, ParamGroup, load_into};
use crate::shim;

/// Where the learning rate `ε` stands. With momentum the two differ for some steps after each
/// change of `ε`: `Paper` goes on with the old, larger steps in its buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SgdForm {
    /// `v ← momentum·v − weight_decay·ε·w − ε·g`, `w ← w + v`.
    ///
    /// Source: Krizhevsky et al. 2012, section 5; cuda-convnet's weight update.
    Paper,
    /// `v ← momentum·v + g + weight_decay·w`, `w ← w − ε·v`.
    ///
    /// Source: `torch.optim.SGD`.
    PyTorch,
}

/// The settings that all groups share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SgdConfig {
    /// How much of the last update is kept.
    pub momentum: f64,
    /// Where the learning rate stands.
    pub form: SgdForm,
    /// Nesterov's look-ahead as PyTorch writes it: `w ← w − ε·(g + momentum·v)`. PyTorch's form only.
    pub nesterov: bool,
}

/// Stochastic gradient descent with momentum.
#[derive(Debug)]
pub struct Sgd {
    config: SgdConfig,
    groups: Vec<Group>,
    /// `v`, by group and parameter.
    buffers: Vec<Vec<Tensor>>,
    steps: i64,
}

impl Sgd {
    /// An optimiser at rest: all buffers zero.
    ///
    /// # Panics
    /// If a parameter is given twice or needs no gradient, or Nesterov is asked for in the
    /// paper's form.
    pub fn new(groups: Vec<ParamGroup>, config: SgdConfig) -> Self {
        assert!(
            !config.nesterov || config.form == SgdForm::PyTorch,
            "Nesterov momentum is defined for SgdForm::PyTorch only"
        );
        let groups = Group::split(groups);
        let buffers = groups.iter().map(Group::zeros).collect();
        Self { config, groups, buffers, steps: 0 }
    }

    /// From now on each step's learning rate is multiplied by `lr_scale` for the parameters of group `group`,
    /// counted as they were given.
    ///
    /// # Panics
    /// If there is no such group.
    pub fn set_lr_scale(&mut self, group: usize, lr_scale: f64) {
        self.groups[group].lr_scale = lr_scale;
    }

    /// The same update as [`Optimizer::step`], tensor by tensor as the formulas stand: the
    /// kernels' test oracle.
    pub fn step_plain(&mut self, lr: f64) {
        let _no_grad = tch::no_grad_guard();
        let SgdConfig { momentum, form, nesterov } = self.config;
        for (group, buffers) in self.groups.iter().zip(&self.buffers) {
            let (lr, decay) = (lr * group.lr_scale, group.weight_decay);
            for (w, v) in group.params.iter().zip(buffers) {
                let (mut w, mut v, g) = (w.shallow_clone(), v.shallow_clone(), w.grad());
                if !g.defined() {
                    continue;
                }
                let update = match form {
                    SgdForm::Paper => {
                        v.copy_(&(&v * momentum - &w * (decay * lr) - g * lr));
                        v
                    }
                    SgdForm::PyTorch => {
                        let g = g + &w * decay;
                        v.copy_(&(&v * momentum + &g));
                        if nesterov { (g + v * momentum) * -lr } else { v * -lr }
                    }
                };
                w.copy_(&(&w + update));
            }
        }
        self.steps += 1;
    }
}

impl Optimizer for Sgd {
    fn zero_grad(&mut self) {
        self.groups.iter().for_each(Group::zero_grad);
    }

    fn step(&mut self, lr: f64) {
        let SgdConfig { momentum, form, nesterov } = self.config;
        for (group, buffers) in self.groups.iter().zip(&self.buffers) {
            let (lr, decay) = (lr * group.lr_scale, group.weight_decay);
            match form {
                SgdForm::Paper => shim::sgd_paper(&group.params, buffers, lr, momentum, decay),
                SgdForm::PyTorch => {
                    shim::sgd_pytorch(&group.params, buffers, lr, momentum, decay, nesterov)
                }
            }
            .expect("parameters, gradients and buffers have one kind, device and layout");
        }
        self.steps += 1;
    }

    fn steps(&self) -> i64 {
        self.steps
    }

    fn state(&self) -> Vec<(String, Tensor)> {
        let mut state = vec![("steps".to_owned(), Tensor::from(self.steps))];
        for (group, buffers) in self.groups.iter().zip(&self.buffers) {
            for (name, buffer) in group.names.iter().zip(buffers) {
                state.push((format!("{name}.momentum_buffer"), buffer.shallow_clone()));
            }
        }
        state
    }

    fn load_state(&mut self, saved: &HashMap<String, Tensor>) -> Result<(), OptimError> {
        let own = self.state();
        load_into(&own, saved)?;
        self.steps = own[0].1.int64_value(&[]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    #[test]
    fn a_group_gets_the_rate_that_it_was_given_last() {
        let w = Tensor::zeros([1], (Kind::Double, Device::Cpu)).set_requires_grad(true);
        let params = vec![("w".to_owned(), w.shallow_clone())];
        let group = ParamGroup { params, lr_scale: 2.0, weight_decay: 0.0 };
        let config = SgdConfig { momentum: 0.0, form: SgdForm::Paper, nesterov: false };
        let mut opt = Sgd::new(vec![group], config);
        let moved = |opt: &mut Sgd| {
            let before = w.double_value(&[0]);
            opt.zero_grad();
            w.sum(Kind::Double).backward(); // gradient 1
            opt.step(0.1);
            before - w.double_value(&[0])
        };
        assert!((moved(&mut opt) - 0.2).abs() < 1e-12);
        opt.set_lr_scale(0, 0.5);
        assert!((moved(&mut opt) - 0.05).abs() < 1e-12);
    }

    #[test]
    fn the_papers_form_gives_its_golden_values() {
        let w = Tensor::ones([1], (Kind::Double, Device::Cpu)).set_requires_grad(true);
        let group = ParamGroup {
            params: vec![("w".to_owned(), w.shallow_clone())],
            lr_scale: 1.0,
            weight_decay: 5e-4,
        };
        let config = SgdConfig { momentum: 0.9, form: SgdForm::Paper, nesterov: false };
        let mut opt = Sgd::new(vec![group], config);
        for (v_wanted, w_wanted) in
            [(-0.010_005, 0.989_995), (-0.019_009_449_975, 0.970_985_550_025)]
        {
            opt.zero_grad();
            w.sum(Kind::Double).backward(); // gradient 1
            opt.step(0.01);
            let v = opt.state()[1].1.double_value(&[0]);
            assert!((v - v_wanted).abs() < 1e-14, "v: {v}, wanted {v_wanted}");
            let w = w.double_value(&[0]);
            assert!((w - w_wanted).abs() < 1e-14, "w: {w}, wanted {w_wanted}");
        }
    }
}
