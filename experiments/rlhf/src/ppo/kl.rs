//! How far the policy has gone from the reference, and what that costs.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// The coefficient β of the penalty for going away from the reference.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KlConfig {
    /// β at the start. Published: 0.15 for the style tasks, 0.03 for TL;DR (Ziegler et al.), 0.05 (Stiennon et al.),
    /// 0.02 (Ouyang et al.), 0.001 (Bai et al.), 0 (Gao et al.).
    pub coefficient: f64,
    /// Adapts β to hold the divergence; without it β stays.
    pub adaptive: Option<Adaptive>,
    /// A mean divergence, in nats per response, at which the run stops: the policy has run away.
    pub stop: f64,
}

/// What an adaptive β aims at.
///
/// Source: Ziegler et al. 2019, section 2.2; openai/lm-human-preferences, `train_policy.py`, `AdaptiveKLController`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adaptive {
    /// Nats per response; published: 6.
    pub target: f64,
    /// Episodes over which β changes; published: 10,000.
    pub horizon: f64,
}

impl KlConfig {
    /// β after a batch of `episodes` that was, on the mean, `kl` nats per response away.
    pub fn next(&self, beta: f64, kl: f64, episodes: f64) -> f64 {
        match self.adaptive {
            None => beta,
            Some(Adaptive { target, horizon }) => {
                let error = (kl / target - 1.0).clamp(-0.2, 0.2);
                beta * (1.0 + error * episodes / horizon)
            }
        }
    }
}

/// The divergence of each response `[B]` in nats, estimated from log-probabilities `[B, R]` of its own tokens: the sum
/// over tokens of `log π − log ρ`. Without bias; single responses may be below 0.
pub fn kl_per_response(policy: &Tensor, reference: &Tensor) -> Tensor {
    (policy - reference).sum_dim_intlist(1, false, Kind::Float)
}

/// The same by the estimator that is never below 0, `x − 1 − log x` with `x = ρ/π`.
///
/// Source: J. Schulman, Approximating KL divergence, 2020: "k3".
pub fn kl3_per_response(policy: &Tensor, reference: &Tensor) -> Tensor {
    let log_x = reference - policy;
    (log_x.exp() - 1.0 - log_x).sum_dim_intlist(1, false, Kind::Float)
}

/// Rewards `[B, R]`: `−β·(log π − log ρ)` for each token and, on the last token, the response's score `[B]`.
///
/// Source: openai/lm-human-preferences, `train_policy.py`, `compute_rewards`: the score stands at the end of the
/// fixed length, also where the text was cut before.
pub fn rewards(policy: &Tensor, reference: &Tensor, scores: &Tensor, beta: f64) -> Tensor {
    let penalty = (policy - reference) * -beta; // [B, R]
    let last = penalty.size()[1] - 1;
    let ending = penalty.narrow(1, last, 1) + scores.unsqueeze(1); // [B, 1]
    Tensor::cat(&[penalty.narrow(1, 0, last), ending], 1)
}

/// The divergence of best-of-`n` sampling from sampling once, in nats: `ln n − (n − 1)/n`.
///
/// Source: Stiennon et al. 2020, appendix G.3.
pub fn kl_best_of(n: f64) -> f64 {
    n.ln() - (n - 1.0) / n
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_adaptive_coefficient_is_the_golden_one() {
        let adaptive = Some(Adaptive { target: 6.0, horizon: 10_000.0 });
        let config = KlConfig { coefficient: 0.15, adaptive, stop: 100.0 };
        let wanted = [
            (0.0, 0.148_464),
            (3.0, 0.148_464),
            (6.0, 0.15),
            (6.6, 0.150_768),
            (7.2, 0.151_536),
            (50.0, 0.151_536),
        ];
        for (kl, beta) in wanted {
            let found = config.next(0.15, kl, 512.0);
            assert!((found - beta).abs() < 1e-9, "{kl}: {found}, wanted {beta}");
        }
        let fixed = KlConfig { adaptive: None, ..config };
        assert!((fixed.next(0.15, 50.0, 512.0) - 0.15).abs() < 1e-12);
    }

    #[test]
    fn best_of_n_has_the_golden_divergences() {
        let wanted = [
            (1.0, 0.0),
            (2.0, 0.193_147),
            (4.0, 0.636_294),
            (8.0, 1.204_442),
            (16.0, 1.835_089),
            (64.0, 3.174_508),
            (256.0, 4.549_084),
            (1000.0, 5.908_755),
        ];
        for (n, kl) in wanted {
            assert!((kl_best_of(n) - kl).abs() < 1e-6, "{n}: {}", kl_best_of(n));
        }
    }

    #[test]
    fn rewards_are_the_penalty_of_each_token_and_the_score_on_the_last() {
        let policy = Tensor::from_slice(&[-1.0_f32, -2.0, -3.0, -1.0, -1.0, -1.0]).view([2, 3]);
        let reference = Tensor::from_slice(&[-1.5_f32, -1.0, -3.0, -1.0, -2.0, -1.5]).view([2, 3]);
        let found = rewards(&policy, &reference, &Tensor::from_slice(&[7.0_f32, -1.0]), 0.1);
        let wanted = Tensor::from_slice(&[-0.05_f32, 0.1, 7.0, 0.0, -0.1, -1.05]).view([2, 3]);
        assert!((found - wanted).abs().max().double_value(&[]) < 1e-6);
        assert_eq!(kl_per_response(&policy, &reference), Tensor::from_slice(&[-0.5_f32, 1.5]));
    }

    #[test]
    fn both_estimators_have_the_divergence_as_their_mean() {
        // Responses of one token out of four.
        tch::manual_seed(5);
        let pi = Tensor::from_slice(&[0.1_f32, 0.2, 0.3, 0.4]);
        let rho = Tensor::from_slice(&[0.4_f32, 0.3, 0.2, 0.1]);
        let exact = (&pi * (&pi / &rho).log()).sum(Kind::Float).double_value(&[]);
        let draws = pi.multinomial(200_000, true).view([-1, 1]); // [B, 1]
        let [p, r] = [&pi, &rho].map(|x| x.log().unsqueeze(0).expand([200_000, 4], false));
        let (p, r) = (p.gather(1, &draws, false), r.gather(1, &draws, false));
        let k3 = kl3_per_response(&p, &r);
        assert!(k3.min().double_value(&[]) >= 0.0);
        for mean in [kl_per_response(&p, &r).mean(Kind::Float), k3.mean(Kind::Float)] {
            // A standard deviation of 1 over 200,000 draws.
            assert!((mean.double_value(&[]) - exact).abs() < 0.01, "{mean:?}, wanted {exact}");
        }
    }
}
