//! A locally connected layer: a convolution whose filters are not shared between positions.
//!
//! `N` pictures in a batch, `c_in` and `c_out` maps in and out, `S` rows and columns in, `S'` out,
//! `k` rows and columns of a filter.
//!
//! Source: `local` layers of cuda-convnet, unshared filters.

use tch::nn::{self, Init};
use tch::{Device, Tensor};

use crate::shim;

/// The layer's shape and how it begins. Filters move by one pixel at a time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LocallyConnectedConfig {
    /// Maps in.
    pub c_in: i64,
    /// Maps out.
    pub c_out: i64,
    /// `S`, rows and columns of the maps that come in.
    pub side: i64,
    /// `k`, rows and columns of a filter.
    pub kernel: i64,
    /// Zeros around the maps, in pixels.
    pub padding: i64,
    /// Weights begin normal with this standard deviation, biases at zero.
    pub stdev: f64,
}

impl LocallyConnectedConfig {
    /// `S'`, rows and columns of the maps that come out.
    pub fn out_side(&self) -> i64 {
        self.side + 2 * self.padding - self.kernel + 1
    }
}

/// The layer.
#[derive(Debug)]
pub struct LocallyConnected {
    /// Filters `[S'², k² · c_in, c_out]`: own ones at each position, row by row; within one the
    /// taps row by row, and next to each other a tap's weights for the `c_in` maps.
    ///
    /// So a position's filters are a matrix that takes a patch of channels-last maps as it lies in
    /// memory, forward and for both gradients.
    pub ws: Tensor,
    /// Biases `[S'², c_out]`: an own one at each position and map.
    pub bs: Tensor,
    kernel: i64,
    padding: i64,
}

impl LocallyConnected {
    /// A layer with the variables `weight` and `bias`, weights drawn from libtorch's generator.
    ///
    /// # Panics
    /// If the filters are larger than the padded maps.
    pub fn new(path: &nn::Path, config: &LocallyConnectedConfig) -> Self {
        let LocallyConnectedConfig { c_in, c_out, side, kernel, padding, stdev } = *config;
        let out_side = config.out_side();
        assert!(out_side > 0, "filters of {kernel} pixels on maps of {side} padded by {padding}");
        let positions = out_side * out_side;
        let filters = [positions, kernel * kernel * c_in, c_out];
        Self {
            ws: path.var("weight", &filters, Init::Randn { mean: 0.0, stdev }),
            bs: path.var("bias", &[positions, c_out], Init::Const(0.0)),
            kernel,
            padding,
        }
    }

    /// `xs: [N, c_in, S, S]` to `[N, c_out, S', S']`, with the channels last in memory.
    ///
    /// On the CPU one operator in fp32, bf16 or fp64; under autocast products are in its precision
    /// and biases are added in fp32. Elsewhere [`LocallyConnected::composed`].
    ///
    /// # Panics
    /// If `xs` is not of the shape that the layer was made for.
    pub fn forward(&self, xs: &Tensor) -> Tensor {
        if xs.device() != Device::Cpu {
            return self.composed(xs);
        }
        shim::locally_connected::locally_connected(
            xs,
            &self.ws,
            &self.bs,
            self.kernel,
            self.padding,
        )
        .unwrap_or_else(|err| panic!("{err}"))
    }

    /// The same as [`LocallyConnected::forward`], in plain operations of libtorch on any device.
    ///
    /// # Panics
    /// If `xs` is not of the shape that the layer was made for.
    pub fn composed(&self, xs: &Tensor) -> Tensor {
        let (n, c_in, side, _) = xs.size4().expect("xs is [N, c_in, S, S]");
        let (positions, patch, c_out) = self.ws.size3().expect("as `new` made it");
        let (k, pad) = (self.kernel, self.padding);
        let out_side = side + 2 * pad - k + 1;
        let patches = xs
            .im2col([k, k], [1, 1], [pad, pad], [1, 1]) // [N, c_in · k², S'²]
            .reshape([n, c_in, k * k, positions])
            .permute([3, 0, 2, 1]) // [S'², N, k², c_in]
            .reshape([positions, n, patch]);
        let products = patches.bmm(&self.ws); // [S'², N, c_out]
        let ys = &products + self.bs.unsqueeze(1).to_kind(products.kind());
        ys.permute([1, 2, 0]).reshape([n, c_out, out_side, out_side])
    }
}
