//! Compute-efficient training: what Kaplan's power laws say about batch, size and updates together.
//!
//! `alpha_N`, `alpha_S` are the exponents of `L(N, S_min) = (N_c/N)^alpha_N + (S_c/S_min)^alpha_S`,
//! `alpha_B` that of the critical batch `B_crit = B*/L^(1/alpha_B)`. Source: Kaplan et al. 2020,
//! sections 5 and 6, appendix B.

/// Fewest updates that reach a loss, of a run that took `steps` at `batch` tokens where the critical
/// batch is `critical`. Source: eq. 5.4.
pub fn s_min(steps: f64, batch: f64, critical: f64) -> f64 {
    steps / (1.0 + critical / batch)
}

/// Least compute that reaches a loss, of a run that spent `flops`. Source: eq. 5.5.
pub fn c_min(flops: f64, batch: f64, critical: f64) -> f64 {
    flops / (1.0 + batch / critical)
}

/// The exponent of `L(C_min)` that the other three imply. Source: eq. 6.4 and B.7.
pub fn alpha_c(alpha_n: f64, alpha_s: f64, alpha_b: f64) -> f64 {
    1.0 / (1.0 / alpha_s + 1.0 / alpha_b + 1.0 / alpha_n)
}

/// How far above its converged loss a model of the best size stops, as a share of it. Source: B.2.
pub fn excess(alpha_n: f64, alpha_s: f64) -> f64 {
    alpha_n / alpha_s
}

/// Efficient training over training to within `share` of the converged loss, to the same loss.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AgainstConverged {
    /// Parameters, as a factor.
    pub params: f64,
    /// Updates, as a factor.
    pub steps: f64,
}

impl AgainstConverged {
    /// Source: appendix B.3.
    pub fn new(alpha_n: f64, alpha_s: f64, share: f64) -> Self {
        let f = excess(alpha_n, alpha_s);
        Self {
            params: ((1.0 + f) / (1.0 + share)).powf(1.0 / alpha_n),
            steps: ((1.0 + 1.0 / f) / (1.0 + 1.0 / share)).powf(1.0 / alpha_s),
        }
    }

    /// Compute, as a factor.
    pub fn compute(self) -> f64 {
        self.params * self.steps
    }
}

/// Updates of a model `x` times the best size over those of the best size, to the same loss; times
/// `x` they are compute. Infinite where no number of updates gets there. Source: eq. B.16.
pub fn steps_at_size(x: f64, alpha_n: f64, alpha_s: f64) -> f64 {
    let left = 1.0 + alpha_s / alpha_n * (1.0 - x.powf(-alpha_n));
    if left > 0.0 { left.powf(-1.0 / alpha_s) } else { f64::INFINITY }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: f64, wanted: f64, within: f64) {
        assert!((got - wanted).abs() <= within, "expected {wanted}, got {got}");
    }

    #[test]
    fn at_the_critical_batch_both_costs_are_twice_the_least() {
        close(s_min(1000.0, 512.0, 512.0), 500.0, 1e-9);
        close(c_min(6e18, 512.0, 512.0), 3e18, 1e6);
        // B_min·S_min·(…) is what was spent: E_min/S_min is the critical batch.
        let (steps, batch, critical, n) = (1000.0, 128.0, 2048.0, 1e6);
        let spent = 6.0 * n * batch * steps;
        let tokens = c_min(spent, batch, critical) / (6.0 * n);
        close(tokens / s_min(steps, batch, critical), critical, 1e-9);
    }

    #[test]
    fn the_published_exponents_give_the_published_consequences() {
        // Table 3 and eq. 5.3 with what the paper prints of them.
        let (alpha_n, alpha_s, alpha_b) = (0.077, 0.76, 0.21);
        let alpha_c = alpha_c(alpha_n, alpha_s, alpha_b);
        close(alpha_c, 0.052, 1e-3); // B.7; 6.4 prints 0.054
        close(alpha_c / 0.076, 0.7, 0.02); // 6.5 prints 0.71
        close(excess(alpha_n, alpha_s), 0.10, 5e-3);
        let against = AgainstConverged::new(alpha_n, alpha_s, 0.02);
        close(against.params, 2.7, 0.05);
        close(against.steps, 0.13, 5e-3);
        close(against.compute(), 0.35, 1e-2);
        close(0.6 * steps_at_size(0.6, alpha_n, alpha_s), 1.2, 0.05);
        close(2.2 * steps_at_size(2.2, alpha_n, alpha_s), 1.2, 0.05);
        close(1.0 - steps_at_size(2.2, alpha_n, alpha_s), 0.45, 5e-3);
    }

    #[test]
    fn updates_at_another_size_reach_the_same_loss() {
        // L = (N_c/N)^alpha_N + (S_c/S)^alpha_S, at the best size of a loss: its converged loss is the
        // share 1/(1 + f) of it.
        let (alpha_n, alpha_s, loss) = (0.077, 0.76, 3.0_f64);
        let f = excess(alpha_n, alpha_s);
        let of_size = |x: f64| loss / (1.0 + f) * x.powf(-alpha_n);
        let of_steps = |ratio: f64| (loss - loss / (1.0 + f)) * ratio.powf(-alpha_s);
        for x in [0.5, 0.6, 1.0, 2.2, 10.0] {
            let ratio = steps_at_size(x, alpha_n, alpha_s);
            close(of_size(x) + of_steps(ratio), loss, 1e-9);
        }
        close(steps_at_size(1.0, alpha_n, alpha_s), 1.0, 1e-12);
        assert!(steps_at_size(0.01, alpha_n, alpha_s).is_infinite());
    }
}
