//! Fits beside those of scikit-learn, and their corners.

use super::*;
use crate::linear::metrics::accuracy;

#[derive(Deserialize)]
struct Case {
    n: u64,
    d: u64,
    seed: u64,
    sparse: bool,
    penalty: Penalty,
    c: f64,
    positive: usize,
    objective: f64,
    nonzero: Option<Vec<usize>>,
    intercept: f64,
    first_weights: Vec<f64>,
    accuracy: f64,
}

/// The problem that `tests/oracle/logistic.py` makes by the same formula.
fn example(case: &Case) -> (Features, Vec<bool>) {
    let draw = |i: u64, j: u64| {
        let mut x = i
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(j.wrapping_mul(1_442_695_040_888_963_407))
            .wrapping_add(case.seed);
        x ^= x >> 31;
        x = x.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        x ^= x >> 29;
        x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x ^ (x >> 32)
    };
    let value = |i, j| {
        let u = (draw(i, j) >> 40) as f64 / f64::from(1 << 24);
        if case.sparse { f64::from(u8::from(u < 0.1)) } else { u * 2.0 - 1.0 }
    };
    let scores: Vec<f64> = (0..case.n)
        .map(|i| {
            (0..case.d)
                .step_by(5)
                .map(|j| value(i, j) * if j % 2 == 0 { 1.5 } else { -1.5 })
                .sum::<f64>()
        })
        .collect();
    let mut sorted = scores.clone();
    sorted.sort_by(f64::total_cmp);
    let half = scores.len() / 2;
    let median = f64::midpoint(sorted[half - 1], sorted[half]);
    let noise = |i| ((draw(i, 0) >> 8) % 1000) as f64 / 1000.0 - 0.5;
    let labels = (0..case.n).zip(&scores).map(|(i, score)| score + noise(i) > median).collect();
    let features = if case.sparse {
        let column = |j| {
            let cells = (0..case.n).map(|i| (i as u32, value(i, j) as f32));
            cells.filter(|cell| cell.1 != 0.0).collect()
        };
        Features::sparse(case.n as usize, &(0..case.d).map(column).collect::<Vec<_>>())
    } else {
        let rows: Vec<f32> =
            (0..case.n).flat_map(|i| (0..case.d).map(move |j| value(i, j) as f32)).collect();
        Features::dense(&rows, case.d as usize)
    };
    (features, labels)
}

#[test]
fn objective_support_and_accuracy_are_those_of_scikit_learns_liblinear() {
    let cases: Vec<Case> =
        serde_json::from_str(include_str!("../../../tests/fixtures/logistic.json")).unwrap();
    assert_eq!(cases.len(), 24);
    for case in cases {
        let (features, labels) = example(&case);
        assert_eq!(labels.iter().filter(|&&label| label).count(), case.positive);
        let cfg = Config { tolerance: 1e-8, ..Config::new(case.penalty, case.c) };
        let linear = fit(&features, &labels, &cfg, None).unwrap();
        let what = format!("n {} d {} {:?} C {}", case.n, case.d, case.penalty, case.c);
        let objective = linear.objective(&features, &labels, &cfg);
        let apart = (objective - case.objective).abs() / case.objective;
        assert!(apart < 1e-6, "{what}: objective {objective}, liblinear {}", case.objective);
        if let Some(nonzero) = &case.nonzero {
            let found: Vec<usize> =
                (0..features.d()).filter(|&j| linear.weights[j] != 0.0).collect();
            assert_eq!(&found, nonzero, "{what}");
        }
        // The objective is flat at its minimum: a millionth of it is a thousandth of a weight.
        for (found, wanted) in linear.weights.iter().zip(&case.first_weights) {
            assert!(
                (found - wanted).abs() < 1e-3 * (1.0 + wanted.abs()),
                "{what}: {found}, {wanted}"
            );
        }
        assert!((linear.intercept - case.intercept).abs() < 1e-3, "{what}: {}", linear.intercept);
        let found = accuracy(&linear.scores(&features), &labels);
        assert!((found - case.accuracy).abs() < 1e-12, "{what}: {found}, {}", case.accuracy);
        // What is used, looser and from a neighbour's weights, is as good to six digits.
        let near = Config::new(case.penalty, case.c);
        let start = fit(&features, &labels, &Config { c: case.c / 2.0, ..near }, None).unwrap();
        let warm = fit(&features, &labels, &near, Some(&start)).unwrap();
        let warm = warm.objective(&features, &labels, &cfg);
        assert!((warm - objective).abs() / objective < 1e-6, "{what}: {warm}, {objective}");
    }
}

#[test]
fn a_free_intercept_makes_the_mean_probability_the_share_of_positives() {
    let case = Case {
        n: 90,
        d: 20,
        seed: 4,
        sparse: false,
        penalty: Penalty::L1,
        c: 0.5,
        positive: 0,
        objective: 0.0,
        nonzero: None,
        intercept: 0.0,
        first_weights: vec![],
        accuracy: 0.0,
    };
    let (features, mut labels) = example(&case);
    labels.iter_mut().step_by(2).for_each(|label| *label = true);
    let share = labels.iter().filter(|&&label| label).count() as f64 / 90.0;
    for penalty in [Penalty::L1, Penalty::L2] {
        let free =
            Config { intercept: Intercept::Free, tolerance: 1e-9, ..Config::new(penalty, 0.5) };
        let linear = fit(&features, &labels, &free, None).unwrap();
        let scores = linear.scores(&features);
        let mean = scores.iter().map(|s| 1.0 / (1.0 + (-s).exp())).sum::<f64>() / 90.0;
        assert!((mean - share).abs() < 1e-6, "{penalty:?}: {mean}, {share}");
    }
}

#[test]
fn what_cannot_be_fitted_is_refused_with_the_reason() {
    let features = Features::dense(&[1.0, f32::NAN, 2.0, 3.0], 2);
    let cfg = Config::new(Penalty::L1, 1.0);
    let refused = |labels: &[bool]| fit(&features, labels, &cfg, None).unwrap_err().to_string();
    assert!(refused(&[true, false]).contains("feature 1 is not finite"));
    assert!(refused(&[true, true]).contains("both classes are needed"));
    assert!(refused(&[true]).contains("2 examples with features and 1 labels"));
}
