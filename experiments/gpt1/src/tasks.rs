//! The labelled tasks: the form of their examples, and how predictions are scored.

use serde::{Deserialize, Serialize};

mod data;
mod readers;
mod table;

pub use data::{Example, TaskData, TaskError};
pub use table::TableError;

use readers::Reader;

/// How an example becomes sequences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// One text.
    Single,
    /// A premise and a hypothesis, in that order.
    Entailment,
    /// Two texts without an order: both orders are read.
    Similarity,
    /// A context and several answers, each read with it.
    Choice,
    /// A text with a gap and what may fill it: the text before, the fillings, the text after.
    Gap,
}

/// How predictions are scored; all are shown times 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Share of right answers.
    Accuracy,
    /// Matthews' correlation coefficient.
    Matthews,
    /// The harmonic mean of precision and recall of class 1.
    F1,
    /// Pearson's correlation coefficient; the label is a number.
    Pearson,
}

/// A task.
#[derive(Debug)]
pub struct Task {
    /// Its name on the command line and in paths of results.
    pub name: &'static str,
    /// How an example becomes sequences.
    pub form: Form,
    /// How predictions are scored.
    pub metric: Metric,
    /// Classes, answers of a choice, or 1 where the label is a number.
    pub classes: usize,
    /// Its set in the catalogue, if it has one.
    pub set: Option<&'static str>,
    /// The folder that GLUE's own download and others put it in.
    folder: &'static str,
    reader: Reader,
}

/// All tasks, those that registries carry last.
pub static TASKS: [Task; 15] = {
    use Form::{Choice, Entailment, Gap, Similarity, Single};
    use Metric::{Accuracy, F1, Matthews, Pearson};
    const fn task(
        name: &'static str,
        folder: &'static str,
        form: Form,
        metric: Metric,
        classes: usize,
        reader: Reader,
        set: Option<&'static str>,
    ) -> Task {
        Task { name, form, metric, classes, set, folder, reader }
    }
    [
        task("sst-2", "SST-2", Single, Accuracy, 2, Reader::Sst, Some("sst")),
        task("cola", "CoLA", Single, Matthews, 2, Reader::Cola, Some("cola")),
        task("mrpc", "MRPC", Similarity, F1, 2, Reader::Mrpc, Some("mrpc")),
        task("sts-b", "STS-B", Similarity, Pearson, 1, Reader::StsB, Some("sts-b")),
        task("qqp", "QQP", Similarity, F1, 2, Reader::Qqp, None),
        task("mnli-m", "MNLI", Entailment, Accuracy, 3, Reader::Mnli("dev_matched.tsv"), None),
        task("mnli-mm", "MNLI", Entailment, Accuracy, 3, Reader::Mnli("dev_mismatched.tsv"), None),
        task("snli", "snli_1.0", Entailment, Accuracy, 3, Reader::Snli, None),
        task("scitail", "SciTailV1.1", Entailment, Accuracy, 2, Reader::SciTail, None),
        task("qnli", "QNLI", Entailment, Accuracy, 2, Reader::Qnli, None),
        task("rte", "RTE", Entailment, Accuracy, 2, Reader::Rte, Some("rte")),
        task("race", "RACE", Choice, Accuracy, 4, Reader::Race, None),
        task(
            "story-cloze",
            "ROCStories",
            Choice,
            Accuracy,
            2,
            Reader::StoryCloze,
            Some("story-cloze"),
        ),
        task("winograd", "DPRD", Gap, Accuracy, 2, Reader::Winograd, None),
        task("rotten-tomatoes", "", Single, Accuracy, 2, Reader::Labelled, Some("rotten-tomatoes")),
    ]
};

impl Task {
    /// The task called `name`.
    ///
    /// # Errors
    /// When there is none.
    pub fn get(name: &str) -> Result<&'static Self, TaskError> {
        TASKS.iter().find(|task| task.name == name).ok_or_else(|| {
            let known: Vec<&str> = TASKS.iter().map(|task| task.name).collect();
            TaskError::Unknown { name: name.to_owned(), known: known.join(", ") }
        })
    }

    /// How many numbers a classifier puts out for each sequence (or pair of orders).
    pub fn outputs(&self) -> i64 {
        match self.form {
            Form::Choice | Form::Gap => 1,
            _ => self.classes as i64,
        }
    }

    /// Whether each example has several sequences of which one is right.
    pub fn is_choice(&self) -> bool {
        matches!(self.form, Form::Choice | Form::Gap)
    }

    /// Whether the label is a number.
    pub fn is_regression(&self) -> bool {
        self.metric == Metric::Pearson
    }
}

#[cfg(test)]
mod tests;
