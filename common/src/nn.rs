//! Layers and helpers that tch lacks.

use tch::Tensor;
use tch::nn::VarStore;

pub mod language_model;
pub mod locally_connected;
pub mod lrn;
pub mod lstm;
pub mod mlstm;
pub mod probe;
pub mod transformer;

pub use locally_connected::{LocallyConnected, LocallyConnectedConfig};
pub use lrn::ResponseNorm;

/// Lays the 4-dimensional variables of `vs` (convolution weights) out with the channels last in
/// memory. Shapes, values and checkpoints stay the same.
///
/// A convolution with such a weight puts out channels-last maps, and the layers after it follow.
/// On the CPU this is the faster layout, above all for pooling.
pub fn to_channels_last(vs: &VarStore) {
    let _no_grad = tch::no_grad_guard();
    for mut variable in vs.variables().into_values().filter(|variable| variable.dim() == 4) {
        let moved = channels_last(&variable.data());
        variable.set_data(&moved);
    }
}

/// `xs: [N, C, H, W]` with the channels last in memory; same shape out.
pub fn channels_last(xs: &Tensor) -> Tensor {
    xs.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2])
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::nn::{self, Module};
    use tch::{Device, Kind};

    #[test]
    fn a_channels_last_layer_computes_the_same_and_hands_its_layout_on() {
        let vs = VarStore::new(Device::Cpu);
        let config = nn::ConvConfig { padding: 2, ..nn::ConvConfig::default() };
        let conv = nn::conv2d(vs.root(), 3, 8, 5, config);
        let xs = Tensor::randn([2, 3, 8, 8], (Kind::Float, Device::Cpu));
        let before = conv.forward(&xs);
        to_channels_last(&vs);
        let after = conv.forward(&xs);
        assert_eq!(after.stride(), [8 * 8 * 8, 1, 8 * 8, 8]);
        let apart = (&after - &before).abs().max().double_value(&[]);
        assert!(apart < 1e-5, "{apart}"); // sums of 75 products in another order

        after.square().sum(Kind::Float).backward();
        assert_eq!(conv.ws.grad().stride(), conv.ws.stride());
        let bytes = conv.ws.copy();
        vs.root().get("weight").unwrap().data().copy_(&(&bytes * 2.0));
        assert_eq!(conv.ws.stride(), [75, 1, 15, 3]);
    }
}
