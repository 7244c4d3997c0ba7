//! A piece of a network whose inner results are computed again in the backward pass (`csrc/recompute.cpp`).

use std::ffi::{c_int, c_void};
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tch::Tensor;

use super::{ShimError, TensorPtr, check};

unsafe extern "C" {
    fn shim_recompute(
        xs: TensorPtr,
        context: *mut c_void,
        call: unsafe extern "C" fn(*mut c_void, TensorPtr, *mut TensorPtr),
        drop: unsafe extern "C" fn(*mut c_void),
        out: *mut TensorPtr,
    ) -> c_int;
}

/// `piece` of `xs`, of which only `xs` is kept: the backward pass calls it once more, with the same random numbers and
/// autocast. Gradients of parameters inside are added to them as ever.
///
/// Where `xs` needs no gradient the piece is called as it is, and its parameters get theirs in the usual way. Backward
/// may call it on a thread of libtorch's (on a GPU), while the thread that began it waits.
///
/// # Errors
/// What libtorch says in the piece.
pub fn recompute<F: Fn(&Tensor) -> Tensor + 'static>(
    xs: &Tensor,
    piece: F,
) -> Result<Tensor, ShimError> {
    unsafe extern "C" fn call<F: Fn(&Tensor) -> Tensor>(
        context: *mut c_void,
        xs: TensorPtr,
        out: *mut TensorPtr,
    ) {
        // SAFETY: the shim passes the pointer that `recompute` made of a boxed `F`, before it drops it.
        let piece = unsafe { &*context.cast::<F>() };
        // SAFETY: a live tensor of the caller; a handle of our own to it.
        let xs = unsafe { Tensor::clone_from_ptr(xs) };
        // A panic must not unwind through C++: no result tells it.
        if let Ok(ys) = catch_unwind(AssertUnwindSafe(|| ManuallyDrop::new(piece(&xs)))) {
            // SAFETY: `out` is a place for one pointer; the caller owns the tensor from here on.
            unsafe { *out = ys.as_ptr().cast_mut() };
        }
    }
    unsafe extern "C" fn drop_piece<F>(context: *mut c_void) {
        // SAFETY: called once, with the pointer that `recompute` made.
        drop(unsafe { Box::from_raw(context.cast::<F>()) });
    }
    let context = Box::into_raw(Box::new(piece)).cast();
    let mut out = std::ptr::null_mut();
    call!(shim_recompute(
        xs.as_ptr().cast_mut(),
        context,
        call::<F>,
        drop_piece::<F>,
        &raw mut out,
    ))?;
    // SAFETY: on success `out` is a new C++ tensor that nobody else owns.
    Ok(unsafe { Tensor::from_ptr(out) })
}
