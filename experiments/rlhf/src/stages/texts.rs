//! A task's texts in ids: what is fine-tuned on, what is asked, what is judged.

use std::collections::BTreeSet;

use anyhow::{bail, ensure};
use common::data::lookup::Lookup;
use common::data::sampler::epoch_order;
use tch::Tensor;

use super::{Labels, Task};
use crate::data::preferences;
use crate::data::rated::{self, Pair, Rated};
use crate::data::{Comparison, Judged, Part, judged};
use crate::language::Stream;
use crate::tokens::{Side, batch};
use crate::train_reward::Element;
use crate::words::Words;

/// Everything that a task is made of.
#[derive(Debug)]
pub(crate) enum Texts {
    /// Sentences to go on from.
    Sentences(Rated),
    /// Prompts with judged answers.
    Answers(Judged),
}

impl Texts {
    /// Reads a task's texts.
    ///
    /// # Errors
    /// Files that cannot be had or break their format.
    pub(crate) fn read(task: &Task, lookup: &Lookup) -> anyhow::Result<Self> {
        Ok(if task.style && task.own.is_none() {
            Self::Sentences(rated::read(lookup)?)
        } else {
            Self::Answers(judged(&task.set, task.own.as_deref(), lookup)?)
        })
    }

    /// As [`Texts::read`], and refuses texts that changed.
    ///
    /// # Errors
    /// As [`Texts::read`].
    pub(super) fn same(task: &Task, lookup: &Lookup, sha256: &str) -> anyhow::Result<Self> {
        let texts = Self::read(task, lookup)?;
        let name = texts.name();
        ensure!(texts.sha256() == sha256, "{name}: the data changed since the run was planned");
        Ok(texts)
    }

    /// Over all texts and judgements, in hex.
    pub(crate) fn sha256(&self) -> &str {
        match self {
            Self::Sentences(rated) => &rated.sha256,
            Self::Answers(judged) => &judged.sha256,
        }
    }

    /// Their name in paths of results.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Sentences(_) => rated::SET,
            Self::Answers(judged) => &judged.name,
        }
    }

    /// What a part has to fine-tune on: sentences, or prompts with the better answers.
    pub(super) fn stream(&self, part: Part, words: &Words) -> Stream {
        let mut ids = Vec::new();
        match self {
            Self::Sentences(rated) => {
                for sentence in rated.sentences.iter().filter(|s| s.part == part) {
                    ids.extend(words.sentence(&sentence.text));
                }
                ids.push(words.separator);
            }
            Self::Answers(judged) => {
                for comparison in judged.part(part) {
                    ids.extend(words.answered(&comparison.prompt, &comparison.texts[0]));
                }
            }
        }
        Stream { ids }
    }

    /// Different queries of a part, at most `most` of them (0: all), padded before: `[n, P]`. Prompts too long for the
    /// task are left out and counted.
    ///
    /// # Errors
    /// None that is short enough.
    pub(super) fn queries(
        &self,
        part: Part,
        most: usize,
        task: &Task,
        words: &Words,
    ) -> anyhow::Result<Tensor> {
        let (mut found, mut too_long) = (Vec::new(), 0);
        let mut seen = BTreeSet::new();
        match self {
            Self::Sentences(rated) => {
                for sentence in rated.sentences.iter().filter(|s| s.part == part) {
                    let mut ids = words.sentence(&sentence.text);
                    if ids.len() > task.query {
                        ids.truncate(task.query);
                        found.push(ids);
                    }
                }
            }
            Self::Answers(judged) => {
                for comparison in judged.part(part) {
                    let ids = words.sentence(&comparison.prompt);
                    if ids.len() <= task.query {
                        found.push(ids);
                    } else {
                        too_long += 1;
                    }
                }
            }
        }
        found.retain(|ids| seen.insert(ids.clone()));
        if too_long > 0 {
            let most = task.query;
            tracing::warn!("{too_long} prompts have more than {most} tokens and are left out");
        }
        if found.is_empty() {
            bail!(
                "{}: no query of the {part:?} part fits {} tokens; a prompt may be as long as the model's context less \
                 the response: raise sft.task.query, or instruct.task.query",
                self.name(),
                task.query
            );
        }
        if most > 0 {
            found.truncate(most);
        }
        Ok(batch(&found, Side::Left))
    }

    /// The comparisons that a reward model learns from, and the pairs that it is tested on.
    ///
    /// # Errors
    /// The user's own file that cannot be read; no comparison at all.
    pub(super) fn labelled(
        &self,
        labels: &Labels,
        seed: u64,
    ) -> anyhow::Result<(Vec<Comparison>, Tested)> {
        let n = labels.comparisons;
        let (own, usual) = parts(labels.held_out);
        let other = labels.tested_on.unwrap_or(usual);
        ensure!(
            !own.contains(&other),
            "{}: labels.tested_on is {other:?}, which the model learns from: take another part",
            self.name()
        );
        let (mut learned, tested): (Vec<Comparison>, Tested) = match self {
            Self::Sentences(rated) => {
                let k = labels.together;
                let of = |part: &Part| -> Vec<Comparison> {
                    if k == 2 {
                        let pairs = rated.pairs(*part, n / own.len(), seed, labels.judge);
                        return pairs.iter().map(|pair| rated.comparison(pair)).collect();
                    }
                    let groups = (2 * n / (k * (k - 1)) / own.len()).max(1);
                    rated.groups(*part, groups, k, seed, labels.judge)
                };
                // All models are tested on the same pairs.
                let pairs = rated.pairs(other, labels.test_pairs, 0, rated::Judge::Panel);
                (own.iter().flat_map(of).collect(), Tested::of_sentences(rated, &pairs))
            }
            Self::Answers(judged) => {
                let all: Vec<&Comparison> =
                    own.iter().flat_map(|part| judged.part(*part)).collect();
                let order = epoch_order(seed, 0, all.len()).into_iter().take(n);
                let learned = order.map(|i| all[i as usize].clone()).collect();
                let tested = judged.part(other).into_iter().take(labels.test_pairs).cloned();
                let comparisons = tested.collect();
                (learned, Tested { comparisons, gaps: None, people_agree: None })
            }
        };
        if let Some(path) = &labels.also {
            learned.extend(preferences::read(path)?);
        }
        learned.retain(|of| of.goodness.iter().any(|g| g.total_cmp(&of.goodness[0]).is_ne()));
        ensure!(!learned.is_empty(), "{}: no comparison to learn from", self.name());
        Ok((learned, tested))
    }
}

/// The parts that are learned from, and the one that tests.
fn parts(held_out: bool) -> (&'static [Part], Part) {
    if held_out { (&[Part::Val, Part::Test], Part::Train) } else { (&[Part::Train], Part::Test) }
}

/// Pairs that a reward model is tested on.
#[derive(Debug)]
pub(super) struct Tested {
    /// The pairs, the better text first.
    pub(super) comparisons: Vec<Comparison>,
    /// How far apart the raters' means are.
    pub(super) gaps: Option<Vec<f64>>,
    /// How often one rater agrees with the others.
    pub(super) people_agree: Option<f64>,
}

impl Tested {
    fn of_sentences(rated: &Rated, pairs: &[Pair]) -> Self {
        Self {
            comparisons: pairs.iter().map(|pair| rated.comparison(pair)).collect(),
            gaps: Some(pairs.iter().map(|pair| pair.gap.abs()).collect()),
            people_agree: Some(rated.human_agreement(pairs, 0)),
        }
    }
}

/// Comparisons in ids. What is longer than `context` loses its beginning; so many are counted.
pub(super) fn elements(
    comparisons: &[Comparison],
    words: &Words,
    context: usize,
) -> (Vec<Element>, usize) {
    let mut cut = 0;
    let mut ids_of = |prompt: &str, text: &str| {
        let ids =
            if prompt.is_empty() { words.sentence(text) } else { words.answered(prompt, text) };
        let from = ids.len().saturating_sub(context);
        cut += usize::from(from > 0);
        ids[from..].to_vec()
    };
    let mut element = |of: &Comparison| Element {
        texts: of.texts.iter().map(|text| ids_of(&of.prompt, text)).collect(),
        goodness: of.goodness.clone(),
    };
    let elements = comparisons.iter().map(&mut element).collect();
    (elements, cut)
}
