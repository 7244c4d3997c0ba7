//! The mean picture of a training split and the principal components of its colours.
//!
//! Everything is summed in whole numbers, so that neither order nor threads change a bit.

use serde::{Deserialize, Serialize};

use super::{Part, PhotosError};

/// The principal components of red, green and blue over the pixels of a split.
///
/// Source: Krizhevsky et al. 2012, section 4.1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pca {
    /// Eigenvalues of the covariance of levels 0–255, in squared levels, largest first.
    pub values: [f64; 3],
    /// `vectors[k]` has length one and belongs to `values[k]`; its largest component is positive.
    pub vectors: [[f64; 3]; 3],
}

/// What the training pictures have in common.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// Mean level at each position and channel, `[side, side, channels]`.
    pub mean: Vec<f32>,
    /// Of the colours; none for grey pictures.
    pub pca: Option<Pca>,
}

impl Statistics {
    /// Over all pictures of `part`.
    ///
    /// # Errors
    /// If a picture cannot be read.
    pub fn of(part: &Part) -> Result<Self, PhotosError> {
        let (side, channels) = (part.pictures.side(), part.pictures.channels());
        let mut sums = Sums::new(side * side * channels);
        let mut room = Vec::new();
        for &i in part.indices.iter() {
            sums.add(part.pictures.picture(i as usize, &mut room)?, channels == 3);
        }
        Ok(Self { mean: sums.mean(), pca: (channels == 3).then(|| sums.pca()) })
    }
}

/// Sums over pictures, exact up to 2.8e14 pixels (ImageNet at side 256 has 8.4e10).
#[derive(Clone)]
pub(crate) struct Sums {
    n: u64,
    levels: Vec<u64>,
    /// Products of red and red, red and green, red and blue, green and green, green and blue, blue
    /// and blue.
    products: [u64; 6],
}

impl Sums {
    /// Of no picture yet, for pictures of `size` bytes.
    pub(crate) fn new(size: usize) -> Self {
        Self { n: 0, levels: vec![0; size], products: [0; 6] }
    }

    /// Adds a picture; its colours too when it has any.
    pub(crate) fn add(&mut self, picture: &[u8], coloured: bool) {
        self.n += 1;
        self.levels.iter_mut().zip(picture).for_each(|(sum, &level)| *sum += u64::from(level));
        if !coloured {
            return;
        }
        for row in picture.chunks(3 << 12) {
            // 4096 products of two levels fit 32 bits.
            let mut sums = [0_u32; 6];
            for pixel in row.chunks_exact(3) {
                let [r, g, b] = [pixel[0], pixel[1], pixel[2]].map(u32::from);
                let products = [r * r, r * g, r * b, g * g, g * b, b * b];
                sums.iter_mut().zip(products).for_each(|(sum, product)| *sum += product);
            }
            self.products.iter_mut().zip(sums).for_each(|(sum, part)| *sum += u64::from(part));
        }
    }

    /// The mean level at each place of a picture; of no pictures, 0.
    pub(crate) fn mean(&self) -> Vec<f32> {
        let n = self.n.max(1) as f64;
        self.levels.iter().map(|&sum| (sum as f64 / n) as f32).collect()
    }

    /// The principal components of the colours.
    pub(crate) fn pca(&self) -> Pca {
        let pixels = i128::from(self.n) * (self.levels.len() / 3) as i128;
        let mut sums = [0_i128; 3];
        for pixel in self.levels.chunks_exact(3) {
            sums.iter_mut().zip(pixel).for_each(|(sum, &level)| *sum += i128::from(level));
        }
        let covariance = |i: usize, j: usize| {
            let at = [[0, 1, 2], [1, 3, 4], [2, 4, 5]][i][j];
            let scaled = pixels * i128::from(self.products[at]) - sums[i] * sums[j];
            scaled as f64 / (pixels.max(1) as f64).powi(2)
        };
        symmetric_eigen([0, 1, 2].map(|i| [0, 1, 2].map(|j| covariance(i, j))))
    }
}

/// Eigenvalues and eigenvectors of a symmetric matrix, by Jacobi's rotations.
fn symmetric_eigen(mut a: [[f64; 3]; 3]) -> Pca {
    let mut v = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]; // columns become eigenvectors
    // Converges quadratically; six sweeps suffice for any 3×3 matrix in double precision.
    for _ in 0..12 {
        for (p, q) in [(0, 1), (0, 2), (1, 2)] {
            if a[p][q] == 0.0 {
                continue;
            }
            let theta = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
            let t = theta.signum() / (theta.abs() + theta.hypot(1.0));
            let cos = 1.0 / t.hypot(1.0);
            let sin = t * cos;
            for row in &mut a {
                (row[p], row[q]) = (cos * row[p] - sin * row[q], sin * row[p] + cos * row[q]);
            }
            let (from, to) = (a[p], a[q]);
            a[p] = [0, 1, 2].map(|k| cos * from[k] - sin * to[k]);
            a[q] = [0, 1, 2].map(|k| sin * from[k] + cos * to[k]);
            for row in &mut v {
                (row[p], row[q]) = (cos * row[p] - sin * row[q], sin * row[p] + cos * row[q]);
            }
        }
    }
    let mut order = [0, 1, 2];
    order.sort_by(|&i, &j| a[j][j].total_cmp(&a[i][i]));
    let vector = |k: usize| {
        let vector = [v[0][k], v[1][k], v[2][k]];
        let largest = vector.into_iter().max_by(|x, y| x.abs().total_cmp(&y.abs()));
        let sign = largest.expect("three components").signum();
        vector.map(|x| x * sign)
    };
    // A covariance has no negative eigenvalue; rounding may make one of the size of 1e-16.
    Pca { values: order.map(|k| a[k][k].max(0.0)), vectors: order.map(vector) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::data::photos::MemoryPictures;
    use crate::data::photos::test_set::set;

    #[test]
    fn the_mean_is_that_of_each_position_over_the_part() {
        let planar = set(9, 4, 3);
        let part = Part::new(Arc::new(MemoryPictures::new(&planar).unwrap()), 2..7).unwrap();
        let mean = Statistics::of(&part).unwrap().mean;
        for at in 0..16 {
            for c in 0..3 {
                let levels = (2..7).map(|i| f64::from(planar.picture(i)[c * 16 + at]));
                let expected = levels.sum::<f64>() / 5.0;
                assert!((f64::from(mean[at * 3 + c]) - expected).abs() < 1e-4);
            }
        }
    }

    #[test]
    fn the_components_rebuild_the_covariance_and_stand_at_right_angles() {
        let planar = set(30, 5, 3);
        let part = Part::new(Arc::new(MemoryPictures::new(&planar).unwrap()), 0..30).unwrap();
        let pca = Statistics::of(&part).unwrap().pca.unwrap();
        let channel = |c: usize| -> Vec<f64> {
            let of = |i: usize| planar.picture(i)[c * 25..(c + 1) * 25].iter().map(|&b| b.into());
            (0..30).flat_map(of).collect()
        };
        let channels = [channel(0), channel(1), channel(2)];
        let mean = |xs: &[f64]| xs.iter().sum::<f64>() / xs.len() as f64;
        for i in 0..3 {
            for j in 0..3 {
                let (mi, mj) = (mean(&channels[i]), mean(&channels[j]));
                let products: Vec<f64> = channels[i]
                    .iter()
                    .zip(&channels[j])
                    .map(|(x, y)| (x - mi) * (y - mj))
                    .collect();
                let rebuilt: f64 =
                    (0..3).map(|k| pca.values[k] * pca.vectors[k][i] * pca.vectors[k][j]).sum();
                let expected = mean(&products);
                assert!((rebuilt - expected).abs() < 1e-7, "expected {expected}, got {rebuilt}");
                let dot: f64 = (0..3).map(|k| pca.vectors[i][k] * pca.vectors[j][k]).sum();
                assert!((dot - f64::from(u8::from(i == j))).abs() < 1e-12, "{dot}");
            }
        }
        assert!(pca.values[0] >= pca.values[1] && pca.values[1] >= pca.values[2]);
    }

    #[test]
    fn a_matrix_with_known_components_is_taken_apart() {
        // Eigenvalues 5 along (1, 1, 0), 3 along (1, -1, 0), 4 along (0, 0, 1).
        let pca = symmetric_eigen([[4.0, 1.0, 0.0], [1.0, 4.0, 0.0], [0.0, 0.0, 4.0]]);
        let r = 0.5_f64.sqrt();
        let expected = [[r, r, 0.0], [0.0, 0.0, 1.0]];
        for (k, value) in [5.0, 4.0, 3.0].into_iter().enumerate() {
            assert!((pca.values[k] - value).abs() < 1e-12, "{:?}", pca.values);
        }
        for (found, expected) in pca.vectors.iter().zip(expected) {
            assert!(found.iter().zip(expected).all(|(x, y)| (x - y).abs() < 1e-12), "{found:?}");
        }
        let flat = symmetric_eigen([[0.0; 3]; 3]);
        assert!(flat.values.iter().all(|v| v.abs() < f64::MIN_POSITIVE), "{:?}", flat.values);
    }
}
