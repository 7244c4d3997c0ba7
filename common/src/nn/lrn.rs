//! Local response normalisation.
//!
//! Each activity is divided by a power of what its neighbours do at the same time:
//! `b_i = a_i / (k + α Σ a_j²)^β`, with the sum over a window around `i` that is clipped where the
//! maps end. `n` is the window's size, `N` pictures in a batch, `C` maps, `H` rows, `W` columns.

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use crate::shim;

/// Where an activity's neighbours are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Region {
    /// The same pixel of `n` adjacent maps.
    ///
    /// Source: Krizhevsky, Sutskever & Hinton 2012, section 3.3; `cmrnorm` in cuda-convnet.
    AcrossMaps,
    /// The `n × n` pixels around it in its own map.
    ///
    /// Source: `rnorm` in cuda-convnet.
    WithinMap,
}

/// What α multiplies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AlphaForm {
    /// `α Σ a²`, as the paper prints it.
    Sum,
    /// `(α / n) Σ a²`, within a map `(α / n²) Σ a²`, as the authors' code has it, and PyTorch's
    /// `local_response_norm`. The divisor is the same at a border, where the window is clipped.
    Mean,
}

/// Local response normalisation; it has no parameters to train.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResponseNorm {
    /// Where the neighbours are.
    pub region: Region,
    /// `n`, the size of the window. It reaches `n / 2`, rounded down, to either side, so that an
    /// even size reaches one further than it says, as the paper's formula does.
    pub size: i64,
    /// `α`
    pub alpha: f64,
    /// `β`
    pub beta: f64,
    /// `k`, above 0.
    pub k: f64,
    /// What α multiplies.
    pub alpha_form: AlphaForm,
}

impl ResponseNorm {
    /// Source: Krizhevsky, Sutskever & Hinton 2012, section 3.3.
    pub const PAPER: Self = Self {
        region: Region::AcrossMaps,
        size: 5,
        alpha: 1e-4,
        beta: 0.75,
        k: 2.0,
        alpha_form: AlphaForm::Sum,
    };

    /// `xs: [N, C, H, W]` normalised; same shape, kind and layout out.
    ///
    /// On the CPU one pass over the maps forward and one backward, in fp32 (fp64 for fp64), which
    /// keeps nothing but `xs` for the gradient. Elsewhere [`ResponseNorm::composed`].
    ///
    /// # Panics
    /// If the size is below 1, `xs` has not four dimensions, or on the CPU another kind than fp32,
    /// bf16 or fp64.
    pub fn forward(&self, xs: &Tensor) -> Tensor {
        if xs.device() != Device::Cpu {
            return self.composed(xs);
        }
        let within_map = self.region == Region::WithinMap;
        let (scale, radius) = (self.scale(), self.radius());
        shim::lrn::response_norm(xs, within_map, radius, scale, self.beta, self.k)
            .unwrap_or_else(|err| panic!("{err}"))
    }

    /// The same as [`ResponseNorm::forward`], in plain operations of libtorch on any device.
    ///
    /// # Panics
    /// If the size is below 1, `xs` has not four dimensions, or a window within a map reaches
    /// further than the maps do.
    pub fn composed(&self, xs: &Tensor) -> Tensor {
        let wide = if xs.kind() == Kind::Double { Kind::Double } else { Kind::Float };
        let squares = xs.to_kind(wide).square();
        let (r, window) = (self.radius(), 2 * self.radius() + 1);
        let sums = match self.region {
            Region::AcrossMaps => {
                let padded = squares.constant_pad_nd([0, 0, 0, 0, r, r]); // [N, C + 2r, H, W]
                (0..window)
                    .map(|d| padded.narrow(1, d, xs.size()[1])) // [N, C, H, W]
                    .reduce(|sum, next| sum + next)
                    .expect("a window reaches at least its own map")
            }
            // An average that divides by 1 is a sum.
            Region::WithinMap => {
                squares.avg_pool2d([window; 2], [1, 1], [r; 2], false, true, Some(1))
            }
        };
        let divisor: Tensor = sums * self.scale() + self.k;
        (xs.to_kind(wide) * divisor.pow_tensor_scalar(-self.beta)).to_kind(xs.kind())
    }

    /// What the sum of squares is multiplied by.
    fn scale(&self) -> f64 {
        match (self.alpha_form, self.region) {
            (AlphaForm::Sum, _) => self.alpha,
            (AlphaForm::Mean, Region::AcrossMaps) => self.alpha / self.size as f64,
            (AlphaForm::Mean, Region::WithinMap) => self.alpha / (self.size * self.size) as f64,
        }
    }

    /// How far the window reaches to either side.
    fn radius(&self) -> i64 {
        assert!(self.size >= 1, "a window of size {}: wanted at least 1", self.size);
        self.size / 2
    }
}
