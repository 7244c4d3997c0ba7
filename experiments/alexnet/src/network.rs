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
use serde::{Deserialize, Serialize};
use tch::nn::{self, Module as _};
use tch::{Tensor, nn::Init as TchInit};

mod layers;

pub use layers::Layer;

/// Everything that makes the network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkConfig {
    /// Kernels of the convolutions and what they see.
    pub layout: Layout,
    /// Multiplies the kernels of every convolution and the units of the hidden layers; 1 in the paper.
    pub width: f64,
    /// Convolutions left out; none in the paper.
    pub without: Vec<Middle>,
    /// What follows what in the first layer.
    pub order: Order,
    /// Behind the first two convolutions.
    pub norm: Norm,
    /// The windows of the pools.
    pub pool: Pool,
    /// Share of `fc6`'s and `fc7`'s outputs that training leaves out; 0.5 in the paper.
    pub dropout: f64,
    /// How the weights begin.
    pub init: Init,
    /// How the biases of `conv2`, `conv4`, `conv5`, `fc6` and `fc7` begin; 1 in the paper (section 5). The
    /// others begin at 0.
    pub bias: f64,
    /// Rows and columns of a picture; 224 in the paper.
    pub crop: i64,
    /// What the first convolution sees beyond the picture's edge.
    pub edge: Edge,
    /// Classes; a preset leaves them to the data set.
    #[serde(default = "classes_of_imagenet")]
    pub classes: i64,
}

fn classes_of_imagenet() -> i64 {
    1000
}

/// Kernels of the convolutions at full width.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// 96-256-384-384-256 in two halves: the paper's.
    TwoTowers,
    /// 64-192-384-256-256, undivided. Source: cuda-convnet2, `layers-imagenet-1gpu.cfg`; torchvision.
    OneTower,
    /// 48-128-192-192-256, undivided: the net that the paper's section 3.2 compares the two towers with. Half
    /// the kernels, but for the last convolution (footnote 2).
    HalfTower,
}

/// A convolution that can be left out: one of those without pool and normalisation, "the middle layers".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Middle {
    /// 384 kernels that see both towers.
    Conv3,
    /// 384 kernels.
    Conv4,
    /// 256 kernels, before the last pool.
    Conv5,
}

impl Middle {
    /// All three, in order.
    pub const ALL: [Self; 3] = [Self::Conv3, Self::Conv4, Self::Conv5];

    /// The layer's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Conv3 => "conv3",
            Self::Conv4 => "conv4",
            Self::Conv5 => "conv5",
        }
    }
}

/// What follows what in the first layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Convolution, ReLU, normalisation, pool (sections 3.3 to 3.5).
    Paper,
    /// Convolution, normalisation, pool, ReLU in the first layer. Source: cuda-convnet2,
    /// `layers-imagenet-1gpu.cfg`.
    Released,
}

/// Behind the first two convolutions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Norm {
    /// Response normalisation as printed (section 3.3).
    Paper,
    /// The same with α divided by the size of the neighbourhood, as the released program does.
    MeanAlpha,
    /// The factor 2^−0.75, which is what k = 2 and β = 0.75 make of small activations: the control that tells
    /// the scale that the normalisation brings from the competition between maps.
    Constant,
    /// Nothing.
    None,
}

/// Windows and strides of the pools. Both give maps of the same size: what follows is equally large.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pool {
    /// 3×3 windows every 2 rows, numbers of outputs rounded up.
    Overlapping,
    /// 2×2 windows every 2 rows, numbers of outputs rounded down.
    Disjoint,
}

/// How the weights begin.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Init {
    /// Normal with these standard deviations in the network at full width, `conv1` to `fc8`; 0.01 in the
    /// paper (section 5).
    ///
    /// Differs: in a narrower network a unit has fewer inputs. Its deviation is multiplied by the root of
    /// their ratio, so that what a unit gets spreads as at full width.
    Gaussian([f64; 8]),
    /// Normal with variance 2 / fan-in. Source: He et al. 2015.
    Scaled,
}

/// What the first convolution sees beyond the picture's edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Edge {
    /// As many rows and columns of zeros behind the picture as it takes to round the number of outputs up:
    /// 3 for 224. Source: cuda-convnet2.
    RoundUp,
    /// Two rows and columns of zeros on every side. Source: torchvision.
    Two,
}

impl NetworkConfig {
    /// The paper's network, 60,965,224 parameters.
    pub fn paper() -> Self {
        Self {
            layout: Layout::TwoTowers,
            width: 1.0,
            without: Vec::new(),
            order: Order::Paper,
            norm: Norm::Paper,
            pool: Pool::Overlapping,
            dropout: 0.5,
            init: Init::Gaussian([0.01; 8]),
            bias: 1.0,
            crop: 224,
            edge: Edge::RoundUp,
            classes: classes_of_imagenet(),
        }
    }

    /// torchvision's network, 61,100,840 parameters, for its weights.
    ///
    /// Its dropout enlarges what is left instead of halving all at test, so that at test nothing is to be
    /// done: 0 here.
    pub fn torchvision() -> Self {
        Self {
            layout: Layout::OneTower,
            norm: Norm::None,
            dropout: 0.0,
            edge: Edge::Two,
            ..Self::paper()
        }
    }

    /// The standard deviation with which the weights of layer `i` begin.
    fn std(&self, i: usize, layer: &Layer) -> f64 {
        match self.init {
            Init::Scaled => (2.0 / layer.fan_in() as f64).sqrt(),
            Init::Gaussian(std) => {
                let full = Self { width: 1.0, crop: 224, ..self.clone() };
                let ratio = full.layers()[i].fan_in() as f64 / layer.fan_in() as f64;
                std[index(layer.name)] * ratio.sqrt()
            }
        }
    }
}

/// The place of a layer in the paper's network.
fn index(name: &str) -> usize {
    let number = name.chars().last().and_then(|digit| digit.to_digit(10));
    number.expect("a layer's name ends in its number, 1 to 8") as usize - 1
}

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
            let raised = ["conv2", "conv4", "conv5", "fc6", "fc7"].contains(&layer.name);
            TchInit::Const(if raised { cfg.bias } else { 0.0 })
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
            if i < 2 || i + 1 == self.convs.len() {
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

    /// Section 4.2's form: training leaves units out, the test takes all of them times the share that
    /// training kept. (What is common today enlarges in training instead.)
    fn dropout(&self, xs: Tensor, train: bool) -> Tensor {
        let (p, kept) = (self.cfg.dropout, 1.0 - self.cfg.dropout);
        if p == 0.0 {
            return xs;
        }
        if train { xs.dropout(p, true) * kept } else { xs * kept }
    }
}

#[cfg(test)]
mod tests;
