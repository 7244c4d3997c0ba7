//! The optimum of a law over its points.

use std::cell::RefCell;

use argmin::core::{CostFunction, Error, Executor, Gradient, State};
use argmin::solver::quasinewton::LBFGS;
use rayon::prelude::*;

use super::form::{Centre, Form, Point};
use super::search::WeakWolfe;

/// Largest component of the gradient, per point and in units of Huber's delta, at which a fit
/// counts as converged: a shift of all residuals by a millionth of delta.
const FLAT: f64 = 1e-6;

/// Sittings and iterations of one descent; each sitting begins with a fresh Hessian.
pub(super) const ROUGH: (usize, u64) = (1, 60);
pub(super) const FINE: (usize, u64) = (6, 200);

/// Pairs that L-BFGS remembers: more than any law has constants.
const MEMORY: usize = 10;

/// How many of the starts are followed to the end.
const FINALISTS: usize = 6;

/// Why a fit was not made.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum FitError {
    /// As many unknowns as points, or more.
    #[error(
        "{found} points for the form {form}, which has {free} free constants: give at least \
         {wanted} runs, or choose a form with fewer constants (--form power)"
    )]
    TooFew {
        /// The form's name.
        form: &'static str,
        /// Its constants.
        free: usize,
        /// Points given.
        found: usize,
        /// Points needed.
        wanted: usize,
    },
    /// A variable that is the same in all runs.
    #[error(
        "all {found} points have the same {variable}: the form {form} needs runs that differ in it"
    )]
    Constant {
        /// The form's name.
        form: &'static str,
        /// `first variable` or `tokens`.
        variable: &'static str,
        /// Points given.
        found: usize,
    },
    /// No start led anywhere.
    #[error("no start led to a finite objective: look at the columns chosen and their units")]
    Nowhere,
}

/// A fitted law.
#[derive(Debug, Clone)]
pub struct Fit {
    /// The law.
    pub form: Form,
    /// Its constants in fitting coordinates, `[n_free]`.
    pub theta: Vec<f64>,
    /// Where those coordinates have their origin.
    pub centre: Centre,
    /// Summed Huber loss of the log residuals.
    pub objective: f64,
    /// Whether the gradient vanishes there.
    pub converged: bool,
}

impl Fit {
    /// The published constants, in the order of [`Form::keys`].
    pub fn named(&self) -> Vec<f64> {
        self.form.named(&self.theta, self.centre)
    }

    /// The predicted loss at `(x, y)`.
    pub fn loss(&self, x: f64, y: f64) -> f64 {
        let mut unused = [0.0; 5];
        let (n, d) = (x.ln() - self.centre.x, y.ln() - self.centre.y);
        self.form.log_loss(&self.theta, n, d, &mut unused[..self.theta.len()]).exp()
    }
}

/// Logs of a point, counted from the centre, and how often it counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Logs {
    pub(super) n: f64,
    pub(super) d: f64,
    pub(super) loss: f64,
    pub(super) weight: f64,
}

/// The logs of `points`, each counting once.
pub(super) fn logs(points: &[Point], centre: Centre) -> Vec<Logs> {
    let of = |p: &Point| Logs {
        n: p.x.ln() - centre.x,
        d: p.y.ln() - centre.y,
        loss: p.loss.ln(),
        weight: 1.0,
    };
    points.iter().map(of).collect()
}

/// The objective over `points`; remembers the last place asked for, since cost and gradient are
/// wanted there one after the other.
struct Objective<'a> {
    form: Form,
    points: &'a [Logs],
    delta: f64,
    last: RefCell<Place>,
}

#[derive(Default)]
struct Place {
    theta: Vec<f64>,
    value: f64,
    grad: Vec<f64>,
}

impl<'a> Objective<'a> {
    fn new(form: Form, points: &'a [Logs], delta: f64) -> Self {
        Self { form, points, delta, last: RefCell::default() }
    }

    /// The summed Huber loss divided by `delta`, so that its size does not depend on it, and its
    /// gradient.
    ///
    /// Summed, not averaged: an average is so small that default tolerances stop at once.
    /// Source: Besiroglu et al. 2024.
    fn at<T>(&self, theta: &[f64], read: impl Fn(&Place) -> T) -> T {
        let mut last = self.last.borrow_mut();
        if last.theta != theta {
            last.theta = theta.to_vec();
            let mut total = [0.0; 5];
            let mut grad = [0.0; 5];
            let (total, grad) = (&mut total[..theta.len()], &mut grad[..theta.len()]);
            let mut sum = 0.0;
            for p in self.points {
                let r = self.form.log_loss(theta, p.n, p.d, grad) - p.loss;
                let share = r.abs() / self.delta;
                let small = share <= 1.0;
                sum += p.weight
                    * if small { r.abs() * share / 2.0 } else { r.abs() - self.delta / 2.0 };
                let slope = p.weight * if small { r / self.delta } else { r.signum() };
                total.iter_mut().zip(&*grad).for_each(|(t, g)| *t += slope * g);
            }
            last.value = sum;
            last.grad = total.to_vec();
        }
        read(&last)
    }
}

impl CostFunction for Objective<'_> {
    type Param = Vec<f64>;
    type Output = f64;

    fn cost(&self, theta: &Vec<f64>) -> Result<f64, Error> {
        Ok(self.at(theta, |place| place.value))
    }
}

impl Gradient for Objective<'_> {
    type Param = Vec<f64>;
    type Gradient = Vec<f64>;

    fn gradient(&self, theta: &Vec<f64>) -> Result<Vec<f64>, Error> {
        Ok(self.at(theta, |place| place.grad.clone()))
    }
}

/// Where a descent ended.
#[derive(Debug, Clone)]
pub(super) struct End {
    pub(super) theta: Vec<f64>,
    pub(super) objective: f64,
    pub(super) converged: bool,
}

/// At most so many sittings of so many iterations of L-BFGS from `start`; None where the objective
/// is not finite.
pub(super) fn descend(
    form: Form,
    points: &[Logs],
    delta: f64,
    start: &[f64],
    (sittings, iterations): (usize, u64),
) -> Option<End> {
    let objective = Objective::new(form, points, delta);
    let weight: f64 = points.iter().map(|p| p.weight).sum();
    let steepest = |theta: &[f64]| {
        objective.at(theta, |place| place.grad.iter().fold(0.0_f64, |m, g| m.max(g.abs()))) / weight
    };
    let mut at = start.to_vec();
    let mut value = objective.at(&at, |place| place.value);
    for _ in 0..sittings {
        let solver = LBFGS::new(WeakWolfe::default(), MEMORY)
            .with_tolerance_grad(FLAT * weight / 10.0)
            .and_then(|s| s.with_tolerance_cost(0.0))
            .expect("the tolerances are not negative");
        let done = Executor::new(Objective::new(form, points, delta), solver)
            .configure(|state| state.param(at.clone()).max_iters(iterations))
            .timer(false)
            .run();
        let Ok(done) = done else { break };
        let Some(best) = done.state().get_best_param() else { break };
        let gained = value - done.state().get_best_cost();
        if gained.is_nan() || gained <= 0.0 {
            break;
        }
        at.clone_from(best);
        value = done.state().get_best_cost();
        if steepest(&at) <= FLAT {
            break;
        }
    }
    let sound = value.is_finite() && at.iter().all(|t| t.is_finite());
    let converged = steepest(&at) <= FLAT;
    sound.then_some(End { theta: at, objective: value, converged })
}

/// The best fit over the form's grid of starts.
///
/// `delta` is Huber's, in log loss. The objective reported is the sum of `r²/2` where `|r| ≤ delta`
/// and `delta·(|r| − delta/2)` elsewhere, `r` a residual of log loss.
///
/// # Errors
/// If there are not more points than constants, a variable is the same in all of them, or no start
/// leads to a finite objective.
pub fn fit(form: Form, points: &[Point], delta: f64) -> Result<Fit, FitError> {
    let (free, found) = (form.n_free(), points.len());
    if found <= free {
        return Err(FitError::TooFew { form: form.name(), free, found, wanted: free + 1 });
    }
    let same =
        |of: fn(&Point) -> f64| points.iter().all(|p| of(p).total_cmp(&of(&points[0])).is_eq());
    let constant = |variable| FitError::Constant { form: form.name(), variable, found };
    if same(|p| p.x) {
        return Err(constant(if form.needs_tokens() { "params" } else { "first variable" }));
    }
    if form.needs_tokens() && same(|p| p.y) {
        return Err(constant("tokens"));
    }
    let centre = Centre::of(points);
    let logs = logs(points, centre);
    let mut levels: Vec<f64> = logs.iter().map(|p| p.loss).collect();
    levels.sort_by(f64::total_cmp);
    let mut rough: Vec<End> = form
        .starts(levels[found / 2])
        .par_iter()
        .filter_map(|start| descend(form, &logs, delta, start, ROUGH))
        .collect();
    rough.sort_by(|a, b| a.objective.total_cmp(&b.objective));
    rough.truncate(FINALISTS);
    let best = rough
        .par_iter()
        .filter_map(|from| descend(form, &logs, delta, &from.theta, FINE))
        .min_by(|a, b| a.objective.total_cmp(&b.objective))
        .ok_or(FitError::Nowhere)?;
    let End { theta, objective, converged } = best;
    Ok(Fit { form, theta, centre, objective: objective * delta, converged })
}

#[cfg(test)]
mod tests {
    use super::super::synthetic::{TRUTHS, runs};
    use super::*;

    #[test]
    fn constants_are_recovered_from_runs_without_noise() {
        for (form, truth) in TRUTHS {
            let found = fit(form, &runs(form, truth, 0.0, 1), 1e-3).unwrap();
            assert!(found.converged, "{form:?}: {found:?}");
            for (want, got) in truth.iter().zip(found.named()) {
                assert!((got - want).abs() <= 1e-3 * want, "{form:?}: expected {want}, got {got}");
            }
        }
    }

    #[test]
    fn a_noisy_fit_converges_and_no_neighbour_is_better() {
        for (form, truth) in TRUTHS {
            for seed in 0..5 {
                let points = runs(form, truth, 0.02, seed);
                let found = fit(form, &points, 1e-3).unwrap();
                assert!(found.converged, "{form:?}, seed {seed}: {found:?}");
                let logs = logs(&points, found.centre);
                let objective = Objective::new(form, &logs, 1e-3);
                let value = |theta: &[f64]| objective.at(theta, |place| place.value) * 1e-3;
                for i in 0..form.n_free() {
                    for by in [-1e-3, -1e-5, 1e-5, 1e-3] {
                        let mut moved = found.theta.clone();
                        moved[i] += by;
                        assert!(value(&moved) >= found.objective, "{form:?}, {i}, {by}");
                    }
                }
            }
        }
    }

    #[test]
    fn too_few_points_are_named() {
        let (form, truth) = TRUTHS[0];
        let points = &runs(form, truth, 0.0, 1)[..5];
        let error = fit(form, points, 1e-3).unwrap_err();
        assert_eq!(error, FitError::TooFew { form: "hoffmann", free: 5, found: 5, wanted: 6 });
    }

    #[test]
    fn a_variable_without_spread_is_named() {
        let (form, truth) = TRUTHS[0];
        let mut points = runs(form, truth, 0.0, 1);
        for p in &mut points {
            p.y = 1e9;
        }
        let error = fit(form, &points, 1e-3).unwrap_err();
        let wanted = FitError::Constant { form: "hoffmann", variable: "tokens", found: 49 };
        assert_eq!(error, wanted);
    }
}
