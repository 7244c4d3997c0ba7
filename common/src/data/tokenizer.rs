//! GPT-1's tokeniser: text to ids and back, training a vocabulary, encoding a corpus once and for all.
//!
//! A [`Tokenizer`] is a vocabulary with its merges and a [`Mode`], which says how text becomes words:
//! as OpenAI's code did it, or as Hugging Face's tokeniser does. The ids after the vocabulary's last
//! (start, delimiter, extract) belong to the caller; a text never encodes to them.
//!
//! A character that the vocabulary lacks (an emoji, mostly) becomes `<unk>`, one for each character, in
//! both modes as in their originals: [`Tokenizer::unknown`] is its id, and a token file counts them.

use std::fmt;
use std::path::Path;

pub use self::byte_level::ByteLevelTokenizer;
pub use self::corpus::Document;
pub use self::error::TokenizerError;
pub use self::splitter::Mode;
pub use self::token_file::{DocumentTokens, TokenFile};
pub use self::vocabulary::Vocabulary;

use self::bpe::{Bpe, END_OF_WORD};
use self::cache::Cache;
pub(super) use self::files::HUGGING_FACE;
use self::splitter::{Piece, Span, Splitter};

mod bpe;
mod byte_level;
mod cache;
mod corpus;
mod english;
mod error;
mod files;
mod fix_text;
mod ftfy_data;
mod mojibake;
#[cfg(test)]
mod sample;
mod splitter;
mod standardize;
mod token_file;
mod train;
mod vocabulary;

/// A piece of this size is encoded by one thread.
const PIECE_BYTES: usize = 1 << 16;

/// A vocabulary and the way in which text is cut for it. Threads may share it.
pub struct Tokenizer {
    mode: Mode,
    bpe: Bpe,
    splitter: Splitter,
    cache: Cache,
    /// What a line break encodes to.
    line_break: Vec<u32>,
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.vocab_size();
        f.debug_struct("Tokenizer")
            .field("mode", &self.mode)
            .field("vocab_size", &size)
            .finish_non_exhaustive()
    }
}

impl Tokenizer {
    /// Opens the vocabulary in `folder`: `vocab.json` with `merges.txt`, or `encoder_bpe_40000.json` with
    /// `vocab_40000.bpe`, each gzipped or not.
    ///
    /// # Errors
    /// Files that are missing, damaged, or do not belong together.
    pub fn open(mode: Mode, folder: &Path) -> Result<Self, TokenizerError> {
        let [vocab, merges] = files::find(folder)?;
        Self::from_files(mode, &vocab, &merges)
    }

    /// As [`Self::open`], for files under any names; a name that ends in `.gz` is unpacked.
    ///
    /// # Errors
    /// Files that are damaged or do not belong together.
    pub fn from_files(mode: Mode, vocab: &Path, merges: &Path) -> Result<Self, TokenizerError> {
        Ok(Self::new(mode, files::read(vocab, merges)?))
    }

    fn new(mode: Mode, bpe: Bpe) -> Self {
        let mut line_break = Vec::new();
        bpe.encode_word("\n", &mut line_break);
        Self { mode, bpe, splitter: Splitter::new(mode), cache: Cache::new(), line_break }
    }

    /// Writes `vocab.json` and `merges.txt` into `folder`, as Hugging Face's tokenisers read them.
    ///
    /// # Errors
    /// A folder that cannot be written to.
    pub fn save(&self, folder: &Path) -> Result<(), TokenizerError> {
        files::write(&self.bpe, folder)
    }

    /// The ids of a text, all of them below [`Self::vocab_size`].
    ///
    /// A text is encoded line by line; a corpus goes faster through [`Self::encode_corpus`].
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let mut ids = Vec::with_capacity(text.len() / 3);
        for piece in Splitter::pieces(text, PIECE_BYTES) {
            self.append(&self.encode_piece(piece), &mut ids);
        }
        ids
    }

    /// The text of ids: words with blanks between them, in lower case; as transformers' `decode` has
    /// it, but for line breaks, which those do not know.
    ///
    /// # Errors
    /// An id that is not in the vocabulary.
    pub fn decode(&self, ids: &[u32]) -> Result<String, TokenizerError> {
        let tokens = self.bpe.tokens();
        let mut text = String::new();
        for &id in ids {
            let token = tokens
                .get(id as usize)
                .ok_or(TokenizerError::UnknownId { id, vocab_size: tokens.len() })?;
            match token.strip_suffix(END_OF_WORD) {
                Some("\n") => {
                    text.truncate(text.trim_end_matches(' ').len());
                    text.push('\n');
                }
                Some(end) => text.extend([end, " "]),
                None => text.push_str(token),
            }
        }
        text.truncate(text.trim_end_matches(' ').len());
        Ok(text)
    }

    /// How text is cut into words.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Number of tokens; the ids are 0 to one less.
    pub fn vocab_size(&self) -> usize {
        self.bpe.tokens().len()
    }

    /// The id that stands for a character which the vocabulary lacks.
    pub fn unknown(&self) -> u32 {
        self.bpe.unknown()
    }

    /// The text of each id, `</w>` and all.
    pub fn tokens(&self) -> &[Box<str>] {
        self.bpe.tokens()
    }

    /// sha256, in hex, over all tokens and merges.
    pub fn digest(&self) -> String {
        self.bpe.digest()
    }

    fn encode_piece(&self, piece: Piece) -> Vec<u32> {
        let mut ids = Vec::with_capacity(piece.text.len() / 3);
        self.splitter.spans(piece, &mut |span| match span {
            Span::LineBreak => ids.extend_from_slice(&self.line_break),
            Span::Unknown => ids.push(self.bpe.unknown()),
            Span::Text(text) => self.cache.append(text, &mut ids, |ids| {
                self.splitter.words(text).iter().for_each(|word| self.bpe.encode_word(word, ids));
            }),
        });
        ids
    }

    /// Appends the ids of the next piece of a document to those of the pieces before it.
    fn append(&self, piece: &[u32], document: &mut Vec<u32>) {
        if self.mode == Mode::OpenAi && !document.is_empty() && !piece.is_empty() {
            document.extend_from_slice(&self.line_break);
        }
        document.extend_from_slice(piece);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MODES: [Mode; 2] = [Mode::OpenAi, Mode::Hf];

    #[test]
    fn decoding_gives_the_words_back_and_encoding_those_the_same_ids() {
        let text = "It was the best of times;\n\nit was THE worst.";
        let original = sample::tokenizer(Mode::OpenAi);
        let decoded = original.decode(&original.encode(text)).unwrap();
        assert_eq!(decoded, "it was the best of times ;\nit was the worst .");
        let hf = sample::tokenizer(Mode::Hf);
        let decoded = hf.decode(&hf.encode(text)).unwrap();
        assert_eq!(decoded, "it was the best of times ; it was the worst .");
        for mode in MODES {
            let tokenizer = sample::tokenizer(mode);
            for document in sample::documents() {
                // `</w>` and `<unk>` in a text are not what they were after a round.
                let text = document.text.replace(['<', '\u{378}', '\u{e0001}'], "");
                let ids = tokenizer.encode(&text);
                let again = tokenizer.decode(&ids).unwrap();
                let twice = tokenizer.decode(&tokenizer.encode(&again)).unwrap();
                let thrice = tokenizer.decode(&tokenizer.encode(&twice)).unwrap();
                assert_eq!(twice, thrice, "{}", mode.as_str());
            }
        }
    }

    #[test]
    fn an_emoji_that_was_not_learned_is_unknown_and_nothing_else_is_lost() {
        for mode in MODES {
            let tokenizer = sample::tokenizer(mode);
            let ids = tokenizer.encode("the \u{1f980}\u{1f980} the");
            let n_unknown = ids.iter().filter(|&&id| id == tokenizer.unknown()).count();
            assert_eq!(n_unknown, 2, "{}", mode.as_str());
            let the = tokenizer.encode("the");
            assert!(ids.starts_with(&the) && ids.ends_with(&the));
        }
    }

    #[test]
    fn an_id_beyond_the_vocabulary_is_no_text() {
        let tokenizer = sample::tokenizer(Mode::OpenAi);
        let error = tokenizer.decode(&[1000]).unwrap_err().to_string();
        assert!(error.contains("id 1000: the vocabulary has the ids 0 to 999"), "{error}");
    }

    #[test]
    fn a_text_is_encoded_as_its_pieces_are() {
        for mode in MODES {
            let tokenizer = sample::tokenizer(mode);
            let text: String = sample::documents().iter().map(|d| &*d.text).collect();
            for size_bytes in [1, 100, 5000] {
                let mut ids = Vec::new();
                for piece in Splitter::pieces(&text, size_bytes) {
                    tokenizer.append(&tokenizer.encode_piece(piece), &mut ids);
                }
                assert_eq!(ids, tokenizer.encode(&text), "{} {size_bytes}", mode.as_str());
            }
        }
    }

    #[test]
    fn what_was_saved_opens_as_the_same_tokeniser() {
        let folder = tempfile::tempdir().unwrap();
        let tokenizer = sample::tokenizer(Mode::OpenAi);
        tokenizer.save(folder.path()).unwrap();
        let opened = Tokenizer::open(Mode::OpenAi, folder.path()).unwrap();
        assert_eq!(opened.digest(), tokenizer.digest());
        for document in sample::documents() {
            assert_eq!(opened.encode(&document.text), tokenizer.encode(&document.text));
        }
    }

    proptest! {
        #[test]
        fn any_text_encodes_to_ids_of_the_vocabulary_that_decode(
            text in prop_oneof!["\\PC{0,60}", ".{0,60}", "[ -~\\n\u{80}-\u{ff}’“”â€™Ã�&<;.:'0-9]{0,60}"],
        ) {
            for mode in MODES {
                let tokenizer = sample::tokenizer(mode);
                let ids = tokenizer.encode(&text);
                prop_assert!(ids.iter().all(|&id| (id as usize) < tokenizer.vocab_size()));
                prop_assert!(tokenizer.decode(&ids).is_ok());
                prop_assert_eq!(tokenizer.encode(&text), ids); // now from the cache
            }
        }
    }
}
