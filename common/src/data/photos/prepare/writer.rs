//! The prepared file while it is written.

use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use ledger::run::temporary_in;

use super::{Chunk, PrepareOptions};
use crate::data::error::DataError;
use crate::data::photos::layout::{ContentSum, Header, PIXELS_AT, Tail, first_block};
use crate::data::photos::source::Listed;
use crate::data::photos::statistics::Sums;
use crate::data::photos::{PhotosError, PreparedSet};
use crate::data::verify::place;

/// Writes pictures to a file that has no name yet, and sums over them.
pub(super) struct Writer<'a> {
    listed: &'a Listed,
    options: &'a PrepareOptions,
    file: tempfile::NamedTempFile,
    content: ContentSum,
    sums: Sums,
    labels: Vec<u32>,
    ends: Vec<u64>,
    names: String,
    n_train: usize,
    skipped: Vec<(PathBuf, String)>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(
        listed: &'a Listed,
        folder: &Path,
        options: &'a PrepareOptions,
    ) -> Result<Self, PhotosError> {
        let mut file = temporary_in(folder).map_err(DataError::io(folder, "write into"))?;
        file.seek(SeekFrom::Start(PIXELS_AT as u64))
            .map_err(DataError::io(folder, "write into"))?;
        Ok(Self {
            listed,
            options,
            file,
            content: ContentSum::new(),
            sums: Sums::new(options.side * options.side * 3),
            labels: Vec::new(),
            ends: Vec::new(),
            names: String::new(),
            n_train: 0,
            skipped: Vec::new(),
        })
    }

    pub(super) fn write(&mut self, chunk: Chunk) -> Result<(), PhotosError> {
        let size = self.options.side * self.options.side * 3;
        let pictures = chunk.pixels.chunks_exact(size).zip(chunk.results);
        for (k, (picture, result)) in pictures.enumerate() {
            let i = chunk.first + k;
            match result {
                Ok(()) => self.add(i, picture)?,
                Err(PhotosError::Corrupt { path, reason }) if self.options.skip_corrupt => {
                    tracing::warn!("skipped {}: {reason}", path.display());
                    self.skipped.push((path, reason.to_string()));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn add(&mut self, i: usize, picture: &[u8]) -> Result<(), PhotosError> {
        self.file.write_all(picture).map_err(DataError::io(self.file.path(), "write"))?;
        self.content.pixels(picture);
        if i < self.listed.n_train {
            self.sums.add(picture, true);
            self.n_train += 1;
        }
        self.labels.push(self.listed.pictures[i].label);
        self.names += self.listed.name(i);
        self.ends.push(self.names.len() as u64);
        Ok(())
    }

    /// Writes the rest, reads everything back, and gives the file its name.
    pub(super) fn finish(
        mut self,
        key: &str,
        out: &Path,
    ) -> Result<Vec<(PathBuf, String)>, PhotosError> {
        if self.n_train == 0 {
            let found = format!("{} that cannot be decoded and no other", self.skipped.len());
            return Err(PhotosError::misfit("training pictures", found, "at least one"));
        }
        let side = self.options.side;
        let classes = self.listed.classes.clone();
        let sha256 = self.content.finish(side, self.n_train, &classes, &self.labels);
        let tail = Tail {
            header: Header {
                side,
                n_train: self.n_train,
                n: self.labels.len(),
                classes,
                key: key.to_owned(),
                skipped: self.skipped.iter().map(|(path, _)| path.display().to_string()).collect(),
                sha256,
                pca: self.sums.pca(),
            },
            labels: self.labels,
            mean: self.sums.mean(),
            ends: self.ends,
            names: self.names,
        };
        let tail_at = PIXELS_AT + tail.header.n * side * side * 3;
        let tail = tail.to_bytes();
        let path = self.file.path().to_owned();
        let io = |action| DataError::io(&path, action);
        self.file.write_all(&tail).map_err(io("write"))?;
        self.file.seek(SeekFrom::Start(0)).map_err(io("write"))?;
        self.file.write_all(&first_block(tail_at, &tail)).map_err(io("write"))?;
        self.file.as_file().sync_all().map_err(io("sync"))?;
        PreparedSet::open(&path)?.check()?;
        let (_, path) = self.file.keep().map_err(|e| DataError::io(out, "keep")(e.error))?;
        place(&path, out)?;
        Ok(self.skipped)
    }
}
