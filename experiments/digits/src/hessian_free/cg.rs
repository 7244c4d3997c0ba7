//! Linear conjugate gradients with a diagonal preconditioner, which keep the points they came through.
//!
//! `P` parameters.
//!
//! Source: Martens 2010, sections 4.4 (when to stop), 4.6 (points kept) and 4.7 (preconditioner).

use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::net::add_scaled;

/// When to stop and what to keep.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Iterations at the most.
    pub max_iterations: usize,
    /// Progress is looked at over so many iterations …
    pub gap: usize,
    /// … or over this share of those made, where that is more.
    pub gap_share: f64,
    /// Ends when the quadratic's relative gain over the gap is below this times the gap.
    pub tolerance: f64,
    /// The first iteration whose point is kept.
    pub first_kept: usize,
    /// The next one kept is so many times as far on.
    pub spacing: f64,
}

/// What the iterations came through.
#[derive(Debug)]
pub struct Solved {
    /// Points kept, each `[P]`, in their order; the last is where it ended.
    pub kept: Vec<Tensor>,
    /// Iterations made.
    pub iterations: usize,
}

/// Goes down `½ xᵀ A x − bᵀ x` from `start`, `A` given by its `product` with a vector, with the diagonal
/// `preconditioner: [P]` that each residual is divided by.
pub fn solve(
    product: impl Fn(&Tensor) -> Tensor,
    b: &Tensor,
    start: &Tensor,
    preconditioner: &Tensor,
    settings: &Settings,
) -> Solved {
    let mut x = start.copy();
    let mut residual = product(&x) - b;
    let mut scaled = &residual / preconditioner;
    let mut direction = -&scaled;
    let mut along = dot(&residual, &scaled);
    // A x = residual + b
    let quadratic = |x: &Tensor, residual: &Tensor| 0.5 * (dot(x, residual) - dot(x, b));
    let mut values = vec![quadratic(&x, &residual)];
    let mut kept: Vec<Tensor> = Vec::new();
    let mut next_kept = settings.first_kept.max(1);
    let mut ended = false;
    while !ended {
        let curved = product(&direction);
        let curvature = dot(&direction, &curved);
        if !(curvature > 0.0 && along > 0.0) {
            break; // at the minimum, or out of the digits that 32 bits have
        }
        let step = along / curvature;
        add_scaled(&mut x, step, &direction);
        add_scaled(&mut residual, step, &curved);
        scaled = &residual / preconditioner;
        let before = along;
        along = dot(&residual, &scaled);
        direction = &direction * (along / before) - &scaled;

        values.push(quadratic(&x, &residual));
        let i = values.len() - 1;
        ended = i >= settings.max_iterations || flat(&values, settings);
        if i == next_kept || ended {
            kept.push(x.copy());
        }
        if i == next_kept {
            next_kept = (next_kept as f64 * settings.spacing).ceil() as usize;
        }
    }
    let iterations = values.len() - 1;
    if !ended {
        kept.push(x);
    }
    Solved { kept, iterations }
}

/// Whether the last iterations gained next to nothing.
fn flat(values: &[f64], settings: &Settings) -> bool {
    let i = values.len() - 1;
    let gap = settings.gap.max((settings.gap_share * i as f64).ceil() as usize);
    if i <= gap || values[i] >= 0.0 {
        return false;
    }
    (values[i] - values[i - gap]) / values[i] < gap as f64 * settings.tolerance
}

fn dot(a: &Tensor, b: &Tensor) -> f64 {
    a.dot(b).double_value(&[])
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    const DOUBLE: (Kind, Device) = (Kind::Double, Device::Cpu);

    fn settings(max_iterations: usize, tolerance: f64) -> Settings {
        let (gap, gap_share, first_kept, spacing) = (10, 0.1, 5, 1.3);
        Settings { max_iterations, gap, gap_share, tolerance, first_kept, spacing }
    }

    /// A positive definite matrix of 40 unknowns whose diagonal spans three decades, and a right-hand side.
    fn problem() -> (Tensor, Tensor) {
        tch::manual_seed(1);
        let m = Tensor::randn([40, 40], DOUBLE);
        let scale = Tensor::logspace(0.0, 1.5, 40, 10.0, DOUBLE);
        let a = (m.mm(&m.tr()) + Tensor::eye(40, DOUBLE) * 5.0)
            * scale.unsqueeze(0)
            * scale.unsqueeze(1);
        (a, Tensor::randn([40], DOUBLE))
    }

    #[test]
    fn it_finds_what_a_direct_solver_finds_from_any_start_with_any_preconditioner() {
        let (a, b) = problem();
        let wanted = Tensor::linalg_solve(&a, &b, true);
        for (start, preconditioner) in [
            (Tensor::zeros([40], DOUBLE), Tensor::ones([40], DOUBLE)),
            (Tensor::randn([40], DOUBLE), a.diag(0)),
        ] {
            let found = solve(|x| a.mv(x), &b, &start, &preconditioner, &settings(400, 0.0));
            let apart = (found.kept.last().unwrap() - &wanted).abs().max().double_value(&[]);
            let size = wanted.abs().max().double_value(&[]);
            assert!(apart < 1e-6 * size, "apart by {apart} of {size}");
        }
    }

    #[test]
    fn a_preconditioner_near_the_matrix_saves_iterations() {
        let (a, b) = problem();
        let iterations = |preconditioner: &Tensor| {
            let start = Tensor::zeros([40], DOUBLE);
            solve(|x| a.mv(x), &b, &start, preconditioner, &settings(400, 5e-4)).iterations
        };
        let (plain, scaled) = (iterations(&Tensor::ones([40], DOUBLE)), iterations(&a.diag(0)));
        assert!(scaled < plain, "{scaled} with, {plain} without");
    }

    #[test]
    fn points_are_kept_ever_further_apart_and_the_last_is_where_it_ended() {
        let (a, b) = problem();
        let start = Tensor::zeros([40], DOUBLE);
        let ones = Tensor::ones([40], DOUBLE);
        let run = |n| solve(|x| a.mv(x), &b, &start, &ones, &settings(n, 0.0));
        let found = run(20);
        // 5, 7, 10, 13, 17 and the end.
        assert_eq!((found.kept.len(), found.iterations), (6, 20));
        for (kept, n) in found.kept.iter().zip([5, 7, 10, 13, 17, 20]) {
            assert_eq!(kept, run(n).kept.last().unwrap(), "{n}");
        }
    }

    #[test]
    fn at_the_minimum_it_stays() {
        let (a, _) = problem();
        let (zero, ones) = (Tensor::zeros([40], DOUBLE), Tensor::ones([40], DOUBLE));
        let found = solve(|x| a.mv(x), &zero, &zero, &ones, &settings(50, 5e-4));
        assert_eq!((found.iterations, found.kept.last().unwrap()), (0, &zero));
    }
}
