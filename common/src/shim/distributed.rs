//! c10d's store, process group and reducer (`csrc/distributed.cpp`); [`crate::distributed`] is what trainings use.

use std::ffi::{CString, c_char, c_int, c_void};
use std::ptr::NonNull;
use std::time::Duration;

use tch::Tensor;

use super::{ShimError, TensorPtr, check, pointers};

/// What is on the other side of a pointer.
type Handle = c_void;
type Take = unsafe extern "C" fn(*mut c_void, *const u8, usize);
/// `shim_nccl` of `csrc/nccl.cpp`.
type NcclBackend =
    unsafe extern "C" fn(*mut c_void, c_int, c_int, i64, *mut c_void, *mut c_char, usize) -> c_int;

unsafe extern "C" {
    fn shim_gloo_built() -> c_int;
    fn shim_store_open(
        host: *const c_char,
        port: c_int,
        serve: c_int,
        prefix: *const c_char,
        timeout_ms: i64,
        out: *mut *mut Handle,
    ) -> c_int;
    fn shim_store_clone(store: *const Handle, out: *mut *mut Handle) -> c_int;
    fn shim_store_set(store: *mut Handle, key: *const c_char, bytes: *const u8, n: usize) -> c_int;
    fn shim_store_get(
        store: *mut Handle,
        key: *const c_char,
        timeout_ms: i64,
        take: Take,
        context: *mut c_void,
    ) -> c_int;
    fn shim_store_has(store: *mut Handle, key: *const c_char, has: *mut c_int) -> c_int;
    fn shim_store_add(store: *mut Handle, key: *const c_char, amount: i64, now: *mut i64) -> c_int;
    fn shim_store_drop(store: *mut Handle);
    fn shim_group_open(
        store: *const Handle,
        rank: c_int,
        size: c_int,
        timeout_ms: i64,
        nccl: Option<NcclBackend>,
        out: *mut *mut Handle,
    ) -> c_int;
    fn shim_group_sum(group: *mut Handle, xs: TensorPtr) -> c_int;
    fn shim_group_broadcast(group: *mut Handle, tensors: *const TensorPtr, n: usize) -> c_int;
    fn shim_group_gather(group: *mut Handle, rows: TensorPtr, out: *mut TensorPtr) -> c_int;
    fn shim_group_drop(group: *mut Handle);
    fn shim_reducer_open(
        group: *mut Handle,
        params: *const TensorPtr,
        names: *const *const c_char,
        n: usize,
        out: *mut *mut Handle,
    ) -> c_int;
    fn shim_reducer_backward(reducer: *mut Handle, loss: TensorPtr, last: c_int) -> c_int;
    fn shim_reducer_drop(reducer: *mut Handle);
}

/// Whether the shim was built with gloo's headers: without them no store can be opened.
pub(crate) fn gloo_built() -> bool {
    // SAFETY: returns a constant.
    unsafe { shim_gloo_built() != 0 }
}

/// A handle that a function of the shim has just stored in `out`.
fn handle(out: *mut Handle) -> NonNull<Handle> {
    NonNull::new(out).expect("the shim stores a handle when it succeeds")
}

fn text(text: &str) -> CString {
    CString::new(text).expect("keys, hosts and names hold no zero byte")
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// A key-value store that one process keeps and all see.
#[derive(Debug)]
pub(crate) struct Store(NonNull<Handle>);

// SAFETY: c10d's stores may be used from any thread; each call locks the connection.
unsafe impl Send for Store {}

impl Store {
    /// Connects to the store at `host:port`, which this process keeps if it is to `serve`.
    pub(crate) fn open(
        host: &str,
        port: u16,
        serve: bool,
        prefix: &str,
        timeout: Duration,
    ) -> Result<Self, ShimError> {
        let (host, prefix, mut out) = (text(host), text(prefix), std::ptr::null_mut());
        call!(shim_store_open(
            host.as_ptr(),
            c_int::from(port),
            c_int::from(serve),
            prefix.as_ptr(),
            milliseconds(timeout),
            &raw mut out,
        ))?;
        Ok(Self(handle(out)))
    }

    /// The same store over a connection of its own: a call that waits holds up no other.
    pub(crate) fn another(&self) -> Result<Self, ShimError> {
        let mut out = std::ptr::null_mut();
        call!(shim_store_clone(self.0.as_ptr(), &raw mut out))?;
        Ok(Self(handle(out)))
    }

    pub(crate) fn set(&self, key: &str, value: &[u8]) -> Result<(), ShimError> {
        let key = text(key);
        call!(shim_store_set(self.0.as_ptr(), key.as_ptr(), value.as_ptr(), value.len()))
    }

    /// Waits for the key's value.
    pub(crate) fn get(&self, key: &str, timeout: Duration) -> Result<Vec<u8>, ShimError> {
        unsafe extern "C" fn take(context: *mut c_void, bytes: *const u8, n: usize) {
            if n > 0 {
                // SAFETY: the shim passes the vector below, and `n` bytes that live during the call.
                unsafe {
                    (*context.cast::<Vec<u8>>())
                        .extend_from_slice(std::slice::from_raw_parts(bytes, n));
                }
            }
        }
        let (key, mut value) = (text(key), Vec::<u8>::new());
        call!(shim_store_get(
            self.0.as_ptr(),
            key.as_ptr(),
            milliseconds(timeout),
            take,
            (&raw mut value).cast(),
        ))?;
        Ok(value)
    }

    pub(crate) fn has(&self, key: &str) -> Result<bool, ShimError> {
        let (key, mut has) = (text(key), 0);
        call!(shim_store_has(self.0.as_ptr(), key.as_ptr(), &raw mut has))?;
        Ok(has != 0)
    }

    /// Adds to the number under `key`, 0 at first, and returns it.
    pub(crate) fn add(&self, key: &str, amount: i64) -> Result<i64, ShimError> {
        let (key, mut now) = (text(key), 0);
        call!(shim_store_add(self.0.as_ptr(), key.as_ptr(), amount, &raw mut now))?;
        Ok(now)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // SAFETY: the handle is the one that the shim made, and is given back once.
        unsafe { shim_store_drop(self.0.as_ptr()) }
    }
}

/// NCCL's process group, which is loaded on a machine with GPUs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Nccl(NcclBackend);

/// The library that build.rs made of `csrc/nccl.cpp`; empty where it found no headers.
static NCCL: &[u8] = include_bytes!(env!("SHIM_NCCL"));

impl Nccl {
    /// Loads it from the program itself, after libtorch's CUDA part; `None` where the program was built without.
    ///
    /// # Errors
    /// The dynamic linker's message.
    pub(crate) fn load() -> Result<Option<Self>, ShimError> {
        if NCCL.is_empty() {
            return Ok(None);
        }
        super::cuda_open()?;
        let failed = |message: String| ShimError { function: "shim_nccl", message };
        let file = tempfile::NamedTempFile::new().map_err(|error| failed(error.to_string()))?;
        std::fs::write(file.path(), NCCL).map_err(|error| failed(error.to_string()))?;
        let path = text(&file.path().display().to_string());
        // SAFETY: the library is our own; it stays loaded, as it is never closed.
        let function = unsafe {
            let library = libc::dlopen(path.as_ptr(), libc::RTLD_NOW);
            if library.is_null() {
                let said = std::ffi::CStr::from_ptr(libc::dlerror());
                return Err(failed(said.to_string_lossy().into_owned()));
            }
            libc::dlsym(library, c"shim_nccl".as_ptr())
        };
        if function.is_null() {
            return Err(failed("the library has no such function".to_owned()));
        }
        // SAFETY: the function of this name has this type (csrc/nccl.cpp).
        Ok(Some(Self(unsafe { std::mem::transmute::<*mut c_void, NcclBackend>(function) })))
    }
}

/// The processes as one group.
#[derive(Debug)]
pub(crate) struct Group(NonNull<Handle>);

impl Group {
    /// Waits for all processes: gloo, and NCCL for tensors on GPUs.
    pub(crate) fn open(
        store: &Store,
        rank: usize,
        size: usize,
        timeout: Duration,
        nccl: Option<Nccl>,
    ) -> Result<Self, ShimError> {
        let mut out = std::ptr::null_mut();
        call!(shim_group_open(
            store.0.as_ptr(),
            rank as c_int,
            size as c_int,
            milliseconds(timeout),
            nccl.map(|Nccl(function)| function),
            &raw mut out,
        ))?;
        Ok(Self(handle(out)))
    }

    /// Each element of `xs` becomes the sum over all processes.
    pub(crate) fn sum(&self, xs: &Tensor) -> Result<(), ShimError> {
        call!(shim_group_sum(self.0.as_ptr(), xs.as_ptr().cast_mut()))
    }

    /// Each tensor becomes that of process 0.
    pub(crate) fn broadcast(&self, tensors: &[&Tensor]) -> Result<(), ShimError> {
        let tensors = pointers(tensors.iter().copied());
        call!(shim_group_broadcast(self.0.as_ptr(), tensors.as_ptr(), tensors.len()))
    }

    /// The rows of all processes, in their order.
    pub(crate) fn gather(&self, rows: &Tensor) -> Result<Tensor, ShimError> {
        let mut out = std::ptr::null_mut();
        call!(shim_group_gather(self.0.as_ptr(), rows.as_ptr().cast_mut(), &raw mut out))?;
        // SAFETY: on success `out` is a new C++ tensor that nobody else owns.
        Ok(unsafe { Tensor::from_ptr(out) })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // SAFETY: the handle is the one that the shim made, and is given back once.
        unsafe { shim_group_drop(self.0.as_ptr()) }
    }
}

/// Averages gradients over a group while backward computes them.
#[derive(Debug)]
pub(crate) struct Reducer(NonNull<Handle>);

impl Reducer {
    /// Hooks on to `params`, which all processes have in this order.
    pub(crate) fn open(group: &Group, params: &[(String, Tensor)]) -> Result<Self, ShimError> {
        let names: Vec<CString> = params.iter().map(|(name, _)| text(name)).collect();
        let names: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
        let handles = pointers(params.iter().map(|(_, param)| param));
        let mut out = std::ptr::null_mut();
        call!(shim_reducer_open(
            group.0.as_ptr(),
            handles.as_ptr(),
            names.as_ptr(),
            handles.len(),
            &raw mut out,
        ))?;
        Ok(Self(handle(out)))
    }

    /// Backward from `loss`; after the `last` of an update the gradients are means over the group.
    pub(crate) fn backward(&self, loss: &Tensor, last: bool) -> Result<(), ShimError> {
        call!(shim_reducer_backward(self.0.as_ptr(), loss.as_ptr().cast_mut(), c_int::from(last)))
    }
}

impl Drop for Reducer {
    fn drop(&mut self) {
        // SAFETY: the handle is the one that the shim made, and is given back once.
        unsafe { shim_reducer_drop(self.0.as_ptr()) }
    }
}
