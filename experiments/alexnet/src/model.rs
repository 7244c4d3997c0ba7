//! The four-layer convolutional net of Figure 1.
//!
//! The paper does not give its layers. Ours are those of the authors' own `layers-19pct` (cuda-convnet),
//! which fit the description, three convolutions and a fully connected layer on CIFAR-10:
//! - 32 kernels of 5×5, max-pool 3/2, activation
//! - 32 kernels of 5×5, activation, average-pool 3/2
//! - 64 kernels of 5×5, activation, average-pool 3/2
//! - 10 outputs, softmax
//!
//! Pools overlap and round their output up (32 → 16 → 8 → 4). There is no normalisation, no dropout and no
//! weight decay: "without regularization of any kind" (section 3.1).
//!
//! `N` pictures in a batch, `C` channels, `S` rows and columns of a picture.

use common::nn::probe::Probe;
use serde::{Deserialize, Serialize};
use tch::nn::{self, Module as _};
use tch::{Tensor, nn::Init as TchInit};

/// What a unit does with its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// `max(0, x)`
    Relu,
    /// `tanh(x)`
    Tanh,
    /// `1 / (1 + exp(−x))`
    Sigmoid,
}

impl Activation {
    /// All three, in the order of the figure's legend.
    pub const ALL: [Self; 3] = [Self::Relu, Self::Tanh, Self::Sigmoid];

    /// The name in variants and preset keys.
    pub fn name(self) -> &'static str {
        match self {
            Self::Relu => "relu",
            Self::Tanh => "tanh",
            Self::Sigmoid => "sigmoid",
        }
    }

    fn apply(self, xs: &Tensor) -> Tensor {
        match self {
            Self::Relu => xs.relu(),
            Self::Tanh => xs.tanh(),
            Self::Sigmoid => xs.sigmoid(),
        }
    }
}

/// How the weights begin; biases begin at zero.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Init {
    /// Normal with these standard deviations, layer by layer, as the authors' files give them.
    Gaussian([f64; 4]),
    /// Normal, scaled to the layer's size: He et al. 2015 for ReLU, `2 / fan_in`; Glorot & Bengio 2010 for
    /// tanh, variance `2 / (fan_in + fan_out)`; for the sigmoid 4 times Glorot's deviation, since its slope at
    /// zero is a quarter.
    Scaled,
}

impl Init {
    /// The standard deviation in layer `i` with the given fans.
    fn std(&self, activation: Activation, layer: usize, fan_in: i64, fan_out: i64) -> f64 {
        let glorot = (2.0 / (fan_in + fan_out) as f64).sqrt();
        match (self, activation) {
            (Self::Gaussian(std), _) => std[layer],
            (Self::Scaled, Activation::Relu) => (2.0 / fan_in as f64).sqrt(),
            (Self::Scaled, Activation::Tanh) => glorot,
            (Self::Scaled, Activation::Sigmoid) => 4.0 * glorot,
        }
    }
}

/// The net.
#[derive(Debug)]
pub struct Figure1Net {
    activation: Activation,
    conv1: nn::Conv2D,
    conv2: nn::Conv2D,
    conv3: nn::Conv2D,
    fc: nn::Linear,
}

/// Kernels of the three convolutions, and the outputs.
const WIDTHS: [i64; 3] = [32, 32, 64];
const KERNEL: i64 = 5;

impl Figure1Net {
    /// A net for pictures of `channels × size × size` in `classes` classes, with weights drawn from
    /// libtorch's generator.
    pub fn new(
        path: &nn::Path,
        activation: Activation,
        init: &Init,
        channels: i64,
        size: i64,
        classes: i64,
    ) -> Self {
        let conv = |layer: usize, c_in: i64, c_out: i64| {
            let (fan_in, fan_out) = (c_in * KERNEL * KERNEL, c_out * KERNEL * KERNEL);
            let stdev = init.std(activation, layer, fan_in, fan_out);
            let config = nn::ConvConfig {
                padding: KERNEL / 2,
                ws_init: TchInit::Randn { mean: 0.0, stdev },
                bs_init: TchInit::Const(0.0),
                ..nn::ConvConfig::default()
            };
            nn::conv2d(path / format!("conv{}", layer + 1), c_in, c_out, KERNEL, config)
        };
        let side = (0..3).fold(size, |side, _| pooled(side));
        let features = WIDTHS[2] * side * side;
        let stdev = init.std(activation, 3, features, classes);
        let linear = nn::LinearConfig {
            ws_init: TchInit::Randn { mean: 0.0, stdev },
            bs_init: Some(TchInit::Const(0.0)),
            bias: true,
        };
        Self {
            activation,
            conv1: conv(0, channels, WIDTHS[0]),
            conv2: conv(1, WIDTHS[0], WIDTHS[1]),
            conv3: conv(2, WIDTHS[1], WIDTHS[2]),
            fc: nn::linear(path / "fc", features, classes, linear),
        }
    }

    /// Scores `[N, classes]` of pictures `xs: [N, C, S, S]`.
    pub fn forward(&self, xs: &Tensor, probe: &Probe) -> Tensor {
        // The activation comes after the max-pool, as in the authors' file: both are monotonic, so the order
        // changes nothing but the cost.
        let xs = probe.see("conv1", self.conv1.forward(xs)); // [N, 32, S, S]
        let xs = probe.see("pool1", self.activation.apply(&max_pool(&xs))); // [N, 32, S/2, S/2]
        let xs = probe.see("conv2", self.activation.apply(&self.conv2.forward(&xs)));
        let xs = probe.see("pool2", avg_pool(&xs)); // [N, 32, S/4, S/4]
        let xs = probe.see("conv3", self.activation.apply(&self.conv3.forward(&xs)));
        let xs = probe.see("pool3", avg_pool(&xs)); // [N, 64, S/8, S/8]
        probe.see("fc", self.fc.forward(&xs.flatten(1, -1)))
    }

    /// Multiply-adds of one forward pass of one picture of `channels × size × size` in `classes` classes.
    pub fn multiply_adds(channels: i64, size: i64, classes: i64) -> i64 {
        let (mut total, mut c_in, mut side) = (0, channels, size);
        for c_out in WIDTHS {
            total += side * side * c_out * c_in * KERNEL * KERNEL;
            (c_in, side) = (c_out, pooled(side));
        }
        total + c_in * side * side * classes
    }
}

/// The side of a map after a 3/2 pool that rounds up.
fn pooled(side: i64) -> i64 {
    (side - 3 + 1) / 2 + 1
}

fn max_pool(xs: &Tensor) -> Tensor {
    xs.max_pool2d([3, 3], [2, 2], [0, 0], [1, 1], true)
}

/// Divides by the number of pixels in bounds, as cuda-convnet does.
fn avg_pool(xs: &Tensor) -> Tensor {
    xs.avg_pool2d([3, 3], [2, 2], [0, 0], true, false, None::<i64>)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    fn net(
        activation: Activation,
        init: &Init,
        channels: i64,
        size: i64,
    ) -> (nn::VarStore, Figure1Net) {
        let vs = nn::VarStore::new(Device::Cpu);
        tch::manual_seed(1);
        let net = Figure1Net::new(&vs.root(), activation, init, channels, size, 10);
        (vs, net)
    }

    #[test]
    fn it_has_the_parameters_of_layers_19pct_and_its_map_sizes() {
        let (vs, net) = net(Activation::Relu, &Init::Scaled, 3, 32);
        let n: usize = vs.variables().values().map(Tensor::numel).sum();
        assert_eq!(n, 89_578);
        assert_eq!([32, 16, 8].map(pooled), [16, 8, 4]);
        assert_eq!([28, 14, 7].map(pooled), [14, 7, 3]);
        let xs = Tensor::randn([2, 3, 32, 32], (Kind::Float, Device::Cpu));
        assert_eq!(net.forward(&xs, &Probe::off()).size(), [2, 10]);
    }

    #[test]
    fn pools_round_up_and_average_only_what_is_in_bounds() {
        let xs = Tensor::ones([1, 1, 4, 4], (Kind::Float, Device::Cpu));
        for ys in [max_pool(&xs), avg_pool(&xs)] {
            assert_eq!(ys.size(), [1, 1, 2, 2]);
            assert!((ys.sum(Kind::Float).double_value(&[]) - 4.0).abs() < 1e-6);
        }
    }

    #[test]
    fn initial_weights_have_the_deviations_asked_for() {
        let std = [1e-4, 0.01, 0.02, 0.1];
        let (vs, _) = net(Activation::Tanh, &Init::Gaussian(std), 3, 32);
        let names = ["conv1.weight", "conv2.weight", "conv3.weight", "fc.weight"];
        for (name, wanted) in names.into_iter().zip(std) {
            let found = vs.variables()[name].std(true).double_value(&[]);
            assert!((found / wanted - 1.0).abs() < 0.05, "{name}: {found}, wanted {wanted}");
        }
        // The first convolution of the scaled start: fan_in 75, fan_out 800.
        for (activation, wanted) in [
            (Activation::Relu, (2.0_f64 / 75.0).sqrt()),
            (Activation::Tanh, (2.0_f64 / 875.0).sqrt()),
            (Activation::Sigmoid, 4.0 * (2.0_f64 / 875.0).sqrt()),
        ] {
            let (vs, _) = net(activation, &Init::Scaled, 3, 32);
            let found = vs.variables()["conv1.weight"].std(true).double_value(&[]);
            assert!(
                (found / wanted - 1.0).abs() < 0.05,
                "{activation:?}: {found}, wanted {wanted}"
            );
        }
        let bias = vs.variables()["conv1.bias"].abs().sum(Kind::Float).double_value(&[]);
        assert!(bias == 0.0, "{bias}");
    }

    #[test]
    fn multiply_adds_are_those_counted_by_hand() {
        // 32²·32·75 + 16²·32·800 + 8²·64·800 + 1024·10
        assert_eq!(
            Figure1Net::multiply_adds(3, 32, 10),
            2_457_600 + 6_553_600 + 3_276_800 + 10_240
        );
    }
}
