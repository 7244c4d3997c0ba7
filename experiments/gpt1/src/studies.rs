//! The studies: what runs, and what is computed from the runs.

use std::path::PathBuf;

use anyhow::Context as _;
use common::data::lookup::Lookup;
use common::data::text::books::{Library, Shelf};
use common::data::token_corpus::{TokenCorpus, Vocabulary};
use common::data::tokenizer::Mode;
use common::device::Precision;
use common::training_run::Spec;
use serde::{Deserialize, Serialize};

pub mod ablations;
pub mod finetune;
pub mod label_efficiency;
pub mod layers_transferred;
pub mod pretrain;
pub mod rates;
pub(crate) mod scored;
pub mod tuning;
pub mod zero_shot;

/// A preset.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// Studies that run when none is named.
    pub lead: Vec<String>,
    /// Precision of the runs.
    pub precision: Precision,
    /// What is read.
    pub books: Books,
    /// The language models.
    pub pretrain: pretrain::Preset,
    /// How every fine-tuning goes.
    pub tuning: tuning::Preset,
    /// Tables 2 to 4.
    pub finetune: finetune::Preset,
    /// Table 5.
    pub ablations: finetune::Preset,
    /// Few labels and many.
    #[serde(rename = "label-efficiency")]
    pub label_efficiency: label_efficiency::Preset,
    /// Figure 2, left.
    #[serde(rename = "layers-transferred")]
    pub layers_transferred: finetune::Preset,
    /// Figure 2, right.
    #[serde(rename = "zero-shot")]
    pub zero_shot: zero_shot::Preset,
}

/// What the language models read, and how text becomes tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Books {
    /// How text is cut into words; published: OpenAI's own way.
    pub text_mode: Mode,
    /// The vocabulary; published: 40,000 merges.
    pub vocabulary: Vocabulary,
    /// Your own books instead of a library we know: a folder or an archive.
    pub own: Option<PathBuf>,
}

impl Books {
    /// The books by their name in paths of results, or the first that can be had.
    ///
    /// # Errors
    /// An unknown name, files that are missing or damaged.
    fn shelf(&self, name: Option<&str>, lookup: &Lookup) -> anyhow::Result<Shelf> {
        if let Some(path) = &self.own {
            return Ok(Shelf::own(path, lookup)?);
        }
        let library = match name {
            None => Library::first_available(lookup)?,
            Some(name) => {
                Library::get(name).with_context(|| format!("no library is called {name}"))?
            }
        };
        Ok(library.shelf(lookup)?)
    }

    /// The tokens of a shelf, made at the first call.
    ///
    /// # Errors
    /// As [`TokenCorpus::open_or_make`].
    fn corpus(&self, shelf: &Shelf, lookup: &Lookup) -> anyhow::Result<TokenCorpus> {
        Ok(TokenCorpus::open_or_make(shelf, self.text_mode, self.vocabulary, lookup)?)
    }
}

/// Where a run's stations lie: beside its checkpoints, in the cache.
fn stations_of(spec: &Spec) -> PathBuf {
    spec.checkpoints().join("stations")
}
