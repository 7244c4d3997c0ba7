//! One number against a threshold: what a single unit alone can tell.

use serde::{Deserialize, Serialize};

use super::logistic::LinearError;

/// A threshold and its positive side.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    /// Between the two classes.
    pub at: f64,
    /// Whether larger values are the positive class.
    pub larger_is_positive: bool,
}

impl Threshold {
    /// The threshold with the most right answers on `xs: [n]`; of equals the one with the widest gap around it.
    ///
    /// # Errors
    /// Labels of one class only, values and labels of different number, a value that is not finite.
    pub fn fit(xs: &[f32], labels: &[bool]) -> Result<Self, LinearError> {
        if xs.len() != labels.len() {
            return Err(LinearError::Unpaired { features: xs.len(), labels: labels.len() });
        }
        if xs.iter().any(|x| !x.is_finite()) {
            return Err(LinearError::NotFinite { feature: 0 });
        }
        let positive = labels.iter().filter(|&&label| label).count();
        if positive == 0 || positive == labels.len() {
            return Err(LinearError::OneClass { n: labels.len(), positive });
        }
        let mut order: Vec<usize> = (0..xs.len()).collect();
        order.sort_unstable_by(|&a, &b| xs[a].total_cmp(&xs[b]));
        // Everything above the threshold is called positive at first: right are the positive examples.
        let mut right = positive;
        let mut best: Option<(usize, f64, Self)> = None;
        for pair in order.windows(2) {
            right = if labels[pair[0]] { right - 1 } else { right + 1 };
            let (below, above) = (f64::from(xs[pair[0]]), f64::from(xs[pair[1]]));
            if below < above {
                for (right, larger_is_positive) in [(right, true), (xs.len() - right, false)] {
                    let gap = above - below;
                    if best.as_ref().is_none_or(|(r, g, _)| (right, gap) > (*r, *g)) {
                        let at = f64::midpoint(below, above);
                        best = Some((right, gap, Self { at, larger_is_positive }));
                    }
                }
            }
        }
        // All values are the same: say the more frequent class.
        let constant =
            Self { at: f64::from(xs[0]) - 1.0, larger_is_positive: 2 * positive >= labels.len() };
        Ok(best.map_or(constant, |found| found.2))
    }

    /// How far each value is on the positive side.
    pub fn scores(&self, xs: &[f32]) -> Vec<f64> {
        let sign = if self.larger_is_positive { 1.0 } else { -1.0 };
        xs.iter().map(|&x| sign * (f64::from(x) - self.at)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linear::metrics::accuracy;

    #[test]
    fn no_threshold_is_right_more_often() {
        let xs: Vec<f32> = (0..60).map(|i| ((i * 37 % 60) / 2) as f32).collect();
        let labels: Vec<bool> = (0..60).map(|i| (i * 37 % 60 < 25) != (i % 7 == 0)).collect();
        let fitted = Threshold::fit(&xs, &labels).unwrap();
        let of = |t: &Threshold| accuracy(&t.scores(&xs), &labels);
        assert!(!fitted.larger_is_positive);
        for i in -1..62 {
            for larger_is_positive in [true, false] {
                let other = Threshold { at: f64::from(i) / 2.0 + 0.25, larger_is_positive };
                assert!(of(&other) <= of(&fitted), "{other:?} beats {fitted:?}");
            }
        }
    }

    #[test]
    fn equal_values_give_the_frequent_class_and_one_class_is_refused() {
        let labels = [true, false, false];
        let fitted = Threshold::fit(&[2.0; 3], &labels).unwrap();
        assert!((accuracy(&fitted.scores(&[2.0; 3]), &labels) - 2.0 / 3.0).abs() < 1e-12);
        assert!(Threshold::fit(&[1.0, 2.0], &[true, true]).is_err());
        assert!(Threshold::fit(&[1.0, f32::NAN], &[true, false]).is_err());
    }
}
