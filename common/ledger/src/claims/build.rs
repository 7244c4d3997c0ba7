//! The ledger of all experiments, built from the files of a results folder, and checked against the
//! stored one.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::claim::Claim;
use super::judge::rank;
use super::ledger::{COLUMNS, LedgerRow, read_ledger};
use super::measured::{Measured, read_measured};
use super::table::ClaimsError;

/// Every claim of each experiment beside every measurement under `results`: one row for each
/// measurement, the [headline](super::headline) first, or one row when there is none. The order of the
/// claims is kept.
///
/// # Errors
/// A folder or file that cannot be read; a measured row with an unknown id, or one that lies in another
/// preset's or study's folder.
pub fn build_ledger(
    claims: &[(String, Vec<Claim>)],
    results: &Path,
) -> Result<Vec<LedgerRow>, ClaimsError> {
    let mut rows = Vec::new();
    for (experiment, claims) in claims {
        let measured = measured_under(&results.join(experiment), claims)?;
        for claim in claims {
            let mut found: Vec<&Measured> = measured.iter().filter(|m| m.id == claim.id).collect();
            found.sort_by(|a, b| rank(a).cmp(&rank(b)));
            if found.is_empty() {
                rows.push(LedgerRow::new(experiment, claim, None));
            }
            rows.extend(found.into_iter().map(|m| LedgerRow::new(experiment, claim, Some(m))));
        }
    }
    Ok(rows)
}

/// All measured rows of an experiment, from `<preset>/<study>/measured.csv`.
fn measured_under(folder: &Path, claims: &[Claim]) -> Result<Vec<Measured>, ClaimsError> {
    let study_of: BTreeMap<&str, &str> =
        claims.iter().map(|claim| (claim.id.as_str(), claim.study.as_str())).collect();
    let mut all = Vec::new();
    for preset in folders(folder)? {
        for study in folders(&preset)? {
            let path = study.join("measured.csv");
            if !path.is_file() {
                continue;
            }
            for row in read_measured(&path)? {
                let wrong = |column, found: &str, wanted: String| ClaimsError::Misplaced {
                    path: path.clone(),
                    id: row.id.clone(),
                    column,
                    found: found.to_owned(),
                    wanted,
                };
                let (preset, study) = (name(&preset), name(&study));
                if row.preset != preset {
                    return Err(wrong(
                        "preset",
                        &row.preset,
                        format!("{preset}, as the folder is"),
                    ));
                }
                match study_of.get(row.id.as_str()) {
                    Some(&claimed) if claimed == study => all.push(row),
                    Some(claimed) => {
                        let wanted = format!("ids of {study}; claims.csv gives this to {claimed}");
                        return Err(wrong("id", &row.id, wanted));
                    }
                    None => return Err(wrong("id", &row.id, "an id of claims.csv".into())),
                }
            }
        }
    }
    Ok(all)
}

/// The folders in `parent` by name; none when it does not exist.
fn folders(parent: &Path) -> Result<Vec<PathBuf>, ClaimsError> {
    let broken = |source| ClaimsError::Read { path: parent.to_owned(), source };
    let entries = match parent.read_dir() {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(broken(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(broken)?.path();
        if path.is_dir() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A place where the stored ledger is not what the files give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The experiment.
    pub experiment: String,
    /// The claim's id.
    pub id: String,
    /// The preset; empty when nothing was measured.
    pub preset: String,
    /// The data set; empty when nothing was measured.
    pub data: String,
    /// The column, or `row` when the whole row is on one side only.
    pub column: &'static str,
    /// What `ledger.csv` says.
    pub stored: String,
    /// What the files give.
    pub computed: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { experiment, id, preset, data, column, stored, computed } = self;
        let place: Vec<&str> = [experiment, id, preset, data]
            .into_iter()
            .map(String::as_str)
            .filter(|s| !s.is_empty())
            .collect();
        write!(f, "{}: {column}: stored {stored:?}, computed {computed:?}", place.join(" "))
    }
}

/// Builds the ledger again and lists every difference from the stored `<results>/ledger.csv`, and every
/// measured row whose evidence is not there. Rows of experiments that are not in `claims` are left alone.
///
/// # Errors
/// As [`build_ledger`] and [`read_ledger`].
pub fn verify_ledger(
    claims: &[(String, Vec<Claim>)],
    results: &Path,
) -> Result<Vec<Difference>, ClaimsError> {
    let computed = build_ledger(claims, results)?;
    let asked = |row: &LedgerRow| claims.iter().any(|(name, _)| *name == row.experiment);
    let mut differences = Vec::new();
    let mut stored = BTreeMap::new();
    for row in read_ledger(results)?.into_iter().filter(asked) {
        let (key, again) = (row.key(), difference(&row, "row", "repeated", "once"));
        if stored.insert(key, row).is_some() {
            differences.push(again);
        }
    }
    for row in &computed {
        match stored.remove(&row.key()) {
            None => differences.push(difference(row, "row", "missing", "present")),
            Some(old) => {
                for ((column, old), new) in COLUMNS.into_iter().zip(old.cells()).zip(row.cells()) {
                    if old != new {
                        differences.push(difference(row, column, &old, &new));
                    }
                }
            }
        }
        if !row.evidence.is_empty() && !results.join(&row.evidence).exists() {
            differences.push(difference(row, "evidence", &row.evidence, "no such file or folder"));
        }
    }
    differences.extend(stored.values().map(|row| difference(row, "row", "present", "missing")));
    Ok(differences)
}

fn difference(row: &LedgerRow, column: &'static str, stored: &str, computed: &str) -> Difference {
    let (experiment, id, preset, data) = row.key();
    let (stored, computed) = (stored.to_owned(), computed.to_owned());
    Difference { experiment, id, preset, data, column, stored, computed }
}
