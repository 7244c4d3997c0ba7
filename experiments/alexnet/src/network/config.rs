//! What makes a network: the paper's values and the switches.

use serde::{Deserialize, Serialize};

use super::layers::{Layer, SIXTH};

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
    /// Whether a sixth convolution stands over the last pool (section 6, "1 CNN*").
    ///
    /// Differs: the paper says no more than that. Here it is as the fifth: as many 3×3 kernels in as many groups,
    /// a ReLU, the same first weights and biases; its maps are as large as those it sees.
    #[serde(default, skip_serializing_if = "is_default")]
    pub sixth: bool,
    /// What training does with the outputs that dropout keeps.
    #[serde(default, skip_serializing_if = "is_default")]
    pub dropout_form: DropoutForm,
    /// How the biases of `fc8` begin; 0 in the paper.
    #[serde(default, skip_serializing_if = "is_default")]
    pub last_bias: f64,
}

/// Whether a switch stands as in configurations from before there was one, which are written without it: the
/// same network has the same digest.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
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
    /// The same with k = 1, so that small activations stay as they are. Source: BVLC/caffe, `LRNParameter`'s
    /// default, which `models/bvlc_alexnet` leaves.
    Caffe,
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

/// How dropout keeps the size of what a layer puts out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DropoutForm {
    /// Training leaves units out, the test takes all of them times the share that training kept (section 4.2).
    #[default]
    Paper,
    /// Training divides what it keeps by the share that it keeps, and the test takes all as they are: outputs are
    /// twice the paper's. Source: BVLC/caffe, `dropout_layer.cpp`; PyTorch.
    Inverted,
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
            sixth: false,
            dropout_form: DropoutForm::Paper,
            last_bias: 0.0,
        }
    }

    /// torchvision's network, 61,100,840 parameters, for its weights.
    pub fn torchvision() -> Self {
        Self {
            layout: Layout::OneTower,
            norm: Norm::None,
            dropout_form: DropoutForm::Inverted,
            edge: Edge::Two,
            ..Self::paper()
        }
    }

    /// The standard deviation with which the weights of layer `i` begin.
    pub(super) fn std(&self, i: usize, layer: &Layer) -> f64 {
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

/// The place of a layer in the paper's network; that of the fifth convolution for the sixth, which begins as
/// that one does.
fn index(name: &str) -> usize {
    if name == SIXTH {
        return 4;
    }
    let number = name.chars().last().and_then(|digit| digit.to_digit(10));
    number.expect("a layer's name ends in its number, 1 to 8") as usize - 1
}
