//! Kaplan–Meier: the share of runs that have not reached a target yet, when some runs ended before
//! they reached it.
//!
//! Precondition: a run's end (its budget of epochs) does not depend on how close it was to the target.
//! Source: Kaplan and Meier, Nonparametric estimation from incomplete observations, JASA 53 (1958).

use super::StatsError;

/// One run's time to the target.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observation {
    /// When the target was reached or, where it was not, when the run ended. Any unit, above 0.
    pub time: f64,
    /// Whether the target was reached.
    pub reached: bool,
}

impl Observation {
    /// A run that reached its target at `time`.
    pub fn reached(time: f64) -> Self {
        Self { time, reached: true }
    }

    /// A run that ended at `time` without reaching its target.
    pub fn censored(time: f64) -> Self {
        Self { time, reached: false }
    }
}

/// A step of the survival curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// A time at which at least one run reached the target.
    pub time: f64,
    /// Estimated share of runs that need longer than `time`.
    pub waiting: f64,
    /// Runs that were still going just before `time`.
    pub at_risk: usize,
}

/// The survival curve: one step for each time at which a run reached the target, in order of time.
/// Before the first step the share is 1. A run that ends at the time of a step counts as at risk there.
///
/// # Errors
/// No observations, a time that is not finite or not positive.
pub fn survival(observations: &[Observation]) -> Result<Vec<Step>, StatsError> {
    check(observations)?;
    Ok(steps(observations))
}

/// The first time at which no more than half of the runs are still waiting; none when that never
/// happens. For an even number of runs without censoring this is the lower of the two middle times.
///
/// # Errors
/// As [`survival`].
pub fn median(observations: &[Observation]) -> Result<Option<f64>, StatsError> {
    check(observations)?;
    Ok(median_of(observations))
}

pub(super) fn check(observations: &[Observation]) -> Result<(), StatsError> {
    if observations.is_empty() {
        return Err(StatsError::TooFew { found: 0, wanted: 1 });
    }
    for (index, Observation { time, .. }) in observations.iter().enumerate() {
        if !time.is_finite() {
            return Err(StatsError::NotFinite { index, found: *time });
        }
        if *time <= 0.0 {
            return Err(StatsError::NotPositive { index, found: *time });
        }
    }
    Ok(())
}

/// [`median`] of observations known to be valid.
pub(super) fn median_of(observations: &[Observation]) -> Option<f64> {
    // Products of fractions meet one half only up to rounding.
    steps(observations).iter().find(|step| step.waiting <= 0.5 + 1e-9).map(|step| step.time)
}

fn steps(observations: &[Observation]) -> Vec<Step> {
    let mut sorted = observations.to_vec();
    sorted.sort_unstable_by(|a, b| a.time.total_cmp(&b.time));
    let (mut steps, mut waiting, mut at_risk) = (Vec::new(), 1.0, sorted.len());
    for tied in sorted.chunk_by(|a, b| a.time.total_cmp(&b.time).is_eq()) {
        let reached = tied.iter().filter(|o| o.reached).count();
        if reached > 0 {
            waiting *= (at_risk - reached) as f64 / at_risk as f64;
            steps.push(Step { time: tied[0].time, waiting, at_risk });
        }
        at_risk -= tied.len();
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use Observation as O;

    #[test]
    fn without_censoring_the_median_is_the_middle_time() {
        let odd = [O::reached(3.0), O::reached(1.0), O::reached(2.0)];
        assert_eq!(median(&odd).unwrap(), Some(2.0));
        let even = [O::reached(4.0), O::reached(1.0), O::reached(2.0), O::reached(3.0)];
        assert_eq!(median(&even).unwrap(), Some(2.0), "the lower of the two middle times");
    }

    #[test]
    fn a_run_that_ended_early_moves_weight_to_the_later_ones() {
        // By hand: 4/5, then 4/5 · 2/3 after one run left at time 2, then 0.
        let runs =
            [O::reached(1.0), O::censored(2.0), O::reached(3.0), O::reached(4.0), O::reached(4.0)];
        let found = survival(&runs).unwrap();
        let want = [(1.0, 0.8, 5), (3.0, 0.8 * 2.0 / 3.0, 3), (4.0, 0.0, 2)];
        for (step, (time, waiting, at_risk)) in found.iter().zip(want) {
            assert_eq!((step.time, step.at_risk), (time, at_risk));
            assert!((step.waiting - waiting).abs() < 1e-15, "{step:?}, want {waiting}");
        }
        assert_eq!(found.len(), 3);
        assert_eq!(median(&runs).unwrap(), Some(4.0));
    }

    #[test]
    fn a_median_that_half_of_the_runs_never_reach_is_none() {
        assert_eq!(median(&[O::censored(9.0), O::reached(5.0), O::censored(9.0)]).unwrap(), None);
        assert_eq!(median(&[O::censored(9.0)]).unwrap(), None);
    }

    #[test]
    fn impossible_times_are_errors() {
        assert_eq!(median(&[]), Err(StatsError::TooFew { found: 0, wanted: 1 }));
        let zero = median(&[O::reached(0.0)]);
        assert_eq!(zero, Err(StatsError::NotPositive { index: 0, found: 0.0 }));
        let infinite = median(&[O::reached(1.0), O::reached(f64::INFINITY)]);
        assert_eq!(infinite, Err(StatsError::NotFinite { index: 1, found: f64::INFINITY }));
    }
}
