//! How many labels a reader needs: the probe and the bag of n-grams fitted on few examples, again and again.
//!
//! Source: Radford, Jozefowicz & Sutskever 2017, section 4.1 and Figure 2: subsets of the training part drawn at random,
//! the strength of the penalty chosen on the whole validation part, tested on the whole test part.

use common::data::sampler::epoch_order;
use common::data::text::labelled::{LabelledSet, Round};
use common::interrupt;
use common::linear::bag::Bag;
use common::linear::features::Features;
use common::linear::logistic::Penalty;
use common::linear::metrics::accuracy;
use common::linear::search::{Examples, choose_c};

use crate::readout::{LONGEST, MIN_TEXTS};

/// Two readers' test accuracies after so many labels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fit {
    /// The draw, from 0.
    pub draw: u64,
    /// Labelled examples.
    pub examples: usize,
    /// Accuracy of the linear probe on all units, a fraction.
    pub probe: f64,
    /// Accuracy of the bag of n-grams, which knows the words of these examples only; a fraction.
    pub bag: f64,
}

/// The first of the orders that `draw` gives in which the first `fewest` of `labels` are of both classes. Draws with
/// more examples go on in the same order: they are nested.
///
/// # Panics
/// If `labels` are of one class, or `fewest` is below 2.
pub fn order(draw: u64, labels: &[bool], fewest: usize) -> Vec<usize> {
    assert!(
        labels.contains(&true) && labels.contains(&false) && fewest >= 2,
        "both classes are there"
    );
    let orders = (0..).map(|attempt| epoch_order(draw, attempt, labels.len()));
    let both = |order: &Vec<u32>| {
        let first = order.iter().take(fewest);
        let positive = first.clone().filter(|&&i| labels[i as usize]).count();
        (1..first.len()).contains(&positive)
    };
    let mut found = orders.filter(both);
    found.next().expect("some order begins with both").into_iter().map(|i| i as usize).collect()
}

/// Fits both readers on the first `counts` examples of each of `draws` orders; a count beyond the training part is all
/// of it, fitted once.
///
/// # Errors
/// Features that are not finite; Ctrl-C.
pub fn fits(
    set: &LabelledSet,
    round: &Round,
    features: &Features,
    counts: &[usize],
    draws: u64,
) -> anyhow::Result<Vec<Fit>> {
    let labels = |indices: &[usize]| indices.iter().map(|&i| set.labels[i]).collect::<Vec<_>>();
    let texts =
        |indices: &[usize]| indices.iter().map(|&i| set.texts[i].as_str()).collect::<Vec<_>>();
    let (train_ys, val_ys, test_ys) =
        (labels(&round.train), labels(&round.val), labels(&round.test));
    let (val, test) = (features.select(&round.val), features.select(&round.test));
    let (val_texts, test_texts) = (texts(&round.val), texts(&round.test));
    let fewest = counts.iter().copied().min().unwrap_or(2);
    let mut all = Vec::new();
    for draw in 0..draws {
        let order = order(draw, &train_ys, fewest);
        for &count in counts.iter().filter(|&&count| count < order.len() || draw == 0) {
            interrupt::check()?;
            let chosen: Vec<usize> = order.iter().take(count).map(|&i| round.train[i]).collect();
            let ys = labels(&chosen);
            let acc = |train: &Features, val: &Features, test: &Features, penalty| {
                let train = Examples { features: train, labels: &ys };
                let val = Examples { features: val, labels: &val_ys };
                anyhow::Ok(accuracy(&choose_c(train, val, penalty)?.linear.scores(test), &test_ys))
            };
            let probe = acc(&features.select(&chosen), &val, &test, Penalty::L1)?;
            let bag = Bag::new(&texts(&chosen), LONGEST, MIN_TEXTS);
            let [words, val_words, test_words] =
                [&texts(&chosen), &val_texts, &test_texts].map(|texts| bag.features(texts));
            let bag = acc(&words, &val_words, &test_words, Penalty::L2)?;
            all.push(Fit { draw, examples: chosen.len(), probe, bag });
        }
    }
    Ok(all)
}

/// Labelled examples after which a curve of `(examples, accuracy)`, sorted, first reaches `target`: on the line between
/// two points, along the logarithm of the examples. `None` if it never does.
pub fn examples_to(curve: &[(f64, f64)], target: f64) -> Option<f64> {
    let reached = curve.iter().position(|&(_, acc)| acc >= target)?;
    let (after, above) = curve[reached];
    let Some(&(before, below)) = reached.checked_sub(1).map(|i| &curve[i]) else {
        return Some(after);
    };
    let share = (target - below) / (above - below);
    Some((before.ln() + share * (after / before).ln()).exp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readout::tests::made;

    #[test]
    fn orders_begin_with_both_classes_and_differ_by_draw() {
        // One positive in twenty: most orders begin with one class.
        let labels: Vec<bool> = (0..200).map(|i| i % 20 == 0).collect();
        let mut firsts = Vec::new();
        for draw in 0..20 {
            let order = order(draw, &labels, 4);
            let positive = order[..4].iter().filter(|&&i| labels[i]).count();
            assert!((1..4).contains(&positive), "draw {draw}");
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..200).collect::<Vec<_>>());
            firsts.push(order[..4].to_vec());
        }
        firsts.sort();
        firsts.dedup();
        assert_eq!(firsts.len(), 20);
    }

    #[test]
    fn the_crossing_lies_on_the_line_over_the_logarithm() {
        let curve = [(10.0, 0.5), (1000.0, 0.7), (10_000.0, 0.8)];
        assert!((examples_to(&curve, 0.6).unwrap() - 100.0).abs() < 1e-9);
        assert!((examples_to(&curve, 0.4).unwrap() - 10.0).abs() < 1e-9);
        assert!((examples_to(&curve, 0.8).unwrap() - 10_000.0).abs() < 1e-6);
        assert_eq!(examples_to(&curve, 0.81), None);
    }

    #[test]
    fn more_labels_help_each_reader_and_all_of_them_are_fitted_once() {
        let n = 400;
        let labels: Vec<bool> = (0..n).map(|i| i % 2 == 0).collect();
        // Unit 0 knows; of the words, each of twenty pairs says the class, so few labels know few pairs.
        let texts = (0..n).map(|i| {
            let pair = i * 7 / 2 % 20;
            format!("{}{pair}", if i % 2 == 0 { "fine" } else { "awful" })
        });
        let noise = |i: usize, j: usize| ((i * 31 + j * 17 + i * i % 7) % 23) as f32 / 23.0 - 0.5;
        let rows: Vec<f32> = (0..n)
            .flat_map(|i| {
                [if i % 2 == 0 { 3.0 } else { -3.0 } + noise(i, 0), noise(i, 1), noise(i, 2)]
            })
            .collect();
        let set = made(texts, labels, 240, 300);
        let round = set.rounds().swap_remove(0);
        let fits = fits(&set, &round, &Features::dense(&rows, 3), &[6, 30, 9999], 5).unwrap();
        assert_eq!(fits.len(), 5 + 5 + 1);
        let mean = |examples: usize, of: fn(&Fit) -> f64| {
            let of_count: Vec<f64> =
                fits.iter().filter(|f| f.examples == examples).map(of).collect();
            of_count.iter().sum::<f64>() / of_count.len() as f64
        };
        assert!(mean(6, |f| f.probe) > 0.95, "{}", mean(6, |f| f.probe));
        let bag = [6, 30, 240].map(|count| mean(count, |f| f.bag));
        assert!(bag[0] < bag[1] && bag[1] < bag[2] && bag[2] > 0.99, "{bag:?}");
    }
}
