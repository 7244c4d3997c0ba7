//! Ridge regression: `½‖Xw + b − y‖² + ½λ‖w‖²`, in closed form.

use tch::{Kind, Tensor};

use super::features::Features;
use super::logistic::Linear;
use super::metrics::pearson;
use super::search::Examples;

/// 2⁻⁴ to 2¹², in steps of 4.
const PENALTIES: [f64; 9] = [1.0 / 16.0, 0.25, 1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0];

/// Fits `targets: [n]` by `features: [n, d]`; the intercept is not penalised.
pub fn fit(features: &Features, targets: &[f64], penalty: f64) -> Linear {
    let (gram, moment, means, mean) = moments(features, targets);
    solve(&gram, &moment, &means, mean, penalty)
}

/// Fits the training part with each of a list of penalties and keeps the fit whose predictions correlate most with the
/// targets of the validation part.
pub fn choose_penalty(train: Examples<'_, f64>, val: Examples<'_, f64>) -> (Linear, f64) {
    let (gram, moment, means, mean) = moments(train.features, train.labels);
    let fits = PENALTIES.map(|penalty| {
        let linear = solve(&gram, &moment, &means, mean, penalty);
        let r = pearson(&linear.scores(val.features), val.labels);
        (linear, r)
    });
    let best = fits.into_iter().max_by(|a, b| a.1.total_cmp(&b.1));
    best.expect("there are nine penalties")
}

/// `XᵀX: [d, d]` and `Xᵀy: [d, 1]` of centred features and targets, and what they were centred by.
fn moments(features: &Features, targets: &[f64]) -> (Tensor, Tensor, Vec<f64>, f64) {
    let (n, d) = (features.n() as f64, features.d() as i64);
    let mean = targets.iter().sum::<f64>() / n;
    let mut means = Vec::with_capacity(features.d());
    let mut rows = Vec::with_capacity(features.d() * features.n()); // [d, n]
    for j in 0..features.d() {
        let column: Vec<f64> = features.column(j).into_iter().map(f64::from).collect();
        let mean = column.iter().sum::<f64>() / n;
        rows.extend(column.into_iter().map(|x| x - mean));
        means.push(mean);
    }
    let rows = Tensor::from_slice(&rows).view([d, -1]);
    let ys: Vec<f64> = targets.iter().map(|y| y - mean).collect();
    let moment = rows.matmul(&Tensor::from_slice(&ys).unsqueeze(1)); // [d, 1]
    (rows.matmul(&rows.tr()), moment, means, mean)
}

fn solve(gram: &Tensor, moment: &Tensor, means: &[f64], mean: f64, penalty: f64) -> Linear {
    let eye = Tensor::eye(gram.size()[0], (Kind::Double, gram.device()));
    let factor = (gram + eye * penalty).linalg_cholesky(false);
    let weights = moment.cholesky_solve(&factor, false).flatten(0, -1); // [d]
    let weights = Vec::<f64>::try_from(weights).expect("a flat tensor of doubles is a vector");
    let shift: f64 = weights.iter().zip(means).map(|(w, m)| w * m).sum();
    Linear { weights, intercept: mean - shift }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> (Features, Vec<f64>) {
        let noise = |i: usize, j: usize| ((i * 37 + j * j * 11 + 5) % 29) as f32 / 29.0;
        let rows: Vec<f32> = (0..60).flat_map(|i| (0..4).map(move |j| noise(i, j))).collect();
        let ys = (0..60).map(|i| f64::from(noise(i, 1) * 3.0 - noise(i, 2)) + 7.0);
        let ys = ys.enumerate().map(|(i, y)| y + f64::from(noise(i, 9)) * 0.2).collect();
        (Features::dense(&rows, 4), ys)
    }

    #[test]
    fn the_derivatives_of_the_objective_are_zero_at_the_fit() {
        let (features, ys) = example();
        for penalty in [0.1, 10.0] {
            let linear = fit(&features, &ys, penalty);
            let scores = linear.scores(&features);
            let residuals: Vec<f64> = scores.iter().zip(&ys).map(|(score, y)| score - y).collect();
            assert!(residuals.iter().sum::<f64>().abs() < 1e-9);
            for (j, w) in linear.weights.iter().enumerate() {
                let slope: f64 =
                    features.column(j).iter().zip(&residuals).map(|(&x, r)| f64::from(x) * r).sum();
                assert!((slope + penalty * w).abs() < 1e-9, "weight {j}, penalty {penalty}");
            }
        }
    }

    #[test]
    fn the_penalty_is_the_one_that_does_best_on_the_validation_part() {
        let (features, ys) = example();
        let (train, val): (Vec<usize>, Vec<usize>) = ((0..30).collect(), (30..60).collect());
        let part = |indices: &[usize]| -> (Features, Vec<f64>) {
            (features.select(indices), indices.iter().map(|&i| ys[i]).collect())
        };
        let ((a, ya), (b, yb)) = (part(&train), part(&val));
        let train = Examples { features: &a, labels: &ya };
        let (_, r) = choose_penalty(train, Examples { features: &b, labels: &yb });
        for penalty in PENALTIES {
            let other = pearson(&fit(&a, &ya, penalty).scores(&b), &yb);
            assert!(other <= r + 1e-12, "penalty {penalty}: {other} above {r}");
        }
        assert!(r > 0.95, "{r}");
    }
}
