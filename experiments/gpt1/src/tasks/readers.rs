//! From a task's official files to its examples.

use std::fs;
use std::path::{Path, PathBuf};

use common::data::error::DataError;
use common::data::text::labelled::{LabelledSet, Split};
use serde::Deserialize;

use super::data::{Example, Part};
use super::table::{Column, Row, Separator, TableError, each_row, text};

/// Which files a task has, and how they are read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reader {
    /// GLUE's, or the files of the sentiment neuron's release.
    Sst,
    Cola,
    Mrpc,
    StsB,
    Qqp,
    /// With the part that is the test.
    Mnli(&'static str),
    Snli,
    SciTail,
    Qnli,
    Rte,
    Race,
    StoryCloze,
    /// Rahman and Ng's definite pronouns, which the paper calls Winograd schemas.
    Winograd,
    /// A set of labelled texts that `common` reads.
    Labelled,
}

type Examples = Vec<(Example, Part)>;
const TRUTH: [&str; 2] = ["0", "1"];
const ENTAILMENT: [&str; 2] = ["not_entailment", "entailment"];
const THREE: [&str; 3] = ["contradiction", "neutral", "entailment"];

impl Reader {
    /// The official names of the files that a user brings.
    pub(super) fn files(self) -> Vec<&'static str> {
        match self {
            Self::Sst | Self::Cola | Self::Qqp | Self::Qnli | Self::Rte => {
                vec!["train.tsv", "dev.tsv"]
            }
            Self::Mrpc => vec!["msr_paraphrase_train.txt", "msr_paraphrase_test.txt"],
            Self::StsB => vec!["train.tsv", "dev.tsv", "sts-test.tsv"],
            Self::Mnli(test) => vec!["train.tsv", test],
            Self::Snli => {
                vec!["snli_1.0_train.jsonl", "snli_1.0_dev.jsonl", "snli_1.0_test.jsonl"]
            }
            Self::SciTail => {
                vec!["scitail_1.0_train.tsv", "scitail_1.0_dev.tsv", "scitail_1.0_test.tsv"]
            }
            Self::Race => vec!["train", "dev", "test"],
            Self::StoryCloze => {
                vec!["cloze_test_val__spring2016.csv", "cloze_test_test__spring2016.csv"]
            }
            Self::Winograd => vec!["train.c.txt", "test.c.txt"],
            Self::Labelled => Vec::new(),
        }
    }

    /// The examples of `files`, which are those of [`Reader::files`].
    pub(super) fn read(self, files: &[PathBuf]) -> Result<Examples, TableError> {
        // Three parts, or a training part and one that is the test.
        let parts: &[Part] = match files.len() {
            3 => &[Part::Train, Part::Val, Part::Test],
            _ => &[Part::Train, Part::Test],
        };
        let mut examples = Vec::new();
        for (path, part) in files.iter().zip(parts) {
            let mut push = |texts: Vec<String>, label: f64| {
                examples.push((Example { texts, label }, *part));
            };
            self.read_file(path, *part, &mut push)?;
        }
        Ok(examples)
    }

    fn read_file(
        self,
        path: &Path,
        part: Part,
        push: &mut dyn FnMut(Vec<String>, f64),
    ) -> Result<(), TableError> {
        use Column::{At, Named};
        use Separator::{Comma, Tab};
        let mut pair = |row: &Row, label: f64| {
            push(vec![row.cells[0].clone(), row.cells[1].clone()], label);
            Ok(())
        };
        match self {
            Self::Sst => {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                let separator = if name.contains(".csv") { Comma } else { Tab };
                each_row(path, separator, [Named("sentence"), Named("label")], &mut |row| {
                    push(vec![row.cells[0].clone()], row.label(1, &TRUTH)?);
                    Ok(())
                })
            }
            Self::Cola => each_row(path, Tab, [At(3), At(1)], &mut |row| {
                push(vec![row.cells[0].clone()], row.label(1, &TRUTH)?);
                Ok(())
            }),
            Self::Mrpc => {
                let columns = [Named("#1 String"), Named("#2 String"), Named("Quality")];
                each_row(path, Tab, columns, &mut |row| pair(row, row.label(2, &TRUTH)?))
            }
            Self::StsB if part == Part::Test => {
                each_row(path, Tab, [At(5), At(6), At(4)], &mut |row| pair(row, row.number(2)?))
            }
            Self::StsB => {
                let columns = [Named("sentence1"), Named("sentence2"), Named("score")];
                each_row(path, Tab, columns, &mut |row| pair(row, row.number(2)?))
            }
            Self::Qqp => {
                let columns = [Named("question1"), Named("question2"), Named("is_duplicate")];
                each_row(path, Tab, columns, &mut |row| pair(row, row.label(2, &TRUTH)?))
            }
            Self::Mnli(_) => {
                let columns = [Named("sentence1"), Named("sentence2"), Named("gold_label")];
                each_row(path, Tab, columns, &mut |row| pair(row, row.label(2, &THREE)?))
            }
            Self::Qnli => {
                let columns = [Named("question"), Named("sentence"), Named("label")];
                each_row(path, Tab, columns, &mut |row| pair(row, row.label(2, &ENTAILMENT)?))
            }
            Self::Rte => {
                let columns = [Named("sentence1"), Named("sentence2"), Named("label")];
                each_row(path, Tab, columns, &mut |row| pair(row, row.label(2, &ENTAILMENT)?))
            }
            Self::SciTail => each_row(path, Tab, [At(0), At(1), At(2)], &mut |row| {
                pair(row, row.label(2, &["neutral", "entails"])?)
            }),
            Self::Winograd => winograd(path, push),
            Self::Snli => snli(path, push),
            Self::Race => race(path, push),
            Self::StoryCloze => {
                let columns = [
                    "InputSentence1",
                    "InputSentence2",
                    "InputSentence3",
                    "InputSentence4",
                    "RandomFifthSentenceQuiz1",
                    "RandomFifthSentenceQuiz2",
                    "AnswerRightEnding",
                ];
                each_row(path, Comma, columns.map(Named), &mut |row| {
                    let context = row.cells[..4].join(" ");
                    let answers = row.cells[4..6].iter().cloned();
                    let texts = std::iter::once(context).chain(answers).collect();
                    push(texts, row.label(6, &["1", "2"])?);
                    Ok(())
                })
            }
            Self::Labelled => unreachable!("such a set is read by `labelled`"),
        }
    }
}

/// The examples of a set of labelled texts with a fixed split.
pub(super) fn labelled(set: LabelledSet) -> Examples {
    let Split::Fixed(round) = set.split else {
        unreachable!("the sets that tasks name have a split");
    };
    let of = |part: Part, indices: &[usize]| -> Examples {
        let example = |&i: &usize| {
            let label = f64::from(u8::from(set.labels[i]));
            (Example { texts: vec![set.texts[i].clone()], label }, part)
        };
        indices.iter().map(example).collect()
    };
    [of(Part::Train, &round.train), of(Part::Val, &round.val), of(Part::Test, &round.test)].concat()
}

/// Four lines an example, an empty one behind it: a sentence, the pronoun (its first occurrence is meant), two
/// candidates with a comma between, and the right one.
///
/// Source: Rahman and Ng 2012, the definite pronoun resolution dataset.
fn winograd(path: &Path, push: &mut dyn FnMut(Vec<String>, f64)) -> Result<(), TableError> {
    let text = text(path)?;
    let lines: Vec<(usize, &str)> = text.lines().map(str::trim).enumerate().collect();
    for example in lines.split(|(_, line)| line.is_empty()).filter(|example| !example.is_empty()) {
        let wrong = |line: usize, found: &str, wanted: String| TableError::Line {
            path: path.to_owned(),
            line: example[0].0 + line,
            found: found.to_owned(),
            wanted,
        };
        let [(_, sentence), (_, pronoun), (_, candidates), (_, right)] = *example else {
            let found = format!("{} lines", example.len());
            return Err(wrong(1, &found, "sentence, pronoun, candidates, the right one".into()));
        };
        let (before, after) = round_word(sentence, pronoun)
            .ok_or_else(|| wrong(2, pronoun, format!("a word of {sentence}")))?;
        let (a, b) = candidates
            .split_once(',')
            .map(|(a, b)| (a.trim(), b.trim()))
            .ok_or_else(|| wrong(3, candidates, "two candidates, with a comma between".into()))?;
        let same = |x: &str| x.to_lowercase() == right.to_lowercase();
        let label = match (same(a), same(b)) {
            (true, _) => 0.0,
            (_, true) => 1.0,
            _ => return Err(wrong(4, right, format!("one of {a}, {b}"))),
        };
        push([before.trim(), a, b, after.trim()].map(String::from).to_vec(), label);
    }
    Ok(())
}

/// What stands before and after the first occurrence of a word.
fn round_word<'a>(text: &'a str, word: &str) -> Option<(&'a str, &'a str)> {
    let places = text.match_indices(word);
    let mut parts = places.map(|(at, _)| (&text[..at], &text[at + word.len()..]));
    parts.find(|(before, after)| {
        !before.ends_with(char::is_alphanumeric) && !after.starts_with(char::is_alphanumeric)
    })
}

/// SNLI's lines of JSON; those on whose label the raters did not agree are left out, as everywhere.
fn snli(path: &Path, push: &mut dyn FnMut(Vec<String>, f64)) -> Result<(), TableError> {
    #[derive(Deserialize)]
    struct Pair {
        gold_label: String,
        sentence1: String,
        sentence2: String,
    }
    for (index, line) in text(path)?.lines().enumerate() {
        let wrong = |found: String, wanted: &str| TableError::Line {
            path: path.to_owned(),
            line: index + 1,
            found,
            wanted: wanted.to_owned(),
        };
        let pair: Pair = serde_json::from_str(line).map_err(|error| {
            wrong(error.to_string(), "JSON with gold_label, sentence1 and sentence2")
        })?;
        if pair.gold_label == "-" {
            continue;
        }
        let label = THREE
            .iter()
            .position(|name| *name == pair.gold_label)
            .ok_or_else(|| wrong(format!("the label {}", pair.gold_label), &THREE.join(" or ")))?;
        push(vec![pair.sentence1, pair.sentence2], label as f64);
    }
    Ok(())
}

/// RACE's folder of a part: `middle` and `high`, a file of JSON for each passage. The question follows the passage.
fn race(folder: &Path, push: &mut dyn FnMut(Vec<String>, f64)) -> Result<(), TableError> {
    #[derive(Deserialize)]
    struct Passage {
        article: String,
        questions: Vec<String>,
        options: Vec<[String; 4]>,
        answers: Vec<String>,
    }
    let mut files = Vec::new();
    for level in ["middle", "high"] {
        let folder = folder.join(level);
        let io = |source| DataError::Io { path: folder.clone(), action: "list", source };
        for entry in fs::read_dir(&folder).map_err(io)? {
            files.push(entry.map_err(io)?.path());
        }
    }
    files.sort();
    for path in files {
        let wrong = |found: String, wanted: &str| TableError::Line {
            path: path.clone(),
            line: 1,
            found,
            wanted: wanted.to_owned(),
        };
        let wanted = "JSON with article, questions, four options and an answer from A to D each";
        let passage: Passage = serde_json::from_str(&text(&path)?)
            .map_err(|error| wrong(error.to_string(), wanted))?;
        let Passage { article, questions, options, answers } = passage;
        if questions.len() != options.len() || questions.len() != answers.len() {
            return Err(wrong(format!("{} questions", questions.len()), wanted));
        }
        for ((question, options), answer) in questions.into_iter().zip(options).zip(answers) {
            let label = ["A", "B", "C", "D"].iter().position(|name| *name == answer);
            let label = label.ok_or_else(|| wrong(format!("the answer {answer}"), wanted))?;
            let context = format!("{article} {question}");
            push(std::iter::once(context).chain(options).collect(), label as f64);
        }
    }
    Ok(())
}
