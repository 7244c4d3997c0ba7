//! Texts as tokens: what is read, cut into training, validation and test part, and the windows a
//! model is trained on.
//!
//! `B` windows, `T` tokens in each.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use common::data::catalog::Catalog;
use common::data::error::DataError;
use common::data::lookup::Lookup;
use common::data::sampler::{LastBatch, Sampler};
use common::data::text::books::{Library, Part, Shelf, parts};
use common::data::text::input::each_file;
use common::data::tokenizer::{ByteLevelTokenizer, Vocabulary as _};
use ledger::run::hex;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tch::Tensor;

/// A text and how it is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextConfig {
    /// `enwik8`, a library of books (`novels`, `registry-books`), a set that is one file of text, or
    /// what your own is to be called.
    pub name: String,
    /// Your own text: a file or a folder, packed or not.
    #[serde(default)]
    pub own: Option<PathBuf>,
    /// Bytes of it that are used, from the beginning; 0: all.
    pub bytes: u64,
    /// How it is written.
    pub vocabulary: Vocabulary,
}

/// How a text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Vocabulary {
    /// Its bytes.
    Bytes,
    /// So many tokens of pairs of bytes, as GPT-2's, learned from its training part. Kaplan: the same, 50,257.
    Pairs(usize),
}

/// [`Vocabulary`], learned.
#[derive(Debug)]
enum Writing {
    Bytes,
    Pairs(Box<ByteLevelTokenizer>),
}

/// Windows of a text's part.
#[derive(Debug)]
pub struct Tokens(Vec<u16>);

/// A text at hand.
#[derive(Debug)]
pub struct Text {
    /// Tokens in the vocabulary.
    pub vocab: i64,
    writing: Writing,
    /// To learn from.
    pub train: Tokens,
    /// To look at on the way.
    pub val: Tokens,
    /// Read once, at the end.
    pub test: Tokens,
    /// Bytes of the test part for each of its tokens.
    pub bytes_per_token: f64,
    /// Over everything that decides the tokens.
    pub sha256: String,
}

/// At the end of the line where it has so many bytes a text is cut; a piece is encoded by one thread.
const PIECE: usize = 1 << 18;

/// Of a text that is one piece, the last shares are for validation and test.
///
/// Source: the usual split of enwik8, 90, 5 and 5 million bytes.
const HELD_OUT: f64 = 0.05;

/// The bytes of a text's parts, and what identifies them.
struct Raw {
    parts: [Vec<u8>; 3],
    source: String,
}

fn raw(config: &TextConfig, lookup: &Lookup) -> anyhow::Result<Raw> {
    let TextConfig { name, own, bytes, .. } = config;
    let limit = if *bytes == 0 { usize::MAX } else { *bytes as usize };
    if let Some(path) = own {
        ensure!(path.exists(), "text.own: {} is not there", path.display());
        let text = whole(path)?;
        let sum = hex(&Sha256::digest(&text));
        return Ok(cut(text, limit, &sum));
    }
    if let Some(library) = Library::get(name) {
        let shelf = library.shelf(lookup)?;
        return of_books(&shelf, limit);
    }
    let located = Catalog::builtin().locate(name, lookup)?;
    let [file] = &located.files[..] else {
        let files = located.files.len();
        anyhow::bail!("the set {name} has {files} files, wanted one file of text")
    };
    Ok(cut(whole(&file.path)?, limit, &file.sha256))
}

/// The bytes of a file, or of all files of a folder or archive.
fn whole(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut text = Vec::new();
    each_file(path, &|_| true, &mut |lines| {
        text.append(&mut lines.rest()?);
        Ok(())
    })?;
    Ok(text)
}

/// The first bytes of a text that is one piece, its end held out.
fn cut(mut text: Vec<u8>, limit: usize, sum: &str) -> Raw {
    text.truncate(limit);
    let held_out = (text.len() as f64 * HELD_OUT) as usize;
    let test = text.split_off(text.len() - held_out);
    let val = text.split_off(text.len() - held_out);
    let source = format!("{sum} {}", text.len());
    Raw { parts: [text, val, test], source }
}

/// Books by whole authors, as many as fit.
fn of_books(shelf: &Shelf, limit: usize) -> anyhow::Result<Raw> {
    let books = shelf.books()?;
    let names: Vec<&str> = books.iter().map(|book| book.name.as_str()).collect();
    let which = parts(&names)?;
    let mut found = [Vec::new(), Vec::new(), Vec::new()];
    for (book, part) in books.iter().zip(which) {
        let (part, share) = match part {
            Part::Train => (0, 1.0 - 2.0 * HELD_OUT),
            Part::Val => (1, HELD_OUT),
            Part::Test => (2, HELD_OUT),
        };
        let room = (limit as f64 * share) as usize;
        let text = book.text.as_bytes();
        let left = room.saturating_sub(found[part].len()).min(text.len());
        found[part].extend_from_slice(&text[..left]);
    }
    Ok(Raw { parts: found, source: format!("{} {limit}", sha256_text(&shelf.source)) })
}

/// A text cut at ends of lines.
fn pieces(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let bytes = rest.as_bytes();
        let from = bytes.len().min(PIECE);
        let line = bytes[from..].iter().position(|&byte| byte == b'\n');
        let (piece, after) = rest.split_at(line.map_or(bytes.len(), |line| from + line + 1));
        pieces.push(piece);
        rest = after;
    }
    pieces
}

impl Writing {
    fn vocab(&self) -> i64 {
        match self {
            Self::Bytes => 256,
            Self::Pairs(tokenizer) => tokenizer.vocab_size() as i64,
        }
    }

    fn tokens(&self, text: Vec<u8>) -> Tokens {
        let Self::Pairs(tokenizer) = self else {
            return Tokens(text.into_iter().map(u16::from).collect());
        };
        let text = String::from_utf8_lossy(&text);
        let encode = |piece: &&str| tokenizer.encode(piece);
        Tokens(pieces(&text).par_iter().flat_map_iter(encode).map(|id| id as u16).collect())
    }
}

impl Text {
    /// Reads a text; a vocabulary is learned at the first call.
    ///
    /// # Errors
    /// A set that cannot be had or is damaged, a text too short to be cut.
    pub fn open(config: &TextConfig, lookup: &Lookup) -> anyhow::Result<Self> {
        let Raw { parts, source } = raw(config, lookup)?;
        let writing = match config.vocabulary {
            Vocabulary::Bytes => Writing::Bytes,
            Vocabulary::Pairs(size) => {
                ensure!(
                    u16::try_from(size).is_ok(),
                    "a vocabulary of {size}, wanted at most {}",
                    u16::MAX
                );
                let name = format!("vocabulary-bytes-{size}-{:.12}", sha256_text(&source));
                let folder = lookup.cache_for(&config.name).join(name);
                let text = String::from_utf8_lossy(&parts[0]);
                let pieces = pieces(&text);
                Writing::Pairs(Box::new(ByteLevelTokenizer::open_or_train(&folder, size, &pieces)?))
            }
        };
        let test_bytes = parts[2].len() as f64;
        let [train, val, test] = parts.map(|part| writing.tokens(part));
        Ok(Self {
            vocab: writing.vocab(),
            bytes_per_token: test_bytes / test.len() as f64,
            writing,
            train,
            val,
            test,
            sha256: sha256_text(&format!("{source} {:?}", config.vocabulary)),
        })
    }

    /// The test part of another text, written as this one is.
    ///
    /// # Errors
    /// As [`Text::open`].
    pub fn test_part_of(&self, other: &TextConfig, lookup: &Lookup) -> anyhow::Result<Tokens> {
        let [.., test] = raw(other, lookup)?.parts;
        Ok(self.writing.tokens(test))
    }

    /// That every part makes enough windows of `length` tokens: `least` to learn from.
    ///
    /// # Errors
    /// Names the part that does not.
    pub fn check(&self, least: usize, length: usize) -> anyhow::Result<()> {
        for (name, tokens) in
            [("training", &self.train), ("validation", &self.val), ("test", &self.test)]
        {
            let windows = tokens.windows(length);
            let least = if name == "training" { least } else { 1 };
            ensure!(
                windows >= least,
                "the {name} part makes {windows} windows of {length} tokens, {least} are needed: more \
                 text, shorter windows or a smaller batch"
            );
        }
        Ok(())
    }
}

impl Tokens {
    /// How many tokens there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first `n` of them, or all.
    #[must_use]
    pub fn first(mut self, n: usize) -> Self {
        self.0.truncate(n);
        self
    }

    /// How many windows that predict `length` tokens there are.
    pub fn windows(&self, length: usize) -> usize {
        self.len().saturating_sub(1) / length
    }

    /// Batches of `batch` windows, every epoch in another order.
    ///
    /// # Panics
    /// If there are fewer windows than that.
    pub fn sampler(&self, seed: u64, length: usize, batch: usize) -> Sampler {
        Sampler::new(seed, self.windows(length), batch, LastBatch::Drop)
    }

    /// Windows at `indices` as ids `[B, T + 1]` on the CPU.
    pub fn at(&self, indices: impl ExactSizeIterator<Item = usize>, length: usize) -> Tensor {
        let n = indices.len() as i64;
        let ids: Vec<i64> = indices
            .flat_map(|i| &self.0[i * length..=(i + 1) * length])
            .map(|&id| i64::from(id))
            .collect();
        Tensor::from_slice(&ids).view([n, length as i64 + 1]) // [B, T + 1]
    }

    /// `n` windows evenly spread, in batches of ids `[B, T + 1]`.
    pub fn spread(&self, n: usize, length: usize, batch: usize) -> Vec<Tensor> {
        let all = self.windows(length);
        let n = n.min(all);
        let indices: Vec<usize> = (0..n).map(|i| i * all / n).collect();
        indices.chunks(batch).map(|some| self.at(some.iter().copied(), length)).collect()
    }
}

/// The texts of `names` that can be had, for judging what was learned on another.
///
/// # Errors
/// A set that is damaged.
pub fn available(names: &[String], lookup: &Lookup) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    for name in names {
        let sets = Library::get(name).map_or(vec![name.as_str()], |library| library.sets.to_vec());
        let here =
            sets.into_iter().try_for_each(|set| Catalog::builtin().locate(set, lookup).map(drop));
        match here {
            Ok(()) => found.push(name.clone()),
            Err(DataError::Unavailable { .. }) => {
                tracing::warn!("{name} cannot be had here: nothing is judged on it");
            }
            Err(error) => return Err(error).with_context(|| name.clone()),
        }
    }
    Ok(found)
}

/// sha256 of a text, in hex.
pub(crate) fn sha256_text(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

/// Where raw outputs of a run lie.
pub(crate) fn file(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.csv.gz"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_overlap_by_the_token_that_both_need() {
        let tokens = Tokens((0..10).collect());
        assert_eq!(tokens.windows(3), 3);
        let ids = Vec::<Vec<i64>>::try_from(tokens.at([0, 2].into_iter(), 3)).unwrap();
        assert_eq!(ids, [[0, 1, 2, 3], [6, 7, 8, 9]]);
    }

    #[test]
    fn pieces_end_with_a_line_and_make_the_text() {
        let line = "a line of \u{e9}\n";
        let text = line.repeat(PIECE / line.len() * 2 + 5) + "and no end";
        let cut = pieces(&text);
        assert_eq!(cut.len(), 3);
        assert!(cut[..2].iter().all(|piece| piece.ends_with('\n') && piece.len() > PIECE));
        assert_eq!(cut.concat(), text);
        assert!(pieces("").is_empty());
    }

    #[test]
    fn pairs_write_the_same_text_in_fewer_tokens_and_other_texts_by_the_same_vocabulary() {
        let folder = tempfile::tempdir().unwrap();
        let lookup = Lookup::in_cache(folder.path().to_owned());
        let own = |name: &str, vocabulary| {
            let (name, own) = (name.to_owned(), Some(folder.path().join(name)));
            TextConfig { name, own, bytes: 0, vocabulary }
        };
        std::fs::write(folder.path().join("one"), "the cat sat on the mat.\n".repeat(100)).unwrap();
        std::fs::write(folder.path().join("other"), "the rat\n".repeat(50)).unwrap();
        let bytes = Text::open(&own("one", Vocabulary::Bytes), &lookup).unwrap();
        let pairs = Text::open(&own("one", Vocabulary::Pairs(262)), &lookup).unwrap();
        assert_eq!((bytes.vocab, pairs.vocab), (256, 262));
        assert_eq!((bytes.bytes_per_token, bytes.test.len()), (1.0, 120));
        assert!(pairs.test.len() < 100);
        let bytes_written = pairs.bytes_per_token * pairs.test.len() as f64;
        assert!((bytes_written - 120.0).abs() < 1e-9, "{bytes_written}");
        let Writing::Pairs(tokenizer) = &pairs.writing else { panic!("no pairs") };
        let ids = |tokens: &Tokens| tokens.0.iter().map(|&id| u32::from(id)).collect::<Vec<_>>();
        let written: Vec<u8> = bytes.test.0.iter().map(|&byte| byte as u8).collect();
        assert_eq!(tokenizer.decode(&ids(&pairs.test)).unwrap().into_bytes(), written);
        let other = pairs.test_part_of(&own("other", Vocabulary::Bytes), &lookup).unwrap();
        assert_eq!(
            tokenizer.decode(&ids(&other)).unwrap(),
            "rat\n".to_owned() + &"the rat\n".repeat(2)
        );
    }

    #[test]
    fn windows_to_judge_are_spread_over_the_whole_part() {
        let tokens = Tokens((0..101).collect());
        let batches = tokens.spread(4, 5, 3);
        let firsts: Vec<i64> = batches
            .iter()
            .flat_map(|ids| Vec::<i64>::try_from(ids.select(1, 0)).unwrap())
            .collect();
        assert_eq!(firsts, [0, 25, 50, 75]);
        assert_eq!(tokens.spread(1000, 5, 3).len(), 7);
    }
}
