//! Checks that what is published is what its files give, down to the pages.

use std::fs;
use std::path::{Path, PathBuf};

use crate::bench::{self, BenchError};
use crate::claims::{ClaimsError, read_ledger, verify_ledger};
use crate::publish::{PublishError, faults, limits, sizes};
use crate::report::{self, PAGE, README, ReportError, relative};
use crate::run::{RunError, RunRecord, run_folders};

/// Why nothing could be checked.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The claims or the ledger.
    #[error(transparent)]
    Claims(#[from] ClaimsError),
    /// Figures or pages.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// Run folders and sizes.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// Run folders.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A stored page could not be read.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// What [`verify`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Rows of the ledger.
    pub rows: usize,
    /// Run folders.
    pub runs: usize,
    /// Each difference between what is stored and what the files give.
    pub differences: Vec<String>,
}

/// Computes the ledger and the pages of the published folder `reference` again, and looks at the record
/// of every run and at the size of every file. `root` is the repository, which holds the claims. A folder
/// that is not there or empty has nothing to check: no rows, no runs, no differences.
///
/// # Errors
/// A file that cannot be read, or that does not hold what its format wants.
pub fn verify(root: &Path, reference: &Path) -> Result<Verified, VerifyError> {
    let sizes = sizes(reference)?;
    if sizes.is_empty() {
        return Ok(Verified { rows: 0, runs: 0, differences: vec![] });
    }
    let mut differences = Vec::new();
    let claims = report::experiments(root)?;
    let pages = report::pages(root, reference, reference)?;
    if sizes.contains_key("ledger.csv") {
        let found = verify_ledger(&claims, reference)?;
        differences.extend(found.iter().map(|difference| format!("ledger.csv: {difference}")));
        if found.is_empty() && read_ledger(reference)? != pages.ledger {
            let what = "rows in another order, or of an experiment without claims";
            differences.push(format!("ledger.csv: {what}"));
        }
    } else {
        differences.push("ledger.csv: missing".into());
    }
    let drawing = pages.bench.as_ref().map(|page| page.figure.to_svg()).transpose();
    let drawing = drawing.map_err(BenchError::from).map_err(ReportError::from)?;
    let written = [
        (PAGE, Some(&pages.index)),
        (README, pages.readme.as_ref()),
        (bench::PAGE, pages.bench.as_ref().map(|page| &page.text)),
        (bench::DRAWING, drawing.as_ref()),
    ];
    for (name, computed) in written {
        let Some(computed) = computed else { continue };
        if sizes.contains_key(name) {
            let path = reference.join(name);
            let stored = fs::read(&path).map_err(|source| VerifyError::Io { path, source })?;
            differences.extend(stale(name, &String::from_utf8_lossy(&stored), computed));
        } else {
            differences.push(format!("{name}: missing"));
        }
    }
    differences.extend(limits::excess(&sizes).iter().map(ToString::to_string));
    let runs = run_folders(reference, None)?;
    for folder in &runs {
        let run = relative(folder, reference);
        match RunRecord::read(folder) {
            Ok(Some(record)) => {
                let found = faults(&record, &run).into_iter();
                differences.extend(found.map(|fault| format!("{run}/run.json: {fault}")));
            }
            Ok(None) => differences.push(format!("{run}/run.json: missing")),
            Err(RunError::Record { message, .. }) => {
                differences.push(format!("{run}/run.json: not a run record ({message})"));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Verified { rows: pages.ledger.len(), runs: runs.len(), differences })
}

/// The first line in which a stored page is not the computed one.
fn stale(name: &str, stored: &str, computed: &str) -> Option<String> {
    if stored == computed {
        return None;
    }
    let same = stored.lines().zip(computed.lines()).take_while(|(a, b)| a == b).count();
    Some(format!("{name}: stale from line {}; write it again with `ledger report`", same + 1))
}
