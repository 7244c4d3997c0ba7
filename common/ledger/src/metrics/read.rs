//! Reads `metrics.csv` back.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Error, FIXED, io_error, no_such_column};

/// One row: the values in the order of [`Metrics::columns`], `None` where the cell is empty.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Optimizer updates done when the row was written.
    pub step: u64,
    /// Seconds since the run began.
    pub elapsed_s: f64,
    /// One entry per column.
    pub values: Vec<Option<f64>>,
}

/// A whole `metrics.csv`.
#[derive(Debug, Clone, PartialEq)]
pub struct Metrics {
    /// The columns after `step` and `elapsed_s`.
    pub columns: Vec<String>,
    /// The rows in the order of the file; steps never go back.
    pub rows: Vec<Row>,
    path: PathBuf,
}

impl Metrics {
    /// The `(step, value)` pairs of one column, without its empty cells.
    ///
    /// # Errors
    /// If the file has no such column; the message lists those it has.
    pub fn column(&self, name: &str) -> Result<Vec<(u64, f64)>, Error> {
        let at = self
            .columns
            .iter()
            .position(|c| c == name)
            .ok_or_else(|| no_such_column(&self.path, name, &self.columns))?;
        Ok(self.rows.iter().filter_map(|row| Some((row.step, row.values[at]?))).collect())
    }
}

/// Reads the file at `path`. A last line without its line end is a row still being written (or cut
/// off when the run was killed) and is not returned.
///
/// # Errors
/// If the file cannot be read or a line is not what [`super::MetricsWriter`] writes; the message
/// names file and line.
pub fn read(path: impl AsRef<Path>) -> Result<Metrics, Error> {
    let path = path.as_ref();
    let bytes = fs::read(path).map_err(|e| io_error(path, "read the file", e))?;
    let table = Table::parse(path, &bytes)?;
    let mut rows: Vec<Row> = Vec::new();
    for line in table.lines() {
        let row = line.parse(path, table.columns.len())?;
        if let Some(last) = rows.last()
            && row.step < last.step
        {
            return Err(bad_line(
                path,
                line.number,
                format!("step {} after step {}", row.step, last.step),
                "steps that never go back",
            ));
        }
        rows.push(row);
    }
    Ok(Metrics { columns: table.columns, rows, path: path.to_owned() })
}

/// The header, and where the rows lie in the file's bytes.
pub(super) struct Table<'a> {
    bytes: &'a [u8],
    pub(super) columns: Vec<String>,
    /// Bytes of the header line with its line end.
    pub(super) header_len: usize,
}

/// One complete line after the header.
pub(super) struct Line<'a> {
    bytes: &'a [u8],
    number: usize,
    /// Offset in the file just after the line end.
    pub(super) end: usize,
}

impl<'a> Table<'a> {
    /// Reads the header of a file's contents.
    pub(super) fn parse(path: &Path, bytes: &'a [u8]) -> Result<Self, Error> {
        let wanted = "a header that begins `step,elapsed_s`";
        let header_len = 1 + bytes.iter().position(|&b| b == b'\n').ok_or_else(|| {
            let found = if bytes.is_empty() { "an empty file" } else { "no whole line" };
            bad_line(path, 1, found.to_owned(), wanted)
        })?;
        let line = String::from_utf8_lossy(&bytes[..header_len - 1]);
        let mut names = line.trim_end_matches('\r').split(',').map(str::to_owned);
        if names.next().as_deref() != Some(FIXED[0]) || names.next().as_deref() != Some(FIXED[1]) {
            return Err(bad_line(path, 1, format!("`{}`", excerpt(&line)), wanted));
        }
        Ok(Self { bytes, columns: names.collect(), header_len })
    }

    /// The complete lines after the header.
    pub(super) fn lines(&self) -> impl Iterator<Item = Line<'a>> {
        let mut end = self.header_len;
        self.bytes[self.header_len..].split_inclusive(|&b| b == b'\n').enumerate().filter_map(
            move |(i, bytes)| {
                end += bytes.len();
                let bytes = bytes.strip_suffix(b"\n")?;
                Some(Line { bytes, number: i + 2, end })
            },
        )
    }
}

impl Line<'_> {
    /// Reads the row of a file with `n_columns` columns after the two fixed ones.
    pub(super) fn parse(&self, path: &Path, n_columns: usize) -> Result<Row, Error> {
        let text = String::from_utf8_lossy(self.bytes);
        let text = text.trim_end_matches('\r');
        let wrong = |found: String, wanted: &str| bad_line(path, self.number, found, wanted);
        let cells: Vec<&str> = text.split(',').collect();
        if cells.len() != n_columns + FIXED.len() {
            return Err(wrong(
                format!("{} cells in `{}`", cells.len(), excerpt(text)),
                &format!("{} cells, as in the header", n_columns + FIXED.len()),
            ));
        }
        let number = |cell: &str| {
            cell.parse::<f64>().map_err(|_| wrong(format!("`{}`", excerpt(cell)), "a number"))
        };
        let step = cells[0]
            .parse()
            .map_err(|_| wrong(format!("step `{}`", excerpt(cells[0])), "a whole number"))?;
        let elapsed_s = number(cells[1])?;
        let values = cells[2..]
            .iter()
            .map(|cell| if cell.is_empty() { Ok(None) } else { number(cell).map(Some) })
            .collect::<Result<_, _>>()?;
        Ok(Row { step, elapsed_s, values })
    }
}

/// The start of a text that may be long, for a message.
fn excerpt(text: &str) -> String {
    let mut shown: String = text.chars().take(60).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

fn bad_line(path: &Path, line: usize, found: String, wanted: &str) -> Error {
    Error::BadLine {
        path: path.to_owned(),
        line,
        found,
        wanted: wanted.to_owned(),
        way_out: "The file was damaged or edited: restore it, or start the run over with \
                  --overwrite.",
    }
}
