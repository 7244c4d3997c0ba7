//! The rows of `measured.csv`: what a study measured for its claims.

use std::collections::BTreeSet;
use std::path::Path;

use super::table::{self, ClaimsError, Row, Table};
use crate::stats::{Bound, Estimate};

const COLUMNS: [&str; 11] = [
    "id",
    "preset",
    "data",
    "value",
    "low",
    "high",
    "n_seeds",
    "n",
    "method",
    "evidence",
    "protocol_ok",
];

/// What a study measured for one claim, with one preset and one data set.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// The claim's id.
    pub id: String,
    /// The preset that ran.
    pub preset: String,
    /// The data set's name.
    pub data: String,
    /// The value, its interval, its seeds and how they were computed.
    pub estimate: Estimate,
    /// File or folder the value was computed from, relative to the folder of `measured.csv`.
    pub evidence: String,
    /// Whether protocol, scale and data are those of the publication.
    pub protocol_ok: bool,
}

impl Measured {
    fn read(row: &Row) -> Result<Self, ClaimsError> {
        let Some((value, bound)) = row.value("value")? else {
            return Err(row.wrong("value", "a number such as 6.4 or a bound such as >=5.2"));
        };
        let whole = |column| row.count(column)?.ok_or_else(|| row.wrong(column, "a whole number"));
        Ok(Self {
            id: row.filled("id")?,
            preset: row.filled("preset")?,
            data: row.filled("data")?,
            estimate: Estimate {
                value,
                low: row.number("low")?,
                high: row.number("high")?,
                bound,
                n_seeds: whole("n_seeds")?,
                n: whole("n")?,
                method: row.text("method"),
            },
            evidence: row.text("evidence"),
            protocol_ok: match row.text("protocol_ok").as_str() {
                "true" => true,
                "false" => false,
                _ => return Err(row.wrong("protocol_ok", "true or false")),
            },
        })
    }

    fn cells(&self, path: &Path) -> Result<Vec<String>, ClaimsError> {
        let Estimate { value, low, high, bound, n_seeds, n, method } = &self.estimate;
        for (column, x) in [("value", Some(*value)), ("low", *low), ("high", *high)] {
            if let Some(found) = x.filter(|x| !x.is_finite()) {
                let (path, id) = (path.to_owned(), self.id.clone());
                return Err(ClaimsError::NotFinite { path, id, column, found });
            }
        }
        Ok(vec![
            self.id.clone(),
            self.preset.clone(),
            self.data.clone(),
            table::value(*value, *bound),
            table::optional(*low),
            table::optional(*high),
            n_seeds.to_string(),
            n.to_string(),
            method.clone(),
            self.evidence.clone(),
            self.protocol_ok.to_string(),
        ])
    }

    /// The measured value with its sign, where it is a bound.
    pub(super) fn bound(&self) -> Bound {
        self.estimate.bound
    }
}

/// Reads a `measured.csv`.
///
/// # Errors
/// As [`read_claims`](super::read_claims); also when a claim was measured twice with the same preset and data.
pub fn read_measured(path: &Path) -> Result<Vec<Measured>, ClaimsError> {
    let table = Table::read(path, &COLUMNS)?;
    let mut seen = BTreeSet::new();
    table
        .rows()
        .map(|row| {
            let measured = Measured::read(&row)?;
            let key = (measured.id.clone(), measured.preset.clone(), measured.data.clone());
            if seen.insert(key) {
                Ok(measured)
            } else {
                Err(row.wrong("id", "one row for each id, preset and data"))
            }
        })
        .collect()
}

/// Writes a `measured.csv`, whole or not at all.
///
/// # Errors
/// A number that is not finite, a file that cannot be written.
pub fn write_measured(path: &Path, rows: &[Measured]) -> Result<(), ClaimsError> {
    let cells: Vec<_> = rows.iter().map(|row| row.cells(path)).collect::<Result<_, _>>()?;
    table::write(path, &COLUMNS, cells)
}
