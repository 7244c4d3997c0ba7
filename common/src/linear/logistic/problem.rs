//! What both penalties share: the loss and its derivatives.

use super::{Config, Intercept, LinearError};
use crate::linear::features::Features;

/// The intercept is the last of the `d + 1` weights, of a feature that is 1.
pub(super) struct Problem<'a> {
    pub(super) features: &'a Features,
    pub(super) labels: &'a [bool],
    pub(super) cfg: &'a Config,
}

/// First and second derivatives of the loss by each example's score, times C.
pub(super) struct Slopes {
    pub(super) first: Vec<f64>,
    pub(super) second: Vec<f64>,
}

impl Problem<'_> {
    pub(super) fn d(&self) -> usize {
        self.features.d()
    }

    /// 1 for a weight that the penalty sees, else 0.
    pub(super) fn penalised(&self, j: usize) -> f64 {
        if j < self.d() || self.cfg.intercept == Intercept::Penalised { 1.0 } else { 0.0 }
    }

    pub(super) fn dot(&self, j: usize, v: &[f64]) -> f64 {
        if j < self.d() { self.features.dot(j, v) } else { v.iter().sum() }
    }

    pub(super) fn dot_squared(&self, j: usize, v: &[f64]) -> f64 {
        if j < self.d() { self.features.dot_squared(j, v) } else { v.iter().sum() }
    }

    pub(super) fn add(&self, j: usize, scale: f64, v: &mut [f64]) {
        if j < self.d() {
            self.features.add(j, scale, v);
        } else {
            for v in v {
                *v += scale;
            }
        }
    }

    pub(super) fn add_weighted(&self, j: usize, scale: f64, weights: &[f64], v: &mut [f64]) {
        if j < self.d() {
            self.features.add_weighted(j, scale, weights, v);
        } else {
            v.iter_mut().zip(weights).for_each(|(v, weight)| *v += scale * weight);
        }
    }

    pub(super) fn scores(&self, w: &[f64]) -> Vec<f64> {
        let mut scores = vec![0.0; self.labels.len()];
        for (j, &weight) in w.iter().enumerate() {
            if weight != 0.0 {
                self.add(j, weight, &mut scores);
            }
        }
        scores
    }

    pub(super) fn slopes(&self, scores: &[f64]) -> Slopes {
        let c = self.cfg.c;
        let (first, second) = scores
            .iter()
            .zip(self.labels)
            .map(|(&score, &label)| {
                let p = 1.0 / (1.0 + (-score).exp());
                (c * (p - f64::from(u8::from(label))), c * p * (1.0 - p))
            })
            .unzip();
        Slopes { first, second }
    }

    /// Derivative of the loss by weight `j`.
    pub(super) fn gradient(&self, j: usize, slopes: &Slopes) -> Result<f64, LinearError> {
        let gradient = self.dot(j, &slopes.first);
        if gradient.is_finite() { Ok(gradient) } else { Err(LinearError::NotFinite { feature: j }) }
    }
}
