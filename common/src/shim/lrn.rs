//! Local response normalisation as one operator (`csrc/lrn.cpp`).

use std::ffi::c_int;

use tch::Tensor;

use super::{ShimError, TensorPtr, check};

unsafe extern "C" {
    fn shim_response_norm(
        xs: TensorPtr,
        within_map: c_int,
        radius: i64,
        scale: f64,
        beta: f64,
        k: f64,
        out: *mut TensorPtr,
    ) -> c_int;
}

/// `xs · (k + scale · Σ xs²)^−beta` over windows that reach `radius` to either side, with its
/// gradient. `xs: [N, C, H, W]` on the CPU; same shape and layout out.
pub(crate) fn response_norm(
    xs: &Tensor,
    within_map: bool,
    radius: i64,
    scale: f64,
    beta: f64,
    k: f64,
) -> Result<Tensor, ShimError> {
    let mut out = std::ptr::null_mut();
    call!(shim_response_norm(
        xs.as_ptr().cast_mut(),
        c_int::from(within_map),
        radius,
        scale,
        beta,
        k,
        &raw mut out,
    ))?;
    // SAFETY: on success `out` is a new C++ tensor that nobody else owns.
    Ok(unsafe { Tensor::from_ptr(out) })
}
