//! The rows of `ledger.csv`: a claim beside what was measured, with its verdict.

use std::path::Path;

use super::claim::{Claim, Need};
use super::judge::{Verdict, changed, judge};
use super::measured::Measured;
use super::table::{self, ClaimsError, Row, Table};
use crate::stats::Bound;

pub(super) const COLUMNS: [&str; 15] = [
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
    /// The command that repeats the measurement or, with the verdict `not_run`, would make one that can
    /// be judged; empty when there is none.
    pub command: String,
}

impl LedgerRow {
    pub(super) fn new(experiment: &str, claim: &Claim, measured: Option<&Measured>) -> Self {
        let judgement = judge(claim, measured.map_or(&[], std::slice::from_ref));
        let published = Published { value: claim.published, unverified: claim.unverified() };
        let estimate = measured.map(|row| &row.estimate);
        let judged = measured.filter(|_| judgement.verdict != Verdict::NotRun);
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
            command: command(experiment, claim, judged),
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
    pub(super) fn cells(&self) -> Vec<String> {
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
    pub(super) fn key(&self) -> (String, String, String, String) {
        (self.experiment.clone(), self.id.clone(), self.preset.clone(), self.data.clone())
    }
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

/// Where the evidence lies, relative to the results folder.
fn evidence(experiment: &str, claim: &Claim, measured: &Measured) -> String {
    let folder = format!("{experiment}/{}/{}", measured.preset, claim.study);
    match measured.evidence.trim_start_matches("./").trim_end_matches('/') {
        "" | "." => folder,
        file => format!("{folder}/{file}"),
    }
}

/// The command that repeats the measurement or, where none was judged, would make it.
fn command(experiment: &str, claim: &Claim, judged: Option<&Measured>) -> String {
    let make = |preset: &str| format!("make {experiment} STUDY={} PRESET={preset}", claim.study);
    match judged {
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
