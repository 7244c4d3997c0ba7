//! Learning a vocabulary and its merges from a corpus.

use std::collections::{BTreeSet, HashMap};

use rayon::prelude::*;
use serde::Deserialize;
use tokenizers::AddedToken;
use tokenizers::models::bpe::{BPE, BpeTrainer};

use super::bpe::{Bpe, END_OF_WORD, UNKNOWN};
use super::corpus::Document;
use super::error::TokenizerError;
use super::splitter::{Mode, Span, Splitter};
use super::{PIECE_BYTES, Tokenizer};
use crate::data::error::DataError;
use crate::interrupt;

/// How often each word stands in a text.
pub(super) type Counts = HashMap<Box<str>, u64, ahash::RandomState>;

impl Tokenizer {
    /// Learns a vocabulary of `vocab_size` tokens from documents: `<unk>`, the characters of the text
    /// within words, those at the end of words, and as many merges as make up the number. The same
    /// documents give the same vocabulary, with any number of threads.
    ///
    /// A text too short for so many merges gives fewer tokens, with a warning: the size is
    /// [`Self::vocab_size`].
    ///
    /// # Errors
    /// A size that the characters alone exceed; documents that cannot be read or have no text; Ctrl-C.
    pub fn train(
        mode: Mode,
        documents: impl IntoIterator<Item = Result<Document, DataError>>,
        vocab_size: usize,
    ) -> Result<Self, TokenizerError> {
        let splitter = Splitter::new(mode);
        let mut words = Counts::default();
        let mut spans = Counts::default();
        for document in documents {
            interrupt::check()?;
            let document = document?;
            let (counted, line_breaks) = count_spans(&splitter, &document.text);
            if counted.is_empty() {
                return Err(TokenizerError::EmptyDocument { name: document.name });
            }
            add(&mut spans, counted);
            *words.entry("\n".into()).or_default() += line_breaks;
        }
        words.retain(|_, count| *count > 0);
        for (span, count) in &spans {
            for word in splitter.words(span) {
                *words.entry(word.as_ref().into()).or_default() += count;
            }
        }
        Ok(Self::new(mode, learn(words, vocab_size)?))
    }
}

/// How often each span of text stands in `text`, and the number of line breaks.
fn count_spans(splitter: &Splitter, text: &str) -> (Counts, u64) {
    let count = |(mut counts, mut line_breaks): (Counts, u64), piece| {
        let mut empty = true;
        splitter.spans(piece, &mut |span| {
            match span {
                Span::Text(text) => match counts.get_mut(text) {
                    Some(count) => *count += 1,
                    None => drop(counts.insert(text.into(), 1)),
                },
                Span::LineBreak => line_breaks += 1,
                Span::Unknown => {}
            }
            empty = false;
        });
        // The break between this piece and another.
        (counts, line_breaks + u64::from(!empty && matches!(splitter, Splitter::OpenAi(_))))
    };
    let sum = |(mut a, n): (Counts, u64), (b, m): (Counts, u64)| {
        add(&mut a, b);
        (a, n + m)
    };
    let (counts, line_breaks) = Splitter::pieces(text, PIECE_BYTES)
        .into_par_iter()
        .fold(Default::default, count)
        .reduce(Default::default, sum);
    (counts, line_breaks.saturating_sub(1))
}

pub(super) fn add(to: &mut Counts, from: Counts) {
    for (text, count) in from {
        *to.entry(text).or_default() += count;
    }
}

/// What the trainer leaves, as it writes itself.
#[derive(Deserialize)]
struct Learned {
    vocab: HashMap<Box<str>, usize>,
    merges: Vec<(String, String)>,
}

fn learn(words: Counts, vocab_size: usize) -> Result<Bpe, TokenizerError> {
    // The trainer numbers characters at the end of words as it meets them, in the order of a hash table,
    // and decides ties by number. Numbered here, the vocabulary is the same every time.
    let mut characters = BTreeSet::new();
    let mut last = BTreeSet::new();
    for word in words.keys() {
        characters.extend(word.chars());
        last.extend(word.chars().next_back());
    }
    let last = last.iter().map(|c| format!("{c}{END_OF_WORD}"));
    let alphabet: Vec<String> = std::iter::once(UNKNOWN.to_owned())
        .chain(characters.iter().map(char::to_string))
        .chain(last)
        .collect();
    if vocab_size < alphabet.len() {
        return Err(TokenizerError::TooSmall {
            wanted: vocab_size,
            alphabet: alphabet.len(),
            of: "`<unk>` and the characters of the text, within and at the end of words",
        });
    }
    let trainer = BpeTrainer::builder()
        .vocab_size(vocab_size)
        .min_frequency(2)
        .end_of_word_suffix(END_OF_WORD.into())
        .special_tokens(alphabet.iter().map(|text| AddedToken::from(text.as_str(), true)).collect())
        .show_progress(false)
        .build();
    let words = words.into_iter().map(|(word, count)| ((*word).into(), count)).collect();
    let mut model = BPE::default();
    trainer
        .do_train(&words, &mut model)
        .map_err(|error| TokenizerError::Training(error.to_string()))?;
    let learned = serde_json::to_value(&model).and_then(serde_json::from_value::<Learned>);
    let Learned { vocab, merges } = learned.expect("the trainer writes what the file format asks");
    let mut tokens: Vec<Box<str>> = vec![Box::default(); vocab.len()];
    for (text, id) in vocab {
        tokens[id] = text;
    }
    if tokens.len() < vocab_size {
        let found = tokens.len();
        tracing::warn!("the text gives {found} tokens, {vocab_size} were asked for");
    }
    Ok(Bpe::new(tokens, &merges).expect("merges make tokens of the vocabulary"))
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    fn train(mode: Mode, vocab_size: usize) -> Result<Tokenizer, TokenizerError> {
        Tokenizer::train(mode, sample::documents().into_iter().map(Ok), vocab_size)
    }

    #[test]
    fn the_vocabulary_is_the_same_every_time_and_with_any_number_of_threads() {
        let first = train(Mode::OpenAi, 1000).unwrap();
        assert_eq!(first.vocab_size(), 1000);
        for threads in [1, 2, 5] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let again = pool.install(|| train(Mode::OpenAi, 1000)).unwrap();
            assert_eq!(again.tokens(), first.tokens(), "{threads} threads");
            assert_eq!(again.digest(), first.digest(), "{threads} threads");
        }
    }

    #[test]
    fn the_first_merge_is_the_most_frequent_pair() {
        let document = Document { name: "d".into(), text: "abab abab\ncab ab".into() };
        let tokenizer = Tokenizer::train(Mode::OpenAi, [Ok(document)], 12).unwrap();
        // `ab</w>` stands four times, `ab` within a word two times.
        let tokens: Vec<_> = tokenizer.tokens().iter().map(|t| &**t).collect();
        assert_eq!(
            tokens,
            ["<unk>", "\n", "a", "b", "c", "\n</w>", "b</w>", "ab</w>", "ab", "abab</w>"]
        );
        assert_eq!(tokenizer.encode("abab cab\nab"), [9, 4, 7, 5, 7]);
    }

    #[test]
    fn line_breaks_are_counted_between_lines_and_only_in_openai_mode() {
        let text = "a\n\nb\n \nc\n";
        let n = |mode| count_spans(&Splitter::new(mode), text).1;
        assert_eq!((n(Mode::OpenAi), n(Mode::Hf)), (2, 0));
        let long = "word\n".repeat(3 * PIECE_BYTES / 5);
        let (spans, line_breaks) = count_spans(&Splitter::new(Mode::OpenAi), &long);
        assert_eq!(spans["word"], line_breaks + 1);
    }

    #[test]
    fn all_of_the_sample_is_known_to_a_vocabulary_learned_from_it() {
        for mode in [Mode::OpenAi, Mode::Hf] {
            let tokenizer = train(mode, 1000).unwrap();
            for document in sample::documents() {
                let text = document.text.replace(UNKNOWN, "");
                assert!(!tokenizer.encode(&text).contains(&tokenizer.unknown()));
            }
        }
    }

    #[test]
    fn a_size_below_the_alphabet_and_a_document_without_text_are_errors() {
        let error = train(Mode::OpenAi, 20).err().unwrap().to_string();
        assert!(error.contains("a vocabulary of 20 tokens"), "{error}");
        let blank = Document { name: "blank.txt".into(), text: " \n".into() };
        let error = Tokenizer::train(Mode::Hf, [Ok(blank)], 500).err().unwrap().to_string();
        assert!(error.starts_with("blank.txt: found no text"), "{error}");
    }
}
