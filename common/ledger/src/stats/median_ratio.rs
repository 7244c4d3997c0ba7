//! How many times longer one variant takes to a target than another: the ratio of Kaplan–Meier
//! medians of two groups of runs, paired by seed.
//!
//! The estimate is always the ratio of the two medians. The interval depends on what was seen; in all
//! cases it is at 95 %, and a bound is the end of such an interval, so it fails in 2.5 % of cases at
//! most. The coverage of every case is simulated in `tests/stats_coverage.rs`.
//!
//! | pairs | what was seen | value | interval |
//! | --- | --- | --- | --- |
//! | < 10 | every run reached the target | ratio | paired Student t on log times |
//! | < 10 | both medians reached, runs of the numerator censored | ratio | lower end only |
//! | < 10 | both medians reached, runs of the denominator censored | ratio | upper end only |
//! | < 10 | both medians reached, runs of both censored | ratio | none |
//! | ≥ 10 | both medians reached | ratio | BCa over pairs; percentiles when some resample lacks a median |
//! | any | median of the numerator not reached | ≥ lower end | lower end only |
//! | any | median of the denominator not reached | ≤ upper end | upper end only |
//! | any | neither reached | error | |
//!
//! *Student t.* If the log times of a pair are jointly symmetric, the ratio of medians is the geometric
//! mean of the pairs' ratios, which a t interval covers well with few seeds; the interval is widened
//! where needed to hold the ratio of medians.
//!
//! *One end with censored runs.* A censored numerator enters with the time at which its run ended. That
//! makes its ratio too small, never too large, so the lower end of the t interval is conservative; it
//! holds the scatter of the denominator as well. The upper end would need times nobody saw. A censored
//! denominator mirrors this.
//!
//! *Ten pairs and more.* The percentile ends count a resample whose median is not reached as infinitely
//! late, and one where neither is reached against whichever end is asked for.

use super::bca::{self, Settings};
use super::kaplan_meier::{Observation, check, median_of};
use super::{Bound, Estimate, MANY_SEEDS, StatsError, student};

/// A run of the numerator's and of the denominator's variant with the same seed.
type Pair = (Observation, Observation);

/// Ratio of the median time of `numerator` to that of `denominator`, runs paired by seed, with a 95 %
/// interval or a bound as the module's table says.
///
/// # Errors
/// Groups of different size or empty, a time that is not finite or not positive, no median reached.
pub fn median_ratio(
    numerator: &[Observation],
    denominator: &[Observation],
) -> Result<Estimate, StatsError> {
    with_settings(numerator, denominator, Settings::default())
}

/// [`median_ratio`] with the number of draws and the level open, for tests of coverage.
///
/// # Errors
/// As [`median_ratio`], and for settings out of range.
pub fn with_settings(
    numerator: &[Observation],
    denominator: &[Observation],
    settings: Settings,
) -> Result<Estimate, StatsError> {
    if numerator.len() != denominator.len() {
        return Err(StatsError::Unpaired { left: numerator.len(), right: denominator.len() });
    }
    check(numerator)?;
    check(denominator)?;
    match (median_of(numerator), median_of(denominator)) {
        (Some(upper), Some(lower)) => both_reached(numerator, denominator, upper / lower, settings),
        (None, Some(_)) => at_least(numerator, denominator, settings),
        (Some(_), None) => {
            // The bound for the swapped ratio, turned over.
            let swapped = at_least(denominator, numerator, settings)?;
            Ok(Estimate {
                value: swapped.value.recip(),
                low: None,
                high: swapped.low.map(f64::recip),
                bound: Bound::AtMost,
                ..swapped
            })
        }
        (None, None) => Err(StatsError::NeitherReached),
    }
}

fn both_reached(
    numerator: &[Observation],
    denominator: &[Observation],
    value: f64,
    settings: Settings,
) -> Result<Estimate, StatsError> {
    let n = numerator.len();
    let (low, high, method) = if n >= MANY_SEEDS {
        bootstrap(numerator, denominator, settings)?
    } else {
        let t = t_ends(numerator, denominator, settings.level)?;
        let (late, early) = (any_censored(numerator), any_censored(denominator));
        let low = t.filter(|_| !early).map(|(low, _)| low.min(value));
        let high = t.filter(|_| !late).map(|(_, high)| high.max(value));
        let method = match (t, late, early) {
            (None, ..) if n == 1 => "one pair, no interval",
            (None, ..) => "pairs without spread, no interval",
            (_, false, false) => "paired log-scale Student t, 95 %",
            (_, true, false) => {
                "paired log-scale Student t, lower end, runs ended early entered as ended"
            }
            (_, false, true) => {
                "paired log-scale Student t, upper end, runs ended early entered as ended"
            }
            (_, true, true) => "runs of both variants ended early, no interval",
        };
        (low, high, method.to_owned())
    };
    let method = format!("ratio of Kaplan–Meier medians; {method}");
    Ok(Estimate { value, low, high, bound: Bound::Exact, n_seeds: n, n, method })
}

/// The bound for a numerator whose median was not reached.
fn at_least(
    numerator: &[Observation],
    denominator: &[Observation],
    settings: Settings,
) -> Result<Estimate, StatsError> {
    let n = numerator.len();
    let observed = followed(numerator) / followed(denominator);
    let low = if n >= MANY_SEEDS {
        let draws = bca::replicates(&pairs(numerator, denominator), &followed_ratio, settings)?;
        let low = order_statistic(&draws, tail(settings), f64::floor);
        Some(low.min(observed)).filter(|low| *low > 0.0)
    } else if any_censored(denominator) {
        None
    } else {
        t_ends(numerator, denominator, settings.level)?.map(|(low, _)| low.min(observed))
    };
    let method = match low {
        None if n == 1 => "bound seen with one pair, no interval",
        None => "bound seen in these runs, no interval",
        Some(_) if n >= MANY_SEEDS => "bound, percentile bootstrap over pairs, 97.5 % one-sided",
        Some(_) => "bound, paired log-scale Student t, 97.5 % one-sided",
    };
    Ok(Estimate {
        value: low.unwrap_or(observed),
        low,
        high: None,
        bound: Bound::AtLeast,
        n_seeds: n,
        n,
        method: format!("ratio of Kaplan–Meier medians; {method}"),
    })
}

/// Ends of the t interval on log ratios, censored runs entered with the time they ended; none when one
/// pair or no spread gives no interval.
fn t_ends(
    numerator: &[Observation],
    denominator: &[Observation],
    level: f64,
) -> Result<Option<(f64, f64)>, StatsError> {
    let times = |runs: &[Observation]| runs.iter().map(|o| o.time).collect::<Vec<_>>();
    match student::paired_ratio(&times(numerator), &times(denominator), level) {
        Ok(interval) => Ok(Some((interval.low, interval.high))),
        Err(StatsError::TooFew { .. } | StatsError::NoSpread { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// BCa ends over pairs, or percentiles when a resample lacks a median or BCa is undefined.
fn bootstrap(
    numerator: &[Observation],
    denominator: &[Observation],
    settings: Settings,
) -> Result<(Option<f64>, Option<f64>, String), StatsError> {
    let pairs = pairs(numerator, denominator);
    let ratio = |undecided: f64| {
        move |pairs: &[Pair]| {
            let (upper, lower): (Vec<_>, Vec<_>) = pairs.iter().copied().unzip();
            match (median_of(&upper), median_of(&lower)) {
                (Some(upper), Some(lower)) => upper / lower,
                (None, Some(_)) => f64::INFINITY,
                (Some(_), None) => 0.0,
                (None, None) => undecided,
            }
        }
    };
    match bca::interval(&pairs, ratio(f64::NAN), settings) {
        Ok(found) if found.interval.low > 0.0 => {
            let method = format!("BCa bootstrap over pairs, {} draws, 95 %", settings.draws);
            Ok((Some(found.interval.low), Some(found.interval.high), method))
        }
        Err(StatsError::NoSpread { .. }) => {
            Ok((None, None, "pairs without spread, no interval".into()))
        }
        Ok(_) | Err(StatsError::Statistic { .. } | StatsError::OneSided { .. }) => {
            let low = bca::replicates(&pairs, &ratio(0.0), settings)?;
            let high = bca::replicates(&pairs, &ratio(f64::INFINITY), settings)?;
            let low = order_statistic(&low, tail(settings), f64::floor);
            let high = order_statistic(&high, 1.0 - tail(settings), f64::ceil);
            let method = format!("percentile bootstrap over pairs, {} draws, 95 %", settings.draws);
            Ok((Some(low).filter(|x| *x > 0.0), Some(high).filter(|x| x.is_finite()), method))
        }
        Err(error) => Err(error),
    }
}

/// The ratio of medians, each replaced by the longest time seen where it was not reached; 0 when that
/// replaces the denominator's, which could then be any later time.
fn followed_ratio(pairs: &[Pair]) -> f64 {
    let (upper, lower): (Vec<_>, Vec<_>) = pairs.iter().copied().unzip();
    median_of(&lower).map_or(0.0, |lower| followed(&upper) / lower)
}

/// The median or, where it was not reached, the longest time any run was followed.
fn followed(runs: &[Observation]) -> f64 {
    median_of(runs).unwrap_or_else(|| runs.iter().map(|o| o.time).fold(0.0, f64::max))
}

fn pairs(numerator: &[Observation], denominator: &[Observation]) -> Vec<Pair> {
    numerator.iter().copied().zip(denominator.iter().copied()).collect()
}

fn any_censored(runs: &[Observation]) -> bool {
    runs.iter().any(|o| !o.reached)
}

fn tail(settings: Settings) -> f64 {
    (1.0 - settings.level) / 2.0
}

/// A quantile that is one of the values, as infinities leave nothing to interpolate.
fn order_statistic(sorted: &[f64], probability: f64, round: fn(f64) -> f64) -> f64 {
    sorted[round(probability * (sorted.len() - 1) as f64) as usize]
}
