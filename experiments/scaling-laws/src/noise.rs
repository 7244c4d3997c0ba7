//! The gradient noise scale: how large a batch may be before its gradient says nothing new.
//!
//! Source: `McCandlish` et al. 2018, An empirical model of large-batch training, appendix A.1.

use tch::{Kind, Tensor};

/// The noise scale in windows, from `n` micro-batches of `batch` windows and their mean; None where
/// the estimate of the gradient's own size is not positive. `gradients` leaves the gradients of
/// micro-batch `i` in the parameters.
///
/// # Errors
/// A norm that cannot be read.
pub fn scale(
    n: u64,
    batch: usize,
    params: &[(String, Tensor)],
    mut gradients: impl FnMut(u64),
) -> anyhow::Result<Option<f64>> {
    let of_one = |tensor: &Tensor| tensor.square().sum(Kind::Double).double_value(&[]);
    let square = |tensors: &[Tensor]| tensors.iter().map(of_one).sum::<f64>();
    let mut sum: Vec<Tensor> = Vec::new();
    let mut small = 0.0;
    for i in 0..n {
        gradients(i);
        let grads: Vec<Tensor> = params.iter().map(|(_, param)| param.grad().copy()).collect();
        small += square(&grads) / n as f64;
        if sum.is_empty() {
            sum = grads;
        } else {
            sum = sum.iter().zip(&grads).map(|(a, b)| a + b).collect();
        }
    }
    let large = square(&sum) / (n * n) as f64;
    Ok(from_norms(small, batch as f64, large, batch as f64 * n as f64))
}

/// Trace of the gradients' covariance over the squared gradient, from the mean squared norms of
/// gradients of `small_batch` and of `large_batch` examples.
fn from_norms(small: f64, small_batch: f64, large: f64, large_batch: f64) -> Option<f64> {
    let gradient = (large_batch * large - small_batch * small) / (large_batch - small_batch);
    let noise = (small - large) / (1.0 / small_batch - 1.0 / large_batch);
    (gradient > 0.0 && noise > 0.0).then(|| noise / gradient)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_of_a_known_noise_comes_back() {
        // Gradient of square 4, covariance of trace 12: a batch of b has 4 + 12/b on average.
        let at = |b: f64| 4.0 + 12.0 / b;
        let found = from_norms(at(2.0), 2.0, at(16.0), 16.0).unwrap();
        assert!((found - 3.0).abs() < 1e-12, "expected 3, got {found}");
        assert_eq!(from_norms(4.0, 2.0, 4.0, 16.0), None); // no noise seen
        assert_eq!(from_norms(12.0, 2.0, 1.0, 16.0), None); // nothing but noise
    }

    #[test]
    fn gradients_of_micro_batches_are_read_and_averaged() {
        // One parameter of two numbers whose gradients alternate between (3, 1) and (1, −1): the
        // mean is (2, 0). Squared norms: 10 and 2, mean 6; of the mean 4.
        let param = Tensor::zeros([2], (Kind::Float, tch::Device::Cpu)).set_requires_grad(true);
        let params = vec![("x".to_owned(), param.shallow_clone())];
        let found = scale(4, 5, &params, |i| {
            let wanted: &[f32] = if i % 2 == 0 { &[3.0, 1.0] } else { &[1.0, -1.0] };
            let mut param = param.shallow_clone();
            param.zero_grad();
            (&param * Tensor::from_slice(wanted)).sum(Kind::Float).backward();
        });
        let wanted = from_norms(6.0, 5.0, 4.0, 20.0);
        assert!(wanted.is_some());
        assert_eq!(found.unwrap(), wanted);
    }
}
