//! A table of runs read from CSV, every bad cell named by its line.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::exclude::{Exclude, ExcludeError};
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
    /// Two columns of one name.
    #[error("{path}: two columns are called {name:?}; rename one")]
    TwoColumns {
        /// The file.
        path: PathBuf,
        /// Their name.
        name: String,
    },
    /// A cell that is not a positive number.
    #[error(
        "{path}, line {line}: column {column:?} holds {found:?}, wanted a positive number; mend or \
         remove the line, or leave it out with --exclude"
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
    /// A row that `--exclude` cannot be asked about.
    #[error("{path}, line {line}: {source}")]
    Exclude {
        /// The file.
        path: PathBuf,
        /// Its line, counted from 1.
        line: u64,
        /// What is wrong.
        source: ExcludeError,
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

/// Where the variables of a law stand.
#[derive(Debug, Clone)]
pub enum Variables {
    /// The one variable of a power law.
    One(Column),
    /// Parameters and tokens.
    ParamsTokens(Column, Column),
    /// Parameters and training FLOPs; tokens are `C/(6·N)`.
    ParamsFlops(Column, Column),
    /// Tokens and training FLOPs; parameters are `C/(6·D)`.
    TokensFlops(Column, Column),
}

/// Reads the runs of `path`, less those that `exclude` leaves out.
///
/// # Errors
/// Names the line of a missing, negative, duplicate or text cell, and of columns not found the
/// nearest names.
pub fn read(
    path: &Path,
    variables: &Variables,
    loss: &Column,
    exclude: Option<&Exclude>,
) -> Result<Vec<Point>, TableError> {
    let file = std::fs::File::open(path)
        .map_err(|error| TableError::Csv { path: path.to_owned(), source: error.into() })?;
    read_from(path, file, variables, loss, exclude)
}

/// [`read`] of what `from` gives; `path` is what error messages call it.
///
/// # Errors
/// As [`read`].
pub fn read_from(
    path: &Path,
    from: impl io::Read,
    variables: &Variables,
    loss: &Column,
    exclude: Option<&Exclude>,
) -> Result<Vec<Point>, TableError> {
    let bad = |source| TableError::Csv { path: path.to_owned(), source };
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(from);
    let header = reader.headers().map_err(bad)?.clone();
    let find = |column: &Column| {
        let mut at = (0..header.len()).filter(|&i| header[i] == column.name);
        let first = at.next().ok_or_else(|| missing(path, column, header.iter()))?;
        match at.next() {
            None => Ok(first),
            Some(_) => {
                Err(TableError::TwoColumns { path: path.to_owned(), name: column.name.clone() })
            }
        }
    };
    let (x, y) = match variables {
        Variables::One(x) => (find(x)?, None),
        Variables::ParamsTokens(x, y)
        | Variables::ParamsFlops(x, y)
        | Variables::TokensFlops(x, y) => (find(x)?, Some(find(y)?)),
    };
    let loss = find(loss)?;
    let asked: HashMap<&str, usize> = exclude
        .into_iter()
        .flat_map(Exclude::columns)
        .map(|name| Ok((name, find(&Column { name: name.to_owned(), flag: "--exclude" })?)))
        .collect::<Result<_, TableError>>()?;
    let (mut points, mut seen) = (vec![], HashMap::new());
    for record in reader.records() {
        let record = record.map_err(bad)?;
        let line = record.position().map_or(0, csv::Position::line);
        let cell = |i: usize| record.get(i).unwrap_or("");
        if let Some(exclude) = exclude
            && exclude.holds(|name| cell(asked[name])).map_err(|source| TableError::Exclude {
                path: path.to_owned(),
                line,
                source,
            })?
        {
            continue;
        }
        let number = |i: usize| {
            let positive = cell(i).parse::<f64>().ok().filter(|v| v.is_finite() && *v > 0.0);
            positive.ok_or_else(|| TableError::Cell {
                path: path.to_owned(),
                line,
                column: header.get(i).unwrap_or("").to_owned(),
                found: cell(i).to_owned(),
            })
        };
        let (first, second) = (number(x)?, y.map(number).transpose()?.unwrap_or(1.0));
        let (x, y) = match variables {
            Variables::One(_) | Variables::ParamsTokens(..) => (first, second),
            Variables::ParamsFlops(..) => (first, second / (6.0 * first)),
            Variables::TokensFlops(..) => (second / (6.0 * first), first),
        };
        let point = Point { x, y, loss: number(loss)? };
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

#[cfg(test)]
mod tests {
    use testing::damage::survives;

    use super::*;

    #[test]
    fn damaged_tables_survive() {
        let column = |name: &str| Column { name: name.to_owned(), flag: "--some" };
        let laws = [
            Variables::One(column("params")),
            Variables::ParamsTokens(column("params"), column("tokens")),
            Variables::ParamsFlops(column("params"), column("flops")),
        ];
        let exclude = Exclude::parse("loss > 4 or set != a and tokens < 2e8").unwrap();
        let table = "params,tokens,flops,loss,set\n1e6,1e8,6e14,3.5,a\n2e6,2e8,2.4e15,3.25,b\n3e6,1e8,1.8e15,3.4,a\n";
        survives(&[table.as_bytes().to_vec()], |bytes| {
            for law in &laws {
                let points =
                    read_from(Path::new("some.csv"), bytes, law, &column("loss"), Some(&exclude));
                for point in points.unwrap_or_default() {
                    assert!(point.loss > 0.0 && point.loss.is_finite(), "{point:?}");
                }
            }
        });
        survives(&[b"loss > 4 or set != a and tokens < 2e8".to_vec()], |text| {
            drop(Exclude::parse(&String::from_utf8_lossy(text)));
        });
    }
}
