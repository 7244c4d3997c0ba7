//! What can go wrong with a tokeniser and its token files.

use std::path::PathBuf;

use crate::data::error::DataError;
use crate::interrupt::Interrupted;

/// A failure to read, train or use a tokeniser, or to read or write a token file.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// A file cannot be read or written, or its inside breaks its format.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A folder has none of the pairs of files that make a tokeniser.
    #[error(
        "{}: found no tokeniser, wanted two files: {wanted} (each may be gzipped)",
        folder.display()
    )]
    NoFiles {
        /// The folder.
        folder: PathBuf,
        /// The pairs looked for.
        wanted: String,
    },
    /// A merge names a token that the vocabulary lacks.
    #[error(
        "{}: line {line}: the merge `{merge}` needs the token `{missing}`, which {} does not \
         have; the two files do not belong together",
        merges.display(),
        vocab.display()
    )]
    DoNotFit {
        /// The file of merges.
        merges: PathBuf,
        /// The merge's line, from 1.
        line: usize,
        /// Its two halves.
        merge: String,
        /// The token that is missing.
        missing: String,
        /// The file of the vocabulary.
        vocab: PathBuf,
    },
    /// Files that are no byte-level vocabulary.
    #[error(
        "{}: vocab.json and merges.txt are no byte-level vocabulary as GPT-2's: {reason}",
        folder.display()
    )]
    NoBytes {
        /// The folder.
        folder: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// An id that is no token of the vocabulary.
    #[error(
        "cannot decode id {id}: the vocabulary has the ids 0 to {}; ids added after it (start, \
         delimiter, extract) have no text and are left out before decoding",
        vocab_size - 1
    )]
    UnknownId {
        /// The id.
        id: u32,
        /// Number of tokens in the vocabulary.
        vocab_size: usize,
    },
    /// A document without text.
    #[error("{name}: found no text in this document, wanted some; leave it out of the corpus")]
    EmptyDocument {
        /// The document.
        name: String,
    },
    /// A vocabulary size that cannot be trained.
    #[error(
        "cannot train a vocabulary of {wanted} tokens: {alphabet} are needed for {of}; ask for more"
    )]
    TooSmall {
        /// The size asked for.
        wanted: usize,
        /// The least possible size.
        alphabet: usize,
        /// What it is made up of.
        of: &'static str,
    },
    /// The training itself failed.
    #[error("training the vocabulary failed: {0}")]
    Training(String),
    /// A token file that is not what was written.
    #[error("{}: {reason}; delete the file, it is made again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A token file made by another tokeniser or from another text.
    #[error(
        "{}: found tokens of {what} {found}, wanted {wanted}; delete the file or name another, the \
         tokens are made again",
        path.display()
    )]
    OtherTokens {
        /// The file.
        path: PathBuf,
        /// Mode, vocabulary or source.
        what: &'static str,
        /// What the file was made with.
        found: String,
        /// What it should have been made with.
        wanted: String,
    },
    /// Ctrl-C or SIGTERM while encoding.
    #[error("{0} while encoding; nothing was kept, the next start encodes again")]
    Interrupted(#[from] Interrupted),
}
