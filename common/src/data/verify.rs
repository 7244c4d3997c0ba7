//! Is a file what the catalogue says? Sums are remembered by path, size and time of change, so
//! that a large file is read for its sum once and not at every start.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::catalog::FileEntry;
use super::error::DataError;
use super::images::hex;

/// sha256 of a file, in hex.
pub(crate) fn sha256_file(path: &Path) -> Result<String, DataError> {
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
    let meta = fs::metadata(path).map_err(DataError::io(path, "read"))?;
    if !entry.versions().any(|(_, size)| size == meta.len()) {
        let wanted = entry.versions().map(|(_, size)| format!("{size} bytes")).collect();
        return Err(wrong(format!("{} bytes", meta.len()), wanted));
    }
    let sha256 = remembered(path, &meta, memory)?;
    if entry.versions().any(|(sha, _)| sha == sha256) {
        return Ok(sha256);
    }
    let wanted = entry.versions().map(|(sha, _)| format!("sha256 {sha}")).collect();
    Err(wrong(format!("sha256 {sha256}"), wanted))
}

#[derive(Debug, Deserialize, Serialize, PartialEq, Eq)]
struct Remembered {
    path: PathBuf,
    size_bytes: u64,
    modified_ns: u128,
    sha256: String,
}

/// The file's sum, from memory if size and time of change are those of the last reading.
fn remembered(path: &Path, meta: &fs::Metadata, memory: &Path) -> Result<String, DataError> {
    let full = fs::canonicalize(path).map_err(DataError::io(path, "resolve"))?;
    let modified_ns = meta
        .modified()
        .ok()
        .and_then(|t| t.duration_since(UNIX_EPOCH).ok())
        .map_or(0, |t| t.as_nanos());
    let note = memory.join(format!("{}.json", &sha256_text(&full.to_string_lossy())[..24]));
    let known: Option<Remembered> =
        fs::read(&note).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    if let Some(known) = known
        && (known.path.as_path(), known.size_bytes, known.modified_ns)
            == (full.as_path(), meta.len(), modified_ns)
        && modified_ns > 0
    {
        return Ok(known.sha256);
    }
    let sha256 = sha256_file(path)?;
    let fresh =
        Remembered { path: full, size_bytes: meta.len(), modified_ns, sha256: sha256.clone() };
    // A cache that cannot be written costs time at the next start, nothing else.
    if let Err(error) = write_atomically(&note, &serde_json::to_vec(&fresh).expect("plain data")) {
        tracing::debug!("cannot remember the sum of {}: {error}", path.display());
    }
    Ok(sha256)
}

/// Writes under a temporary name beside `path`, syncs, renames. Creates the folder.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), DataError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(DataError::io(folder, "create"))?;
    let mut temporary = tempfile::Builder::new()
        .prefix(".part-")
        .tempfile_in(folder)
        .map_err(DataError::io(folder, "write into"))?;
    temporary.write_all(bytes).map_err(DataError::io(path, "write"))?;
    temporary.as_file().sync_all().map_err(DataError::io(path, "sync"))?;
    temporary.persist(path).map_err(|e| DataError::io(path, "rename into place")(e.error))?;
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
            sha256: hex(&Sha256::digest(bytes)),
            size_bytes: bytes.len() as u64,
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
        let before = fs::metadata(&path).unwrap();
        let sum = remembered(&path, &before, &memory).unwrap();
        // Same size and time, other content: only the memory can answer with the old sum.
        fs::write(&path, b"wrong").unwrap();
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(before.modified().unwrap())
            .unwrap();
        assert_eq!(remembered(&path, &fs::metadata(&path).unwrap(), &memory).unwrap(), sum);
        let later = before.modified().unwrap() + std::time::Duration::from_secs(1);
        File::options().write(true).open(&path).unwrap().set_modified(later).unwrap();
        assert_ne!(remembered(&path, &fs::metadata(&path).unwrap(), &memory).unwrap(), sum);
    }
}
