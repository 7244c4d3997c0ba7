//! What tch does not expose of libtorch, over the C functions of `csrc/`.

#![expect(unsafe_code, reason = "the calls into C++")]

use std::ffi::{CStr, c_char, c_int};
use std::marker::PhantomData;

use tch::{Device, Kind, Tensor};
use torch_sys::C_tensor;

/// A C++ exception out of libtorch.
#[derive(Debug, thiserror::Error)]
#[error("libtorch, {function}: {message}")]
pub struct ShimError {
    /// The function of the shim that failed.
    pub function: &'static str,
    /// The exception's message.
    pub message: String,
}

type TensorPtr = *mut C_tensor;

unsafe extern "C" {
    fn shim_last_error() -> *const c_char;
    fn shim_autocast_enter(device: c_int, dtype: c_int, on: *mut c_int, old: *mut c_int) -> c_int;
    fn shim_autocast_leave(device: c_int, on: c_int, old: c_int) -> c_int;
    fn shim_rng_state(cuda_index: c_int, out: *mut TensorPtr) -> c_int;
    fn shim_set_rng_state(cuda_index: c_int, state: TensorPtr) -> c_int;
    fn shim_set_deterministic(on: c_int) -> c_int;
    fn shim_set_cudnn_benchmark(on: c_int) -> c_int;
    fn shim_set_tf32(on: c_int) -> c_int;
    fn shim_keep_memory();
    fn shim_parallel_threads(distinct: *mut c_int) -> c_int;
    fn shim_cpu_capability() -> *const c_char;
    fn shim_libtorch_version() -> *const c_char;
    fn shim_cuda_open() -> c_int;
    fn shim_cuda_name(cuda_index: c_int, name: *mut c_char, size: c_int) -> c_int;
    fn shim_cuda_peak_memory(cuda_index: c_int, allocated: *mut i64, reserved: *mut i64) -> c_int;
    fn shim_has_grad(params: *const TensorPtr, n: usize, out: *mut u8) -> c_int;
    fn shim_clear_grads(params: *const TensorPtr, n: usize) -> c_int;
    fn shim_grad_norm(params: *const TensorPtr, n: usize, norm: *mut f64) -> c_int;
    fn shim_scale_grads(params: *const TensorPtr, n: usize, factor: f64) -> c_int;
    fn shim_sgd_pytorch(
        params: *const TensorPtr,
        buffers: *const TensorPtr,
        n: usize,
        lr: f64,
        momentum: f64,
        weight_decay: f64,
        nesterov: c_int,
    ) -> c_int;
    fn shim_sgd_paper(
        params: *const TensorPtr,
        buffers: *const TensorPtr,
        n: usize,
        lr: f64,
        momentum: f64,
        weight_decay: f64,
    ) -> c_int;
    fn shim_adam(
        params: *const TensorPtr,
        exp_avgs: *const TensorPtr,
        exp_avg_sqs: *const TensorPtr,
        n: usize,
        step: i64,
        lr: f64,
        beta1: f64,
        beta2: f64,
        eps: f64,
        weight_decay: f64,
        decoupled: c_int,
    ) -> c_int;
}

/// Turns a return code into a result.
fn check(function: &'static str, code: c_int) -> Result<(), ShimError> {
    if code == 0 {
        return Ok(());
    }
    // SAFETY: the shim returns a NUL-terminated string that lives until this thread's next error.
    let message = unsafe { CStr::from_ptr(shim_last_error()) }.to_string_lossy().into_owned();
    Err(ShimError { function, message })
}

/// Calls a function of the shim and turns its return code into a result.
macro_rules! call {
    ($function:ident($($arg:expr),* $(,)?)) => {
        // SAFETY: pointers to tensors come from live `Tensor`s of the caller (`pointers` borrows
        // them), the others from local variables; lengths are those of the slices.
        check(stringify!($function), unsafe { $function($($arg),*) })
    };
}

pub(crate) mod distributed;
pub(crate) mod locally_connected;
pub(crate) mod lrn;
pub(crate) mod memory;
pub mod mlstm;
pub mod recompute;
pub(crate) mod transformer;

/// The tensors' addresses, as the shim takes them; valid while `tensors` are.
///
/// A `Tensor` is a handle: C++ changes what it points to under `&`, as tch's own methods do.
fn pointers<'a>(tensors: impl IntoIterator<Item = &'a Tensor>) -> Vec<TensorPtr> {
    tensors.into_iter().map(|tensor| tensor.as_ptr().cast_mut()).collect()
}

fn cuda_index(device: Device) -> c_int {
    match device {
        Device::Cuda(index) => index as c_int,
        _ => -1,
    }
}

/// Mixed precision for as long as this guard lives, in this thread: matrix products and
/// convolutions run in the low precision, what needs range stays in fp32 (libtorch's own lists).
///
/// Parameters stay in fp32. Hold it over the forward pass and the loss, not over `backward`.
#[derive(Debug)]
#[must_use = "autocast ends when the guard is dropped"]
pub struct Autocast {
    /// Device type, whether autocast was on before, its type before.
    entered: Option<(c_int, c_int, c_int)>,
    /// The switch is one of this thread: the guard must not leave it.
    not_send: PhantomData<*const ()>,
}

impl Autocast {
    /// Starts autocast to `kind` for tensors on `device`; `None` leaves everything in fp32.
    ///
    /// # Panics
    /// If `kind` is neither `BFloat16` nor `Half`: no other has autocast kernels.
    pub fn new(device: Device, kind: Option<Kind>) -> Self {
        let entered = kind.map(|kind| {
            let dtype = match kind {
                Kind::BFloat16 => 15,
                Kind::Half => 5,
                other => panic!("autocast to {other:?}: only BFloat16 and Half are possible"),
            };
            let device = c_int::from(device.is_cuda());
            let (mut was_on, mut old) = (0, 0);
            call!(shim_autocast_enter(device, dtype, &raw mut was_on, &raw mut old))
                .expect("setting a thread-local switch cannot fail");
            (device, was_on, old)
        });
        Self { entered, not_send: PhantomData }
    }
}

impl Drop for Autocast {
    fn drop(&mut self) {
        if let Some((device, was_on, old)) = self.entered {
            call!(shim_autocast_leave(device, was_on, old))
                .expect("setting a thread-local switch cannot fail");
        }
    }
}

/// The state of the default random generator of `device`: a byte tensor on the CPU.
///
/// # Errors
/// If the device is not there.
pub fn rng_state(device: Device) -> Result<Tensor, ShimError> {
    let mut state = std::ptr::null_mut();
    call!(shim_rng_state(cuda_index(device), &raw mut state))?;
    // SAFETY: on success `state` is a new C++ tensor that nobody else owns.
    Ok(unsafe { Tensor::from_ptr(state) })
}

/// Sets the default random generator of `device` to a state that [`rng_state`] returned.
///
/// # Errors
/// If the state is not one of this kind of generator, or the device is not there.
pub fn set_rng_state(device: Device, state: &Tensor) -> Result<(), ShimError> {
    call!(shim_set_rng_state(cuda_index(device), state.as_ptr().cast_mut()))
}

/// Lets libtorch choose only kernels that give the same bits each time; one that has no such
/// kernel fails with an error that names it.
///
/// On CUDA also set `CUBLAS_WORKSPACE_CONFIG=:4096:8` before the first matrix product.
///
/// # Errors
/// An exception of libtorch.
pub fn set_deterministic(on: bool) -> Result<(), ShimError> {
    call!(shim_set_deterministic(c_int::from(on)))
}

/// Lets cuDNN time its algorithms and keep the fastest per shape (which one may differ from run to run).
///
/// # Errors
/// An exception of libtorch.
pub fn set_cudnn_benchmark(on: bool) -> Result<(), ShimError> {
    call!(shim_set_cudnn_benchmark(c_int::from(on)))
}

/// Lets CUDA run fp32 matrix products and convolutions in TF32 (10 bits of mantissa).
///
/// # Errors
/// An exception of libtorch.
pub fn set_tf32(on: bool) -> Result<(), ShimError> {
    call!(shim_set_tf32(c_int::from(on)))
}

/// Lets the process keep the memory that it frees, for as long as it lives.
///
/// By default malloc maps each large tensor anew and unmaps it when it is dropped, and the system
/// clears its pages each time: up to a quarter of a small convolutional net's training step, and four
/// fifths of what a loader does for a batch of 77 MB. Call it at the start of a program, before any
/// thread: glibc gives each thread a heap of its own, of at most 64 MiB, unless it was told not to.
pub fn keep_memory() {
    // SAFETY: sets parameters of malloc, which may be done at any time.
    unsafe { shim_keep_memory() }
}

/// On how many threads a parallel loop of the shim ran: the number that libtorch was set to, or 1
/// if the shim was built without OpenMP.
///
/// # Errors
/// An exception of libtorch.
pub fn parallel_threads() -> Result<usize, ShimError> {
    let mut distinct = 0;
    call!(shim_parallel_threads(&raw mut distinct))?;
    Ok(distinct as usize)
}

/// The instruction set that libtorch's kernels use here: `DEFAULT`, `AVX2`, `AVX512`, ….
pub fn cpu_capability() -> String {
    // SAFETY: a NUL-terminated string in static storage.
    unsafe { CStr::from_ptr(shim_cpu_capability()) }.to_string_lossy().into_owned()
}

/// The version of libtorch that the shim was built with, e.g. `2.13.0`.
pub fn libtorch_version() -> String {
    // SAFETY: a NUL-terminated string in static storage.
    unsafe { CStr::from_ptr(shim_libtorch_version()) }.to_string_lossy().into_owned()
}

/// Loads libtorch's CUDA part. Call it before the first CUDA query: without it tch finds no GPU.
///
/// # Errors
/// The dynamic linker's message, if `libtorch_cuda.so` or a library that it needs is missing.
pub fn cuda_open() -> Result<(), ShimError> {
    call!(shim_cuda_open())
}

/// The model of GPU `index`, as the driver names it.
///
/// # Errors
/// If there is no such GPU.
pub fn cuda_name(index: usize) -> Result<String, ShimError> {
    let mut name: [c_char; 256] = [0; 256];
    call!(shim_cuda_name(index as c_int, name.as_mut_ptr(), name.len() as c_int))?;
    // SAFETY: the driver closes the name with a zero within the size given.
    Ok(unsafe { CStr::from_ptr(name.as_ptr()) }.to_string_lossy().into_owned())
}

/// The most memory that tensors on CUDA device `index` have held, and the most that libtorch
/// reserved for them, in bytes.
///
/// # Errors
/// If CUDA is not in use.
pub fn cuda_peak_memory(index: usize) -> Result<(u64, u64), ShimError> {
    let (mut allocated, mut reserved) = (0, 0);
    call!(shim_cuda_peak_memory(index as c_int, &raw mut allocated, &raw mut reserved))?;
    Ok((allocated as u64, reserved as u64))
}

/// Which of `params` have a gradient.
pub(crate) fn has_grad(params: &[Tensor]) -> Vec<bool> {
    let mut out = vec![0; params.len()];
    call!(shim_has_grad(pointers(params).as_ptr(), params.len(), out.as_mut_ptr()))
        .expect("reading whether a gradient is defined cannot fail");
    out.into_iter().map(|defined| defined != 0).collect()
}

/// Drops the gradients of `params`; the next `backward` then stores its own without adding.
pub(crate) fn clear_grads(params: &[Tensor]) -> Result<(), ShimError> {
    call!(shim_clear_grads(pointers(params).as_ptr(), params.len()))
}

/// The Euclidean norm of all gradients of `params` together.
pub(crate) fn grad_norm(params: &[(String, Tensor)]) -> Result<f64, ShimError> {
    let mut norm = 0.0;
    let handles = pointers(params.iter().map(|(_, param)| param));
    call!(shim_grad_norm(handles.as_ptr(), handles.len(), &raw mut norm))?;
    Ok(norm)
}

/// Multiplies the gradients of `params` by `factor`.
pub(crate) fn scale_grads(params: &[(String, Tensor)], factor: f64) -> Result<(), ShimError> {
    let handles = pointers(params.iter().map(|(_, param)| param));
    call!(shim_scale_grads(handles.as_ptr(), handles.len(), factor))
}

/// SGD as PyTorch writes it, on the parameters that have a gradient.
pub(crate) fn sgd_pytorch(
    params: &[Tensor],
    buffers: &[Tensor],
    lr: f64,
    momentum: f64,
    weight_decay: f64,
    nesterov: bool,
) -> Result<(), ShimError> {
    assert_eq!(params.len(), buffers.len());
    call!(shim_sgd_pytorch(
        pointers(params).as_ptr(),
        pointers(buffers).as_ptr(),
        params.len(),
        lr,
        momentum,
        weight_decay,
        c_int::from(nesterov),
    ))
}

/// SGD as the AlexNet paper writes it, on the parameters that have a gradient.
pub(crate) fn sgd_paper(
    params: &[Tensor],
    buffers: &[Tensor],
    lr: f64,
    momentum: f64,
    weight_decay: f64,
) -> Result<(), ShimError> {
    assert_eq!(params.len(), buffers.len());
    call!(shim_sgd_paper(
        pointers(params).as_ptr(),
        pointers(buffers).as_ptr(),
        params.len(),
        lr,
        momentum,
        weight_decay,
    ))
}

/// The numbers of one Adam update.
pub(crate) struct AdamUpdate {
    /// Counts this update, from 1.
    pub(crate) step: i64,
    pub(crate) lr: f64,
    pub(crate) beta1: f64,
    pub(crate) beta2: f64,
    /// In PyTorch's place: beside √v after its bias correction.
    pub(crate) eps: f64,
    pub(crate) weight_decay: f64,
    /// `AdamW`'s decay instead of the L2 penalty.
    pub(crate) decoupled: bool,
}

/// Adam as PyTorch writes it, on the parameters that have a gradient.
pub(crate) fn adam(
    params: &[Tensor],
    exp_avgs: &[Tensor],
    exp_avg_sqs: &[Tensor],
    update: &AdamUpdate,
) -> Result<(), ShimError> {
    assert!(params.len() == exp_avgs.len() && params.len() == exp_avg_sqs.len());
    call!(shim_adam(
        pointers(params).as_ptr(),
        pointers(exp_avgs).as_ptr(),
        pointers(exp_avg_sqs).as_ptr(),
        params.len(),
        update.step,
        update.lr,
        update.beta1,
        update.beta2,
        update.eps,
        update.weight_decay,
        c_int::from(update.decoupled),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn autocast_computes_products_in_bf16_and_only_inside_its_guard() {
        let xs = Tensor::ones([4, 4], (Kind::Float, Device::Cpu));
        {
            let _outer = Autocast::new(Device::Cpu, Some(Kind::BFloat16));
            assert_eq!(xs.matmul(&xs).kind(), Kind::BFloat16);
            {
                let _inner = Autocast::new(Device::Cpu, Some(Kind::Half));
                assert_eq!(xs.matmul(&xs).kind(), Kind::Half);
            }
            assert_eq!(xs.matmul(&xs).kind(), Kind::BFloat16);
        }
        assert_eq!(xs.matmul(&xs).kind(), Kind::Float);
        let _none = Autocast::new(Device::Cpu, None);
        assert_eq!(xs.matmul(&xs).kind(), Kind::Float);
    }

    #[test]
    fn autocast_leaves_gradients_of_fp32_parameters_in_fp32() {
        let w = Tensor::ones([4, 4], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        let loss = {
            let _autocast = Autocast::new(Device::Cpu, Some(Kind::BFloat16));
            w.matmul(&w).to_kind(Kind::Float).sum(Kind::Float)
        };
        loss.backward();
        assert_eq!(w.grad().kind(), Kind::Float);
        assert!((w.grad().sum(Kind::Float).double_value(&[]) - 16.0 * 8.0).abs() < 1e-6);
    }

    #[test]
    fn an_exception_becomes_an_error_with_its_message() {
        let bad = Tensor::zeros([3], (Kind::Float, Device::Cpu));
        let err = set_rng_state(Device::Cpu, &bad).unwrap_err();
        assert!(err.to_string().contains("RNG state"), "{err}");
    }

    #[test]
    fn the_cpu_capability_is_one_that_aten_knows() {
        let known = ["DEFAULT", "AVX2", "AVX512", "NO AVX", "SVE256", "ZVECTOR", "VSX"];
        assert!(known.contains(&cpu_capability().as_str()), "{}", cpu_capability());
    }
}
