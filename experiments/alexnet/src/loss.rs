//! What training lowers: the paper's softmax, or a logistic regression for each class.
//!
//! `N` pictures, scores `[N, classes]`, labels `[N]`.

use serde::{Deserialize, Serialize};
use tch::{Kind, Reduction, Tensor};

/// How scores become probabilities, and what they cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// −ln p of the right class, with the probabilities of a softmax over all classes (section 3.5).
    ///
    /// Source: `cost.logreg` behind a `softmax` layer in cuda-convnet.
    #[default]
    Softmax,
    /// The sum over the classes of −ln p, with p = σ(score) of the right class and p = 1 − σ(score) of each
    /// other one: as many questions of yes or no as there are classes.
    ///
    /// Source: `cost.bce` behind `logistic` units in cuda-convnet2, `LayerParams.md`, whose example has the
    /// biases of these units begin at −7, near ln(1/1000).
    Logistic,
}

impl Loss {
    /// Mean over the pictures, nats, of `scores` for `labels`; differentiable.
    pub fn of(self, scores: &Tensor, labels: &Tensor) -> Tensor {
        match self {
            Self::Softmax => scores.cross_entropy_for_logits(labels),
            Self::Logistic => {
                let none: Option<Tensor> = None;
                let (right, n) = (right(scores, labels), scores.size()[0]);
                let sum = Reduction::Sum;
                scores.binary_cross_entropy_with_logits(&right, none.as_ref(), none.as_ref(), sum)
                    / n as f64
            }
        }
    }

    /// Probabilities `[N, classes]` of `scores`, single precision. Those of [`Loss::Logistic`] do not add up to 1.
    pub fn probabilities(self, scores: &Tensor) -> Tensor {
        match self {
            Self::Softmax => scores.softmax(-1, Kind::Float),
            Self::Logistic => scores.to_kind(Kind::Float).sigmoid(),
        }
    }

    /// The loss summed over the pictures, nats, of probabilities `p: [N, classes]` for `labels`.
    pub fn of_probabilities(self, p: &Tensor, labels: &Tensor) -> f64 {
        let summed = match self {
            Self::Softmax => p.gather(1, &labels.unsqueeze(1), false).log(), // [N, 1]
            Self::Logistic => {
                // In single precision a probability near 1 is 1; ln of what is left to 1 is then taken to be −100, as
                // libtorch's own loss of probabilities takes it.
                let right = right(p, labels);
                let logarithm = |p: Tensor| p.log().clamp_min(-100.0);
                logarithm(p.shallow_clone()) * &right + logarithm(1.0 - p) * (1.0 - &right)
            }
        };
        -summed.sum(Kind::Double).double_value(&[])
    }

    /// The loss of the best guess that is the same for every picture, nats, with as many pictures of each class.
    pub fn of_guessing(self, classes: i64) -> f64 {
        let n = classes as f64;
        match self {
            Self::Softmax => n.ln(),
            Self::Logistic => n.ln() + (n - 1.0) * (n / (n - 1.0)).ln(),
        }
    }
}

/// 1 at the label's class and 0 elsewhere, `[N, classes]`, of the kind of `scores`.
fn right(scores: &Tensor, labels: &Tensor) -> Tensor {
    let classes = scores.size2().expect("scores are [N, classes]").1;
    labels.one_hot(classes).to_kind(scores.kind())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scores of three pictures among four classes, and labels.
    fn case() -> (Vec<Vec<f64>>, Vec<i64>) {
        let scores =
            vec![vec![0.3, -1.2, 2.0, 0.0], vec![-7.0, 4.0, 0.5, -0.1], vec![1.0, 1.0, -3.0, 6.0]];
        (scores, vec![2, 0, 3])
    }

    /// By the definition, in double precision.
    fn by_definition(loss: Loss, scores: &[Vec<f64>], labels: &[i64]) -> f64 {
        let sigma = |x: f64| 1.0 / (1.0 + (-x).exp());
        let of = |(scores, &label): (&Vec<f64>, &i64)| match loss {
            Loss::Softmax => {
                let sum: f64 = scores.iter().map(|x| x.exp()).sum();
                -(scores[label as usize].exp() / sum).ln()
            }
            Loss::Logistic => {
                let term = |(c, &x): (usize, &f64)| {
                    -if c as i64 == label { sigma(x) } else { 1.0 - sigma(x) }.ln()
                };
                scores.iter().enumerate().map(term).sum()
            }
        };
        scores.iter().zip(labels).map(of).sum::<f64>() / scores.len() as f64
    }

    fn tensor(scores: &[Vec<f64>]) -> Tensor {
        Tensor::from_slice(&scores.concat()).reshape([scores.len() as i64, -1])
    }

    #[test]
    fn both_losses_are_their_definitions_from_scores_and_from_probabilities() {
        let (scores, labels) = case();
        let (xs, ys) = (tensor(&scores), Tensor::from_slice(&labels));
        for loss in [Loss::Softmax, Loss::Logistic] {
            let wanted = by_definition(loss, &scores, &labels);
            let found = loss.of(&xs, &ys).double_value(&[]);
            // libtorch's softmax of labels is in single precision.
            assert!((found - wanted).abs() < 1e-6, "{loss:?}: {found}, wanted {wanted}");
            let found = loss.of_probabilities(&loss.probabilities(&xs), &ys) / 3.0;
            // Single precision, and a probability of 0.9991 leaves 0.0009 to 1 with an error of 1e-7.
            assert!((found - wanted).abs() < 1e-4, "{loss:?}: {found}, wanted {wanted}");
        }
    }

    #[test]
    fn gradients_are_the_finite_differences_of_the_definition() {
        let (scores, labels) = case();
        let ys = Tensor::from_slice(&labels);
        for loss in [Loss::Softmax, Loss::Logistic] {
            let xs = tensor(&scores).set_requires_grad(true);
            loss.of(&xs, &ys).backward();
            for (i, j) in (0..3).flat_map(|i| (0..4).map(move |j| (i, j))) {
                let moved = |by: f64| {
                    let mut scores = scores.clone();
                    scores[i][j] += by;
                    by_definition(loss, &scores, &labels)
                };
                let wanted = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                let found = xs.grad().double_value(&[i as i64, j as i64]);
                assert!((found - wanted).abs() < 1e-6, "{loss:?}: {found}, wanted {wanted}");
            }
        }
    }

    #[test]
    fn the_logistic_loss_begins_at_7_911_where_a_thousand_biases_are_minus_7() {
        let scores = Tensor::full([5, 1000], -7.0, (Kind::Double, tch::Device::Cpu));
        let labels = Tensor::from_slice(&[0_i64, 1, 500, 998, 999]);
        let wanted = (1.0 + 7_f64.exp()).ln() + 999.0 * (1.0 + (-7_f64).exp()).ln();
        assert!((wanted - 7.911).abs() < 5e-4, "{wanted}");
        let found = Loss::Logistic.of(&scores, &labels).double_value(&[]);
        assert!((found - wanted).abs() < 1e-9, "{found}, wanted {wanted}");
        let found = Loss::Softmax.of(&scores, &labels).double_value(&[]);
        assert!(
            (found - 1000_f64.ln()).abs() < 1e-6,
            "a softmax does not see a common bias: {found}"
        );
    }

    #[test]
    fn guessing_is_the_lowest_loss_that_scores_without_a_picture_reach() {
        let labels = Tensor::arange(10, (Kind::Int64, tch::Device::Cpu));
        for loss in [Loss::Softmax, Loss::Logistic] {
            let of = |score: f64| {
                let scores = Tensor::full([10, 10], score, (Kind::Double, tch::Device::Cpu));
                loss.of(&scores, &labels).double_value(&[])
            };
            // σ(−ln 9) = 1/10.
            let best = of(-(9_f64.ln()));
            assert!((loss.of_guessing(10) - best).abs() < 1e-6, "{loss:?}: {best}");
            assert!(best <= of(-2.0) + 1e-6 && best <= of(-2.4) + 1e-6, "{loss:?}");
        }
    }

    #[test]
    fn a_sure_and_wrong_picture_costs_a_lot_and_not_everything() {
        let p = Tensor::from_slice2(&[[1.0_f32, 0.0]]);
        let found = Loss::Logistic.of_probabilities(&p, &Tensor::from_slice(&[1_i64]));
        assert!((found - 200.0).abs() < 1e-3, "{found}");
    }
}
