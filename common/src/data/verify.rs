//! Is a file what the catalogue says? Sums are remembered by path, size and time of change, so
//! that a large file is read for its sum once and not at every start.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::catalog::FileEntry;
use super::error::DataError;
use ledger::run::{hex, temporary_in};

/// sha256 of a file, in hex.
///
/// # Errors
/// A file that cannot be read.
pub fn sha256_file(path: &Path) -> Result<String, DataError> {
    let mut file = File::open(path).map_err(DataError::io(path, "open"))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let n = file.read(&mut buffer).map_err(DataError::io(path, "read"))?;
        if n == 0 {
            return Ok(hex(&hash.finalize()));
        }
        hash.update(&buffer[..n]);
    }
}

/// sha256 of text, in hex.
pub(crate) fn sha256_text(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

/// Compares `path` with `entry`; returns its sha256. `memory` is the folder that remembers sums.
pub(crate) fn verify(
    path: &Path,
    entry: &FileEntry,
    memory: &Path,
    way_out: &str,
) -> Result<String, DataError> {
    let wrong = |found: String, wanted: Vec<String>| DataError::WrongFile {
        path: path.to_owned(),
        found,
        wanted: wanted.join(" or "),
        way_out: way_out.to_owned(),
    };
    let listing = if entry.is_folder() {
        Listing::of_folder(path, &|name| entry.keeps(name))?
    } else {
        Listing::of_file(path)?
    };
    if !entry.versions().any(|(_, size)| size == listing.size_bytes) {
        let wanted = entry.versions().map(|(_, size)| format!("{size} bytes")).collect();
        return Err(wrong(format!("{} bytes", listing.size_bytes), wanted));
    }
    let sha256 = listing.sum(memory)?;
    if entry.versions().any(|(sha, _)| sha == sha256) {
        return Ok(sha256);
    }
    let wanted = entry.versions().map(|(sha, _)| format!("sha256 {sha}")).collect();
    Err(wrong(format!("sha256 {sha256}"), wanted))
}

/// The sum over a file, remembered in `memory`.
pub(crate) fn sum_of_file(path: &Path, memory: &Path) -> Result<String, DataError> {
    Listing::of_file(path)?.sum(memory)
}

/// The sum over the files below `folder` whose names `keep` accepts, remembered in `memory`.
pub(crate) fn sum_of_folder(
    folder: &Path,
    keep: &dyn Fn(&str) -> bool,
    memory: &Path,
) -> Result<String, DataError> {
    Listing::of_folder(folder, keep)?.sum(memory)
}

/// What can be known of a file or a folder without reading it.
struct Listing {
    root: PathBuf,
    /// Paths below `root`, sorted; one empty path if `root` is a file.
    files: Vec<PathBuf>,
    size_bytes: u64,
    /// Sum over paths, sizes and times of change.
    fingerprint: String,
}

/// What is remembered of a file or folder.
#[derive(Deserialize, Serialize)]
struct Remembered {
    fingerprint: String,
    sha256: String,
}

impl Listing {
    fn of_file(path: &Path) -> Result<Self, DataError> {
        Self::new(path, vec![PathBuf::new()])
    }

    fn of_folder(root: &Path, keep: &dyn Fn(&str) -> bool) -> Result<Self, DataError> {
        let mut files = Vec::new();
        let mut folders = vec![PathBuf::new()];
        while let Some(folder) = folders.pop() {
            let full = root.join(&folder);
            for entry in fs::read_dir(&full).map_err(DataError::io(&full, "list"))? {
                let entry = entry.map_err(DataError::io(&full, "list"))?;
                let path = folder.join(entry.file_name());
                if root.join(&path).is_dir() {
                    folders.push(path);
                } else if keep(&entry.file_name().to_string_lossy()) {
                    files.push(path);
                }
            }
        }
        files
            .sort_by(|a, b| a.as_os_str().as_encoded_bytes().cmp(b.as_os_str().as_encoded_bytes()));
        Self::new(root, files)
    }

    fn new(root: &Path, files: Vec<PathBuf>) -> Result<Self, DataError> {
        let root = fs::canonicalize(root).map_err(DataError::io(root, "open"))?;
        let mut size_bytes = 0;
        let mut hash = Sha256::new();
        for file in &files {
            let full = join(&root, file);
            let meta = fs::metadata(&full).map_err(DataError::io(&full, "read"))?;
            let modified = meta.modified().map_err(DataError::io(&full, "read"))?;
            let ns = modified.duration_since(UNIX_EPOCH).map_or(0, |t| t.as_nanos());
            hash.update(format!("{}\n{}\n{ns}\n", file.display(), meta.len()));
            size_bytes += meta.len();
        }
        Ok(Self { root, files, size_bytes, fingerprint: hex(&hash.finalize()) })
    }

    /// The sum over the content, from memory if nothing has changed since it was taken.
    fn sum(&self, memory: &Path) -> Result<String, DataError> {
        let place = sha256_text(&self.root.to_string_lossy());
        let note = memory.join(format!("{}.json", &place[..24]));
        let known: Option<Remembered> =
            fs::read(&note).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        if let Some(known) = known
            && known.fingerprint == self.fingerprint
        {
            return Ok(known.sha256);
        }
        let sha256 = self.read_sum()?;
        let fresh = Remembered { fingerprint: self.fingerprint.clone(), sha256: sha256.clone() };
        // A cache that cannot be written costs time at the next start, nothing else.
        let text = serde_json::to_vec(&fresh).expect("plain data");
        if let Err(error) = write_atomically(&note, &[&text]) {
            tracing::debug!("cannot remember the sum of {}: {error}", self.root.display());
        }
        Ok(sha256)
    }

    fn read_sum(&self) -> Result<String, DataError> {
        if self.files == [PathBuf::new()] {
            return sha256_file(&self.root);
        }
        let mut lines = String::new();
        for file in &self.files {
            let sum = sha256_file(&self.root.join(file))?;
            writeln!(lines, "{sum}  {}", file.display()).expect("writing to a string");
        }
        Ok(sha256_text(&lines))
    }
}

/// As [`Path::join`], but an empty path adds no slash.
fn join(root: &Path, path: &Path) -> PathBuf {
    if path.as_os_str().is_empty() { root.to_owned() } else { root.join(path) }
}

/// Writes the parts, one after the other, under a temporary name beside `path`, syncs, renames.
/// Creates the folder.
pub(crate) fn write_atomically(path: &Path, parts: &[&[u8]]) -> Result<(), DataError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(DataError::io(folder, "create"))?;
    let mut temporary = temporary_in(folder).map_err(DataError::io(folder, "write into"))?;
    for part in parts {
        temporary.write_all(part).map_err(DataError::io(path, "write"))?;
    }
    temporary.as_file().sync_all().map_err(DataError::io(path, "sync"))?;
    temporary.persist(path).map_err(|e| DataError::io(path, "rename into place")(e.error))?;
    sync_folder(folder)
}

/// Renames the finished, synced `from` to `to`, which may exist; both lie on one disk.
pub(crate) fn place(from: &Path, to: &Path) -> Result<(), DataError> {
    let folder = to.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(DataError::io(folder, "create"))?;
    if to.is_dir() {
        fs::remove_dir_all(to).map_err(DataError::io(to, "replace"))?;
    }
    fs::rename(from, to).map_err(DataError::io(to, "rename into place"))?;
    sync_folder(folder)
}

pub(crate) fn sync_folder(folder: &Path) -> Result<(), DataError> {
    File::open(folder).and_then(|f| f.sync_all()).map_err(DataError::io(folder, "sync"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(bytes: &[u8]) -> FileEntry {
        FileEntry {
            form: String::new(),
            path: "f".into(),
            mirror: None,
            member: None,
            only: Vec::new(),
            sha256: hex(&Sha256::digest(bytes)),
            size_bytes: bytes.len() as u64,
            unpacked: None,
            also: Vec::new(),
            urls: Vec::new(),
        }
    }

    #[test]
    fn a_short_file_and_a_changed_file_are_told_apart_with_found_and_wanted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let entry = entry(b"right");
        fs::write(&path, b"right").unwrap();
        let memory = dir.path().join("memory");
        assert_eq!(verify(&path, &entry, &memory, "").unwrap(), entry.sha256);

        fs::write(&path, b"righ").unwrap();
        let error = verify(&path, &entry, &memory, "fetch it again").unwrap_err().to_string();
        assert!(error.contains("found 4 bytes, wanted 5 bytes"), "{error}");
        assert!(error.contains("fetch it again"), "{error}");

        fs::write(&path, b"wrong").unwrap();
        let error = verify(&path, &entry, &memory, "").unwrap_err().to_string();
        assert!(error.contains(&format!("wanted sha256 {}", entry.sha256)), "{error}");
    }

    #[test]
    fn a_remembered_sum_is_used_until_the_time_of_change_differs() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let memory = dir.path().join("memory");
        fs::write(&path, b"right").unwrap();
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        let sum = sum_of_file(&path, &memory).unwrap();
        // Same size and time, other content: only the memory can answer with the old sum.
        fs::write(&path, b"wrong").unwrap();
        let touch =
            |time| File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        touch(modified);
        assert_eq!(sum_of_file(&path, &memory).unwrap(), sum);
        touch(modified + std::time::Duration::from_secs(1));
        assert_ne!(sum_of_file(&path, &memory).unwrap(), sum);
    }

    #[test]
    fn the_sum_of_a_folder_is_that_of_sha256sum_lines_and_sees_every_change() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, memory) = (dir.path().join("folder"), dir.path().join("memory"));
        fs::create_dir_all(folder.join("sub")).unwrap();
        fs::write(folder.join("sub/b.txt"), b"b").unwrap();
        fs::write(folder.join("a.txt"), b"a").unwrap();
        fs::write(folder.join("other.ogg"), b"sound").unwrap();
        let keep = |name: &str| name != "other.ogg";
        let sum = |what: &str| sha256_text(what);
        let lines = format!("{}  a.txt\n{}  sub/b.txt\n", sum("a"), sum("b"));
        assert_eq!(sum_of_folder(&folder, &keep, &memory).unwrap(), sum(&lines));
        fs::rename(folder.join("a.txt"), folder.join("c.txt")).unwrap();
        let lines = format!("{}  c.txt\n{}  sub/b.txt\n", sum("a"), sum("b"));
        assert_eq!(sum_of_folder(&folder, &keep, &memory).unwrap(), sum(&lines));
        fs::write(folder.join("sub/b.txt"), b"longer").unwrap();
        assert_ne!(sum_of_folder(&folder, &keep, &memory).unwrap(), sum(&lines));
    }
}
