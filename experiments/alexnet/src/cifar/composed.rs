//! Stand-in until the fused operator is there.
use tch::{Tensor, nn};

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
