//! `milestone.toml` of an experiment: its place in the history, and what the page begins with.

use std::fs;
use std::io;
use std::path::Path;

use serde::Deserialize;

use super::{ReportError, io_error};
use crate::claims::Claim;

/// The name of the file in an experiment's folder.
const FILE: &str = "milestone.toml";

/// One experiment's place in the history.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Milestone {
    pub(super) title: String,
    /// The first publication's, and the last one's where there are several.
    pub(super) years: Vec<u16>,
    /// Authors and titles.
    pub(super) paper: String,
    /// What happened, in two or three sentences.
    pub(super) story: String,
    /// Key figures, the first that is there is shown: a study and how the file's name begins, `speed/figure-1`.
    pub(super) figures: Vec<String>,
    /// The ids of the claims to begin with.
    pub(super) claims: Vec<String>,
}

impl Milestone {
    /// The milestone of the experiment in `folder`, if it has one.
    pub(super) fn read(folder: &Path, claims: &[Claim]) -> Result<Option<Self>, ReportError> {
        let path = folder.join(FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error(&path)(error)),
        };
        let wrong = |problem: String| ReportError::Milestone { path: path.clone(), problem };
        let milestone: Self = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        if milestone.years.is_empty() {
            return Err(wrong("years is empty; wanted the publication's year".into()));
        }
        if let Some(found) = milestone.figures.iter().find(|figure| parts(figure).is_none()) {
            return Err(wrong(format!(
                "a figure is {found:?}; wanted STUDY/BEGINNING-OF-ITS-NAME"
            )));
        }
        let unknown = |id: &&String| !claims.iter().any(|claim| claim.id == **id);
        if let Some(id) = milestone.claims.iter().find(unknown) {
            return Err(wrong(format!("{id} is not an id of claims.csv")));
        }
        Ok(Some(milestone))
    }

    /// Studies and beginnings of the names of the key figures.
    pub(super) fn key_figures(&self) -> impl Iterator<Item = (&str, &str)> {
        self.figures.iter().filter_map(|figure| parts(figure))
    }
}

fn parts(figure: &str) -> Option<(&str, &str)> {
    figure.split_once('/').filter(|(study, _)| !study.is_empty())
}
