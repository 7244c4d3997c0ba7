//! Packs class folders of photographs into one prepared file.
//!
//! Pictures are decoded by several threads, a few dozen at a time: memory does not grow with the set.
//! The file appears under its name only when it is whole and its pixels have been read back.

use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rayon::iter::{IndexedParallelIterator as _, ParallelIterator as _};
use rayon::slice::ParallelSliceMut as _;

use super::decode::decode;
use super::layout::{ContentSum, Header, PIXELS_AT, Tail, VERSION, first_block};
use super::source::{Listed, Source};
use super::square::square;
use super::statistics::Sums;
use super::{PhotosError, PreparedSet, SplitName};
use crate::data::error::DataError;
use crate::data::fetch::check_space;
use crate::data::lookup::Lookup;
use crate::data::obtain::lock;
use crate::data::verify::{place, sha256_text};
use crate::interrupt;

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

/// Writes pictures to a file that has no name yet, and sums over them.
struct Writer<'a> {
    listed: &'a Listed,
    options: &'a PrepareOptions,
    file: tempfile::NamedTempFile,
    content: ContentSum,
    sums: Sums,
    labels: Vec<u32>,
    ends: Vec<u64>,
    names: String,
    n_train: usize,
    skipped: Vec<(PathBuf, String)>,
}

impl<'a> Writer<'a> {
    fn new(
        listed: &'a Listed,
        folder: &Path,
        options: &'a PrepareOptions,
    ) -> Result<Self, PhotosError> {
        let mut file = tempfile::Builder::new()
            .prefix(".part-")
            .permissions(fs::Permissions::from_mode(0o666)) // less the umask: others may read it
            .tempfile_in(folder)
            .map_err(DataError::io(folder, "write into"))?;
        file.seek(SeekFrom::Start(PIXELS_AT as u64))
            .map_err(DataError::io(folder, "write into"))?;
        Ok(Self {
            listed,
            options,
            file,
            content: ContentSum::new(),
            sums: Sums::new(options.side * options.side * 3),
            labels: Vec::new(),
            ends: Vec::new(),
            names: String::new(),
            n_train: 0,
            skipped: Vec::new(),
        })
    }

    fn write(&mut self, chunk: Chunk) -> Result<(), PhotosError> {
        let size = self.options.side * self.options.side * 3;
        let pictures = chunk.pixels.chunks_exact(size).zip(chunk.results);
        for (k, (picture, result)) in pictures.enumerate() {
            let i = chunk.first + k;
            match result {
                Ok(()) => self.add(i, picture)?,
                Err(PhotosError::Corrupt { path, reason }) if self.options.skip_corrupt => {
                    tracing::warn!("skipped {}: {reason}", path.display());
                    self.skipped.push((path, reason.to_string()));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn add(&mut self, i: usize, picture: &[u8]) -> Result<(), PhotosError> {
        self.file.write_all(picture).map_err(DataError::io(self.file.path(), "write"))?;
        self.content.pixels(picture);
        if i < self.listed.n_train {
            self.sums.add(picture, true);
            self.n_train += 1;
        }
        self.labels.push(self.listed.pictures[i].label);
        self.names += self.listed.name(i);
        self.ends.push(self.names.len() as u64);
        Ok(())
    }

    /// Writes the rest, reads everything back, and gives the file its name.
    fn finish(mut self, key: &str, out: &Path) -> Result<Vec<(PathBuf, String)>, PhotosError> {
        if self.n_train == 0 {
            let found = format!("{} that cannot be decoded and no other", self.skipped.len());
            return Err(PhotosError::misfit("training pictures", found, "at least one"));
        }
        let side = self.options.side;
        let classes = self.listed.classes.clone();
        let sha256 = self.content.finish(side, self.n_train, &classes, &self.labels);
        let tail = Tail {
            header: Header {
                side,
                n_train: self.n_train,
                n: self.labels.len(),
                classes,
                key: key.to_owned(),
                skipped: self.skipped.iter().map(|(path, _)| path.display().to_string()).collect(),
                sha256,
                pca: self.sums.pca(),
            },
            labels: self.labels,
            mean: self.sums.mean(),
            ends: self.ends,
            names: self.names,
        };
        let tail_at = PIXELS_AT + tail.header.n * side * side * 3;
        let tail = tail.to_bytes();
        let path = self.file.path().to_owned();
        let io = |action| DataError::io(&path, action);
        self.file.write_all(&tail).map_err(io("write"))?;
        self.file.seek(SeekFrom::Start(0)).map_err(io("write"))?;
        self.file.write_all(&first_block(tail_at, &tail)).map_err(io("write"))?;
        self.file.as_file().sync_all().map_err(io("sync"))?;
        PreparedSet::open(&path)?.check()?;
        let (_, path) = self.file.keep().map_err(|e| DataError::io(out, "keep")(e.error))?;
        place(&path, out)?;
        Ok(self.skipped)
    }
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
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::data::photos::{Part, Statistics};

    const OPTIONS: PrepareOptions = PrepareOptions { side: 16, skip_corrupt: false, threads: 2 };

    fn fixture(name: &str) -> Vec<u8> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/photos");
        fs::read(format!("{folder}/{name}")).unwrap()
    }

    fn write(folder: &Path, path: &str, bytes: &[u8]) {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Two classes with 80 and 3 pictures to learn from and one each for validation.
    fn folder() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for i in 0..80 {
            let turn = fixture(&format!("turn-{}.jpg", i % 8 + 1));
            write(dir.path(), &format!("train/ant/{i:02}.JPEG"), &turn);
        }
        for (name, from) in
            [("a.jpg", "cmyk.jpg"), ("b.jpg", "disguised.jpg"), ("c.png", "alpha.png")]
        {
            write(dir.path(), &format!("train/bee/{name}"), &fixture(from));
        }
        write(dir.path(), "val/ant/x.jpg", &fixture("grey.jpg"));
        write(dir.path(), "val/bee/y.jpg", &fixture("progressive.jpg"));
        dir
    }

    fn pack(dir: &Path, options: &PrepareOptions) -> Result<PreparedSet, PhotosError> {
        prepare(&Source::new(dir, None), &dir.join("out.photos"), options)?;
        PreparedSet::open(&dir.join("out.photos"))
    }

    #[test]
    fn a_prepared_file_holds_each_picture_as_decoded_with_its_label_name_and_split() {
        let dir = folder();
        let set = Arc::new(pack(dir.path(), &OPTIONS).unwrap());
        assert_eq!(set.classes(), ["ant", "bee"]);
        assert_eq!((set.split(SplitName::Train), set.split(SplitName::Val)), (0..83, 83..85));
        assert_eq!(
            (set.name(0), set.name(82), set.name(84)),
            ("ant/00.JPEG", "bee/c.png", "bee/y.jpg")
        );
        for i in 0..85 {
            let split = if i < 83 { "train" } else { "val" };
            let bytes = fs::read(dir.path().join(split).join(set.name(i))).unwrap();
            let mut expected = vec![0; 16 * 16 * 3];
            square(&decode(&bytes).unwrap(), 16, &mut expected);
            assert_eq!(set.picture(i), expected, "{}", set.name(i));
            assert_eq!(set.label(i), u32::from(set.name(i).starts_with("bee")));
        }
        let part = set.part(SplitName::Train).unwrap();
        let expected = Statistics::of(&part).unwrap();
        assert_eq!(set.mean(), expected.mean);
        assert_eq!(Some(set.pca()), expected.pca.as_ref());
        set.check().unwrap();
        let whole = Part::new(set.clone(), 0..85).unwrap();
        assert_ne!(Statistics::of(&whole).unwrap().mean, set.mean(), "val is not in the mean");
    }

    #[test]
    fn the_file_is_the_same_whatever_the_threads_and_only_made_once() {
        let dir = folder();
        let source = Source::new(dir.path(), None);
        let made = [1, 3].map(|threads| {
            let out = dir.path().join(format!("{threads}.photos"));
            let report = prepare(&source, &out, &PrepareOptions { threads, ..OPTIONS }).unwrap();
            assert!(!report.was_there);
            fs::read(out).unwrap()
        });
        assert_eq!(made[0], made[1]);
        let again = prepare(&source, &dir.path().join("1.photos"), &OPTIONS).unwrap();
        assert_eq!((again.train, again.val, again.classes, again.was_there), (83, 2, 2, true));
        let names: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names.len(), 4, "nothing half-written stays: {names:?}");
    }

    #[test]
    fn a_corrupt_picture_is_named_and_left_out_only_when_asked() {
        let dir = folder();
        write(dir.path(), "train/bee/bad.jpg", &fixture("baseline-444.jpg")[..900]);
        let error = pack(dir.path(), &OPTIONS).err().unwrap().to_string();
        let path = dir.path().join("train/bee/bad.jpg").display().to_string();
        assert!(error.starts_with(&path) && error.contains("--skip-corrupt"), "{error}");
        assert!(!dir.path().join("out.photos").exists());
        let set = pack(dir.path(), &PrepareOptions { skip_corrupt: true, ..OPTIONS }).unwrap();
        assert_eq!(set.skipped(), [path]);
        assert_eq!((set.split(SplitName::Train), set.name(82)), (0..83, "bee/c.png"));
    }

    #[test]
    fn another_version_a_cut_file_and_a_changed_byte_are_refused_with_the_way_out() {
        let dir = folder();
        let set = pack(dir.path(), &OPTIONS).unwrap();
        let path = set.path().to_owned();
        drop(set);
        let good = fs::read(&path).unwrap();
        let refused = |bytes: &[u8], word: &str| {
            fs::write(&path, bytes).unwrap();
            let error = PreparedSet::open(&path).err().unwrap().to_string();
            assert!(
                error.contains(word) && error.contains("prepare the pictures again"),
                "{error}"
            );
        };
        let changed = |at: usize| {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            bytes
        };
        refused(&changed(8), "version 0 where this program reads 1");
        refused(&good[..good.len() - 1], "bytes where");
        refused(&good[..40], "cut short");
        refused(&changed(0), "not a prepared set");
        refused(b"", "not a prepared set");
        for at in [20, 40, good.len() - 1, good.len() - 3000] {
            assert!({
                fs::write(&path, changed(at)).unwrap();
                PreparedSet::open(&path).is_err()
            });
        }
        fs::write(&path, changed(PIXELS_AT + 5000)).unwrap();
        let error = PreparedSet::open(&path).unwrap().check().unwrap_err().to_string();
        assert!(error.contains("pixels with sha256"), "{error}");
        let error =
            prepare(&Source::new(dir.path(), None), &path, &OPTIONS).unwrap_err().to_string();
        assert!(error.contains("pixels with sha256"), "{error}");
    }

    #[test]
    fn the_sum_changes_with_a_pixel_and_with_a_split_and_not_with_the_time() {
        let dir = folder();
        let of = |source: &Source, name: &str| {
            let out = dir.path().join(name);
            prepare(source, &out, &OPTIONS).unwrap();
            PreparedSet::open(&out).unwrap().sha256().to_owned()
        };
        let source = Source::new(dir.path(), None);
        let first = of(&source, "1");
        write(dir.path(), "val/ant/x.jpg", &fixture("grey.jpg"));
        assert_eq!(of(&source, "2"), first);
        fs::rename(dir.path().join("val/ant/x.jpg"), dir.path().join("train/ant/99.jpg")).unwrap();
        write(dir.path(), "val/ant/z.jpg", &fixture("grey.jpg"));
        assert_ne!(of(&source, "3"), first);
    }

    #[test]
    fn a_set_in_the_cache_is_prepared_once_and_found_again() {
        let (dir, cache) = (folder(), tempfile::tempdir().unwrap());
        let lookup = Lookup {
            data_dir: None,
            data_dir_is_flag: false,
            cache: cache.path().to_owned(),
            mirror: None,
            offline: true,
        };
        let source = Source::new(dir.path(), None);
        let made = prepared(&source, &lookup, 16).unwrap();
        assert_eq!(made.path(), default_place(&source, &lookup, 16).unwrap());
        let time = |set: &PreparedSet| fs::metadata(set.path()).unwrap().modified().unwrap();
        let again = prepared(&source, &lookup, 16).unwrap();
        assert_eq!(time(&made), time(&again));
        assert_ne!(prepared(&source, &lookup, 8).unwrap().path(), made.path());
        write(dir.path(), "train/bee/new.png", &fixture("rgb.png"));
        assert_ne!(prepared(&source, &lookup, 16).unwrap().path(), made.path());
    }
}
