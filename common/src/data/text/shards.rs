//! Text cut into shards of about equal size, in the cache: written once, read one at a time.
//!
//! A document belongs to the shard that the sha256 of its bytes names, and stands there in the order of these sums.
//! So the order is a shuffle that depends on nothing but the documents, equal documents meet and only one of them
//! stays, and memory holds one shard at a time however large the text is. Of `train + 2` shards the last but one is
//! for validation and the last is the test, as in the publication (1,000 of which 1 and 1).

use std::fs::{self, File};
use std::io::{BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};

use ledger::run::hex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::clean::{clean, decode};
use crate::data::error::DataError;
use crate::data::verify::{place, sha256_text, sum_of_file, sync_folder, write_atomically};
use crate::interrupt;

/// Raised when the same files give other shards than before.
const VERSION: u32 = 1;
const LISTING: &str = "shards.json";
/// Bytes gathered for a shard before they go to its file.
const GATHER: usize = 1 << 16;

/// What became of the documents.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Documents read.
    pub read: u64,
    /// Of these, with bytes that were not UTF-8 (read as Latin-1).
    pub not_utf8: u64,
    /// Dropped: nothing left after cleaning.
    pub empty: u64,
    /// Dropped: the same text as one that stays.
    pub repeated: u64,
    /// Documents that stay.
    pub kept: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// One shard's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// Name in the shards' folder.
    pub file: String,
    /// Size.
    pub bytes: u64,
    /// Of the file, in hex.
    pub sha256: String,
}

/// Text in shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shards {
    folder: PathBuf,
    listing: Listing,
    /// sha256 over the shards' own, in hex: the text's identity in a run's record.
    pub sha256: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Listing {
    counts: Counts,
    train: Vec<Shard>,
    val: Shard,
    test: Shard,
}

/// A part of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Training shard by index.
    Train(usize),
    /// The shard to choose by.
    Val,
    /// The shard to be read once, at the end.
    Test,
}

/// Takes documents and writes them to the files of their shards.
#[derive(Debug)]
pub struct Sharder {
    folder: PathBuf,
    gathered: Vec<Vec<u8>>,
    counts: Counts,
}

impl Shards {
    /// The shards below `folder` that were made for `key` (what identifies the sources), or those of the documents
    /// that `feed` gives. `train` is the number of training shards, `memory` the folder that remembers sums.
    ///
    /// # Errors
    /// What `feed` says; a file that cannot be written; a text without a document in some shard; a shard that was
    /// changed since it was made.
    pub fn open_or_make(
        folder: &Path,
        key: &str,
        train: usize,
        memory: &Path,
        feed: impl FnOnce(&mut Sharder) -> Result<(), DataError>,
    ) -> Result<Self, DataError> {
        let sum = sha256_text(&format!("{VERSION}\n{train}\n{key}"));
        let target = folder.join(format!("shards-{}", &sum[..16]));
        if !target.join(LISTING).exists() {
            make(folder, &target, train, feed)?;
        }
        Self::open(&target, memory)
    }

    fn open(folder: &Path, memory: &Path) -> Result<Self, DataError> {
        let path = folder.join(LISTING);
        let text = fs::read(&path).map_err(DataError::io(&path, "read"))?;
        let way_out = "delete the folder, the shards are then made again";
        let listing: Listing = serde_json::from_slice(&text).map_err(|e| {
            DataError::malformed(&path, "the listing", e.to_string(), format!("JSON; {way_out}"))
        })?;
        let mut sums = Sha256::new();
        for shard in listing.train.iter().chain([&listing.val, &listing.test]) {
            let path = folder.join(&shard.file);
            let found = sum_of_file(&path, memory)?;
            if found != shard.sha256 {
                let (found, wanted) =
                    (format!("sha256 {found}"), format!("sha256 {}", shard.sha256));
                return Err(DataError::WrongFile { path, found, wanted, way_out: way_out.into() });
            }
            sums.update(&shard.sha256);
        }
        Ok(Self { folder: folder.to_owned(), listing, sha256: hex(&sums.finalize()) })
    }

    /// The bytes of a part.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn read(&self, part: Part) -> Result<Vec<u8>, DataError> {
        let path = self.folder.join(&self.shard(part).file);
        fs::read(&path).map_err(DataError::io(&path, "read"))
    }

    /// A part's file.
    pub fn shard(&self, part: Part) -> &Shard {
        match part {
            Part::Train(index) => &self.listing.train[index],
            Part::Val => &self.listing.val,
            Part::Test => &self.listing.test,
        }
    }

    /// The training shards' sizes in bytes.
    pub fn train_bytes(&self) -> Vec<u64> {
        self.listing.train.iter().map(|shard| shard.bytes).collect()
    }

    /// What became of the documents.
    pub fn counts(&self) -> &Counts {
        &self.listing.counts
    }
}

/// Makes the shards under a temporary name and renames the folder. Of two processes that do so at once, the first
/// to finish wins, and both made the same.
fn make(
    folder: &Path,
    target: &Path,
    train: usize,
    feed: impl FnOnce(&mut Sharder) -> Result<(), DataError>,
) -> Result<(), DataError> {
    fs::create_dir_all(folder).map_err(DataError::io(folder, "create"))?;
    let temporary = tempfile::Builder::new()
        .prefix(".part-shards-")
        .tempdir_in(folder)
        .map_err(DataError::io(folder, "write into"))?;
    let mut sharder = Sharder {
        folder: temporary.path().to_owned(),
        gathered: vec![Vec::new(); train + 2],
        counts: Counts::default(),
    };
    feed(&mut sharder)?;
    let listing = sharder.finish()?;
    let text = serde_json::to_vec_pretty(&listing).expect("plain data");
    write_atomically(&temporary.path().join(LISTING), &[&text])?;
    settle(temporary.path(), target)
}

/// Renames finished shards to where they belong. A rename takes the place of no folder with files in it, so those
/// that another process has put there meanwhile stay, and whoever reads them finds them whole.
fn settle(made: &Path, target: &Path) -> Result<(), DataError> {
    match fs::rename(made, target) {
        Err(_) if target.join(LISTING).exists() => Ok(()),
        // A folder that lost its listing, or a disk that refuses.
        Err(_) => place(made, target),
        Ok(()) => sync_folder(target.parent().unwrap_or(Path::new("."))),
    }
}

impl Sharder {
    /// Takes a review in the form that files hold it.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn review(&mut self, raw: &[u8]) -> Result<(), DataError> {
        self.counts.read += 1;
        let (text, is_utf8) = decode(raw);
        self.counts.not_utf8 += u64::from(!is_utf8);
        let Some(document) = clean(&text) else {
            self.counts.empty += 1;
            return Ok(());
        };
        self.document(document.as_bytes())
    }

    /// Files a record: the document's sum, its length, its bytes.
    fn document(&mut self, document: &[u8]) -> Result<(), DataError> {
        let sum = Sha256::digest(document);
        let head = u64::from_be_bytes(sum[..8].try_into().expect("a sum has 32 bytes"));
        let n = self.gathered.len();
        let shard = ((u128::from(head) * n as u128) >> 64) as usize;
        let gathered = &mut self.gathered[shard];
        gathered.extend_from_slice(&sum);
        gathered.extend_from_slice(&(document.len() as u64).to_le_bytes());
        gathered.extend_from_slice(document);
        if gathered.len() >= GATHER { self.flush(shard) } else { Ok(()) }
    }

    fn flush(&mut self, shard: usize) -> Result<(), DataError> {
        let path = self.records(shard);
        // Opened for each write: a thousand shards are more than the files a process may hold open.
        let mut file = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(DataError::io(&path, "write"))?;
        file.write_all(&self.gathered[shard]).map_err(DataError::io(&path, "write"))?;
        self.gathered[shard].clear();
        Ok(())
    }

    fn records(&self, shard: usize) -> PathBuf {
        self.folder.join(format!("records-{shard:04}"))
    }

    /// Sorts each shard's documents by their sums, drops those that are there already, and writes the rest.
    fn finish(mut self) -> Result<Listing, DataError> {
        let mut shards = Vec::with_capacity(self.gathered.len());
        for index in 0..self.gathered.len() {
            interrupt::check().map_err(DataError::Interrupted)?;
            self.flush(index)?;
            let records = self.records(index);
            let mut documents = read_records(&records)?;
            fs::remove_file(&records).map_err(DataError::io(&records, "remove"))?;
            documents.sort_unstable();
            let before = documents.len();
            documents.dedup();
            self.counts.repeated += (before - documents.len()) as u64;
            self.counts.kept += documents.len() as u64;
            let text = documents.into_iter().fold(Vec::new(), |mut text, (_, document)| {
                text.extend_from_slice(&document);
                text
            });
            let bytes = text.len() as u64;
            self.counts.bytes += bytes;
            if text.is_empty() {
                let place = format!("shard {index} of {}", self.gathered.len());
                let wanted = "at least one document in each shard: fewer shards, or more text";
                return Err(DataError::malformed(&self.folder, place, "no document", wanted));
            }
            let file = match self.gathered.len() - index {
                1 => "test.bin".to_owned(),
                2 => "val.bin".to_owned(),
                _ => format!("train-{index:04}.bin"),
            };
            write_atomically(&self.folder.join(&file), &[&text])?;
            shards.push(Shard { file, bytes, sha256: hex(&Sha256::digest(&text)) });
        }
        let test = shards.pop().expect("there are two shards more than training shards");
        let val = shards.pop().expect("there are two shards more than training shards");
        Ok(Listing { counts: self.counts, train: shards, val, test })
    }
}

/// A document behind its sha256.
type Document = ([u8; 32], Vec<u8>);

/// The documents of a shard with their sums.
fn read_records(path: &Path) -> Result<Vec<Document>, DataError> {
    let io = |e| DataError::io(path, "read")(e);
    let mut left = fs::metadata(path).map_err(io)?.len();
    let mut file = BufReader::new(File::open(path).map_err(io)?);
    let mut documents = Vec::new();
    while left > 0 {
        let (mut sum, mut length) = ([0; 32], [0; 8]);
        file.read_exact(&mut sum).map_err(io)?;
        file.read_exact(&mut length).map_err(io)?;
        let mut document = vec![0; u64::from_le_bytes(length) as usize];
        file.read_exact(&mut document).map_err(io)?;
        left -= 40 + document.len() as u64;
        documents.push((sum, document));
    }
    Ok(documents)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    fn make_from(dir: &Path, train: usize, reviews: &[&[u8]]) -> Result<Shards, DataError> {
        let memory = dir.join("memory");
        Shards::open_or_make(dir, "key", train, &memory, |sharder| {
            reviews.iter().try_for_each(|review| sharder.review(review))
        })
    }

    fn numbered(n: usize) -> Vec<Vec<u8>> {
        (0..n).map(|i| format!("review number {i}, neither good nor bad").into_bytes()).collect()
    }

    fn parts(shards: &Shards) -> Vec<Vec<u8>> {
        let train = (0..shards.train_bytes().len()).map(Part::Train);
        train.chain([Part::Val, Part::Test]).map(|part| shards.read(part).unwrap()).collect()
    }

    #[test]
    fn every_document_is_in_one_shard_once_and_shards_are_about_equal() {
        let dir = tempfile::tempdir().unwrap();
        let reviews = numbered(3000);
        let twice: Vec<&[u8]> = reviews.iter().chain(&reviews).map(Vec::as_slice).collect();
        let shards = make_from(dir.path(), 8, &twice).unwrap();
        let counts = shards.counts();
        assert_eq!((counts.read, counts.kept, counts.repeated), (6000, 3000, 3000));
        let parts = parts(&shards);
        let all = String::from_utf8(parts.concat()).unwrap();
        assert_eq!(all.len() as u64, counts.bytes);
        let found: BTreeSet<&str> = all.split('\n').skip(1).collect();
        assert_eq!(found.len(), 3000);
        for part in &parts {
            let share = part.len() as f64 / (all.len() as f64 / 10.0);
            assert!((0.7..1.3).contains(&share), "a shard has {share} of the mean");
        }
        assert!(!all.starts_with("\n review number 0,"), "not shuffled");
    }

    #[test]
    fn the_order_of_the_sources_does_not_matter_and_one_other_byte_does() {
        let mut reviews = numbered(200);
        let sums: Vec<String> = (0..3)
            .map(|i| {
                match i {
                    1 => reviews.reverse(),
                    2 => reviews[17][0] = b'R',
                    _ => {}
                }
                let dir = tempfile::tempdir().unwrap();
                let reviews: Vec<&[u8]> = reviews.iter().map(Vec::as_slice).collect();
                make_from(dir.path(), 3, &reviews).unwrap().sha256
            })
            .collect();
        assert_eq!(sums[0], sums[1]);
        assert_ne!(sums[0], sums[2]);
    }

    #[test]
    fn what_is_dropped_and_what_is_no_utf_8_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let many = numbered(60);
        let mut reviews: Vec<&[u8]> = many.iter().map(Vec::as_slice).collect();
        reviews.extend([&b""[..], b" \n&nbsp;", b"cr\xe8me"]);
        let counts = make_from(dir.path(), 2, &reviews).unwrap().counts().clone();
        assert_eq!((counts.read, counts.empty, counts.not_utf8, counts.kept), (63, 2, 1, 61));
    }

    #[test]
    fn shards_are_made_once_and_a_changed_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let many = numbered(60);
        let reviews: Vec<&[u8]> = many.iter().map(Vec::as_slice).collect();
        let made = make_from(dir.path(), 2, &reviews).unwrap();
        let memory = dir.path().join("memory");
        let again = Shards::open_or_make(dir.path(), "key", 2, &memory, |_| panic!("made before"));
        assert_eq!(again.unwrap(), made);
        let path = made.folder.join(&made.shard(Part::Val).file);
        fs::write(&path, "other text").unwrap();
        let error = Shards::open(&made.folder, &memory).unwrap_err().to_string();
        assert!(error.contains("val.bin") && error.contains("delete the folder"), "{error}");
    }

    #[test]
    fn shards_that_another_process_has_put_there_stay_and_a_folder_without_a_listing_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let many = numbered(60);
        let reviews: Vec<&[u8]> = many.iter().map(Vec::as_slice).collect();
        let theirs = make_from(dir.path(), 2, &reviews).unwrap().folder;
        let file = |folder: &Path| fs::metadata(folder.join("val.bin")).unwrap().ino();
        let (before, ours) =
            (file(&theirs), make_from(&dir.path().join("2"), 2, &reviews).unwrap());
        settle(&ours.folder, &theirs).unwrap();
        assert_eq!(file(&theirs), before);
        fs::remove_file(theirs.join(LISTING)).unwrap();
        settle(&ours.folder, &theirs).unwrap();
        assert_ne!(file(&theirs), before);
        assert!(theirs.join(LISTING).exists() && !ours.folder.exists());
    }

    #[test]
    fn a_source_that_fails_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let memory = dir.path().join("memory");
        let error = Shards::open_or_make(dir.path(), "key", 2, &memory, |sharder| {
            sharder.review(b"one")?;
            Err(DataError::Catalog("damaged".into()))
        });
        assert!(error.is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        let error = make_from(dir.path(), 2, &[b"one"]).unwrap_err().to_string();
        assert!(error.contains("fewer shards"), "{error}");
    }
}
