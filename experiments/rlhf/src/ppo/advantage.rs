//! Whitening and advantages.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// Which variance whitening divides by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Variance {
    /// Over `n`: `tf.nn.moments`, and so the released code.
    Biased,
    /// Over `n − 1`: `torch.var`.
    Unbiased,
}

/// Added to the variance before its root is taken.
///
/// Source: openai/lm-human-preferences, `lm_human_preferences/utils/core.py`, `whiten`.
const EPSILON: f64 = 1e-8;

/// Mean of `xs` where `mask` is 1; both of one shape.
pub fn masked_mean(xs: &Tensor, mask: &Tensor) -> Tensor {
    let mask = mask.to_kind(xs.kind());
    (xs * &mask).sum(None) / mask.sum(None)
}

/// `xs` scaled to variance 1 and, unless `keep_mean`, moved to mean 0. With a mask of the same shape both are taken
/// where it is 1.
///
/// Source: openai/lm-human-preferences, `utils/core.py`, `whiten`; masked: `vwxyzjn/summarize_from_feedback_details`.
pub fn whiten(xs: &Tensor, mask: Option<&Tensor>, keep_mean: bool, variance: Variance) -> Tensor {
    let ones = xs.ones_like();
    let mask = mask.map_or(ones, |mask| mask.to_kind(xs.kind()));
    let mean = masked_mean(xs, &mask);
    let n = mask.sum(None);
    let squares = ((xs - &mean).square() * &mask).sum(None);
    let variance = squares
        / match variance {
            Variance::Biased => n,
            Variance::Unbiased => n - 1.0,
        };
    let white = (xs - &mean) * (variance + EPSILON).rsqrt();
    if keep_mean { white + mean } else { white }
}

/// Generalised advantages of rewards and values `[B, R]`, and the returns that values are trained towards, which are
/// both together: `A_t = δ_t + γλ·A_{t+1}`, `δ_t = r_t + γ·v_{t+1} − v_t`, nothing after the last token.
///
/// Source: Schulman et al. 2016, equation 16; openai/lm-human-preferences, `train_policy.py`, `compute_losses`.
pub fn advantages(rewards: &Tensor, values: &Tensor, gamma: f64, lambda: f64) -> (Tensor, Tensor) {
    let r = rewards.unbind(1); // R × [B]
    let v = values.unbind(1);
    let mut backwards: Vec<Tensor> = Vec::with_capacity(r.len());
    for t in (0..r.len()).rev() {
        let next = v.get(t + 1).map_or_else(|| v[t].zeros_like(), Tensor::shallow_clone);
        let delta = &r[t] + next * gamma - &v[t];
        let advantage = match backwards.last() {
            Some(after) => delta + after * (gamma * lambda),
            None => delta,
        };
        backwards.push(advantage);
    }
    backwards.reverse();
    let advantages = Tensor::stack(&backwards, 1); // [B, R]
    let returns = &advantages + values;
    (advantages, returns)
}

/// Mean and biased variance of all of `xs`.
pub fn moments(xs: &Tensor) -> (f64, f64) {
    let xs = xs.to_kind(Kind::Double);
    let mean = xs.mean(Kind::Double);
    let variance = (&xs - &mean).square().mean(Kind::Double);
    (mean.double_value(&[]), variance.double_value(&[]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(xs: &Tensor) -> Vec<Vec<f64>> {
        Vec::<Vec<f64>>::try_from(xs.to_kind(Kind::Double)).unwrap()
    }

    fn near(found: &Tensor, wanted: &[&[f64]], within: f64) {
        for (found, wanted) in rows(found).iter().zip(wanted) {
            for (a, b) in found.iter().zip(*wanted) {
                assert!((a - b).abs() < within, "found {found:?}\nwanted {wanted:?}");
            }
        }
    }

    fn matrix(rows: &[&[f64]]) -> Tensor {
        let flat = rows.concat();
        Tensor::from_slice(&flat).view([rows.len() as i64, rows[0].len() as i64])
    }

    #[test]
    fn whitening_gives_the_golden_numbers_with_either_variance() {
        let xs = matrix(&[&[1.2, 1.3, 1.4], &[1.5, 1.6, 1.7], &[1.8, 1.9, 2.0]]);
        let biased: [&[f64]; 3] =
            [&[0.0508, 0.4381, 0.8254], &[1.2127, 1.6, 1.9873], &[2.3746, 2.7619, 3.1492]];
        let unbiased: [&[f64]; 3] =
            [&[0.1394, 0.5046, 0.8697], &[1.2349, 1.6, 1.9651], &[2.3303, 2.6954, 3.0606]];
        near(&whiten(&xs, None, true, Variance::Biased), &biased, 5e-5);
        near(&whiten(&xs, None, true, Variance::Unbiased), &unbiased, 5e-5);
        let (mean, variance) = moments(&whiten(&xs, None, false, Variance::Biased));
        assert!(mean.abs() < 1e-12 && (variance - 1.0).abs() < 1e-6, "{mean} {variance}");
    }

    #[test]
    fn what_is_masked_changes_neither_means_nor_whitening() {
        let xs = matrix(&[&[1.0, 2.0, 900.0], &[3.0, -50.0, 6.0]]);
        let mask = matrix(&[&[1.0, 1.0, 0.0], &[1.0, 0.0, 1.0]]);
        assert!((masked_mean(&xs, &mask).double_value(&[]) - 3.0).abs() < 1e-12);
        let there = Tensor::from_slice(&[1.0, 2.0, 3.0, 6.0]);
        let wanted = Vec::<f64>::try_from(whiten(&there, None, false, Variance::Biased)).unwrap();
        let found = rows(&whiten(&xs, Some(&mask), false, Variance::Biased));
        let found = [found[0][0], found[0][1], found[1][0], found[1][2]];
        for (a, b) in found.iter().zip(wanted) {
            assert!((a - b).abs() < 1e-12, "{found:?}");
        }
    }

    #[test]
    fn advantages_and_returns_are_the_golden_ones() {
        let (a, returns) =
            advantages(&matrix(&[&[0.0, 0.0, 1.0]]), &matrix(&[&[0.5, 0.6, 0.7]]), 1.0, 0.95);
        near(&a, &[&[0.465_75, 0.385, 0.3]], 1e-12);
        near(&returns, &[&[0.965_75, 0.985, 1.0]], 1e-12);
        let (a, _) =
            advantages(&matrix(&[&[-0.1, 0.2, 1.0]]), &matrix(&[&[0.0, 0.0, 0.0]]), 1.0, 0.95);
        near(&a, &[&[0.9925, 1.15, 1.0]], 1e-12);
    }

    #[test]
    fn without_discounts_an_advantage_is_all_that_follows_less_the_value() {
        let r = matrix(&[&[0.3, -1.0, 0.5, 2.0], &[1.0, 1.0, -4.0, 0.25]]);
        let v = matrix(&[&[0.1, 0.2, 0.3, 0.4], &[-1.0, 0.0, 1.0, 2.0]]);
        let (a, returns) = advantages(&r, &v, 1.0, 1.0);
        let sums = r.flip([1]).cumsum(1, Kind::Double).flip([1]);
        assert!((&returns - &sums).abs().max().double_value(&[]) < 1e-12);
        assert!((a - (sums - v)).abs().max().double_value(&[]) < 1e-12);
    }
}
