//! How well scores tell two classes apart.

/// Share of the examples whose score has the sign of their class; a score of zero counts as negative.
///
/// # Panics
/// If there are no examples, or not one score for each label.
pub fn accuracy(scores: &[f64], labels: &[bool]) -> f64 {
    assert!(!labels.is_empty() && scores.len() == labels.len(), "one score for each label");
    let right =
        scores.iter().zip(labels).filter(|&(&score, &label)| (score > 0.0) == label).count();
    right as f64 / labels.len() as f64
}

/// Area under the ROC curve: the chance that a positive example scores above a negative one, ties counted half.
/// 0.5 when one of the classes is missing.
///
/// # Panics
/// If there is not one score for each label.
pub fn auc(scores: &[f64], labels: &[bool]) -> f64 {
    assert_eq!(scores.len(), labels.len(), "one score for each label");
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_unstable_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    let positive = labels.iter().filter(|&&label| label).count() as f64;
    let negative = labels.len() as f64 - positive;
    if positive == 0.0 || negative == 0.0 {
        return 0.5;
    }
    // Ranks from 1; those of equal scores are their mean.
    let mut ranks_of_positive = 0.0;
    for tied in
        order.chunk_by(|&a, &b| scores[a].total_cmp(&scores[b]).is_eq()).scan(0, |at, tied| {
            let first = *at;
            *at += tied.len();
            Some((first, tied))
        })
    {
        let (first, tied) = tied;
        let rank = first as f64 + (tied.len() + 1) as f64 / 2.0;
        ranks_of_positive += rank * tied.iter().filter(|&&i| labels[i]).count() as f64;
    }
    (ranks_of_positive - positive * (positive + 1.0) / 2.0) / (positive * negative)
}

/// Pearson's correlation coefficient; 0 where one side does not vary.
///
/// # Panics
/// If there is not one `y` for each `x`.
pub fn pearson(xs: &[f64], ys: &[f64]) -> f64 {
    assert_eq!(xs.len(), ys.len(), "one y for each x");
    let n = xs.len() as f64;
    let mean = |xs: &[f64]| xs.iter().sum::<f64>() / n;
    let (mx, my) = (mean(xs), mean(ys));
    let sum = |f: &dyn Fn(f64, f64) -> f64| -> f64 {
        xs.iter().zip(ys).map(|(x, y)| f(x - mx, y - my)).sum()
    };
    let spread = (sum(&|x, _| x * x) * sum(&|_, y| y * y)).sqrt();
    if spread > 0.0 { sum(&|x, y| x * y) / spread } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_area_is_the_share_of_pairs_in_order() {
        let scores = [0.1, 0.4, 0.35, 0.8, 0.4, 0.4, -1.0];
        let labels = [false, false, true, true, true, false, true];
        let mut pairs = (0.0, 0.0);
        for (i, &a) in scores.iter().enumerate().filter(|(i, _)| labels[*i]) {
            for (j, &b) in scores.iter().enumerate().filter(|(j, _)| !labels[*j]) {
                assert_ne!(i, j);
                pairs.0 += if a > b {
                    1.0
                } else if a < b {
                    0.0
                } else {
                    0.5
                };
                pairs.1 += 1.0;
            }
        }
        assert!((auc(&scores, &labels) - pairs.0 / pairs.1).abs() < 1e-12);
    }

    #[test]
    fn a_missing_class_gives_half_and_accuracy_counts_signs() {
        assert!((auc(&[1.0, 2.0], &[true, true]) - 0.5).abs() < 1e-12);
        let found = accuracy(&[1.0, -1.0, 0.0, 3.0], &[true, true, false, false]);
        assert!((found - 0.5).abs() < 1e-12);
    }
}
