//! The tokens of a corpus on disk, mapped into memory.
//!
//! A file is the magic bytes; the tokens, 2 or 4 bytes each, little endian; zeros up to a multiple of 8;
//! the places where documents begin, and the end, 8 bytes each; a header in JSON; the header's length,
//! 8 bytes; the sha256 of all that; the magic bytes again. What describes the tokens stands after them,
//! so that they are written as they come.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use ledger::run::temporary_in;
use memmap2::Mmap;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use super::error::TokenizerError;
use super::splitter::Mode;
use crate::data::error::DataError;

const MAGIC: &[u8; 8] = b"tokens\0\x01";

/// Raised when the same text would encode to other tokens than before.
const ENCODER_VERSION: u32 = 1;

const SUM_BYTES: usize = 32;

/// What the tokens are of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Origin {
    version: u32,
    mode: Mode,
    /// sha256 of vocabulary and merges.
    vocab: String,
    /// sha256 of what identifies the source.
    source: String,
}

impl Origin {
    pub(super) fn new(mode: Mode, vocab: String, source: String) -> Self {
        Self { version: ENCODER_VERSION, mode, vocab, source }
    }

    /// The first thing in which two origins differ, as this one and the other have it.
    fn difference(&self, other: &Self) -> Option<(&'static str, String, String)> {
        [
            ("encoder version", self.version.to_string(), other.version.to_string()),
            ("mode", self.mode.as_str().into(), other.mode.as_str().into()),
            ("vocabulary", self.vocab.clone(), other.vocab.clone()),
            ("source", self.source.clone(), other.source.clone()),
        ]
        .into_iter()
        .find(|(_, a, b)| a != b)
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    origin: Origin,
    /// 2 or 4.
    token_bytes: usize,
    n_tokens: usize,
    /// How many of them are `<unk>`.
    n_unknown: u64,
    documents: Vec<String>,
}

/// Tokens of a corpus, document after document.
#[derive(Debug)]
pub struct TokenFile {
    map: Mmap,
    header: Header,
    documents: Vec<DocumentTokens>,
}

/// Where a document's tokens are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentTokens {
    /// Its name.
    pub name: String,
    /// Its tokens' places in the file.
    pub tokens: Range<usize>,
}

impl TokenFile {
    /// Opens a token file; its sum is checked.
    ///
    /// # Errors
    /// A file that cannot be read or is not what was written.
    pub fn open(path: &Path) -> Result<Self, TokenizerError> {
        let file = File::open(path).map_err(DataError::io(path, "open"))?;
        #[expect(unsafe_code, reason = "a mapping is only as constant as its file")]
        // SAFETY: a token file gets its name when it is complete and is not written to after that.
        let map = unsafe { Mmap::map(&file) }.map_err(DataError::io(path, "map into memory"))?;
        let (header, documents) = parse(&map).map_err(|reason| TokenizerError::Damaged {
            path: path.to_owned(),
            reason: reason.to_owned(),
        })?;
        Ok(Self { map, header, documents })
    }

    /// As [`Self::open`]; the tokens must be those of `origin`.
    pub(super) fn open_of(path: &Path, origin: &Origin) -> Result<Self, TokenizerError> {
        let file = Self::open(path)?;
        match file.header.origin.difference(origin) {
            None => Ok(file),
            Some((what, found, wanted)) => {
                Err(TokenizerError::OtherTokens { path: path.to_owned(), what, found, wanted })
            }
        }
    }

    /// The tokens at the places `range`.
    ///
    /// # Panics
    /// When `range` goes beyond [`Self::len`].
    pub fn tokens(&self, range: Range<usize>) -> impl ExactSizeIterator<Item = u32> {
        assert!(range.end <= self.len(), "tokens {range:?} of {}", self.len());
        let width = self.header.token_bytes;
        let bytes = &self.map[MAGIC.len() + range.start * width..MAGIC.len() + range.end * width];
        bytes.chunks_exact(width).map(|token| match *token {
            [a, b] => u32::from(u16::from_le_bytes([a, b])),
            [a, b, c, d] => u32::from_le_bytes([a, b, c, d]),
            _ => unreachable!("tokens have 2 or 4 bytes"),
        })
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.header.n_tokens
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Names and places of the documents, in order; they cover all tokens.
    pub fn documents(&self) -> &[DocumentTokens] {
        &self.documents
    }

    /// How the text was cut into words.
    pub fn mode(&self) -> Mode {
        self.header.origin.mode
    }

    /// The [`super::Tokenizer::digest`] of the tokeniser that made them.
    pub fn vocab_digest(&self) -> &str {
        &self.header.origin.vocab
    }

    /// Number of characters that became `<unk>`.
    pub fn n_unknown(&self) -> u64 {
        self.header.n_unknown
    }
}

/// Takes a file apart; says in words what is wrong with it.
fn parse(bytes: &[u8]) -> Result<(Header, Vec<DocumentTokens>), &'static str> {
    const SHORT: &str = "ends too early";
    if !bytes.starts_with(MAGIC) {
        return Err("does not begin as a token file of this version");
    }
    let rest = bytes.strip_suffix(MAGIC).ok_or(SHORT)?;
    let (rest, sum) = rest.split_at_checked(rest.len().wrapping_sub(SUM_BYTES)).ok_or(SHORT)?;
    if Sha256::digest(rest)[..] != *sum {
        return Err("does not have the sum that it was written with");
    }
    let (rest, length) = rest.split_last_chunk::<8>().ok_or(SHORT)?;
    let length = u64::from_le_bytes(*length) as usize;
    let (rest, header) = rest.split_at_checked(rest.len().wrapping_sub(length)).ok_or(SHORT)?;
    let header: Header = serde_json::from_slice(header).map_err(|_| "has no header")?;
    let begin = tokens_end(header.n_tokens, header.token_bytes);
    let (_, boundaries) = rest.split_at_checked(begin).ok_or(SHORT)?;
    let (boundaries, []) = boundaries.as_chunks::<8>() else { return Err(SHORT) };
    if boundaries.len() != header.documents.len() + 1 || ![2, 4].contains(&header.token_bytes) {
        return Err("has a header that does not describe it");
    }
    let boundaries: Vec<_> = boundaries.iter().map(|b| u64::from_le_bytes(*b) as usize).collect();
    let documents = header.documents.iter().zip(boundaries.windows(2));
    let documents = documents
        .map(|(name, at)| DocumentTokens { name: name.clone(), tokens: at[0]..at[1] })
        .collect();
    Ok((header, documents))
}

/// Where the boundaries begin.
fn tokens_end(n_tokens: usize, token_bytes: usize) -> usize {
    (MAGIC.len() + n_tokens * token_bytes).next_multiple_of(8)
}

/// Writes a token file under a temporary name, which is gone if it is not finished.
pub(super) struct Writer {
    path: PathBuf,
    file: BufWriter<NamedTempFile>,
    hash: Sha256,
    header: Header,
    boundaries: Vec<usize>,
    unknown: u32,
}

impl Writer {
    /// `vocab_size` decides the width of a token; `unknown` is the id that is counted.
    pub(super) fn create(
        path: &Path,
        origin: Origin,
        vocab_size: usize,
        unknown: u32,
    ) -> Result<Self, TokenizerError> {
        let folder = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(DataError::io(folder, "create"))?;
        let temporary = temporary_in(folder).map_err(DataError::io(folder, "write into"))?;
        let token_bytes = if vocab_size <= 1 << 16 { 2 } else { 4 };
        let header =
            Header { origin, token_bytes, n_tokens: 0, n_unknown: 0, documents: Vec::new() };
        let mut writer = Self {
            path: path.to_owned(),
            file: BufWriter::with_capacity(1 << 20, temporary),
            hash: Sha256::new(),
            header,
            boundaries: vec![0],
            unknown,
        };
        writer.write(MAGIC)?;
        Ok(writer)
    }

    /// Appends a document.
    pub(super) fn document(&mut self, name: String, ids: &[u32]) -> Result<(), TokenizerError> {
        let width = self.header.token_bytes;
        let bytes: Vec<u8> =
            ids.iter().flat_map(|id| id.to_le_bytes().into_iter().take(width)).collect();
        self.write(&bytes)?;
        self.header.n_tokens += ids.len();
        self.header.n_unknown += ids.iter().filter(|&&id| id == self.unknown).count() as u64;
        self.header.documents.push(name);
        self.boundaries.push(self.header.n_tokens);
        Ok(())
    }

    /// Completes the file and gives it its name.
    pub(super) fn finish(mut self) -> Result<TokenFile, TokenizerError> {
        let written = MAGIC.len() + self.header.n_tokens * self.header.token_bytes;
        let padding = tokens_end(self.header.n_tokens, self.header.token_bytes) - written;
        self.write(&[0; 8][..padding])?;
        let boundaries: Vec<u8> =
            self.boundaries.iter().flat_map(|&at| (at as u64).to_le_bytes()).collect();
        self.write(&boundaries)?;
        let header = serde_json::to_vec(&self.header).expect("plain data");
        self.write(&header)?;
        self.write(&(header.len() as u64).to_le_bytes())?;
        let sum = self.hash.finalize();
        let Self { path, mut file, .. } = self;
        file.write_all(&sum)
            .and_then(|()| file.write_all(MAGIC))
            .map_err(DataError::io(&path, "write"))?;
        let file = file.into_inner().map_err(|e| DataError::io(&path, "write")(e.into_error()))?;
        file.as_file().sync_all().map_err(DataError::io(&path, "sync"))?;
        file.persist(&path).map_err(|e| DataError::io(&path, "rename into place")(e.error))?;
        TokenFile::open(&path)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), DataError> {
        self.hash.update(bytes);
        self.file.write_all(bytes).map_err(DataError::io(&self.path, "write"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, vocab_size: usize, documents: &[&[u32]]) -> TokenFile {
        let origin = Origin::new(Mode::Hf, "v".into(), "s".into());
        let mut writer = Writer::create(path, origin, vocab_size, 0).unwrap();
        for (i, ids) in documents.iter().enumerate() {
            writer.document(i.to_string(), ids).unwrap();
        }
        writer.finish().unwrap()
    }

    #[test]
    fn ids_come_back_whether_they_take_two_bytes_or_four() {
        let folder = tempfile::tempdir().unwrap();
        for (vocab_size, token_bytes) in [(1 << 16, 2), ((1 << 16) + 1, 4)] {
            let top = vocab_size as u32 - 1;
            let path = folder.path().join(vocab_size.to_string());
            let file = write(&path, vocab_size, &[&[0, 1, top], &[7], &[top, 0]]);
            assert_eq!(file.header.token_bytes, token_bytes);
            assert_eq!(file.tokens(0..6).collect::<Vec<_>>(), [0, 1, top, 7, top, 0]);
            assert_eq!(file.tokens(2..4).collect::<Vec<_>>(), [top, 7]);
            assert_eq!(file.tokens(6..6).len(), 0);
            assert_eq!((file.len(), file.n_unknown()), (6, 2));
            let ranges: Vec<_> = file.documents().iter().map(|d| d.tokens.clone()).collect();
            assert_eq!(ranges, [0..3, 3..4, 4..6]);
        }
    }

    #[test]
    fn damage_anywhere_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.bin");
        write(&path, 100, &[&[1, 2, 3], &[4]]);
        let good = std::fs::read(&path).unwrap();
        let changed = (0..good.len()).map(|at| {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            bytes
        });
        let cut = (0..good.len()).map(|n| good[..n].to_vec());
        let longer = [[&good[..], b"x"].concat(), [&good[..], MAGIC].concat()];
        for bytes in changed.chain(cut).chain(longer) {
            std::fs::write(&path, &bytes).unwrap();
            let error = TokenFile::open(&path).expect_err("damage went unnoticed").to_string();
            assert!(error.contains("tokens.bin: "), "{error}");
        }
        std::fs::write(&path, &good).unwrap();
        assert_eq!(TokenFile::open(&path).unwrap().len(), 4);
    }
}
