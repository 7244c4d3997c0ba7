//! A table of runs read from CSV, every bad cell named by its line.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::fit::Point;

/// Why a table cannot be fitted.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The file cannot be read as CSV.
    #[error("{path}: {source}; give a CSV file with a header line")]
    Csv {
        /// The file.
        path: PathBuf,
        /// What the reader says.
        source: csv::Error,
    },
    /// A column that is not there.
    #[error("{path}: no column {wanted:?} for {flag}; the nearest are {nearest}")]
    NoColumn {
        /// The file.
        path: PathBuf,
        /// The name looked for.
        wanted: String,
        /// The flag that chooses it.
        flag: &'static str,
        /// Up to three names.
        nearest: String,
    },
    /// A cell that is not a positive number.
    #[error(
        "{path}, line {line}: column {column:?} holds {found:?}, wanted a positive number; mend \
         or remove the line"
    )]
    Cell {
        /// The file.
        path: PathBuf,
        /// Its line, counted from 1.
        line: u64,
        /// The column.
        column: String,
        /// What stands there.
        found: String,
    },
    /// The same run twice.
    #[error("{path}, line {line}: the same values as line {first}; remove one of the two")]
    Duplicate {
        /// The file.
        path: PathBuf,
        /// The second.
        line: u64,
        /// The first.
        first: u64,
    },
}

/// A column and the flag that chose it.
#[derive(Debug, Clone)]
pub struct Column {
    /// Its name in the header.
    pub name: String,
    /// The flag, for messages.
    pub flag: &'static str,
}

/// Reads the runs of `path`: `x` (and `y` where the form has two variables) and the loss.
///
/// # Errors
/// Names the line of a missing, negative, duplicate or text cell, and of columns not found the
/// nearest names.
pub fn read(
    path: &Path,
    x: &Column,
    y: Option<&Column>,
    loss: &Column,
) -> Result<Vec<Point>, TableError> {
    let bad = |source| TableError::Csv { path: path.to_owned(), source };
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(path).map_err(bad)?;
    let header = reader.headers().map_err(bad)?.clone();
    let find = |column: &Column| {
        header
            .iter()
            .position(|h| h == column.name)
            .ok_or_else(|| missing(path, column, header.iter()))
    };
    let at = (find(x)?, y.map(find).transpose()?, find(loss)?);
    let (mut points, mut seen) = (vec![], HashMap::new());
    for record in reader.records() {
        let record = record.map_err(bad)?;
        let line = record.position().map_or(0, csv::Position::line);
        let number = |i: usize| {
            let text = record.get(i).unwrap_or("");
            text.parse::<f64>().ok().filter(|v| v.is_finite() && *v > 0.0).ok_or_else(|| {
                TableError::Cell {
                    path: path.to_owned(),
                    line,
                    column: header.get(i).unwrap_or("").to_owned(),
                    found: text.to_owned(),
                }
            })
        };
        let point = Point {
            x: number(at.0)?,
            y: at.1.map(number).transpose()?.unwrap_or(1.0),
            loss: number(at.2)?,
        };
        // Seeds may repeat a size, never its loss to the last digit.
        let key = [point.x, point.y, point.loss].map(f64::to_bits);
        if let Some(first) = seen.insert(key, line) {
            return Err(TableError::Duplicate { path: path.to_owned(), line, first });
        }
        points.push(point);
    }
    Ok(points)
}

fn missing<'a>(path: &Path, column: &Column, names: impl Iterator<Item = &'a str>) -> TableError {
    let mut names: Vec<&str> = names.collect();
    names.sort_by_key(|n| strsim::damerau_levenshtein(n, &column.name));
    names.truncate(3);
    let (wanted, nearest) = (column.name.clone(), names.join(", "));
    TableError::NoColumn { path: path.to_owned(), wanted, flag: column.flag, nearest }
}
