//! What the tables of the CIFAR nets are made of.

use common::nn::lrn::{AlphaForm, Region, ResponseNorm};
use serde::{Deserialize, Serialize};

/// One layer of a table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Layer {
    /// Convolution, stride 1, padded so that the map keeps its size.
    Conv(Weights),
    /// As a convolution, but each position has weights of its own.
    Local(Weights),
    /// Fully connected; `kernel` is not used.
    Full(Weights),
    /// Rectifier.
    Relu,
    /// The largest of each 3×3 window, stride 2, the size rounded up.
    MaxPool,
    /// The mean of each 3×3 window, stride 2, the size rounded up, over what is in bounds.
    AvgPool,
    /// Response normalisation.
    Norm(ResponseNorm),
}

/// A layer with weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weights {
    /// The authors' name of the layer, and that of its variables.
    pub name: &'static str,
    /// Maps or units that it puts out.
    pub out: i64,
    /// Rows and columns of a kernel.
    pub kernel: i64,
    /// Standard deviation of the first weights (`initW`); biases begin at 0.
    pub stdev: f64,
    /// Weight decay (`wc`), without the learning rate.
    pub decay: f64,
}

/// A net as its author wrote it down.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Table {
    /// From the pictures up; the last layer has one output a class.
    pub layers: &'static [Layer],
    /// Weight decay of the biases.
    pub bias_decay: f64,
}

/// 5×5 convolution, as all these nets have them.
pub(super) const fn conv(name: &'static str, out: i64, stdev: f64, decay: f64) -> Layer {
    Layer::Conv(Weights { name, out, kernel: 5, stdev, decay })
}

/// 3×3 locally connected layer; all of them begin with the same deviation and decay.
pub(super) const fn local(name: &'static str, out: i64) -> Layer {
    Layer::Local(Weights { name, out, kernel: 3, stdev: 0.04, decay: 0.004 })
}

/// Fully connected layer.
pub(super) const fn full(name: &'static str, out: i64, stdev: f64, decay: f64) -> Layer {
    Layer::Full(Weights { name, out, kernel: 1, stdev, decay })
}

/// `(1 + scale · mean of squares)^-0.75`: the authors divide their `scale` by what is summed.
pub(super) const fn norm(region: Region, size: i64, scale: f64) -> Layer {
    let alpha_form = AlphaForm::Mean;
    Layer::Norm(ResponseNorm { region, size, alpha: scale, beta: 0.75, k: 1.0, alpha_form })
}

/// What stands where the table has a response normalisation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Normalisation {
    /// The normalisation.
    #[default]
    Published,
    /// Nothing. With `k = 1` this is also what the normalisation does to small activations: when
    /// training starts, its factor is 1.
    None,
    /// A constant factor for each of them, in order: what a normalisation does to scale without what it
    /// does to contrast. A run with `Published` measures the factors (`norm1/factor`, …).
    Factors(Vec<f64>),
}

/// The windows of pools; the maps have the same sizes after either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Pooling {
    /// 3×3, stride 2, rounded up: the published one.
    #[default]
    Overlapping,
    /// 2×2, stride 2.
    Disjoint,
}

impl Layer {
    /// The layer's weights, if it has any.
    pub fn weights(&self) -> Option<&Weights> {
        match self {
            Self::Conv(weights) | Self::Local(weights) | Self::Full(weights) => Some(weights),
            Self::Relu | Self::MaxPool | Self::AvgPool | Self::Norm(_) => None,
        }
    }
}

/// The side of a map after a pool: `(side − 3) / 2` rounded up, plus 1, is `side / 2` rounded down, which
/// is also what disjoint windows give.
pub fn pooled(side: i64) -> i64 {
    side / 2
}
