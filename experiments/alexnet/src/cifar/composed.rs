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
    pub(super) fn new(path: &nn::Path, config: &LocallyConnectedConfig) -> Self {
        let LocallyConnectedConfig { c_in, c_out, side, kernel, stdev, .. } = *config;
        let ws = path.randn("weight", &[side * side, kernel * kernel * c_in, c_out], 0.0, stdev);
        let bs = path.zeros("bias", &[side * side, c_out]);
        Self { config: *config, ws, bs }
    }
    pub(super) fn forward(&self, xs: &Tensor) -> Tensor {
        let LocallyConnectedConfig { c_in, c_out, side, kernel: k, padding: p, .. } = self.config;
        let patches = xs
            .im2col([k, k], [1, 1], [p, p], [1, 1]) // [N, c_in · k², S²]
            .reshape([-1, c_in, k * k, side * side])
            .permute([3, 0, 2, 1]) // [S², N, k², c_in]
            .flatten(2, 3);
        let ys = patches.matmul(&self.ws) + self.bs.unsqueeze(1); // [S², N, out]
        ys.permute([1, 2, 0]).reshape([-1, c_out, side, side])
    }
}
