//! Hessian-free optimisation: each update goes to the minimum of a damped quadratic model of the loss, found by conjugate
//! gradients with products of the Gauss–Newton matrix, which is never written down.
//!
//! The gradient is that of all cases, the curvature that of one chunk of them in turn. `P` parameters.
//!
//! Source: Martens 2010, and the author's program where the two differ: the damping is added to the mean over the cases
//! (the paper adds it to the sum), and the last step enters the next search shortened by [`Config::decay`] (the paper:
//! as it is).

use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::net::{Net, Pass, add_scaled};

pub mod cg;

/// The settings of the optimiser.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Updates.
    pub iterations: u64,
    /// Chunks that the cases are cut into; the curvature is that of one.
    pub chunks: i64,
    /// The damping λ to begin with.
    pub damping: f64,
    /// λ is multiplied by this where the model promised too much, and divided by it where it promised too little.
    pub damping_factor: f64,
    /// Conjugate gradients begin at the last step times this.
    pub decay: f64,
    /// The preconditioner's exponent.
    pub exponent: f64,
    /// The inner iterations.
    pub cg: cg::Settings,
}

impl Config {
    /// Work of all updates in gradients of all cases, if each takes all its inner iterations and one look back.
    pub fn passes_at_most(&self) -> f64 {
        let inner = 4.0 * (self.cg.max_iterations as f64 + 3.0) / self.chunks as f64;
        self.iterations as f64 * (1.0 + (inner + 2.0) / 3.0)
    }
}

/// Of the line search at the end of an update: sufficient decrease, the factor, steps at the most.
const ARMIJO: (f64, f64, u32) = (1e-2, 0.8, 60);
/// λ changes when the loss fell by less than the first or more than the second share of what the model promised.
const TRUST: (f64, f64) = (0.25, 0.75);

/// What all of an optimiser's calls need to know.
#[derive(Debug)]
pub struct Problem<'a> {
    /// The net.
    pub net: &'a Net,
    /// Inputs and targets, `[N, in]`: an autoencoder's are the same.
    pub cases: &'a Tensor,
    /// Weight of ½‖θ‖², biases included, in the objective.
    pub l2: f64,
    /// Cases in a chunk; what is computed over all of them is computed chunk by chunk.
    pub chunk: i64,
}

/// What an update did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Update {
    /// The objective before it, nats per case.
    pub before: f64,
    /// The objective after it.
    pub after: f64,
    /// How far the objective of the curvature's chunk fell, over what the model promised; −∞ where it rose.
    pub rho: f64,
    /// Iterations of conjugate gradients.
    pub cg_iterations: usize,
    /// How much of the step was made; 0 where none would have helped.
    pub rate: f64,
    /// Work, in gradients of all cases.
    pub passes: f64,
}

impl Problem<'_> {
    fn chunks(&self) -> impl Iterator<Item = Tensor> {
        self.cases.split(self.chunk, 0).into_iter()
    }

    fn half_square(&self, theta: &Tensor) -> f64 {
        0.5 * self.l2 * dot(theta, theta)
    }

    /// The mean over the chunks of what `of` says of each, weighted by their cases.
    fn mean(&self, of: impl Fn(&Tensor) -> f64) -> f64 {
        let n = self.cases.size()[0] as f64;
        self.chunks().map(|xs| of(&xs) * xs.size()[0] as f64 / n).sum()
    }

    /// The objective over all cases.
    pub fn objective(&self, theta: &Tensor) -> f64 {
        self.half_square(theta) + self.mean(|xs| self.net.loss(&self.net.forward(theta, xs), xs))
    }

    /// The objective and its gradient over all cases.
    pub fn gradient(&self, theta: &Tensor) -> (f64, Tensor) {
        let n = self.cases.size()[0] as f64;
        let mut sum = (self.half_square(theta), theta * self.l2);
        for xs in self.chunks() {
            let share = xs.size()[0] as f64 / n;
            let (loss, gradient) = self.net.gradient(theta, &xs, &xs);
            sum.0 += loss * share;
            add_scaled(&mut sum.1, share, &gradient);
        }
        sum
    }

    /// The Gauss–Newton matrix of the objective on a chunk's `pass`, times `v`.
    fn curvature(&self, theta: &Tensor, pass: &Pass, v: &Tensor) -> Tensor {
        self.net.gauss_newton(theta, pass, v) + v * self.l2
    }
}

/// One update of `theta`, which is number `iteration` from 0; `last` is the step that conjugate gradients ended at the
/// last time, and `damping` λ. All three go on to the next update.
pub fn update(
    problem: &Problem,
    cfg: &Config,
    iteration: u64,
    theta: &mut Tensor,
    last: &mut Tensor,
    damping: &mut f64,
) -> Update {
    let net = problem.net;
    // 1. The model: slope from all cases, curvature from a chunk.
    let (before, gradient) = problem.gradient(theta);
    let all: Vec<Tensor> = problem.chunks().collect();
    let chunk = &all[iteration as usize % all.len()];
    let chunk_share = chunk.size()[0] as f64 / problem.cases.size()[0] as f64;
    let pass = net.forward(theta, chunk);
    let squares = net.squared_gradients(theta, &pass, chunk) / chunk.size()[0] as f64;
    let preconditioner = (squares + (*damping + problem.l2)).pow_tensor_scalar(cfg.exponent);

    // 2. Its minimum, roughly.
    let damped = |v: &Tensor| problem.curvature(theta, &pass, v) + v * *damping;
    let start = &*last * cfg.decay;
    let solved = cg::solve(damped, &-&gradient, &start, &preconditioner, &cfg.cg);

    // 3. Back to where all cases like it best.
    let (mut kept, mut looks) = (solved.kept.iter().rev(), 1);
    let end = kept.next().expect("the end is kept");
    let (mut step, mut after) = (end, problem.objective(&(&*theta + end)));
    for earlier in kept {
        let objective = problem.objective(&(&*theta + earlier));
        looks += 1;
        let better = objective < after || after.is_nan();
        if !better {
            break;
        }
        (step, after) = (earlier, objective);
    }

    // 4. How far the model is to be trusted: on the chunk that it comes from, without the damping.
    let slope = dot(&gradient, step);
    let promised = slope + 0.5 * dot(step, &problem.curvature(theta, &pass, step));
    let on_chunk = |theta: &Tensor, pass: &Pass| net.loss(pass, chunk) + problem.half_square(theta);
    let there = &*theta + step;
    let change = on_chunk(&there, &net.forward(&there, chunk)) - on_chunk(theta, &pass);
    let rho = if change > 0.0 { f64::NEG_INFINITY } else { change / promised };
    if rho.is_nan() || rho < TRUST.0 {
        *damping *= cfg.damping_factor;
    } else if rho > TRUST.1 {
        *damping /= cfg.damping_factor;
    }

    // 5. As much of the step as all cases bear out.
    let (decrease, factor, tries) = ARMIJO;
    let enough = |after: f64, rate: f64| after <= before + decrease * rate * slope;
    let mut rate = 1.0;
    for _ in 0..tries {
        if enough(after, rate) {
            break;
        }
        rate *= factor;
        after = problem.objective(&(&*theta + step * rate));
        looks += 1;
    }
    if !enough(after, rate) {
        (rate, after) = (0.0, before);
    }
    add_scaled(theta, rate, step);
    last.copy_(end);

    // In forward passes a gradient costs three, a Gauss–Newton product four, squared gradients two; the chunk is passed
    // through before and after.
    let products = solved.iterations as f64 + 2.0;
    let passes = 1.0 + (chunk_share * (4.0 * products + 2.0 + 2.0) + f64::from(looks)) / 3.0;
    Update { before, after, rho, cg_iterations: solved.iterations, rate, passes }
}

fn dot(a: &Tensor, b: &Tensor) -> f64 {
    a.dot(b).double_value(&[])
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    fn config() -> Config {
        let cg = cg::Settings {
            max_iterations: 100,
            gap: 10,
            gap_share: 0.1,
            tolerance: 5e-4,
            first_kept: 5,
            spacing: 1.3,
        };
        let (iterations, chunks, damping, damping_factor) = (30, 2, 1.0, 1.5);
        Config { iterations, chunks, damping, damping_factor, decay: 0.95, exponent: 0.75, cg }
    }

    /// An autoencoder 12-6-3-6-12 of 80 random pictures made from three causes.
    fn problem(net: &Net) -> (Tensor, Tensor) {
        tch::manual_seed(2);
        let causes = Tensor::rand([80, 3], (Kind::Float, Device::Cpu));
        let mixed = causes.mm(&Tensor::randn([3, 12], (Kind::Float, Device::Cpu)));
        ((mixed * 2.0).sigmoid(), net.sparse(4, Device::Cpu))
    }

    #[test]
    fn the_objective_and_gradient_over_chunks_are_those_over_all_cases() {
        let net = Net::autoencoder(&[12, 6, 3]);
        let (cases, theta) = problem(&net);
        let of = |chunk| Problem { net: &net, cases: &cases, l2: 0.1, chunk };
        let (whole, cut) = (of(80).gradient(&theta), of(31).gradient(&theta)); // 31, 31, 18
        assert!((whole.0 - cut.0).abs() < 1e-5, "{} {}", whole.0, cut.0);
        assert!((&whole.1 - &cut.1).abs().max().double_value(&[]) < 1e-6);
        assert!((of(31).objective(&theta) - whole.0).abs() < 1e-5);
    }

    #[test]
    fn updates_never_raise_the_objective_and_lower_it_far() {
        let net = Net::autoencoder(&[12, 6, 3]);
        let (cases, mut theta) = problem(&net);
        let problem = Problem { net: &net, cases: &cases, l2: 0.0, chunk: 40 };
        let (mut last, mut damping) = (theta.zeros_like(), 1.0);
        let first = problem.objective(&theta);
        let mut before = first;
        for iteration in 0..30 {
            let update =
                update(&problem, &config(), iteration, &mut theta, &mut last, &mut damping);
            assert!(update.after <= update.before, "{update:?}");
            assert!((update.before - before).abs() < 1e-4, "{update:?} after {before}");
            assert!((problem.objective(&theta) - update.after).abs() < 1e-4, "{update:?}");
            before = update.after;
        }
        // The entropy of the grey levels is what is left at the best.
        let rest: Tensor = 1.0 - &cases;
        let least =
            -(&cases * cases.log() + &rest * rest.log()).sum(Kind::Double).double_value(&[]) / 80.0;
        assert!(before - least < 0.1 * (first - least), "from {first} to {before}, least {least}");
    }

    #[test]
    fn a_model_that_promises_too_much_is_damped_more() {
        // With next to no damping the first step of a net far from its minimum overshoots.
        let net = Net::autoencoder(&[12, 6, 3]);
        let (cases, theta) = problem(&net);
        let problem = Problem { net: &net, cases: &cases, l2: 0.0, chunk: 40 };
        for first in [1e-8, 1e4] {
            let (mut theta, mut last, mut damping) = (&theta * 3.0, theta.zeros_like(), first);
            let found = update(&problem, &config(), 0, &mut theta, &mut last, &mut damping);
            let wanted = if found.rho > 0.75 {
                first / 1.5
            } else if found.rho < 0.25 {
                first * 1.5
            } else {
                first
            };
            assert!((damping / wanted - 1.0).abs() < 1e-12, "{found:?}: {damping}");
            // A step so short that the model is exact can be trusted more.
            assert!(first < 1.0 || found.rho > 0.75, "{found:?}");
        }
    }
}
