//! `metrics.csv`: one row a step, every scalar a column.
//!
//! The first two columns are always `step` and `elapsed_s`; the others are named when the file is
//! created. A cell is empty where a row has no value for its column. Numbers are written in the
//! shortest form that reads back as the same `f64`.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::metrics::read::Table;
pub use crate::metrics::read::{Metrics, Row, read};
use crate::run::{RunError, write_atomic};

mod read;

/// The columns every file begins with.
const FIXED: [&str; 2] = ["step", "elapsed_s"];

/// What can go wrong with a `metrics.csv`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read or appended to.
    #[error("{}: cannot {doing}: {source}", path.display())]
    Io {
        /// The metrics file.
        path: PathBuf,
        /// What was tried, e.g. `append a row`.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The file cannot be written or replaced.
    #[error(transparent)]
    Write(#[from] RunError),
    /// A column name that cannot stand in the header.
    #[error(
        "{}: column `{name}` {why}; a name is not empty, occurs once, is neither `step` nor \
         `elapsed_s`, and holds no comma, quote or control character", path.display()
    )]
    BadColumn {
        /// The metrics file.
        path: PathBuf,
        /// The name that was given.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A value, or a question, for a column that the file does not have.
    #[error("{}: no column `{name}`; the columns are {}", path.display(), columns.join(", "))]
    NoSuchColumn {
        /// The metrics file.
        path: PathBuf,
        /// The name that was asked for.
        name: String,
        /// The names there are.
        columns: Vec<String>,
    },
    /// Two values for one column in one row.
    #[error("{}: step {step} gives column `{name}` twice", path.display())]
    GivenTwice {
        /// The metrics file.
        path: PathBuf,
        /// The step of the row.
        step: u64,
        /// The column.
        name: String,
    },
    /// A row whose step is smaller than that of the row before.
    #[error("{}: step {step} after step {last}; steps never go back", path.display())]
    StepWentBack {
        /// The metrics file.
        path: PathBuf,
        /// The step of the new row.
        step: u64,
        /// The step of the last row in the file.
        last: u64,
    },
    /// A line that is not what this module writes.
    #[error("{}, line {line}: {found}; wanted {wanted}. {way_out}", path.display())]
    BadLine {
        /// The metrics file.
        path: PathBuf,
        /// Counted from 1, the header being line 1.
        line: usize,
        /// What stands there.
        found: String,
        /// What should stand there.
        wanted: String,
        /// What to do about it.
        way_out: &'static str,
    },
}

/// Appends rows to a `metrics.csv`; each row reaches the file whole, in one write.
#[derive(Debug)]
pub struct MetricsWriter {
    file: File,
    path: PathBuf,
    columns: Vec<String>,
    last_step: Option<u64>,
    len: u64,
}

impl MetricsWriter {
    /// Starts an empty file at `path` with these columns after `step` and `elapsed_s`. A file that
    /// is there already is replaced: whether a run may start over is the run folder's decision.
    ///
    /// # Errors
    /// If a column name is unfit or the file cannot be written.
    pub fn create(path: impl Into<PathBuf>, columns: &[&str]) -> Result<Self, Error> {
        let path = path.into();
        check_columns(&path, columns)?;
        let header = header(columns);
        write_atomic(&path, header.as_bytes())?;
        Self::append_to(path, columns, None, header.len() as u64)
    }

    /// Goes on with the file at `path`: keeps the rows up to and including step `after_step`, drops
    /// the later ones and a last line that was cut off, and appends from there.
    ///
    /// # Errors
    /// If there is no such file, its columns are not exactly `columns`, or a line that would be
    /// kept does not read.
    pub fn resume(
        path: impl Into<PathBuf>,
        columns: &[&str],
        after_step: u64,
    ) -> Result<Self, Error> {
        let path = path.into();
        check_columns(&path, columns)?;
        let bytes = fs::read(&path).map_err(|e| io_error(&path, "read the file to resume", e))?;
        let table = Table::parse(&path, &bytes)?;
        if table.columns != columns {
            return Err(Error::BadLine {
                path,
                line: 1,
                found: format!("columns {}", table.columns.join(", ")),
                wanted: format!("columns {}", columns.join(", ")),
                way_out: "Resume with the program that wrote the file, or start over with \
                          --overwrite.",
            });
        }
        let mut keep = table.header_len;
        let mut last_step = None;
        for line in table.lines() {
            let row = line.parse(&path, table.columns.len())?;
            if row.step > after_step {
                break;
            }
            keep = line.end;
            last_step = Some(row.step);
        }
        if keep < bytes.len() {
            write_atomic(&path, &bytes[..keep])?;
        }
        Self::append_to(path, columns, last_step, keep as u64)
    }

    fn append_to(
        path: PathBuf,
        columns: &[&str],
        last_step: Option<u64>,
        len: u64,
    ) -> Result<Self, Error> {
        let file = OpenOptions::new()
            .append(true)
            .open(&path)
            .map_err(|e| io_error(&path, "open the file for appending", e))?;
        let columns = columns.iter().map(|&c| c.to_owned()).collect();
        Ok(Self { file, path, columns, last_step, len })
    }

    /// Appends one row: `elapsed_s` in seconds since the run began, and a value for each named
    /// column. Columns that are not named stay empty.
    ///
    /// # Errors
    /// If a name is not a column of this file or is given twice, `step` is smaller than the last
    /// row's, or the row cannot be written; the file then holds the rows before.
    pub fn row(&mut self, step: u64, elapsed_s: f64, values: &[(&str, f64)]) -> Result<(), Error> {
        if let Some(last) = self.last_step
            && step < last
        {
            return Err(Error::StepWentBack { path: self.path.clone(), step, last });
        }
        let mut cells = vec![None; self.columns.len()];
        for &(name, value) in values {
            let Some(at) = self.columns.iter().position(|c| c == name) else {
                return Err(no_such_column(&self.path, name, &self.columns));
            };
            if cells[at].replace(value).is_some() {
                let (path, name) = (self.path.clone(), name.to_owned());
                return Err(Error::GivenTwice { path, step, name });
            }
        }
        let mut line = step.to_string();
        for cell in std::iter::once(Some(elapsed_s)).chain(cells) {
            line.push(',');
            if let Some(value) = cell {
                push_float(&mut line, value);
            }
        }
        line.push('\n');
        if let Err(source) = self.file.write_all(line.as_bytes()) {
            // Best effort: half a row is dropped on resume anyway.
            let _ = self.file.set_len(self.len);
            return Err(io_error(&self.path, "append a row", source));
        }
        self.len += line.len() as u64;
        self.last_step = Some(step);
        Ok(())
    }

    /// Waits until every row is on the disk. Call it before a checkpoint is declared complete, so
    /// that a power cut cannot take rows from before the checkpoint.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn sync(&self) -> Result<(), Error> {
        self.file.sync_data().map_err(|e| io_error(&self.path, "sync the rows to disk", e))
    }
}

/// Appends the shortest text that parses back to `value`; very large and very small numbers get an
/// exponent.
fn push_float(text: &mut String, value: f64) {
    let plain = value == 0.0 || !value.is_finite() || (1e-5..1e16).contains(&value.abs());
    let written = if plain { write!(text, "{value}") } else { write!(text, "{value:e}") };
    written.expect("writing to a String does not fail");
}

fn header(columns: &[&str]) -> String {
    let mut line = FIXED.join(",");
    for column in columns {
        line.push(',');
        line.push_str(column);
    }
    line.push('\n');
    line
}

fn check_columns(path: &Path, columns: &[&str]) -> Result<(), Error> {
    let mut seen = HashSet::from(FIXED);
    for &name in columns {
        let why = if name.is_empty() {
            "is empty"
        } else if name.contains([',', '"']) || name.chars().any(char::is_control) {
            "holds a character that CSV would have to quote"
        } else if !seen.insert(name) {
            "is there already"
        } else {
            continue;
        };
        return Err(Error::BadColumn { path: path.to_owned(), name: name.to_owned(), why });
    }
    Ok(())
}

fn io_error(path: &Path, doing: &'static str, source: io::Error) -> Error {
    Error::Io { path: path.to_owned(), doing, source }
}

fn no_such_column(path: &Path, name: &str, columns: &[String]) -> Error {
    Error::NoSuchColumn { path: path.to_owned(), name: name.to_owned(), columns: columns.to_vec() }
}

#[cfg(test)]
mod tests;
