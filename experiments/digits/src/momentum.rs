//! Stochastic gradient descent with a momentum that grows, classical or Nesterov's.
//!
//! Source: Sutskever, Martens, Dahl & Hinton 2013, sections 2 and 3.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::net::add_scaled;

/// Where the gradient is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// Classical momentum: at the parameters.
    Cm,
    /// Nesterov's accelerated gradient: where the velocity alone would lead.
    Nag,
}

/// The settings of the optimiser.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the gradient is taken.
    pub form: Form,
    /// The momentum that the schedule ends at.
    pub max_momentum: f64,
    /// Learning rate.
    pub lr: f64,
    /// What all variants have in common.
    pub schedule: Schedule,
}

/// How long the optimiser works, and how its momentum grows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Cases in a batch.
    pub batch: usize,
    /// Updates.
    pub updates: u64,
    /// Updates between two changes of the momentum.
    pub period: u64,
    /// The last updates are made with a smaller momentum: how many …
    pub last_updates: u64,
    /// … and which, at the most.
    pub last_momentum: f64,
    /// Updates between two rows of `metrics.csv`, each an evaluation of all cases; there is one before the last updates,
    /// too, and at the end.
    pub row_every: u64,
}

impl Config {
    /// μ of update `t` from 0: `min(1 − 2^(−1 − log₂(⌊t/period⌋ + 1)), max_momentum)`, and at most `last_momentum` at the
    /// end.
    pub fn momentum(&self, t: u64) -> f64 {
        let Schedule { updates, period, last_updates, last_momentum, .. } = self.schedule;
        let stage = (t / period + 1) as f64;
        let grown = (1.0 - 0.5 / stage).min(self.max_momentum);
        if t + last_updates >= updates { grown.min(last_momentum) } else { grown }
    }
}

impl Schedule {
    /// Whether a row follows the update that made them `made` in all.
    pub fn has_row(&self, made: u64) -> bool {
        made.is_multiple_of(self.row_every)
            || made == self.updates
            || made + self.last_updates == self.updates
    }
}

/// One update of `theta: [P]` with the `velocity: [P]` that the ones before left: `v ← μ·v − lr·g`, `θ ← θ + v`, with the
/// gradient `g` at `θ` or at `θ + μ·v`. Returns the loss that came with the gradient.
pub fn update(
    form: Form,
    momentum: f64,
    lr: f64,
    theta: &mut Tensor,
    velocity: &mut Tensor,
    gradient: impl FnOnce(&Tensor) -> (f64, Tensor),
) -> f64 {
    *velocity *= momentum;
    let (loss, g) = match form {
        Form::Cm => {
            let found = gradient(theta);
            *theta += &*velocity;
            found
        }
        Form::Nag => {
            *theta += &*velocity;
            gradient(theta)
        }
    };
    add_scaled(velocity, -lr, &g);
    add_scaled(theta, -lr, &g);
    loss
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(max_momentum: f64) -> Config {
        Config {
            form: Form::Nag,
            max_momentum,
            lr: 0.1,
            schedule: Schedule {
                batch: 200,
                updates: 750_000,
                period: 250,
                last_updates: 1000,
                last_momentum: 0.9,
                row_every: 10_000,
            },
        }
    }

    #[test]
    fn the_momentum_grows_as_published_and_drops_at_the_end() {
        let cfg = config(0.99);
        // 1 − 2^(−1 − log₂ k) for k = 1, 2, 4.
        for (t, wanted) in [(0, 0.5), (249, 0.5), (250, 0.75), (750, 0.875), (12_250, 0.99)] {
            assert!((cfg.momentum(t) - wanted).abs() < 1e-12, "{t}: {}", cfg.momentum(t));
        }
        assert!((cfg.momentum(748_999) - 0.99).abs() < 1e-12);
        assert!((cfg.momentum(749_000) - 0.9).abs() < 1e-12);
        assert!(config(0.0).momentum(749_999) == 0.0);
    }

    #[test]
    fn rows_come_regularly_and_around_the_last_updates() {
        let schedule = config(0.9).schedule;
        for (made, wanted) in
            [(10_000, true), (10_001, false), (749_000, true), (749_999, false), (750_000, true)]
        {
            assert_eq!(schedule.has_row(made), wanted, "{made}");
        }
    }

    #[test]
    fn on_a_quadratic_nesterov_s_momentum_is_a_smaller_classical_one() {
        // Theorem 2.1: along an eigendirection of curvature λ with momentum μ·(1 − λ·lr).
        let (curvature, mu, lr) = (3.0, 0.9, 0.1);
        let path = |form, momentum: f64| {
            let (mut x, mut v) = (Tensor::from_slice(&[1.0_f64]), Tensor::from_slice(&[0.0_f64]));
            let mut passed = Vec::new();
            for _ in 0..30 {
                let f = |x: &Tensor| (0.0, x * curvature);
                update(form, momentum, lr, &mut x, &mut v, f);
                passed.push(x.double_value(&[0]));
            }
            passed
        };
        let nesterov = path(Form::Nag, mu);
        let classical = path(Form::Cm, mu * (1.0 - curvature * lr));
        for (a, b) in nesterov.iter().zip(&classical) {
            assert!((a - b).abs() < 1e-12, "{a} {b}");
        }
        assert!((path(Form::Cm, mu)[29] - nesterov[29]).abs() > 0.01);
    }

    #[test]
    fn two_updates_of_a_parabola_are_those_made_by_hand() {
        // f = ½ x², gradient x, from x = 1 with v = 0, μ = 0.5, lr = 0.1:
        // first −0.1, 0.9; then v = −0.05 − 0.1·(0.9 or 0.85).
        for (form, wanted) in [(Form::Cm, 0.9 - 0.05 - 0.09), (Form::Nag, 0.9 - 0.05 - 0.085)] {
            let mut x = Tensor::from_slice(&[1.0_f64]);
            let mut v = x.zeros_like();
            let f = |x: &Tensor| (0.5 * x.double_value(&[0]).powi(2), x.copy());
            let first = update(form, 0.5, 0.1, &mut x, &mut v, f);
            assert!((first - 0.5).abs() < 1e-12);
            update(form, 0.5, 0.1, &mut x, &mut v, f);
            assert!((x.double_value(&[0]) - wanted).abs() < 1e-12, "{form:?}: {x:?}");
        }
    }
}
