//! A transformer's attention, perceptron, loss and log-probabilities as one operator each (`csrc/attention.cpp`, `csrc/mlp.cpp`,
//! `csrc/tied_loss.cpp`), on the CPU, with their gradients.

use tch::Tensor;

use super::{ShimError, TensorPtr, check};

unsafe extern "C" {
    fn shim_attention(qkv: TensorPtr, heads: i64, out: *mut TensorPtr) -> std::ffi::c_int;
    fn shim_mlp(
        xs: TensorPtr,
        w1: TensorPtr,
        b1: TensorPtr,
        w2: TensorPtr,
        b2: TensorPtr,
        out: *mut TensorPtr,
    ) -> std::ffi::c_int;
    fn shim_tied_loss(
        states: TensorPtr,
        table: TensorPtr,
        targets: TensorPtr,
        weights: TensorPtr,
        out: *mut TensorPtr,
    ) -> std::ffi::c_int;
    fn shim_log_probs(
        states: TensorPtr,
        table: TensorPtr,
        targets: TensorPtr,
        scale: f64,
        out: *mut TensorPtr,
    ) -> std::ffi::c_int;
}

/// Causal self-attention of `qkv: [B, T, 3·C]` in `heads` heads, fp32 or bf16; `[B, T, C]` of the same kind out.
/// Keeps `qkv`, its output and one number a token and head for the gradient. The bits do not depend on the number of
/// threads.
pub(crate) fn attention(qkv: &Tensor, heads: i64) -> Result<Tensor, ShimError> {
    let mut out = std::ptr::null_mut();
    call!(shim_attention(qkv.as_ptr().cast_mut(), heads, &raw mut out))?;
    // SAFETY: on success `out` is a new C++ tensor that nobody else owns.
    Ok(unsafe { Tensor::from_ptr(out) })
}

/// A linear layer: `[out, in]`, and `[out]` or none.
pub(crate) type Linear<'a> = (&'a Tensor, Option<&'a Tensor>);

/// `gelu(xs · W1ᵀ + b1) · W2ᵀ + b2` of `xs: […, C]`, which keeps nothing of the inner layer but what goes into GELU.
/// Under an autocast to bf16 all products and the output are bf16.
pub(crate) fn mlp(xs: &Tensor, first: Linear, second: Linear) -> Result<Tensor, ShimError> {
    let mut out = std::ptr::null_mut();
    let of = |tensor: &Tensor| tensor.as_ptr().cast_mut();
    let or_null = |tensor: Option<&Tensor>| tensor.map_or(std::ptr::null_mut(), of);
    call!(shim_mlp(
        of(xs),
        of(first.0),
        or_null(first.1),
        of(second.0),
        or_null(second.1),
        &raw mut out,
    ))?;
    // SAFETY: as above.
    Ok(unsafe { Tensor::from_ptr(out) })
}

/// The sum over rows of `weights: [N]` times the loss of scores `states · tableᵀ` for `targets: [N]`.
/// `states: [N, C]`, `table: [V, C]`. Scores are made, used and forgotten some rows at a time, and both gradients come
/// from the forward pass.
///
/// # Errors
/// Shapes that do not fit, a target that is not in the table.
pub(crate) fn tied_loss(
    states: &Tensor,
    table: &Tensor,
    targets: &Tensor,
    weights: &Tensor,
) -> Result<Tensor, ShimError> {
    let mut out = std::ptr::null_mut();
    let of = |tensor: &Tensor| tensor.as_ptr().cast_mut();
    call!(shim_tied_loss(of(states), of(table), of(targets), of(weights), &raw mut out))?;
    // SAFETY: as above.
    Ok(unsafe { Tensor::from_ptr(out) })
}

/// Of scores `states · tableᵀ` divided by `temperature`: the log-probabilities `[N]` of `targets: [N]`, and the entropies
/// `[N]`, which have no gradient. `states: [N, C]`, `table: [V, C]`. The gradient needs `[N, V]` probabilities, which
/// are kept for it.
///
/// # Errors
/// As [`tied_loss`].
pub(crate) fn log_probs(
    states: &Tensor,
    table: &Tensor,
    targets: &Tensor,
    temperature: f64,
) -> Result<[Tensor; 2], ShimError> {
    let mut out = [std::ptr::null_mut(); 2];
    let of = |tensor: &Tensor| tensor.as_ptr().cast_mut();
    let scale = 1.0 / temperature;
    call!(shim_log_probs(of(states), of(table), of(targets), scale, out.as_mut_ptr()))?;
    // SAFETY: on success `out` holds two new C++ tensors that nobody else owns.
    Ok(out.map(|tensor| unsafe { Tensor::from_ptr(tensor) }))
}
