//! A divergence from the reference that runs away.

use super::Config;

/// A policy that has left the reference too far behind.
#[derive(Debug, thiserror::Error)]
#[error(
    "step {step}: the divergence from the reference has run away: {kl:.1} nats per response, at most {stop} are allowed \
     (ppo.kl.stop). β is {beta:.4}, the score {score:.2} (first: {first_score:.2}), entropy {entropy:.2} nats a token. \
     {reading} The last good checkpoint is that of step {saved}: go on from it with a higher ppo.kl.coefficient or a \
     lower ppo.lr"
)]
pub struct Runaway {
    step: u64,
    kl: f64,
    stop: f64,
    beta: f64,
    score: f64,
    first_score: f64,
    entropy: f64,
    reading: &'static str,
    saved: u64,
}

impl Runaway {
    /// What a step says that went too far: its divergence, score and entropy of a token.
    pub(super) fn new(
        step: u64,
        cfg: &Config,
        beta: f64,
        [kl, score, entropy]: [f64; 3],
        first_score: f64,
        saved: u64,
    ) -> Self {
        let reading = if entropy < 0.5 {
            "The policy has collapsed to a few texts: it says nearly the same always."
        } else if score > first_score {
            "The score went up with it: the policy has found texts that the reward likes too much and the penalty is \
             too small to hold it."
        } else {
            "The score did not go up: the updates are too large."
        };
        let stop = cfg.kl.stop;
        Self { step, kl, stop, beta, score, first_score, entropy, reading, saved }
    }
}
