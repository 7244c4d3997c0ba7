//! The laws: loss as a function of size, data or compute, in coordinates without bounds.
//!
//! A law is fitted in `theta`, where every positive constant is a logarithm; `named` returns to the
//! published constants. A point is `(x, y, loss)`: `x` parameters (or the one variable of a power
//! law), `y` tokens.

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `L = E + A/N^alpha + B/D^beta`. Source: Hoffmann et al. 2022, section 3.3.
    Hoffmann,
    /// `L = [(N_c/N)^(alpha_N/alpha_D) + D_c/D]^alpha_D`. Source: Kaplan et al. 2020, eq. 1.5.
    Kaplan,
    /// `y = E + a·x^-k`.
    Power,
    /// `y = a·x^-k`: no irreducible loss, as Kaplan et al. 2020, eq. 1.1 to 1.3.
    PurePower,
}

impl Form {
    /// The name in the JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hoffmann => "hoffmann",
            Self::Kaplan => "kaplan",
            Self::Power | Self::PurePower => "power",
        }
    }

    /// The published constants' names, in the order of [`Form::named`].
    pub fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Hoffmann => &["A", "B", "E", "alpha", "beta"],
            Self::Kaplan => &["N_c", "D_c", "alpha_N", "alpha_D"],
            Self::Power | Self::PurePower => &["a", "k", "E"],
        }
    }

    /// How many constants are free.
    pub fn n_free(self) -> usize {
        match self {
            Self::Hoffmann => 5,
            Self::Kaplan => 4,
            Self::Power => 3,
            Self::PurePower => 2,
        }
    }

    /// The published constants at `theta: [n_free]`, in the order of [`Form::keys`].
    pub fn named(self, theta: &[f64]) -> Vec<f64> {
        match self {
            Self::Hoffmann => {
                vec![theta[0].exp(), theta[1].exp(), theta[2].exp(), theta[3], theta[4]]
            }
            // theta[0] is alpha_N·ln N_c and theta[1] is alpha_D·ln D_c: they move far less.
            Self::Kaplan => {
                vec![(theta[0] / theta[2]).exp(), (theta[1] / theta[3]).exp(), theta[2], theta[3]]
            }
            Self::Power => vec![theta[0].exp(), theta[1], theta[2].exp()],
            Self::PurePower => vec![theta[0].exp(), theta[1], 0.0],
        }
    }

    /// Log of the predicted loss at `p`; writes its gradient to `grad: [n_free]`.
    pub fn log_loss(self, theta: &[f64], p: &Point, grad: &mut [f64]) -> f64 {
        let (n, d) = (p.x.ln(), p.y.ln());
        match self {
            Self::Hoffmann => {
                let (u, v, w) = (theta[0] - theta[3] * n, theta[1] - theta[4] * d, theta[2]);
                let (total, [u, v, w]) = log_sum_exp([u, v, w]);
                grad.copy_from_slice(&[u, v, w, -u * n, -v * d]);
                total
            }
            Self::Kaplan => {
                let (an, ad) = (theta[2], theta[3]);
                let (s, t) = ((theta[0] - an * n) / ad, theta[1] / ad - d);
                let (total, [p, q, _]) = log_sum_exp([s, t, f64::NEG_INFINITY]);
                // d(ad·total): ad·(p·ds + q·dt) + total·d(ad)
                grad.copy_from_slice(&[p, q, -p * n, total - p * s - q * theta[1] / ad]);
                ad * total
            }
            Self::Power => {
                let (total, [u, w, _]) =
                    log_sum_exp([theta[0] - theta[1] * n, theta[2], f64::NEG_INFINITY]);
                grad.copy_from_slice(&[u, -u * n, w]);
                total
            }
            Self::PurePower => {
                grad.copy_from_slice(&[1.0, -n]);
                theta[0] - theta[1] * n
            }
        }
    }

    /// The grid of starts: Hoffmann's own for its law, a like one for the others.
    ///
    /// Source: Hoffmann et al. 2022, section 3.3: alpha, beta in 0, 0.5 .. 2, e in -1, -0.5 .. 1,
    /// a, b in 0, 5 .. 25. Differs: every second value of each, 243 starts of 4,500, and the
    /// exponents from 0.1 to 1; bootstrap draws start at the optimum.
    pub fn starts(self) -> Vec<Vec<f64>> {
        let axes: &[&[f64]] = match self {
            Self::Hoffmann => &[
                &[0.0, 10.0, 20.0],
                &[0.0, 10.0, 20.0],
                &[-1.0, 0.0, 1.0],
                &[0.1, 0.5, 1.0],
                &[0.1, 0.5, 1.0],
            ],
            Self::Kaplan => {
                &[&[1.0, 2.0, 4.0], &[1.0, 2.0, 4.0], &[0.05, 0.1, 0.3], &[0.05, 0.1, 0.3]]
            }
            Self::Power => &[&[0.0, 5.0, 10.0], &[0.05, 0.2, 0.5, 1.0], &[-1.0, 0.0, 1.0]],
            Self::PurePower => &[&[0.0, 5.0], &[0.05, 0.5]],
        };
        axes.iter().fold(vec![vec![]], |all, axis| {
            all.iter()
                .flat_map(|head| axis.iter().map(|v| [head.as_slice(), &[*v]].concat()))
                .collect()
        })
    }
}

/// `ln Σ exp` of three terms and each term's share of the sum.
fn log_sum_exp(terms: [f64; 3]) -> (f64, [f64; 3]) {
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
        let p = Point { x: 3e6, y: 2e8, loss: 3.0 };
        for (form, theta) in [
            (Form::Hoffmann, vec![6.0, 6.5, 0.5, 0.34, 0.28]),
            (Form::Kaplan, vec![2.4, 3.0, 0.076, 0.103]),
            (Form::Power, vec![3.0, 0.2, 0.4]),
            (Form::PurePower, vec![3.0, 0.2]),
        ] {
            let (mut grad, mut unused) = (vec![0.0; theta.len()], vec![0.0; theta.len()]);
            form.log_loss(&theta, &p, &mut grad);
            for i in 0..theta.len() {
                let mut at = |h: f64| {
                    let mut moved = theta.clone();
                    moved[i] += h;
                    form.log_loss(&moved, &p, &mut unused)
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
    fn hoffmanns_published_constants_give_the_published_loss() {
        let theta = [406.4_f64.ln(), 410.7_f64.ln(), 1.69_f64.ln(), 0.34, 0.28];
        let p = Point { x: 70e9, y: 1.4e12, loss: 1.0 };
        let loss = Form::Hoffmann.log_loss(&theta, &p, &mut [0.0; 5]).exp();
        assert!((loss - 1.936_645).abs() < 1e-6, "expected 1.936645, got {loss}");
    }
}
