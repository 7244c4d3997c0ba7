//! What can go wrong between a folder of photographs and a batch.

use std::path::{Path, PathBuf};

use super::decode::BadPicture;
use crate::data::error::DataError;
use crate::interrupt::Interrupted;

/// A failure to read, prepare or cut photographs.
#[derive(Debug, thiserror::Error)]
pub enum PhotosError {
    /// A file or folder could not be read, or no data set was found.
    #[error(transparent)]
    Data(#[from] DataError),
    /// What is asked of the pictures does not fit them.
    #[error("{what}: found {found}, wanted {wanted}")]
    Misfit {
        /// The option or the set.
        what: String,
        /// What it is.
        found: String,
        /// What it has to be.
        wanted: String,
    },
    /// A file that should be a picture and is none.
    #[error(
        "{}: {reason}; replace the file, delete it, or leave all such files out with --skip-corrupt",
        path.display()
    )]
    Corrupt {
        /// The file, or its place in an archive.
        path: PathBuf,
        /// What is wrong with it.
        reason: BadPicture,
    },
    /// A class folder without a picture.
    #[error(
        "{}: found no .jpg, .jpeg or .png file, wanted at least one in every class folder; unpack the \
         class again, or delete the folder",
        path.display()
    )]
    EmptyClass {
        /// The folder.
        path: PathBuf,
    },
    /// A prepared file that this program cannot use.
    #[error("{}: found {found}; delete it and prepare the pictures again", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: String,
    },
    /// Ctrl-C or SIGTERM while preparing; nothing is left behind.
    #[error("{0}; nothing was kept, the next start begins again")]
    Interrupted(#[source] Interrupted),
}

impl PhotosError {
    /// A [`PhotosError::Misfit`].
    pub(crate) fn misfit(
        what: impl Into<String>,
        found: impl Into<String>,
        wanted: impl Into<String>,
    ) -> Self {
        Self::Misfit { what: what.into(), found: found.into(), wanted: wanted.into() }
    }

    /// A [`PhotosError::Unusable`].
    pub(super) fn unusable(path: &Path, found: String) -> Self {
        Self::Unusable { path: path.to_owned(), found }
    }
}
