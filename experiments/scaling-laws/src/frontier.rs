//! The best that a budget of compute buys: the frontier of runs, and how size and data should share
//! the budget (Hoffmann et al. 2022, approaches 1 and 2).

mod allocation;
mod isoflop;

pub use allocation::{Allocation, approach_1, approach_2};
pub use isoflop::{Best, Isoflop, isoflop};

/// A run: size, tokens, loss.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Run {
    /// Parameters.
    pub n: f64,
    /// Training FLOPs.
    pub flops: f64,
    /// Tokens.
    pub tokens: f64,
    /// Nats per token.
    pub loss: f64,
}

/// The runs that no cheaper run equals, by compute.
pub fn frontier(runs: &[Run]) -> Vec<Run> {
    let mut sorted = runs.to_vec();
    sorted.sort_by(|a, b| a.flops.total_cmp(&b.flops).then(a.loss.total_cmp(&b.loss)));
    let mut best = f64::INFINITY;
    sorted.retain(|run| {
        let better = run.loss < best;
        best = best.min(run.loss);
        better
    });
    sorted
}

/// The optimum at one budget.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Optimum {
    /// The budget, in FLOPs.
    pub flops: f64,
    /// The best size for it.
    pub n: f64,
    /// The tokens that it then buys.
    pub tokens: f64,
    /// The loss there.
    pub loss: f64,
}

/// A size's runs: logs of compute, loss and tokens.
type Curve = Vec<(f64, f64, f64)>;

/// Each size's loss by compute: means over seeds, sorted, as logs.
fn curves(runs: &[Run]) -> Vec<(f64, Curve)> {
    let mut sorted = runs.to_vec();
    sorted.sort_by(|a, b| a.n.total_cmp(&b.n).then(a.flops.total_cmp(&b.flops)));
    sorted
        .chunk_by(|a, b| a.n.total_cmp(&b.n).is_eq())
        .map(|of_size| {
            let mean = |same: &[Run]| {
                let log = same.iter().map(|run| run.loss.ln()).sum::<f64>() / same.len() as f64;
                (same[0].flops.ln(), log, same[0].tokens.ln())
            };
            (
                of_size[0].n,
                of_size.chunk_by(|a, b| a.flops.total_cmp(&b.flops).is_eq()).map(mean).collect(),
            )
        })
        .collect()
}

/// A size's log loss and log tokens at log compute `c`, between its runs; None outside them.
fn between(curve: &[(f64, f64, f64)], c: f64) -> Option<(f64, f64)> {
    let slack = 1e-9;
    let pair = curve.windows(2).find(|pair| pair[0].0 - slack <= c && c <= pair[1].0 + slack)?;
    let share = (c - pair[0].0) / (pair[1].0 - pair[0].0);
    let mix = |a: f64, b: f64| a + share * (b - a);
    Some((mix(pair[0].1, pair[1].1), mix(pair[0].2, pair[1].2)))
}

/// Budgets that are tried between the cheapest and the dearest run.
const BUDGETS: usize = 60;

/// Approach 1: at each of many budgets the size with the lowest loss.
///
/// Source: Hoffmann et al. 2022, section 3.1. Differs: the training curves of that section end where
/// their cosine ends, so that here a size's losses at the ends of its runs are joined, in logs.
pub fn envelope(runs: &[Run]) -> Vec<Optimum> {
    let curves = curves(runs);
    let at = |c: f64| -> Option<Optimum> {
        let here =
            curves.iter().filter_map(|(n, curve)| between(curve, c).map(|(l, d)| (*n, l, d)));
        let here: Vec<_> = here.collect();
        let best = here.iter().min_by(|a, b| a.1.total_cmp(&b.1))?;
        // At the ends of what was tried the best size is cut off, not found.
        let inside =
            here.iter().any(|other| other.0 < best.0) && here.iter().any(|other| other.0 > best.0);
        let (n, l, d) = *best;
        inside.then(|| Optimum { flops: c.exp(), n, tokens: d.exp(), loss: l.exp() })
    };
    budgets(&curves, BUDGETS).into_iter().filter_map(at).collect()
}

fn budgets(curves: &[(f64, Curve)], n: usize) -> Vec<f64> {
    let (low, high) = ends(curves.iter().flat_map(|(_, curve)| curve.iter().map(|point| point.0)));
    (0..n).map(|i| low + (high - low) * i as f64 / (n - 1).max(1) as f64).collect()
}

/// Slices at equal compute through runs that were not planned so: each size's losses between its
/// runs, at `n` budgets.
pub fn slices(runs: &[Run], n: usize) -> Vec<Vec<Run>> {
    let curves = curves(runs);
    let at = |c: f64| -> Vec<Run> {
        let of = |(n, curve): &(f64, Vec<_>)| {
            let (loss, tokens) = between(curve, c)?;
            Some(Run { n: *n, flops: c.exp(), tokens: tokens.exp(), loss: loss.exp() })
        };
        curves.iter().filter_map(of).collect()
    };
    budgets(&curves, n).into_iter().map(at).collect()
}

/// Runs on either side of the lowest through which a parabola goes.
const NEAR: usize = 3;

/// The runs of one budget around the one of lowest loss, by size: losses far from the minimum rise
/// like powers, not like a parabola, and steeper towards small sizes.
fn near(runs: &[Run]) -> Vec<Run> {
    let mut runs = runs.to_vec();
    runs.sort_by(|a, b| a.n.total_cmp(&b.n));
    let lowest = (0..runs.len()).min_by(|&a, &b| runs[a].loss.total_cmp(&runs[b].loss));
    let lowest = lowest.unwrap_or(0);
    let end = (lowest + NEAR + 1).min(runs.len());
    runs[lowest.saturating_sub(NEAR)..end].to_vec()
}

/// Approach 2: the minimum of a parabola of loss in log size through the runs of one budget [`near`]
/// the lowest, and each of their residuals; None with fewer than four sizes, or a minimum outside
/// them.
///
/// Source: Hoffmann et al. 2022, section 3.2. Differs: not through all runs of the budget.
pub fn parabola(runs: &[Run]) -> Option<(Optimum, Vec<f64>)> {
    let runs = &near(runs)[..];
    if runs.len() < 4 {
        return None;
    }
    let m = runs.iter().map(|run| run.n.ln()).sum::<f64>() / runs.len() as f64;
    let xs: Vec<f64> = runs.iter().map(|run| run.n.ln() - m).collect();
    let ys: Vec<f64> = runs.iter().map(|run| run.loss).collect();
    let [a, b, c] = quadratic(&xs, &ys)?;
    let vertex = -b / (2.0 * c);
    let (low, high) = ends(xs.iter().copied());
    if c <= 0.0 || !(low..=high).contains(&vertex) {
        return None;
    }
    let residuals = xs.iter().zip(&ys).map(|(x, y)| y - (a + b * x + c * x * x)).collect();
    let n = (vertex + m).exp();
    // On one budget tokens times size is nearly constant; exactly so where FLOPs are 6·N·D.
    let product = runs.iter().map(|run| (run.n * run.tokens).ln()).sum::<f64>() / runs.len() as f64;
    let (flops, tokens) = (runs[0].flops, product.exp() / n);
    Some((Optimum { flops, n, tokens, loss: a + b * vertex + c * vertex * vertex }, residuals))
}

/// The lowest and the highest.
pub(crate) fn ends(xs: impl Iterator<Item = f64>) -> (f64, f64) {
    xs.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)))
}

/// Least squares `a + b·x + c·x²`; None where the points do not determine it.
fn quadratic(xs: &[f64], ys: &[f64]) -> Option<[f64; 3]> {
    let mut m = [[0.0; 4]; 3];
    for (&x, &y) in xs.iter().zip(ys) {
        let powers = [1.0, x, x * x];
        for i in 0..3 {
            for j in 0..3 {
                m[i][j] += powers[i] * powers[j];
            }
            m[i][3] += powers[i] * y;
        }
    }
    for i in 0..3 {
        let pivot = (i..3).max_by(|&a, &b| m[a][i].abs().total_cmp(&m[b][i].abs()))?;
        m.swap(i, pivot);
        if m[i][i].abs() < 1e-12 {
            return None;
        }
        for row in 0..3 {
            if row != i {
                let factor = m[row][i] / m[i][i];
                let own = m[i];
                m[row].iter_mut().zip(own).for_each(|(x, y)| *x -= factor * y);
            }
        }
    }
    Some([0, 1, 2].map(|i| m[i][3] / m[i][i]))
}

/// Exponent and constant of `y = c·x^k`, least squares in logs; None with fewer than two points.
pub fn power(points: &[(f64, f64)]) -> Option<(f64, f64)> {
    weighted_power(&points.iter().map(|&(x, y)| (x, y, 1.0)).collect::<Vec<_>>())
}

/// The same with a weight of each point behind `x` and `y`.
fn weighted_power(points: &[(f64, f64, f64)]) -> Option<(f64, f64)> {
    if points.len() < 2 {
        return None;
    }
    let total: f64 = points.iter().map(|point| point.2).sum();
    let (mx, my) = points.iter().fold((0.0, 0.0), |(a, b), (x, y, weight)| {
        (a + weight * x.ln() / total, b + weight * y.ln() / total)
    });
    let (mut xx, mut xy) = (0.0, 0.0);
    for (x, y, weight) in points {
        xx += weight * (x.ln() - mx).powi(2);
        xy += weight * (x.ln() - mx) * (y.ln() - my);
    }
    (xx > 0.0).then(|| (xy / xx, (my - xy / xx * mx).exp()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fit::Form;

    /// Hoffmann's law with his constants, sizes 1e7 to 1e9 by halves of a decade.
    const LAW: [f64; 5] = [406.4, 410.7, 1.69, 0.34, 0.28];

    fn run(n: f64, tokens: f64) -> Run {
        let loss = Form::Hoffmann.loss(&LAW, n, tokens);
        Run { n, flops: 6.0 * n * tokens, tokens, loss }
    }

    #[test]
    fn the_frontier_is_what_no_cheaper_run_equals() {
        let at = |flops: f64, loss: f64| Run { n: 1.0, flops, tokens: 1.0, loss };
        let runs = [at(3.0, 2.0), at(1.0, 4.0), at(2.0, 4.5), at(2.5, 3.0), at(4.0, 2.0)];
        let kept: Vec<f64> = frontier(&runs).iter().map(|run| run.flops).collect();
        assert_eq!(kept, [1.0, 2.5, 3.0]);
    }

    #[test]
    fn approaches_1_and_2_find_the_same_in_a_grid_of_sizes_and_tokens() {
        let runs: Vec<Run> = (0..16)
            .flat_map(|i| (0..14).map(move |j| run(1e7 * 1.35_f64.powi(i), 1e8 * 2_f64.powi(j))))
            .collect();
        let expected: Vec<f64> = runs.iter().map(|run| run.loss).collect();
        let first = approach_1(&runs, &expected, 10, 0).unwrap();
        let second = approach_2(&runs, &expected, 12, 10, 0).unwrap();
        for found in [first, second] {
            assert!((found.a - 0.4516).abs() < 0.06, "expected about 0.45, got {}", found.a);
        }
    }

    #[test]
    fn power_laws_and_parabolas_are_least_squares() {
        let (k, c) = power(&[(1.0, 3.0), (10.0, 30.0), (100.0, 300.0)]).unwrap();
        assert!((k - 1.0).abs() < 1e-12 && (c - 3.0).abs() < 1e-9);
        // Twice a point or twice its weight is the same.
        let twice = power(&[(1.0, 3.0), (10.0, 40.0), (100.0, 250.0), (100.0, 250.0)]);
        let weighted = weighted_power(&[(1.0, 3.0, 0.5), (10.0, 40.0, 0.5), (100.0, 250.0, 1.0)]);
        let ((k, _), (wanted, _)) = (weighted.unwrap(), twice.unwrap());
        assert!((k - wanted).abs() < 1e-12, "expected {wanted}, got {k}");
        let found = quadratic(&[-1.0, 0.0, 1.0, 2.0], &[6.0, 3.0, 4.0, 9.0]).unwrap();
        for (found, wanted) in found.iter().zip([3.0, -1.0, 2.0]) {
            assert!((found - wanted).abs() < 1e-9, "expected {wanted}, got {found}");
        }
        assert_eq!(quadratic(&[1.0, 1.0, 1.0], &[1.0, 2.0, 3.0]), None);
    }
}
