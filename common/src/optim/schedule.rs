//! Learning-rate schedules: pure functions of the step.
//!
//! `step` counts updates made so far, so the first update is at `step` 0 and the last at
//! `steps` − 1; `lr` is the highest rate.

use std::f64::consts::PI;

/// The share of `lr` during a linear warm-up from 0, and 1 from step `warmup` on.
fn warmup_factor(step: u64, warmup: u64) -> f64 {
    if step < warmup { step as f64 / warmup as f64 } else { 1.0 }
}

/// How much of `from..to` has passed at `step`, 0 to 1.
fn progress(step: u64, from: u64, to: u64) -> f64 {
    (step.saturating_sub(from) as f64 / to.saturating_sub(from).max(1) as f64).min(1.0)
}

/// Linear from 0 over `warmup` steps, then constant.
pub fn warmup_constant(step: u64, warmup: u64, lr: f64) -> f64 {
    lr * warmup_factor(step, warmup)
}

/// Linear from 0 over `warmup` steps, then half a cosine from `lr` down to 0 at `steps`.
///
/// Source: Radford et al. 2018, section 4.1.
pub fn warmup_cosine(step: u64, warmup: u64, steps: u64, lr: f64) -> f64 {
    let falling = 0.5 * (1.0 + (PI * progress(step, warmup, steps)).cos());
    lr * if step < warmup { warmup_factor(step, warmup) } else { falling }
}

/// As [`warmup_cosine`], but the cosine starts at step 0, so that the rate jumps from `lr` a little
/// down at the end of warm-up.
///
/// Source: openai/finetune-transformer-lm, `opt.py`, `warmup_cosine`.
pub fn warmup_cosine_from_start(step: u64, warmup: u64, steps: u64, lr: f64) -> f64 {
    let falling = 0.5 * (1.0 + (PI * progress(step, 0, steps)).cos());
    lr * if step < warmup { warmup_factor(step, warmup) } else { falling }
}

/// A line from `lr` at step 0 to 0 at `steps`, times a linear warm-up from 0.
///
/// Source: openai/finetune-transformer-lm, `opt.py`, `warmup_linear`; without warm-up,
/// openai/lm-human-preferences.
pub fn warmup_linear(step: u64, warmup: u64, steps: u64, lr: f64) -> f64 {
    lr * warmup_factor(step, warmup) * (1.0 - progress(step, 0, steps))
}

/// `lr`, divided by `divisor` once for each of `milestones` that `step` has reached.
pub fn divided_at(step: u64, milestones: &[u64], divisor: f64, lr: f64) -> f64 {
    let reached = milestones.iter().filter(|&&milestone| step >= milestone).count();
    lr / divisor.powi(reached as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: f64, wanted: f64) {
        assert!((found - wanted).abs() < 1e-12, "found {found}, wanted {wanted}");
    }

    #[test]
    fn every_warm_up_starts_at_zero_and_is_half_way_up_in_the_middle() {
        for schedule in [warmup_cosine, warmup_cosine_from_start] {
            near(schedule(0, 100, 1000, 3.0), 0.0);
            near(schedule(50, 100, 1000, 3.0), 1.5);
        }
        near(warmup_linear(0, 100, 1000, 3.0), 0.0);
        near(warmup_linear(50, 100, 1000, 3.0), 1.5 * 0.95);
        near(warmup_constant(0, 100, 3.0), 0.0);
        near(warmup_constant(50, 100, 3.0), 1.5);
    }

    #[test]
    fn the_highest_rate_is_reached_at_the_end_of_warm_up() {
        near(warmup_constant(100, 100, 3.0), 3.0);
        near(warmup_constant(10_000, 100, 3.0), 3.0);
        near(warmup_cosine(100, 100, 1000, 3.0), 3.0);
        near(warmup_linear(100, 100, 1000, 3.0), 3.0 * 0.9);
        near(warmup_cosine_from_start(100, 100, 1000, 3.0), 1.5 * (1.0 + (0.1 * PI).cos()));
    }

    #[test]
    fn without_warm_up_the_first_step_has_the_highest_rate() {
        near(warmup_constant(0, 0, 3.0), 3.0);
        near(warmup_cosine(0, 0, 1000, 3.0), 3.0);
        near(warmup_cosine_from_start(0, 0, 1000, 3.0), 3.0);
        near(warmup_linear(0, 0, 1000, 3.0), 3.0);
    }

    #[test]
    fn falling_schedules_end_at_zero_and_stay_there() {
        for step in [1000, 1001, 5000] {
            near(warmup_cosine(step, 100, 1000, 3.0), 0.0);
            near(warmup_cosine_from_start(step, 100, 1000, 3.0), 0.0);
            near(warmup_linear(step, 100, 1000, 3.0), 0.0);
        }
        near(warmup_cosine(550, 100, 1000, 3.0), 1.5);
        near(warmup_cosine_from_start(500, 100, 1000, 3.0), 1.5);
        near(warmup_linear(500, 100, 1000, 3.0), 1.5);
    }

    #[test]
    fn the_fine_tuning_factors_are_the_golden_ones() {
        let wanted =
            [(0, 0.0), (5, 0.249_875), (20, 0.998), (100, 0.99), (5_000, 0.5), (10_000, 0.0)];
        for (step, factor) in wanted {
            near(warmup_linear(step, 20, 10_000, 1.0), factor);
        }
    }

    #[test]
    fn a_rate_is_divided_from_its_milestone_on() {
        for (step, wanted) in [(0, 1.0), (7, 1.0), (8, 0.1), (9, 0.1), (10, 0.01), (99, 0.01)] {
            near(divided_at(step, &[8, 10], 10.0, 1.0), wanted);
        }
        near(divided_at(5, &[], 10.0, 1.0), 1.0);
    }
}
