//! Nonlinear conjugate gradients: a few line searches on one batch, as the deep autoencoders of 2006 were fine-tuned.
//!
//! Directions are Polak and Ribière's, with a fresh start where they would not lead down. A line search looks for a
//! point that meets the strong Wolfe conditions, between the ends of a bracket by the cubic through them.
//!
//! Source: Hinton & Salakhutdinov 2006, supporting material (the method); Nocedal & Wright, Numerical Optimization, 2nd
//! edition, sections 5.2 and 3.5 (the formulas). Differs: the authors' program is Rasmussen's, whose line search has other
//! constants and also extrapolates by cubics.

use tch::Tensor;

/// Enough of a decrease: this share of what the slope at the start promises.
const DECREASE: f64 = 1e-2;
/// Flat enough: this share of the slope at the start. Conjugate directions want it below a half.
const FLATNESS: f64 = 0.4;
/// Evaluations in a line search, at the most.
const EVALUATIONS: usize = 12;
/// A step outwards is at most so many times longer than the one before.
const OUTWARDS: f64 = 3.0;
/// The first guess of a line search is at most so many times the step before.
const LONGER: f64 = 10.0;

/// Where a minimisation got to.
#[derive(Debug)]
pub struct Found {
    /// The point, `[P]`.
    pub point: Tensor,
    /// The function's value there.
    pub value: f64,
    /// How often the function and its gradient were computed.
    pub evaluations: usize,
}

/// A point on a line.
struct Trial {
    step: f64,
    value: f64,
    /// The derivative along the line.
    slope: f64,
    gradient: Tensor,
}

/// Minimises `f`, which gives a value and its gradient `[P]`, by at most `searches` line searches from `start: [P]`. It
/// ends early where a search finds nothing lower.
pub fn minimise(f: impl Fn(&Tensor) -> (f64, Tensor), start: &Tensor, searches: usize) -> Found {
    let (value, mut gradient) = f(start);
    let mut found = Found { point: start.copy(), value, evaluations: 1 };
    let mut direction = -&gradient;
    let mut slope = dot(&gradient, &direction);
    let mut guess = 1.0 / (1.0 - slope);
    for _ in 0..searches {
        let begin =
            Trial { step: 0.0, value: found.value, slope, gradient: gradient.shallow_clone() };
        let line = |step: f64| {
            let (value, gradient) = f(&(&found.point + &direction * step));
            Trial { step, value, slope: dot(&gradient, &direction), gradient }
        };
        let (lower, evaluations) = search(line, begin, guess);
        found.evaluations += evaluations;
        let Some(lower) = lower else { break };
        found.point += &direction * lower.step;
        found.value = lower.value;
        // Polak and Ribière's, and 0 where it is negative.
        let beta = dot(&lower.gradient, &(&lower.gradient - &gradient)) / dot(&gradient, &gradient);
        direction = &direction * beta.max(0.0) - &lower.gradient;
        gradient = lower.gradient;
        let before = slope;
        slope = dot(&gradient, &direction);
        if slope >= 0.0 {
            direction = -&gradient;
            slope = dot(&gradient, &direction);
        }
        if slope == 0.0 {
            break; // a stationary point
        }
        guess = lower.step * (before / slope).min(LONGER);
    }
    found
}

fn dot(a: &Tensor, b: &Tensor) -> f64 {
    a.dot(b).double_value(&[])
}

/// A point along `line` lower than `begin` that meets the strong Wolfe conditions or, when the evaluations are over, the
/// lowest that fell enough; and how many evaluations it took.
fn search(line: impl Fn(f64) -> Trial, begin: Trial, guess: f64) -> (Option<Trial>, usize) {
    let (value, slope) = (begin.value, begin.slope);
    let mut low = begin;
    let mut high: Option<(f64, f64, f64)> = None; // step, value, slope
    let mut step = guess;
    for evaluation in 1..=EVALUATIONS {
        let trial = line(step);
        let enough = trial.value <= value + DECREASE * step * slope && trial.value < low.value;
        if !enough || !trial.slope.is_finite() {
            high = Some((trial.step, trial.value, trial.slope));
        } else if trial.slope.abs() <= FLATNESS * slope.abs() {
            return (Some(trial), evaluation);
        } else {
            // The minimum lies on the side to which the function falls from here.
            let outwards = high.map_or(1.0, |(end, ..)| end - low.step);
            if trial.slope * outwards >= 0.0 {
                high = Some((low.step, low.value, low.slope));
            }
            low = trial;
        }
        step = match high {
            Some(high) => between((low.step, low.value, low.slope), high),
            None => low.step * OUTWARDS,
        };
    }
    ((low.step > 0.0).then_some(low), EVALUATIONS)
}

/// The minimum of the cubic with the values and slopes of both ends, kept a tenth of the way off them; the middle where
/// an end is not finite or the cubic has no minimum.
fn between(low: (f64, f64, f64), high: (f64, f64, f64)) -> f64 {
    let ((a, fa, ga), (b, fb, gb)) = (low, high);
    let d1 = ga + gb - 3.0 * (fa - fb) / (a - b);
    let d2 = (b - a).signum() * (d1 * d1 - ga * gb).sqrt();
    let share = 1.0 - (gb + d2 - d1) / (gb - ga + 2.0 * d2); // of the way from a to b
    let share = if share.is_finite() { share.clamp(0.1, 0.9) } else { 0.5 };
    a + share * (b - a)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(xs: &[f64]) -> Tensor {
        Tensor::from_slice(xs)
    }

    fn at(xs: &Tensor, i: i64) -> f64 {
        xs.double_value(&[i])
    }

    #[test]
    fn a_quadratic_of_three_unknowns_takes_few_searches_to_its_known_minimum() {
        // ½ xᵀ A x − bᵀ x with its minimum at (1, −2, 3).
        let a = vector(&[4.0, 1.0, 0.0, 1.0, 3.0, 0.5, 0.0, 0.5, 2.0]).view([3, 3]);
        let minimum = vector(&[1.0, -2.0, 3.0]);
        let b = a.mv(&minimum);
        let f = |x: &Tensor| {
            let ax = a.mv(x);
            (0.5 * dot(x, &ax) - dot(&b, x), ax - &b)
        };
        let found = minimise(f, &vector(&[10.0, 10.0, 10.0]), 25);
        let apart = (&found.point - &minimum).abs().max().double_value(&[]);
        assert!(apart < 1e-5, "{:?}", found.point);
        assert!((found.value + 0.5 * dot(&minimum, &b)).abs() < 1e-9, "{}", found.value);
    }

    #[test]
    fn the_curved_valley_of_rosenbrock_is_followed_to_its_end() {
        let f = |x: &Tensor| {
            let (x, y) = (at(x, 0), at(x, 1));
            let value = (1.0 - x).powi(2) + 100.0 * (y - x * x).powi(2);
            let slopes = [-2.0 * (1.0 - x) - 400.0 * x * (y - x * x), 200.0 * (y - x * x)];
            (value, vector(&slopes))
        };
        let found = minimise(f, &vector(&[-1.2, 1.0]), 300);
        assert!((at(&found.point, 0) - 1.0).abs() < 1e-3, "{:?}", found.point);
        assert!((at(&found.point, 1) - 1.0).abs() < 1e-3, "{:?}", found.point);
    }

    #[test]
    fn a_search_never_ends_higher_than_it_began_even_where_the_function_is_not_finite() {
        // log(x) has no value left of 0, where the first guess lies.
        let f = |x: &Tensor| {
            let x = at(x, 0);
            (x - x.ln(), vector(&[1.0 - 1.0 / x]))
        };
        for start in [0.01, 0.5, 30.0] {
            let (before, _) = f(&vector(&[start]));
            let found = minimise(f, &vector(&[start]), 20);
            assert!(found.value <= before, "from {start}: {} to {}", before, found.value);
            assert!((at(&found.point, 0) - 1.0).abs() < 1e-3, "from {start}: {:?}", found.point);
        }
    }

    #[test]
    fn a_minimum_stays_where_it_is() {
        let f = |x: &Tensor| (dot(x, x), x * 2.0);
        let found = minimise(f, &vector(&[0.0, 0.0]), 3);
        assert!(dot(&found.point, &found.point) == 0.0 && found.value == 0.0);
    }
}
