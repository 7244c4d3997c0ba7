//! How the best size and its tokens grow with compute, with intervals from redrawn losses.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::{Optimum, Run, envelope, parabola, power, slices};

/// How the best size grows with compute: `N_opt ∝ C^a`, `D_opt ∝ C^b`, each with its 95 % interval.
#[derive(Debug, Clone)]
pub struct Allocation {
    /// Exponent of size.
    pub a: f64,
    /// Its interval.
    pub a_interval: [f64; 2],
    /// Exponent of tokens.
    pub b: f64,
    /// Its interval.
    pub b_interval: [f64; 2],
    /// What it was fitted to.
    pub optima: Vec<Optimum>,
}

fn exponents(optima: &[Optimum]) -> Option<(f64, f64)> {
    let of = |y: fn(&Optimum) -> f64| {
        power(&optima.iter().map(|o| (o.flops, y(o))).collect::<Vec<_>>()).map(|found| found.0)
    };
    Some((of(|o| o.n)?, of(|o| o.tokens)?))
}

/// The exponents that `optima` finds in `runs`, with intervals from `draws` times new noise on the
/// loss: `noise` draws a loss for each run.
fn allocation(
    runs: &[Run],
    draws: usize,
    seed: u64,
    optima: impl Fn(&[Run]) -> Vec<Optimum> + Sync,
    noise: impl Fn(usize, &mut ChaCha8Rng) -> f64 + Sync,
) -> Option<Allocation> {
    let found = optima(runs);
    let (a, b) = exponents(&found)?;
    let draw = |draw: usize| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(draw as u64);
        let redrawn = |(i, run): (usize, &Run)| Run { loss: noise(i, &mut rng), ..*run };
        let redrawn: Vec<Run> = runs.iter().enumerate().map(redrawn).collect();
        exponents(&optima(&redrawn))
    };
    let all: Vec<(f64, f64)> = (0..draws).into_par_iter().filter_map(draw).collect();
    let interval = |of: fn(&(f64, f64)) -> f64| {
        let mut values: Vec<f64> = all.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        [0.025, 0.975].map(|q| {
            let last = values.len().saturating_sub(1);
            values.get((q * last as f64).round() as usize).copied().unwrap_or(f64::NAN)
        })
    };
    Some(Allocation {
        a,
        a_interval: interval(|x| x.0),
        b,
        b_interval: interval(|x| x.1),
        optima: found,
    })
}

/// [`envelope`] with intervals: losses are drawn anew around what `expected` says, with log residuals
/// of the runs.
pub fn approach_1(runs: &[Run], expected: &[f64], draws: usize, seed: u64) -> Option<Allocation> {
    allocation(runs, draws, seed, envelope, around(runs, expected))
}

/// The minima of parabolas through `n` slices at equal compute, with intervals as [`approach_1`].
pub fn approach_2(
    runs: &[Run],
    expected: &[f64],
    n: usize,
    draws: usize,
    seed: u64,
) -> Option<Allocation> {
    let optima = move |runs: &[Run]| {
        slices(runs, n).iter().filter_map(|slice| Some(parabola(slice)?.0)).collect()
    };
    allocation(runs, draws, seed, optima, around(runs, expected))
}

fn around(runs: &[Run], expected: &[f64]) -> impl Fn(usize, &mut ChaCha8Rng) -> f64 + Sync + use<> {
    let residuals: Vec<f64> =
        runs.iter().zip(expected).map(|(run, wanted)| (run.loss / wanted).ln()).collect();
    let expected = expected.to_vec();
    move |i, rng| expected[i] * residuals[rng.random_range(0..residuals.len())].exp()
}
