//! Sentences that some twenty people each scored from −4 to 4: genuine human judgements that every machine with a
//! package registry can have.
//!
//! Pairs of sentences of one kind make comparisons of "which is more positive". The judge of a pair is the panel, by
//! mean score, or one rater of each sentence, whose noise is then in the labels.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use common::data::catalog::Catalog;
use common::data::error::DataError;
use common::data::lookup::Lookup;
use common::data::sampler::below;
use common::data::text::clean::decode;
use common::data::text::input::{Lines, each_file};
use common::rng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{Comparison, Judged, Part, hex};

/// The set's name in the catalogue.
pub const SET: &str = "human-sentiment";
/// The kinds that are read: of these, sentences are opinions of things.
const KINDS: [&str; 2] = ["movie", "amazon"];

/// Who says which of two sentences is the more positive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Judge {
    /// All raters, by their means.
    Panel,
    /// One rater of each sentence, drawn; pairs that they score alike are drawn again.
    OneRater,
}

/// A sentence with its scores.
#[derive(Debug, Clone, PartialEq)]
pub struct Sentence {
    /// The text.
    pub text: String,
    /// What it is about: sentences are compared within a kind.
    pub kind: &'static str,
    /// Every rater's score.
    pub ratings: Vec<i8>,
    /// What it is for; sentences of one review stay together.
    pub part: Part,
}

impl Sentence {
    /// The panel's mean score.
    pub fn mean(&self) -> f64 {
        self.ratings.iter().map(|&r| f64::from(r)).sum::<f64>() / self.ratings.len() as f64
    }
}

/// All sentences.
#[derive(Debug)]
pub struct Rated {
    /// In the order of the files.
    pub sentences: Vec<Sentence>,
    /// Over all texts and scores, in hex.
    pub sha256: String,
}

/// Two sentences, by their places, and how far apart the panel has them: above 0 where the first is better.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// The first.
    pub a: usize,
    /// The second.
    pub b: usize,
    /// The panel's mean of the first less that of the second.
    pub gap: f64,
    /// Whether the judge preferred the first.
    pub first: bool,
}

/// Reads the sentences.
///
/// # Errors
/// Files that cannot be had or break their format.
pub fn read(lookup: &Lookup) -> Result<Rated, DataError> {
    let located = Catalog::builtin().locate(SET, lookup)?;
    let path = &located.files[0].path;
    let mut texts: BTreeMap<(usize, String), String> = BTreeMap::new();
    let mut scores: BTreeMap<(usize, String), Vec<i8>> = BTreeMap::new();
    let mut order = Vec::new();
    let kind_of = |member: &str| KINDS.iter().position(|kind| member.contains(&format!("/{kind}")));
    let keep = |member: &str| {
        let file = ["_GroundTruth.txt", "_anonDataRatings.txt"].iter().any(|e| member.ends_with(e));
        file && kind_of(member).is_some()
    };
    each_file(path, &keep, &mut |lines| {
        let kind = kind_of(&lines.member).expect("only these are kept");
        let is_text = lines.member.ends_with("_GroundTruth.txt");
        let mut line = Vec::new();
        while lines.next(&mut line)? {
            let text = decode(&line).0.into_owned();
            if text.trim().is_empty() {
                continue;
            }
            let mut cells =
                text.trim_start_matches('\u{feff}').splitn(if is_text { 3 } else { 4 }, '\t');
            let id = cells.next().unwrap_or_default().to_owned();
            let last = cells.last().unwrap_or_default();
            let key = (kind, id);
            if is_text {
                order.push(key.clone());
                texts.insert(key, last.trim().to_owned());
            } else {
                scores.insert(key, ratings(last, lines)?);
            }
        }
        Ok(())
    })?;
    let mut sentences = Vec::new();
    let mut all = String::new();
    for key in order {
        let (Some(text), Some(ratings)) = (texts.remove(&key), scores.remove(&key)) else {
            continue;
        };
        if text.is_empty() {
            continue;
        }
        let (kind, id) = key;
        let review = id.split_once('_').map_or(id.as_str(), |(review, _)| review);
        let part = Part::of(&format!("{} {review}", KINDS[kind]));
        writeln!(all, "{text}\t{ratings:?}").expect("writing to a string does not fail");
        sentences.push(Sentence { text, kind: KINDS[kind], ratings, part });
    }
    Ok(Rated { sentences, sha256: hex(&all) })
}

/// The scores of a line: `[2, 0, -1, …]`.
fn ratings(cell: &str, lines: &Lines) -> Result<Vec<i8>, DataError> {
    let wrong = || lines.wrong(cell, "whole scores from -4 to 4 in brackets");
    let inside = cell.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let scores: Vec<i8> = inside
        .ok_or_else(wrong)?
        .split(',')
        .map(|score| score.trim().parse().map_err(|_| wrong()))
        .collect::<Result<_, _>>()?;
    let fine = !scores.is_empty() && scores.iter().all(|score| (-4..=4).contains(score));
    if fine { Ok(scores) } else { Err(wrong()) }
}

impl Rated {
    /// The places of a part's sentences, by kind.
    fn places(&self, part: Part) -> Vec<Vec<usize>> {
        let of = |kind: &&str| -> Vec<usize> {
            let all = self.sentences.iter().enumerate();
            all.filter(|(_, s)| s.part == part && s.kind == *kind).map(|(i, _)| i).collect()
        };
        KINDS.iter().map(of).filter(|places| places.len() > 1).collect()
    }

    /// `n` pairs of a part, each of one kind, drawn by `seed`; those that the judge cannot tell apart are left out and
    /// drawn again.
    pub fn pairs(&self, part: Part, n: usize, seed: u64, judge: Judge) -> Vec<Pair> {
        let by_kind = self.places(part);
        let total: usize = by_kind.iter().map(Vec::len).sum();
        let mut rng = rng::chacha(seed, "pairs of rated sentences", part as u64);
        let mut pairs = Vec::with_capacity(n);
        if total == 0 {
            return pairs;
        }
        while pairs.len() < n {
            let mut at = below(&mut rng, total as u32) as usize;
            let places = by_kind
                .iter()
                .find(|places| {
                    let here = at < places.len();
                    if !here {
                        at -= places.len();
                    }
                    here
                })
                .expect("the draw is below their sum");
            let (a, b) = (places[at], places[below(&mut rng, places.len() as u32) as usize]);
            let (left, right) = (&self.sentences[a], &self.sentences[b]);
            let gap = left.mean() - right.mean();
            let said = match judge {
                Judge::Panel => gap,
                Judge::OneRater => f64::from(one(left, &mut rng)) - f64::from(one(right, &mut rng)),
            };
            if left.text != right.text && said != 0.0 {
                pairs.push(Pair { a, b, gap, first: said > 0.0 });
            }
        }
        pairs
    }

    /// A pair as a comparison of whole sentences.
    pub fn comparison(&self, pair: &Pair) -> Comparison {
        let text = |i: usize| self.sentences[i].text.clone();
        let (better, worse) = if pair.first { (pair.a, pair.b) } else { (pair.b, pair.a) };
        Comparison::pair(String::new(), text(better), text(worse))
    }

    /// `n` groups of `k` sentences of a part and of one kind, judged together.
    pub fn groups(
        &self,
        part: Part,
        n: usize,
        k: usize,
        seed: u64,
        judge: Judge,
    ) -> Vec<Comparison> {
        let by_kind = self.places(part);
        let mut rng = rng::chacha(seed, "groups of rated sentences", part as u64);
        let kinds: Vec<&Vec<usize>> =
            by_kind.iter().filter(|places| places.len() >= 2 * k).collect();
        (0..if kinds.is_empty() { 0 } else { n })
            .map(|i| {
                let places = kinds[i % kinds.len()];
                let mut chosen: Vec<usize> = Vec::with_capacity(k);
                while chosen.len() < k {
                    let place = places[below(&mut rng, places.len() as u32) as usize];
                    if !chosen.contains(&place) {
                        chosen.push(place);
                    }
                }
                let sentences = chosen.iter().map(|&i| &self.sentences[i]);
                let goodness = sentences.clone().map(|sentence| match judge {
                    Judge::Panel => sentence.mean(),
                    Judge::OneRater => f64::from(one(sentence, &mut rng)),
                });
                Comparison {
                    prompt: String::new(),
                    goodness: goodness.collect(),
                    texts: sentences.map(|sentence| sentence.text.clone()).collect(),
                }
            })
            .collect()
    }

    /// How often one rater of each sentence agrees with the means of all the others, over pairs of a part that both can
    /// tell apart: the human ceiling.
    pub fn human_agreement(&self, pairs: &[Pair], seed: u64) -> f64 {
        let mut rng = rng::chacha(seed, "human agreement", 0);
        let (mut agreed, mut n) = (0.0, 0.0);
        for pair in pairs {
            let mut split = |i: usize| {
                let ratings = &self.sentences[i].ratings;
                let out = below(&mut rng, ratings.len() as u32) as usize;
                let sum: i32 = ratings.iter().map(|&r| i32::from(r)).sum();
                let others = f64::from(sum - i32::from(ratings[out])) / (ratings.len() - 1) as f64;
                (f64::from(ratings[out]), others)
            };
            let ((one_a, rest_a), (one_b, rest_b)) = (split(pair.a), split(pair.b));
            let (one, rest) = (one_a - one_b, rest_a - rest_b);
            if one != 0.0 && rest != 0.0 && rest.is_finite() {
                n += 1.0;
                agreed += f64::from(u8::from((one > 0.0) == (rest > 0.0)));
            }
        }
        agreed / f64::max(n, 1.0)
    }
}

/// One rater's score, drawn.
fn one(sentence: &Sentence, rng: &mut ChaCha8Rng) -> i8 {
    sentence.ratings[below(rng, sentence.ratings.len() as u32) as usize]
}

/// The sentences as prompts with judged continuations, where no judged answers can be had: a prompt is the first words
/// that some sentences share, the answers go on from them. Sentences that share only one word are not taken.
///
/// # Errors
/// As [`read`].
pub fn continuations(lookup: &Lookup) -> Result<Judged, DataError> {
    let rated = read(lookup)?;
    let mut by_start: BTreeMap<String, Vec<&Sentence>> = BTreeMap::new();
    for sentence in &rated.sentences {
        let words: Vec<&str> = sentence.text.split_whitespace().collect();
        if words.len() > 5 {
            by_start.entry(words[..2].join(" ").to_lowercase()).or_default().push(sentence);
        }
    }
    let mut comparisons = Vec::new();
    for (start, sentences) in by_start {
        for pair in sentences.chunks_exact(2) {
            let [left, right] = [pair[0].mean(), pair[1].mean()];
            let rest =
                |i: usize| pair[i].text.split_whitespace().skip(2).collect::<Vec<_>>().join(" ");
            let (a, b) = (rest(0), rest(1));
            if a.to_lowercase() == b.to_lowercase() || (left - right).abs() < f64::EPSILON {
                continue;
            }
            let (better, worse) = if left > right { (a, b) } else { (b, a) };
            comparisons.push(Comparison::pair(start.clone(), better, worse));
        }
    }
    Ok(Judged { name: SET.to_owned(), comparisons, sha256: rated.sha256 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made() -> Rated {
        let sentence = |i: usize| Sentence {
            text: format!("sentence {i}"),
            kind: KINDS[i % 2],
            ratings: vec![(i % 7) as i8 - 3, (i % 5) as i8 - 2, 1],
            part: if i.is_multiple_of(3) { Part::Test } else { Part::Train },
        };
        Rated { sentences: (0..120).map(sentence).collect(), sha256: String::new() }
    }

    #[test]
    fn pairs_are_of_one_kind_and_part_and_as_the_judge_says() {
        let rated = made();
        let pairs = rated.pairs(Part::Train, 300, 4, Judge::Panel);
        assert_eq!(pairs.len(), 300);
        for pair in &pairs {
            let (a, b) = (&rated.sentences[pair.a], &rated.sentences[pair.b]);
            assert!(a.part == Part::Train && b.part == Part::Train && a.kind == b.kind);
            assert_eq!(pair.first, a.mean() > b.mean());
        }
        assert_eq!(pairs, rated.pairs(Part::Train, 300, 4, Judge::Panel));
        assert_ne!(pairs, rated.pairs(Part::Train, 300, 5, Judge::Panel));
        let noisy = rated.pairs(Part::Train, 300, 4, Judge::OneRater);
        let against = noisy.iter().filter(|p| p.gap != 0.0 && p.first != (p.gap > 0.0)).count();
        assert!(against > 10, "single raters differ from the panel at times: {against}");
    }

    #[test]
    fn groups_hold_different_sentences() {
        let groups = made().groups(Part::Train, 20, 8, 1, Judge::Panel);
        assert_eq!(groups.len(), 20);
        for group in groups {
            let different: std::collections::BTreeSet<_> = group.texts.iter().collect();
            assert_eq!((different.len(), group.goodness.len()), (8, 8));
        }
    }

    #[test]
    fn raters_of_one_mind_agree_always() {
        let mut rated = made();
        for (i, sentence) in rated.sentences.iter_mut().enumerate() {
            sentence.ratings = vec![(i % 9) as i8 - 4; 5];
        }
        let pairs = rated.pairs(Part::Test, 200, 0, Judge::Panel);
        assert!((rated.human_agreement(&pairs, 0) - 1.0).abs() < 1e-12);
    }
}
