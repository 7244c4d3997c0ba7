//! Text and ids of one vocabulary.

use common::data::tokenizer::{TokenizerError, Vocabulary};

/// A vocabulary, and the token that stands between texts.
#[derive(Debug)]
pub struct Words {
    /// The vocabulary.
    pub vocabulary: Box<dyn Vocabulary>,
    /// A line break, or a full stop where the vocabulary has no line break.
    pub separator: i64,
}

/// A word that has to be one token and is none.
#[derive(Debug, thiserror::Error)]
#[error(
    "\"{}\" is not one token of this vocabulary ({size} tokens); wanted a word that is, e.g. a full stop (ending.token)",
    word.escape_debug()
)]
pub struct NoToken {
    word: String,
    size: usize,
}

impl Words {
    /// The words of `vocabulary`.
    ///
    /// # Errors
    /// A vocabulary with neither line break nor full stop.
    pub fn new(vocabulary: Box<dyn Vocabulary>) -> Result<Self, NoToken> {
        let find = |word| token(&*vocabulary, word);
        let separator = find("\n").or_else(|_| find("."))?;
        Ok(Self { vocabulary, separator })
    }

    /// The ids of a text.
    pub fn ids(&self, text: &str) -> Vec<i64> {
        self.vocabulary.encode(text).into_iter().map(i64::from).collect()
    }

    /// The text of ids, in one line.
    ///
    /// # Errors
    /// An id that is not in the vocabulary.
    pub fn text(&self, ids: &[i64]) -> Result<String, TokenizerError> {
        let ids: Vec<u32> = ids.iter().map(|&id| id as u32).collect();
        Ok(self.vocabulary.decode(&ids)?.replace('\n', " ").trim().to_owned())
    }

    /// The id of a word that is one token.
    ///
    /// # Errors
    /// A word that is not.
    pub fn token(&self, word: &str) -> Result<i64, NoToken> {
        token(&*self.vocabulary, word)
    }

    /// A text by itself, as models read it: the separator, then its ids.
    pub fn sentence(&self, text: &str) -> Vec<i64> {
        std::iter::once(self.separator).chain(self.ids(text)).collect()
    }

    /// Prompt and answer as models read them, the separator at the end.
    pub fn answered(&self, prompt: &str, answer: &str) -> Vec<i64> {
        let mut ids = self.sentence(prompt);
        ids.extend(self.ids(answer));
        ids.push(self.separator);
        ids
    }
}

fn token(vocabulary: &dyn Vocabulary, word: &str) -> Result<i64, NoToken> {
    let none = || NoToken { word: word.to_owned(), size: vocabulary.vocab_size() };
    vocabulary.token(word).map(i64::from).ok_or_else(none)
}
