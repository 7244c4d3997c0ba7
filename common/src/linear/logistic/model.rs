//! The quadratic model of the loss around a point, whose minimum is a Newton step's direction.

use tch::Tensor;

use super::RIDGE;
use super::problem::Problem;

/// The model's slope along every coordinate as the coordinates change one by one.
pub(super) enum Model<'a> {
    /// By the examples: a change, and a slope, cost a walk over all of them.
    Examples {
        problem: &'a Problem<'a>,
        /// Second derivative of the loss by each example's score.
        second: &'a [f64],
        /// That times the change of the score.
        bent: Vec<f64>,
    },
    /// By the products of features, `Σᵢ xᵢⱼ·xᵢₖ·secondᵢ`: cheaper for dense features that are fewer than the examples.
    Products {
        /// Where a feature is among the active ones.
        place: Vec<usize>,
        /// `[active, active]`.
        products: Vec<f64>,
        /// The slopes, `[active]`.
        slopes: Vec<f64>,
    },
}

impl<'a> Model<'a> {
    /// The model over the `active` coordinates.
    pub(super) fn new(problem: &'a Problem<'a>, second: &'a [f64], active: &[usize]) -> Self {
        let (n, k) = (second.len(), active.len());
        if !problem.features.is_dense() || k >= n {
            return Self::Examples { problem, second, bent: vec![0.0; n] };
        }
        let roots: Vec<f64> = second.iter().map(|h| h.sqrt()).collect();
        let mut rows = vec![0.0; k * n]; // [active, n]
        let mut place = vec![usize::MAX; problem.d() + 1];
        for (i, (&j, row)) in active.iter().zip(rows.chunks_exact_mut(n)).enumerate() {
            place[j] = i;
            problem.add_weighted(j, 1.0, &roots, row);
        }
        let rows = Tensor::from_slice(&rows).view([k as i64, n as i64]);
        let products = rows.matmul(&rows.tr()).flatten(0, -1); // [active · active]
        let products = Vec::try_from(products).expect("a flat tensor of doubles is a vector");
        Self::Products { place, products, slopes: vec![0.0; k] }
    }

    /// The second derivative by coordinate `j`.
    pub(super) fn curvature(&self, j: usize) -> f64 {
        let curvature = match self {
            Self::Examples { problem, second, .. } => problem.dot_squared(j, second),
            Self::Products { place, products, slopes } => products[place[j] * (slopes.len() + 1)],
        };
        RIDGE + curvature
    }

    /// How much the slope along `j` is above that at the point.
    pub(super) fn slope(&self, j: usize) -> f64 {
        match self {
            Self::Examples { problem, bent, .. } => problem.dot(j, bent),
            Self::Products { place, slopes, .. } => slopes[place[j]],
        }
    }

    /// Takes note that coordinate `j` has changed.
    pub(super) fn moved(&mut self, j: usize, change: f64) {
        match self {
            Self::Examples { problem, second, bent } => {
                problem.add_weighted(j, change, second, bent);
            }
            Self::Products { place, products, slopes } => {
                let row = &products[place[j] * slopes.len()..][..slopes.len()];
                slopes.iter_mut().zip(row).for_each(|(slope, product)| *slope += change * product);
            }
        }
    }
}
