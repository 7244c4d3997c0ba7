//! The same text twice: as BPE pieces and as bytes.
//!
//! GPT-1's tokeniser makes all letters small and one blank of several. So that both networks predict the same, the bytes
//! are those of what the pieces say: the tokens put together again.

use std::path::Path;

use anyhow::{Context as _, ensure};
use common::data::error::DataError;
use common::data::text::shards::{Part, Shards};
use common::data::tokenizer::{Document, Mode, Tokenizer};

pub mod train;

/// A text as symbols.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Symbols {
    /// How many different ones there are.
    pub vocab: i64,
    /// Training shards.
    pub train: Vec<Vec<u16>>,
    /// The shard to choose by.
    pub val: Vec<u16>,
    /// The shard to be read once, at the end.
    pub test: Vec<u16>,
    /// Bytes of the training shards as text, of the shard to choose by, of the last.
    pub bytes: [u64; 3],
}

impl Symbols {
    /// Bytes of training text for each symbol.
    pub fn bytes_per_symbol(&self) -> f64 {
        let symbols: usize = self.train.iter().map(Vec::len).sum();
        self.bytes[0] as f64 / symbols as f64
    }
}

/// What a text is cut into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Pieces of words.
    Pieces,
    /// Bytes of what the pieces say.
    Bytes,
}

/// The first training shards of `shards` with `bytes` of text (all where it has less), its validation and its test
/// shard, cut into `unit`s by a vocabulary of `vocab` pieces that is learned from the same training text. Vocabulary and
/// tokens are kept in `folder`; the first call makes them.
///
/// # Errors
/// Shards that cannot be read; a vocabulary that 16 bits do not number, or that the characters alone exceed.
pub fn cut(
    shards: &Shards,
    bytes: u64,
    vocab: usize,
    unit: Unit,
    folder: &Path,
) -> anyhow::Result<Symbols> {
    ensure!(vocab <= 1 << 16, "{vocab} pieces: at most {} can be numbered", 1 << 16);
    let mut n_train = 0;
    let mut gathered = 0;
    for size in shards.train_bytes() {
        if gathered < bytes {
            (n_train, gathered) = (n_train + 1, gathered + size);
        }
    }
    let read = |part: Part| -> Result<Document, DataError> {
        let text = String::from_utf8_lossy(&shards.read(part)?).into_owned();
        Ok(Document { name: shards.shard(part).file.clone(), text })
    };
    let source = format!("{} {n_train}", shards.sha256);
    let folder = folder.join(format!("{vocab}-of-{n_train}-{:.16}", shards.sha256));
    let tokenizer = if folder.join(VOCABULARY).is_file() {
        Tokenizer::open(MODE, &folder)?
    } else {
        tracing::info!("{}: learning {vocab} pieces, once", folder.display());
        let learned = Tokenizer::train(MODE, (0..n_train).map(Part::Train).map(read), vocab)?;
        std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        learned.save(&folder)?;
        learned
    };
    let parts = (0..n_train).map(Part::Train).chain([Part::Val, Part::Test]);
    let tokens = tokenizer.encode_corpus(&source, parts.map(read), &folder.join(TOKENS))?;
    let mut cut = Vec::new();
    let mut sizes = Vec::new();
    for document in tokens.documents() {
        let ids: Vec<u32> = tokens.tokens(document.tokens.clone()).collect();
        let text = tokenizer.decode(&ids)?;
        sizes.push(text.len() as u64);
        cut.push(match unit {
            Unit::Pieces => ids.into_iter().map(|id| id as u16).collect(),
            Unit::Bytes => text.bytes().map(u16::from).collect(),
        });
    }
    let shard = "validation and test shards follow the training shards";
    let (test, val) = (cut.pop().expect(shard), cut.pop().expect(shard));
    let (test_bytes, val_bytes) = (sizes.pop().expect(shard), sizes.pop().expect(shard));
    let vocab = match unit {
        Unit::Pieces => tokenizer.vocab_size() as i64,
        Unit::Bytes => crate::model::BYTES,
    };
    Ok(Symbols { vocab, train: cut, val, test, bytes: [sizes.iter().sum(), val_bytes, test_bytes] })
}

/// Line breaks stay, and with them where a review ends.
const MODE: Mode = Mode::OpenAi;
/// The vocabulary's file, as [`Tokenizer::save`] calls it.
const VOCABULARY: &str = "vocab.json";
/// The tokens' file beside it.
const TOKENS: &str = "tokens.bin";

#[cfg(test)]
mod tests {
    use super::*;

    /// Shards of 400 reviews out of a few words.
    pub(super) fn shards(folder: &Path) -> Shards {
        let words = ["Good", "bad", "very", "film", "the", "plot", "was", "dull", "bright", "not"];
        let review = |i: usize| {
            let text: Vec<&str> =
                (0..20).map(|j| words[(i * 7 + j * j * 3 + i * j) % 10]).collect();
            format!("{} {i}", text.join(" "))
        };
        Shards::open_or_make(folder, "made", 3, &folder.join("memory"), |sharder| {
            (0..400).try_for_each(|i| sharder.review(review(i).as_bytes()))
        })
        .unwrap()
    }

    #[test]
    fn both_forms_are_the_same_text_and_pieces_are_fewer() {
        let folder = tempfile::tempdir().unwrap();
        let shards = shards(folder.path());
        let of = |unit| cut(&shards, u64::MAX, 120, unit, folder.path()).unwrap();
        let (pieces, bytes) = (of(Unit::Pieces), of(Unit::Bytes));
        assert_eq!((pieces.bytes, pieces.train.len()), (bytes.bytes, 3));
        assert_eq!(bytes.train.iter().map(Vec::len).sum::<usize>() as u64, bytes.bytes[0]);
        assert_eq!((bytes.val.len() as u64, bytes.vocab), (bytes.bytes[1], 256));
        assert!((bytes.bytes_per_symbol() - 1.0).abs() < 1e-12);
        assert!((2.0..6.0).contains(&pieces.bytes_per_symbol()), "{}", pieces.bytes_per_symbol());
        assert!(pieces.val.iter().all(|&id| i64::from(id) < pieces.vocab));
        // Small letters, and reviews between line breaks.
        let text: Vec<u8> = bytes.val.iter().map(|&byte| byte as u8).collect();
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("good") && !text.contains("Good"), "{text}");
        assert!(text.lines().count() > 20, "{text}");
    }

    #[test]
    fn no_more_shards_are_taken_than_are_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let shards = shards(folder.path());
        let taken = cut(&shards, 10, 120, Unit::Bytes, folder.path()).unwrap();
        assert_eq!(taken.train.len(), 1);
    }
}
