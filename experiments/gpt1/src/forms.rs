//! From texts to the sequences that a fine-tuned model reads: start, delimiter and extract tokens round the texts'
//! own.
//!
//! Source: Radford et al. 2018, section 3.3 and Figure 1; openai/finetune-transformer-lm, `train.py`,
//! `transform_roc`.

use common::data::tokenizer::Tokenizer;

use crate::tasks::{Example, Form};

/// Special tokens that fine-tuning adds to a vocabulary.
pub const SPECIAL: i64 = 3;

/// The three special tokens; they come after the vocabulary.
#[derive(Debug, Clone, Copy)]
pub struct Special {
    /// Begins every sequence.
    pub start: i64,
    /// Stands between two texts.
    pub delimiter: i64,
    /// Ends every sequence; the classifier reads the state at it.
    pub extract: i64,
}

impl Special {
    /// Those of a vocabulary of `vocab` tokens without them.
    pub fn after(vocab: i64) -> Self {
        Self { start: vocab, delimiter: vocab + 1, extract: vocab + 2 }
    }
}

/// An example as sequences.
#[derive(Debug, Clone, PartialEq)]
pub struct Encoded {
    /// One sequence, both orders of a pair, or one for each answer.
    pub sequences: Vec<Vec<i64>>,
    /// The class, the right answer, or the number.
    pub label: f64,
}

/// Encoded examples, and what did not fit.
#[derive(Debug, Default)]
pub struct EncodedSet {
    /// In the order of the examples.
    pub examples: Vec<Encoded>,
    /// Examples that were longer than the context.
    pub cut: usize,
    /// Tokens that they lost.
    pub tokens_cut: usize,
    /// Characters that the vocabulary lacks.
    pub unknown: usize,
}

impl EncodedSet {
    /// Encodes examples of a form for a model that reads at most `context` tokens. What does not fit loses its end:
    /// of two texts the longer one, as far as needed.
    ///
    /// Differs: the released code cuts every text at 254 tokens, which for a context of 512 is nearly the same.
    pub fn new(form: Form, examples: &[Example], tokenizer: &Tokenizer, context: usize) -> Self {
        let special = Special::after(tokenizer.vocab_size() as i64);
        let mut set = Self::default();
        for example in examples {
            let texts: Vec<Vec<i64>> = example
                .texts
                .iter()
                .map(|text| tokenizer.encode(text).into_iter().map(i64::from).collect())
                .collect();
            let unknown = i64::from(tokenizer.unknown());
            set.unknown += texts.iter().flatten().filter(|&&id| id == unknown).count();
            let (sequences, lost) = sequences(form, &texts, special, context);
            set.cut += usize::from(lost > 0);
            set.tokens_cut += lost;
            set.examples.push(Encoded { sequences, label: example.label });
        }
        set
    }

    /// Says what was cut or unknown, if anything was; `name` is what the message calls the set.
    pub fn warn(&self, name: &str) {
        if self.cut > 0 {
            tracing::warn!(
                "{name}: {} of {} examples are longer than the context; {} tokens were cut off their ends",
                self.cut,
                self.examples.len(),
                self.tokens_cut
            );
        }
        if self.unknown > 0 {
            tracing::warn!("{name}: {} characters are not in the vocabulary", self.unknown);
        }
    }
}

/// The sequences of an example's texts, and how many tokens did not fit.
fn sequences(
    form: Form,
    texts: &[Vec<i64>],
    special: Special,
    context: usize,
) -> (Vec<Vec<i64>>, usize) {
    let mut lost = 0;
    let mut join = |parts: &[&[i64]]| {
        let room = context.saturating_sub(parts.len() + 1);
        let lengths = fitted(&parts.iter().map(|part| part.len()).collect::<Vec<_>>(), room);
        let mut sequence = vec![special.start];
        for (i, (part, &length)) in parts.iter().zip(&lengths).enumerate() {
            if i > 0 {
                sequence.push(special.delimiter);
            }
            sequence.extend(&part[..length]);
            lost += part.len() - length;
        }
        sequence.push(special.extract);
        sequence
    };
    let sequences = match form {
        Form::Single => vec![join(&[&texts[0]])],
        Form::Entailment => vec![join(&[&texts[0], &texts[1]])],
        Form::Similarity => {
            vec![join(&[&texts[0], &texts[1]]), join(&[&texts[1], &texts[0]])]
        }
        Form::Gap => {
            let (before, after) = (&texts[0], &texts[texts.len() - 1]);
            let filled = |filling: &Vec<i64>| [&before[..], filling, after].concat();
            texts[1..texts.len() - 1].iter().map(|filling| join(&[&filled(filling)])).collect()
        }
        Form::Choice => texts[1..].iter().map(|answer| join(&[&texts[0], answer])).collect(),
    };
    (sequences, lost)
}

/// Lengths that together are at most `room`: the longest gives first.
fn fitted(lengths: &[usize], room: usize) -> Vec<usize> {
    let mut lengths = lengths.to_vec();
    while lengths.iter().sum::<usize>() > room {
        let over = lengths.iter().sum::<usize>() - room;
        let longest = (0..lengths.len()).max_by_key(|&i| (lengths[i], i)).expect("there is a text");
        let next = lengths.iter().enumerate().filter(|(i, _)| *i != longest).map(|(_, n)| *n).max();
        // Down to the next longest at once, then one by one in turn.
        let gap = lengths[longest] - next.unwrap_or(0);
        lengths[longest] -= gap.clamp(1, over);
    }
    lengths
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPECIAL: Special = Special { start: 100, delimiter: 101, extract: 102 };

    fn made(form: Form, texts: &[&[i64]], context: usize) -> (Vec<Vec<i64>>, usize) {
        let texts: Vec<Vec<i64>> = texts.iter().map(|text| text.to_vec()).collect();
        sequences(form, &texts, SPECIAL, context)
    }

    #[test]
    fn each_form_is_the_papers() {
        let (a, b, c): (&[i64], &[i64], &[i64]) = (&[1, 2], &[3], &[4, 5]);
        assert_eq!(made(Form::Single, &[a], 9).0, [[100, 1, 2, 102]]);
        assert_eq!(made(Form::Entailment, &[a, b], 9).0, [[100, 1, 2, 101, 3, 102]]);
        assert_eq!(
            made(Form::Similarity, &[a, b], 9).0,
            [[100, 1, 2, 101, 3, 102], [100, 3, 101, 1, 2, 102]]
        );
        assert_eq!(
            made(Form::Choice, &[a, b, c], 9).0,
            [vec![100, 1, 2, 101, 3, 102], vec![100, 1, 2, 101, 4, 5, 102]]
        );
        assert_eq!(
            made(Form::Gap, &[a, b, c, &[6]], 9).0,
            [vec![100, 1, 2, 3, 6, 102], vec![100, 1, 2, 4, 5, 6, 102]]
        );
    }

    #[test]
    fn what_does_not_fit_is_cut_from_the_longer_text_and_counted() {
        let (long, short): (&[i64], &[i64]) = (&[1, 2, 3, 4, 5, 6], &[7, 8]);
        let (sequences, lost) = made(Form::Entailment, &[long, short], 8);
        assert_eq!(sequences, [[100, 1, 2, 3, 101, 7, 8, 102]]);
        assert_eq!(lost, 3);
        assert_eq!(made(Form::Single, &[long], 5), (vec![vec![100, 1, 2, 3, 102]], 3));
        assert_eq!(made(Form::Single, &[long], 8).1, 0);
        assert_eq!(fitted(&[6, 5], 4), [2, 2]);
        assert_eq!(fitted(&[1, 9], 4), [1, 3]);
        assert_eq!(fitted(&[3, 3], 9), [3, 3]);
        assert_eq!(fitted(&[3, 3], 0), [0, 0]);
    }
}
