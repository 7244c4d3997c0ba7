//! Stand-ins until the fused operators are there.
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor, nn};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Region {
    AcrossMaps,
    WithinMap,
}
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AlphaForm {
    Sum,
    Mean,
}
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ResponseNorm {
    pub region: Region,
    pub size: i64,
    pub alpha: f64,
    pub beta: f64,
    pub k: f64,
    pub alpha_form: AlphaForm,
}
impl ResponseNorm {
    pub fn forward(&self, xs: &Tensor) -> Tensor {
        let kind = xs.kind();
        let xs32 = xs.to_kind(Kind::Float);
        let squares = xs32.square();
        let n = self.size;
        let (means, count) = match self.region {
            Region::WithinMap => (
                squares.avg_pool2d([n, n], [1, 1], [n / 2, n / 2], false, true, None::<i64>),
                n * n,
            ),
            Region::AcrossMaps => (
                squares
                    .unsqueeze(1)
                    .avg_pool3d([n, 1, 1], [1, 1, 1], [n / 2, 0, 0], false, true, None::<i64>)
                    .squeeze_dim(1),
                n,
            ),
        };
        let alpha = match self.alpha_form {
            AlphaForm::Mean => self.alpha,
            AlphaForm::Sum => self.alpha * count as f64,
        };
        (xs32 * (means * alpha + self.k).pow_tensor_scalar(-self.beta)).to_kind(kind)
    }
}
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct LocallyConnectedConfig {
    pub c_in: i64,
    pub c_out: i64,
    pub side: i64,
    pub kernel: i64,
    pub padding: i64,
    pub stdev: f64,
}
#[derive(Debug)]
pub(super) struct LocallyConnected {
    config: LocallyConnectedConfig,
    ws: Tensor,
    bs: Tensor,
}
impl LocallyConnected {
    pub(super) fn new(path: &nn::Path, config: LocallyConnectedConfig) -> Self {
        let LocallyConnectedConfig { c_in, c_out, side, kernel, stdev, .. } = config;
        let ws = path.randn("weight", &[side * side, c_in * kernel * kernel, c_out], 0.0, stdev);
        let bs = path.zeros("bias", &[side * side, 1, c_out]);
        Self { config, ws, bs }
    }
    pub(super) fn forward(&self, xs: &Tensor) -> Tensor {
        let LocallyConnectedConfig { c_out, side, kernel: k, padding: p, .. } = self.config;
        let columns = xs.im2col([k, k], [1, 1], [p, p], [1, 1]); // [N, CKK, L]
        let ys = columns.permute([2, 0, 1]).matmul(&self.ws) + &self.bs; // [L, N, out]
        ys.permute([1, 2, 0]).reshape([-1, c_out, side, side])
    }
}
