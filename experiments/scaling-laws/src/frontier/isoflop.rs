//! The best size at each of the budgets that runs were planned for, and how it grows with them.
//!
//! The rule is the authors' own and was fixed before it was run on their table: at each budget the
//! losses of the sizes are joined by Akima's interpolation of log loss in log size, on 25 places a
//! size; seed noise is drawn onto the losses 1,000 times; the best size is the median of the minima
//! of the draws and its weight one over their variance (at least a third of a size apart); a budget
//! whose minimum lies at an end, or in more than half of the draws does, is left out; the exponent
//! is weighted least squares in logs, its interval the 2.5 and 97.5 percent of the draws.
//!
//! Source: Porian et al. 2024, section 3, and their released `analysis.py` and `configs.py`
//! (formll/resolving-scaling-law-discrepancies, commit 3489db5).

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use statrs::distribution::{ContinuousCDF, Normal};

use super::{Run, weighted_power};

/// Places tried for each size of a budget.
const PLACES: usize = 25;

/// Least deviation of a best size, in mean distances between the sizes of its budget.
const LEAST: f64 = 0.33;

/// Fewest sizes of a budget.
const SIZES: usize = 3;

/// Runs of one budget differ by less than this factor in compute.
const SAME: f64 = 1.1;

/// The best size at one budget.
#[derive(Debug, Clone, PartialEq)]
pub struct Best {
    /// The budget in FLOPs, the geometric mean of its runs'.
    pub flops: f64,
    /// Median of the best sizes of the draws.
    pub n: f64,
    /// Standard deviation of its logarithm.
    pub deviation: f64,
    /// The best sizes of those draws that have one.
    draws: Vec<f64>,
}

/// How the best size grows with compute: `N_opt ∝ C^a`.
#[derive(Debug, Clone)]
pub struct Isoflop {
    /// The exponent.
    pub a: f64,
    /// Its 95 % interval.
    pub interval: [f64; 2],
    /// What it was fitted to, by budget.
    pub best: Vec<Best>,
}

/// The exponent of the best size in runs planned at equal compute; `seed_noise` is the standard
/// deviation of a loss over seeds, in nats. None where fewer than two budgets have a best size.
///
/// Draw `i` depends on `(seed, i)` only, not on the number of threads. Differs: the interval comes
/// from the budgets that the exponent comes from; the released code has those in it, too, that only
/// the draws find a minimum for.
pub fn isoflop(runs: &[Run], seed_noise: f64, draws: usize, seed: u64) -> Option<Isoflop> {
    let of = |(i, budget): (usize, Vec<Run>)| best_size(&budget, seed_noise, draws, seed, i as u64);
    let best: Vec<Best> = by_budget(runs).into_iter().enumerate().filter_map(of).collect();
    let exponent = |n: &dyn Fn(&Best) -> f64| {
        let point = |best: &Best| (best.flops, n(best), best.deviation.powi(-2));
        weighted_power(&best.iter().map(point).collect::<Vec<_>>()).map(|(k, _)| k)
    };
    let a = exponent(&|best| best.n)?;
    let common = best.iter().map(|best| best.draws.len()).min().unwrap_or(0);
    let mut redrawn: Vec<f64> =
        (0..common).filter_map(|i| exponent(&|best: &Best| best.draws[i])).collect();
    redrawn.sort_by(f64::total_cmp);
    let interval = [0.025, 0.975].map(|q| quantile(&redrawn, q));
    Some(Isoflop { a, interval, best })
}

/// Runs by their compute; of runs of one size the one of lowest loss, by size.
fn by_budget(runs: &[Run]) -> Vec<Vec<Run>> {
    let mut runs = runs.to_vec();
    runs.sort_by(|a, b| a.flops.total_cmp(&b.flops));
    let of = |budget: &[Run]| {
        let log = budget.iter().map(|run| run.flops.ln()).sum::<f64>() / budget.len() as f64;
        let mut budget: Vec<Run> = budget.iter().map(|r| Run { flops: log.exp(), ..*r }).collect();
        budget.sort_by(|a, b| a.n.total_cmp(&b.n).then(a.loss.total_cmp(&b.loss)));
        budget.dedup_by(|later, first| later.n.total_cmp(&first.n).is_eq());
        budget
    };
    runs.chunk_by(|a, b| b.flops < SAME * a.flops).map(of).collect()
}

/// The best size of `budget`, whose sizes rise; None where it is cut off.
fn best_size(budget: &[Run], seed_noise: f64, draws: usize, seed: u64, place: u64) -> Option<Best> {
    if budget.len() < SIZES {
        return None;
    }
    let sizes: Vec<f64> = budget.iter().map(|run| run.n.ln()).collect();
    let (low, high) = (sizes[0], sizes[sizes.len() - 1]);
    let places = PLACES * (sizes.len() - 1);
    let step = (high - low) / (places - 1) as f64;
    let grid: Vec<f64> = (0..places).map(|i| low + step * i as f64).collect();
    let minimum = |losses: &[f64]| -> Option<f64> {
        let logs: Vec<f64> = losses.iter().map(|loss| loss.ln()).collect();
        let curve = Akima::new(&sizes, &logs);
        let values: Vec<f64> = grid.iter().map(|&x| curve.at(x)).collect();
        let at = (0..places).min_by(|&a, &b| values[a].total_cmp(&values[b]))?;
        (at > 0 && at + 1 < places).then(|| grid[at])
    };
    let losses: Vec<f64> = budget.iter().map(|run| run.loss).collect();
    minimum(&losses)?;
    let normal = Normal::standard();
    let drawn = |draw: usize| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed.wrapping_add(place));
        rng.set_stream(draw as u64);
        // Never 0 or 1, where the inverse is infinite.
        let mut noise = || normal.inverse_cdf(rng.random::<f64>().clamp(1e-12, 1.0 - 1e-12));
        let noisy: Vec<f64> = losses.iter().map(|loss| loss + seed_noise * noise()).collect();
        minimum(&noisy)
    };
    let logs: Vec<f64> =
        (0..draws).into_par_iter().map(drawn).collect::<Vec<_>>().into_iter().flatten().collect();
    if logs.is_empty() || logs.len() < draws / 2 {
        return None;
    }
    let n = logs.len() as f64;
    let mean = logs.iter().sum::<f64>() / n;
    let spread = (logs.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
    let deviation = spread.max(LEAST * PLACES as f64 * step) * draws as f64 / n;
    let mut sorted = logs.clone();
    sorted.sort_by(f64::total_cmp);
    Some(Best {
        flops: budget[0].flops,
        n: quantile(&sorted, 0.5).exp(),
        deviation,
        draws: logs.into_iter().map(f64::exp).collect(),
    })
}

/// The quantile of sorted values, between neighbours; NaN of none.
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let at = q * last as f64;
    let below = at.floor() as usize;
    let above = (below + 1).min(last);
    sorted[below] + (at - below as f64) * (sorted[above] - sorted[below])
}

/// Akima's interpolation: cubics between neighbours, whose slopes at a point weigh the slopes of
/// the two secants beside it by how much those beyond differ.
///
/// Source: Akima 1970, A new method of interpolation and smooth curve fitting based on local
/// procedures. With two points a line.
struct Akima<'a> {
    xs: &'a [f64],
    ys: &'a [f64],
    slopes: Vec<f64>,
}

impl<'a> Akima<'a> {
    /// Through `(xs, ys)`, at least two points, `xs` rising.
    fn new(xs: &'a [f64], ys: &'a [f64]) -> Self {
        let n = xs.len();
        // Secants, and two more at each end that go on as the last ones do.
        let mut m = vec![0.0; n + 3];
        for i in 0..n - 1 {
            m[i + 2] = (ys[i + 1] - ys[i]) / (xs[i + 1] - xs[i]);
        }
        if n == 2 {
            let only = m[2];
            m.fill(only);
        } else {
            m[1] = 2.0 * m[2] - m[3];
            m[0] = 2.0 * m[1] - m[2];
            m[n + 1] = 2.0 * m[n] - m[n - 1];
            m[n + 2] = 2.0 * m[n + 1] - m[n];
        }
        let weights = |i: usize| ((m[i + 3] - m[i + 2]).abs(), (m[i + 1] - m[i]).abs());
        let most = (0..n).map(|i| weights(i).0 + weights(i).1).fold(0.0, f64::max);
        let slope = |i: usize| {
            let (before, behind) = weights(i);
            if before + behind > 1e-9 * most {
                (before * m[i + 1] + behind * m[i + 2]) / (before + behind)
            } else {
                f64::midpoint(m[i + 3], m[i])
            }
        };
        Self { xs, ys, slopes: (0..n).map(slope).collect() }
    }

    fn at(&self, x: f64) -> f64 {
        let i = self.xs.partition_point(|&other| other <= x).clamp(1, self.xs.len() - 1) - 1;
        let width = self.xs[i + 1] - self.xs[i];
        let t = (x - self.xs[i]) / width;
        let (y, next) = (self.ys[i], self.ys[i + 1]);
        let (s, to) = (self.slopes[i] * width, self.slopes[i + 1] * width);
        let rise = next - y;
        y + t * (s + t * ((3.0 * rise - 2.0 * s - to) + t * (s + to - 2.0 * rise)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fit::Form;

    /// Hoffmann's law with his constants.
    const LAW: [f64; 5] = [406.4, 410.7, 1.69, 0.34, 0.28];

    /// Eleven sizes around the best one of a budget, `apart` times one another.
    fn planned(flops: f64, apart: f64) -> Vec<Run> {
        let best = 0.6 * flops.powf(0.4516);
        let run = |j: i32| {
            let n = best * apart.powi(j);
            let tokens = flops / 6.0 / n;
            Run { n, flops, tokens, loss: Form::Hoffmann.loss(&LAW, n, tokens) }
        };
        (-5..=5).map(run).collect()
    }

    fn budgets() -> Vec<Run> {
        (0..6).flat_map(|i| planned(1e18 * 10_f64.powf(f64::from(i) * 0.5), 1.4)).collect()
    }

    #[test]
    fn the_exponent_of_a_law_comes_back_within_its_interval() {
        // a = beta/(alpha + beta): eq. 4 of Hoffmann et al. 2022.
        let wanted = 0.28 / 0.62;
        let found = isoflop(&budgets(), 0.002, 200, 0).unwrap();
        assert_eq!(found.best.len(), 6);
        assert!((found.a - wanted).abs() < 0.02, "expected {wanted}, got {}", found.a);
        let [low, high] = found.interval;
        assert!(low < wanted && wanted < high, "{wanted} outside {low} to {high}");
        for best in &found.best {
            let g = (0.34 * LAW[0] / (0.28 * LAW[1])).powf(1.0 / 0.62);
            let wanted = g * (best.flops / 6.0).powf(0.28 / 0.62);
            let off = (best.n / wanted).ln().abs();
            assert!(off < 0.1, "{wanted}, got {}", best.n);
        }
    }

    #[test]
    fn more_noise_makes_a_wider_interval_and_none_leaves_the_least_deviation() {
        let width = |noise: f64| {
            let [low, high] = isoflop(&budgets(), noise, 200, 0).unwrap().interval;
            high - low
        };
        assert!(width(0.01) > 1.5 * width(0.002), "{} {}", width(0.01), width(0.002));
        let best = isoflop(&budgets(), 0.0, 20, 0).unwrap().best;
        // A third of the mean distance of the sizes: grid steps are one less than places.
        let wanted = 0.33 * 1.4_f64.ln() * 10.0 * 25.0 / 249.0;
        assert!((best[0].deviation - wanted).abs() < 1e-9, "{wanted}, {}", best[0].deviation);
    }

    #[test]
    fn a_budget_without_a_minimum_inside_is_left_out() {
        let mut runs = budgets();
        let cheapest = runs[0].flops;
        runs.retain(|run| run.flops > cheapest || run.n < 0.6 * cheapest.powf(0.4516) * 0.6);
        assert_eq!(isoflop(&runs, 0.002, 50, 0).unwrap().best.len(), 5);
        let few: Vec<Run> = planned(1e18, 1.4);
        assert!(isoflop(&few, 0.002, 50, 0).is_none());
    }

    #[test]
    fn draws_do_not_depend_on_the_threads() {
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| isoflop(&budgets(), 0.002, 50, 3).unwrap().interval)
        };
        assert_eq!(on(1).map(f64::to_bits), on(3).map(f64::to_bits));
    }

    #[test]
    fn budgets_are_told_apart_by_their_compute_and_keep_a_sizes_lowest_loss() {
        let run = |n: f64, flops: f64, loss: f64| Run { n, flops, tokens: flops / 6.0 / n, loss };
        let runs = [
            run(1e6, 1e18, 3.0),
            run(1e7, 2e18, 3.0),
            run(2e6, 1.0001e18, 3.0),
            run(1e6, 1e18, 2.9),
        ];
        let budgets = by_budget(&runs);
        assert_eq!(budgets.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
        assert!((budgets[0][0].loss - 2.9).abs() < 1e-12);
        assert!(budgets.iter().all(|of| of[0].flops.total_cmp(&of[of.len() - 1].flops).is_eq()));
    }

    /// What `tests/fixtures/akima.py` wrote with scipy: points, and values between them.
    #[derive(serde::Deserialize)]
    struct Curve {
        xs: Vec<f64>,
        ys: Vec<f64>,
        at: Vec<f64>,
        values: Vec<f64>,
    }

    #[test]
    fn curves_are_those_of_scipy() {
        let text = include_str!("../../tests/fixtures/akima.json");
        let curves: Vec<Curve> = serde_json::from_str(text).unwrap();
        assert!(curves.len() >= 5);
        for curve in curves {
            let akima = Akima::new(&curve.xs, &curve.ys);
            for (x, wanted) in curve.at.iter().zip(&curve.values) {
                let got = akima.at(*x);
                assert!((got - wanted).abs() < 1e-10, "at {x}: expected {wanted}, got {got}");
            }
        }
    }
}
