//! The learning rate of the photographs' nets: divided at fixed shares of the training, or, as the paper
//! did by hand, "when the validation error rate stopped improving with the current learning rate" (section 5).

use serde::{Deserialize, Serialize};

/// When the learning rate is divided, and by what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Schedule {
    /// At these shares of the training, 0 to 1.
    Steps {
        /// The shares, rising.
        at: Vec<f64>,
        /// What the rate is divided by at each.
        divisor: f64,
    },
    /// When the error on held-out pictures has not improved for a while. After the last reduction the same
    /// wait ends the training.
    Plateau {
        /// Evaluations without a smaller error that are waited for.
        patience: u32,
        /// How often the rate is divided; 3 in the paper.
        reductions: u32,
        /// What the rate is divided by; 10 in the paper.
        divisor: f64,
    },
}

/// What [`Schedule::Plateau`] remembers.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Plateau {
    /// The smallest error so far; none before the first evaluation.
    best: Option<f64>,
    /// Evaluations since then, or since the last reduction.
    waited: u32,
    /// Reductions made.
    reduced: u32,
    /// Whether the last wait is over.
    over: bool,
}

impl Schedule {
    /// The rate for the update after `step` of `steps` updates, out of the first rate `lr`.
    pub fn rate(&self, lr: f64, step: u64, steps: u64, plateau: &Plateau) -> f64 {
        match self {
            Self::Steps { at, divisor } => {
                let passed =
                    at.iter().filter(|&&share| step as f64 >= share * steps as f64).count();
                lr / divisor.powi(passed as i32)
            }
            Self::Plateau { divisor, .. } => lr / divisor.powi(plateau.reduced as i32),
        }
    }

    /// Takes note of the `error` of an evaluation; returns whether the training is over by it.
    pub fn evaluated(&self, error: f64, plateau: &mut Plateau) -> bool {
        let Self::Plateau { patience, reductions, .. } = *self else { return false };
        if plateau.best.is_none_or(|best| error < best) {
            (plateau.best, plateau.waited) = (Some(error), 0);
            return false;
        }
        plateau.waited += 1;
        if plateau.waited < patience {
            return false;
        }
        plateau.waited = 0;
        if plateau.reduced < reductions {
            plateau.reduced += 1;
        } else {
            plateau.over = true;
        }
        plateau.over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAPER: Schedule = Schedule::Plateau { patience: 2, reductions: 3, divisor: 10.0 };

    fn near(found: f64, wanted: f64) {
        assert!((found / wanted - 1.0).abs() < 1e-12, "found {found}, wanted {wanted}");
    }

    #[test]
    fn the_rate_falls_by_ten_three_times_and_then_training_ends() {
        let mut plateau = Plateau::default();
        let mut seen = Vec::new();
        // Improves twice, then never again: two evaluations for each of three reductions and the end.
        for error in [0.9, 0.8, 0.8, 0.85, 0.81, 0.8, 0.8, 0.8, 0.8, 0.8] {
            let over = PAPER.evaluated(error, &mut plateau);
            seen.push((PAPER.rate(0.01, 0, 1, &plateau), over));
        }
        let wanted =
            [1e-2, 1e-2, 1e-2, 1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-5, 1e-5].into_iter().enumerate();
        for (i, rate) in wanted {
            near(seen[i].0, rate);
            assert_eq!(seen[i].1, i == 9, "evaluation {i}");
        }
    }

    #[test]
    fn every_improvement_starts_the_wait_anew() {
        let mut plateau = Plateau::default();
        for i in 0..50 {
            // Each second evaluation is the best so far.
            let error = if i % 2 == 0 { 0.9 - 0.01 * f64::from(i) } else { 1.0 };
            assert!(!PAPER.evaluated(error, &mut plateau));
        }
        near(PAPER.rate(0.01, 0, 1, &plateau), 0.01);
    }

    #[test]
    fn a_plateau_goes_on_where_its_saved_state_stood() {
        let errors = [0.9, 0.9, 0.9, 0.5, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6];
        let mut whole = Plateau::default();
        for error in errors {
            PAPER.evaluated(error, &mut whole);
        }
        let mut broken = Plateau::default();
        for error in errors {
            let saved = serde_json::to_string(&broken).unwrap();
            broken = serde_json::from_str(&saved).unwrap();
            PAPER.evaluated(error, &mut broken);
        }
        assert_eq!(broken, whole);
    }

    #[test]
    fn steps_divide_from_their_share_on() {
        let steps = Schedule::Steps { at: vec![0.5, 0.75], divisor: 10.0 };
        let mut none = Plateau::default();
        for (step, rate) in [(0, 1.0), (49, 1.0), (50, 0.1), (74, 0.1), (75, 0.01), (99, 0.01)] {
            near(steps.rate(1.0, step, 100, &none), rate);
        }
        assert!(!steps.evaluated(0.5, &mut none));
    }
}
