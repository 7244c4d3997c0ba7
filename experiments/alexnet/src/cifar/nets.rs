//! The nets, one table each.
//!
//! Sources: cuda-convnet, `example-layers/layers-*.cfg` and `layer-params-*.cfg`; BVLC/caffe,
//! `examples/cifar10/cifar10_quick_train_test.prototxt`. They agree on what is not in the tables: inputs
//! are 0 to 255 minus the mean picture, momentum 0.9, learning rate 0.001, twice that for biases.

use common::nn::lrn::Region;
use serde::{Deserialize, Serialize};

use super::layers::Layer::{AvgPool, MaxPool, Relu};
use super::layers::{Layer, Table, conv, full, local, norm};

/// A net, by the name of the authors' file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Net {
    /// 26 % test error in 80 seconds of a GTX 580.
    #[serde(rename = "layers-80sec")]
    Sec80,
    /// 19 %.
    #[serde(rename = "layers-19pct")]
    Pct19,
    /// 18 %: the 19 % net with response normalisation within maps, and another decay of its last layer.
    #[serde(rename = "layers-18pct")]
    Pct18,
    /// 13 % (ten views): two locally connected layers; the paper's net without normalisation.
    #[serde(rename = "layers-conv-local-13pct")]
    Pct13,
    /// 11 % (ten views): normalisation across maps; the paper's net with it.
    #[serde(rename = "layers-conv-local-11pct")]
    Pct11,
    /// Caffe's copy of the 26 % net; its decay is the same everywhere, biases included.
    CaffeQuick,
}

impl Net {
    /// Every net, in the order of their errors.
    pub const ALL: [Self; 6] =
        [Self::Sec80, Self::CaffeQuick, Self::Pct19, Self::Pct18, Self::Pct13, Self::Pct11];

    /// Its table.
    pub fn table(self) -> Table {
        let (layers, bias_decay): (&'static [Layer], f64) = match self {
            Self::Sec80 => (SEC_80, 0.0),
            Self::Pct19 => (PCT_19, 0.0),
            Self::Pct18 => (PCT_18, 0.0),
            Self::Pct13 => (PCT_13, 0.0),
            Self::Pct11 => (PCT_11, 0.0),
            Self::CaffeQuick => (CAFFE_QUICK, 0.004),
        };
        Table { layers, bias_decay }
    }
}

/// The decay of the 26, 19 and 18 % nets' convolutions.
const CONV_DECAY: f64 = 0.004;

const SEC_80: &[Layer] = &[
    conv("conv1", 32, 1e-4, CONV_DECAY),
    MaxPool,
    Relu,
    conv("conv2", 32, 0.01, CONV_DECAY),
    Relu,
    AvgPool,
    conv("conv3", 64, 0.01, CONV_DECAY),
    Relu,
    AvgPool,
    full("fc64", 64, 0.1, 0.03),
    Relu,
    full("fc10", 10, 0.1, 0.03),
];

const PCT_19: &[Layer] = &[
    conv("conv1", 32, 1e-4, CONV_DECAY),
    MaxPool,
    Relu,
    conv("conv2", 32, 0.01, CONV_DECAY),
    Relu,
    AvgPool,
    conv("conv3", 64, 0.01, CONV_DECAY),
    Relu,
    AvgPool,
    // At the learning rate of 0.001 an update takes 0.3 % off these weights.
    full("fc10", 10, 0.01, 3.0),
];

const PCT_18: &[Layer] = &[
    conv("conv1", 32, 1e-4, CONV_DECAY),
    MaxPool,
    Relu,
    norm(Region::WithinMap, 3, 5e-5),
    conv("conv2", 32, 0.01, CONV_DECAY),
    Relu,
    AvgPool,
    norm(Region::WithinMap, 3, 5e-5),
    conv("conv3", 64, 0.01, CONV_DECAY),
    Relu,
    AvgPool,
    full("fc10", 10, 0.01, 1.0),
];

const PCT_13: &[Layer] = &[
    conv("conv1", 64, 1e-4, 0.0),
    Relu,
    MaxPool,
    conv("conv2", 64, 0.01, 0.0),
    Relu,
    MaxPool,
    local("local3", 32),
    Relu,
    local("local4", 32),
    Relu,
    full("fc10", 10, 0.01, 0.004),
];

// The file exists in two versions; this is the later one. The earlier has a normalisation over 5 maps, 32
// kernels in local3 and a decay of 0.004 in fc10.
const PCT_11: &[Layer] = &[
    conv("conv1", 64, 1e-4, 0.0),
    Relu,
    MaxPool,
    norm(Region::AcrossMaps, 9, 0.001),
    conv("conv2", 64, 0.01, 0.0),
    Relu,
    norm(Region::AcrossMaps, 9, 0.001),
    MaxPool,
    local("local3", 64),
    Relu,
    local("local4", 32),
    Relu,
    full("fc10", 10, 0.01, 0.01),
];

const CAFFE_QUICK: &[Layer] = &[
    conv("conv1", 32, 1e-4, CONV_DECAY),
    MaxPool,
    Relu,
    conv("conv2", 32, 0.01, CONV_DECAY),
    Relu,
    AvgPool,
    conv("conv3", 64, 0.01, CONV_DECAY),
    Relu,
    AvgPool,
    full("ip1", 64, 0.1, 0.004),
    full("ip2", 10, 0.1, 0.004),
];
