//! The rows of `claims.csv`: what was published, and how it is judged.

use std::collections::BTreeSet;
use std::path::Path;
use std::str::FromStr;

use super::table::{ClaimsError, Row, Table};
use crate::stats::Scale;

const COLUMNS: [&str; 16] = [
    "id",
    "study",
    "metric",
    "op",
    "published",
    "low",
    "high",
    "no_effect",
    "tolerance",
    "tolerance_reason",
    "unit",
    "scale",
    "source",
    "where",
    "confidence",
    "needs",
];

/// How a measured value is compared with the published one, and which side is the claim's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// The published value itself; more is as wrong as less.
    Eq,
    /// At least the published value: more than that exceeds it.
    Ge,
    /// At most the published value: less than that exceeds it.
    Le,
    /// A factor, on the log scale; `no_effect` (usually 1) says which side is the claim's.
    Ratio,
    /// Only on which side of `no_effect` the value lies: above it or, where a published value says so,
    /// below.
    Sign,
}

impl FromStr for Op {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "eq" => Self::Eq,
            "ge" => Self::Ge,
            "le" => Self::Le,
            "ratio" => Self::Ratio,
            "sign" => Self::Sign,
            _ => return Err("eq, ge, le, ratio or sign".into()),
        })
    }
}

/// What has to be there before a claim can be measured at its published scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// `needs_gpu`: a run that would take a processor weeks.
    Gpu,
    /// `needs_data`: a data set or a file that the user has to bring.
    Data,
    /// `needs_people`: human judges.
    People,
    /// `not_built`: the study is not part of the program yet.
    NotBuilt,
    /// `not_ours`: another system's number, listed for comparison only.
    NotOurs,
}

impl Need {
    /// The word used in `claims.csv` and in the ledger's reasons.
    pub fn word(self) -> &'static str {
        match self {
            Self::Gpu => "needs_gpu",
            Self::Data => "needs_data",
            Self::People => "needs_people",
            Self::NotBuilt => "not_built",
            Self::NotOurs => "not_ours",
        }
    }

    /// The word explained.
    pub(super) fn explained(self) -> &'static str {
        match self {
            Self::Gpu => "the published run would take a processor weeks",
            Self::Data => "the user has to bring data or weights that cannot be fetched",
            Self::People => "human judges",
            Self::NotBuilt => "the study is not part of the program yet",
            Self::NotOurs => "another system's number, listed for comparison",
        }
    }
}

impl FromStr for Need {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::Gpu, Self::Data, Self::People, Self::NotBuilt, Self::NotOurs];
        all.into_iter().find(|need| need.word() == text).ok_or_else(|| {
            format!("words out of {} separated by blanks", all.map(Self::word).join(", "))
        })
    }
}

/// One published statement, its place, its value and how we judge it.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// Unique within the experiment.
    pub id: String,
    /// The study that measures it.
    pub study: String,
    /// What is measured, on which data, in words.
    pub metric: String,
    /// The comparison.
    pub op: Op,
    /// The published value; none for a measurement of our own.
    pub published: Option<f64>,
    /// Lower end of the published range, where there is one.
    pub low: Option<f64>,
    /// Upper end of the published range, where there is one.
    pub high: Option<f64>,
    /// The value if what is claimed did nothing. None for a level, which has no trend.
    pub no_effect: Option<f64>,
    /// How far from the published value still counts: in `unit` on the natural scale, a factor of at
    /// least 1 on the log scale.
    pub tolerance: Option<f64>,
    /// Why the tolerance is what it is.
    pub tolerance_reason: String,
    /// Unit of all the values.
    pub unit: String,
    /// The scale of the tolerance.
    pub scale: Scale,
    /// Who published it.
    pub source: String,
    /// Where in the source (the column `where`).
    pub place: String,
    /// How sure we are of the published value: `seen in source …`, `from memory …`, or `extra` for a
    /// measurement of our own.
    pub confidence: String,
    /// What a measurement at the published scale needs.
    pub needs: Vec<Need>,
}

/// A side of "no effect".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Above,
    Below,
}

impl Claim {
    /// Whether the published value was quoted from memory. Such a claim shows as unverified, gets no
    /// better verdict than `trend` and counts in no summary.
    pub fn unverified(&self) -> bool {
        self.confidence.starts_with("from memory")
    }

    /// Whether this is a measurement of our own without a published value.
    pub fn extra(&self) -> bool {
        self.confidence == "extra"
    }

    /// The side on which the claim says the value lies; none for a level that is only equal or not.
    pub(super) fn side(&self) -> Option<Side> {
        match (self.op, self.published, self.no_effect) {
            (Op::Ge, ..) => Some(Side::Above),
            (Op::Le, ..) => Some(Side::Below),
            (_, Some(published), Some(none)) if published < none => Some(Side::Below),
            (_, Some(_), Some(_)) | (Op::Sign, ..) => Some(Side::Above),
            _ => None,
        }
    }

    /// The values that count as the published one: its range widened by the tolerance.
    pub(super) fn band(&self) -> Option<(f64, f64)> {
        let (published, tolerance) = (self.published?, self.tolerance?);
        let (low, high) = (self.low.unwrap_or(published), self.high.unwrap_or(published));
        Some(match self.scale {
            Scale::Natural => (low - tolerance, high + tolerance),
            Scale::Log => (low / tolerance, high * tolerance),
        })
    }

    fn read(row: &Row) -> Result<Self, ClaimsError> {
        let claim = Self {
            id: row.filled("id")?,
            study: row.filled("study")?,
            metric: row.filled("metric")?,
            op: row.word("op")?,
            published: row.number("published")?,
            low: row.number("low")?,
            high: row.number("high")?,
            no_effect: row.number("no_effect")?,
            tolerance: row.number("tolerance")?,
            tolerance_reason: row.text("tolerance_reason"),
            unit: row.text("unit"),
            scale: match row.text("scale").as_str() {
                "natural" => Scale::Natural,
                "log" => Scale::Log,
                _ => return Err(row.wrong("scale", "natural or log")),
            },
            source: row.filled("source")?,
            place: row.text("where"),
            confidence: row.filled("confidence")?,
            needs: row
                .text("needs")
                .split_whitespace()
                .map(|word| word.parse().map_err(|wanted: String| row.wrong("needs", wanted)))
                .collect::<Result<_, _>>()?,
        };
        claim.check(row)?;
        Ok(claim)
    }

    /// Refuses claims that no measurement, or any measurement, could reproduce.
    fn check(&self, row: &Row) -> Result<(), ClaimsError> {
        if self.extra() {
            if self.published.is_some() || self.op != Op::Sign || self.no_effect.is_none() {
                let wanted = "no published value, op sign and a no_effect in an extra row";
                return Err(row.wrong("confidence", wanted));
            }
            return Ok(());
        }
        if matches!(self.op, Op::Sign | Op::Ratio) && self.no_effect.is_none() {
            return Err(row.wrong("no_effect", "a number: sign and ratio are read against it"));
        }
        if self.op == Op::Ratio && self.scale != Scale::Log {
            return Err(row.wrong("scale", "log for a ratio"));
        }
        if self.op == Op::Sign {
            return Ok(());
        }
        let Some(published) = self.published else {
            return Err(row.wrong("published", "a number, or the op sign"));
        };
        if self.low.is_some_and(|low| low > published) {
            return Err(row.wrong("low", "at most the published value"));
        }
        if self.high.is_some_and(|high| high < published) {
            return Err(row.wrong("high", "at least the published value"));
        }
        match (self.tolerance, self.scale) {
            (Some(tolerance), Scale::Natural) if tolerance >= 0.0 => {}
            (Some(tolerance), Scale::Log) if tolerance >= 1.0 => {}
            (_, Scale::Natural) => return Err(row.wrong("tolerance", "a number of at least 0")),
            (_, Scale::Log) => return Err(row.wrong("tolerance", "a factor of at least 1")),
        }
        if self.tolerance_reason.is_empty() {
            return Err(row.wrong("tolerance_reason", "why the tolerance is what it is"));
        }
        if let (Some(none), Some((low, high))) = (self.no_effect, self.band()) {
            let apart = match self.side() {
                Some(Side::Below) => high < none,
                _ => low > none,
            };
            if !apart {
                let wanted = format!(
                    "a value outside the tolerance, {low} to {high}, on the side the op says: \
                     otherwise no effect at all would reproduce the claim"
                );
                return Err(row.wrong("no_effect", wanted));
            }
        }
        Ok(())
    }
}

/// Reads `claims.csv`.
///
/// # Errors
/// A file that cannot be read, is not CSV, has other columns, or a cell that is not what its column
/// wants; the message names file, line and column.
pub fn read_claims(path: &Path) -> Result<Vec<Claim>, ClaimsError> {
    claims(&Table::read(path, &COLUMNS)?)
}

/// [`read_claims`] of text already at hand; `path` is what error messages call it.
///
/// # Errors
/// As [`read_claims`].
pub fn parse_claims(path: &Path, text: &str) -> Result<Vec<Claim>, ClaimsError> {
    claims(&Table::parse(path, text, &COLUMNS)?)
}

fn claims(table: &Table) -> Result<Vec<Claim>, ClaimsError> {
    let mut seen = BTreeSet::new();
    table
        .rows()
        .map(|row| {
            let claim = Claim::read(&row)?;
            if seen.insert(claim.id.clone()) {
                Ok(claim)
            } else {
                Err(row.wrong("id", "an id that no other row has"))
            }
        })
        .collect()
}
