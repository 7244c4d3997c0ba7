//! Gradient clipping.

use tch::Tensor;

use crate::shim;

/// Scales all gradients down together if their global norm exceeds `max_norm`; returns the norm
/// before. Parameters without a gradient do not count. A norm that is not finite changes nothing:
/// check it, and do not step.
///
/// Source: `torch.nn.utils.clip_grad_norm_`, with its 1e-6 in the quotient.
///
/// # Panics
/// If a gradient is not a float tensor.
pub fn clip_grad_norm(params: &[(String, Tensor)], max_norm: f64) -> f64 {
    let norm = grad_norm(params);
    let factor = max_norm / (norm + 1e-6);
    if norm.is_finite() && factor < 1.0 {
        shim::scale_grads(params, factor).expect("gradients are float tensors");
    }
    norm
}

/// The Euclidean norm of all gradients together; 0 without gradients.
///
/// # Panics
/// If a gradient is not a float tensor.
pub fn grad_norm(params: &[(String, Tensor)]) -> f64 {
    shim::grad_norm(params).expect("gradients are float tensors")
}
