//! What can be read out of features: a linear probe, the best single unit, and the words themselves beside them.

use anyhow::Context as _;
use common::data::text::labelled::LabelledSet;
use common::linear::bag::Bag;
use common::linear::features::Features;
use common::linear::logistic::{Linear, Penalty};
use common::linear::metrics::{accuracy, auc};
use common::linear::search::{Chosen, Examples, choose_c};
use common::linear::threshold::Threshold;
use common::rows::rounded;
use serde::{Deserialize, Serialize};

/// The longest n-grams of the baseline, in words.
pub(crate) const LONGEST: usize = 2;
/// Training texts that an n-gram of the baseline must be in.
pub(crate) const MIN_TEXTS: usize = 2;

/// One test text, as each method sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// Index in the set.
    pub index: usize,
    /// Its class.
    pub label: bool,
    /// Score of the linear probe on all units; positive means positive.
    #[serde(serialize_with = "rounded")]
    pub probe: f64,
    /// How far the single unit is on the positive side of its threshold.
    #[serde(serialize_with = "rounded")]
    pub unit: f64,
    /// Score of the bag of n-grams.
    #[serde(serialize_with = "rounded")]
    pub bag: f64,
}

/// What was chosen in one round.
#[derive(Debug, Clone, PartialEq)]
pub struct Fitted {
    /// The probe.
    pub probe: Chosen,
    /// The single unit.
    pub unit: Unit,
}

/// One unit and its threshold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Unit {
    /// Index of the unit.
    pub index: usize,
    /// Its threshold on the training part.
    pub threshold: Threshold,
    /// Accuracy on the training part, a fraction.
    pub train_acc: f64,
    /// Place of the unit among all by size of their weight in the probe, from 1.
    pub rank: usize,
}

/// Fits probe, single unit and baseline in every round of `set` and predicts its test texts with them.
///
/// # Errors
/// Labels of one class only in a training part; features that are not finite.
pub fn read_out(
    set: &LabelledSet,
    features: &Features,
) -> anyhow::Result<(Vec<Prediction>, Vec<Fitted>)> {
    let (mut predictions, mut fitted) = (Vec::new(), Vec::new());
    for round in set.rounds() {
        let labels = |indices: &[usize]| indices.iter().map(|&i| set.labels[i]).collect::<Vec<_>>();
        let texts =
            |indices: &[usize]| indices.iter().map(|&i| set.texts[i].as_str()).collect::<Vec<_>>();
        let (ys, val_ys) = (labels(&round.train), labels(&round.val));
        let choose = |train: &Features, val: &Features, penalty| {
            let train = Examples { features: train, labels: &ys };
            choose_c(train, Examples { features: val, labels: &val_ys }, penalty)
        };
        let (train, val) = (features.select(&round.train), features.select(&round.val));
        let test = features.select(&round.test);
        let probe = choose(&train, &val, Penalty::L1)?;
        let unit = best_unit(&train, &ys, &probe.linear)?;
        let bag = Bag::new(&texts(&round.train), LONGEST, MIN_TEXTS);
        let words = choose(
            &bag.features(&texts(&round.train)),
            &bag.features(&texts(&round.val)),
            Penalty::L2,
        )?;
        let by_probe = probe.linear.scores(&test);
        let by_unit = unit.threshold.scores(&test.column(unit.index));
        let by_bag = words.linear.scores(&bag.features(&texts(&round.test)));
        for (place, &index) in round.test.iter().enumerate() {
            let (probe, unit, bag) = (by_probe[place], by_unit[place], by_bag[place]);
            predictions.push(Prediction { index, label: set.labels[index], probe, unit, bag });
        }
        fitted.push(Fitted { probe, unit });
    }
    Ok((predictions, fitted))
}

/// The unit that alone is right most often on the training part; never chosen by what is tested on.
///
/// # Errors
/// Labels of one class only; a unit that is not finite.
pub fn best_unit(train: &Features, labels: &[bool], probe: &Linear) -> anyhow::Result<Unit> {
    let mut best: Option<Unit> = None;
    for index in 0..train.d() {
        let xs = train.column(index);
        let threshold = Threshold::fit(&xs, labels)?;
        let train_acc = accuracy(&threshold.scores(&xs), labels);
        if best.is_none_or(|best| train_acc > best.train_acc) {
            best = Some(Unit { index, threshold, train_acc, rank: 0 });
        }
    }
    let mut unit = best.context("a network has at least one unit")?;
    let size = probe.weights[unit.index].abs();
    unit.rank = 1 + probe.weights.iter().filter(|weight| weight.abs() > size).count();
    Ok(unit)
}

/// Area under the curve of every unit alone, the better of its two directions: half for a unit that knows nothing.
pub fn areas(features: &Features, labels: &[bool]) -> Vec<f64> {
    (0..features.d())
        .map(|j| {
            let xs: Vec<f64> = features.column(j).into_iter().map(f64::from).collect();
            let area = auc(&xs, labels);
            area.max(1.0 - area)
        })
        .collect()
}

/// The middle value.
///
/// # Panics
/// If there are none.
pub fn median(xs: &[f64]) -> f64 {
    let mut sorted = xs.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len();
    f64::midpoint(sorted[(n - 1) / 2], sorted[n / 2])
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use common::data::text::labelled::{Round, Split};

    /// A made-up set whose texts train up to `val`, choose up to `test`, and test behind.
    pub(crate) fn made(
        texts: impl IntoIterator<Item = String>,
        labels: Vec<bool>,
        val: usize,
        test: usize,
    ) -> LabelledSet {
        let part = |from: usize, to: usize| (from..to).collect();
        let round =
            Round { train: part(0, val), val: part(val, test), test: part(test, labels.len()) };
        LabelledSet {
            name: "made".into(),
            texts: texts.into_iter().collect(),
            labels,
            split: Split::Fixed(round),
            sha256: String::new(),
        }
    }

    /// Unit 2 of 5 knows the label, with one mistake in eight.
    fn set() -> (LabelledSet, Features) {
        let n = 240;
        let labels: Vec<bool> = (0..n).map(|i| i % 2 == 0).collect();
        let texts =
            (0..n).map(|i| format!("{} word{}", if i % 2 == 0 { "fine" } else { "awful" }, i % 7));
        let noise = |i: usize, j: usize| ((i * 31 + j * 17) % 23) as f32 / 23.0;
        let rows: Vec<f32> = (0..n)
            .flat_map(|i| {
                (0..5).map(move |j| {
                    let knows = if (i % 2 == 0) == (i % 8 == 3) { 1.0 } else { -1.0 };
                    if j == 2 { knows + 0.1 * noise(i, j) } else { noise(i, j) }
                })
            })
            .collect();
        (made(texts, labels, 140, 180), Features::dense(&rows, 5))
    }

    #[test]
    fn the_unit_that_knows_is_found_on_the_training_part_and_leads_the_probe() {
        let (set, features) = set();
        let (predictions, fitted) = read_out(&set, &features).unwrap();
        assert_eq!((fitted.len(), predictions.len()), (1, 60));
        assert_eq!((fitted[0].unit.index, fitted[0].unit.rank), (2, 1));
        let labels: Vec<bool> = predictions.iter().map(|p| p.label).collect();
        let acc = |of: fn(&Prediction) -> f64| {
            accuracy(&predictions.iter().map(of).collect::<Vec<_>>(), &labels)
        };
        assert!((0.8..0.95).contains(&acc(|p| p.unit)), "{}", acc(|p| p.unit));
        assert!(acc(|p| p.probe) >= 0.8, "{}", acc(|p| p.probe));
        assert!(acc(|p| p.bag) > 0.99, "{}", acc(|p| p.bag));
        let areas = areas(&features, &set.labels);
        assert!(areas[2] > 0.8 && median(&areas) < 0.6, "{areas:?}");
    }
}
