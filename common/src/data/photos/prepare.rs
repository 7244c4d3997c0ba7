//! Packs class folders of photographs into one prepared file.
//!
//! Pictures are decoded by several threads, a few dozen at a time: memory does not grow with the set.
//! The file appears under its name only when it is whole and its pixels have been read back.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rayon::iter::{IndexedParallelIterator as _, ParallelIterator as _};
use rayon::slice::ParallelSliceMut as _;

use super::decode::decode;
use super::layout::VERSION;
use super::source::{Listed, Source};
use super::square::square;
use super::{PhotosError, PreparedSet, SplitName};
use crate::data::error::DataError;
use crate::data::fetch::check_space;
use crate::data::lookup::Lookup;
use crate::data::obtain::lock;
use crate::data::verify::sha256_text;
use crate::interrupt;

mod writer;

use writer::Writer;

/// How a folder is packed.
#[derive(Clone, Copy, Debug)]
pub struct PrepareOptions {
    /// Rows and columns of a prepared picture; 256 in the paper.
    pub side: usize,
    /// Leave out pictures that cannot be decoded, and name them, instead of failing at the first.
    pub skip_corrupt: bool,
    /// Threads that decode.
    pub threads: usize,
}

/// What was packed.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The file.
    pub path: PathBuf,
    /// Training pictures.
    pub train: usize,
    /// Validation pictures.
    pub val: usize,
    /// Classes.
    pub classes: usize,
    /// Path and reason of each picture that was left out.
    pub skipped: Vec<(PathBuf, String)>,
    /// Size of the file.
    pub size_bytes: u64,
    /// Whether the file was there already, made from the same pictures, and is whole.
    pub was_there: bool,
}

/// Progress is told this far apart.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Pictures in the making at once, for each thread.
const PER_THREAD: usize = 16;

/// Packs `source` into the file `out`, in the order of classes and names.
///
/// A file that is there and was made from the same pictures (by names, sizes and times of change) is
/// read once to see that it is whole, and kept.
///
/// # Errors
/// A source without pictures; a picture that cannot be decoded (unless they are to be skipped); a file
/// `out` that is something else; a full disk.
pub fn prepare(
    source: &Source,
    out: &Path,
    options: &PrepareOptions,
) -> Result<Report, PhotosError> {
    if !(1..=4096).contains(&options.side) {
        return Err(PhotosError::misfit("--side", options.side.to_string(), "1 to 4096 pixels"));
    }
    let listed = source.list()?;
    let key = source.key(&listed)?;
    if out.exists() {
        let set = PreparedSet::open(out)?;
        if set.key() != key || set.side() != options.side {
            let found = "a set prepared from other pictures, or at another side";
            return Err(PhotosError::unusable(out, found.to_owned()));
        }
        set.check()?;
        let skipped = set.skipped().iter().map(|path| (path.into(), String::new())).collect();
        return report(&set, skipped, true);
    }
    let skipped = pack(&listed, &key, out, options)?;
    report(&PreparedSet::open(out)?, skipped, false)
}

/// The prepared file of `source` in the cache, at `side`; made now if it is not there yet.
///
/// # Errors
/// As [`prepare`]; no picture is skipped. A user who wants that runs the binary's `prepare` first, whose
/// default place is the same.
pub fn prepared(source: &Source, lookup: &Lookup, side: usize) -> Result<PreparedSet, PhotosError> {
    let listed = source.list()?;
    let key = source.key(&listed)?;
    let out = place_in_cache(lookup, &key, side);
    let folder = out.parent().expect("a file in a folder");
    fs::create_dir_all(folder).map_err(DataError::io(folder, "create"))?;
    let _lock = lock(folder)?;
    if !out.exists() {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        pack(&listed, &key, &out, &PrepareOptions { side, skip_corrupt: false, threads })?;
    }
    PreparedSet::open(&out)
}

/// Where the prepared file of `source` lies when no place is named.
///
/// # Errors
/// A source without pictures.
pub fn default_place(
    source: &Source,
    lookup: &Lookup,
    side: usize,
) -> Result<PathBuf, PhotosError> {
    Ok(place_in_cache(lookup, &source.key(&source.list()?)?, side))
}

fn place_in_cache(lookup: &Lookup, key: &str, side: usize) -> PathBuf {
    let name = sha256_text(&format!("{VERSION}\n{side}\n{key}"));
    lookup.cache_for("prepared").join(format!("{side}-{}.photos", &name[..16]))
}

fn report(
    set: &PreparedSet,
    skipped: Vec<(PathBuf, String)>,
    was_there: bool,
) -> Result<Report, PhotosError> {
    let path = set.path();
    let size_bytes = fs::metadata(path).map_err(DataError::io(path, "read"))?.len();
    let (train, val) = (set.split(SplitName::Train).len(), set.split(SplitName::Val).len());
    let classes = set.classes().len();
    Ok(Report { path: path.to_owned(), train, val, classes, skipped, size_bytes, was_there })
}

/// Pictures decoded together: `pixels` has room for all, `results` says how each went.
struct Chunk {
    first: usize,
    pixels: Vec<u8>,
    results: Vec<Result<(), PhotosError>>,
}

fn pack(
    listed: &Listed,
    key: &str,
    out: &Path,
    options: &PrepareOptions,
) -> Result<Vec<(PathBuf, String)>, PhotosError> {
    let n = listed.pictures.len();
    let size_bytes = (n * options.side * options.side * 3) as u64;
    let name = out.file_name().ok_or_else(|| {
        PhotosError::misfit("--out", out.display().to_string(), "the name of a file to write")
    })?;
    let folder = match out.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder).map_err(DataError::io(folder, "create"))?;
    check_space(out, size_bytes)?;
    tracing::info!(
        "preparing {n} pictures once: {} MB in {}",
        size_bytes / 1_000_000,
        out.display()
    );
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(options.threads.max(1))
        .build()
        .expect("the system starts threads");
    let per_chunk = options.threads.max(1) * PER_THREAD;

    let mut writer = Writer::new(listed, folder, options)?;
    let mut told = Told::new(n);
    let mut ready = decode_chunk(&pool, listed, 0, per_chunk, options.side);
    while !ready.results.is_empty() {
        interrupt::check().map_err(PhotosError::Interrupted)?;
        let next = ready.first + ready.results.len();
        // One thread writes and sums what the others have decoded just before.
        let (written, following) = pool.join(
            || writer.write(ready),
            || decode_chunk(&pool, listed, next, per_chunk, options.side),
        );
        written?;
        ready = following;
        told.tell(next);
    }
    writer.finish(key, &folder.join(name))
}

fn decode_chunk(
    pool: &rayon::ThreadPool,
    listed: &Listed,
    first: usize,
    per_chunk: usize,
    side: usize,
) -> Chunk {
    let n = per_chunk.min(listed.pictures.len() - first);
    let mut pixels = vec![0; n * side * side * 3];
    let results = pool.install(|| {
        pixels
            .par_chunks_exact_mut(side * side * 3)
            .with_max_len(1)
            .enumerate()
            .map(|(k, out)| {
                let bytes = listed.read(first + k)?;
                let picture = decode(&bytes).map_err(|reason| PhotosError::Corrupt {
                    path: listed.path(first + k),
                    reason,
                })?;
                square(&picture, side, out);
                Ok(())
            })
            .collect()
    });
    Chunk { first, pixels, results }
}

/// Says how far it is, now and then.
struct Told {
    n: usize,
    begun: Instant,
    last: Instant,
}

impl Told {
    fn new(n: usize) -> Self {
        Self { n, begun: Instant::now(), last: Instant::now() }
    }

    fn tell(&mut self, done: usize) {
        if self.last.elapsed() < TELL_EVERY {
            return;
        }
        self.last = Instant::now();
        let rate = done as f64 / self.begun.elapsed().as_secs_f64();
        let left = crate::progress::human_seconds((self.n - done) as f64 / rate);
        tracing::info!("prepared {done} of {} pictures, {rate:.0}/s, {left} left", self.n);
    }
}

#[cfg(test)]
mod tests;
