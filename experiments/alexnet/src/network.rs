//! AlexNet, the network of the paper (section 3.5, Figure 2) and its switches.
//!
//! - five convolutions, three of them followed by an overlapping max-pool, three fully connected layers;
//! - ReLU everywhere, response normalisation behind the first two convolutions;
//! - two towers: `conv2`, `conv4`, `conv5` see only the maps of their own half (the paper's two GPUs),
//!   `conv3` and the fully connected layers see both;
//! - dropout on the outputs of `fc6` and `fc7`; biases of 1 where the paper says so.
//!
//! The paper does not say how 224 rows become 55. Here, as in the authors' released program, numbers of
//! outputs are rounded up: kernels at the right and lower edge reach over it, into zeros ([`Edge::RoundUp`]).
//!
//! `N` pictures in a batch, `S` rows and columns of a picture.

use common::nn::lrn::{AlphaForm, ResponseNorm};
use common::nn::probe::Probe;
use tch::nn::{self, Module as _};
use tch::{Tensor, nn::Init as TchInit};

mod config;
mod layers;

pub(crate) use config::is_default;
pub use config::{DropoutForm, Edge, Init, Layout, Middle, NetworkConfig, Norm, Order, Pool};
pub use layers::Layer;
use layers::SIXTH;

/// The network.
#[derive(Debug)]
pub struct AlexNet {
    cfg: NetworkConfig,
    /// In order, each with its weights.
    convs: Vec<(Layer, nn::Conv2D)>,
    fcs: [nn::Linear; 3],
}

impl AlexNet {
    /// A network with its first weights drawn from libtorch's generator. Parameters are called
    /// `conv1.weight`, `conv1.bias`, … `fc8.bias`.
    pub fn new(path: &nn::Path, cfg: &NetworkConfig) -> Self {
        let ws_init =
            |i: usize, layer: &Layer| TchInit::Randn { mean: 0.0, stdev: cfg.std(i, layer) };
        let bs_init = |layer: &Layer| {
            TchInit::Const(match layer.name {
                "conv2" | "conv4" | "conv5" | SIXTH | "fc6" | "fc7" => cfg.bias,
                "fc8" => cfg.last_bias,
                _ => 0.0,
            })
        };
        let (mut convs, mut fcs) = (Vec::new(), Vec::new());
        for (i, layer) in cfg.layers().into_iter().enumerate() {
            let (ws_init, bs_init) = (ws_init(i, &layer), bs_init(&layer));
            let Layer { name, inputs, outputs, kernel, stride, before, groups, .. } = layer;
            if layer.is_conv() {
                let config = nn::ConvConfigND {
                    stride,
                    padding: before,
                    groups,
                    ws_init,
                    bs_init,
                    ..nn::ConvConfig::default()
                };
                let conv = nn::conv2d(path / name, inputs, outputs, kernel, config);
                convs.push((layer, conv));
            } else {
                let config = nn::LinearConfig { ws_init, bs_init: Some(bs_init), bias: true };
                fcs.push(nn::linear(path / name, inputs, outputs, config));
            }
        }
        let fcs = fcs.try_into().expect("every configuration has three fully connected layers");
        Self { cfg: cfg.clone(), convs, fcs }
    }

    /// Its configuration.
    pub fn config(&self) -> &NetworkConfig {
        &self.cfg
    }

    /// Scores `[N, classes]` of pictures `xs: [N, 3, S, S]`. In training (`train`) dropout draws from
    /// libtorch's generator.
    pub fn forward(&self, xs: &Tensor, train: bool, probe: &Probe) -> Tensor {
        let hidden = self.hidden(xs, train, probe); // [N, 4096]
        let hidden = self.dropout(hidden, train);
        probe.see("fc8", self.fcs[2].forward(&hidden))
    }

    /// What the last hidden layer makes of pictures `xs: [N, 3, S, S]`: `[N, 4096]` at full width, at least 0.
    pub fn features(&self, xs: &Tensor) -> Tensor {
        self.hidden(xs, false, &Probe::off())
    }

    /// Outputs of `fc7` before dropout.
    fn hidden(&self, xs: &Tensor, train: bool, probe: &Probe) -> Tensor {
        let first = &self.convs[0].0;
        // Zeros on both sides come with the convolution; those behind alone are put there.
        let over = first.behind - first.before;
        let mut xs =
            if over > 0 { xs.constant_pad_nd([0, over, 0, over]) } else { xs.shallow_clone() };
        for (i, (layer, conv)) in self.convs.iter().enumerate() {
            xs = probe.see(layer.name, conv.forward(&xs)); // [N, outputs, side, side]
            let late = i == 0 && self.cfg.order == Order::Released;
            if !late {
                xs = xs.relu_();
            }
            if i < 2 {
                xs = probe.see(format_args!("norm{}", i + 1), self.norm(xs));
            }
            if layer.pooled < layer.side {
                xs = self.pool(&xs); // [N, outputs, pooled, pooled]
            }
            if late {
                xs = xs.relu_();
            }
        }
        let xs = xs.flatten(1, -1); // [N, 9216]
        let xs = probe.see("fc6", self.fcs[0].forward(&xs)).relu_(); // [N, 4096]
        let xs = self.dropout(xs, train);
        probe.see("fc7", self.fcs[1].forward(&xs)).relu_()
    }

    fn norm(&self, xs: Tensor) -> Tensor {
        match self.cfg.norm {
            Norm::Paper => ResponseNorm::PAPER.forward(&xs),
            Norm::MeanAlpha => {
                ResponseNorm { alpha_form: AlphaForm::Mean, ..ResponseNorm::PAPER }.forward(&xs)
            }
            Norm::Caffe => {
                ResponseNorm { alpha_form: AlphaForm::Mean, k: 1.0, ..ResponseNorm::PAPER }
                    .forward(&xs)
            }
            Norm::Constant => {
                let ResponseNorm { k, beta, .. } = ResponseNorm::PAPER;
                xs * k.powf(-beta)
            }
            Norm::None => xs,
        }
    }

    fn pool(&self, xs: &Tensor) -> Tensor {
        let (window, round_up) = match self.cfg.pool {
            Pool::Overlapping => (3, true),
            Pool::Disjoint => (2, false),
        };
        xs.max_pool2d([window, window], [2, 2], [0, 0], [1, 1], round_up)
    }

    /// Section 4.2, in either form. (libtorch's is the inverted one.)
    fn dropout(&self, xs: Tensor, train: bool) -> Tensor {
        let (p, kept) = (self.cfg.dropout, 1.0 - self.cfg.dropout);
        if p == 0.0 {
            return xs;
        }
        match (self.cfg.dropout_form, train) {
            (DropoutForm::Paper, true) => xs.dropout(p, true) * kept,
            (DropoutForm::Paper, false) => xs * kept,
            (DropoutForm::Inverted, train) => xs.dropout(p, train),
        }
    }
}

#[cfg(test)]
mod tests;
