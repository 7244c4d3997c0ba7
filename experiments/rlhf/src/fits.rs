//! Gao, Schulman and Hilton's curves of gold reward against how far a policy has gone, `d = √KL`.

/// Which curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Best of n: `R = d·(α − β·d)`.
    BestOf,
    /// Reinforcement learning: `R = d·(α − β·ln d)`.
    Rl,
}

/// A fitted curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fit {
    /// Its form.
    pub form: Form,
    /// How fast the reward goes up at first.
    pub alpha: f64,
    /// How fast it bends down.
    pub beta: f64,
}

impl Fit {
    /// The curve of least squares through `points`, `(d, R)`; none with fewer than two different `d` above 0.
    ///
    /// Both forms are linear in α and β: the normal equations are solved.
    pub fn least_squares(form: Form, points: &[(f64, f64)]) -> Option<Self> {
        let rows = points.iter().filter(|(d, r)| *d > 0.0 && r.is_finite());
        let (mut aa, mut ab, mut bb, mut ar, mut br) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for &(d, r) in rows {
            let (a, b) = (d, -d * form.bend(d));
            aa += a * a;
            ab += a * b;
            bb += b * b;
            ar += a * r;
            br += b * r;
        }
        let det = aa * bb - ab * ab;
        let solvable = det.abs() > 1e-12 * (aa * bb).max(f64::MIN_POSITIVE);
        solvable.then(|| Self {
            form,
            alpha: (ar * bb - br * ab) / det,
            beta: (aa * br - ab * ar) / det,
        })
    }

    /// The curve at `d`.
    pub fn at(&self, d: f64) -> f64 {
        if d <= 0.0 { 0.0 } else { d * (self.alpha - self.beta * self.form.bend(d)) }
    }

    /// Where it is highest, and how high; none if it never turns down.
    pub fn peak(&self) -> Option<(f64, f64)> {
        if self.alpha <= 0.0 || self.beta <= 0.0 {
            return None;
        }
        let d = match self.form {
            Form::BestOf => self.alpha / (2.0 * self.beta),
            Form::Rl => (self.alpha / self.beta - 1.0).exp(),
        };
        Some((d, self.at(d)))
    }

    /// The share of the points' variance around their mean that it explains.
    pub fn r_squared(&self, points: &[(f64, f64)]) -> f64 {
        let mean = points.iter().map(|(_, r)| r).sum::<f64>() / points.len() as f64;
        let sum = |of: &dyn Fn(f64, f64) -> f64| -> f64 {
            points.iter().map(|&(d, r)| of(d, r).powi(2)).sum()
        };
        1.0 - sum(&|d, r| r - self.at(d)) / sum(&|_, r| r - mean).max(f64::MIN_POSITIVE)
    }
}

impl Form {
    /// What β stands before.
    fn bend(self, d: f64) -> f64 {
        match self {
            Self::BestOf => d,
            Self::Rl => d.ln(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_is_found_from_its_own_points_with_its_golden_peak() {
        for (form, alpha, beta) in [(Form::BestOf, 0.653, 0.0965), (Form::Rl, 0.35, 0.122)] {
            let curve = Fit { form, alpha, beta };
            let points: Vec<(f64, f64)> =
                (1..20).map(|i| f64::from(i) * 0.3).map(|d| (d, curve.at(d))).collect();
            let found = Fit::least_squares(form, &points).unwrap();
            assert!((found.alpha - alpha).abs() < 1e-9 && (found.beta - beta).abs() < 1e-9);
            assert!((found.r_squared(&points) - 1.0).abs() < 1e-9);
            let (d, r) = curve.peak().unwrap();
            let (wanted_d, wanted_r) = match form {
                Form::BestOf => (alpha / (2.0 * beta), alpha * alpha / (4.0 * beta)),
                Form::Rl => ((alpha / beta - 1.0).exp(), beta * (alpha / beta - 1.0).exp()),
            };
            assert!((d - wanted_d).abs() < 1e-12 && (r - wanted_r).abs() < 1e-9, "{d} {r}");
            assert!(curve.at(d * 1.01) < r && curve.at(d * 0.99) < r);
        }
    }

    #[test]
    fn one_point_makes_no_curve() {
        assert_eq!(Fit::least_squares(Form::BestOf, &[(1.0, 2.0), (1.0, 2.0)]), None);
        assert_eq!(Fit::least_squares(Form::Rl, &[(0.0, 0.0)]), None);
    }
}
