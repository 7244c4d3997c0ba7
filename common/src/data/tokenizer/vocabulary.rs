//! What a language model needs of a vocabulary, whichever kind it is.

use std::fmt;
use std::path::Path;

use super::{END_OF_WORD, Mode, Tokenizer, TokenizerError};

/// Text and ids of one vocabulary.
pub trait Vocabulary: fmt::Debug {
    /// The ids of a text.
    fn encode(&self, text: &str) -> Vec<u32>;

    /// The text of ids.
    ///
    /// # Errors
    /// An id that is not in the vocabulary.
    fn decode(&self, ids: &[u32]) -> Result<String, TokenizerError>;

    /// Number of tokens; the ids are 0 to one less.
    fn vocab_size(&self) -> usize;

    /// The id of a word (or sign) that is one token.
    fn token(&self, word: &str) -> Option<u32>;

    /// sha256, in hex, over all tokens and merges.
    fn digest(&self) -> String;

    /// How text becomes words, which files beside the vocabulary have to say; none where the vocabulary's kind says it.
    fn mode(&self) -> Option<Mode>;

    /// Writes `vocab.json` and `merges.txt` into `folder`.
    ///
    /// # Errors
    /// A folder that cannot be written to.
    fn save(&self, folder: &Path) -> Result<(), TokenizerError>;
}

impl Vocabulary for Tokenizer {
    fn encode(&self, text: &str) -> Vec<u32> {
        self.encode(text)
    }

    fn decode(&self, ids: &[u32]) -> Result<String, TokenizerError> {
        self.decode(ids)
    }

    fn vocab_size(&self) -> usize {
        self.vocab_size()
    }

    fn token(&self, word: &str) -> Option<u32> {
        let wanted = format!("{word}{END_OF_WORD}");
        let found = self.tokens().iter().position(|token| **token == *wanted)?;
        Some(found as u32)
    }

    fn digest(&self) -> String {
        self.digest()
    }

    fn mode(&self) -> Option<Mode> {
        Some(self.mode())
    }

    fn save(&self, folder: &Path) -> Result<(), TokenizerError> {
        self.save(folder)
    }
}
