//! A deep belief net: an associative memory of features and labels on top of layers that turn features into pixels, and the
//! way back up that guesses the features.
//!
//! After greedy training both ways share their weights. The up-down algorithm, a contrastive form of wake-sleep, unties
//! and tunes them. `N` cases, `F` topmost features, `C` classes.
//!
//! Source: Hinton, Osindero & Teh 2006, sections 4 to 6 and appendix B.

use tch::nn::Path;
use tch::{Kind, Tensor};

use crate::net::{Units, add_scaled};
use crate::pretrain::Stack;
use crate::rbm::{Rbm, Visible};

/// A layer of one direction: logistic units given those on its other side.
#[derive(Debug)]
struct Way {
    /// `[from, to]`
    weight: Tensor,
    /// `[to]`
    bias: Tensor,
}

/// The net; its tensors are those of the store it was made in.
#[derive(Debug)]
pub struct Dbn {
    /// From the pixels up.
    recognition: Vec<Way>,
    /// The same layers downwards; the lowest first.
    generative: Vec<Way>,
    /// Features and labels below, the topmost hidden units above.
    top: Rbm,
}

impl Way {
    fn new(path: &Path, from: i64, to: i64) -> Self {
        let weight = path.zeros_no_train("weight", &[from, to]);
        Self { weight, bias: path.zeros_no_train("bias", &[to]) }
    }

    /// Probabilities of the units it leads to, `[N, to]`, given `xs: [N, from]`.
    fn probabilities(&self, xs: &Tensor) -> Tensor {
        self.bias.addmm(xs, &self.weight).sigmoid()
    }

    /// The delta rule: makes `ys` more probable given `xs`.
    fn learn(&mut self, xs: &Tensor, ys: &Tensor, lr: f64) {
        let rate = lr / xs.size()[0] as f64;
        let apart = ys - self.probabilities(xs);
        add_scaled(&mut self.weight, rate, &xs.tr().mm(&apart));
        add_scaled(&mut self.bias, rate, &apart.sum_dim_intlist(0, false, None::<Kind>));
    }
}

impl Dbn {
    /// A net of zeros with layers of `widths` from the pixels to the features and `top` units above `classes` labels.
    pub fn new(path: &Path, widths: &[i64], classes: i64, top: i64) -> Self {
        let ways = |name: &str, up: bool| -> Vec<Way> {
            let pairs = widths.windows(2).enumerate();
            pairs
                .map(|(i, pair)| {
                    let (from, to) = if up { (pair[0], pair[1]) } else { (pair[1], pair[0]) };
                    Way::new(&(path / name / i), from, to)
                })
                .collect()
        };
        let features = widths[widths.len() - 1];
        Self {
            recognition: ways("recognition", true),
            generative: ways("generative", false),
            top: Rbm::new(&(path / "top"), features, classes, top, Units::Logistic, 0.0),
        }
    }

    /// Takes over the weights of a greedily trained stack, whose topmost machine has the labels.
    pub fn take(&mut self, stack: &Stack) {
        let ways = self.recognition.iter_mut().zip(&mut self.generative);
        for (rbm, (up, down)) in stack.rbms.iter().zip(ways) {
            up.weight.copy_(&rbm.weight);
            up.bias.copy_(&rbm.hidden);
            down.weight.copy_(&rbm.weight.tr());
            down.bias.copy_(&rbm.visible);
        }
        let top = stack.rbms.last().expect("a stack has a machine");
        self.top.weight.copy_(&top.weight);
        self.top.visible.copy_(&top.visible);
        self.top.hidden.copy_(&top.hidden);
    }

    /// One update by the up-down algorithm on pictures `xs: [N, pixels]` with labels `ys: [N, C]`, one of them on, with
    /// `gibbs` steps of sampling in the associative memory. Returns the squared error of the memory's first reconstruction,
    /// mean over the cases.
    ///
    /// Differs: the topmost hidden units enter their statistics with probabilities in place of samples; less noise.
    pub fn up_down(&mut self, xs: &Tensor, ys: &Tensor, gibbs: usize, lr: f64) -> f64 {
        // Wake: features that the picture suggests; the way down learns to make the picture out of them.
        let mut wake = vec![xs.shallow_clone()];
        for way in &self.recognition {
            wake.push(way.probabilities(&wake[wake.len() - 1]).bernoulli());
        }
        for (way, pair) in self.generative.iter_mut().zip(wake.windows(2)) {
            way.learn(&pair[1], &pair[0], lr);
        }

        // The associative memory, by contrastive divergence; its fantasies go down to pixels.
        let features = &wake[wake.len() - 1];
        let contrast = self.top.contrast(&Tensor::cat(&[features, ys], 1), gibbs, Visible::Samples);
        let mut sleep = vec![self.top.split(&contrast.fantasy).0];
        for (i, way) in self.generative.iter().enumerate().rev() {
            let below = way.probabilities(&sleep[sleep.len() - 1]);
            sleep.push(if i == 0 { below } else { below.bernoulli() });
        }

        // Sleep: the way up learns to find the features that a fantasy was made of.
        for (way, pair) in self.recognition.iter_mut().rev().zip(sleep.windows(2)) {
            way.learn(&pair[1], &pair[0], lr);
        }
        add_scaled(&mut self.top.weight, lr, &contrast.direction.weight);
        add_scaled(&mut self.top.visible, lr, &contrast.direction.visible);
        add_scaled(&mut self.top.hidden, lr, &contrast.direction.hidden);
        contrast.error
    }

    /// The class of each of `xs: [N, pixels]`, `[N]`: the label with the lowest free energy in the associative memory, given
    /// the probabilities of the features on the way up.
    pub fn classify(&self, xs: &Tensor) -> Tensor {
        let up = |xs: &Tensor| {
            let features =
                self.recognition.iter().fold(xs.shallow_clone(), |xs, way| way.probabilities(&xs));
            self.top.class_scores(&features).argmax(-1, false)
        };
        Tensor::cat(&xs.split(CHUNK, 0).iter().map(up).collect::<Vec<_>>(), 0)
    }

    /// Pictures that the net makes of labels `ys: [N, C]`, `[N, pixels]`: `gibbs` steps of sampling in the associative
    /// memory with the labels held, then one pass down; pixels are probabilities. Draws from libtorch's generator.
    pub fn generate(&self, ys: &Tensor, gibbs: usize) -> Tensor {
        let n_features = self.top.weight.size()[0] - ys.size()[1];
        let options = (ys.kind(), ys.device());
        let mut features = Tensor::full([ys.size()[0], n_features], 0.5, options).bernoulli();
        for _ in 0..gibbs {
            let hidden = self.top.sample(&self.top.up(&Tensor::cat(&[&features, ys], 1)));
            let visible = self.top.sample_visible(&self.top.down(&hidden));
            features = self.top.split(&visible).0;
        }
        self.generative.iter().enumerate().rev().fold(features, |above, (i, way)| {
            let below = way.probabilities(&above);
            if i == 0 { below } else { below.bernoulli() }
        })
    }
}

/// Cases classified at a time.
const CHUNK: i64 = 2000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pretrain::Top;
    use tch::Device;
    use tch::nn::VarStore;

    /// Two kinds of pictures of 16 pixels with a little noise, and their labels.
    fn pictures(n: i64) -> (Tensor, Tensor, Tensor) {
        let labels = Tensor::arange(n, (Kind::Int64, Device::Cpu)).remainder(2);
        let kind = labels.unsqueeze(1).to_kind(Kind::Float);
        let stripes = Tensor::from_slice(&[1.0_f32, 0.0]).repeat([8]).unsqueeze(0);
        let other: Tensor = 1.0 - &kind;
        let clean: Tensor = &kind * &stripes + other * (1.0 - &stripes);
        let noisy = (clean * 0.8 + 0.1).bernoulli();
        (noisy, labels.one_hot(2).to_kind(Kind::Float), labels)
    }

    #[test]
    fn up_down_from_nothing_learns_to_tell_and_to_make_two_kinds_of_pictures() {
        tch::manual_seed(1);
        let (xs, ys, labels) = pictures(200);
        let vs = VarStore::new(Device::Cpu);
        let stack = Stack::new(&(vs.root() / "stack"), &[16, 8, 12], Top::Labelled(2), 0.1);
        let mut dbn = Dbn::new(&(vs.root() / "dbn"), &[16, 8], 2, 12);
        dbn.take(&stack);
        for _ in 0..600 {
            dbn.up_down(&xs, &ys, 3, 0.1);
        }
        let right = dbn.classify(&xs).eq_tensor(&labels).to_kind(Kind::Float);
        assert!(right.mean(None::<Kind>).double_value(&[]) > 0.95, "{right:?}");
        let made = dbn.generate(&ys, 50);
        let means: Vec<Tensor> = (0..2)
            .map(|k| {
                let of_kind = labels.eq(k).to_kind(Kind::Float).unsqueeze(1);
                (&xs * of_kind).sum_dim_intlist(0, false, None::<Kind>) / 100.0
            })
            .collect();
        let distances: Vec<Tensor> = means
            .iter()
            .map(|mean| (&made - mean).abs().mean_dim(-1, false, None::<Kind>))
            .collect();
        let nearest = Tensor::stack(&distances, -1).argmin(-1, false);
        let as_told = nearest.eq_tensor(&labels).to_kind(Kind::Float).mean(None::<Kind>);
        assert!(as_told.double_value(&[]) > 0.9, "{as_told:?}");
    }

    #[test]
    fn what_was_learned_greedily_goes_both_ways() {
        tch::manual_seed(2);
        let vs = VarStore::new(Device::Cpu);
        let stack = Stack::new(&(vs.root() / "stack"), &[16, 8, 12], Top::Labelled(2), 1.0);
        let mut dbn = Dbn::new(&(vs.root() / "dbn"), &[16, 8], 2, 12);
        dbn.take(&stack);
        let (xs, ..) = pictures(6);
        let up = dbn.recognition[0].probabilities(&xs);
        assert_eq!(up, stack.rbms[0].up(&xs));
        assert_eq!(dbn.generative[0].probabilities(&up), stack.rbms[0].down(&up));
        let wanted = stack.rbms[1].class_scores(&up).argmax(-1, false);
        assert_eq!(dbn.classify(&xs), wanted);
    }
}
