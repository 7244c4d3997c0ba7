//! The tasks and their files.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use common::data::catalog::Catalog;
use common::data::error::DataError;
use common::data::lookup::Lookup;
use common::data::sha256_file;
use common::data::text::clean::decode;
use common::data::text::input::each_file;
use common::data::text::labelled::Round;
use ledger::run::hex;
use sha2::{Digest as _, Sha256};

/// The tasks: SST with five grades; Microsoft's paraphrases; SICK's relatedness; Yelp's reviews by polarity.
pub const NAMES: [&str; 4] = ["sst-5", "msrp", "sick", "yelp"];

/// What is asked in a task of [`NAMES`].
pub fn answer_of(name: &str) -> Answer {
    match name {
        "sst-5" => Answer::Class(5),
        "sick" => Answer::Number,
        _ => Answer::Class(2),
    }
}

/// What is asked of an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// One of so many classes, from 0.
    Class(usize),
    /// A number.
    Number,
}

/// A task's examples.
#[derive(Debug)]
pub struct SentenceTask {
    /// Its name, one of [`NAMES`].
    pub name: &'static str,
    /// What is asked.
    pub answer: Answer,
    /// One text, or two.
    pub texts: Vec<Vec<String>>,
    /// The class or the number of each.
    pub labels: Vec<f64>,
    /// Which examples are for what.
    pub round: Round,
    /// Over the files, in hex.
    pub sha256: String,
}

/// The files of a task's parts, and how a line becomes an example.
struct Form {
    /// Training, validation and test files; without a validation file one training example in ten is for validation; one
    /// file alone says the part in a column.
    files: Vec<PathBuf>,
    reader: Reader,
}

#[derive(Clone, Copy)]
enum Reader {
    /// `grade text`.
    Grade,
    /// Tabs, a header; quality, two numbers, two sentences.
    Paraphrase,
    /// Tabs, a header that names the columns.
    Sick,
    /// CSV without a header: 1 or 2, the review.
    Yelp,
}

#[derive(Clone, Copy, PartialEq)]
enum Part {
    Train,
    Val,
    Test,
}

impl SentenceTask {
    /// Whether an example is two sentences.
    pub fn of_pairs(&self) -> bool {
        self.texts.first().is_some_and(|texts| texts.len() == 2)
    }
}

/// Reads a task; none if its files are not here. SICK and Yelp have to be in the user's folder: `SICK.txt`, and `train.csv`
/// and `test.csv` in `yelp_review_polarity_csv`.
///
/// # Errors
/// Files that are damaged or of another form; a name that is not in [`NAMES`].
pub fn read(name: &str, lookup: &Lookup) -> anyhow::Result<Option<SentenceTask>> {
    let Some(name) = NAMES.into_iter().find(|known| *known == name) else {
        bail!("{name}: no such task; there are {}", NAMES.join(", "));
    };
    let Some(Form { files, reader }) = form(name, lookup)? else { return Ok(None) };
    let parts: &[Part] = match files.len() {
        3 => &[Part::Train, Part::Val, Part::Test],
        _ => &[Part::Train, Part::Test],
    };
    let mut hash = Sha256::new();
    let (mut texts, mut labels, mut round) = (Vec::new(), Vec::new(), Round::default());
    for (path, &part) in files.iter().zip(parts) {
        hash.update(sha256_file(path)?);
        let mut push = |example: Vec<String>, label: f64, told: Option<Part>| {
            let part = match told.unwrap_or(part) {
                Part::Train if files.len() == 2 && is_for_validation(&example) => Part::Val,
                part => part,
            };
            let indices = match part {
                Part::Train => &mut round.train,
                Part::Val => &mut round.val,
                Part::Test => &mut round.test,
            };
            indices.push(texts.len());
            texts.push(example);
            labels.push(label);
        };
        read_file(path, reader, &mut push)?;
    }
    for (part, indices) in
        [("training", &round.train), ("validation", &round.val), ("test", &round.test)]
    {
        ensure!(
            !indices.is_empty(),
            "{name}: the {part} part has no examples; are these its files?"
        );
    }
    let (answer, sha256) = (answer_of(name), hex(&hash.finalize()));
    Ok(Some(SentenceTask { name, answer, texts, labels, round, sha256 }))
}

/// One training example in ten, by the sum of its texts.
fn is_for_validation(texts: &[String]) -> bool {
    Sha256::digest(texts.join("\n"))[0] < 26
}

fn form(name: &str, lookup: &Lookup) -> anyhow::Result<Option<Form>> {
    let catalogued = |set: &str| -> anyhow::Result<Option<Vec<PathBuf>>> {
        match Catalog::builtin().locate(set, lookup) {
            Ok(located) => Ok(Some(located.files.into_iter().map(|file| file.path).collect())),
            Err(DataError::Unavailable { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    };
    let own = |names: &[&str]| -> Option<Vec<PathBuf>> {
        let dir = lookup.data_dir.as_ref()?;
        let paths: Vec<PathBuf> = names.iter().map(|name| dir.join(name)).collect();
        paths.iter().all(|path| path.is_file()).then_some(paths)
    };
    let (files, reader) = match name {
        "sst-5" => (catalogued("sst-5")?, Reader::Grade),
        "msrp" => (catalogued("mrpc")?, Reader::Paraphrase),
        "sick" => (own(&["SICK.txt"]), Reader::Sick),
        _ => {
            let folder = "yelp_review_polarity_csv";
            let names = [format!("{folder}/train.csv"), format!("{folder}/test.csv")];
            let names = [names[0].as_str(), names[1].as_str()];
            (own(&names), Reader::Yelp)
        }
    };
    Ok(files.map(|files| Form { files, reader }))
}

type Push<'a> = &'a mut dyn FnMut(Vec<String>, f64, Option<Part>);

fn read_file(path: &Path, reader: Reader, push: Push<'_>) -> anyhow::Result<()> {
    let mut text = String::new();
    each_file(path, &|_| true, &mut |lines| {
        text = decode(&lines.rest()?).0.into_owned();
        Ok(())
    })?;
    if let Reader::Yelp = reader {
        return yelp(path, &text, push);
    }
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.is_empty());
    let header: Vec<&str> = match reader {
        Reader::Grade => Vec::new(),
        _ => lines.next().map(|(_, line)| line.split('\t').collect()).unwrap_or_default(),
    };
    for (i, line) in lines {
        let wrong = |wanted: &str| {
            format!("{}, line {}: found `{line}`, wanted {wanted}", path.display(), i + 1)
        };
        match reader {
            Reader::Grade => {
                let wanted = "a grade from 0 to 4, a blank, a sentence";
                let (grade, text) = line.split_once(' ').with_context(|| wrong(wanted))?;
                let grade: u8 = grade.parse().with_context(|| wrong(wanted))?;
                ensure!(grade < 5, wrong(wanted));
                push(vec![text.to_owned()], f64::from(grade), None);
            }
            Reader::Paraphrase => {
                let wanted = "0 or 1, two numbers and two sentences between tabs";
                let cells: Vec<&str> = line.split('\t').collect();
                let [quality @ ("0" | "1"), _, _, first, second] = cells[..] else {
                    bail!(wrong(wanted));
                };
                let pair = vec![first.to_owned(), second.to_owned()];
                push(pair, f64::from(u8::from(quality == "1")), None);
            }
            Reader::Sick | Reader::Yelp => {
                let cells: Vec<&str> = line.split('\t').collect();
                let cell = |name: &str| -> anyhow::Result<&str> {
                    let place = header.iter().position(|column| *column == name);
                    let place = place.with_context(|| {
                        format!("{}: the header has no column {name}", path.display())
                    })?;
                    cells
                        .get(place)
                        .copied()
                        .with_context(|| wrong("as many columns as the header"))
                };
                let score: f64 = cell("relatedness_score")?
                    .parse()
                    .with_context(|| wrong("a number as relatedness_score"))?;
                let part = match cell("SemEval_set")? {
                    "TRAIN" => Part::Train,
                    "TRIAL" => Part::Val,
                    "TEST" => Part::Test,
                    _ => bail!(wrong("TRAIN, TRIAL or TEST as SemEval_set")),
                };
                let pair = vec![cell("sentence_A")?.to_owned(), cell("sentence_B")?.to_owned()];
                push(pair, score, Some(part));
            }
        }
    }
    Ok(())
}

fn yelp(path: &Path, text: &str, push: Push<'_>) -> anyhow::Result<()> {
    let mut csv = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
    for (i, row) in csv.records().enumerate() {
        let row = row.with_context(|| path.display().to_string())?;
        let label = match (row.get(0), row.len()) {
            (Some("1"), 2) => 0.0,
            (Some("2"), 2) => 1.0,
            _ => bail!("{}, row {}: wanted 1 or 2, and a review", path.display(), i + 1),
        };
        push(vec![row[1].replace("\\n", "\n").replace("\\\"", "\"")], label, None);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn lookup(dir: &Path) -> Lookup {
        Lookup { data_dir: Some(dir.to_owned()), ..Lookup::in_cache(dir.join("cache")) }
    }

    const SICK: &str =
        "pair_ID\tsentence_A\tsentence_B\tentailment_label\trelatedness_score\tSemEval_set\n";

    #[test]
    fn sick_says_in_a_column_which_part_a_pair_is_in() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read("sick", &lookup(dir.path())).unwrap().is_none());
        let rows = "1\ta b\tc\tNEUTRAL\t4.5\tTRAIN\n2\td\te\tNEUTRAL\t3\tTRIAL\n3\tf\tg\tNEUTRAL\t1.2\tTEST\n";
        fs::write(dir.path().join("SICK.txt"), format!("{SICK}{rows}")).unwrap();
        let task = read("sick", &lookup(dir.path())).unwrap().unwrap();
        assert_eq!((task.answer, task.of_pairs()), (Answer::Number, true));
        assert_eq!(task.texts[0], ["a b", "c"]);
        assert_eq!(task.labels, [4.5, 3.0, 1.2]);
        let Round { train, val, test } = &task.round;
        assert_eq!((train, val, test), (&vec![0], &vec![1], &vec![2]));
    }

    #[test]
    fn yelp_has_a_tenth_of_its_training_part_for_validation() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("yelp_review_polarity_csv");
        fs::create_dir(&folder).unwrap();
        let rows = |n: usize| -> String {
            let row = |i| format!("\"{}\",\"review {i}\\nof it\"\n", 1 + i % 2);
            (0..n).map(row).collect::<Vec<_>>().concat()
        };
        fs::write(folder.join("train.csv"), rows(400)).unwrap();
        fs::write(folder.join("test.csv"), rows(50)).unwrap();
        let task = read("yelp", &lookup(dir.path())).unwrap().unwrap();
        assert_eq!(task.round.test, (400..450).collect::<Vec<_>>());
        assert!((20..60).contains(&task.round.val.len()), "{}", task.round.val.len());
        assert_eq!((task.texts[3][0].as_str(), task.labels[3]), ("review 3\nof it", 1.0));
    }

    #[test]
    fn what_is_wrong_in_a_file_is_named_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("SICK.txt");
        let row = "1\ta\tb\tNEUTRAL\t4.5\tTRAIN\n";
        for (content, wanted) in [
            (format!("{SICK}{row}1\ta\tb\tNEUTRAL\tmuch\tTRAIN\n"), "line 3"),
            (format!("{SICK}{}", row.replace("TRAIN", "OTHER")), "TRAIN, TRIAL or TEST"),
            (format!("{SICK}1\ta\n"), "as many columns"),
            (format!("{}{row}", SICK.replace("sentence_B", "b")), "no column sentence_B"),
            (format!("{SICK}{row}"), "the validation part has no examples"),
        ] {
            fs::write(&path, content).unwrap();
            let error = format!("{:#}", read("sick", &lookup(dir.path())).unwrap_err());
            assert!(error.contains(wanted), "expected: {wanted}\n     got: {error}");
        }
        assert!(read("sst", &lookup(dir.path())).unwrap_err().to_string().contains("sst-5, msrp"));
    }
}
