//! The published choice of a classifier: the strength of its penalty by accuracy on a validation part.

use super::features::Features;
use super::logistic::{Config, Linear, LinearError, Penalty, fit};
use super::metrics::accuracy;

/// 2⁻⁸ to 2⁰.
///
/// Source: openai/generating-reviews-discovering-sentiment, `utils.py`, `train_with_reg_cv`.
pub const STRENGTHS: [f64; 9] =
    [1.0 / 256.0, 1.0 / 128.0, 1.0 / 64.0, 1.0 / 32.0, 1.0 / 16.0, 0.125, 0.25, 0.5, 1.0];

/// Examples with their labels: positive or not, a class, or a number.
#[derive(Clone, Copy, Debug)]
pub struct Examples<'a, L = bool> {
    /// Features, `[n, d]`.
    pub features: &'a Features,
    /// Labels, `[n]`.
    pub labels: &'a [L],
}

/// What the search chose.
#[derive(Clone, Debug, PartialEq)]
pub struct Chosen {
    /// Fitted on the training part alone.
    pub linear: Linear,
    /// The strength.
    pub c: f64,
    /// Accuracy on the validation part, a fraction.
    pub val_acc: f64,
}

/// Fits the training part with each of the [`STRENGTHS`] and keeps the fit that is best on the validation part; of
/// equals the one with the stronger penalty. The validation part is never trained on, as published: fitting once
/// more with the chosen strength, as the released code does, would give the same weights.
///
/// # Errors
/// As [`fit`].
pub fn choose_c(train: Examples, val: Examples, penalty: Penalty) -> Result<Chosen, LinearError> {
    let mut best: Option<Chosen> = None;
    let mut last: Option<Linear> = None;
    for c in STRENGTHS {
        let linear = fit(train.features, train.labels, &Config::new(penalty, c), last.as_ref())?;
        let val_acc = accuracy(&linear.scores(val.features), val.labels);
        if best.as_ref().is_none_or(|best| val_acc > best.val_acc) {
            best = Some(Chosen { linear: linear.clone(), c, val_acc });
        }
        last = Some(linear);
    }
    Ok(best.expect("there are nine strengths"))
}

/// Classifiers of one class against all others, `[classes]`; an example is of the class that scores highest. One
/// strength for all, the best on the validation part; of equals the stronger penalty.
///
/// # Errors
/// As [`fit`].
pub fn choose_c_of_classes(
    train: Examples<usize>,
    val: Examples<usize>,
    classes: usize,
    penalty: Penalty,
) -> Result<Vec<Linear>, LinearError> {
    let mut best: Option<(Vec<Linear>, f64)> = None;
    let mut last: Vec<Linear> = vec![Linear::zero(train.features.d()); classes];
    for c in STRENGTHS {
        let cfg = Config::new(penalty, c);
        for (class, linear) in last.iter_mut().enumerate() {
            let labels: Vec<bool> = train.labels.iter().map(|&label| label == class).collect();
            *linear = fit(train.features, &labels, &cfg, Some(linear))?;
        }
        let found = classify(&last, val.features);
        let right = found.iter().zip(val.labels).filter(|(found, label)| found == label).count();
        let val_acc = right as f64 / val.labels.len() as f64;
        if best.as_ref().is_none_or(|best| val_acc > best.1) {
            best = Some((last.clone(), val_acc));
        }
    }
    Ok(best.expect("there are nine strengths").0)
}

/// The class of each example, `[n]`: the one whose classifier of `linears: [classes]` scores highest.
pub fn classify(linears: &[Linear], features: &Features) -> Vec<usize> {
    let scores: Vec<Vec<f64>> = linears.iter().map(|linear| linear.scores(features)).collect();
    let best = |i: usize| (0..linears.len()).max_by(|&a, &b| scores[a][i].total_cmp(&scores[b][i]));
    (0..features.n()).map(|i| best(i).expect("there are classes")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strength_is_that_of_the_best_validation_accuracy_and_the_fit_never_sees_that_part() {
        // Twelve training examples, forty features of noise, one feature that tells.
        let noise = |i: usize, j: usize| ((i * 41 + j * j * 7 + 3) % 13) as f32 / 13.0 - 0.5;
        let make = |from: usize, n: usize| {
            let labels: Vec<bool> = (from..from + n).map(|i| i % 2 == 0).collect();
            let rows: Vec<f32> = (from..from + n)
                .flat_map(|i| {
                    (0..40).map(
                        move |j| if j == 7 { (i % 2) as f32 + noise(i, 40) } else { noise(i, j) },
                    )
                })
                .collect();
            (Features::dense(&rows, 40), labels)
        };
        let ((a, ya), (b, yb)) = (make(0, 12), make(12, 30));
        let (train, val) =
            (Examples { features: &a, labels: &ya }, Examples { features: &b, labels: &yb });
        let chosen = choose_c(train, val, Penalty::L2).unwrap();
        let mut accs = Vec::new();
        for c in STRENGTHS {
            let linear = fit(&a, &ya, &Config::new(Penalty::L2, c), None).unwrap();
            accs.push(accuracy(&linear.scores(&b), &yb));
            if c.to_bits() == chosen.c.to_bits() {
                let apart =
                    linear.weights.iter().zip(&chosen.linear.weights).map(|(x, y)| (x - y).abs());
                assert!(apart.fold(0.0, f64::max) < 1e-3);
            }
        }
        let highest = accs.iter().copied().fold(0.0, f64::max);
        let first = accs.iter().position(|&acc| acc >= highest).unwrap();
        assert!((chosen.c - STRENGTHS[first]).abs() < 1e-12, "{chosen:?}");
        assert!((chosen.val_acc - highest).abs() < 1e-12, "{chosen:?}");
    }

    #[test]
    fn each_of_three_classes_is_told_from_the_others() {
        // Feature `class` is high where the class is right; a fourth is noise.
        let noise = |i: usize, j: usize| ((i * 41 + j * 7 + 3) % 13) as f32 / 13.0;
        let class = |i: usize| (i * i + i / 2) % 3;
        let features = |from: usize, n: usize| {
            let row =
                |i: usize| (0..4).map(move |j| noise(i, j) + if j == class(i) { 1.5 } else { 0.0 });
            Features::dense(&(from..from + n).flat_map(row).collect::<Vec<f32>>(), 4)
        };
        let labels = |from: usize, n: usize| (from..from + n).map(class).collect::<Vec<_>>();
        let (a, b, ya, yb) = (features(0, 60), features(60, 60), labels(0, 60), labels(60, 60));
        let train = Examples { features: &a, labels: &ya };
        let val = Examples { features: &b, labels: &yb };
        for penalty in [Penalty::L1, Penalty::L2] {
            let linears = choose_c_of_classes(train, val, 3, penalty).unwrap();
            assert_eq!(classify(&linears, &b), yb, "{penalty:?}");
            // Two labels swapped are found wrong: the test can fail.
            assert_ne!(classify(&linears, &a), yb);
        }
    }
}
