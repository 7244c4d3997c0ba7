//! Texts written with a unit held at a value, and a judge who has never seen the network.

use common::data::text::clean::decode;
use common::data::text::labelled::LabelledSet;
use common::interrupt;
use common::linear::bag::Bag;
use common::linear::logistic::{Linear, Penalty};
use common::linear::metrics::accuracy;
use common::linear::search::{Examples, choose_c};
use common::nn::mlstm::FixedMlstm;
use serde::{Deserialize, Serialize};

use crate::generate::{Settings, Writer};
use crate::readout::{LONGEST, MIN_TEXTS};
use crate::weights::ChosenUnit;

/// What is held while a text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// Nothing.
    Free,
    /// The sentiment unit, on its positive side.
    Positive,
    /// The sentiment unit, on its negative side.
    Negative,
    /// Another unit, on the side that it calls positive.
    ControlPositive,
    /// Another unit, on the side that it calls negative.
    ControlNegative,
}

/// All conditions.
pub const CONDITIONS: [Condition; 5] = [
    Condition::Free,
    Condition::Positive,
    Condition::Negative,
    Condition::ControlPositive,
    Condition::ControlNegative,
];

impl Condition {
    /// The clamp of the condition, so many deviations from the threshold.
    fn clamp(self, unit: &ChosenUnit, control: &ChosenUnit, deviations: f64) -> Vec<(usize, f32)> {
        let (unit, deviations) = match self {
            Self::Free => return Vec::new(),
            Self::Positive => (unit, deviations),
            Self::Negative => (unit, -deviations),
            Self::ControlPositive => (control, deviations),
            Self::ControlNegative => (control, -deviations),
        };
        vec![(unit.index, unit.value(deviations))]
    }
}

/// One text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Written {
    /// What was held.
    pub condition: Condition,
    /// The text's number: texts with the same number share their random numbers.
    pub number: u64,
    /// The judge's score; positive means positive.
    pub score: f64,
    /// The text.
    pub text: String,
}

/// A bag of n-grams that learned a labelled set.
#[derive(Debug)]
pub struct Judge {
    bag: Bag,
    linear: Linear,
    /// Its accuracy on the set's test part, a fraction.
    pub acc: f64,
}

impl Judge {
    /// Learns the training part of `set`, its first round's, with the strength chosen on the validation part.
    ///
    /// # Errors
    /// Labels of one class only in the training part.
    pub fn new(set: &LabelledSet) -> anyhow::Result<Self> {
        let round = set.rounds().swap_remove(0);
        let of = |indices: &[usize]| -> (Vec<&str>, Vec<bool>) {
            indices.iter().map(|&i| (set.texts[i].as_str(), set.labels[i])).unzip()
        };
        let ((train, ys), (val, val_ys), (test, test_ys)) =
            (of(&round.train), of(&round.val), of(&round.test));
        let bag = Bag::new(&train, LONGEST, MIN_TEXTS);
        let linear = choose_c(
            Examples { features: &bag.features(&train), labels: &ys },
            Examples { features: &bag.features(&val), labels: &val_ys },
            Penalty::L2,
        )?
        .linear;
        let acc = accuracy(&linear.scores(&bag.features(&test)), &test_ys);
        Ok(Self { bag, linear, acc })
    }

    /// A score for each text.
    pub fn scores(&self, texts: &[String]) -> Vec<f64> {
        self.linear.scores(&self.bag.features(texts))
    }
}

/// How texts are written.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Texts in each condition.
    pub texts: u64,
    /// Bytes of a text at the most; a review may end before.
    pub bytes: usize,
    /// How far from its threshold a unit is held, in deviations of its value over training texts.
    pub deviations: f64,
    /// Of the draws.
    pub temperature: f64,
}

/// Writes and judges texts in all conditions, the same numbers in each.
///
/// # Errors
/// Ctrl-C.
pub fn write(
    net: &FixedMlstm,
    unit: &ChosenUnit,
    control: &ChosenUnit,
    judge: &Judge,
    plan: &Plan,
    seed: u64,
) -> anyhow::Result<Vec<Written>> {
    let mut all = Vec::new();
    for condition in CONDITIONS {
        let clamps = condition.clamp(unit, control, plan.deviations);
        let settings = Settings { temperature: plan.temperature, seed, clamps };
        let mut texts = Vec::new();
        for number in 0..plan.texts {
            interrupt::check()?;
            let bytes = Writer::new(net, &settings, "", number).review(plan.bytes);
            texts.push(decode(&bytes).0.into_owned());
        }
        let scores = judge.scores(&texts);
        for ((text, score), number) in texts.into_iter().zip(scores).zip(0..) {
            all.push(Written { condition, number, score, text });
        }
    }
    Ok(all)
}

/// Whether the texts of a condition were judged positive, in per cent (0 or 100), by number.
pub fn judged(written: &[Written], condition: Condition) -> Vec<f64> {
    let mut of: Vec<&Written> = written.iter().filter(|w| w.condition == condition).collect();
    of.sort_by_key(|w| w.number);
    of.into_iter().map(|w| if w.score > 0.0 { 100.0 } else { 0.0 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::linear::threshold::Threshold;
    use tch::{Device, Tensor};

    use crate::model::{Neuron, Sizes};
    use crate::readout::tests::made;

    /// A network that says `+` where the cell of unit 0 is high and `-` where it is low, and nothing else.
    fn net() -> FixedMlstm {
        let neuron = Neuron::new(Sizes { embedding: 2, hidden: 3 }, 1, 0, Device::Cpu);
        for (name, mut tensor) in neuron.parameters() {
            let _no_grad = tch::no_grad_guard();
            match name.as_str() {
                // Gates i, f, o, u of three units each: nothing comes in, all is kept and shown.
                "b" => tensor.copy_(&Tensor::from_slice(&[
                    -20.0_f32, -20.0, -20.0, 20.0, 20.0, 20.0, 20.0, 20.0, 20.0, 0.0, 0.0, 0.0,
                ])),
                "gx" | "gh" | "gmx" | "gmh" => {
                    let _ = tensor.fill_(1e-6);
                }
                "output.weight" => {
                    let _ = tensor.zero_();
                    let _ = tensor.get(0).get(i64::from(b'+')).fill_(20.0);
                    let _ = tensor.get(0).get(i64::from(b'-')).fill_(-20.0);
                }
                "output.bias" => {
                    let _ = tensor.fill_(-30.0);
                    let _ = tensor.narrow(0, i64::from(b'+'), 1).zero_();
                    let _ = tensor.narrow(0, i64::from(b'-'), 1).zero_();
                }
                _ => {}
            }
        }
        FixedMlstm::new(&neuron.net)
    }

    fn judge() -> Judge {
        let n = 80;
        let labels: Vec<bool> = (0..n).map(|i| i % 2 == 0).collect();
        let texts =
            labels.iter().map(|&positive| if positive { "+ + +" } else { "- - -" }.to_owned());
        let texts: Vec<String> = texts.collect();
        Judge::new(&made(texts, labels, 40, 60)).unwrap()
    }

    fn unit(index: usize, larger_is_positive: bool) -> ChosenUnit {
        let threshold = Threshold { at: 0.0, larger_is_positive };
        ChosenUnit { index, threshold, deviation: 1.0, set: "made".into(), train_acc: 1.0 }
    }

    #[test]
    fn the_unit_that_speaks_moves_the_judge_and_another_does_not() {
        // One byte a text: + or -.
        let plan = Plan { texts: 60, bytes: 1, deviations: 2.0, temperature: 1.0 };
        let judge = judge();
        assert!(judge.acc > 0.99);
        let mean = |written: &[Written], condition| {
            let judged = judged(written, condition);
            assert_eq!(judged.len(), 60);
            judged.iter().sum::<f64>() / 60.0
        };
        let written = write(&net(), &unit(0, true), &unit(1, true), &judge, &plan, 3).unwrap();
        assert!(mean(&written, Condition::Positive) > 99.0, "{written:?}");
        assert!(mean(&written, Condition::Negative) < 1.0);
        // With nothing or another unit held the two bytes are as likely, and the draws are shared.
        for condition in [Condition::ControlPositive, Condition::ControlNegative] {
            assert_eq!(judged(&written, condition), judged(&written, Condition::Free));
        }
        assert!((20.0..80.0).contains(&mean(&written, Condition::Free)));
        // A unit whose lower side is positive is held below.
        let turned = write(&net(), &unit(0, false), &unit(1, true), &judge, &plan, 3).unwrap();
        assert!(mean(&turned, Condition::Positive) < 1.0);
    }
}
