//! What an experiment is made of: its presets, its published claims and its studies. The shared
//! command line works on these; the training itself is each experiment's own.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::PathBuf;

use ledger::claims::Measured;
use ledger::plot::Figure;
use ledger::run::{RunError, RunRecord, finished_runs};
use ledger::stats::Estimate;

use crate::preset::{Source, nearest};
use crate::session::Session;
use crate::training_run::{Spec, TrainingRun};
use crate::weights::REFERENCE;

/// The preset whose curves stand behind those of shorter ones.
const LONG: &str = "overnight";

/// One milestone and one binary.
#[derive(Debug)]
pub struct Experiment {
    /// The binary's name, e.g. `alexnet`.
    pub name: &'static str,
    /// The publication, for the command line's help.
    pub about: &'static str,
    /// The text of `claims.csv`.
    pub claims: &'static str,
    /// The presets that the binary carries.
    pub presets: &'static [Source],
    /// The studies, in the publication's order.
    pub studies: &'static [Study],
    /// The commit that the binary was built from, and whether the tree had changes; see
    /// [`built_from!`](crate::built_from).
    pub built_from: (&'static str, bool),
}

/// A named piece of an experiment that measures some claims.
#[derive(Debug)]
pub struct Study {
    /// Its name on the command line, in paths and in `claims.csv`.
    pub name: &'static str,
    /// One line.
    pub about: &'static str,
    /// Data sets it can run on, best first.
    pub datasets: &'static [&'static str],
    /// Makes every run of the study that is not finished yet, by [`Session::grid`].
    pub run: fn(&Session) -> anyhow::Result<()>,
    /// One training, in a process of its own; returns the numbers it ended with.
    pub train: fn(&Spec, &mut TrainingRun) -> anyhow::Result<BTreeMap<String, f64>>,
    /// What the finished runs say about the claims. A pure function of the files in their folders.
    pub measure: fn(&Finished) -> anyhow::Result<Vec<Measured>>,
    /// The figures by file name without ending. A pure function of the same files.
    pub figures: fn(&Finished) -> anyhow::Result<Drawings>,
}

/// Figures by file name without ending.
pub type Drawings = Vec<(String, Figure)>;

/// The finished runs of one study at one preset.
#[derive(Debug, Clone)]
pub struct Finished {
    /// The preset, with `+<8 hex>` behind it when it was changed.
    pub preset: String,
    /// The study's folder.
    pub folder: PathBuf,
    /// Each run's folder and record, sorted by data set, variant and seed.
    pub runs: Vec<(PathBuf, RunRecord)>,
}

impl Finished {
    /// A row of `measured.csv`, whose evidence are the runs on `data`. Nothing of ours has the published scale unless
    /// a study says so.
    pub fn measured(&self, id: &str, data: &str, estimate: Estimate) -> Measured {
        Measured {
            id: id.to_owned(),
            preset: self.preset.clone(),
            data: data.to_owned(),
            estimate,
            evidence: data.to_owned(),
            protocol_ok: false,
        }
    }

    /// The finished runs of another study of the experiment at the same preset: those that this study's are
    /// set against, made once for several.
    ///
    /// # Errors
    /// A folder that cannot be listed, a record that cannot be read.
    pub fn beside(&self, study: &str) -> Result<Self, RunError> {
        let folder = self.folder.with_file_name(study);
        Ok(Self { preset: self.preset.clone(), runs: finished_runs(&folder)?, folder })
    }

    /// The published runs of this study at [`LONG`], whose curves a shorter training is set against. No runs at that
    /// preset itself, nor outside the repository's folder.
    ///
    /// # Errors
    /// A folder that cannot be listed, a record that cannot be read.
    pub fn reference(&self) -> Result<Self, RunError> {
        // The folder is <results>/<experiment>/<preset>/<study>.
        let mut names = self.folder.iter().rev();
        let (study, experiment) = (names.next(), names.nth(1));
        let folder: PathBuf =
            [Some(OsStr::new(REFERENCE)), experiment, Some(OsStr::new(LONG)), study]
                .into_iter()
                .flatten()
                .collect();
        let runs = if self.preset == LONG { Vec::new() } else { finished_runs(&folder)? };
        Ok(Self { preset: LONG.to_owned(), folder, runs })
    }
}

/// What the label of a curve of [`Finished::reference`] on `of` ends with, in a figure of `data`.
pub fn of_reference(of: &str, data: &str) -> String {
    let text = if of == data { String::new() } else { format!(" on {of}") };
    format!(", {LONG}{text}")
}

/// An unknown study.
#[derive(Debug, thiserror::Error)]
#[error("{name}: no such study; there are {known}{}", nearest.as_ref().map_or_else(String::new, |n| format!("; did you mean `{n}`?")))]
pub struct UnknownStudy {
    name: String,
    known: String,
    nearest: Option<String>,
}

impl Experiment {
    /// The study called `name`.
    ///
    /// # Errors
    /// When there is none; names the nearest.
    pub fn study(&self, name: &str) -> Result<&'static Study, UnknownStudy> {
        self.studies.iter().find(|study| study.name == name).ok_or_else(|| {
            let known: Vec<_> = self.studies.iter().map(|study| study.name).collect();
            UnknownStudy {
                name: name.to_owned(),
                nearest: nearest(name, known.iter().copied()),
                known: known.join(", "),
            }
        })
    }
}

/// The commit and dirty flag that the experiment's build script found (it is `build_info.rs` of this
/// crate).
#[macro_export]
macro_rules! built_from {
    () => {
        (env!("LANDMARKS_COMMIT"), matches!(env!("LANDMARKS_DIRTY").as_bytes(), b"true"))
    };
}

/// The presets of these names: `presets/<name>.toml` beside the crate's `src`.
#[macro_export]
macro_rules! presets {
    ($($name:literal),+) => {
        &[$($crate::preset::Source {
            name: $name,
            text: include_str!(concat!("../presets/", $name, ".toml")),
        }),+]
    };
}
