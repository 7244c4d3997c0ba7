//! One run in a process of its own: what it makes, from what, and what it leaves.
//!
//! The studies plan runs of these kinds; each kind is one stage of the pipeline. Weights lie beside the run's
//! checkpoints, tables in its folder.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use common::data::lookup::Lookup;
use common::data::text::books::{Library, Part as BookPart, Shelf};
use common::data::token_corpus::{TokenCorpus, Vocabulary, Windows};
use common::data::tokenizer::Mode;
use common::training_run::{Spec, TrainingRun};
use serde::{Deserialize, Serialize};

use crate::weights::Origin;
use crate::{data, language, train_policy, train_reward};

mod bag;
mod base;
pub(crate) mod best_of;
mod finetune;
mod policy;
mod reward;
pub(crate) mod texts;

pub use best_of::BestOfRow;
pub use reward::Judgement;

/// The files of tables in a run's folder.
pub const SAMPLES: &str = "samples.csv.gz";
/// Held-out pairs as a reward model judges them.
pub const JUDGEMENTS: &str = "judgements.csv.gz";
/// Scores of many answers to each query.
pub const BEST_OF: &str = "best_of.csv.gz";

/// What a language model of books reads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Books {
    /// How text is cut into words.
    pub text_mode: Mode,
    /// The vocabulary.
    pub vocabulary: Vocabulary,
    /// Your own books instead of a library that we know: a folder or an archive.
    pub own: Option<PathBuf>,
}

impl Books {
    /// The books by their name in paths of results, or the first that can be had.
    ///
    /// # Errors
    /// An unknown name, files that are missing or damaged.
    pub fn shelf(&self, name: Option<&str>, lookup: &Lookup) -> anyhow::Result<Shelf> {
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
    pub fn corpus(&self, shelf: &Shelf, lookup: &Lookup) -> anyhow::Result<TokenCorpus> {
        Ok(TokenCorpus::open_or_make(shelf, self.text_mode, self.vocabulary, lookup)?)
    }
}

/// The shape of a base that is trained here.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// Blocks.
    pub n_layers: i64,
    /// Heads.
    pub n_heads: i64,
    /// Channels.
    pub d_model: i64,
    /// The longest sequence.
    pub context: i64,
}

/// Texts that a policy is asked to go on from or to answer, and what it is fine-tuned on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// `human-sentiment` with `style = true` for sentences to go on from; else a set of judged answers.
    pub set: String,
    /// Whether the task is to go on from the beginnings of rated sentences, or to answer prompts.
    pub style: bool,
    /// The user's own file of comparisons instead.
    pub own: Option<PathBuf>,
    /// Tokens of a query: exactly so many of a sentence's beginning; at most so many of a prompt.
    pub query: usize,
    /// Queries to train on; 0: all.
    pub queries: usize,
    /// Queries of the test part, for best of n, win rates and, where `show` is empty, for the table of samples.
    pub test_queries: usize,
    /// Prompts of our own for the table of samples: those of a set may be offensive, or not ours to print.
    pub show: Vec<String>,
}

/// Which human judgements a reward model learns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Labels {
    /// Comparisons: pairs, or as many elements of `together` texts as make up the number.
    pub comparisons: usize,
    /// Texts that are judged together: 2, 4 (Ziegler et al.), 4 to 9 (Ouyang et al.).
    pub together: usize,
    /// Who judges the rated sentences.
    pub judge: data::rated::Judge,
    /// The part that is learned from; a judge of policies learns from what reward models never saw.
    pub held_out: bool,
    /// The part that tests in place of the usual one: rates are chosen on `val`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tested_on: Option<data::Part>,
    /// A file of comparisons of the user's own, e.g. from `rlhf label`, that are learned from too.
    pub also: Option<PathBuf>,
    /// Held-out pairs that the model is tested on.
    pub test_pairs: usize,
}

/// What a run does.
#[expect(clippy::large_enum_variant, reason = "one a process")]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Trains a base on books.
    Base {
        /// What it reads.
        books: Books,
        /// Its shape.
        shape: Shape,
        /// How.
        train: language::Config,
    },
    /// Goes on training a base on the texts of a task.
    Finetune {
        /// The task.
        task: Task,
        /// How.
        train: language::Config,
    },
    /// Trains a reward model on human judgements.
    Reward {
        /// The task.
        task: Task,
        /// Which judgements.
        labels: Labels,
        /// Its first so many blocks of the fine-tuned base.
        layers: i64,
        /// How the texts are written on which its rewards are normalised.
        sampling: Sampling,
        /// How.
        train: train_reward::Config,
    },
    /// The words of both texts, on the same judgements: the plain baseline.
    Bag {
        /// The task.
        task: Task,
        /// Which judgements.
        labels: Labels,
    },
    /// Trains a reward model on what another says of a policy's texts.
    Proxy {
        /// The task.
        task: Task,
        /// The one that says it.
        gold: Origin,
        /// Comparisons; a tenth more are held out.
        comparisons: usize,
        /// Its first so many blocks of the fine-tuned base.
        layers: i64,
        /// How the policy writes.
        sampling: Sampling,
        /// How.
        train: train_reward::Config,
    },
    /// Scores many answers to each query: best of n.
    BestOf {
        /// The task.
        task: Task,
        /// Whose score chooses.
        reward: Origin,
        /// Whose score is the judge.
        gold: Option<Origin>,
        /// Answers to each query.
        answers: usize,
        /// How the policy writes.
        sampling: Sampling,
    },
    /// Trains a policy.
    Policy {
        /// The task.
        task: Task,
        /// What it learns from.
        reward: Origin,
        /// What judges it.
        gold: Option<Origin>,
        /// Books for the alignment tax and for pre-training text that is mixed in, and the sha256 over their tokens.
        books: Option<(Books, String)>,
        /// How.
        train: train_policy::Config,
        /// Whether its weights are left in the run's folder, for publishing, at a byte a weight.
        publish: bool,
    },
}

/// How texts are drawn from a policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sampling {
    /// Divides the scores.
    pub temperature: f64,
    /// Tokens of a response.
    pub response: i64,
    /// Where it ends.
    pub ending: Option<train_policy::Ending>,
}

impl Sampling {
    /// As a policy is trained.
    pub fn of(train: &train_policy::Config) -> Self {
        let train_policy::Config { temperature, response, ending, .. } = train;
        Self { temperature: *temperature, response: *response, ending: ending.clone() }
    }
}

/// One run's configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunConfig {
    /// The language model that everything began with; none for the base itself.
    pub base: Option<Origin>,
    /// The weights that it starts from; none for the base and the plain baseline.
    pub start: Option<Origin>,
    /// sha256 over the texts that are read.
    pub data_sha256: String,
    /// What it does.
    pub kind: Kind,
}

impl RunConfig {
    /// What it starts from.
    fn start(&self) -> &Origin {
        self.start.as_ref().expect("every kind but the first and the baseline has one")
    }
}

/// One run, in a process of its own.
///
/// # Errors
/// Data or weights that changed or cannot be read; what the training says.
pub fn train(spec: &Spec, run: &mut TrainingRun) -> anyhow::Result<BTreeMap<String, f64>> {
    let config: RunConfig = spec.config()?;
    match &config.kind {
        Kind::Base { books, shape, train } => base::train(spec, &config, books, shape, train, run),
        Kind::Finetune { task, train } => finetune::train(spec, &config, task, train, run),
        Kind::Reward { task, labels, layers, sampling, train } => {
            reward::train(spec, &config, task, labels, *layers, sampling, train, run)
        }
        Kind::Bag { task, labels } => bag::make(spec, &config, task, labels, run),
        Kind::Proxy { task, gold, comparisons, layers, sampling, train } => {
            reward::proxy(spec, &config, task, gold, *comparisons, *layers, sampling, train, run)
        }
        Kind::BestOf { task, reward, gold, answers, sampling } => {
            best_of::make(spec, &config, task, reward, gold.as_ref(), *answers, sampling, run)
        }
        Kind::Policy { .. } => policy::train(spec, &config, run),
    }
}

/// The windows of a part of some books, of `length + 1` tokens.
///
/// # Errors
/// Books that changed since the run was planned, or are too short.
fn windows(corpus: &Arc<TokenCorpus>, part: BookPart, length: usize) -> anyhow::Result<Windows> {
    let windows = Windows::new(Arc::clone(corpus), part, length);
    ensure!(!windows.is_empty(), "the {part:?} books are shorter than {length} tokens");
    Ok(windows)
}
