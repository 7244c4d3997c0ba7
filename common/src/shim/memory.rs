//! A tensor's own memory as a slice, so that what makes a batch writes it where it is used.

use tch::{Device, Kind, Tensor};

/// A new tensor of `shape` on the CPU, in float32, that `fill` has written; it finds zeros.
///
/// No libtorch operation runs in it, so that a thread of a loader starts no thread pool of its own.
///
/// # Errors
/// Those of `fill`.
pub(crate) fn filled<E>(
    shape: &[i64],
    fill: impl FnOnce(&mut [f32]) -> Result<(), E>,
) -> Result<Tensor, E> {
    let tensor = Tensor::empty(shape, (Kind::Float, Device::Cpu));
    let (memory, n) = (tensor.data_ptr().cast::<f32>(), tensor.numel());
    if n > 0 {
        // SAFETY: the tensor is new, so it is contiguous and nobody else has it: `n` floats from
        // `memory` are ours, and written before anybody reads them.
        let slice = unsafe {
            memory.write_bytes(0, n);
            std::slice::from_raw_parts_mut(memory, n)
        };
        fill(slice)?;
    }
    Ok(tensor)
}

/// The floats of a tensor that [`filled`] made.
pub(crate) fn floats(tensor: &Tensor) -> &[f32] {
    assert!(tensor.kind() == Kind::Float && tensor.device() == Device::Cpu);
    assert!(tensor.is_contiguous(), "a tensor as `filled` made it");
    if tensor.numel() == 0 {
        return &[];
    }
    // SAFETY: contiguous floats on the CPU, kept alive by the tensor that is borrowed.
    unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast::<f32>(), tensor.numel()) }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn what_was_written_is_in_the_tensor_and_what_was_not_is_zero() {
        let tensor = filled(&[2, 3], |xs| {
            xs[1] = 5.0;
            Ok::<_, Infallible>(())
        });
        let tensor = tensor.unwrap();
        assert_eq!(
            Vec::<f32>::try_from(tensor.reshape([-1])).unwrap(),
            [0.0, 5.0, 0.0, 0.0, 0.0, 0.0]
        );
        assert_eq!(floats(&tensor), [0.0, 5.0, 0.0, 0.0, 0.0, 0.0]);
        assert!(floats(&filled(&[0, 3], |_| Ok::<_, Infallible>(())).unwrap()).is_empty());
    }
}
