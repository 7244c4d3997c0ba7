//! Texts with a label: the sets that a classifier is trained, chosen and tested on.
//!
//! Where the publication's split is known it is taken; other sets are parted by the sha256 of what must stay
//! together (a text, a movie, a review), so that the parts depend on nothing but the data.

use std::path::Path;

use ledger::run::hex;
use sha2::{Digest, Sha256};

use super::clean::decode;
use super::input::{Lines, each_file};
use super::reviews::{Format, each_review, third_column, without_breaks};
use crate::data::error::DataError;
use crate::data::lookup::{Layout, Located};

/// Rounds of cross validation, as published for the sets without a split.
pub const FOLDS: usize = 10;

/// Texts, each labelled positive or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelledSet {
    /// Name in the catalogue.
    pub name: String,
    /// As the files hold them: not cleaned.
    pub texts: Vec<String>,
    /// Positive (of SUBJ: subjective) or not, `[texts]`.
    pub labels: Vec<bool>,
    /// Which texts are for what.
    pub split: Split,
    /// sha256 over texts, labels and split, in hex.
    pub sha256: String,
}

/// Which texts are for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Split {
    /// One training, validation and test part.
    Fixed(Round),
    /// Cross validation; the fold of each text.
    Folds(Vec<u8>),
}

/// Indices of the texts to learn from, to choose by, and to test on once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// To learn from.
    pub train: Vec<usize>,
    /// To choose by.
    pub val: Vec<usize>,
    /// To test on.
    pub test: Vec<usize>,
}

/// A part of a fixed split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Train,
    Val,
    Test,
}

/// A text with its label and, where the files say it, its part.
struct Example {
    text: String,
    positive: bool,
    part: Part,
}

impl LabelledSet {
    fn new(name: &str, examples: Vec<Example>, cross_validate: bool) -> Result<Self, DataError> {
        let mut hash = Sha256::new();
        let (mut texts, mut labels, mut parts) = (Vec::new(), Vec::new(), Vec::new());
        for Example { text, positive, part } in examples {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(&text);
            hash.update([u8::from(positive), part as u8]);
            texts.push(text);
            labels.push(positive);
            parts.push(part);
        }
        if labels.iter().all(|&positive| positive) || labels.iter().all(|&positive| !positive) {
            return Err(DataError::OneClass { name: name.to_owned(), texts: texts.len() });
        }
        let split = if cross_validate {
            Split::Folds(folds(&texts, &labels))
        } else {
            let of = |wanted| (0..parts.len()).filter(|&i| parts[i] == wanted).collect();
            Split::Fixed(Round { train: of(Part::Train), val: of(Part::Val), test: of(Part::Test) })
        };
        let sha256 = hex(&hash.finalize());
        Ok(Self { name: name.to_owned(), texts, labels, split, sha256 })
    }

    /// The rounds in which every text of a test part is tested once. Of cross validation, fold `i` tests, the next
    /// one chooses, the others train.
    pub fn rounds(&self) -> Vec<Round> {
        match &self.split {
            Split::Fixed(round) => vec![round.clone()],
            Split::Folds(folds) => (0..FOLDS)
                .map(|test| {
                    let mut round = Round::default();
                    for (i, &fold) in folds.iter().enumerate() {
                        let fold = usize::from(fold);
                        if fold == test {
                            round.test.push(i);
                        } else if fold == (test + 1) % FOLDS {
                            round.val.push(i);
                        } else {
                            round.train.push(i);
                        }
                    }
                    round
                })
                .collect(),
        }
    }
}

/// The fold of each text: classes are dealt out one by one in the order of their texts' sums, so that every fold
/// has its share of each.
fn folds(texts: &[String], labels: &[bool]) -> Vec<u8> {
    let mut order: Vec<usize> = (0..texts.len()).collect();
    order.sort_by_cached_key(|&i| (labels[i], Sha256::digest(&texts[i]), i));
    let mut folds = vec![0; texts.len()];
    for (place, i) in order.into_iter().enumerate() {
        folds[i] = (place % FOLDS) as u8;
    }
    folds
}

/// One tenth each for test and validation, by the sum of what must stay together.
pub(super) fn part_of(group: &str) -> Part {
    match u32::from(Sha256::digest(group)[0]) * 10 / 256 {
        0 => Part::Test,
        1 => Part::Val,
        _ => Part::Train,
    }
}

/// Reads a located set of labelled texts.
///
/// # Errors
/// Files that break their format; a set that holds no labelled texts, or those of one class only.
pub fn read(located: &Located) -> Result<LabelledSet, DataError> {
    let file = |i: usize| located.files[i].path.as_path();
    let mut examples = Vec::new();
    let mut push = |text: &[u8], positive, part| {
        let text = decode(text).0.into_owned();
        if !text.trim().is_empty() {
            examples.push(Example { text, positive, part });
        }
    };
    let name = located.name.as_str();
    match name {
        "sst" => {
            for (i, part) in [Part::Train, Part::Val, Part::Test].into_iter().enumerate() {
                each_csv(file(i), ["label", "sentence"], &mut |row| {
                    push(row[1].as_bytes(), row[0] == "1", part);
                })?;
            }
        }
        "mr" | "cr" | "subj" | "mpqa" => {
            for (i, positive) in [true, false].into_iter().enumerate() {
                each_file(file(i), &|_| true, &mut |lines| {
                    each_review(lines, Format::Lines, &mut |text| {
                        push(text, positive, Part::Train);
                        Ok(())
                    })
                })?;
            }
        }
        "imdb" if located.layout == Layout::Files("official".into()) => {
            imdb_official(file(0), &mut push)?;
        }
        "imdb" => {
            for (i, is_test) in [false, true].into_iter().enumerate() {
                each_line(file(i), &|_| true, &mut |line, lines| {
                    let (name, _, text) = third_column(line).ok_or_else(|| {
                        lines.wrong("fewer than three columns", "name, rating, review")
                    })?;
                    let text = without_breaks(text);
                    push(&text, name.starts_with(b"pos"), imdb_part(&text, is_test));
                    Ok(())
                })?;
            }
        }
        "rotten-tomatoes" => {
            each_csv(file(0), TOMATO_COLUMNS, &mut |row| {
                if row[0] != "plot" {
                    push(row[1].as_bytes(), row[0] == "fresh", part_of(row[2]));
                }
            })?;
        }
        "human-sentiment" => {
            let amazon = |name: &str| name.ends_with("/amazonReviewSnippets_GroundTruth.txt");
            each_line(file(0), &amazon, &mut |line, lines| {
                let (id, mean, text) = rated(line, lines)?;
                if mean != 0.0 {
                    push(text, mean > 0.0, part_of(review_of(id)));
                }
                Ok(())
            })?;
        }
        _ => return Err(DataError::Catalog(format!("`{name}` holds no labelled texts"))),
    }
    LabelledSet::new(name, examples, matches!(name, "mr" | "cr" | "subj" | "mpqa"))
}

/// The columns of the Rotten Tomatoes file that are read.
pub(super) const TOMATO_COLUMNS: [&str; 3] = ["category", "text", "movie_name"];

/// The review that a rated sentence belongs to: `12_3` is the third sentence of review 12.
pub(super) fn review_of(id: &str) -> &str {
    id.split_once('_').map_or(id, |(review, _)| review)
}

/// A line of the rated sentences: id, mean of the raters' scores from -4 to 4, text.
pub(super) fn rated<'a>(
    line: &'a [u8],
    lines: &Lines,
) -> Result<(&'a str, f64, &'a [u8]), DataError> {
    let wrong = || lines.wrong(String::from_utf8_lossy(line), "id, mean score, text between tabs");
    let (id, mean, text) = third_column(line).ok_or_else(wrong)?;
    let number = std::str::from_utf8(mean).ok().and_then(|mean| mean.trim().parse().ok());
    let id = std::str::from_utf8(id).map_err(|_| wrong())?;
    Ok((id, number.ok_or_else(wrong)?, text))
}

/// IMDB has no validation part: one tenth of the training reviews, by their sums.
fn imdb_part(text: &[u8], is_test: bool) -> Part {
    match (is_test, Sha256::digest(text)[0]) {
        (true, _) => Part::Test,
        (false, 0..26) => Part::Val,
        (false, _) => Part::Train,
    }
}

/// The official archive: one file a review, `aclImdb/<split>/<class>/<id>_<rating>.txt`.
fn imdb_official(path: &Path, push: &mut dyn FnMut(&[u8], bool, Part)) -> Result<(), DataError> {
    let keep = |name: &str| is_imdb(name, &["train/pos", "train/neg", "test/pos", "test/neg"]);
    each_file(path, &keep, &mut |lines| {
        let text = without_breaks(&lines.rest()?);
        let (positive, is_test) = (lines.member.contains("/pos/"), lines.member.contains("/test/"));
        push(&text, positive, imdb_part(&text, is_test));
        Ok(())
    })
}

/// Whether a member of the official IMDB archive is a review in one of `folders`.
pub(super) fn is_imdb(member: &str, folders: &[&str]) -> bool {
    let text = Path::new(member).extension().is_some_and(|e| e == "txt");
    text && folders.iter().any(|folder| member.contains(&format!("aclImdb/{folder}/")))
}

type Visit<'a> = &'a mut dyn FnMut(&[u8], &Lines) -> Result<(), DataError>;

/// Shows `visit` each line that is not empty of the files that `keep` accepts.
pub(super) fn each_line(
    path: &Path,
    keep: &dyn Fn(&str) -> bool,
    visit: Visit,
) -> Result<(), DataError> {
    each_file(path, keep, &mut |lines| {
        let mut line = Vec::new();
        while lines.next(&mut line)? {
            if !line.is_empty() {
                visit(&line, lines)?;
            }
        }
        Ok(())
    })
}

/// Shows `visit` these columns of each row of a CSV file with a header.
pub(super) fn each_csv<const N: usize>(
    path: &Path,
    columns: [&str; N],
    visit: &mut dyn FnMut([&str; N]),
) -> Result<(), DataError> {
    each_file(path, &|_| true, &mut |lines| {
        let bytes = lines.rest()?;
        let text = decode(&bytes).0;
        let mut csv = csv::Reader::from_reader(text.as_bytes());
        let broken = |e: csv::Error| {
            DataError::malformed(path, "CSV", e.to_string(), "rows as long as the header")
        };
        let header = csv.headers().map_err(broken)?.clone();
        let mut places = [0; N];
        for (place, column) in places.iter_mut().zip(columns) {
            *place = header.iter().position(|name| name == column).ok_or_else(|| {
                let found: Vec<_> = header.iter().collect();
                DataError::malformed(
                    path,
                    "the header",
                    found.join(","),
                    format!("a column {column}"),
                )
            })?;
        }
        for row in csv.records() {
            let row = row.map_err(broken)?;
            visit(places.map(|place| &row[place]));
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::data::lookup::{LocatedFile, Source};

    fn located(dir: &Path, name: &str, files: &[(&str, &str)]) -> Located {
        let files = files.iter().map(|(file, content)| {
            let path = dir.join(file);
            fs::write(&path, content).unwrap();
            LocatedFile { name: (*file).to_owned(), path, sha256: String::new() }
        });
        Located {
            name: name.to_owned(),
            layout: Layout::Files(String::new()),
            files: files.collect(),
            source: Source::Own(dir.to_owned()),
        }
    }

    #[test]
    fn the_published_split_of_sst_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let files = [
            ("a", "label,sentence\n1,\"good, very\"\n0,bad\n"),
            ("b", "label,sentence\n0,awful\n"),
            ("c", "label,sentence\n1,fine\n"),
        ];
        let set = read(&located(dir.path(), "sst", &files)).unwrap();
        assert_eq!(set.texts, ["good, very", "bad", "awful", "fine"]);
        assert_eq!(set.labels, [true, false, false, true]);
        let wanted = Round { train: vec![0, 1], val: vec![2], test: vec![3] };
        assert_eq!(set.rounds(), [wanted]);
    }

    #[test]
    fn ten_folds_have_their_share_of_each_class_and_test_every_text_once() {
        let dir = tempfile::tempdir().unwrap();
        let text = |word: &str, n| -> String {
            let lines: Vec<_> = (0..n).map(|i| format!("{word} {i}")).collect();
            lines.join(
                "
",
            )
        };
        let files = [("p", text("good", 70)), ("n", text("bad", 130))];
        let files: Vec<_> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let set = read(&located(dir.path(), "mr", &files)).unwrap();
        let mut tested = vec![0; 200];
        for round in set.rounds() {
            assert_eq!((round.train.len(), round.val.len(), round.test.len()), (160, 20, 20));
            assert_eq!(round.test.iter().filter(|&&i| set.labels[i]).count(), 7);
            round.test.iter().for_each(|&i| tested[i] += 1);
            assert!(round.train.iter().all(|i| !round.val.contains(i) && !round.test.contains(i)));
        }
        assert_eq!(tested, [1; 200]);
    }

    #[test]
    fn imdb_keeps_its_test_part_and_reads_breaks_as_newlines() {
        let dir = tempfile::tempdir().unwrap();
        let many = |n: usize| -> String {
            let line = |i| format!("{}/{i}\t7\treview<br />{i}", ["neg", "pos"][i % 2]);
            (0..n).map(line).collect::<Vec<_>>().join("\n")
        };
        let files = [("train", many(400)), ("test", many(100))];
        let files: Vec<_> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let set = read(&located(dir.path(), "imdb", &files)).unwrap();
        let Split::Fixed(round) = &set.split else { panic!("imdb has a test part") };
        assert_eq!(round.test, (400..500).collect::<Vec<_>>());
        assert!((20..60).contains(&round.val.len()), "{}", round.val.len());
        assert_eq!((set.texts[3].as_str(), set.labels[3]), ("review\n3", true));
    }

    #[test]
    fn a_movie_is_in_one_part_only() {
        let dir = tempfile::tempdir().unwrap();
        let kind = |i: usize| ["fresh", "rotten", "plot"][i % 3];
        let rows: Vec<String> =
            (0..300).map(|i| format!("{},text {i},movie {},True", kind(i), i / 6)).collect();
        let file = format!("category,text,movie_name,has_plot_and_reviews\n{}", rows.join("\n"));
        let set = read(&located(dir.path(), "rotten-tomatoes", &[("f", &file)])).unwrap();
        assert_eq!(set.texts.len(), 200);
        let movies = |indices: &[usize]| -> std::collections::BTreeSet<usize> {
            let number =
                |i: &usize| set.texts[*i].strip_prefix("text ").unwrap().parse::<usize>().unwrap();
            indices.iter().map(|i| number(i) / 6).collect()
        };
        let Split::Fixed(round) = &set.split else { panic!("a fixed split") };
        let (train, val, test) = (movies(&round.train), movies(&round.val), movies(&round.test));
        assert!(train.is_disjoint(&val) && train.is_disjoint(&test) && val.is_disjoint(&test));
        assert!(!val.is_empty() && !test.is_empty());
    }

    #[test]
    fn labels_of_one_class_only_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let error =
            read(&located(dir.path(), "cr", &[("p", "good\nfine\n"), ("n", "")])).unwrap_err();
        assert!(error.to_string().contains("one class only"), "{error}");
    }
}
