//! Rows of task files, each cell by its column; whatever is wrong is named with file and line.

use std::path::{Path, PathBuf};

use common::data::error::DataError;
use common::data::text::clean::decode;
use common::data::text::input::each_file;

/// A file whose inside is wrong.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// At a line.
    #[error("{}: line {line}: found {found}, wanted {wanted}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What stands there.
        found: String,
        /// What should stand there.
        wanted: String,
    },
    /// A file that cannot be read or unpacked.
    #[error(transparent)]
    Data(#[from] DataError),
}

/// Where a cell's column is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Column {
    /// Under this name in the first line.
    Named(&'static str),
    /// The so-manyth from 0, in a file without a line of names.
    At(usize),
}

/// How a file separates its cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Separator {
    /// Tabs; a quotation mark is a character like another.
    Tab,
    /// Commas, with quotation marks round a cell that has some.
    Comma,
}

/// A row of the cells asked for.
pub(super) struct Row<'a> {
    path: &'a Path,
    line: usize,
    /// In the order of the columns asked for.
    pub(super) cells: Vec<String>,
}

impl Row<'_> {
    pub(super) fn wrong(&self, found: String, wanted: String) -> TableError {
        TableError::Line { path: self.path.to_owned(), line: self.line, found, wanted }
    }

    /// The place of `cell` among `names`.
    pub(super) fn label(&self, cell: usize, names: &[&str]) -> Result<f64, TableError> {
        let found = self.cells[cell].as_str();
        match names.iter().position(|name| *name == found) {
            Some(place) => Ok(place as f64),
            None => Err(self.wrong(format!("the label {found}"), names.join(" or "))),
        }
    }

    /// A number.
    pub(super) fn number(&self, cell: usize) -> Result<f64, TableError> {
        let found = self.cells[cell].as_str();
        let number = found.parse().ok().filter(|x: &f64| x.is_finite());
        number.ok_or_else(|| self.wrong(format!("the label {found}"), "a number".into()))
    }
}

/// The whole file as text, unpacked.
pub(super) fn text(path: &Path) -> Result<String, DataError> {
    let mut text = String::new();
    each_file(path, &|_| true, &mut |lines| {
        text = decode(&lines.rest()?).0.into_owned();
        Ok(())
    })?;
    Ok(text)
}

/// Calls `visit` with every row of a file.
pub(super) fn each_row<const N: usize>(
    path: &Path,
    separator: Separator,
    columns: [Column; N],
    visit: &mut dyn FnMut(&Row) -> Result<(), TableError>,
) -> Result<(), TableError> {
    let text = text(path)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut builder = csv::ReaderBuilder::new();
    builder.has_headers(false).flexible(true);
    if separator == Separator::Tab {
        builder.delimiter(b'\t').quoting(false);
    }
    let mut records = builder.from_reader(text.as_bytes()).into_records();
    let mut places = columns.map(|column| match column {
        Column::At(place) => place,
        Column::Named(_) => usize::MAX,
    });
    let mut line = 0;
    let mut first = columns.iter().any(|column| matches!(column, Column::Named(_)));
    for record in &mut records {
        let record = record.map_err(|error| TableError::Line {
            path: path.to_owned(),
            line: line + 1,
            found: error.to_string(),
            wanted: "a row".into(),
        })?;
        line = record.position().map_or(line + 1, |position| position.line() as usize);
        let row = |cells| Row { path, line, cells };
        if first {
            first = false;
            let names: Vec<&str> = record.iter().map(str::trim).collect();
            for (place, column) in places.iter_mut().zip(columns) {
                if let Column::Named(wanted) = column {
                    *place = names.iter().position(|name| *name == wanted).ok_or_else(|| {
                        let found = format!("the columns {}", names.join(", "));
                        row(Vec::new()).wrong(found, format!("one called {wanted}"))
                    })?;
                }
            }
            continue;
        }
        let least = places.iter().max().map_or(0, |last| last + 1);
        if record.len() < least {
            let found = format!("{} columns", record.len());
            return Err(row(Vec::new()).wrong(found, least.to_string()));
        }
        visit(&row(places.iter().map(|&place| record[place].trim().to_owned()).collect()))?;
    }
    Ok(())
}
