//! Human judgements, from files to comparisons.

use common::data::error::DataError;
use common::data::lookup::Lookup;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub mod dialogue;
pub mod preferences;
pub mod rated;

/// What an example is for. Texts of one source (a prompt, a sentence) stay together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// To learn from.
    Train,
    /// To look at on the way.
    Val,
    /// Read once, at the end.
    Test,
}

impl Part {
    /// A tenth each for test and validation, by the sum of what must stay together.
    pub fn of(group: &str) -> Self {
        match u32::from(Sha256::digest(group)[0]) * 10 / 256 {
            0 => Self::Test,
            1 => Self::Val,
            _ => Self::Train,
        }
    }
}

/// Texts that people have judged against each other.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// What all texts answer or go on from; may be empty.
    pub prompt: String,
    /// At least two.
    pub texts: Vec<String>,
    /// How good each is, on a scale of this comparison's own.
    pub goodness: Vec<f64>,
}

impl Comparison {
    /// A pair whose first text was preferred.
    pub fn pair(prompt: String, better: String, worse: String) -> Self {
        Self { prompt, texts: vec![better, worse], goodness: vec![1.0, 0.0] }
    }

    /// What it is for: all comparisons of a prompt are for the same.
    pub fn part(&self) -> Part {
        Part::of(if self.prompt.is_empty() { &self.texts[0] } else { &self.prompt })
    }
}

/// Where instructions with judged answers come from.
#[derive(Debug)]
pub struct Judged {
    /// Its name in paths of results.
    pub name: String,
    /// All comparisons.
    pub comparisons: Vec<Comparison>,
    /// Over everything read, in hex.
    pub sha256: String,
}

impl Judged {
    /// The comparisons of one part.
    pub fn part(&self, part: Part) -> Vec<&Comparison> {
        self.comparisons.iter().filter(|comparison| comparison.part() == part).collect()
    }
}

/// Judged answers to prompts by the name of their set, or from the user's own file.
///
/// # Errors
/// An unknown set, files that are missing or break their format.
pub fn judged(
    name: &str,
    own: Option<&std::path::Path>,
    lookup: &Lookup,
) -> Result<Judged, DataError> {
    let files = match own {
        Some(path) => vec![(path.to_owned(), common::data::sha256_file(path)?)],
        None if name == rated::SET => return rated::continuations(lookup),
        None => {
            let located = common::data::catalog::Catalog::builtin().locate(name, lookup)?;
            located.files.into_iter().map(|file| (file.path, file.sha256)).collect()
        }
    };
    let mut comparisons = Vec::new();
    let mut sums = String::new();
    for (path, sum) in files {
        comparisons.extend(preferences::read(&path)?);
        sums += &sum;
    }
    let name = if own.is_some() { "own-comparisons" } else { name }.to_owned();
    Ok(Judged { name, comparisons, sha256: hex(&sums) })
}

/// sha256 of a text, in hex.
pub fn hex(text: &str) -> String {
    ledger::run::hex(&Sha256::digest(text))
}
