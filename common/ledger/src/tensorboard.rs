//! TensorBoard event files: the scalars of `metrics.csv` once more, for those who watch a run there.
//!
//! A file is a sequence of records, each `u64` length, sum of the length, data, sum of the data
//! (little-endian; the sums are masked CRC-32C). The data is an `Event` message of protocol buffers;
//! the first one carries the format's version, each other one a scalar.
//!
//! Source: `tensorflow/core/lib/io/record_writer.h`, `tensorflow/core/util/event.proto`,
//! `tensorflow/core/framework/summary.proto` in github.com/tensorflow/tensorflow.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::run::{RunError, write_atomic};
use crate::tensorboard::record::{Tail, frame, records};

mod crc32c;
mod event;
mod record;

/// What a run calls its event file; TensorBoard reads only names that contain `tfevents`.
pub const FILE_NAME: &str = "events.out.tfevents.run";

/// What can go wrong with an event file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read or appended to.
    #[error("{}: cannot {doing}: {source}", path.display())]
    Io {
        /// The event file.
        path: PathBuf,
        /// What was tried, e.g. `append a scalar`.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The file cannot be written or replaced.
    #[error(transparent)]
    Write(#[from] RunError),
    /// Something in the file that this module does not write.
    #[error(
        "{}, byte {offset}: {what}; wanted an event file as this program writes it. \
         Remove the file and resume again: metrics.csv holds the same numbers, and the event file \
         then begins at the checkpoint", path.display()
    )]
    Damaged {
        /// The event file.
        path: PathBuf,
        /// Where the record begins.
        offset: usize,
        /// What is wrong with it.
        what: &'static str,
    },
}

/// Appends scalars to an event file; each reaches the file whole, in one write.
#[derive(Debug)]
pub struct EventWriter {
    file: File,
    path: PathBuf,
    len: u64,
}

impl EventWriter {
    /// Starts a file at `path` that holds only the format's version, at `wall_time` in seconds
    /// since 1970. A file that is there already is replaced.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn create(path: impl Into<PathBuf>, wall_time: f64) -> Result<Self, Error> {
        let path = path.into();
        let bytes = frame(&event::file_version(wall_time));
        write_atomic(&path, &bytes)?;
        Self::append_to(path, bytes.len())
    }

    /// Goes on with the file at `path`: keeps the events up to and including step `after_step`,
    /// drops the later ones and a last record that was cut off, and appends from there. Where there
    /// is no file, starts one at `wall_time`: the numbers themselves are in `metrics.csv`.
    ///
    /// # Errors
    /// If the file cannot be read or replaced, or is damaged before its last record.
    pub fn resume(
        path: impl Into<PathBuf>,
        wall_time: f64,
        after_step: u64,
    ) -> Result<Self, Error> {
        let path = path.into();
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Self::create(path, wall_time),
            Err(e) => return Err(io_error(&path, "read the file to resume", e)),
        };
        let kept = events_up_to(&path, &bytes, after_step)?;
        if kept.is_empty() {
            return Self::create(path, wall_time);
        }
        if kept != bytes {
            write_atomic(&path, &kept)?;
        }
        Self::append_to(path, kept.len())
    }

    fn append_to(path: PathBuf, len: usize) -> Result<Self, Error> {
        let file = OpenOptions::new()
            .append(true)
            .open(&path)
            .map_err(|e| io_error(&path, "open the file for appending", e))?;
        Ok(Self { file, path, len: len as u64 })
    }

    /// Appends `value` of the curve `tag` at `step`; `wall_time` in seconds since 1970. TensorBoard
    /// keeps single precision.
    ///
    /// # Errors
    /// If the record cannot be written; the file then holds the events before.
    pub fn scalar(
        &mut self,
        step: u64,
        wall_time: f64,
        tag: &str,
        value: f64,
    ) -> Result<(), Error> {
        let bytes = frame(&event::scalar(step, wall_time, tag, value as f32));
        if let Err(source) = self.file.write_all(&bytes) {
            // Best effort: half a record is dropped on resume anyway.
            let _ = self.file.set_len(self.len);
            return Err(io_error(&self.path, "append a scalar", source));
        }
        self.len += bytes.len() as u64;
        Ok(())
    }
}

/// The records of `bytes` whose step is at most `after_step`, unchanged and in their order.
fn events_up_to(path: &Path, bytes: &[u8], after_step: u64) -> Result<Vec<u8>, Error> {
    let damaged = |offset, what| Error::Damaged { path: path.to_owned(), offset, what };
    let mut kept = Vec::with_capacity(bytes.len());
    let (records, tail) = records(bytes);
    for record in records {
        let step = event::step(record.data)
            .ok_or_else(|| damaged(record.offset, "a record that is not an event"))?;
        if step <= after_step {
            kept.extend_from_slice(record.framed);
        }
    }
    match tail {
        Tail::Clean | Tail::Torn => Ok(kept),
        Tail::Damaged { offset, what } => Err(damaged(offset, what)),
    }
}

fn io_error(path: &Path, doing: &'static str, source: io::Error) -> Error {
    Error::Io { path: path.to_owned(), doing, source }
}

#[cfg(test)]
mod tests;
