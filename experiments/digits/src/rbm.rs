//! Restricted Boltzmann machines and contrastive divergence.
//!
//! Logistic visible units `v`, the last of which may be one softmax unit of several classes; logistic or linear hidden units
//! `h`; energy `−v·W h − a·v − b·h` (plus `½|h|²` for linear units of variance 1). `N` cases, `V` visible (classes counted)
//! and `H` hidden units.
//!
//! Source: Hinton 2002; Hinton & Salakhutdinov 2006, supporting material.

use tch::nn::Path;
use tch::{Kind, Tensor};

use crate::net::{Units, add_scaled};

/// A machine; its tensors are those of the store it was made in.
#[derive(Debug)]
pub struct Rbm {
    /// `W: [V, H]`
    pub weight: Tensor,
    /// `a: [V]`
    pub visible: Tensor,
    /// `b: [H]`
    pub hidden: Tensor,
    /// What the hidden units are.
    units: Units,
    /// So many of the last visible units are a softmax: exactly one of them is on.
    classes: i64,
}

/// What the visible units are given when they are made out of the hidden ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visible {
    /// Their probabilities: less noise, and a chain that is not quite Gibbs sampling's.
    Probabilities,
    /// Samples of them.
    Samples,
}

/// A direction for each of a machine's tensors.
#[derive(Debug)]
pub struct Direction {
    /// `[V, H]`
    pub weight: Tensor,
    /// `[V]`
    pub visible: Tensor,
    /// `[H]`
    pub hidden: Tensor,
}

/// What contrastive divergence says about a batch.
#[derive(Debug)]
pub struct Contrast {
    /// Up the likelihood, mean over the cases.
    pub direction: Direction,
    /// Squared distance of the first reconstruction from the data, mean over the cases.
    pub error: f64,
    /// The visible units at the end of the chain, `[N, V]`.
    pub fantasy: Tensor,
}

impl Rbm {
    /// A machine with weights from N(0, `std`²), drawn from libtorch's generator, and biases of zero. Its visible units are
    /// `n_visible` logistic ones and a softmax of `classes`; no softmax for 0.
    pub fn new(
        path: &Path,
        n_visible: i64,
        classes: i64,
        n_hidden: i64,
        units: Units,
        std: f64,
    ) -> Self {
        let n_visible = n_visible + classes;
        let mut weight = path.zeros_no_train("weight", &[n_visible, n_hidden]);
        let _ = weight.normal_(0.0, std);
        let visible = path.zeros_no_train("visible", &[n_visible]);
        let hidden = path.zeros_no_train("hidden", &[n_hidden]);
        Self { weight, visible, hidden, units, classes }
    }

    /// The hidden units' probabilities (linear units: means) given `vs: [N, V]`, `[N, H]`.
    pub fn up(&self, vs: &Tensor) -> Tensor {
        let inputs = self.hidden.addmm(vs, &self.weight);
        if self.units == Units::Linear { inputs } else { inputs.sigmoid() }
    }

    /// The visible units' probabilities given `hs: [N, H]`, `[N, V]`.
    pub fn down(&self, hs: &Tensor) -> Tensor {
        let inputs = self.visible.addmm(hs, &self.weight.tr()); // [N, V]
        if self.classes == 0 {
            return inputs.sigmoid();
        }
        let (features, classes) = self.split(&inputs);
        Tensor::cat(&[features.sigmoid(), classes.softmax(-1, None::<Kind>)], -1)
    }

    /// The logistic units and the softmax of `vs: [N, V]`.
    pub fn split(&self, vs: &Tensor) -> (Tensor, Tensor) {
        let features = vs.size()[1] - self.classes;
        (vs.narrow(1, 0, features), vs.narrow(1, features, self.classes))
    }

    /// The visible units drawn, given what [`Rbm::down`] said of them.
    pub fn sample_visible(&self, vs: &Tensor) -> Tensor {
        if self.classes == 0 {
            return vs.bernoulli();
        }
        let (features, classes) = self.split(vs);
        let class = classes.multinomial(1, true).squeeze_dim(1).one_hot(self.classes);
        Tensor::cat(&[features.bernoulli(), class.to_kind(vs.kind())], -1)
    }

    /// The hidden units drawn, given what [`Rbm::up`] said of them.
    pub fn sample(&self, hs: &Tensor) -> Tensor {
        if self.units == Units::Linear { hs + hs.randn_like() } else { hs.bernoulli() }
    }

    /// Free energy of each of `vs: [N, V]`, nats, `[N]`: `−log Σ_h exp(−energy)`. Logistic hidden units.
    pub fn free_energy(&self, vs: &Tensor) -> Tensor {
        let inputs = self.hidden.addmm(vs, &self.weight); // [N, H]
        -vs.mv(&self.visible) - inputs.softplus().sum_dim_intlist(-1, false, None::<Kind>)
    }

    /// The log-probability of each class, up to a term that is the same for all, given logistic visible units
    /// `features: [N, V − classes]`: minus the free energy with that class on. `[N, classes]`
    pub fn class_scores(&self, features: &Tensor) -> Tensor {
        let n_features = self.weight.size()[0] - self.classes;
        let inputs = self.hidden.addmm(features, &self.weight.narrow(0, 0, n_features)); // [N, H]
        let score = |class: i64| {
            let row = n_features + class;
            let hidden = (&inputs + self.weight.get(row)).softplus();
            hidden.sum_dim_intlist(-1, false, None::<Kind>) + self.visible.get(row)
        };
        Tensor::stack(&(0..self.classes).map(score).collect::<Vec<_>>(), 1)
    }

    /// Contrastive divergence with `steps` steps of Gibbs sampling from the data `vs: [N, V]`. The hidden units are drawn
    /// on the way and enter the statistics with their probabilities.
    pub fn contrast(&self, vs: &Tensor, steps: usize, visible: Visible) -> Contrast {
        let hs = self.up(vs);
        let (mut fantasy, mut fantasy_hs) = (vs.shallow_clone(), hs.shallow_clone());
        let mut error = 0.0;
        for step in 0..steps {
            fantasy = self.down(&self.sample(&fantasy_hs));
            if step == 0 {
                error = (vs - &fantasy).square().sum(Kind::Double).double_value(&[]);
            }
            if visible == Visible::Samples {
                fantasy = self.sample_visible(&fantasy);
            }
            fantasy_hs = self.up(&fantasy);
        }
        let direction = Direction::between((vs, &hs), (&fantasy, &fantasy_hs), vs.size()[0] as f64);
        Contrast { direction, error: error / vs.size()[0] as f64, fantasy }
    }
}

impl Direction {
    /// The mean over `n` cases of the statistics of `data` less those of `fantasies`: visible `[N, V]` and hidden `[N, H]`
    /// units.
    pub fn between(data: (&Tensor, &Tensor), fantasies: (&Tensor, &Tensor), n: f64) -> Self {
        let sum = |xs: &Tensor| xs.sum_dim_intlist(0, false, None::<Kind>);
        // One product of both: the matrix of weights is the largest thing here.
        let visible = Tensor::cat(&[data.0, fantasies.0], 0);
        let hidden = Tensor::cat(&[data.1 / n, fantasies.1 / -n], 0);
        Self {
            weight: visible.tr().mm(&hidden),
            visible: sum(&(data.0 - fantasies.0)) / n,
            hidden: sum(&hidden),
        }
    }
}

/// Momentum and decay: `v ← momentum·v + lr·(direction − decay·w)`, `w ← w + v`; biases do not decay.
#[derive(Debug)]
pub struct Velocity {
    weight: Tensor,
    visible: Tensor,
    hidden: Tensor,
}

impl Velocity {
    /// At rest; its tensors are kept in the store, so that checkpoints hold them.
    pub fn new(path: &Path, rbm: &Rbm) -> Self {
        let zeros = |name: &str, like: &Tensor| path.zeros_no_train(name, &like.size());
        Self {
            weight: zeros("weight", &rbm.weight),
            visible: zeros("visible", &rbm.visible),
            hidden: zeros("hidden", &rbm.hidden),
        }
    }

    /// One update of `rbm`.
    pub fn step(&mut self, rbm: &mut Rbm, up: &Direction, lr: f64, momentum: f64, decay: f64) {
        for (w, v, direction, decay) in [
            (&mut rbm.weight, &mut self.weight, &up.weight, decay),
            (&mut rbm.visible, &mut self.visible, &up.visible, 0.0),
            (&mut rbm.hidden, &mut self.hidden, &up.hidden, 0.0),
        ] {
            *v *= momentum;
            add_scaled(v, lr, direction);
            add_scaled(v, -lr * decay, w);
            *w += &*v;
        }
    }
}

#[cfg(test)]
mod tests;
