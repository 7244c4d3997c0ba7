//! The ledger: every claim of every experiment beside what was measured, with its verdict.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::judge::{Verdict, changed, judge, rank};
use super::rows::{Claim, Measured, Need, read_measured};
use super::table::{self, ClaimsError, Row, Table};
use crate::stats::Bound;

const COLUMNS: [&str; 15] = [
    "experiment",
    "id",
    "claim",
    "published",
    "unit",
    "measured",
    "low",
    "high",
    "seeds",
    "preset",
    "data",
    "verdict",
    "reason",
    "evidence",
    "command",
];
const UNVERIFIED: &str = " (unverified)";

/// The published side of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Published {
    /// The value; none where nothing was published.
    pub value: Option<f64>,
    /// Whether it was quoted from memory; written behind the value.
    pub unverified: bool,
}

/// One claim, with one measurement of it or with none.
#[derive(Debug, Clone, PartialEq)]
pub struct LedgerRow {
    /// The experiment.
    pub experiment: String,
    /// The claim's id.
    pub id: String,
    /// What is claimed, in words.
    pub claim: String,
    /// The published value.
    pub published: Published,
    /// Unit of all the values.
    pub unit: String,
    /// The measured value and whether it is a bound.
    pub measured: Option<(f64, Bound)>,
    /// Lower end of the 95 % interval.
    pub low: Option<f64>,
    /// Upper end of the 95 % interval.
    pub high: Option<f64>,
    /// Seeds behind the measurement.
    pub seeds: Option<usize>,
    /// The preset that ran; empty when nothing was measured.
    pub preset: String,
    /// The data set; empty when nothing was measured.
    pub data: String,
    /// The verdict.
    pub verdict: Verdict,
    /// Why.
    pub reason: String,
    /// File or folder the measured value was computed from, relative to the results folder.
    pub evidence: String,
    /// The command that measures it (again); empty when there is none.
    pub command: String,
}

impl LedgerRow {
    fn new(experiment: &str, claim: &Claim, measured: Option<&Measured>) -> Self {
        let judgement = judge(claim, measured.map_or(&[], std::slice::from_ref));
        let published = Published { value: claim.published, unverified: claim.unverified() };
        let estimate = measured.map(|row| &row.estimate);
        Self {
            experiment: experiment.to_owned(),
            id: claim.id.clone(),
            claim: claim.metric.clone(),
            published,
            unit: claim.unit.clone(),
            measured: estimate.map(|e| (e.value, e.bound)),
            low: estimate.and_then(|e| e.low),
            high: estimate.and_then(|e| e.high),
            seeds: estimate.map(|e| e.n_seeds),
            preset: measured.map(|row| row.preset.clone()).unwrap_or_default(),
            data: measured.map(|row| row.data.clone()).unwrap_or_default(),
            verdict: judgement.verdict,
            reason: judgement.reason,
            evidence: measured.map(|row| evidence(experiment, claim, row)).unwrap_or_default(),
            command: command(experiment, claim, measured),
        }
    }

    fn read(row: &Row) -> Result<Self, ClaimsError> {
        let published = row.text("published");
        let (digits, unverified) = match published.strip_suffix(UNVERIFIED.trim_start()) {
            Some(digits) => (digits.trim_end(), true),
            None => (published.as_str(), false),
        };
        let value = match digits {
            "" => None,
            digits => match digits.parse::<f64>() {
                Ok(value) if value.is_finite() => Some(value),
                _ => return Err(row.wrong("published", "a number, or nothing")),
            },
        };
        Ok(Self {
            experiment: row.filled("experiment")?,
            id: row.filled("id")?,
            claim: row.text("claim"),
            published: Published { value, unverified },
            unit: row.text("unit"),
            measured: row.value("measured")?,
            low: row.number("low")?,
            high: row.number("high")?,
            seeds: row.count("seeds")?,
            preset: row.text("preset"),
            data: row.text("data"),
            verdict: row.word("verdict")?,
            reason: row.text("reason"),
            evidence: row.text("evidence"),
            command: row.text("command"),
        })
    }

    /// The cells in the order of the columns.
    fn cells(&self) -> Vec<String> {
        let unverified = if self.published.unverified { UNVERIFIED } else { "" };
        let published = format!("{}{unverified}", table::optional(self.published.value));
        vec![
            self.experiment.clone(),
            self.id.clone(),
            self.claim.clone(),
            published.trim_start().to_owned(),
            self.unit.clone(),
            self.measured.map(|(x, bound)| table::value(x, bound)).unwrap_or_default(),
            table::optional(self.low),
            table::optional(self.high),
            self.seeds.map(|n| n.to_string()).unwrap_or_default(),
            self.preset.clone(),
            self.data.clone(),
            self.verdict.to_string(),
            self.reason.clone(),
            self.evidence.clone(),
            self.command.clone(),
        ]
    }

    /// What tells rows apart.
    fn key(&self) -> (String, String, String, String) {
        (self.experiment.clone(), self.id.clone(), self.preset.clone(), self.data.clone())
    }
}

/// Where the evidence lies, relative to the results folder.
fn evidence(experiment: &str, claim: &Claim, measured: &Measured) -> String {
    let folder = format!("{experiment}/{}/{}", measured.preset, claim.study);
    match measured.evidence.trim_start_matches("./").trim_end_matches('/') {
        "" | "." => folder,
        file => format!("{folder}/{file}"),
    }
}

/// The command that repeats the measurement or, where there is none, would make it.
fn command(experiment: &str, claim: &Claim, measured: Option<&Measured>) -> String {
    let make = |preset: &str| format!("make {experiment} STUDY={} PRESET={preset}", claim.study);
    match measured {
        // What was changed stands in the runs' records; the name of the preset alone would not repeat it.
        Some(row) if changed(&row.preset) => String::new(),
        Some(row) => make(&row.preset),
        None if claim.needs.iter().any(|n| matches!(n, Need::NotBuilt | Need::NotOurs)) => {
            String::new()
        }
        None if claim.needs.is_empty() => make("overnight"),
        None => make("paper"),
    }
}

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

/// Writes `<results>/ledger.csv`, whole or not at all.
///
/// # Errors
/// When the file cannot be written.
pub fn write_ledger(rows: &[LedgerRow], results: &Path) -> Result<(), ClaimsError> {
    table::write(&results.join("ledger.csv"), &COLUMNS, rows.iter().map(LedgerRow::cells))
}

/// Reads `<results>/ledger.csv`.
///
/// # Errors
/// A file that cannot be read or holds something else; the message names line and column.
pub fn read_ledger(results: &Path) -> Result<Vec<LedgerRow>, ClaimsError> {
    Table::read(&results.join("ledger.csv"), &COLUMNS)?
        .rows()
        .map(|row| LedgerRow::read(&row))
        .collect()
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

/// How many claims of each verdict, one row a claim (its headline), without unverified and extra ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Verdict `reproduced`.
    pub reproduced: usize,
    /// Verdict `exceeds`.
    pub exceeds: usize,
    /// Verdict `trend`.
    pub trend: usize,
    /// Verdict `not_reproduced`.
    pub not_reproduced: usize,
    /// Verdict `not_run`.
    pub not_run: usize,
    /// Claims quoted from memory, in none of the counts above.
    pub unverified: usize,
}

/// Counts the headlines of `rows`, which have the order of [`build_ledger`].
pub fn summarise(rows: &[LedgerRow]) -> Summary {
    let mut summary = Summary::default();
    for same in rows.chunk_by(|a, b| (&a.experiment, &a.id) == (&b.experiment, &b.id)) {
        let row = &same[0];
        let count = match row.verdict {
            Verdict::Extra => continue,
            _ if row.published.unverified => &mut summary.unverified,
            Verdict::Reproduced => &mut summary.reproduced,
            Verdict::Exceeds => &mut summary.exceeds,
            Verdict::Trend => &mut summary.trend,
            Verdict::NotReproduced => &mut summary.not_reproduced,
            Verdict::NotRun => &mut summary.not_run,
        };
        *count += 1;
    }
    summary
}
