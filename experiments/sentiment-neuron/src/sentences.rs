//! Tasks beyond positive or negative: five grades, whether two sentences say the same, how much they have to do with
//! each other.
//!
//! Of a pair the features are what the two sentences' features differ by and what they have in common, |a − b| and
//! a ⊙ b, as Tai et al. 2015 and the skip-thought vectors have them. The plain baseline sees words instead of units: n-grams of a
//! text; of a pair the words that are in both, and those that are in one.

use common::linear::bag::{Bag, words};
use common::linear::features::Features;
use common::linear::logistic::Penalty;
use common::linear::metrics::pearson;
use common::linear::ridge;
use common::linear::search::{Examples, choose_c_of_classes, classify};
use common::rows::rounded;
use serde::{Deserialize, Serialize};

use crate::features::{cells_of_bytes, prepared};
use crate::model::Neuron;
use crate::readout::{LONGEST, MIN_TEXTS};

mod tasks;

pub use tasks::{Answer, NAMES, SentenceTask, answer_of, read};

/// One test example.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// Index in the task.
    pub index: usize,
    /// Its class, or its number.
    pub label: f64,
    /// What the units make of it.
    #[serde(serialize_with = "rounded")]
    pub probe: f64,
    /// What the words make of it.
    #[serde(serialize_with = "rounded")]
    pub bag: f64,
}

/// What a network knows of each example, `[examples, hidden]`, or `[examples, 2·hidden]` of pairs.
///
/// # Errors
/// Ctrl-C.
pub fn features(neuron: &Neuron, task: &SentenceTask) -> anyhow::Result<Features> {
    let cells = |place: usize| -> anyhow::Result<Vec<f32>> {
        let bytes: Vec<Vec<u8>> = task.texts.iter().map(|texts| prepared(&texts[place])).collect();
        cells_of_bytes(neuron, &bytes)
    };
    let hidden = neuron.hidden();
    let first = cells(0)?; // [examples, hidden]
    if !task.of_pairs() {
        return Ok(Features::dense(&first, hidden));
    }
    let second = cells(1)?;
    let mut rows = Vec::with_capacity(2 * first.len());
    for (a, b) in first.chunks_exact(hidden).zip(second.chunks_exact(hidden)) {
        rows.extend(a.iter().zip(b).map(|(a, b)| (a - b).abs()));
        rows.extend(a.iter().zip(b).map(|(a, b)| a * b));
    }
    Ok(Features::dense(&rows, 2 * hidden))
}

/// What the baseline reads of each example: the text, or one made of a pair's words, those of both sentences marked.
fn worded(texts: &[String]) -> String {
    let [first, second] = texts else { return texts[0].clone() };
    let (first, second) = (words(first), words(second));
    let mark = |word: &String| {
        let both = first.contains(word) && second.contains(word);
        format!("{}'{word}", if both { "both" } else { "one" })
    };
    first.iter().chain(&second).map(mark).collect::<Vec<_>>().join(" ")
}

/// Fits units and words on the training part, chooses by the validation part, and predicts the test part.
///
/// # Errors
/// A class that the training part lacks; features that are not finite; Ctrl-C.
pub fn read_out(task: &SentenceTask, features: &Features) -> anyhow::Result<Vec<Prediction>> {
    let longest = if task.of_pairs() { 1 } else { LONGEST };
    let texts = |indices: &[usize]| -> Vec<String> {
        indices.iter().map(|&i| worded(&task.texts[i])).collect()
    };
    let round = &task.round;
    let bag = Bag::new(&texts(&round.train), longest, MIN_TEXTS);
    let units = |indices: &[usize]| features.select(indices);
    let grams = |indices: &[usize]| bag.features(&texts(indices));
    let probe_penalty = if task.of_pairs() { Penalty::L2 } else { Penalty::L1 };
    let probe = predict(task, &units, probe_penalty)?;
    let bag = predict(task, &grams, Penalty::L2)?;
    let both = round.test.iter().zip(probe.into_iter().zip(bag));
    Ok(both
        .map(|(&index, (probe, bag))| Prediction { index, label: task.labels[index], probe, bag })
        .collect())
}

/// The test part as predicted from the features that `of` gives for examples.
fn predict(
    task: &SentenceTask,
    of: &dyn Fn(&[usize]) -> Features,
    penalty: Penalty,
) -> anyhow::Result<Vec<f64>> {
    let round = &task.round;
    let (train, val, test) = (of(&round.train), of(&round.val), of(&round.test));
    let labels = |indices: &[usize]| indices.iter().map(|&i| task.labels[i]).collect::<Vec<f64>>();
    let (ys, val_ys) = (labels(&round.train), labels(&round.val));
    match task.answer {
        Answer::Number => {
            let train = Examples { features: &train, labels: &ys };
            let val = Examples { features: &val, labels: &val_ys };
            Ok(ridge::choose_penalty(train, val).0.scores(&test))
        }
        Answer::Class(classes) => {
            let whole = |ys: &[f64]| ys.iter().map(|&y| y as usize).collect::<Vec<_>>();
            let (ys, val_ys) = (whole(&ys), whole(&val_ys));
            let train = Examples { features: &train, labels: &ys };
            let val = Examples { features: &val, labels: &val_ys };
            let linears = choose_c_of_classes(train, val, classes, penalty)?;
            Ok(classify(&linears, &test).into_iter().map(|class| class as f64).collect())
        }
    }
}

/// How well one reader does: the share of right classes in per cent, or Pearson's r of numbers.
pub fn score(answer: Answer, predictions: &[Prediction], reader: fn(&Prediction) -> f64) -> f64 {
    let found: Vec<f64> = predictions.iter().map(reader).collect();
    let labels: Vec<f64> = predictions.iter().map(|p| p.label).collect();
    match answer {
        Answer::Number => pearson(&found, &labels),
        Answer::Class(_) => {
            let right = found.iter().zip(&labels).filter(|(a, b)| (*a - *b).abs() < 0.5).count();
            100.0 * right as f64 / labels.len() as f64
        }
    }
}

#[cfg(test)]
mod tests {
    use common::data::text::labelled::Round;

    use super::*;

    fn task(answer: Answer, texts: Vec<Vec<String>>, labels: Vec<f64>) -> SentenceTask {
        let n = labels.len();
        let part = |from: usize, to: usize| (from * n / 10..to * n / 10).collect();
        let round = Round { train: part(0, 6), val: part(6, 8), test: part(8, 10) };
        SentenceTask { name: "made", answer, texts, labels, round, sha256: String::new() }
    }

    #[test]
    fn units_and_words_that_tell_the_class_find_it() {
        let n = 200;
        let class = |i: usize| (i * 7 + i / 3) % 3;
        let texts = (0..n).map(|i| vec![format!("it is {}", ["bad", "so so", "great"][class(i)])]);
        let labels = (0..n).map(|i| class(i) as f64).collect();
        let task = task(Answer::Class(3), texts.collect(), labels);
        let rows: Vec<f32> = (0..n)
            .flat_map(|i| {
                (0..3).map(move |j| if j == class(i) { 2.0 } else { (i % 5) as f32 / 9.0 })
            })
            .collect();
        let predictions = read_out(&task, &Features::dense(&rows, 3)).unwrap();
        assert_eq!(predictions.len(), 40);
        assert!(score(task.answer, &predictions, |p| p.probe) > 99.0);
        assert!(score(task.answer, &predictions, |p| p.bag) > 99.0);
    }

    #[test]
    fn words_that_pairs_share_tell_how_related_they_are() {
        let n = 300;
        let shared = |i: usize| (i * 5 + i / 7) % 6;
        let pair = |i: usize| -> Vec<String> {
            let side = |own: &str| -> String {
                let word = |k| if k < shared(i) { format!("w{k}") } else { format!("{own}{k}") };
                (0..6).map(word).collect::<Vec<_>>().join(" ")
            };
            vec![side("a"), side("b")]
        };
        let labels: Vec<f64> = (0..n).map(|i| 1.0 + shared(i) as f64 / 1.25).collect();
        let task = task(Answer::Number, (0..n).map(pair).collect(), labels);
        let rows: Vec<f32> = (0..n).map(|i| (i % 11) as f32).collect();
        let predictions = read_out(&task, &Features::dense(&rows, 1)).unwrap();
        assert!(score(task.answer, &predictions, |p| p.bag) > 0.99);
        assert!(score(task.answer, &predictions, |p| p.probe) < 0.5);
    }

    #[test]
    fn a_pair_is_what_its_sentences_share_and_differ_in() {
        let texts = ["A man plays.".to_owned(), "a man sings".to_owned()];
        assert_eq!(worded(&texts), "both'a both'man one'plays one'. both'a both'man one'sings");
        assert_eq!(worded(&texts[..1]), "A man plays.");
    }
}
