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
        let spread = draws[0] < draws[draws.len() - 1];
        Some(low.min(observed)).filter(|low| *low > 0.0 && spread)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn reached(times: &[f64]) -> Vec<Observation> {
        times.iter().map(|&time| Observation::reached(time)).collect()
    }

    fn ended(time: f64, n: usize) -> Vec<Observation> {
        vec![Observation::censored(time); n]
    }

    fn close(found: Option<f64>, want: f64) -> bool {
        found.is_some_and(|found| (found / want - 1.0).abs() < 1e-9)
    }

    #[test]
    fn without_censoring_it_is_the_ratio_of_medians_with_the_t_interval_of_the_pairs() {
        let (tanh, relu) = ([36.0, 30.0, 41.0], [6.0, 5.5, 7.5]);
        let found = median_ratio(&reached(&tanh), &reached(&relu)).unwrap();
        let t = student::paired_ratio(&tanh, &relu, 0.95).unwrap();
        assert!(close(Some(found.value), 36.0 / 6.0), "{found:?}");
        assert!(close(found.low, t.low) && close(found.high, t.high), "{found:?}\n{t:?}");
        assert_eq!((found.bound, found.n_seeds), (Bound::Exact, 3));
    }

    #[test]
    fn a_numerator_that_is_never_there_gives_the_t_bound_over_the_denominators() {
        let relu = [6.0, 5.5, 7.5];
        let found = median_ratio(&ended(40.0, 3), &reached(&relu)).unwrap();
        // By hand: 40 over the upper end of the denominators' t interval on logs.
        let upper = student::geometric_mean(&relu, 0.95).unwrap().high;
        assert!(close(found.low, 40.0 / upper) && close(Some(found.value), 40.0 / upper));
        assert_eq!((found.bound, found.high), (Bound::AtLeast, None));
        assert!(found.value < 40.0 / 7.5, "below the smallest ratio seen: {found:?}");
        // The swapped ratio is the same bound turned over.
        let swapped = median_ratio(&reached(&relu), &ended(40.0, 3)).unwrap();
        assert!(close(swapped.high, upper / 40.0) && swapped.low.is_none(), "{swapped:?}");
        assert_eq!(swapped.bound, Bound::AtMost);
    }

    #[test]
    fn one_numerator_that_ended_early_leaves_the_lower_end() {
        let mut tanh = reached(&[36.0, 30.0]);
        tanh.push(Observation::censored(40.0));
        let found = median_ratio(&tanh, &reached(&[6.0, 5.5, 7.5])).unwrap();
        let t = student::paired_ratio(&[36.0, 30.0, 40.0], &[6.0, 5.5, 7.5], 0.95).unwrap();
        assert!(close(Some(found.value), 6.0) && close(found.low, t.low), "{found:?}\n{t:?}");
        assert_eq!((found.bound, found.high), (Bound::Exact, None));
    }

    #[test]
    fn where_runs_of_both_ended_early_nothing_is_claimed_beyond_the_value() {
        let mixed =
            |a, b| vec![Observation::reached(a), Observation::reached(b), ended(50.0, 1)[0]];
        let found = median_ratio(&mixed(36.0, 40.0), &mixed(6.0, 8.0)).unwrap();
        assert!(close(Some(found.value), 5.0), "{found:?}");
        assert_eq!((found.low, found.high), (None, None));
        let bound = median_ratio(&ended(50.0, 3), &mixed(6.0, 8.0)).unwrap();
        assert!(close(Some(bound.value), 50.0 / 8.0), "{bound:?}");
        assert_eq!((bound.bound, bound.low), (Bound::AtLeast, None));
    }

    #[test]
    fn one_pair_or_pairs_without_spread_have_no_interval() {
        for (upper, lower) in [(vec![30.0], vec![6.0]), (vec![30.0; 3], vec![6.0; 3])] {
            let n = upper.len();
            let found = median_ratio(&reached(&upper), &reached(&lower)).unwrap();
            assert!(close(Some(found.value), 5.0) && found.low.is_none() && found.high.is_none());
            let bound = median_ratio(&ended(30.0, n), &reached(&lower)).unwrap();
            assert!(close(Some(bound.value), 5.0) && bound.low.is_none(), "{bound:?}");
        }
        for upper in [reached(&[30.0; 12]), ended(30.0, 12)] {
            let equal = median_ratio(&upper, &reached(&[6.0; 12])).unwrap();
            assert_eq!((equal.low, equal.high), (None, None), "{equal:?}");
        }
    }

    #[test]
    fn ten_pairs_and_more_are_bootstrapped_whether_or_not_each_resample_has_a_median() {
        let times: Vec<f64> = (0..12).map(|i| 30.0 + f64::from(i)).collect();
        let relu: Vec<f64> = (0..12).map(|i| 5.0 + f64::from(i * 7 % 12) / 4.0).collect();
        let found = median_ratio(&reached(&times), &reached(&relu)).unwrap();
        assert!(found.method.contains("BCa"), "{found:?}");
        let mut half = reached(&times);
        half[7..].fill(Observation::censored(36.5));
        let found = median_ratio(&half, &reached(&relu)).unwrap();
        assert!(found.method.contains("percentile") && found.low.is_some(), "{found:?}");
        assert_eq!(found.high, None, "some resamples never get there");
        let bound = median_ratio(&ended(40.0, 12), &reached(&relu)).unwrap();
        assert!(bound.value > 4.0 && bound.value < 40.0 / 6.25, "{bound:?}");
    }

    #[test]
    fn groups_that_cannot_be_compared_are_errors() {
        let neither = median_ratio(&ended(9.0, 3), &ended(9.0, 3));
        assert_eq!(neither, Err(StatsError::NeitherReached));
        let uneven = median_ratio(&ended(9.0, 3), &reached(&[1.0]));
        assert_eq!(uneven, Err(StatsError::Unpaired { left: 3, right: 1 }));
        let none = median_ratio(&[], &[]);
        assert_eq!(none, Err(StatsError::TooFew { found: 0, wanted: 1 }));
    }
}
