//! Statistics against numbers of scipy and lifelines, written by `oracle/intervals.py`.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use ledger::stats::bca::{self, Settings};
use ledger::stats::kaplan_meier::{self, Observation};
use ledger::stats::{Interval, Scale, StatsError, mean_over_seeds, paired_ratio, student};
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    student: Vec<StudentCase>,
    bca: Vec<BcaCase>,
    kaplan_meier: Vec<KaplanMeierCase>,
}

#[derive(Deserialize)]
struct StudentCase {
    a: Vec<f64>,
    b: Vec<f64>,
    level: f64,
    mean: [f64; 2],
    geometric_mean: [f64; 2],
    paired_difference: [f64; 2],
    paired_ratio: [f64; 2],
}

#[derive(Deserialize)]
struct BcaCase {
    sample: String,
    values: Vec<f64>,
    statistic: String,
    level: f64,
    low: f64,
    high: f64,
    standard_error: f64,
    acceleration: f64,
}

#[derive(Deserialize)]
struct KaplanMeierCase {
    time: Vec<f64>,
    reached: Vec<bool>,
    steps: Vec<(f64, f64, usize)>,
    median: Option<f64>,
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("fixtures/intervals.json")).unwrap()
}

/// Both compute the same closed form; what differs is the t quantile, good to about 1e-10 here.
fn assert_ends(found: Result<Interval, StatsError>, want: [f64; 2], what: &str) {
    let found = found.unwrap();
    for (got, want) in [(found.low, want[0]), (found.high, want[1])] {
        let error = (got - want).abs() / want.abs().max(1.0);
        assert!(error < 1e-8, "{what}\nexpected {want}\ngot      {got}");
    }
}

#[test]
fn student_intervals_are_those_of_scipy() {
    let cases = fixture().student;
    assert!(cases.len() >= 15);
    for case in &cases {
        let StudentCase { a, b, level, .. } = case;
        let what = format!("n {} at {level}", a.len());
        assert_ends(student::mean(a, *level), case.mean, &what);
        assert_ends(student::geometric_mean(a, *level), case.geometric_mean, &what);
        assert_ends(student::paired_difference(a, b, *level), case.paired_difference, &what);
        assert_ends(student::paired_ratio(a, b, *level), case.paired_ratio, &what);
    }
}

#[test]
fn few_seeds_get_the_t_interval_and_many_the_bootstrap() {
    let cases = fixture().student;
    for case in cases.iter().filter(|case| (case.level - 0.95).abs() < 1e-9) {
        let found = mean_over_seeds(&case.a, Scale::Log).unwrap();
        let ratio = paired_ratio(&case.a, &case.b).unwrap();
        let (low, high) = (found.low.unwrap(), found.high.unwrap());
        let same = (low - case.geometric_mean[0]).abs() < 1e-8 * low
            && (high - case.geometric_mean[1]).abs() < 1e-8 * high
            && (ratio.low.unwrap() - case.paired_ratio[0]).abs() < 1e-8;
        assert_eq!(same, case.a.len() < 10, "{found:?}");
        assert_eq!(found.method.contains("BCa"), case.a.len() >= 10, "{found:?}");
        assert!(low < found.value && found.value < high, "{found:?}");
    }
}

fn statistic(name: &str) -> fn(&[f64]) -> f64 {
    fn mean(x: &[f64]) -> f64 {
        x.iter().sum::<f64>() / x.len() as f64
    }
    match name {
        "mean" => mean,
        "standard_deviation" => |x| {
            let center = mean(x);
            let squares: f64 = x.iter().map(|x| (x - center).powi(2)).sum();
            (squares / (x.len() - 1) as f64).sqrt()
        },
        "third_largest" => |x| {
            let mut x = x.to_vec();
            x.sort_by(f64::total_cmp);
            x[x.len() - 3]
        },
        other => panic!("no statistic {other}"),
    }
}

#[test]
fn bca_intervals_are_those_of_scipy_up_to_the_draws() {
    for case in fixture().bca {
        let settings = Settings { level: case.level, draws: 100_000, seed: 0 };
        let found = bca::interval(&case.values, statistic(&case.statistic), settings).unwrap();
        let what = format!("{} of {} at {}", case.statistic, case.sample, case.level);
        let error = (found.acceleration - case.acceleration).abs();
        assert!(error < 1e-12, "{what}: {} and {}", found.acceleration, case.acceleration);
        // An end's error from 100,000 draws is about 0.012 standard errors of the statistic (quantile
        // and bias correction together); five of those for a smooth statistic. An order statistic has
        // few different values, and its end is exactly one of them.
        let tolerance = 0.06 * case.standard_error;
        for (got, want) in [(found.interval.low, case.low), (found.interval.high, case.high)] {
            assert!((got - want).abs() < tolerance, "{what}\nexpected {want}\ngot      {got}");
        }
    }
}

#[test]
fn survival_curves_and_medians_are_those_of_lifelines() {
    let cases = fixture().kaplan_meier;
    assert!(cases.iter().any(|case| case.median.is_none()), "a case without a median");
    for case in cases {
        let runs: Vec<_> = case
            .time
            .iter()
            .zip(&case.reached)
            .map(|(&time, &reached)| Observation { time, reached })
            .collect();
        let found = kaplan_meier::survival(&runs).unwrap();
        assert_eq!(found.len(), case.steps.len());
        for (step, (time, waiting, at_risk)) in found.iter().zip(case.steps) {
            assert!((step.time - time).abs() < 1e-12, "{step:?}, want {time}");
            assert!((step.waiting - waiting).abs() < 1e-12, "{step:?}, want {waiting}");
            assert_eq!(step.at_risk, at_risk, "{step:?}");
        }
        assert_eq!(kaplan_meier::median(&runs).unwrap(), case.median, "{:?}", case.time);
    }
}
