//! Principal components: the best linear code of a size.

use tch::{Kind, Tensor};

/// The mean and the leading components of a set of cases.
#[derive(Debug)]
pub struct Pca {
    /// `[in]`
    mean: Tensor,
    /// `[in, size]`, orthonormal.
    components: Tensor,
}

impl Pca {
    /// The `size` leading components of `cases: [N, in]`, from the eigenvectors of their covariance in 64 bits.
    pub fn new(cases: &Tensor, size: i64) -> Self {
        let mean = cases.mean_dim(0, false, Kind::Double);
        let n_in = mean.size()[0];
        let mut covariance = Tensor::zeros([n_in, n_in], (Kind::Double, cases.device()));
        for chunk in cases.split(CHUNK, 0) {
            let centred = chunk.to_kind(Kind::Double) - &mean;
            covariance += centred.tr().mm(&centred);
        }
        let (_, vectors) = covariance.linalg_eigh("L"); // ascending
        let components = vectors.narrow(1, n_in - size, size);
        Self { mean: mean.to_kind(Kind::Float), components: components.to_kind(Kind::Float) }
    }

    /// `xs: [N, in]` as the components give them back; the same shape.
    pub fn reconstruct(&self, xs: &Tensor) -> Tensor {
        let code = (xs - &self.mean).mm(&self.components); // [N, size]
        self.mean.addmm(&code, &self.components.tr())
    }
}

/// Cases whose 64-bit copies are held at a time.
const CHUNK: i64 = 5000;

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn what_is_left_is_the_sum_of_the_squared_singular_values_that_were_left_out() {
        tch::manual_seed(1);
        let scale = Tensor::logspace(0.0, -2.0, 12, 10.0, (Kind::Float, Device::Cpu));
        let cases = Tensor::randn([300, 12], (Kind::Float, Device::Cpu)) * scale + 0.7;
        let centred = &cases - cases.mean_dim(0, true, Kind::Float);
        let (_, singular, _) = centred.svd(true, true);
        for size in [1, 5, 12] {
            let left = (Pca::new(&cases, size).reconstruct(&cases) - &cases).square();
            let found = left.sum(Kind::Double).double_value(&[]);
            let wanted =
                singular.narrow(0, size, 12 - size).square().sum(Kind::Double).double_value(&[]);
            assert!((found - wanted).abs() < 1e-4 * (1.0 + wanted), "{size}: {found}, {wanted}");
        }
    }
}
