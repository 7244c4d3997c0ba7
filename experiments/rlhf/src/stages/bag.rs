//! The plain baseline of reward models: a logistic regression on the words of two texts.

use std::collections::{BTreeMap, HashMap};

use common::linear::features::Features;
use common::linear::logistic::{Config, Penalty, fit};
use common::rows::write_rows;
use common::training_run::{Spec, TrainingRun};

use super::reward::{judgements, summary};
use super::texts::Texts;
use super::{JUDGEMENTS, Labels, RunConfig, Task};
use crate::data::Comparison;

pub(super) fn make(
    spec: &Spec,
    config: &RunConfig,
    task: &Task,
    labels: &Labels,
    run: &mut TrainingRun,
) -> anyhow::Result<BTreeMap<String, f64>> {
    run.start(&[])?;
    let texts = Texts::same(task, &spec.lookup, &config.data_sha256)?;
    let (learned, tested) = texts.labelled(labels, spec.key.seed)?;
    let pairs: Vec<Words> = learned.iter().flat_map(both_ways).collect();
    let classes: Vec<bool> = (0..pairs.len()).map(|i| i % 2 == 0).collect();
    let mut known: HashMap<&str, u32> = HashMap::new();
    for word in pairs.iter().flat_map(|words| words.keys()) {
        let next = known.len() as u32;
        known.entry(word).or_insert(next);
    }
    let linear = fit(&features(&pairs, &known), &classes, &Config::new(Penalty::L2, 1.0), None)?;
    let held_out: Vec<Words> = tested.comparisons.iter().flat_map(both_ways).step_by(2).collect();
    let scores = linear.scores(&features(&held_out, &known));
    let judgements = judgements(scores.into_iter().map(|x| x - linear.intercept), &tested);
    let mut ended: BTreeMap<String, f64> = summary(&judgements, &tested).into_iter().collect();
    ended.insert("n_comparisons".to_owned(), (pairs.len() / 2) as f64);
    write_rows(&run.path().join(JUDGEMENTS), &judgements)?;
    Ok(ended)
}

/// Words by how often they are in one text more than in another.
type Words = BTreeMap<String, f32>;

/// The better text less the worse, and the other way round, so that neither class is the larger.
fn both_ways(comparison: &Comparison) -> [Words; 2] {
    let best = usize::from(comparison.goodness[1] > comparison.goodness[0]);
    let mut words = Words::new();
    for (text, sign) in [(&comparison.texts[best], 1.0), (&comparison.texts[1 - best], -1.0)] {
        for word in text.split(|c: char| !c.is_alphanumeric() && c != '\'') {
            if !word.is_empty() {
                *words.entry(word.to_lowercase()).or_default() += sign;
            }
        }
    }
    words.retain(|_, count| *count != 0.0);
    let turned = words.iter().map(|(word, count)| (word.clone(), -count)).collect();
    [words, turned]
}

/// `[pairs, words]`.
fn features(pairs: &[Words], known: &HashMap<&str, u32>) -> Features {
    let mut columns: Vec<Vec<(u32, f32)>> = vec![Vec::new(); known.len()];
    for (row, words) in pairs.iter().enumerate() {
        for (word, count) in words {
            if let Some(&column) = known.get(word.as_str()) {
                columns[column as usize].push((row as u32, *count));
            }
        }
    }
    Features::sparse(pairs.len(), &columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_what_one_text_has_more_of_than_the_other() {
        let comparison = Comparison {
            prompt: String::new(),
            texts: vec!["Bad, bad film".into(), "a good film".into()],
            goodness: vec![0.0, 1.0],
        };
        let [words, turned] = both_ways(&comparison);
        let wanted = [("a", 1.0), ("bad", -2.0), ("good", 1.0)];
        assert_eq!(words, wanted.map(|(word, x)| (word.to_owned(), x)).into_iter().collect());
        assert!((turned["bad"] - 2.0).abs() < 1e-6);
    }
}
