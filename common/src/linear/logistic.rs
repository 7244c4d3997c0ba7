//! Logistic regression as liblinear states it: `R(w) + C·Σ log(1 + exp(−yᵢ·w·xᵢ))` with `y` = ±1.
//!
//! L1, `R = ‖w‖₁`: Newton steps whose quadratic model is minimised coordinate by coordinate, with features left out
//! while they stay at zero. Source: Yuan, Ho & Lin 2012, An improved GLMNET for L1-regularized logistic regression,
//! JMLR 13, algorithms 1 and 2. L2, `R = ½‖w‖²`: Newton steps by conjugate gradients. Both go on until the gradient is
//! so small that the objective is that of any other solver to six digits; a test compares with scikit-learn's.

use serde::{Deserialize, Serialize};

use super::features::Features;
use crate::interrupt::Interrupted;

mod l1;
mod l2;
mod model;
mod problem;

use problem::Problem;

/// What keeps the weights small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Penalty {
    /// Sum of sizes: most weights become zero.
    L1,
    /// Half the sum of squares.
    L2,
}

/// Whether there is an intercept, and whether the penalty sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Intercept {
    /// As one more weight, of a feature that is 1: what liblinear does, and so what was published.
    Penalised,
    /// Not part of the penalty.
    Free,
}

/// One fit's settings.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// The penalty.
    pub penalty: Penalty,
    /// Weight of the examples against the penalty.
    pub c: f64,
    /// The intercept.
    pub intercept: Intercept,
    /// The fit ends when the violation of the optimum's conditions, summed over weights, is at most this part of
    /// that at zero weights.
    pub tolerance: f64,
}

impl Config {
    /// As published: an intercept in the penalty, as liblinear's.
    pub fn new(penalty: Penalty, c: f64) -> Self {
        Self { penalty, c, intercept: Intercept::Penalised, tolerance: 1e-5 }
    }
}

/// A fitted classifier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Linear {
    /// One weight a feature.
    pub weights: Vec<f64>,
    /// Added to each score.
    pub intercept: f64,
}

/// A classifier that cannot be fitted.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LinearError {
    /// No examples of one of the classes.
    #[error(
        "{n} examples, {positive} of them positive: both classes are needed to tell them apart"
    )]
    OneClass {
        /// Examples.
        n: usize,
        /// Positive examples.
        positive: usize,
    },
    /// Features and labels of different number.
    #[error("{features} examples with features and {labels} labels: each example needs one")]
    Unpaired {
        /// Examples with features.
        features: usize,
        /// Labels.
        labels: usize,
    },
    /// NaN or an infinity among the features.
    #[error(
        "feature {feature} is not finite on some example; the network it comes from has left the range of numbers"
    )]
    NotFinite {
        /// Index of the feature.
        feature: usize,
    },
    /// Ctrl-C or SIGTERM.
    #[error("{0} while fitting")]
    Interrupted(#[from] Interrupted),
}

impl Linear {
    /// The classifier that knows nothing.
    pub fn zero(d: usize) -> Self {
        Self { weights: vec![0.0; d], intercept: 0.0 }
    }

    /// `w·x + b` of each example; positive means the positive class.
    pub fn scores(&self, features: &Features) -> Vec<f64> {
        let mut scores = vec![self.intercept; features.n()];
        for (j, &weight) in self.weights.iter().enumerate() {
            if weight != 0.0 {
                features.add(j, weight, &mut scores);
            }
        }
        scores
    }

    /// Weights that are not zero.
    pub fn nonzeros(&self) -> usize {
        self.weights.iter().filter(|&&weight| weight != 0.0).count()
    }

    /// What the fit makes small.
    pub fn objective(&self, features: &Features, labels: &[bool], cfg: &Config) -> f64 {
        let penalty = |w: f64| if cfg.penalty == Penalty::L1 { w.abs() } else { 0.5 * w * w };
        let seen = if cfg.intercept == Intercept::Penalised { self.intercept } else { 0.0 };
        let penalties = self.weights.iter().chain([&seen]).map(|&w| penalty(w)).sum::<f64>();
        penalties + cfg.c * loss(&self.scores(features), labels)
    }
}

/// Σ log(1 + exp(−y·score)).
fn loss(scores: &[f64], labels: &[bool]) -> f64 {
    scores
        .iter()
        .zip(labels)
        .map(|(&score, &label)| softplus(if label { -score } else { score }))
        .sum()
}

/// log(1 + eˣ) without overflow.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// Fits a classifier, from the weights of `start` where there are some: a fit with another C is near.
///
/// # Errors
/// Labels of one class only, features and labels of different number, features that are not finite.
pub fn fit(
    features: &Features,
    labels: &[bool],
    cfg: &Config,
    start: Option<&Linear>,
) -> Result<Linear, LinearError> {
    if features.n() != labels.len() {
        return Err(LinearError::Unpaired { features: features.n(), labels: labels.len() });
    }
    let positive = labels.iter().filter(|&&label| label).count();
    if positive == 0 || positive == labels.len() {
        return Err(LinearError::OneClass { n: labels.len(), positive });
    }
    let problem = Problem { features, labels, cfg };
    let mut w = start.map_or_else(|| vec![0.0; features.d()], |linear| linear.weights.clone());
    w.push(start.map_or(0.0, |linear| linear.intercept));
    match cfg.penalty {
        Penalty::L1 => problem.l1(&mut w)?,
        Penalty::L2 => problem.l2(&mut w)?,
    }
    let intercept = w.pop().expect("the intercept was pushed");
    Ok(Linear { weights: w, intercept })
}

/// Newton steps at the most; a fit takes tens.
const MAX_STEPS: usize = 1000;
/// A step must win this part of what its model promises.
const SUFFICIENT: f64 = 0.01;
/// Keeps second derivatives away from zero.
const RIDGE: f64 = 1e-12;

#[cfg(test)]
mod tests;
