//! How well predictions agree with labels, as GLUE scores them.

use common::linear::metrics::pearson;

use crate::tasks::Metric;

impl Metric {
    /// The score of predictions, times 100.
    ///
    /// # Panics
    /// Without examples, or not one prediction for each label.
    pub fn of(self, predictions: &[f64], labels: &[f64]) -> f64 {
        assert!(!labels.is_empty() && predictions.len() == labels.len(), "one for each label");
        100.0
            * match self {
                Self::Accuracy => accuracy(predictions, labels),
                Self::Matthews => matthews(predictions, labels),
                Self::F1 => f1(predictions, labels),
                Self::Pearson => pearson(predictions, labels),
            }
    }
}

/// Share of predictions that are the label.
fn accuracy(predictions: &[f64], labels: &[f64]) -> f64 {
    let right = predictions.iter().zip(labels).filter(|(a, b)| same(**a, **b)).count();
    right as f64 / labels.len() as f64
}

/// Matthews' correlation coefficient of two classes; 0 where a row or column of the table is empty.
fn matthews(predictions: &[f64], labels: &[f64]) -> f64 {
    let [tp, fp, fn_, tn] = table(predictions, labels);
    let product = (tp + fp) * (tp + fn_) * (tn + fp) * (tn + fn_);
    if product > 0.0 { (tp * tn - fp * fn_) / product.sqrt() } else { 0.0 }
}

/// F1 of class 1; 0 where it is neither predicted nor there.
fn f1(predictions: &[f64], labels: &[f64]) -> f64 {
    let [tp, fp, fn_, _] = table(predictions, labels);
    if tp > 0.0 { 2.0 * tp / (2.0 * tp + fp + fn_) } else { 0.0 }
}

/// True and false positives, false and true negatives.
fn table(predictions: &[f64], labels: &[f64]) -> [f64; 4] {
    let mut table = [0.0; 4];
    for (prediction, label) in predictions.iter().zip(labels) {
        let place = match (same(*prediction, 1.0), same(*label, 1.0)) {
            (true, true) => 0,
            (true, false) => 1,
            (false, true) => 2,
            (false, false) => 3,
        };
        table[place] += 1.0;
    }
    table
}

/// Whether two class numbers are one.
fn same(a: f64, b: f64) -> bool {
    (a - b).abs() < 0.5
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Case {
        predictions: Vec<f64>,
        labels: Vec<f64>,
        accuracy: Option<f64>,
        matthews: Option<f64>,
        f1: Option<f64>,
        pearson: Option<f64>,
    }

    #[test]
    fn scores_are_those_of_scikit_learn_and_scipy() {
        let text = include_str!("../tests/fixtures/scores.json");
        let cases: Vec<Case> = serde_json::from_str(text).unwrap();
        assert!(cases.len() > 5);
        let mut compared = 0;
        for case in cases {
            for (metric, wanted) in [
                (Metric::Accuracy, case.accuracy),
                (Metric::Matthews, case.matthews),
                (Metric::F1, case.f1),
                (Metric::Pearson, case.pearson),
            ] {
                let Some(wanted) = wanted else { continue };
                let found = metric.of(&case.predictions, &case.labels);
                let apart = (found - 100.0 * wanted).abs();
                assert!(apart < 1e-9, "{metric:?}: {found}, wanted {}", 100.0 * wanted);
                compared += 1;
            }
        }
        assert!(compared > 15);
    }
}
