//! BCa bootstrap intervals (bias-corrected and accelerated) for any statistic of independent
//! observations.
//!
//! The acceleration comes from the jackknife. Draw `i` has its own random stream, so the result
//! depends on the seed and not on how many threads share the work.
//!
//! Source: Efron, Better bootstrap confidence intervals, JASA 82 (1987), equations 2.3 and 6.6;
//! Efron and Tibshirani, An Introduction to the Bootstrap (1993), section 14.3.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use statrs::distribution::{ContinuousCDF, Normal};

use super::{Interval, LEVEL, StatsError, check_level, mean};

/// Bootstrap draws of an interval in the ledger.
pub const DRAWS: usize = 10_000;

/// How an interval is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Confidence level.
    pub level: f64,
    /// Resamples; at least 100.
    pub draws: usize,
    /// Seed of the resamples. The same seed gives the same interval.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { level: LEVEL, draws: DRAWS, seed: 0 }
    }
}

/// An interval and the two corrections that placed it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bca {
    /// Estimate and ends.
    pub interval: Interval,
    /// Bias correction z₀, in standard normal units.
    pub bias: f64,
    /// Acceleration a, from the jackknife's skewness.
    pub acceleration: f64,
}

/// The BCa interval of `statistic` over `observations`.
///
/// Preconditions: observations are independent, or are the independent units (seeds, pairs of runs,
/// documents) that hold what depends on each other; `statistic` depends on the set, not on the order.
///
/// # Errors
/// Fewer than two observations, a statistic that is not finite, no spread (every resample gives the
/// same value), all resamples on one side of the estimate, a level outside (0, 1), too few draws.
pub fn interval<T, F>(
    observations: &[T],
    statistic: F,
    settings: Settings,
) -> Result<Bca, StatsError>
where
    T: Clone + Sync,
    F: Fn(&[T]) -> f64 + Sync,
{
    check_level(settings.level)?;
    let n = observations.len();
    if n < 2 {
        return Err(StatsError::TooFew { found: n, wanted: 2 });
    }
    let value = statistic(observations);
    let draws = replicates(observations, &statistic, settings)?;
    let jackknife = jackknife(observations, &statistic);
    let mut all = std::iter::once(&value).chain(&draws).chain(&jackknife);
    if let Some(&found) = all.find(|x| !x.is_finite()) {
        return Err(StatsError::Statistic { found });
    }
    let (first, last) = (draws[0], draws[draws.len() - 1]);
    if last - first <= 8.0 * f64::EPSILON * first.abs().max(last.abs()) {
        return Err(StatsError::NoSpread { n });
    }
    corrected(value, &draws, &jackknife, settings.level)
}

/// The statistic of every resample, in ascending order (NaN last).
pub(super) fn replicates<T, F>(
    observations: &[T],
    statistic: &F,
    settings: Settings,
) -> Result<Vec<f64>, StatsError>
where
    T: Clone + Sync,
    F: Fn(&[T]) -> f64 + Sync,
{
    if settings.draws < 100 {
        return Err(StatsError::Draws { found: settings.draws, wanted: 100 });
    }
    let n = observations.len();
    let base = ChaCha8Rng::seed_from_u64(settings.seed);
    let mut draws: Vec<f64> = (0..settings.draws as u64)
        .into_par_iter()
        .map_init(
            || Vec::with_capacity(n),
            |resample: &mut Vec<T>, draw| {
                let mut rng = base.clone();
                rng.set_stream(draw);
                resample.clear();
                resample.extend((0..n).map(|_| observations[rng.random_range(0..n)].clone()));
                statistic(resample)
            },
        )
        .collect();
    draws.par_sort_unstable_by(f64::total_cmp);
    Ok(draws)
}

/// The statistic with each observation left out in turn.
fn jackknife<T, F>(observations: &[T], statistic: &F) -> Vec<f64>
where
    T: Clone + Sync,
    F: Fn(&[T]) -> f64 + Sync,
{
    (0..observations.len())
        .into_par_iter()
        .map(|i| {
            let mut rest = observations.to_vec();
            rest.remove(i);
            statistic(&rest)
        })
        .collect()
}

/// BCa ends from sorted `draws` and the `jackknife` values.
fn corrected(value: f64, draws: &[f64], jackknife: &[f64], level: f64) -> Result<Bca, StatsError> {
    // Draws equal to the estimate count half, as a discrete statistic makes many of them.
    let below = draws.partition_point(|&x| x < value);
    let up_to = draws.partition_point(|&x| x <= value);
    let share = (below + up_to) as f64 / (2 * draws.len()) as f64;
    if share <= 0.0 || share >= 1.0 {
        return Err(StatsError::OneSided { value });
    }
    let normal = Normal::standard();
    let bias = normal.inverse_cdf(share);
    let acceleration = acceleration(jackknife);
    let end = |probability: f64| {
        let z = bias + normal.inverse_cdf(probability);
        let adjusted = bias + z / (1.0 - acceleration * z);
        quantile(draws, normal.cdf(adjusted))
    };
    let (low, high) = (end(f64::midpoint(0.0, 1.0 - level)), end(f64::midpoint(1.0, level)));
    Ok(Bca { interval: Interval { value, low, high }, bias, acceleration })
}

/// A sixth of the skewness of the jackknife's influence values; 0 when they do not vary.
fn acceleration(jackknife: &[f64]) -> f64 {
    let center = mean(jackknife);
    let (mut squares, mut cubes) = (0.0, 0.0);
    for x in jackknife {
        let deviation = center - x;
        squares += deviation * deviation;
        cubes += deviation * deviation * deviation;
    }
    if squares > 0.0 { cubes / (6.0 * squares.powf(1.5)) } else { 0.0 }
}

/// Quantile of sorted values, linear between neighbours.
fn quantile(sorted: &[f64], probability: f64) -> f64 {
    let at = probability.clamp(0.0, 1.0) * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    below + (above - below) * at.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: [f64; 12] = [2.1, 3.4, 1.9, 5.6, 2.2, 8.8, 3.3, 2.7, 4.1, 2.5, 3.0, 6.2];

    #[test]
    fn the_number_of_threads_does_not_change_the_interval() {
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| interval(&VALUES, mean, Settings::default()).unwrap())
        };
        assert_eq!(with(1), with(3));
    }

    #[test]
    fn another_seed_moves_the_ends_a_little() {
        let a = interval(&VALUES, mean, Settings::default()).unwrap().interval;
        let b =
            interval(&VALUES, mean, Settings { seed: 1, ..Settings::default() }).unwrap().interval;
        assert!((1e-9..0.1).contains(&(a.low - b.low).abs()), "{a:?} {b:?}");
    }

    #[test]
    fn degenerate_input_is_an_error_that_says_why() {
        let settings = Settings::default();
        let one = interval(&[1.0], mean, settings);
        assert_eq!(one, Err(StatsError::TooFew { found: 1, wanted: 2 }));
        assert_eq!(interval(&[4.2; 12], mean, settings), Err(StatsError::NoSpread { n: 12 }));
        let nan = interval(&VALUES, |_| f64::NAN, settings);
        assert!(matches!(nan, Err(StatsError::Statistic { .. })), "{nan:?}");
        let few = interval(&VALUES, mean, Settings { draws: 10, ..settings });
        assert_eq!(few, Err(StatsError::Draws { found: 10, wanted: 100 }));
        // No resample can have a larger number of different values than the sample.
        let distinct = |xs: &[f64]| {
            let mut xs = xs.to_vec();
            xs.sort_by(f64::total_cmp);
            xs.dedup();
            xs.len() as f64 + 0.5 * f64::from(u8::from(xs.len() == VALUES.len()))
        };
        let spread = interval(&VALUES, distinct, settings);
        assert!(matches!(spread, Err(StatsError::OneSided { .. })), "{spread:?}");
    }

    #[test]
    fn a_symmetric_sample_needs_no_correction() {
        let values: Vec<f64> = (-10..=10).map(f64::from).collect();
        let found = interval(&values, mean, Settings::default()).unwrap();
        assert!(found.acceleration.abs() < 1e-12, "{found:?}");
        assert!(found.bias.abs() < 0.05, "{found:?}");
    }
}
