//! The results page: every claim beside what was measured, with the figures and the runs behind it.
//!
//! [`write`] turns the files of a results folder into `ledger.csv` and `index.html`, one file that
//! needs no network and no scripts: its filters are check boxes and style. In the folder we publish it also writes `README.md`, the same for
//! readers of the repository. The pages depend on those files alone: no clock, no machine, no path of
//! this one; so that a stored page can be checked by writing it again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::bench::{self, BenchError};
use crate::claims::{self, Claim, ClaimsError, LedgerRow, read_claims};
use crate::run::{RunError, write_atomic};

mod figures;
mod gather;
mod markdown;
mod milestone;
mod page;
mod runs;
mod words;

pub(crate) use markdown::plain;
pub(crate) use runs::relative;
pub(crate) use words::bytes;

/// The page's name in the results folder.
pub const PAGE: &str = "index.html";
/// The name of the page for readers of the repository, in the folder we publish.
pub const README: &str = "README.md";

/// Why the pages could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// Claims, measured values or the ledger.
    #[error(transparent)]
    Claims(#[from] ClaimsError),
    /// Run folders, or the writing of a file.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A file or folder could not be read or made.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A `milestone.toml` that does not say what it should.
    #[error("{path}: {problem}")]
    Milestone {
        /// The file.
        path: PathBuf,
        /// What was found, and what was wanted.
        problem: String,
    },
    /// Tables of timings.
    #[error(transparent)]
    Bench(#[from] BenchError),
    /// A figure that cannot stand in a page.
    #[error("{path}: {problem}; draw it again with the experiment's `figures`, or delete it")]
    Figure {
        /// The SVG file.
        path: PathBuf,
        /// What was found, and what was wanted.
        problem: String,
    },
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> ReportError + '_ {
    |source| ReportError::Io { path: path.to_owned(), source }
}

/// What [`write`] writes.
#[derive(Debug)]
pub struct Pages {
    /// The rows of `ledger.csv`.
    pub ledger: Vec<LedgerRow>,
    /// `index.html`.
    pub index: String,
    /// `README.md`, when the results are those we publish.
    pub readme: Option<String>,
    /// `bench.md` and its figure, where something was timed.
    pub bench: Option<bench::Page>,
}

/// The claims of every `<root>/experiments/<name>/claims.csv`, by name.
///
/// # Errors
/// A folder or file that cannot be read, or that holds something else than claims.
pub fn experiments(root: &Path) -> Result<Vec<(String, Vec<Claim>)>, ReportError> {
    let mut found = Vec::new();
    for folder in gather::folders(&root.join("experiments"))? {
        let file = folder.join("claims.csv");
        if file.is_file() {
            found.push((gather::name(&folder), read_claims(&file)?));
        }
    }
    Ok(found)
}

/// The pages of `results`, without writing them.
///
/// # Errors
/// As [`write`], the writing aside.
pub fn pages(root: &Path, results: &Path, reference: &Path) -> Result<Pages, ReportError> {
    let gathered = gather::gather(root, results, reference)?;
    let index = page::html(&gathered);
    let bench = bench::page(results)?;
    let readme = gathered.is_reference.then(|| markdown::readme(&gathered, bench.is_some()));
    let ledger = gathered.experiments.into_iter().flat_map(|e| e.rows).collect();
    Ok(Pages { ledger, index, readme, bench })
}

/// Writes `ledger.csv` and `index.html` of `results`, each whole or not at all, and returns the path of
/// the page. `root` is the repository, which holds the claims. `reference` is what we publish: its values
/// stand beside those of `results`, or, when it is the same folder, its `README.md` is written too. Where something was timed, so is
/// `bench.md`.
///
/// # Errors
/// A file that cannot be read or written, or that does not hold what its format wants.
pub fn write(root: &Path, results: &Path, reference: &Path) -> Result<PathBuf, ReportError> {
    fs::create_dir_all(results).map_err(io_error(results))?;
    let pages = pages(root, results, reference)?;
    claims::write_ledger(&pages.ledger, results)?;
    if let Some(readme) = &pages.readme {
        write_atomic(&results.join(README), readme.as_bytes())?;
    }
    if let Some(bench) = &pages.bench {
        write_atomic(&results.join(bench::PAGE), bench.text.as_bytes())?;
        bench.figure.write(&results.join(bench::FIGURE)).map_err(BenchError::from)?;
    }
    let page = results.join(PAGE);
    write_atomic(&page, pages.index.as_bytes())?;
    Ok(page)
}

/// Whether two paths lead to one folder.
pub(crate) fn same_folder(a: &Path, b: &Path) -> bool {
    a == b || a.canonicalize().is_ok_and(|a| b.canonicalize().is_ok_and(|b| a == b))
}
