//! GPT-2's tokeniser: pairs of bytes, written as printable characters, read and learned by the crate `tokenizers`.
//!
//! Every text has ids and comes back as it was; nothing is unknown. Source: Radford et al. 2019, section 2.2;
//! openai/gpt-2 `src/encoder.py`.

use std::fmt;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use sha2::{Digest as _, Sha256};
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{
    Model as _, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer as _,
};

use super::error::TokenizerError;
use super::files::HUGGING_FACE;
use super::splitter::Mode;
use super::train::{Counts, add};
use super::vocabulary::Vocabulary;
use crate::data::error::DataError;
use crate::interrupt;

/// A vocabulary and its merges as OpenAI calls them.
const OPENAI: [&str; 2] = ["encoder.json", "vocab.bpe"];

/// A vocabulary of pairs of bytes.
pub struct ByteLevelTokenizer {
    inner: tokenizers::Tokenizer,
    digest: String,
}

impl fmt::Debug for ByteLevelTokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.vocab_size();
        f.debug_struct("ByteLevelTokenizer").field("vocab_size", &size).finish_non_exhaustive()
    }
}

impl ByteLevelTokenizer {
    /// Opens `vocab.json` with `merges.txt`, or OpenAI's `encoder.json` with `vocab.bpe`, in `folder`.
    ///
    /// # Errors
    /// Files that are missing or damaged, do not belong together, or lack a byte.
    pub fn open(folder: &Path) -> Result<Self, TokenizerError> {
        let pairs = [HUGGING_FACE, OPENAI].map(|names| names.map(|name| folder.join(name)));
        let whole = |paths: &[PathBuf; 2]| paths.iter().all(|path| path.is_file());
        let Some(paths) = pairs.into_iter().find(whole) else {
            let wanted = [HUGGING_FACE, OPENAI].map(|names| names.join(" with ")).join(", or ");
            return Err(TokenizerError::NoFiles { folder: folder.to_owned(), wanted });
        };
        let mut sum = Sha256::new();
        for path in &paths {
            sum.update(std::fs::read(path).map_err(DataError::io(path, "read"))?);
        }
        let wrong = |reason: String| TokenizerError::NoBytes { folder: folder.to_owned(), reason };
        let [vocab, merges] = paths.map(|path: PathBuf| path.to_string_lossy().into_owned());
        let (vocab, merges) = BPE::read_file(&vocab, &merges).map_err(|e| wrong(e.to_string()))?;
        // The builder panics at a merge that is longer than every token.
        let unknown =
            |(left, right): &&(String, String)| !vocab.contains_key(&format!("{left}{right}"));
        if let Some((left, right)) = merges.iter().find(unknown) {
            return Err(wrong(format!("no token is what the merge `{left} {right}` makes")));
        }
        let builder = BPE::builder().vocab_and_merges(vocab, merges);
        let model = builder.build().map_err(|e| wrong(e.to_string()))?;
        // A byte without a token would be left out of texts without a word.
        let mut alphabet: Vec<char> = ByteLevel::alphabet().into_iter().collect();
        alphabet.sort_unstable();
        if let Some(c) = alphabet.iter().find(|c| model.token_to_id(&c.to_string()).is_none()) {
            return Err(wrong(format!("no token is the byte that is written {c:?}")));
        }
        let size = model.get_vocab_size() as u32;
        if let Some(id) = (0..size).find(|id| model.id_to_token(*id).is_none()) {
            return Err(wrong(format!("{size} tokens, but none has the id {id}")));
        }
        let mut inner = tokenizers::Tokenizer::new(model);
        inner.with_pre_tokenizer(Some(bytes())).with_decoder(Some(bytes()));
        let digest = ledger::run::hex(&sum.finalize());
        Ok(Self { inner, digest })
    }

    /// The vocabulary in `folder`, learned from `texts` at the first call: the 256 bytes and as many merges as make up
    /// `vocab_size` tokens. The same texts give the same vocabulary, with any number of threads.
    ///
    /// Texts too short for so many merges give fewer tokens, with a warning.
    ///
    /// # Errors
    /// A size that leaves no room for the bytes; a folder that cannot be written to or holds something else; Ctrl-C.
    pub fn open_or_train(
        folder: &Path,
        vocab_size: usize,
        texts: &[&str],
    ) -> Result<Self, TokenizerError> {
        if !folder.is_dir() {
            let model = learn(texts, vocab_size)?;
            let parent = folder.parent().unwrap_or(Path::new("."));
            std::fs::create_dir_all(parent).map_err(DataError::io(parent, "create"))?;
            // Made beside it and moved, so that the folder is never half there; who comes second takes what is there.
            let made = tempfile::tempdir_in(parent).map_err(DataError::io(parent, "write into"))?;
            save(&model, made.path())?;
            match std::fs::rename(made.path(), folder) {
                Err(error) if !folder.is_dir() => {
                    return Err(DataError::io(folder, "rename into place")(error).into());
                }
                _ => {}
            }
        }
        Self::open(folder)
    }
}

/// The 256 bytes and the merges that `texts` give.
fn learn(texts: &[&str], vocab_size: usize) -> Result<BPE, TokenizerError> {
    let alphabet = ByteLevel::alphabet();
    if vocab_size < alphabet.len() {
        let (wanted, alphabet, of) = (vocab_size, alphabet.len(), "the bytes");
        return Err(TokenizerError::TooSmall { wanted, alphabet, of });
    }
    let counted = texts.par_iter().map(|text| interrupt::check().map(|()| count_words(text)));
    let words = counted.try_reduce(Counts::default, |mut all, some| {
        add(&mut all, some);
        Ok(all)
    })?;
    let words = words.into_iter().map(|(word, count)| ((*word).into(), count)).collect();
    let trainer = BpeTrainer::builder()
        .vocab_size(vocab_size)
        .min_frequency(2)
        .initial_alphabet(alphabet.into_iter().collect())
        .show_progress(false)
        .build();
    let mut model = BPE::default();
    trainer
        .do_train(&words, &mut model)
        .map_err(|error| TokenizerError::Training(error.to_string()))?;
    let found = model.get_vocab_size();
    if found < vocab_size {
        tracing::warn!("the text gives {found} tokens, {vocab_size} were asked for");
    }
    Ok(model)
}

/// How often each word stands in `text`, its bytes written as GPT-2 writes them.
fn count_words(text: &str) -> Counts {
    let mut cut = PreTokenizedString::from(text);
    bytes().pre_tokenize(&mut cut).expect("it cuts by a fixed expression");
    let mut counts = Counts::default();
    for (word, ..) in cut.get_splits(OffsetReferential::Normalized, OffsetType::None) {
        match counts.get_mut(word) {
            Some(count) => *count += 1,
            None => drop(counts.insert(word.into(), 1)),
        }
    }
    counts
}

/// How bytes are written, and how a text is cut into the words that no merge goes across.
fn bytes() -> ByteLevel {
    ByteLevel::new(false, true, true)
}

fn save(model: &impl tokenizers::Model, folder: &Path) -> Result<(), TokenizerError> {
    let saved = model.save(folder, None);
    let wrong = |reason: String| TokenizerError::NoBytes { folder: folder.to_owned(), reason };
    saved.map(drop).map_err(|error| wrong(format!("cannot be written: {error}")))
}

impl Vocabulary for ByteLevelTokenizer {
    fn encode(&self, text: &str) -> Vec<u32> {
        let encoding = self.inner.encode_fast(text, false).expect("every byte has a token");
        encoding.get_ids().to_vec()
    }

    fn decode(&self, ids: &[u32]) -> Result<String, TokenizerError> {
        let vocab_size = self.vocab_size();
        if let Some(&id) = ids.iter().find(|id| **id as usize >= vocab_size) {
            return Err(TokenizerError::UnknownId { id, vocab_size });
        }
        // A text cut within a character has the replacement character there.
        Ok(self.inner.decode(ids, false).expect("the ids are tokens"))
    }

    fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(false)
    }

    fn token(&self, word: &str) -> Option<u32> {
        match self.encode(word)[..] {
            [id] => Some(id),
            _ => None,
        }
    }

    fn digest(&self) -> String {
        self.digest.clone()
    }

    fn mode(&self) -> Option<Mode> {
        None
    }

    fn save(&self, folder: &Path) -> Result<(), TokenizerError> {
        save(self.inner.get_model(), folder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// GPT-2's way to write a byte: printable ones as they are, the others from 256 on.
    fn written(byte: u8) -> char {
        let printable = |b: u8| matches!(b, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
        if printable(byte) {
            return char::from(byte);
        }
        let before = (0..byte).filter(|&b| !printable(b)).count() as u32;
        char::from_u32(256 + before).unwrap()
    }

    /// The 256 bytes by their values, then what these merges make; without the byte `lacks`.
    fn write(folder: &Path, merges: &[&str], lacks: Option<u8>) {
        let bytes = (0..=255).filter(|byte| Some(*byte) != lacks).map(|b| written(b).to_string());
        let made = merges.iter().map(|merge| merge.replace(' ', ""));
        let vocab: serde_json::Map<String, serde_json::Value> =
            bytes.chain(made).enumerate().map(|(id, token)| (token, id.into())).collect();
        let [vocab_name, merges_name] = HUGGING_FACE;
        let vocab = serde_json::to_string(&vocab).unwrap();
        std::fs::write(folder.join(vocab_name), vocab).unwrap();
        let merges = format!("#version: 0.2\n{}\n", merges.join("\n"));
        std::fs::write(folder.join(merges_name), merges).unwrap();
    }

    const MERGES: [&str; 5] = ["h e", "l l", "he ll", "Ġ w", "Ġw o"];

    fn made_up() -> (tempfile::TempDir, ByteLevelTokenizer) {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &MERGES, None);
        let tokenizer = ByteLevelTokenizer::open(folder.path()).unwrap();
        (folder, tokenizer)
    }

    #[test]
    fn merges_join_what_stands_in_one_word_with_its_blank_before_it() {
        let (_folder, tokenizer) = made_up();
        let byte = |c: char| c as u32;
        // hell·o, ␣wo·r·l·d: worked by hand.
        let wanted = [258, byte('o'), 260, byte('r'), byte('l'), byte('d')];
        assert_eq!(tokenizer.encode("hello world"), wanted);
        // No merge goes across words, and a contraction is a word.
        assert_eq!(tokenizer.encode("l l's"), [byte('l'), 32, byte('l'), 39, byte('s')]);
        assert_eq!(tokenizer.token("hell"), Some(258));
        assert_eq!(tokenizer.token("\n"), Some(10));
        assert_eq!(tokenizer.token("hello"), None);
    }

    #[test]
    fn every_text_comes_back_as_it_was() {
        let (_folder, tokenizer) = made_up();
        assert_eq!(tokenizer.vocab_size(), 261);
        for text in ["", "  Two  blanks\n\n\tand lines ", "Ġ is no blank", "é 世界 \u{1f980}\0"]
        {
            let ids = tokenizer.encode(text);
            assert_eq!(tokenizer.decode(&ids).unwrap(), text);
        }
        let error = tokenizer.decode(&[261]).unwrap_err().to_string();
        assert!(error.contains("id 261"), "{error}");
    }

    #[test]
    fn what_is_saved_opens_as_the_same_vocabulary() {
        let (_folder, tokenizer) = made_up();
        let again = tempfile::tempdir().unwrap();
        tokenizer.save(again.path()).unwrap();
        let again = ByteLevelTokenizer::open(again.path()).unwrap();
        let text = "well, hello world; the hell with it";
        assert_eq!(again.encode(text), tokenizer.encode(text));
    }

    #[test]
    fn a_vocabulary_is_learned_once_and_is_the_same_with_any_number_of_threads() {
        let folder = tempfile::tempdir().unwrap();
        let texts = ["he he he hers", " he \u{e9}", "he he\u{e9}"];
        let learned = [1, 2, 5].map(|threads| {
            let folder = folder.path().join(threads.to_string());
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let learn =
                || ByteLevelTokenizer::open_or_train(&folder, 259, &texts).unwrap().digest();
            pool.install(learn)
        });
        assert!(learned[0] == learned[1] && learned[0] == learned[2]);
        let folder = folder.path().join("1");
        let tokenizer = ByteLevelTokenizer::open_or_train(&folder, 259, &[]).unwrap();
        assert_eq!(tokenizer.vocab_size(), 259);
        let merges = std::fs::read_to_string(folder.join("merges.txt")).unwrap();
        let merges: Vec<_> = merges.lines().filter(|line| !line.starts_with('#')).collect();
        // `h e` 7 times, `Ġ he` 5 (`he` begins two texts), the two bytes of é twice.
        assert_eq!(merges, ["h e", "\u{120} he", "\u{c3} \u{a9}"]);
        for text in texts {
            assert_eq!(tokenizer.decode(&tokenizer.encode(text)).unwrap(), text);
        }
    }

    #[test]
    fn a_size_below_the_bytes_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let made = ByteLevelTokenizer::open_or_train(&folder.path().join("v"), 255, &["a text"]);
        let error = made.unwrap_err().to_string();
        assert!(error.contains("a vocabulary of 255 tokens: 256"), "{error}");
        assert!(!folder.path().join("v").exists());
    }

    #[test]
    fn files_that_are_no_such_vocabulary_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let said = || ByteLevelTokenizer::open(folder.path()).unwrap_err().to_string();
        assert!(said().contains("vocab.json with merges.txt"), "{}", said());
        write(folder.path(), &MERGES, Some(b'q'));
        assert!(said().contains("no token is the byte that is written 'q'"), "{}", said());
        write(folder.path(), &["q u", "qu z z"], None);
        assert!(said().contains("no byte-level vocabulary"), "{}", said());
        write(folder.path(), &MERGES, None);
        std::fs::write(folder.path().join("vocab.json"), "{\"a\": 0").unwrap();
        assert!(said().contains("no byte-level vocabulary"), "{}", said());
    }
}
