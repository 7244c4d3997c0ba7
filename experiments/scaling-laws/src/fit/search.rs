//! The line search under L-BFGS: bracket and halve until the weak Wolfe conditions hold.
//!
//! With Huber's `delta` far below the residuals the objective is nearly a sum of absolute values.
//! Interpolating searches (Moré–Thuente's above all) take its kinks for curvature and may never
//! return; halving a bracket cannot, and leaves a pair that keeps the Hessian positive.
//!
//! Source: Lewis and Overton 2013, Nonsmooth optimization via quasi-Newton methods, algorithm 2.6.

use argmin::core::{
    CostFunction, Error, Gradient, IterState, KV, LineSearch, Problem, Solver, State as _,
    TerminationReason,
};
use argmin_math::{ArgminDot, ArgminScaledAdd};

/// What a step must gain of what the slope promises, and what it must leave of the slope.
const GAIN: f64 = 1e-4;
const SLOPE: f64 = 0.9;

/// Trial steps of one search: doubling and halving, 2^40 either way.
const TRIALS: usize = 40;

type Iterate = IterState<Vec<f64>, Vec<f64>, (), (), (), f64>;

/// The search; one of argmin's solvers, done in a single iteration.
#[derive(Debug, Clone, Default)]
pub(super) struct WeakWolfe {
    direction: Vec<f64>,
}

/// No step along the direction gains anything.
#[derive(Debug, thiserror::Error)]
#[error("no step along the direction lowers the objective")]
struct Stuck;

impl LineSearch<Vec<f64>, f64> for WeakWolfe {
    fn search_direction(&mut self, direction: Vec<f64>) {
        self.direction = direction;
    }

    fn initial_step_length(&mut self, _step: f64) -> Result<(), Error> {
        Ok(()) // a quasi-Newton direction is tried at its full length
    }
}

impl<O> Solver<O, Iterate> for WeakWolfe
where
    O: CostFunction<Param = Vec<f64>, Output = f64>
        + Gradient<Param = Vec<f64>, Gradient = Vec<f64>>,
{
    fn name(&self) -> &'static str {
        "weak Wolfe bisection"
    }

    fn next_iter(
        &mut self,
        problem: &mut Problem<O>,
        mut state: Iterate,
    ) -> Result<(Iterate, Option<KV>), Error> {
        let from = state.take_param().ok_or(Stuck)?;
        let (cost, grad) = (state.cost, state.take_gradient().ok_or(Stuck)?);
        let slope: f64 = grad.dot(&self.direction);
        if slope.is_nan() || slope >= 0.0 {
            return Err(Stuck.into());
        }
        let (mut low, mut high, mut step) = (0.0, f64::INFINITY, 1.0_f64);
        let mut best = None;
        for _ in 0..TRIALS {
            let param = from.scaled_add(&step, &self.direction);
            let here = problem.cost(&param)?;
            if here.is_finite() && here <= cost + GAIN * step * slope {
                let grad = problem.gradient(&param)?;
                let left: f64 = grad.dot(&self.direction);
                best = Some((param, here, grad));
                if left >= SLOPE * slope {
                    break;
                }
                low = step;
            } else {
                high = step;
            }
            step = if high.is_finite() { f64::midpoint(low, high) } else { 2.0 * low };
        }
        let (param, cost, grad) = best.ok_or(Stuck)?;
        let done = state.param(param).cost(cost).gradient(grad);
        Ok((done.terminate_with(TerminationReason::SolverConverged), None))
    }
}
