//! Everything the pages show, read from the files and sorted; nothing is worded here.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::figures::{self, PresetFigures};
use super::milestone::Milestone;
use super::runs::{self, Run};
use super::{ReportError, experiments, io_error, relative, same_folder};
use crate::claims::{Claim, LedgerRow, Summary, Verdict, build_ledger, read_ledger, summarise};

/// What a results folder holds.
pub(super) struct Gathered {
    /// In the order of their first publications; those without a milestone last, by name.
    pub(super) experiments: Vec<Experiment>,
    /// Over all experiments.
    pub(super) summary: Summary,
    /// The rows of the ledger we publish, by experiment and id; none when this is that folder, or when
    /// nothing is published.
    pub(super) published: Option<BTreeMap<(String, String), Vec<LedgerRow>>>,
    /// Whether this is the folder we publish.
    pub(super) is_reference: bool,
}

/// One experiment's share.
pub(super) struct Experiment {
    pub(super) name: String,
    pub(super) milestone: Option<Milestone>,
    /// Its README as a link from the page, where the results lie below the repository.
    pub(super) readme: Option<String>,
    pub(super) claims: Vec<Claim>,
    /// In the order of the ledger.
    pub(super) rows: Vec<LedgerRow>,
    pub(super) figures: Vec<PresetFigures>,
    /// Sorted by path.
    pub(super) runs: Vec<Run>,
}

impl Experiment {
    /// What it is called in a sentence.
    pub(super) fn title(&self) -> &str {
        self.milestone.as_ref().map_or(&self.name, |milestone| &milestone.title)
    }

    /// The claim of a row.
    pub(super) fn claim(&self, row: &LedgerRow) -> &Claim {
        let claim = self.claims.iter().find(|claim| claim.id == row.id);
        claim.expect("the ledger's rows are built from the claims")
    }

    /// The rows with a verdict, then those without, each in the ledger's order.
    pub(super) fn judged_and_not(&self) -> (Vec<&LedgerRow>, Vec<&LedgerRow>) {
        let judged = |row: &LedgerRow| row.verdict != Verdict::NotRun && row.measured.is_some();
        self.rows.iter().partition(|row| judged(row))
    }
}

impl Gathered {
    /// Whether nothing has run yet.
    pub(super) fn empty(&self) -> bool {
        let measured = |e: &Experiment| e.rows.iter().any(|row| row.measured.is_some());
        !self.experiments.iter().any(|e| measured(e) || !e.runs.is_empty())
    }

    /// The published measurement beside a row: the one with its preset and data, else the headline.
    pub(super) fn published(&self, row: &LedgerRow) -> Option<&LedgerRow> {
        let rows = self.published.as_ref()?.get(&(row.experiment.clone(), row.id.clone()))?;
        let same = |other: &&LedgerRow| other.preset == row.preset && other.data == row.data;
        rows.iter().find(same).or(rows.first()).filter(|row| row.measured.is_some())
    }
}

pub(super) fn gather(
    root: &Path,
    results: &Path,
    reference: &Path,
) -> Result<Gathered, ReportError> {
    let claims = experiments(root)?;
    let is_reference = same_folder(results, reference);
    let ledger = build_ledger(&claims, results)?;
    let summary = summarise(&ledger);
    let mut published = None;
    if !is_reference && reference.join("ledger.csv").is_file() {
        let rows: &mut BTreeMap<_, Vec<_>> = published.insert(BTreeMap::new());
        for row in read_ledger(reference)? {
            rows.entry((row.experiment.clone(), row.id.clone())).or_default().push(row);
        }
    }
    let skip = (!is_reference).then_some(reference);
    let to_root = up_to(root, results);
    let mut experiments = Vec::new();
    for (name, claims) in claims {
        let folder = root.join("experiments").join(&name);
        let milestone = Milestone::read(&folder, &claims)?;
        let readme = folder.join("README.md");
        let readme = to_root
            .as_ref()
            .filter(|_| readme.is_file())
            .map(|to_root| format!("{to_root}{}", relative(&readme, root)));
        let rows = ledger.iter().filter(|row| row.experiment == name).cloned().collect();
        let figures = figures::find(results, &name, &claims)?;
        let runs = runs::find(results, &name, skip)?;
        experiments.push(Experiment { name, milestone, readme, claims, rows, figures, runs });
    }
    let year = |e: &Experiment| e.milestone.as_ref().map_or(u16::MAX, |m| m.years[0]);
    experiments.sort_by_key(year);
    Ok(Gathered { experiments, summary, published, is_reference })
}

/// The way from `results` up to `root`, if it lies below.
fn up_to(root: &Path, results: &Path) -> Option<String> {
    let (root, results) = (root.canonicalize().ok()?, results.canonicalize().ok()?);
    Some("../".repeat(results.strip_prefix(root).ok()?.iter().count()))
}

/// The folders in `parent` by name; none when it does not exist.
pub(super) fn folders(parent: &Path) -> Result<Vec<PathBuf>, ReportError> {
    entries(parent, Path::is_dir)
}

/// What lies in `parent` and is `wanted`, by name; nothing when it does not exist.
pub(super) fn entries(
    parent: &Path,
    wanted: impl Fn(&Path) -> bool,
) -> Result<Vec<PathBuf>, ReportError> {
    let entries = match parent.read_dir() {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io_error(parent)(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(io_error(parent))?.path();
        if wanted(&path) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The last part of a path.
pub(super) fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
