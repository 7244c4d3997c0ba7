//! A locally connected layer as one operator (`csrc/locally_connected.cpp`).

use std::ffi::c_int;

use tch::Tensor;

use super::{ShimError, TensorPtr, check};

unsafe extern "C" {
    fn shim_locally_connected(
        xs: TensorPtr,
        filters: TensorPtr,
        biases: TensorPtr,
        kernel: i64,
        padding: i64,
        out: *mut TensorPtr,
    ) -> c_int;
}

/// Own `filters: [S'², kernel² · c_in, c_out]` and `biases: [S'², c_out]` at each position of
/// `xs: [N, c_in, S, S]` on the CPU, with the gradients of all three; `[N, c_out, S', S']` out.
pub(crate) fn locally_connected(
    xs: &Tensor,
    filters: &Tensor,
    biases: &Tensor,
    kernel: i64,
    padding: i64,
) -> Result<Tensor, ShimError> {
    let mut out = std::ptr::null_mut();
    call!(shim_locally_connected(
        xs.as_ptr().cast_mut(),
        filters.as_ptr().cast_mut(),
        biases.as_ptr().cast_mut(),
        kernel,
        padding,
        &raw mut out,
    ))?;
    // SAFETY: on success `out` is a new C++ tensor that nobody else owns.
    Ok(unsafe { Tensor::from_ptr(out) })
}
