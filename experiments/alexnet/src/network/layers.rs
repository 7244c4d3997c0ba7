//! The layers of a configuration, counted: shapes, parameters, units, multiply-adds. The network is built
//! from the same list.

use super::{Edge, Layout, NetworkConfig};

/// A convolution or a fully connected layer, with the pool behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// `conv1` to `conv5`, [`SIXTH`], `fc6` to `fc8`; with `.weight` or `.bias` behind it, a parameter's name.
    pub name: &'static str,
    /// Maps, or units of a fully connected layer, that come in.
    pub inputs: i64,
    /// Maps or units that go out.
    pub outputs: i64,
    /// Rows and columns of a kernel; 1 in a fully connected layer.
    pub kernel: i64,
    /// Rows and columns that a kernel moves on.
    pub stride: i64,
    /// Rows and columns of zeros put before the maps.
    pub before: i64,
    /// Rows and columns of zeros put behind the maps.
    pub behind: i64,
    /// Parts whose kernels see only their own share of the inputs: the paper's two GPUs.
    pub groups: i64,
    /// Rows and columns of the output maps before the pool; 1 in a fully connected layer.
    pub side: i64,
    /// Rows and columns of the output maps behind the layer's pool; `side` where it has none.
    pub pooled: i64,
}

impl Layer {
    /// Inputs of one unit.
    pub fn fan_in(&self) -> i64 {
        self.inputs / self.groups * self.kernel * self.kernel
    }

    /// Weights and biases.
    pub fn parameters(&self) -> i64 {
        (self.fan_in() + 1) * self.outputs
    }

    /// Outputs before the pool, all maps.
    pub fn units(&self) -> i64 {
        self.outputs * self.side * self.side
    }

    /// Multiply-adds for one picture, products with zeros at the edge counted.
    pub fn multiply_adds(&self) -> i64 {
        self.fan_in() * self.units()
    }

    /// Whether it is a convolution.
    pub fn is_conv(&self) -> bool {
        self.name.starts_with("conv")
    }
}

/// Kernels of the convolutions at full width, and into how many groups each layer splits.
struct Widths {
    maps: [i64; 5],
    groups: [i64; 5],
}

/// Units of a hidden fully connected layer at full width.
const HIDDEN: i64 = 4096;
const KERNELS: [i64; 5] = [11, 5, 3, 3, 3];
const NAMES: [&str; 5] = ["conv1", "conv2", "conv3", "conv4", "conv5"];
/// The convolution over the last pool, where there is one.
pub(super) const SIXTH: &str = "conv6";

impl Layout {
    fn widths(self) -> Widths {
        match self {
            Self::TwoTowers => Widths { maps: [96, 256, 384, 384, 256], groups: [1, 2, 1, 2, 2] },
            Self::OneTower => Widths { maps: [64, 192, 384, 256, 256], groups: [1; 5] },
            Self::HalfTower => Widths { maps: [48, 128, 192, 192, 256], groups: [1; 5] },
        }
    }
}

impl NetworkConfig {
    /// Maps or units of a layer that has `full` of them at full width: an even number, since towers halve it.
    fn scaled(&self, full: i64) -> i64 {
        ((full as f64 * self.width / 2.0).round() as i64 * 2).max(2)
    }

    /// The layers in order, without those left out.
    ///
    /// The layer behind one that is left out takes its place and sees what that one saw. Without `conv5` that is
    /// `fc6`, which then has half as many inputs again: `conv4` has more kernels. (With as many as `conv5` it
    /// would be the network without `conv4`.)
    pub fn layers(&self) -> Vec<Layer> {
        let Widths { maps, groups } = self.layout.widths();
        let (mut inputs, mut side) = (3, self.crop);
        let mut layers: Vec<Layer> = Vec::new();
        let kept: Vec<usize> =
            (0..5).filter(|&i| !self.without.iter().any(|out| out.name() == NAMES[i])).collect();
        for &i in &kept {
            let last = kept.last() == Some(&i);
            let kernel = KERNELS[i];
            let (stride, before, behind) = match (i, self.edge) {
                (0, Edge::RoundUp) => (4, 0, (11 - side).rem_euclid(4)),
                (0, Edge::Two) => (4, 2, 2),
                _ => (1, kernel / 2, kernel / 2),
            };
            let out = (side + before + behind - kernel) / stride + 1;
            // A pool is behind the first, the second and the last convolution.
            let pooled = if i < 2 || last { out / 2 } else { out };
            let outputs = self.scaled(maps[i]);
            let (name, groups) = (NAMES[i], groups[i]);
            layers.push(Layer {
                name,
                inputs,
                outputs,
                kernel,
                stride,
                before,
                behind,
                groups,
                side: out,
                pooled,
            });
            (inputs, side) = (outputs, pooled);
        }
        if self.sixth {
            let (outputs, groups, kernel) = (self.scaled(maps[4]), groups[4], KERNELS[4]);
            let zeros = kernel / 2;
            layers.push(Layer {
                name: SIXTH,
                inputs,
                outputs,
                kernel,
                stride: 1,
                before: zeros,
                behind: zeros,
                groups,
                side,
                pooled: side,
            });
            inputs = outputs;
        }
        let hidden = self.scaled(HIDDEN);
        inputs *= side * side;
        for (name, outputs) in [("fc6", hidden), ("fc7", hidden), ("fc8", self.classes)] {
            layers.push(Layer {
                name,
                inputs,
                outputs,
                kernel: 1,
                stride: 1,
                before: 0,
                behind: 0,
                groups: 1,
                side: 1,
                pooled: 1,
            });
            inputs = outputs;
        }
        layers
    }

    /// Weights and biases of the whole network.
    pub fn parameters(&self) -> i64 {
        self.layers().iter().map(Layer::parameters).sum()
    }

    /// Outputs of all layers before pools.
    pub fn units(&self) -> i64 {
        self.layers().iter().map(Layer::units).sum()
    }

    /// Multiply-adds of one forward pass of one picture.
    pub fn multiply_adds(&self) -> i64 {
        self.layers().iter().map(Layer::multiply_adds).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Middle;

    fn of(layout: Layout) -> NetworkConfig {
        NetworkConfig { layout, ..NetworkConfig::paper() }
    }

    #[test]
    fn the_papers_network_has_its_parameters_layer_by_layer() {
        let layers = NetworkConfig::paper().layers();
        let found: Vec<_> = layers.iter().map(|layer| (layer.name, layer.parameters())).collect();
        let wanted = [
            ("conv1", 34_944),
            ("conv2", 307_456),
            ("conv3", 885_120),
            ("conv4", 663_936),
            ("conv5", 442_624),
            ("fc6", 37_752_832),
            ("fc7", 16_781_312),
            ("fc8", 4_097_000),
        ];
        assert_eq!(found, wanted);
        assert_eq!(NetworkConfig::paper().parameters(), 60_965_224);
        assert_eq!(of(Layout::OneTower).parameters(), 61_100_840);
    }

    #[test]
    fn map_sizes_are_rounded_up_as_the_paper_prints_them() {
        for (edge, zeros) in [(Edge::RoundUp, (0, 3)), (Edge::Two, (2, 2))] {
            let layers = NetworkConfig { edge, ..NetworkConfig::paper() }.layers();
            let sides: Vec<_> = layers.iter().map(|layer| (layer.side, layer.pooled)).collect();
            assert_eq!(sides[..5], [(55, 27), (27, 13), (13, 13), (13, 13), (13, 6)], "{edge:?}");
            assert_eq!((layers[0].before, layers[0].behind), zeros);
        }
        // 227 rows need no zeros; 112 are the narrow net's.
        let first = |crop| NetworkConfig { crop, ..NetworkConfig::paper() }.layers()[0].clone();
        assert_eq!((first(227).behind, first(227).side), (0, 55));
        assert_eq!((first(112).behind, first(112).side), (3, 27));
        assert_eq!((first(224).units(), first(224).pooled), (290_400, 27));
    }

    #[test]
    fn multiply_adds_are_those_counted_by_hand() {
        let paper: Vec<i64> =
            NetworkConfig::paper().layers().iter().map(Layer::multiply_adds).collect();
        let by_hand = [
            55 * 55 * 96 * 363,
            27 * 27 * 256 * 25 * 48,
            13 * 13 * 384 * 9 * 256,
            13 * 13 * 384 * 9 * 192,
            13 * 13 * 256 * 9 * 192,
            9216 * 4096,
            4096 * 4096,
            4096 * 1000,
        ];
        assert_eq!(paper, by_hand);
        assert_eq!(NetworkConfig::paper().multiply_adds(), 724_406_816);
    }

    #[test]
    fn the_layer_behind_a_missing_one_sees_what_that_one_saw() {
        let shapes = |out| -> Vec<(&str, i64, i64)> {
            let layers = NetworkConfig { without: vec![out], ..NetworkConfig::paper() }.layers();
            layers.iter().skip(2).take(3).map(|l| (l.name, l.inputs, l.outputs)).collect()
        };
        let (conv5, fc6) = (("conv5", 384, 256), ("fc6", 9216, 4096));
        assert_eq!(shapes(Middle::Conv3), [("conv4", 256, 384), conv5, fc6]);
        assert_eq!(shapes(Middle::Conv4), [("conv3", 256, 384), conv5, fc6]);
        let fc6 = ("fc6", 6 * 6 * 384, 4096);
        assert_eq!(shapes(Middle::Conv5), [("conv3", 256, 384), ("conv4", 384, 384), fc6]);
    }

    #[test]
    fn the_sixth_convolution_stands_over_the_last_pool_and_leaves_the_rest_as_it_is() {
        let with = NetworkConfig { sixth: true, ..NetworkConfig::paper() }.layers();
        let (sixth, rest): (Vec<_>, Vec<_>) = with.into_iter().partition(|l| l.name == SIXTH);
        assert_eq!(rest, NetworkConfig::paper().layers());
        // 256 kernels of 3×3 over the 128 maps of their own tower.
        let Layer { outputs, side, pooled, .. } = sixth[0];
        assert_eq!((outputs, side, pooled), (256, 6, 6));
        assert_eq!(sixth[0].parameters(), 256 * (9 * 128 + 1));
    }

    #[test]
    fn a_quarter_of_the_width_is_a_quarter_of_every_layer_but_the_last() {
        let cfg = NetworkConfig { width: 0.25, crop: 112, classes: 10, ..NetworkConfig::paper() };
        let outputs: Vec<i64> = cfg.layers().iter().map(|layer| layer.outputs).collect();
        assert_eq!(outputs, [24, 64, 96, 96, 64, 1024, 1024, 10]);
    }
}
