//! Intervals: Student t for few seeds, BCa bootstrap for many, Kaplan–Meier for times to a target.
//!
//! The functions here choose the method by the number of seeds: with fewer than [`MANY_SEEDS`] the
//! paired Student t interval, from there on the BCa bootstrap with [`bca::DRAWS`] draws. Every
//! interval is two-sided at [`LEVEL`]. What a method cannot know is left out: one seed, or seeds
//! without any spread, give a value and no interval.

pub mod bca;
pub mod kaplan_meier;
pub mod median_ratio;
pub mod student;

pub use median_ratio::median_ratio;

/// Confidence level of every interval a ledger shows.
pub const LEVEL: f64 = 0.95;

/// From this number of seeds on, intervals come from the bootstrap instead of Student's t.
pub const MANY_SEEDS: usize = 10;

/// The scale on which values are averaged and intervals are symmetric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// As they are: the arithmetic mean.
    Natural,
    /// Logarithms, for losses and ratios: the geometric mean. Values must be positive.
    Log,
}

/// What a value says about the quantity it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Bound {
    /// The value is an estimate of the quantity.
    #[default]
    Exact,
    /// The quantity is at least the value: some run ended before it was seen.
    AtLeast,
    /// The quantity is at most the value.
    AtMost,
}

/// A number with its interval, as a row of `measured.csv` holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimate {
    /// The estimate or, where `bound` says so, the bound.
    pub value: f64,
    /// Lower end of the 95 % interval; none when the data do not give one.
    pub low: Option<f64>,
    /// Upper end of the 95 % interval; none when the data do not give one.
    pub high: Option<f64>,
    /// Whether the value is exact or a bound.
    pub bound: Bound,
    /// Seeds (or pairs of runs with the same seed) behind the value.
    pub n_seeds: usize,
    /// Observations behind the value: equal to `n_seeds` unless [`Estimate::with_n`] says more.
    pub n: usize,
    /// How the interval was made, or why there is none.
    pub method: String,
}

impl Estimate {
    /// The same estimate, with the number of observations (test examples, words, …) it rests on.
    #[must_use]
    pub fn with_n(self, n: usize) -> Self {
        Self { n, ..self }
    }

    /// A number that no seed can change, such as a count of parameters.
    #[must_use]
    pub fn certain(value: f64) -> Self {
        let method = "counted, no randomness".into();
        Self { value, low: None, high: None, bound: Bound::Exact, n_seeds: 1, n: 1, method }
    }

    fn without_interval(value: f64, n: usize, method: String) -> Self {
        Self { value, low: None, high: None, bound: Bound::Exact, n_seeds: n, n, method }
    }
}

/// A two-sided confidence interval and the estimate it belongs to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The estimate.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Interval {
    fn exp(self) -> Self {
        Self { value: self.value.exp(), low: self.low.exp(), high: self.high.exp() }
    }
}

/// Why a statistic or an interval does not exist.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum StatsError {
    /// Not enough values.
    #[error("{found} values given, an interval needs at least {wanted}: run more seeds")]
    TooFew {
        /// Values given.
        found: usize,
        /// The least that works.
        wanted: usize,
    },
    /// NaN or an infinity among the values.
    #[error("value {index} is {found}, wanted a finite number: leave failed runs out, and say so")]
    NotFinite {
        /// Position, counted from 0.
        index: usize,
        /// What stood there.
        found: f64,
    },
    /// A statistic that does not exist on some resample.
    #[error("the statistic is {found} on a resample, wanted a finite number on every one")]
    Statistic {
        /// What it gave.
        found: f64,
    },
    /// Zero or a negative number where a logarithm is taken.
    #[error(
        "value {index} is {found}, wanted a positive number: the log scale has no place for it"
    )]
    NotPositive {
        /// Position, counted from 0.
        index: usize,
        /// What stood there.
        found: f64,
    },
    /// Two paired series of different length.
    #[error("{left} values paired with {right}: each seed needs a run of both variants")]
    Unpaired {
        /// Length of the first series.
        left: usize,
        /// Length of the second series.
        right: usize,
    },
    /// All values are the same; an interval of width zero would claim a certainty nobody has.
    #[error("all {n} values are equal: their spread says nothing about the next run")]
    NoSpread {
        /// How many values.
        n: usize,
    },
    /// A confidence level outside (0, 1).
    #[error("confidence level {found}, wanted a number between 0 and 1 such as 0.95")]
    Level {
        /// What was asked for.
        found: f64,
    },
    /// Fewer bootstrap draws than the interval's ends need.
    #[error("{found} bootstrap draws, wanted at least {wanted}")]
    Draws {
        /// What was asked for.
        found: usize,
        /// The least that works.
        wanted: usize,
    },
    /// The bootstrap distribution lies on one side of the estimate, so BCa's correction is infinite.
    #[error("all bootstrap draws lie on one side of the estimate {value}: BCa is undefined there")]
    OneSided {
        /// The estimate.
        value: f64,
    },
    /// Neither of two groups reached the target in half of its runs.
    #[error(
        "neither group reached the target in half of its runs: train longer or lower the target"
    )]
    NeitherReached,
}

/// Mean over seeds (geometric on [`Scale::Log`]) with its interval.
///
/// # Errors
/// No values, a value that is not finite or, on the log scale, not positive.
pub fn mean_over_seeds(values: &[f64], scale: Scale) -> Result<Estimate, StatsError> {
    match scale {
        Scale::Natural => {
            check_finite(values)?;
            center(values, values, "")
        }
        Scale::Log => {
            let logs = logs(values)?;
            center(&logs, &logs, "log-scale ").map(exp)
        }
    }
}

/// Mean of `left[i] − right[i]`, one pair per seed, with its interval.
///
/// # Errors
/// Series of different length or empty, a value that is not finite.
pub fn paired_difference(left: &[f64], right: &[f64]) -> Result<Estimate, StatsError> {
    let differences = student::differences(left, right)?;
    center(&differences, &[left, right].concat(), "paired ")
}

/// Geometric mean of `numerator[i] / denominator[i]`, one pair per seed, with its interval.
///
/// # Errors
/// Series of different length or empty, a value that is not finite or not positive.
pub fn paired_ratio(numerator: &[f64], denominator: &[f64]) -> Result<Estimate, StatsError> {
    let (upper, lower) = (logs(numerator)?, logs(denominator)?);
    let differences = student::differences(&upper, &lower)?;
    center(&differences, &[upper, lower].concat(), "paired log-scale ").map(exp)
}

/// Mean and interval of finite `values`; `inputs` are the numbers they were computed from, whose
/// size says how large a spread rounding alone can make.
fn center(values: &[f64], inputs: &[f64], kind: &str) -> Result<Estimate, StatsError> {
    let n = values.len();
    if n == 0 {
        return Err(StatsError::TooFew { found: 0, wanted: 1 });
    }
    let value = mean(values);
    if n == 1 {
        return Ok(Estimate::without_interval(value, n, "one seed, no interval".into()));
    }
    if no_spread(values, inputs) {
        let method = format!("{n} equal values, no interval");
        return Ok(Estimate::without_interval(value, n, method));
    }
    let (found, method) = if n < MANY_SEEDS {
        (student::mean(values, LEVEL)?, format!("{kind}Student t, 95 %"))
    } else {
        let method = format!("{kind}BCa bootstrap, {} draws, 95 %", bca::DRAWS);
        (bca::interval(values, mean, bca::Settings::default())?.interval, method)
    };
    let (low, high) = (Some(found.low), Some(found.high));
    Ok(Estimate { value: found.value, low, high, bound: Bound::Exact, n_seeds: n, n, method })
}

fn exp(estimate: Estimate) -> Estimate {
    Estimate {
        value: estimate.value.exp(),
        low: estimate.low.map(f64::exp),
        high: estimate.high.map(f64::exp),
        ..estimate
    }
}

/// Arithmetic mean; NaN for an empty slice.
pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Whether the values differ by no more than rounding in `inputs` can explain.
fn no_spread(values: &[f64], inputs: &[f64]) -> bool {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let size = inputs.iter().fold(0.0, |size: f64, x| size.max(x.abs()));
    high - low <= 4.0 * f64::EPSILON * size
}

fn check_finite(values: &[f64]) -> Result<(), StatsError> {
    match values.iter().position(|x| !x.is_finite()) {
        Some(index) => Err(StatsError::NotFinite { index, found: values[index] }),
        None => Ok(()),
    }
}

fn check_level(level: f64) -> Result<(), StatsError> {
    if level > 0.0 && level < 1.0 { Ok(()) } else { Err(StatsError::Level { found: level }) }
}

/// Natural logarithms of positive finite values.
fn logs(values: &[f64]) -> Result<Vec<f64>, StatsError> {
    check_finite(values)?;
    match values.iter().position(|&x| x <= 0.0) {
        Some(index) => Err(StatsError::NotPositive { index, found: values[index] }),
        None => Ok(values.iter().map(|x| x.ln()).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_and_equal_seeds_give_a_value_and_no_interval() {
        for values in [vec![2.5], vec![2.5; 4], vec![2.5; 12]] {
            for scale in [Scale::Natural, Scale::Log] {
                let found = mean_over_seeds(&values, scale).unwrap();
                assert!((found.value - 2.5).abs() < 1e-12, "{found:?}");
                assert_eq!((found.low, found.high), (None, None), "{found:?}");
                assert_eq!(found.n_seeds, values.len());
            }
        }
        let same = paired_ratio(&[6.0, 12.0, 18.0], &[1.0, 2.0, 3.0]).unwrap();
        assert_eq!((same.low, same.high), (None, None), "equal ratios, {same:?}");
    }

    #[test]
    fn the_log_scale_averages_factors() {
        let found = mean_over_seeds(&[1.0, 100.0], Scale::Log).unwrap();
        assert!((found.value - 10.0).abs() < 1e-12, "{found:?}");
        let found = paired_difference(&[3.0, 5.0], &[1.0, 2.0]).unwrap();
        assert!((found.value - 2.5).abs() < 1e-12, "{found:?}");
        assert_eq!(found.with_n(10_000).n, 10_000);
    }

    #[test]
    fn no_values_and_impossible_values_are_errors() {
        let none = mean_over_seeds(&[], Scale::Natural);
        assert_eq!(none, Err(StatsError::TooFew { found: 0, wanted: 1 }));
        let nan = mean_over_seeds(&[1.0, f64::NAN], Scale::Natural).unwrap_err();
        assert!(matches!(nan, StatsError::NotFinite { index: 1, .. }), "{nan}");
        let negative = mean_over_seeds(&[-1.0, 1.0], Scale::Log);
        assert_eq!(negative, Err(StatsError::NotPositive { index: 0, found: -1.0 }));
        let uneven = paired_ratio(&[1.0], &[1.0, 2.0]);
        assert_eq!(uneven, Err(StatsError::Unpaired { left: 1, right: 2 }));
    }
}
