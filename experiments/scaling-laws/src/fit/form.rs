//! The laws: loss as a function of size, data or compute, in coordinates without bounds.
//!
//! A law is fitted in `theta`, where every positive constant is a logarithm and a term's size is
//! taken at the middle of the points; [`Form::named`] returns to the published constants. A point
//! is `(x, y, loss)`: `x` parameters (or the one variable of a power law), `y` tokens.

use serde::{Deserialize, Serialize};

/// A run: parameters (or the one variable of a power law), tokens, loss in nats per token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Parameters, or the variable of a power law.
    pub x: f64,
    /// Training tokens; unused by a power law.
    pub y: f64,
    /// Loss.
    pub loss: f64,
}

/// Which law to fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// `L = E + A/N^alpha + B/D^beta`. Source: Hoffmann et al. 2022, section 3.3.
    Hoffmann,
    /// `L = E + A/N^alpha + B/D^alpha`: both terms fall alike.
    ///
    /// Source: Gadre et al. 2024, Language models scale reliably with over-training, section 3.
    Shared,
    /// `L = [(N_c/N)^(alpha_N/alpha_D) + D_c/D]^alpha_D`. Source: Kaplan et al. 2020, eq. 1.5.
    Kaplan,
    /// `L = (N_c/N)^alpha_N + (S_c/S)^alpha_S`, whose second variable is updates, not tokens.
    ///
    /// Source: Kaplan et al. 2020, eq. 1.6 and 5.6.
    LearningCurves,
    /// `y = E + a·x^-k`.
    Power,
    /// `y = a·x^-k`: no irreducible loss, as Kaplan et al. 2020, eq. 1.1 to 1.3.
    PurePower,
}

/// The middle of a set of points: means of the logs of `x` and `y`.
///
/// A term's size there and its exponent are nearly independent, its constant at `x = 1` and its
/// exponent are not: descents in the first pair take a tenth of the steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Centre {
    /// Mean of `ln x`.
    pub x: f64,
    /// Mean of `ln y`.
    pub y: f64,
}

impl Centre {
    /// The middle of `points`.
    pub fn of(points: &[Point]) -> Self {
        let mean = |log: fn(&Point) -> f64| points.iter().map(log).sum::<f64>();
        let n = points.len() as f64;
        Self { x: mean(|p| p.x.ln()) / n, y: mean(|p| p.y.ln()) / n }
    }
}

impl Form {
    /// The name in the JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hoffmann => "hoffmann",
            Self::Shared => "shared",
            Self::Kaplan => "kaplan",
            Self::LearningCurves => "learning-curves",
            Self::Power | Self::PurePower => "power",
        }
    }

    /// The published constants' names, in the order of [`Form::named`].
    pub fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Hoffmann => &["A", "B", "E", "alpha", "beta"],
            Self::Shared => &["A", "B", "E", "alpha"],
            Self::Kaplan => &["N_c", "D_c", "alpha_N", "alpha_D"],
            Self::LearningCurves => &["N_c", "S_c", "alpha_N", "alpha_S"],
            Self::Power | Self::PurePower => &["a", "k", "E"],
        }
    }

    /// How many constants are free.
    pub fn n_free(self) -> usize {
        match self {
            Self::Hoffmann => 5,
            Self::Shared | Self::Kaplan | Self::LearningCurves => 4,
            Self::Power => 3,
            Self::PurePower => 2,
        }
    }

    /// Whether the law has the second variable: tokens, of learning curves updates.
    pub fn needs_tokens(self) -> bool {
        !matches!(self, Self::Power | Self::PurePower)
    }

    /// The published constants at `theta: [n_free]`, in the order of [`Form::keys`].
    pub fn named(self, theta: &[f64], centre: Centre) -> Vec<f64> {
        let Centre { x, y } = centre;
        match self {
            Self::Hoffmann => vec![
                (theta[0] + theta[3] * x).exp(),
                (theta[1] + theta[4] * y).exp(),
                theta[2].exp(),
                theta[3],
                theta[4],
            ],
            Self::Shared => vec![
                (theta[0] + theta[3] * x).exp(),
                (theta[1] + theta[3] * y).exp(),
                theta[2].exp(),
                theta[3],
            ],
            Self::Kaplan | Self::LearningCurves => vec![
                (theta[0] / theta[2] + x).exp(),
                (theta[1] / theta[3] + y).exp(),
                theta[2],
                theta[3],
            ],
            Self::Power => vec![(theta[0] + theta[1] * x).exp(), theta[1], theta[2].exp()],
            Self::PurePower => vec![(theta[0] + theta[1] * x).exp(), theta[1], 0.0],
        }
    }

    /// The inverse of [`Form::named`].
    pub fn theta(self, named: &[f64], centre: Centre) -> Vec<f64> {
        let (c, Centre { x, y }) = (named, centre);
        match self {
            Self::Hoffmann => {
                vec![c[0].ln() - c[3] * x, c[1].ln() - c[4] * y, c[2].ln(), c[3], c[4]]
            }
            Self::Shared => {
                vec![c[0].ln() - c[3] * x, c[1].ln() - c[3] * y, c[2].ln(), c[3]]
            }
            Self::Kaplan | Self::LearningCurves => {
                vec![c[2] * (c[0].ln() - x), c[3] * (c[1].ln() - y), c[2], c[3]]
            }
            Self::Power => vec![c[0].ln() - c[1] * x, c[1], c[2].ln()],
            Self::PurePower => vec![c[0].ln() - c[1] * x, c[1]],
        }
    }

    /// The loss that published constants, in the order of [`Form::keys`], give at `(x, y)`.
    pub fn loss(self, named: &[f64], x: f64, y: f64) -> f64 {
        let origin = Centre { x: 0.0, y: 0.0 };
        let mut unused = [0.0; 5];
        let theta = self.theta(named, origin);
        self.log_loss(&theta, x.ln(), y.ln(), &mut unused[..self.n_free()]).exp()
    }

    /// Log of the predicted loss at logs `(n, d)` of size and tokens, counted from the centre;
    /// writes its gradient to `grad: [n_free]`.
    pub fn log_loss(self, theta: &[f64], n: f64, d: f64, grad: &mut [f64]) -> f64 {
        match self {
            Self::Hoffmann => {
                let (u, v, w) = (theta[0] - theta[3] * n, theta[1] - theta[4] * d, theta[2]);
                let (total, [u, v, w]) = log_sum_exp([u, v, w]);
                grad.copy_from_slice(&[u, v, w, -u * n, -v * d]);
                total
            }
            Self::Shared => {
                let (u, v, w) = (theta[0] - theta[3] * n, theta[1] - theta[3] * d, theta[2]);
                let (total, [u, v, w]) = log_sum_exp([u, v, w]);
                grad.copy_from_slice(&[u, v, w, -u * n - v * d]);
                total
            }
            Self::Kaplan => {
                let (an, ad) = (theta[2], theta[3]);
                let (s, t) = ((theta[0] - an * n) / ad, theta[1] / ad - d);
                let (total, [p, q]) = log_sum_exp([s, t]);
                // d(ad·total): ad·(p·ds + q·dt) + total·d(ad)
                grad.copy_from_slice(&[p, q, -p * n, total - p * s - q * theta[1] / ad]);
                ad * total
            }
            Self::LearningCurves => {
                let (total, [u, v]) =
                    log_sum_exp([theta[0] - theta[2] * n, theta[1] - theta[3] * d]);
                grad.copy_from_slice(&[u, v, -u * n, -v * d]);
                total
            }
            Self::Power => {
                let (total, [u, w]) = log_sum_exp([theta[0] - theta[1] * n, theta[2]]);
                grad.copy_from_slice(&[u, -u * n, w]);
                total
            }
            Self::PurePower => {
                grad.copy_from_slice(&[1.0, -n]);
                theta[0] - theta[1] * n
            }
        }
    }

    /// The grid of starts for points whose median loss is `e^level`.
    ///
    /// Differs: Hoffmann et al. 2022 start from 4,500 constants at `N = D = 1`, whatever the data.
    /// These 81 (or fewer) give each term a share of the loss at the middle of the points instead,
    /// so that every one of them passes near the data. `tests/scipy.rs` holds the optimum found
    /// against that of the published grid.
    pub fn starts(self, level: f64) -> Vec<Vec<f64>> {
        let shares: &[f64] = &[0.05, 0.4, 0.8];
        let slopes: &[f64] = &[0.1, 0.4, 1.0];
        let at = |share: f64| level + share.ln();
        let mut starts = vec![];
        for &share in shares {
            for &k in slopes {
                match self {
                    Self::PurePower => starts.push(vec![level, k]),
                    Self::Power => starts.push(vec![at(1.0 - share), k, at(share)]),
                    Self::Hoffmann | Self::Shared => {
                        for &of_rest in shares {
                            let (a, b) =
                                (at((1.0 - share) * of_rest), (1.0 - share) * (1.0 - of_rest));
                            let terms = [a, at(b), at(share), k];
                            if self == Self::Shared {
                                starts.push(terms.to_vec());
                            } else {
                                starts.extend(slopes.iter().map(|&l| [&terms[..], &[l]].concat()));
                            }
                        }
                    }
                    Self::LearningCurves => {
                        let terms = [at(share), at(1.0 - share), k];
                        starts.extend(slopes.iter().map(|&l| [&terms[..], &[l]].concat()));
                    }
                    Self::Kaplan => {
                        for &l in slopes {
                            let (k, l) = (k / 3.0, l / 3.0);
                            // (share + (1 − share))^alpha_D is 1, the level's factor comes in twice.
                            let (a, b) = (level + l * share.ln(), level + l * (1.0 - share).ln());
                            starts.push(vec![a, b, k, l]);
                        }
                    }
                }
            }
        }
        starts
    }
}

/// `ln Σ exp` of the terms and each term's share of the sum.
fn log_sum_exp<const T: usize>(terms: [f64; T]) -> (f64, [f64; T]) {
    let top = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let parts = terms.map(|t| (t - top).exp());
    let sum: f64 = parts.iter().sum();
    (top + sum.ln(), parts.map(|p| p / sum))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradients_agree_with_finite_differences() {
        let (n, d) = (1.3, -0.7);
        for (form, theta) in [
            (Form::Hoffmann, vec![0.2, -0.3, 0.5, 0.34, 0.28]),
            (Form::Shared, vec![0.2, -0.3, 0.5, 0.26]),
            (Form::Kaplan, vec![1.0, 0.9, 0.076, 0.103]),
            (Form::LearningCurves, vec![1.0, 0.2, 0.077, 0.76]),
            (Form::Power, vec![0.3, 0.2, 0.4]),
            (Form::PurePower, vec![0.3, 0.2]),
        ] {
            let (mut grad, mut unused) = (vec![0.0; theta.len()], vec![0.0; theta.len()]);
            form.log_loss(&theta, n, d, &mut grad);
            for i in 0..theta.len() {
                let mut at = |h: f64| {
                    let mut moved = theta.clone();
                    moved[i] += h;
                    form.log_loss(&moved, n, d, &mut unused)
                };
                let by_difference = (at(1e-6) - at(-1e-6)) / 2e-6;
                assert!(
                    (grad[i] - by_difference).abs() < 1e-6 * (1.0 + by_difference.abs()),
                    "{form:?}, {i}: expected {by_difference}, got {}",
                    grad[i]
                );
            }
        }
    }

    #[test]
    fn published_constants_give_the_published_losses() {
        // shared golden values
        let hoffmann = [406.4, 410.7, 1.69, 0.34, 0.28];
        let kaplan = [6.4e13, 1.8e13, 0.076, 0.103];
        let of_size = [8.8e13_f64.powf(0.076), 0.076, 0.0];
        for (form, named, (x, y), wanted) in [
            (Form::Hoffmann, &hoffmann[..], (70e9, 1.4e12), 1.936_645),
            (Form::Kaplan, &kaplan, (1e8, 1e9), 2.956_734),
            (Form::PurePower, &of_size, (1e6, 1.0), 4.015_880),
            (Form::PurePower, &of_size, (1e10, 1.0), 1.994_255),
        ] {
            let loss = form.loss(named, x, y);
            assert!((loss - wanted).abs() < 1e-6, "{form:?}: expected {wanted}, got {loss}");
        }
    }

    #[test]
    fn constants_survive_the_way_to_the_fitting_coordinates_and_back() {
        let centre = Centre { x: 17.0, y: 20.0 };
        for (form, named) in [
            (Form::Hoffmann, vec![406.4, 410.7, 1.69, 0.34, 0.28]),
            (Form::Shared, vec![120.0, 190.0, 1.5, 0.25]),
            (Form::Kaplan, vec![6.4e13, 1.8e13, 0.076, 0.103]),
            (Form::LearningCurves, vec![6.5e13, 2.1e3, 0.077, 0.76]),
            (Form::Power, vec![12.0, 0.2, 1.5]),
            (Form::PurePower, vec![12.0, 0.2, 0.0]),
        ] {
            let back = form.named(&form.theta(&named, centre), centre);
            for (want, got) in named.iter().zip(back) {
                assert!((got - want).abs() <= 1e-9 * want, "{form:?}: expected {want}, got {got}");
            }
        }
    }
}
