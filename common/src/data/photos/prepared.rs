//! A prepared set: one file, mapped into memory, so that training streams from it.
#![expect(unsafe_code, reason = "memory-mapping a file")]

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;

use super::layout::{ContentSum, MAGIC, PIXELS_AT, Tail, VERSION, sum_of};
use super::source::SplitName;
use super::{Part, Pca, PhotosError, Pictures};
use crate::data::error::DataError;

/// Photographs of one size, decoded; see the module `layout` for the file.
pub struct PreparedSet {
    path: PathBuf,
    map: Mmap,
    tail: Tail,
}

impl PreparedSet {
    /// Maps the file at `path`. Its length and everything but the pixels are checked.
    ///
    /// # Errors
    /// A file that is not one that `prepare` wrote, of another version, cut short or damaged.
    pub fn open(path: &Path) -> Result<Self, PhotosError> {
        let file = File::open(path).map_err(DataError::io(path, "open"))?;
        // SAFETY: the map is read only. A prepared file is written under another name and renamed, so
        // this program never changes one in place; whoever cuts one off while it is in use ends the
        // process by a signal, as for any mapped file.
        let map = unsafe { Mmap::map(&file) }.map_err(DataError::io(path, "map"))?;
        let tail = read_tail(&map).map_err(|found| PhotosError::unusable(path, found))?;
        Ok(Self { path: path.to_owned(), map, tail })
    }

    /// Compares the pixels with the sum they were written with; reads the whole file.
    ///
    /// # Errors
    /// If they are not what was written.
    pub fn check(&self) -> Result<(), PhotosError> {
        let header = &self.tail.header;
        let mut sum = ContentSum::new();
        sum.pixels(&self.map[PIXELS_AT..PIXELS_AT + header.n * self.picture_bytes()]);
        let found = sum.finish(header.side, header.n_train, &header.classes, &self.tail.labels);
        if found == header.sha256 {
            return Ok(());
        }
        Err(PhotosError::unusable(
            &self.path,
            format!("pixels with sha256 {found} where {} was written", header.sha256),
        ))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Rows and columns of a picture.
    pub fn side(&self) -> usize {
        self.tail.header.side
    }

    /// Class names by label.
    pub fn classes(&self) -> &[String] {
        &self.tail.header.classes
    }

    /// Over side, splits, class names, labels and pixels, in hex: all that can change a result.
    pub fn sha256(&self) -> &str {
        &self.tail.header.sha256
    }

    /// Paths of the pictures that could not be decoded and are not here.
    pub fn skipped(&self) -> &[String] {
        &self.tail.header.skipped
    }

    /// What identified the sources when the file was made.
    pub(super) fn key(&self) -> &str {
        &self.tail.header.key
    }

    /// Which pictures belong to a split; empty if the source had no `val`.
    pub fn split(&self, name: SplitName) -> Range<usize> {
        let header = &self.tail.header;
        match name {
            SplitName::Train => 0..header.n_train,
            SplitName::Val => header.n_train..header.n,
        }
    }

    /// The pictures of a split.
    ///
    /// # Errors
    /// If it has none.
    pub fn part(self: &Arc<Self>, name: SplitName) -> Result<Part, PhotosError> {
        if self.split(name).is_empty() {
            let what = format!("{}: split {name}", self.path.display());
            let wanted = "pictures: prepare a folder that has the split, or pass --val-share";
            return Err(PhotosError::misfit(what, "none", wanted));
        }
        Part::new(Arc::clone(self) as Arc<dyn Pictures>, self.split(name))
    }

    /// The levels of picture `i`, `[side, side, 3]`.
    pub fn picture(&self, i: usize) -> &[u8] {
        let at = PIXELS_AT + i * self.picture_bytes();
        &self.map[at..at + self.picture_bytes()]
    }

    /// The class of picture `i`.
    pub fn label(&self, i: usize) -> u32 {
        self.tail.labels[i]
    }

    /// `<class>/<file>` of picture `i`.
    pub fn name(&self, i: usize) -> &str {
        let start = i.checked_sub(1).map_or(0, |before| self.tail.ends[before]);
        &self.tail.names[start as usize..self.tail.ends[i] as usize]
    }

    /// Mean level over the training pictures, `[side, side, 3]`.
    pub fn mean(&self) -> &[f32] {
        &self.tail.mean
    }

    /// Principal components of the training pixels' colours.
    pub fn pca(&self) -> &Pca {
        &self.tail.header.pca
    }

    fn picture_bytes(&self) -> usize {
        3 * self.side() * self.side()
    }
}

impl Pictures for PreparedSet {
    fn n(&self) -> usize {
        self.tail.header.n
    }

    fn side(&self) -> usize {
        self.side()
    }

    fn channels(&self) -> usize {
        3
    }

    fn label(&self, i: usize) -> u32 {
        self.label(i)
    }

    fn picture<'a>(&'a self, i: usize, _room: &'a mut Vec<u8>) -> Result<&'a [u8], PhotosError> {
        Ok(self.picture(i))
    }
}

/// The part behind the pixels; in words what is wrong with the file, else.
fn read_tail(bytes: &[u8]) -> Result<Tail, String> {
    let short = || "a file that is cut short".to_owned();
    if !bytes.starts_with(MAGIC) {
        return Err("a file that is not a prepared set".to_owned());
    }
    let block = bytes.first_chunk::<64>().ok_or_else(short)?;
    let number =
        |at: usize| u64::from_le_bytes(block[at..at + 8].try_into().expect("eight bytes")) as usize;
    if number(8) as u64 != VERSION {
        return Err(format!("version {} where this program reads {VERSION}", number(8)));
    }
    let (tail_at, tail_len) = (number(16), number(24));
    if tail_at.checked_add(tail_len) != Some(bytes.len()) {
        let wanted = tail_at.saturating_add(tail_len);
        return Err(format!("{} bytes where {wanted} were written", bytes.len()));
    }
    let tail = &bytes[tail_at..];
    if sum_of(block, tail) != block[32..] {
        return Err("a header that is not the one that was written".to_owned());
    }
    let read = Tail::from_bytes(tail).ok_or("a header that cannot be read")?;
    let pixels = read.header.n * read.header.side * read.header.side * 3;
    if PIXELS_AT + pixels != tail_at {
        return Err("pixels of another size than the header says".to_owned());
    }
    Ok(read)
}
