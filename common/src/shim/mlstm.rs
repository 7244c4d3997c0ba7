//! The multiplicative LSTM's time loop (`csrc/mlstm.cpp`).

use std::ffi::c_int;

use tch::Tensor;

use super::{ShimError, TensorPtr, check};

unsafe extern "C" {
    fn shim_mlstm(
        symbols: TensorPtr,
        embedding: TensorPtr,
        wx: TensorPtr,
        wh: TensorPtr,
        wmx: TensorPtr,
        wmh: TensorPtr,
        b: TensorPtr,
        h: TensorPtr,
        c: TensorPtr,
        out: *mut TensorPtr,
    ) -> c_int;
}

/// What the time loop takes: matrices `[in, out]` as they are to be used, all fp32 on the CPU.
#[derive(Debug)]
pub(crate) struct Weights<'a> {
    /// `[vocab, embedding]`.
    pub(crate) embedding: &'a Tensor,
    /// `[embedding, 4·hidden]`, the gates in the order i, f, o, u.
    pub(crate) wx: &'a Tensor,
    /// `[hidden, 4·hidden]`.
    pub(crate) wh: &'a Tensor,
    /// `[embedding, hidden]`.
    pub(crate) wmx: &'a Tensor,
    /// `[hidden, hidden]`.
    pub(crate) wmh: &'a Tensor,
    /// `[4·hidden]`.
    pub(crate) b: &'a Tensor,
}

/// Runs `symbols: [time, batch]` from `h`, `c: [batch, hidden]`; returns the hidden states of all
/// steps `[time, batch, hidden]`, the last `h` and `c`, and the cell states of all steps, which
/// have no gradient.
///
/// Under an autocast to bf16 the products take bf16 (fp32 sums, gates and state) and the hidden
/// states are bf16. The bits do not depend on the number of threads.
pub(crate) fn time_loop(
    symbols: &Tensor,
    weights: &Weights,
    h: &Tensor,
    c: &Tensor,
) -> Result<[Tensor; 4], ShimError> {
    let mut out = [std::ptr::null_mut(); 4];
    let of = |tensor: &Tensor| tensor.as_ptr().cast_mut();
    call!(shim_mlstm(
        of(symbols),
        of(weights.embedding),
        of(weights.wx),
        of(weights.wh),
        of(weights.wmx),
        of(weights.wmh),
        of(weights.b),
        of(h),
        of(c),
        out.as_mut_ptr(),
    ))?;
    // SAFETY: on success `out` holds four new C++ tensors that nobody else owns.
    Ok(out.map(|tensor| unsafe { Tensor::from_ptr(tensor) }))
}
