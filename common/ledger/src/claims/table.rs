//! CSV tables with checked headers: cells are read with the place they came from, so that an error can
//! name file, line and column, and numbers are written so that they read back as the same bits.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::run::{self, RunError};
use crate::stats::Bound;

/// What can go wrong with claims, measured values and the ledger.
#[derive(Debug, thiserror::Error)]
pub enum ClaimsError {
    /// A file or folder could not be read.
    #[error("{path}: {source}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file could not be written.
    #[error(transparent)]
    Write(#[from] RunError),
    /// The file is not CSV with as many cells in each row as in the header.
    #[error("{path}: not a readable CSV file: {message}")]
    Csv {
        /// The file.
        path: PathBuf,
        /// What the reader said, with the line.
        message: String,
    },
    /// The header differs from what the format has.
    #[error("{path}, line 1: {what} column {column:?}; wanted: {wanted}")]
    Header {
        /// The file.
        path: PathBuf,
        /// `missing` or `unknown`.
        what: &'static str,
        /// The column.
        column: String,
        /// The whole header.
        wanted: String,
    },
    /// A cell holds something else than its column wants.
    #[error("{path}, line {line}, column {column}: found {found:?}, wanted {wanted}")]
    Cell {
        /// The file.
        path: PathBuf,
        /// Line of the file, counted from 1.
        line: u64,
        /// The column.
        column: &'static str,
        /// What the cell holds.
        found: String,
        /// What it should hold.
        wanted: String,
    },
    /// A measured row in a file where it does not belong.
    #[error("{path}: row {id:?}: column {column}: found {found:?}, wanted {wanted}")]
    Misplaced {
        /// The `measured.csv`.
        path: PathBuf,
        /// The row's id.
        id: String,
        /// The column.
        column: &'static str,
        /// What it holds.
        found: String,
        /// What would be right there.
        wanted: String,
    },
    /// A number that no CSV cell can hold was to be written.
    #[error("{path}: {id}: {column} is {found}, wanted a finite number")]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// The row's id.
        id: String,
        /// The column.
        column: &'static str,
        /// The number.
        found: f64,
    },
}

/// A CSV file read into rows, its header checked against `columns`.
pub(super) struct Table {
    path: PathBuf,
    position: BTreeMap<String, usize>,
    records: Vec<(u64, csv::StringRecord)>,
}

impl Table {
    pub(super) fn read(path: &Path, columns: &[&str]) -> Result<Self, ClaimsError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ClaimsError::Read { path: path.to_owned(), source })?;
        Self::parse(path, &text, columns)
    }

    pub(super) fn parse(path: &Path, text: &str, columns: &[&str]) -> Result<Self, ClaimsError> {
        let broken = |error: csv::Error| malformed(path, &error);
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let header = reader.headers().map_err(broken)?.clone();
        let complain = |what, column: &str| ClaimsError::Header {
            path: path.to_owned(),
            what,
            column: column.to_owned(),
            wanted: columns.join(","),
        };
        let mut position = BTreeMap::new();
        for (index, name) in header.iter().enumerate() {
            if !columns.contains(&name) {
                return Err(complain("unknown", name));
            }
            if position.insert(name.to_owned(), index).is_some() {
                return Err(complain("repeated", name));
            }
        }
        if let Some(missing) = columns.iter().find(|name| !position.contains_key(**name)) {
            return Err(complain("missing", missing));
        }
        let mut records = Vec::new();
        for record in reader.records() {
            let record = record.map_err(broken)?;
            let line = record.position().map_or(0, csv::Position::line);
            records.push((line, record));
        }
        Ok(Self { path: path.to_owned(), position, records })
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.records.iter().map(|(line, record)| Row { table: self, line: *line, record })
    }
}

/// One row of a [`Table`].
pub(super) struct Row<'a> {
    table: &'a Table,
    line: u64,
    record: &'a csv::StringRecord,
}

impl Row<'_> {
    /// The cell's text without surrounding blanks; may be empty.
    pub(super) fn text(&self, column: &'static str) -> String {
        self.raw(column).trim().to_owned()
    }

    /// The cell's text, which may not be empty.
    pub(super) fn filled(&self, column: &'static str) -> Result<String, ClaimsError> {
        let text = self.text(column);
        if text.is_empty() { Err(self.wrong(column, "some text")) } else { Ok(text) }
    }

    /// A finite number, or none for an empty cell.
    pub(super) fn number(&self, column: &'static str) -> Result<Option<f64>, ClaimsError> {
        match self.raw(column).trim() {
            "" => Ok(None),
            text => match text.parse::<f64>() {
                Ok(x) if x.is_finite() => Ok(Some(x)),
                _ => Err(self.wrong(column, "a finite number such as 0.25, or nothing")),
            },
        }
    }

    /// A whole number, or none for an empty cell.
    pub(super) fn count(&self, column: &'static str) -> Result<Option<usize>, ClaimsError> {
        match self.raw(column).trim() {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_| self.wrong(column, "a whole number")),
        }
    }

    /// A number with the sign of a bound before it, or none for an empty cell.
    pub(super) fn value(&self, column: &'static str) -> Result<Option<(f64, Bound)>, ClaimsError> {
        let text = self.raw(column).trim();
        let (bound, digits) = match (text.strip_prefix(">="), text.strip_prefix("<=")) {
            (Some(rest), _) => (Bound::AtLeast, rest),
            (_, Some(rest)) => (Bound::AtMost, rest),
            _ => (Bound::Exact, text),
        };
        match digits.parse::<f64>() {
            Ok(x) if x.is_finite() => Ok(Some((x, bound))),
            _ if text.is_empty() => Ok(None),
            _ => Err(self.wrong(column, "a finite number such as 6.4, or a bound such as >=5.2")),
        }
    }

    /// One of the words that `T` knows.
    pub(super) fn word<T: FromStr<Err = String>>(
        &self,
        column: &'static str,
    ) -> Result<T, ClaimsError> {
        self.raw(column).trim().parse().map_err(|wanted: String| self.wrong(column, wanted))
    }

    /// The error that this row's cell is not what was wanted.
    pub(super) fn wrong(&self, column: &'static str, wanted: impl Into<String>) -> ClaimsError {
        ClaimsError::Cell {
            path: self.table.path.clone(),
            line: self.line,
            column,
            found: self.raw(column).to_owned(),
            wanted: wanted.into(),
        }
    }

    fn raw(&self, column: &str) -> &str {
        self.table.position.get(column).and_then(|&index| self.record.get(index)).unwrap_or("")
    }
}

/// Writes header and rows, whole or not at all.
pub(super) fn write(
    path: &Path,
    columns: &[&str],
    rows: impl IntoIterator<Item = Vec<String>>,
) -> Result<(), ClaimsError> {
    let broken = |error: csv::Error| malformed(path, &error);
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(columns).map_err(broken)?;
    for row in rows {
        writer.write_record(row).map_err(broken)?;
    }
    let bytes = writer.into_inner().expect("a vector takes every byte");
    Ok(run::write_atomic(path, &bytes)?)
}

fn malformed(path: &Path, error: &csv::Error) -> ClaimsError {
    let message = match error.kind() {
        csv::ErrorKind::UnequalLengths { pos: Some(at), expected_len, len } => {
            format!("line {}: found {len} cells, wanted {expected_len}", at.line())
        }
        _ => error.to_string(),
    };
    ClaimsError::Csv { path: path.to_owned(), message }
}

/// The shortest decimal text that reads back as the same number.
pub(super) fn number(x: f64) -> String {
    let size = x.abs();
    if size != 0.0 && !(1e-5..1e15).contains(&size) { format!("{x:e}") } else { format!("{x}") }
}

/// [`number`], empty for none.
pub(super) fn optional(x: Option<f64>) -> String {
    x.map(number).unwrap_or_default()
}

/// [`number`] with the sign of a bound.
pub(super) fn value(x: f64, bound: Bound) -> String {
    let sign = match bound {
        Bound::Exact => "",
        Bound::AtLeast => ">=",
        Bound::AtMost => "<=",
    };
    format!("{sign}{}", number(x))
}
