//! Student t intervals for the mean of a few independent, roughly normal values, usually one per seed.
//!
//! Pairs (two variants run with the same seed) are reduced to one value per pair first, so that what
//! the seed does to both cancels. Ratios are averaged as logarithms: the estimate is the geometric
//! mean, and swapping numerator and denominator gives the reciprocal interval.

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::{Interval, StatsError, check_finite, check_level, logs, no_spread};

/// Mean of `values` with its interval at `level` (for instance 0.95).
///
/// # Errors
/// Fewer than two values, a value that is not finite, values without spread, a level outside (0, 1).
pub fn mean(values: &[f64], level: f64) -> Result<Interval, StatsError> {
    check_finite(values)?;
    check_level(level)?;
    let n = values.len();
    if n < 2 {
        return Err(StatsError::TooFew { found: n, wanted: 2 });
    }
    if no_spread(values, values) {
        return Err(StatsError::NoSpread { n });
    }
    let value = super::mean(values);
    let squares: f64 = values.iter().map(|x| (x - value).powi(2)).sum();
    let half = quantile(level, n - 1) * (squares / (n - 1) as f64 / n as f64).sqrt();
    Ok(Interval { value, low: value - half, high: value + half })
}

/// Geometric mean of positive `values` with its interval at `level`.
///
/// # Errors
/// As [`mean`], and for a value that is not positive.
pub fn geometric_mean(values: &[f64], level: f64) -> Result<Interval, StatsError> {
    mean(&logs(values)?, level).map(Interval::exp)
}

/// Mean of `left[i] − right[i]` with its interval at `level`.
///
/// # Errors
/// As [`mean`], and for series of different length.
pub fn paired_difference(left: &[f64], right: &[f64], level: f64) -> Result<Interval, StatsError> {
    let differences = differences(left, right)?;
    if no_spread(&differences, &[left, right].concat()) && differences.len() > 1 {
        return Err(StatsError::NoSpread { n: differences.len() });
    }
    mean(&differences, level)
}

/// Geometric mean of `numerator[i] / denominator[i]` with its interval at `level`.
///
/// # Errors
/// As [`mean`], and for series of different length or a value that is not positive.
pub fn paired_ratio(
    numerator: &[f64],
    denominator: &[f64],
    level: f64,
) -> Result<Interval, StatsError> {
    paired_difference(&logs(numerator)?, &logs(denominator)?, level).map(Interval::exp)
}

/// `left[i] − right[i]` for two series of the same length and finite values.
pub(super) fn differences(left: &[f64], right: &[f64]) -> Result<Vec<f64>, StatsError> {
    if left.len() != right.len() {
        return Err(StatsError::Unpaired { left: left.len(), right: right.len() });
    }
    check_finite(left)?;
    check_finite(right)?;
    Ok(left.iter().zip(right).map(|(a, b)| a - b).collect())
}

/// The factor on the standard error for a two-sided interval at `level`.
fn quantile(level: f64, degrees: usize) -> f64 {
    StudentsT::new(0.0, 1.0, degrees as f64)
        .expect("at least one degree of freedom")
        .inverse_cdf(f64::midpoint(1.0, level))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_values_give_the_textbook_interval() {
        // t(0.975, 1 degree) = 12.7062; s / √n = 1 for the values 1 and 3.
        let found = mean(&[1.0, 3.0], 0.95).unwrap();
        assert!((found.low - (2.0 - 12.706_204_736_4)).abs() < 1e-6, "{found:?}");
        assert!((found.high - (2.0 + 12.706_204_736_4)).abs() < 1e-6, "{found:?}");
    }

    #[test]
    fn what_has_no_interval_is_an_error_that_says_why() {
        assert_eq!(mean(&[1.0], 0.95), Err(StatsError::TooFew { found: 1, wanted: 2 }));
        assert_eq!(mean(&[2.0; 3], 0.95), Err(StatsError::NoSpread { n: 3 }));
        assert_eq!(mean(&[1.0, 2.0], 1.0), Err(StatsError::Level { found: 1.0 }));
        let nan = mean(&[1.0, f64::NAN], 0.95).unwrap_err().to_string();
        assert!(nan.contains("value 1 is NaN"), "{nan}");
        let infinite = mean(&[f64::INFINITY, 1.0], 0.95);
        assert_eq!(infinite, Err(StatsError::NotFinite { index: 0, found: f64::INFINITY }));
        let zero = geometric_mean(&[1.0, 0.0], 0.95);
        assert_eq!(zero, Err(StatsError::NotPositive { index: 1, found: 0.0 }));
        let uneven = paired_difference(&[1.0, 2.0], &[1.0], 0.95);
        assert_eq!(uneven, Err(StatsError::Unpaired { left: 2, right: 1 }));
    }

    #[test]
    fn differences_that_vary_by_rounding_only_have_no_spread() {
        let left = [0.1 + 0.2, 1.1 + 0.2, 2.1 + 0.2];
        let right = [0.1, 1.1, 2.1];
        assert_eq!(paired_difference(&left, &right, 0.95), Err(StatsError::NoSpread { n: 3 }));
    }

    #[test]
    fn swapping_a_ratio_gives_the_reciprocal_interval() {
        let (a, b) = ([30.0, 36.0, 33.0], [5.0, 6.5, 6.0]);
        let there = paired_ratio(&a, &b, 0.95).unwrap();
        let back = paired_ratio(&b, &a, 0.95).unwrap();
        assert!((there.low * back.high - 1.0).abs() < 1e-12, "{there:?} {back:?}");
        assert!((there.value * back.value - 1.0).abs() < 1e-12, "{there:?} {back:?}");
    }
}
