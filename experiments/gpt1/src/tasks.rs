//! The labelled tasks: what an example is, which part it belongs to, and how predictions are scored.
//!
//! Where test labels are not public, the official development part is the test here, and one training example in ten,
//! chosen by the sum of its texts, is for validation.

use std::path::{Path, PathBuf};

use common::data::catalog::Catalog;
use common::data::error::DataError;
use common::data::lookup::Lookup;
use common::data::text::labelled;
use ledger::run::hex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

mod readers;
mod table;

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
pub static TASKS: [Task; 14] = {
    use Form::{Choice, Entailment, Similarity, Single};
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
        task("rotten-tomatoes", "", Single, Accuracy, 2, Reader::Labelled, Some("rotten-tomatoes")),
    ]
};

/// An example.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// One text, two texts, or a context and its answers.
    pub texts: Vec<String>,
    /// The class, the right answer from 0, or the number.
    pub label: f64,
}

/// A task's examples.
#[derive(Debug)]
pub struct TaskData {
    /// The task.
    pub task: &'static Task,
    /// To learn from.
    pub train: Vec<Example>,
    /// To choose by.
    pub val: Vec<Example>,
    /// Predicted once.
    pub test: Vec<Example>,
    /// Over all examples and their parts, in hex.
    pub sha256: String,
}

/// Which part an example is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Train,
    Val,
    Test,
}

/// A task whose data cannot be had or read.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// An unknown name.
    #[error("{name}: no such task; there are {known}")]
    Unknown {
        /// The name.
        name: String,
        /// All names.
        known: String,
    },
    /// Only the user can bring it.
    #[error(
        "{name}: the data are not here and cannot be fetched; put {wanted} in a folder and name it with --data DIR"
    )]
    Bring {
        /// The task.
        name: &'static str,
        /// Its files.
        wanted: String,
    },
    /// Data that cannot be found, fetched or read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A file whose inside is wrong.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A part without examples.
    #[error("{name}: the {part} part has no examples; are these the files of this task?")]
    Empty {
        /// The task.
        name: &'static str,
        /// The part.
        part: &'static str,
    },
}

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
            Form::Choice => 1,
            _ => self.classes as i64,
        }
    }

    /// Whether the label is a number.
    pub fn is_regression(&self) -> bool {
        self.metric == Metric::Pearson
    }

    /// Reads the task's examples: from the user's own folder if its files are there, else as the catalogue has them.
    ///
    /// # Errors
    /// Data that cannot be had; a file that breaks its format, with the line; a part without examples.
    pub fn read(&'static self, lookup: &Lookup) -> Result<TaskData, TaskError> {
        let examples = match (self.own_files(lookup), self.set) {
            (Some(files), _) => self.reader.read(&files)?,
            (None, Some(set)) => {
                let located = Catalog::builtin().locate(set, lookup)?;
                if matches!(self.reader, Reader::Labelled) {
                    readers::labelled(labelled::read(&located)?)
                } else {
                    let files: Vec<PathBuf> =
                        located.files.into_iter().map(|file| file.path).collect();
                    self.reader.read(&files)?
                }
            }
            (None, None) => {
                let wanted = self.reader.files().join(", ");
                return Err(TaskError::Bring { name: self.name, wanted });
            }
        };
        self.part(examples)
    }

    /// The task's official files in the user's folder, if the first ones are all there.
    fn own_files(&self, lookup: &Lookup) -> Option<Vec<PathBuf>> {
        let dir = lookup.data_dir.as_ref()?;
        let roots = [dir.clone(), dir.join(self.folder), dir.join(self.name)];
        let names = self.reader.files();
        if names.is_empty() {
            return None;
        }
        let find = |root: &Path, name: &str| {
            let paths = [root.join(name), root.join(format!("{name}.gz"))];
            paths.into_iter().find(|path| path.exists())
        };
        roots.iter().find_map(|root| {
            names.iter().map(|name| find(root, name)).collect::<Option<Vec<PathBuf>>>()
        })
    }

    fn part(&'static self, examples: Vec<(Example, Part)>) -> Result<TaskData, TaskError> {
        let mut hash = Sha256::new();
        let (mut train, mut val, mut test) = (Vec::new(), Vec::new(), Vec::new());
        let has_val = examples.iter().any(|(_, part)| *part == Part::Val);
        for (example, part) in examples {
            let part = match part {
                Part::Train if !has_val && is_held_out(&example) => Part::Val,
                part => part,
            };
            for text in &example.texts {
                hash.update((text.len() as u64).to_le_bytes());
                hash.update(text);
            }
            hash.update(example.label.to_le_bytes());
            hash.update([part as u8]);
            match part {
                Part::Train => train.push(example),
                Part::Val => val.push(example),
                Part::Test => test.push(example),
            }
        }
        let name = self.name;
        for (part, examples) in [("training", &train), ("validation", &val), ("test", &test)] {
            if examples.is_empty() {
                return Err(TaskError::Empty { name, part });
            }
        }
        Ok(TaskData { task: self, train, val, test, sha256: hex(&hash.finalize()) })
    }
}

/// One training example in ten, by the sum of its first text: examples of one premise or story stay together.
fn is_held_out(example: &Example) -> bool {
    u32::from(Sha256::digest(&example.texts[0])[0]) * 10 / 256 == 0
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn lookup(dir: &Path) -> Lookup {
        Lookup {
            data_dir: Some(dir.to_owned()),
            data_dir_is_flag: true,
            cache: dir.join("cache"),
            mirror: None,
            offline: true,
        }
    }

    fn write(dir: &Path, name: &str, text: &str) {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn read(dir: &Path, task: &str) -> Result<TaskData, TaskError> {
        Task::get(task).unwrap().read(&lookup(dir))
    }

    fn all(data: &TaskData) -> Vec<Example> {
        let mut all = data.train.clone();
        all.extend(data.val.clone());
        all
    }

    /// Rows of a form for numbers 0 to 39, so that some are held out.
    fn rows(header: &str, row: impl Fn(usize) -> String) -> String {
        let rows: String = (0..40).map(|i| row(i) + "\n").collect();
        if header.is_empty() { rows } else { format!("{header}\n{rows}") }
    }

    #[test]
    fn official_files_of_every_task_are_read() {
        let place = tempfile::tempdir().unwrap();
        let dir = place.path();
        for part in ["train", "dev"] {
            let sst = rows("sentence\tlabel", |i| format!("{part} {i}\t{}", i % 2));
            write(dir, &format!("SST-2/{part}.tsv"), &sst);
            let cola = rows("", |i| format!("gj04\t{}\t*\t{part} {i}", i % 2));
            write(dir, &format!("CoLA/{part}.tsv"), &cola);
            let rte = rows("index\tsentence1\tsentence2\tlabel", |i| {
                format!("{i}\t{part} {i}\th{i}\t{}", ["entailment", "not_entailment"][i % 2])
            });
            write(dir, &format!("RTE/{part}.tsv"), &rte);
            let qnli = rows("index\tquestion\tsentence\tlabel", |i| {
                format!("{i}\t{part} {i}\ts{i}\t{}", ["entailment", "not_entailment"][i % 2])
            });
            write(dir, &format!("QNLI/{part}.tsv"), &qnli);
            let qqp = rows("id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate", |i| {
                format!("{i}\t1\t2\t{part} {i}\tq{i}\t{}", i % 2)
            });
            write(dir, &format!("QQP/{part}.tsv"), &qqp);
            let sts = rows("index\tsentence1\tsentence2\tscore", |i| {
                format!("{i}\t{part} {i}\ts{i}\t{}.5", i % 5)
            });
            write(dir, &format!("STS-B/{part}.tsv"), &sts);
        }
        write(dir, "STS-B/sts-test.tsv", &rows("", |i| format!("g\tf\ty\t{i}\t2.5\ta{i}\tb{i}")));
        for part in ["train", "test"] {
            let mrpc = rows("\u{feff}Quality\t#1 ID\t#2 ID\t#1 String\t#2 String", |i| {
                format!("{}\t1\t2\t{part} {i}\ts{i}", i % 2)
            });
            write(dir, &format!("MRPC/msr_paraphrase_{part}.txt"), &mrpc);
        }
        for part in ["train", "dev_matched", "dev_mismatched"] {
            let mnli = rows("index\tsentence1\tsentence2\tgold_label", |i| {
                let label = ["entailment", "neutral", "contradiction"][i % 3];
                format!("{i}\t{part} {i}\th{i}\t{label}")
            });
            write(dir, &format!("MNLI/{part}.tsv"), &mnli);
        }
        for part in ["train", "dev", "test"] {
            let snli = rows("", |i| {
                let label = ["entailment", "neutral", "contradiction", "-"][i % 4];
                format!(
                    "{{\"gold_label\": \"{label}\", \"sentence1\": \"{part} {i}\", \"sentence2\": \"h{i}\"}}"
                )
            });
            write(dir, &format!("snli_1.0/snli_1.0_{part}.jsonl"), &snli);
            let scitail =
                rows("", |i| format!("{part} {i}\th{i}\t{}", ["entails", "neutral"][i % 2]));
            write(dir, &format!("SciTailV1.1/scitail_1.0_{part}.tsv"), &scitail);
            let race = "{\"article\": \"a\", \"questions\": [\"what _ ?\", \"q2\"], \
                        \"options\": [[\"1\",\"2\",\"3\",\"4\"],[\"5\",\"6\",\"7\",\"8\"]], \
                        \"answers\": [\"C\", \"A\"], \"id\": \"x\"}";
            for level in ["middle", "high"] {
                write(dir, &format!("RACE/{part}/{level}/1.txt"), race);
            }
        }
        let header = "InputStoryid,InputSentence1,InputSentence2,InputSentence3,InputSentence4,\
                      RandomFifthSentenceQuiz1,RandomFifthSentenceQuiz2,AnswerRightEnding";
        for part in ["val", "test"] {
            let story = rows(header, |i| {
                format!("{i},{part} {i}.,\"B, b.\",C.,D.,right {i},wrong {i},{}", i % 2 + 1)
            });
            write(dir, &format!("ROCStories/cloze_test_{part}__spring2016.csv"), &story);
        }
        for task in &TASKS {
            if task.name == "rotten-tomatoes" {
                continue; // of a registry package, in a form of its own
            }
            let data = read(dir, task.name).unwrap_or_else(|error| panic!("{error}"));
            let n = match task.name {
                "race" => 12,
                "snli" => 90,
                "sts-b" | "scitail" => 120,
                _ => 80,
            };
            assert_eq!(data.train.len() + data.val.len() + data.test.len(), n, "{}", task.name);
            for example in all(&data).iter().chain(&data.test) {
                let texts = match task.form {
                    Form::Single => 1,
                    Form::Entailment | Form::Similarity => 2,
                    Form::Choice => 1 + task.classes,
                };
                assert_eq!(example.texts.len(), texts, "{}", task.name);
                assert!(
                    task.is_regression() || example.label < task.classes as f64,
                    "{}: {example:?}",
                    task.name
                );
            }
        }
        let story = read(dir, "story-cloze").unwrap();
        let first = all(&story).into_iter().find(|e| e.texts[0].starts_with("val 1.")).unwrap();
        assert_eq!(first.texts, ["val 1. B, b. C. D.", "right 1", "wrong 1"]);
        assert!((first.label - 1.0).abs() < 1e-9);
        let race = read(dir, "race").unwrap();
        assert_eq!(race.test[0].texts[0], "a what _ ?");
        assert!((race.test[0].label - 2.0).abs() < 1e-9);
        let qnli = read(dir, "qnli").unwrap();
        let entailed = all(&qnli).into_iter().find(|e| e.texts[0] == "train 0").unwrap();
        assert!((entailed.label - 1.0).abs() < 1e-9);
    }

    #[test]
    fn validation_comes_out_of_training_and_only_where_there_is_none() {
        let place = tempfile::tempdir().unwrap();
        let dir = place.path();
        let text = |part: &str| rows("", |i| format!("gj04\t1\t\t{part} {}", i / 2));
        write(dir, "CoLA/train.tsv", &text("train"));
        write(dir, "CoLA/dev.tsv", &text("dev"));
        let data = read(dir, "cola").unwrap();
        assert!(data.val.len() > 1 && data.val.len() < 12, "{}", data.val.len());
        assert_eq!(data.test.len(), 40);
        assert!(data.test.iter().all(|e| e.texts[0].starts_with("dev")));
        // What shares its first text stays together.
        assert!(data.val.iter().all(|v| data.train.iter().all(|t| t.texts[0] != v.texts[0])));
    }

    #[test]
    fn a_missing_column_a_short_row_and_a_strange_label_are_named_with_file_and_line() {
        let place = tempfile::tempdir().unwrap();
        let dir = place.path();
        let good =
            rows("index\tsentence1\tsentence2\tlabel", |i| format!("{i}\ta {i}\tb\tentailment"));
        write(dir, "RTE/dev.tsv", &good);
        for (text, wanted) in [
            (
                good.replace("sentence2", "second"),
                "train.tsv: line 1: found the columns index, sentence1, second, label, wanted one called sentence2",
            ),
            (
                good.replace("\n3\ta 3\tb\tentailment", "\n3\ta 3"),
                "train.tsv: line 5: found 2 columns, wanted 4",
            ),
            (
                good.replace("7\ta 7\tb\tentailment", "7\ta 7\tb\tmaybe"),
                "train.tsv: line 9: found the label maybe, wanted not_entailment or entailment",
            ),
        ] {
            write(dir, "RTE/train.tsv", &text);
            let error = read(dir, "rte").unwrap_err().to_string();
            assert!(error.contains(wanted), "expected {wanted}\ngot      {error}");
        }
        let error = read(dir, "race").unwrap_err().to_string();
        assert!(
            error.contains("race: the data are not here") && error.contains("--data DIR"),
            "{error}"
        );
        assert!(
            Task::get("rse").unwrap_err().to_string().contains("no such task; there are sst-2")
        );
    }
}
