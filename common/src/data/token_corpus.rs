//! Books as tokens: the vocabulary, the encoded text, which book is for what, and the windows that a model is trained
//! on.
//!
//! `B` windows, `T` tokens in each.

use std::fs;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::catalog::Catalog;
use super::error::DataError;
use super::lookup::Lookup;
use super::sampler::{LastBatch, Sampler, below, sample_rng};
use super::text::books::{Part, Shelf, parts};
use super::tokenizer::{HUGGING_FACE, Mode, TokenFile, Tokenizer, TokenizerError};
use super::verify::sha256_text;

/// Which vocabulary a text is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Vocabulary {
    /// GPT-1's own 40,478 tokens.
    Published,
    /// So many tokens, learned from the training books.
    Trained(usize),
}

/// A library in tokens.
#[derive(Debug)]
pub struct TokenCorpus {
    /// Turns text into its tokens.
    pub tokenizer: Tokenizer,
    /// All books.
    pub tokens: TokenFile,
    /// What each book is for, in the order of the file.
    pub parts: Vec<Part>,
    /// Over everything that decides the tokens: source, mode, vocabulary.
    pub sha256: String,
}

impl TokenCorpus {
    /// The books of `shelf` in tokens, learned and encoded at the first call and kept in the cache.
    ///
    /// # Errors
    /// Files that cannot be read or are damaged; an empty book; fewer than three authors; Ctrl-C, after which
    /// vocabulary or tokens that were not finished are made anew.
    pub fn open_or_make(
        shelf: &Shelf,
        mode: Mode,
        vocabulary: Vocabulary,
        lookup: &Lookup,
    ) -> Result<Self, TokenizerError> {
        let tokenizer = tokenizer(shelf, mode, vocabulary, lookup)?;
        let source = sha256_text(&shelf.source);
        let digest = tokenizer.digest();
        let name = format!("tokens-{}-{:.12}-{source:.12}.bin", mode.as_str(), digest);
        let path = lookup.cache_for(&shelf.name).join(name);
        let documents = std::iter::once_with(|| shelf.books()).flat_map(|books| match books {
            Ok(books) => books.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        });
        let tokens = tokenizer.encode_corpus(&shelf.source, documents, &path)?;
        let names: Vec<&str> = tokens.documents().iter().map(|d| d.name.as_str()).collect();
        let parts = parts(&names)?;
        let sha256 = sha256_text(&format!("{source} {} {digest}", mode.as_str()));
        Ok(Self { tokenizer, tokens, parts, sha256 })
    }

    /// Tokens of the books that are for `part`.
    pub fn count(&self, part: Part) -> usize {
        let documents = self.tokens.documents().iter().zip(&self.parts);
        documents.filter(|(_, p)| **p == part).map(|(d, _)| d.tokens.len()).sum()
    }
}

fn tokenizer(
    shelf: &Shelf,
    mode: Mode,
    vocabulary: Vocabulary,
    lookup: &Lookup,
) -> Result<Tokenizer, TokenizerError> {
    let size = match vocabulary {
        Vocabulary::Published => {
            let files = Catalog::builtin().locate("gpt1-vocabulary", lookup)?.files;
            return Tokenizer::from_files(mode, &files[0].path, &files[1].path);
        }
        Vocabulary::Trained(size) => size,
    };
    let source = sha256_text(&shelf.source);
    let folder = lookup
        .cache_for(&shelf.name)
        .join(format!("vocabulary-{}-{size}-{source:.12}", mode.as_str()));
    if !HUGGING_FACE.iter().all(|name| folder.join(name).is_file()) {
        tracing::info!("{}: learning a vocabulary of {size} tokens, once", shelf.name);
        let books = shelf.books()?;
        let names: Vec<&str> = books.iter().map(|book| book.name.as_str()).collect();
        let parts = parts(&names)?;
        let train = books.into_iter().zip(parts).filter(|(_, part)| *part == Part::Train);
        let learned = Tokenizer::train(mode, train.map(|(book, _)| Ok(book)), size)?;
        fs::create_dir_all(&folder).map_err(DataError::io(&folder, "create"))?;
        learned.save(&folder)?;
    }
    Tokenizer::open(mode, &folder)
}

/// The windows of `T + 1` tokens that the books of a part are cut into; none reaches from one book into the next.
#[derive(Debug)]
pub struct Windows {
    corpus: Arc<TokenCorpus>,
    length: usize,
    /// Of each book that is long enough: where its tokens begin, and how many spare tokens it has.
    books: Vec<Cut>,
    /// How many windows come before each book.
    before: Vec<usize>,
    /// Books that are shorter than a window.
    left_out: usize,
}

#[derive(Debug, Clone, Copy)]
struct Cut {
    start: usize,
    spare: usize,
}

impl Windows {
    /// The windows of `part` that predict `length` tokens each. Books that are shorter are left out, and counted.
    pub fn new(corpus: Arc<TokenCorpus>, part: Part, length: usize) -> Self {
        let mut books = Vec::new();
        let mut before = vec![0];
        let mut left_out = 0;
        for (document, _) in
            corpus.tokens.documents().iter().zip(&corpus.parts).filter(|(_, p)| **p == part)
        {
            let predicted = document.tokens.len().saturating_sub(1);
            let (windows, spare) = (predicted / length, predicted % length);
            if windows == 0 {
                left_out += 1;
                continue;
            }
            books.push(Cut { start: document.tokens.start, spare });
            before.push(before.last().expect("it begins with a 0") + windows);
        }
        Self { corpus, length, books, before, left_out }
    }

    /// How many windows there are.
    pub fn len(&self) -> usize {
        *self.before.last().expect("it begins with a 0")
    }

    /// Whether no book is long enough.
    pub fn is_empty(&self) -> bool {
        self.books.is_empty()
    }

    /// Books that are shorter than a window.
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// Windows `indices` of `[0, len)`, as ids `[B, T + 1]` on the CPU; each book's first window begins at its first
    /// token.
    pub fn at(&self, indices: &[usize]) -> Tensor {
        self.gather(indices.iter().map(|&index| (index, 0)))
    }

    /// The windows of `batch` that `sampler` draws for `step`, as ids `[B, T + 1]` on the CPU. In each epoch all of a
    /// book's windows begin a little later, as far as its spare tokens allow, so that the cuts differ.
    pub fn batch(&self, seed: u64, sampler: &Sampler, step: u64) -> Tensor {
        let batch = sampler.batch_of(step);
        self.gather(batch.indices.into_iter().map(|index| {
            let index = index as usize;
            let book = self.book_of(index);
            let mut rng = sample_rng(seed, batch.epoch, book as u64);
            (index, below(&mut rng, self.books[book].spare as u32 + 1) as usize)
        }))
    }

    /// Batches of `batch` windows, every epoch in another order; what does not fill a batch is left out.
    ///
    /// # Panics
    /// If there are fewer windows than that.
    pub fn sampler(&self, seed: u64, batch: usize) -> Sampler {
        Sampler::new(seed, self.len(), batch, LastBatch::Drop)
    }

    fn book_of(&self, index: usize) -> usize {
        self.before.partition_point(|&before| before <= index) - 1
    }

    fn gather(&self, windows: impl ExactSizeIterator<Item = (usize, usize)>) -> Tensor {
        let n = windows.len();
        let mut ids: Vec<i64> = Vec::with_capacity(n * (self.length + 1));
        for (index, shift) in windows {
            let book = self.book_of(index);
            let start = self.books[book].start + shift + (index - self.before[book]) * self.length;
            let window = self.corpus.tokens.tokens(start..start + self.length + 1);
            ids.extend(window.map(i64::from));
        }
        Tensor::from_slice(&ids).view([n as i64, self.length as i64 + 1]) // [B, T + 1]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Seven books of different lengths by as many authors, words counted up: `w0 w1 …`.
    fn corpus(cache: &std::path::Path) -> Arc<TokenCorpus> {
        let folder = cache.join("books");
        fs::create_dir_all(&folder).unwrap();
        for (book, n) in [40, 41, 60, 77, 130, 5, 90].into_iter().enumerate() {
            let words: Vec<String> = (0..n).map(|i| format!("b{book}w{i}")).collect();
            fs::write(folder.join(format!("{book}.txt")), words.join(" ")).unwrap();
        }
        let lookup = Lookup::in_cache(cache.to_owned());
        let shelf = Shelf::own(&folder, &lookup).unwrap();
        let make = || {
            TokenCorpus::open_or_make(&shelf, Mode::Hf, Vocabulary::Trained(60), &lookup).unwrap()
        };
        let (made, again) = (make(), make());
        assert_eq!(made.sha256, again.sha256);
        Arc::new(again)
    }

    fn rows(ids: &Tensor) -> Vec<Vec<i64>> {
        Vec::<Vec<i64>>::try_from(ids).unwrap()
    }

    #[test]
    fn windows_cover_each_book_once_and_never_reach_into_the_next() {
        let place = tempfile::tempdir().unwrap();
        let corpus = corpus(place.path());
        let mut books = 0;
        for part in [Part::Train, Part::Val, Part::Test] {
            let windows = Windows::new(Arc::clone(&corpus), part, 16);
            let all: Vec<usize> = (0..windows.len()).collect();
            let mut at = rows(&windows.at(&all)).into_iter();
            for (document, of) in corpus.tokens.documents().iter().zip(&corpus.parts) {
                if *of != part {
                    continue;
                }
                books += 1;
                let ids: Vec<i64> =
                    corpus.tokens.tokens(document.tokens.clone()).map(i64::from).collect();
                for start in (0..ids.len()).step_by(16).filter(|start| start + 16 < ids.len()) {
                    assert_eq!(at.next().unwrap(), ids[start..start + 17]);
                }
            }
            assert_eq!(at.next(), None);
        }
        assert_eq!(books, 7);
    }

    #[test]
    fn an_epoch_shows_each_window_once_and_the_next_cuts_elsewhere() {
        let place = tempfile::tempdir().unwrap();
        let windows = Windows::new(corpus(place.path()), Part::Train, 16);
        let sampler = windows.sampler(3, 1);
        let n = sampler.steps_per_epoch();
        assert_eq!(n as usize, windows.len());
        let epoch = |epoch: u64| -> BTreeSet<Vec<i64>> {
            let batches = (epoch * n..(epoch + 1) * n).map(|step| windows.batch(3, &sampler, step));
            batches.flat_map(|ids| rows(&ids)).collect()
        };
        let (first, second) = (epoch(0), epoch(1));
        assert_eq!(first.len(), windows.len());
        assert_ne!(first, second);
        assert_eq!(first, epoch(0));
    }

    #[test]
    fn books_shorter_than_a_window_are_left_out_and_counted() {
        let place = tempfile::tempdir().unwrap();
        let corpus = corpus(place.path());
        let left_out = |length| {
            let parts = [Part::Train, Part::Val, Part::Test];
            parts
                .map(|part| Windows::new(Arc::clone(&corpus), part, length).left_out())
                .iter()
                .sum::<usize>()
        };
        assert_eq!((left_out(4), left_out(1 << 20)), (0, 7));
        assert!(Windows::new(corpus, Part::Train, 1 << 20).is_empty());
    }
}
