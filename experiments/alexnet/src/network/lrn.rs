//! Response normalisation across maps, composed of libtorch's own operations.

use tch::{Kind, Tensor};

/// What α multiplies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AlphaForm {
    /// The sum over the neighbourhood: the paper's.
    Sum,
    /// Their mean: the released program's, and PyTorch's.
    Mean,
}

/// `b = a / (k + α Σ a²)^β` over `size` adjacent maps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ResponseNorm {
    pub(super) size: i64,
    pub(super) alpha: f64,
    pub(super) beta: f64,
    pub(super) k: f64,
    pub(super) alpha_form: AlphaForm,
}

impl ResponseNorm {
    /// Section 3.3.
    pub(super) const PAPER: Self =
        Self { size: 5, alpha: 1e-4, beta: 0.75, k: 2.0, alpha_form: AlphaForm::Sum };

    /// `xs: [N, C, H, W]` normalised.
    pub(super) fn forward(&self, xs: &Tensor) -> Tensor {
        let Self { size, alpha, beta, k, alpha_form } = *self;
        let alpha = if alpha_form == AlphaForm::Sum { alpha * size as f64 } else { alpha };
        let (kind, xs) = (xs.kind(), xs.to_kind(Kind::Float));
        let half = size / 2;
        let squares = xs.square().unsqueeze(1).constant_pad_nd([0, 0, 0, 0, half, half]);
        let mean = squares.avg_pool3d([size, 1, 1], [1, 1, 1], [0, 0, 0], false, true, None::<i64>);
        (xs / (mean.squeeze_dim(1) * alpha + k).pow_tensor_scalar(beta)).to_kind(kind)
    }
}
