//! Which files make which text for a language model.
//!
//! Nothing that a probe tests on is in it: of labelled sets only the training part is taken, without its labels.

use std::path::{Path, PathBuf};

use super::input::each_file;
use super::labelled::{
    Part, TOMATO_COLUMNS, each_csv, each_line, is_imdb, part_of, rated, review_of,
};
use super::reviews::{Format, each_review};
use super::shards::{Sharder, Shards};
use crate::data::catalog::Catalog;
use crate::data::error::DataError;
use crate::data::lookup::{Layout, Located, Lookup};
use crate::data::verify::{sum_of_file, sum_of_folder};

/// A text by its name in paths of results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corpus {
    /// Its name.
    pub name: &'static str,
    /// The sets of the catalogue that it is made of; the first stands for it where one name is wanted.
    pub sets: &'static [&'static str],
}

/// All texts, the best first.
pub const CORPORA: [Corpus; 2] = [
    // Amazon reviews of three collections and the training reviews of IMDB.
    Corpus { name: "reviews", sets: &["amazon-reviews", "imdb"] },
    // What package registries have of reviews.
    Corpus { name: "registry-reviews", sets: &["rotten-tomatoes", "human-sentiment"] },
];

impl Corpus {
    /// The text called `name`, if it is one of ours.
    pub fn get(name: &str) -> Option<Self> {
        CORPORA.into_iter().find(|corpus| corpus.name == name)
    }

    /// The first text whose files can be had.
    ///
    /// # Errors
    /// A file that is damaged; no text that is whole.
    pub fn first_available(lookup: &Lookup) -> Result<Self, DataError> {
        let firsts = CORPORA.map(|corpus| corpus.sets[0]);
        let located = Catalog::builtin().first_available(&firsts, lookup)?;
        let found = CORPORA.into_iter().find(|corpus| corpus.sets[0] == located.name);
        Ok(found.expect("one of the names asked for was located"))
    }

    /// The text in `train + 2` shards, made at the first call.
    ///
    /// # Errors
    /// Files that are missing or damaged.
    pub fn shards(self, train: usize, lookup: &Lookup) -> Result<Shards, DataError> {
        let catalog = Catalog::builtin();
        let located: Vec<Located> =
            self.sets.iter().map(|set| catalog.locate(set, lookup)).collect::<Result<_, _>>()?;
        let files = located.iter().flat_map(|set| &set.files);
        let sums: Vec<String> =
            files.map(|file| format!("{} {}", file.name, file.sha256)).collect();
        let folder = lookup.cache_for(self.name);
        Shards::open_or_make(&folder, &sums.join("\n"), train, &lookup.memory(), |sharder| {
            tracing::info!("{}: cleaning and shuffling, once", self.name);
            located.iter().try_for_each(|set| feed(set, sharder))
        })
    }
}

/// The user's own reviews in `train + 2` shards: a file or a folder of the formats whose endings we know. They are
/// kept in the cache below `own-text`.
///
/// # Errors
/// Nothing of a known format; files that are damaged.
pub fn own_shards(path: &Path, train: usize, lookup: &Lookup) -> Result<Shards, DataError> {
    let keep = |name: &str| Format::of_name(name).is_some();
    let sum = if path.is_dir() {
        sum_of_folder(path, &keep, &lookup.memory())?
    } else {
        sum_of_file(path, &lookup.memory())?
    };
    let folder: PathBuf = lookup.cache_for("own-text");
    Shards::open_or_make(&folder, &sum, train, &lookup.memory(), |sharder| {
        let mut files = 0;
        each_file(path, &keep, &mut |lines| {
            files += 1;
            let name =
                if lines.member.is_empty() { lines.path_name() } else { lines.member.clone() };
            let format = Format::of_name(&name).expect("only such files are shown");
            each_review(lines, format, &mut |review| sharder.review(review))
        })?;
        if files == 0 {
            let wanted = "files that end in .json, .jsonl, .review, .tsv or .txt, packed or not";
            return Err(DataError::malformed(path, "its names", "none of a known format", wanted));
        }
        Ok(())
    })
}

/// Gives the sharder what a set holds for a language model.
fn feed(set: &Located, sharder: &mut Sharder) -> Result<(), DataError> {
    let mut reviews = |path: &Path, format, keep: &dyn Fn(&str) -> bool| {
        each_file(path, keep, &mut |lines| {
            each_review(lines, format, &mut |review| sharder.review(review))
        })
    };
    match set.name.as_str() {
        "amazon-reviews" => {
            let path = |i: usize| set.files[i].path.as_path();
            reviews(path(0), Format::Lines, &|name| name.contains("/review_"))?;
            // MR and IMDB are not Amazon's, and hold what probes test on; train and test are in lower case.
            let amazon = |name: &str| {
                let domain = name.rsplit('/').next().unwrap_or(name);
                domain.ends_with(".unlabel")
                    && !domain.starts_with("MR.")
                    && !domain.starts_with("imdb.")
            };
            reviews(path(1), Format::Lines, &amazon)?;
            reviews(path(2), Format::Blitzer, &|name| name.ends_with(".review"))
        }
        "imdb" if set.layout == Layout::Files("official".into()) => {
            let keep = |name: &str| is_imdb(name, &["train/pos", "train/neg", "train/unsup"]);
            each_file(&set.files[0].path, &keep, &mut |lines| {
                let text = super::reviews::without_breaks(&lines.rest()?);
                sharder.review(&text)
            })
        }
        "imdb" => reviews(&set.files[0].path, Format::ThirdColumn, &|_| true),
        "rotten-tomatoes" => {
            let mut texts = Vec::new();
            each_csv(&set.files[0].path, TOMATO_COLUMNS, &mut |row| {
                if part_of(row[2]) == Part::Train {
                    texts.push(row[1].to_owned());
                }
            })?;
            texts.iter().try_for_each(|text| sharder.review(text.as_bytes()))
        }
        "human-sentiment" => {
            // The movie sentences are left out: nearly all are Rotten Tomatoes' as well, its test movies' too.
            let keep =
                |name: &str| name.ends_with("_GroundTruth.txt") && !name.contains("movieReview");
            each_line(&set.files[0].path, &keep, &mut |line, lines| {
                let (id, _, text) = rated(line, lines)?;
                let held_out =
                    lines.member.contains("amazon") && part_of(review_of(id)) != Part::Train;
                if held_out { Ok(()) } else { sharder.review(text) }
            })
        }
        name => Err(DataError::Catalog(format!("`{name}` is no text for a language model"))),
    }
}
