//! Logistic regression as liblinear states it: `R(w) + C·Σ log(1 + exp(−yᵢ·w·xᵢ))` with `y` = ±1.
//!
//! L1, `R = ‖w‖₁`: Newton steps whose quadratic model is minimised coordinate by coordinate, with features left out
//! while they stay at zero. Source: Yuan, Ho & Lin 2012, An improved GLMNET for L1-regularized logistic regression,
//! JMLR 13, algorithms 1 and 2. L2, `R = ½‖w‖²`: Newton steps by conjugate gradients. Both go on until the gradient is
//! so small that the objective is that of any other solver to six digits; a test compares with scikit-learn's.

use serde::{Deserialize, Serialize};

use super::features::Features;
use crate::rng;

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
/// Rounds over the coordinates in one step at the most.
const MAX_ROUNDS: usize = 1000;
/// A step must win this part of what its model promises.
const SUFFICIENT: f64 = 0.01;
/// Keeps second derivatives away from zero.
const RIDGE: f64 = 1e-12;

/// The intercept is the last of the `d + 1` weights, of a feature that is 1.
struct Problem<'a> {
    features: &'a Features,
    labels: &'a [bool],
    cfg: &'a Config,
}

/// First and second derivatives of the loss by each example's score, times C.
struct Slopes {
    first: Vec<f64>,
    second: Vec<f64>,
}

impl Problem<'_> {
    fn d(&self) -> usize {
        self.features.d()
    }

    /// 1 for a weight that the penalty sees, else 0.
    fn penalised(&self, j: usize) -> f64 {
        if j < self.d() || self.cfg.intercept == Intercept::Penalised { 1.0 } else { 0.0 }
    }

    fn dot(&self, j: usize, v: &[f64]) -> f64 {
        if j < self.d() { self.features.dot(j, v) } else { v.iter().sum() }
    }

    fn dot_squared(&self, j: usize, v: &[f64]) -> f64 {
        if j < self.d() { self.features.dot_squared(j, v) } else { v.iter().sum() }
    }

    fn add(&self, j: usize, scale: f64, v: &mut [f64]) {
        if j < self.d() {
            self.features.add(j, scale, v);
        } else {
            for v in v {
                *v += scale;
            }
        }
    }

    fn add_weighted(&self, j: usize, scale: f64, weights: &[f64], v: &mut [f64]) {
        if j < self.d() {
            self.features.add_weighted(j, scale, weights, v);
        } else {
            v.iter_mut().zip(weights).for_each(|(v, weight)| *v += scale * weight);
        }
    }

    fn scores(&self, w: &[f64]) -> Vec<f64> {
        let mut scores = vec![0.0; self.labels.len()];
        for (j, &weight) in w.iter().enumerate() {
            if weight != 0.0 {
                self.add(j, weight, &mut scores);
            }
        }
        scores
    }

    fn slopes(&self, scores: &[f64]) -> Slopes {
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
    fn gradient(&self, j: usize, slopes: &Slopes) -> Result<f64, LinearError> {
        let gradient = self.dot(j, &slopes.first);
        if gradient.is_finite() { Ok(gradient) } else { Err(LinearError::NotFinite { feature: j }) }
    }

    /// How far weight `w` with this derivative of the loss is from the optimum's condition under L1.
    fn violation(&self, j: usize, w: f64, gradient: f64) -> f64 {
        let penalty = self.penalised(j);
        if w > 0.0 {
            (gradient + penalty).abs()
        } else if w < 0.0 {
            (gradient - penalty).abs()
        } else {
            (gradient.abs() - penalty).max(0.0)
        }
    }

    fn l1(&self, w: &mut [f64]) -> Result<(), LinearError> {
        let n_weights = w.len();
        let at_zero = self.slopes(&vec![0.0; self.labels.len()]);
        let mut scale = 0.0;
        for j in 0..n_weights {
            scale += self.violation(j, 0.0, self.gradient(j, &at_zero)?);
        }
        let goal = self.cfg.tolerance * scale;
        let mut scores = self.scores(w);
        let mut active: Vec<usize> = (0..n_weights).collect();
        let mut widest = f64::INFINITY; // the largest violation of the step before
        let mut inner_goal = scale;
        for step in 0..MAX_STEPS {
            let slopes = self.slopes(&scores);
            let mut gradients = vec![0.0; n_weights];
            let (mut violations, mut largest) = (0.0, 0.0_f64);
            let whole = active.len() == n_weights;
            let mut kept = Vec::with_capacity(active.len());
            for &j in &active {
                gradients[j] = self.gradient(j, &slopes)?;
                let slack = self.penalised(j) - gradients[j].abs();
                if w[j] == 0.0 && slack > widest / self.labels.len() as f64 {
                    continue; // stays at zero for now
                }
                let violation = self.violation(j, w[j], gradients[j]);
                violations += violation;
                largest = largest.max(violation);
                kept.push(j);
            }
            active = kept;
            if violations <= goal {
                if whole {
                    return Ok(());
                }
                // Optimal among the active ones: look at all again.
                active = (0..n_weights).collect();
                widest = f64::INFINITY;
                continue;
            }
            widest = largest;
            inner_goal = f64::min(inner_goal, 0.1 * violations);
            let (delta, rounds) =
                self.l1_direction(step, w, &slopes, &gradients, &active, inner_goal);
            if rounds == 1 {
                inner_goal *= 0.25;
            }
            if !self.l1_search(w, &mut scores, &delta, &gradients) {
                return Ok(()); // no step of this size changes the objective's last digits any more
            }
        }
        Ok(())
    }

    /// Minimises the quadratic model over the active weights; returns by how much each changes, and the rounds.
    fn l1_direction(
        &self,
        step: usize,
        w: &[f64],
        slopes: &Slopes,
        gradients: &[f64],
        active: &[usize],
        goal: f64,
    ) -> (Vec<f64>, usize) {
        let mut curvatures = vec![0.0; w.len()];
        for &j in active {
            curvatures[j] = RIDGE + self.dot_squared(j, &slopes.second);
        }
        let mut delta = vec![0.0; w.len()];
        // Second derivative of each example times the change of its score.
        let mut bent = vec![0.0; self.labels.len()];
        let mut looked_at = active.to_vec();
        let mut widest = f64::INFINITY;
        for round in 0..MAX_ROUNDS {
            shuffle(&mut looked_at, (step * MAX_ROUNDS + round) as u64);
            let whole = looked_at.len() == active.len();
            let (mut violations, mut largest) = (0.0, 0.0_f64);
            let mut kept = Vec::with_capacity(looked_at.len());
            for &j in &looked_at {
                let (at, penalty, h) = (w[j] + delta[j], self.penalised(j), curvatures[j]);
                let g = gradients[j] + delta[j] * RIDGE + self.dot(j, &bent);
                if at == 0.0 && penalty - g.abs() > widest / self.labels.len() as f64 {
                    continue;
                }
                let violation = self.violation(j, at, g);
                violations += violation;
                largest = largest.max(violation);
                kept.push(j);
                let to_zero = (g - h * at).abs() <= penalty;
                let change = if to_zero { -at } else { -(g - penalty.copysign(g - h * at)) / h };
                if change.abs() < 1e-12 {
                    continue;
                }
                // Exactly zero where it is meant: a sum of parts would leave a rest.
                delta[j] = if to_zero { -w[j] } else { delta[j] + change };
                self.add_weighted(j, change, &slopes.second, &mut bent);
            }
            looked_at = kept;
            widest = largest;
            if violations <= goal {
                if whole {
                    return (delta, round + 1);
                }
                looked_at = active.to_vec();
                widest = f64::INFINITY;
            }
        }
        (delta, MAX_ROUNDS)
    }

    /// Goes along `delta` as far as the objective falls enough; false if it falls nowhere.
    fn l1_search(
        &self,
        w: &mut [f64],
        scores: &mut [f64],
        delta: &[f64],
        gradients: &[f64],
    ) -> bool {
        let turned = self.scores(delta);
        let size = |step: f64| -> f64 {
            let moved = w.iter().zip(delta).enumerate();
            moved.map(|(j, (w, d))| self.penalised(j) * (w + step * d).abs()).sum()
        };
        let before = size(0.0);
        let promised =
            delta.iter().zip(gradients).map(|(d, g)| d * g).sum::<f64>() + size(1.0) - before;
        let mut step = 1.0;
        for _ in 0..30 {
            // Differences of the loss example by example: those of two sums would drown in rounding.
            let lost: f64 = scores
                .iter()
                .zip(&turned)
                .zip(self.labels)
                .map(|((&score, &turn), &label)| {
                    let sign = if label { -1.0 } else { 1.0 };
                    softplus(sign * (score + step * turn)) - softplus(sign * score)
                })
                .sum();
            let change = self.cfg.c * lost + size(step) - before;
            if change <= SUFFICIENT * step * promised {
                for (w, d) in w.iter_mut().zip(delta) {
                    *w += step * d;
                }
                scores.iter_mut().zip(&turned).for_each(|(score, turn)| *score += step * turn);
                return true;
            }
            step *= 0.5;
        }
        false
    }

    fn l2(&self, w: &mut [f64]) -> Result<(), LinearError> {
        let gradient = |w: &[f64], slopes: &Slopes| -> Result<Vec<f64>, LinearError> {
            (0..w.len()).map(|j| Ok(self.penalised(j) * w[j] + self.gradient(j, slopes)?)).collect()
        };
        let norm = |v: &[f64]| v.iter().map(|x| x.abs()).sum::<f64>();
        let zero = vec![0.0; w.len()];
        let goal = self.cfg.tolerance
            * norm(&gradient(&zero, &self.slopes(&vec![0.0; self.labels.len()]))?);
        let mut scores = self.scores(w);
        for _ in 0..MAX_STEPS {
            let slopes = self.slopes(&scores);
            let g = gradient(w, &slopes)?;
            if norm(&g) <= goal {
                return Ok(());
            }
            let delta = self.l2_direction(&g, &slopes);
            let turned = self.scores(&delta);
            let promised: f64 = g.iter().zip(&delta).map(|(g, d)| g * d).sum();
            let mut step = 1.0;
            let mut fell = false;
            for _ in 0..30 {
                let mut change = 0.0;
                for ((&score, &turn), &label) in scores.iter().zip(&turned).zip(self.labels) {
                    let sign = if label { -1.0 } else { 1.0 };
                    change += self.cfg.c
                        * (softplus(sign * (score + step * turn)) - softplus(sign * score));
                }
                for (j, (&w, &d)) in w.iter().zip(&delta).enumerate() {
                    change += self.penalised(j) * step * d * (w + 0.5 * step * d);
                }
                if change <= SUFFICIENT * step * promised {
                    fell = true;
                    break;
                }
                step *= 0.5;
            }
            if !fell {
                return Ok(());
            }
            w.iter_mut().zip(&delta).for_each(|(w, d)| *w += step * d);
            scores.iter_mut().zip(&turned).for_each(|(score, turn)| *score += step * turn);
        }
        Ok(())
    }

    /// Solves `H·delta = −g` to a tenth by conjugate gradients, scaled by H's diagonal.
    fn l2_direction(&self, g: &[f64], slopes: &Slopes) -> Vec<f64> {
        let dot = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
        let diagonal: Vec<f64> = (0..g.len())
            .map(|j| self.penalised(j) + RIDGE + self.dot_squared(j, &slopes.second))
            .collect();
        let scaled =
            |r: &[f64]| -> Vec<f64> { r.iter().zip(&diagonal).map(|(r, d)| r / d).collect() };
        let mut delta = vec![0.0; g.len()];
        let mut r: Vec<f64> = g.iter().map(|g| -g).collect();
        let mut z = scaled(&r);
        let mut p = z.clone();
        let mut rz = dot(&r, &z);
        let goal = 0.01 * rz; // its root is a tenth
        for _ in 0..g.len().min(200) {
            let mut bent = self.scores(&p);
            bent.iter_mut().zip(&slopes.second).for_each(|(b, second)| *b *= second);
            let hp: Vec<f64> = (0..p.len())
                .map(|j| (self.penalised(j) + RIDGE) * p[j] + self.dot(j, &bent))
                .collect();
            let alpha = rz / dot(&p, &hp);
            delta.iter_mut().zip(&p).for_each(|(d, p)| *d += alpha * p);
            r.iter_mut().zip(&hp).for_each(|(r, hp)| *r -= alpha * hp);
            z = scaled(&r);
            let next = dot(&r, &z);
            if next <= goal {
                break;
            }
            let beta = next / rz;
            p.iter_mut().zip(&z).for_each(|(p, z)| *p = z + beta * *p);
            rz = next;
        }
        delta
    }
}

/// An order of its own for every round: in a fixed one, neighbours that are alike slow each other down.
fn shuffle(items: &mut [usize], round: u64) {
    use rand_chacha::rand_core::Rng as _;
    let mut rng = rng::chacha(0, "coordinates", round);
    for i in (1..items.len()).rev() {
        items.swap(i, (rng.next_u64() % (i as u64 + 1)) as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linear::metrics::accuracy;

    #[derive(Deserialize)]
    struct Case {
        n: u64,
        d: u64,
        seed: u64,
        sparse: bool,
        penalty: Penalty,
        c: f64,
        positive: usize,
        objective: f64,
        nonzero: Option<Vec<usize>>,
        intercept: f64,
        first_weights: Vec<f64>,
        accuracy: f64,
    }

    /// The problem that `tests/oracle/logistic.py` makes by the same formula.
    fn example(case: &Case) -> (Features, Vec<bool>) {
        let draw = |i: u64, j: u64| {
            let mut x = i
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(j.wrapping_mul(1_442_695_040_888_963_407))
                .wrapping_add(case.seed);
            x ^= x >> 31;
            x = x.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            x ^= x >> 29;
            x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
            x ^ (x >> 32)
        };
        let value = |i, j| {
            let u = (draw(i, j) >> 40) as f64 / f64::from(1 << 24);
            if case.sparse { f64::from(u8::from(u < 0.1)) } else { u * 2.0 - 1.0 }
        };
        let scores: Vec<f64> = (0..case.n)
            .map(|i| {
                (0..case.d)
                    .step_by(5)
                    .map(|j| value(i, j) * if j % 2 == 0 { 1.5 } else { -1.5 })
                    .sum::<f64>()
            })
            .collect();
        let mut sorted = scores.clone();
        sorted.sort_by(f64::total_cmp);
        let half = scores.len() / 2;
        let median = f64::midpoint(sorted[half - 1], sorted[half]);
        let noise = |i| ((draw(i, 0) >> 8) % 1000) as f64 / 1000.0 - 0.5;
        let labels = (0..case.n).zip(&scores).map(|(i, score)| score + noise(i) > median).collect();
        let features = if case.sparse {
            let column = |j| {
                let cells = (0..case.n).map(|i| (i as u32, value(i, j) as f32));
                cells.filter(|cell| cell.1 != 0.0).collect()
            };
            Features::sparse(case.n as usize, &(0..case.d).map(column).collect::<Vec<_>>())
        } else {
            let rows: Vec<f32> =
                (0..case.n).flat_map(|i| (0..case.d).map(move |j| value(i, j) as f32)).collect();
            Features::dense(&rows, case.d as usize)
        };
        (features, labels)
    }

    #[test]
    fn objective_support_and_accuracy_are_those_of_scikit_learns_liblinear() {
        let cases: Vec<Case> =
            serde_json::from_str(include_str!("../../tests/fixtures/logistic.json")).unwrap();
        assert_eq!(cases.len(), 24);
        for case in cases {
            let (features, labels) = example(&case);
            assert_eq!(labels.iter().filter(|&&label| label).count(), case.positive);
            let cfg = Config { tolerance: 1e-8, ..Config::new(case.penalty, case.c) };
            let linear = fit(&features, &labels, &cfg, None).unwrap();
            let what = format!("n {} d {} {:?} C {}", case.n, case.d, case.penalty, case.c);
            let objective = linear.objective(&features, &labels, &cfg);
            let apart = (objective - case.objective).abs() / case.objective;
            assert!(apart < 1e-6, "{what}: objective {objective}, liblinear {}", case.objective);
            if let Some(nonzero) = &case.nonzero {
                let found: Vec<usize> =
                    (0..features.d()).filter(|&j| linear.weights[j] != 0.0).collect();
                assert_eq!(&found, nonzero, "{what}");
            }
            // The objective is flat at its minimum: a millionth of it is a thousandth of a weight.
            for (found, wanted) in linear.weights.iter().zip(&case.first_weights) {
                assert!(
                    (found - wanted).abs() < 1e-3 * (1.0 + wanted.abs()),
                    "{what}: {found}, {wanted}"
                );
            }
            assert!(
                (linear.intercept - case.intercept).abs() < 1e-3,
                "{what}: {}",
                linear.intercept
            );
            let found = accuracy(&linear.scores(&features), &labels);
            assert!((found - case.accuracy).abs() < 1e-12, "{what}: {found}, {}", case.accuracy);
            // What is used, looser and from a neighbour's weights, is as good to six digits.
            let near = Config::new(case.penalty, case.c);
            let start = fit(&features, &labels, &Config { c: case.c / 2.0, ..near }, None).unwrap();
            let warm = fit(&features, &labels, &near, Some(&start)).unwrap();
            let warm = warm.objective(&features, &labels, &cfg);
            assert!((warm - objective).abs() / objective < 1e-6, "{what}: {warm}, {objective}");
        }
    }

    #[test]
    fn a_free_intercept_makes_the_mean_probability_the_share_of_positives() {
        let case = Case {
            n: 90,
            d: 20,
            seed: 4,
            sparse: false,
            penalty: Penalty::L1,
            c: 0.5,
            positive: 0,
            objective: 0.0,
            nonzero: None,
            intercept: 0.0,
            first_weights: vec![],
            accuracy: 0.0,
        };
        let (features, mut labels) = example(&case);
        labels.iter_mut().step_by(2).for_each(|label| *label = true);
        let share = labels.iter().filter(|&&label| label).count() as f64 / 90.0;
        for penalty in [Penalty::L1, Penalty::L2] {
            let free =
                Config { intercept: Intercept::Free, tolerance: 1e-9, ..Config::new(penalty, 0.5) };
            let linear = fit(&features, &labels, &free, None).unwrap();
            let scores = linear.scores(&features);
            let mean = scores.iter().map(|s| 1.0 / (1.0 + (-s).exp())).sum::<f64>() / 90.0;
            assert!((mean - share).abs() < 1e-6, "{penalty:?}: {mean}, {share}");
        }
    }

    #[test]
    fn what_cannot_be_fitted_is_refused_with_the_reason() {
        let features = Features::dense(&[1.0, f32::NAN, 2.0, 3.0], 2);
        let cfg = Config::new(Penalty::L1, 1.0);
        let refused = |labels: &[bool]| fit(&features, labels, &cfg, None).unwrap_err().to_string();
        assert!(refused(&[true, false]).contains("feature 1 is not finite"));
        assert!(refused(&[true, true]).contains("both classes are needed"));
        assert!(refused(&[true]).contains("2 examples with features and 1 labels"));
    }
}
