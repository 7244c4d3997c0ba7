//! One unit against all: the unit that the probe leans on most, alone, beside the probe on all units and the probe that
//! does without it.
//!
//! Source: Radford, Jozefowicz & Sutskever 2017, section 4: the unit with the largest weight under L1 on training data,
//! then a threshold. That a probe loses little without the unit was seen by Donnelly & Roegiest 2019.

use anyhow::Context as _;
use common::data::text::labelled::LabelledSet;
use common::linear::features::Features;
use common::linear::logistic::{Linear, Penalty};
use common::linear::metrics::accuracy;
use common::linear::search::{Chosen, Examples, choose_c};
use common::linear::threshold::Threshold;
use common::rows::rounded;
use serde::{Deserialize, Serialize};

use crate::features::features;
use crate::model::Neuron;
use crate::readout::{Unit, best_unit};
use crate::weights::ChosenUnit;

/// One test text, as each reader sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// Index in the set.
    pub index: usize,
    /// Its class.
    pub label: bool,
    /// Score of the linear probe on all units; positive means positive.
    #[serde(serialize_with = "rounded")]
    pub all: f64,
    /// How far the probe's unit is on the positive side of its threshold.
    #[serde(serialize_with = "rounded")]
    pub unit: f64,
    /// The same of the unit that alone is right most often on the training part.
    #[serde(serialize_with = "rounded")]
    pub best: f64,
    /// Score of the probe that never sees the unit.
    #[serde(serialize_with = "rounded")]
    pub without: f64,
}

/// What was chosen in one round.
#[derive(Debug, Clone, PartialEq)]
pub struct Fitted {
    /// The probe on all units.
    pub all: Chosen,
    /// The unit that it leans on most.
    pub unit: Unit,
    /// The unit that alone is right most often.
    pub best: Unit,
}

/// The unit with the largest weight in `probe`, with a threshold of its own; where the probe keeps no unit at all, the
/// one that alone is right most often.
///
/// # Errors
/// Labels of one class only; a unit that is not finite.
pub fn probed_unit(train: &Features, labels: &[bool], probe: &Linear) -> anyhow::Result<Unit> {
    if probe.nonzeros() == 0 {
        return best_unit(train, labels, probe);
    }
    let size = |j: usize| probe.weights[j].abs();
    let largest = (0..train.d()).max_by(|&a, &b| size(a).total_cmp(&size(b)));
    let index = largest.context("a network has at least one unit")?;
    let xs = train.column(index);
    let threshold = Threshold::fit(&xs, labels)?;
    let train_acc = accuracy(&threshold.scores(&xs), labels);
    Ok(Unit { index, threshold, train_acc, rank: 1 })
}

/// The sentiment unit of a network as the training part of `set` says (of its first round), with the features and the
/// labels of that part.
///
/// # Errors
/// Labels of one class only; features that are not finite; Ctrl-C.
pub fn choose_unit(
    neuron: &Neuron,
    set: &LabelledSet,
) -> anyhow::Result<(ChosenUnit, Features, Vec<bool>)> {
    let round = set.rounds().swap_remove(0);
    let of = |indices: &[usize]| -> anyhow::Result<(Features, Vec<bool>)> {
        let texts: Vec<&str> = indices.iter().map(|&i| set.texts[i].as_str()).collect();
        Ok((features(neuron, &texts)?, indices.iter().map(|&i| set.labels[i]).collect()))
    };
    let ((train, ys), (val, val_ys)) = (of(&round.train)?, of(&round.val)?);
    let probe = choose_c(
        Examples { features: &train, labels: &ys },
        Examples { features: &val, labels: &val_ys },
        Penalty::L1,
    )?;
    let unit = probed_unit(&train, &ys, &probe.linear)?;
    Ok((ChosenUnit::new(&unit, &train, &set.name), train, ys))
}

/// Fits the readers in every round of `set` and predicts its test texts with them.
///
/// # Errors
/// Labels of one class only in a training part; features that are not finite.
pub fn single_out(
    set: &LabelledSet,
    features: &Features,
) -> anyhow::Result<(Vec<Prediction>, Vec<Fitted>)> {
    let (mut predictions, mut fitted) = (Vec::new(), Vec::new());
    for round in set.rounds() {
        let labels = |indices: &[usize]| indices.iter().map(|&i| set.labels[i]).collect::<Vec<_>>();
        let (ys, val_ys) = (labels(&round.train), labels(&round.val));
        let probe = |train: &Features, val: &Features| {
            let train = Examples { features: train, labels: &ys };
            choose_c(train, Examples { features: val, labels: &val_ys }, Penalty::L1)
        };
        let (train, val) = (features.select(&round.train), features.select(&round.val));
        let test = features.select(&round.test);
        let all = probe(&train, &val)?;
        let unit = probed_unit(&train, &ys, &all.linear)?;
        let best = best_unit(&train, &ys, &all.linear)?;
        let without = probe(&train.without(unit.index), &val.without(unit.index))?.linear;
        let alone = |unit: &Unit| unit.threshold.scores(&test.column(unit.index));
        let scores = [all.linear.scores(&test), alone(&unit), alone(&best), without.scores(&test)];
        for (place, &index) in round.test.iter().enumerate() {
            let [all, unit, best, without] =
                [0, 1, 2, 3].map(|reader: usize| scores[reader][place]);
            let label = set.labels[index];
            predictions.push(Prediction { index, label, all, unit, best, without });
        }
        fitted.push(Fitted { all, unit, best });
    }
    Ok((predictions, fitted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readout::tests::made;

    /// Unit 1 of 4 knows the label but for one text in ten, unit 3 but for one in five, the others nothing.
    fn set() -> (LabelledSet, Features) {
        let n = 400;
        let noise = |i: usize, j: usize| ((i * 31 + j * 17 + i * i % 7) % 23) as f32 / 23.0 - 0.5;
        let labels: Vec<bool> = (0..n).map(|i| i % 2 == 0).collect();
        let knows = |i: usize, wrong: usize| {
            if i.is_multiple_of(2) == (i / 2).is_multiple_of(wrong) { -1.0 } else { 1.0 }
        };
        let rows: Vec<f32> = (0..n)
            .flat_map(|i| {
                [noise(i, 0), 2.0 * knows(i, 10), noise(i, 2), 2.0 * knows(i, 5)]
                    .map(|x| x + 0.1 * noise(i, 5))
            })
            .collect();
        (made(vec!["text".into(); n], labels, 240, 300), Features::dense(&rows, 4))
    }

    #[test]
    fn the_unit_is_the_probes_largest_and_without_it_only_the_next_is_left() {
        let (set, features) = set();
        let (predictions, fitted) = single_out(&set, &features).unwrap();
        assert_eq!((fitted[0].unit.index, fitted[0].best.index), (1, 1));
        let labels: Vec<bool> = predictions.iter().map(|p| p.label).collect();
        let acc = |of: fn(&Prediction) -> f64| {
            accuracy(&predictions.iter().map(of).collect::<Vec<_>>(), &labels)
        };
        // The made-up mistakes: one text in ten, one in five.
        assert!((acc(|p| p.unit) - 0.9).abs() < 1e-9, "{}", acc(|p| p.unit));
        assert!((acc(|p| p.without) - 0.8).abs() < 1e-9, "{}", acc(|p| p.without));
    }

    #[test]
    fn a_probe_that_keeps_nothing_leaves_the_choice_to_the_training_part() {
        let (set, features) = set();
        let unit = probed_unit(&features, &set.labels, &Linear::zero(4)).unwrap();
        assert_eq!(unit.index, 1);
        let third = Linear { weights: vec![0.0, 0.1, 0.0, -0.3], intercept: 0.0 };
        assert_eq!(probed_unit(&features, &set.labels, &third).unwrap().index, 3);
    }
}
