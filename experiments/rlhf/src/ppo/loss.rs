//! The clipped losses of policy and value, and what is logged of them.

use tch::{Kind, Tensor};

/// What a loss says of one minibatch; everything but the loss itself is for the log.
#[derive(Debug)]
pub struct Loss {
    /// A scalar to go down.
    pub loss: Tensor,
    /// Share of the tokens whose clipped term counts.
    pub clipfrac: Tensor,
}

/// `mean max(−A·ratio, −A·clip(ratio, 1 ± clip))` over tokens `[B, R]`, where `ratio = π/π_old`.
///
/// Source: Schulman et al. 2017, equation 7; openai/lm-human-preferences, `train_policy.py`, `compute_losses`.
pub fn policy_loss(new: &Tensor, old: &Tensor, advantages: &Tensor, clip: f64) -> Loss {
    let ratio = ratio(new, old);
    let plain = -(advantages * &ratio);
    let clipped = -(advantages * ratio.clamp(1.0 - clip, 1.0 + clip));
    Loss {
        loss: plain.maximum(&clipped).mean(Kind::Float),
        clipfrac: clipped.gt_tensor(&plain).to_kind(Kind::Float).mean(Kind::Float),
    }
}

/// `½ · mean max((v − R)², (v_clipped − R)²)`, where `v_clipped` is at most `clip` away from the value at the rollout.
///
/// Source: openai/lm-human-preferences, `train_policy.py`, `compute_losses`.
pub fn value_loss(new: &Tensor, old: &Tensor, returns: &Tensor, clip: f64) -> Loss {
    let near = old + (new - old).clamp(-clip, clip);
    let (plain, clipped) = ((new - returns).square(), (near - returns).square());
    Loss {
        loss: plain.maximum(&clipped).mean(Kind::Float) * 0.5,
        clipfrac: clipped.gt_tensor(&plain).to_kind(Kind::Float).mean(Kind::Float),
    }
}

/// `π/π_old` of each token.
pub fn ratio(new: &Tensor, old: &Tensor) -> Tensor {
    (new - old).exp()
}

/// `½ · mean (log π − log π_old)²`: how far an update has moved the policy.
///
/// Source: openai/lm-human-preferences, `train_policy.py`: `approxkl`.
pub fn approxkl(new: &Tensor, old: &Tensor) -> Tensor {
    (new - old).square().mean(Kind::Float) * 0.5
}

/// The share of the returns' variance that values explain.
pub fn explained_variance(values: &Tensor, returns: &Tensor) -> Tensor {
    let biased = |xs: &Tensor| (xs - xs.mean(Kind::Float)).square().mean(Kind::Float);
    -(biased(&(returns - values)) / (biased(returns) + 1e-8)) + 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(xs: &[f32]) -> Tensor {
        Tensor::from_slice(xs).view([1, -1])
    }

    #[test]
    fn clipping_stops_what_goes_too_far_in_the_wanted_direction_only() {
        // ratio 1.5 and 0.5 with advantages of both signs.
        let (new, old) = (of(&[1.5, 1.5, 0.5, 0.5]).log(), of(&[1.0; 4]).log());
        let new = new.set_requires_grad(true);
        let Loss { loss, clipfrac } = policy_loss(&new, &old, &of(&[1.0, -1.0, 1.0, -1.0]), 0.2);
        // −1.2 (clipped), 1.5, −0.5, 0.8 (clipped)
        assert!((loss.double_value(&[]) - (-1.2 + 1.5 - 0.5 + 0.8) / 4.0).abs() < 1e-6);
        assert!((clipfrac.double_value(&[]) - 0.5).abs() < 1e-6);
        loss.backward();
        let grad = Vec::<f32>::try_from(new.grad().view([-1])).unwrap();
        assert!(grad[0] == 0.0 && grad[3] == 0.0, "{grad:?}");
        assert!((grad[1] - 0.375).abs() < 1e-6 && (grad[2] + 0.125).abs() < 1e-6, "{grad:?}");
    }

    #[test]
    fn values_are_held_near_what_they_were() {
        let Loss { loss, clipfrac } =
            value_loss(&of(&[1.0, 0.1]), &of(&[0.0, 0.0]), &of(&[1.0, 1.0]), 0.2);
        // (0.2 − 1)² counts for the first, (0.1 − 1)² for the second.
        assert!((loss.double_value(&[]) - 0.5 * f64::midpoint(0.64, 0.81)).abs() < 1e-6);
        assert!((clipfrac.double_value(&[]) - 0.5).abs() < 1e-6);
    }

    #[test]
    fn an_unmoved_policy_has_ratio_one_and_no_divergence() {
        let log_probs = of(&[-0.3, -7.25, -1.0]);
        assert_eq!(ratio(&log_probs, &log_probs), log_probs.ones_like());
        assert!(approxkl(&log_probs, &log_probs).double_value(&[]) == 0.0);
    }

    #[test]
    fn perfect_values_explain_everything_and_constant_ones_nothing() {
        let returns = of(&[1.0, 2.0, 4.0]);
        assert!((explained_variance(&returns, &returns).double_value(&[]) - 1.0).abs() < 1e-6);
        let constant = of(&[5.0; 3]);
        assert!(explained_variance(&constant, &returns).double_value(&[]).abs() < 1e-6);
    }
}
