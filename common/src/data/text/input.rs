//! Lines out of files as they are distributed: plain, packed with gzip, bzip2 or xz, in tar archives, in folders.
//! Nothing is held in memory but one line, and an error says where in the packed file it was found.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use bzip2::read::MultiBzDecoder;
use flate2::read::MultiGzDecoder;
use xz2::read::XzDecoder;

use crate::data::error::DataError;
use crate::interrupt;

const BUFFER: usize = 1 << 16;
/// Lines between two looks at whether the user wants to stop.
const LINES_PER_LOOK: u64 = 4096;

/// The lines of one file.
pub struct Lines<'a> {
    path: &'a Path,
    /// Its path inside the archive; empty for a file that is none.
    pub member: String,
    reader: Box<dyn BufRead + 'a>,
    packed: Packed,
    unpacked: u64,
    line: u64,
}

/// How far the packed file has been read, and how it is packed.
#[derive(Clone)]
struct Packed {
    read: Rc<Cell<u64>>,
    kind: &'static str,
}

struct Counting<R> {
    inner: R,
    read: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.read.set(self.read.get() + n as u64);
        Ok(n)
    }
}

impl std::fmt::Debug for Lines<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lines").field("path", &self.path).field("line", &self.line).finish()
    }
}

impl Lines<'_> {
    /// Reads the next line into `line`, without what ends it; false at the end of the file.
    ///
    /// # Errors
    /// A file that is damaged, with the place; Ctrl-C.
    pub fn next(&mut self, line: &mut Vec<u8>) -> Result<bool, DataError> {
        line.clear();
        if self.line.is_multiple_of(LINES_PER_LOOK) {
            interrupt::check().map_err(DataError::Interrupted)?;
        }
        let n = self.reader.read_until(b'\n', line).map_err(|e| self.damaged(&e))?;
        self.unpacked += n as u64;
        self.line += 1;
        if line.last() == Some(&b'\n') {
            line.pop();
            if line.last() == Some(&b'\r') {
                line.pop();
            }
        }
        Ok(n > 0)
    }

    /// The rest of the file.
    ///
    /// # Errors
    /// As [`Lines::next`].
    pub fn rest(&mut self) -> Result<Vec<u8>, DataError> {
        let mut bytes = Vec::new();
        self.reader.read_to_end(&mut bytes).map_err(|e| self.damaged(&e))?;
        self.unpacked += bytes.len() as u64;
        Ok(bytes)
    }

    /// The file's own name.
    pub fn path_name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The file's path inside its archive, or below the folder `root`; its own name where it stands by itself.
    pub fn name_below(&self, root: &Path) -> String {
        let below = self.path.strip_prefix(root).ok().filter(|path| !path.as_os_str().is_empty());
        match below {
            _ if !self.member.is_empty() => self.member.clone(),
            Some(path) => path.to_string_lossy().into_owned(),
            None => self.path_name(),
        }
    }

    /// That the line read last is not what it should be.
    pub fn wrong(&self, found: impl Into<String>, wanted: impl Into<String>) -> DataError {
        let line = format!("line {}", self.line);
        let place = if self.member.is_empty() { line } else { format!("{}, {line}", self.member) };
        DataError::malformed(self.path, place, found, wanted)
    }

    fn damaged(&self, error: &io::Error) -> DataError {
        let place = format!(
            "byte {} of the file, behind {} unpacked bytes{}",
            self.packed.read.get(),
            self.unpacked,
            if self.member.is_empty() { String::new() } else { format!(" of {}", self.member) }
        );
        let wanted = format!("a whole {} file: copy or fetch it again", self.packed.kind);
        DataError::malformed(self.path, place, error.to_string(), wanted)
    }
}

/// Shows `visit` the files of `path` whose names `keep` accepts: `path` itself, the members of a tar archive in
/// their order, or the files below a folder, sorted. The name is the path inside archive or folder, and the file's
/// own name otherwise.
///
/// # Errors
/// Files that cannot be read or are damaged; what `visit` says.
pub fn each_file(
    path: &Path,
    keep: &dyn Fn(&str) -> bool,
    visit: &mut dyn FnMut(&mut Lines) -> Result<(), DataError>,
) -> Result<(), DataError> {
    if path.is_dir() {
        for (name, file) in files_below(path)? {
            if keep(&name) {
                visit(&mut open(&file)?)?;
            }
        }
        return Ok(());
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let is_tar = name.split('.').skip(1).any(|part| matches!(part, "tar" | "tgz"));
    if !is_tar {
        return if keep(&name) { visit(&mut open(path)?) } else { Ok(()) };
    }
    let (reader, packed) = unpacked(path)?;
    let broken = |error: &io::Error| {
        let place = format!("byte {} of the file", packed.read.get());
        let wanted = format!("a whole tar archive in {}: copy or fetch it again", packed.kind);
        DataError::malformed(path, place, error.to_string(), wanted)
    };
    let mut archive = tar::Archive::new(reader);
    for entry in archive.entries().map_err(|e| broken(&e))? {
        let entry = entry.map_err(|e| broken(&e))?;
        let member = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if entry.header().entry_type().is_file() && keep(&member) {
            let reader = Box::new(BufReader::with_capacity(BUFFER, entry));
            let packed = packed.clone();
            visit(&mut Lines { path, member, reader, packed, unpacked: 0, line: 0 })?;
        }
    }
    Ok(())
}

fn open(path: &Path) -> Result<Lines<'_>, DataError> {
    let (reader, packed) = unpacked(path)?;
    let reader = Box::new(BufReader::with_capacity(BUFFER, reader));
    Ok(Lines { path, member: String::new(), reader, packed, unpacked: 0, line: 0 })
}

/// The content of a file; its first bytes say how it is packed.
fn unpacked(path: &Path) -> Result<(Box<dyn Read>, Packed), DataError> {
    let read = Rc::new(Cell::new(0));
    let file = File::open(path).map_err(DataError::io(path, "open"))?;
    let mut file =
        BufReader::with_capacity(BUFFER, Counting { inner: file, read: Rc::clone(&read) });
    let head = file.fill_buf().map_err(DataError::io(path, "read"))?;
    let (kind, reader): (_, Box<dyn Read>) = if head.starts_with(&[0x1f, 0x8b]) {
        ("gzip", Box::new(MultiGzDecoder::new(file)))
    } else if head.starts_with(b"BZh") {
        ("bzip2", Box::new(MultiBzDecoder::new(file)))
    } else if head.starts_with(b"\xfd7zXZ\0") {
        ("xz", Box::new(XzDecoder::new_multi_decoder(file)))
    } else {
        ("plain", Box::new(file))
    };
    Ok((reader, Packed { read, kind }))
}

/// The files below `root`, by their paths from it, sorted.
fn files_below(root: &Path) -> Result<Vec<(String, PathBuf)>, DataError> {
    let (mut found, mut folders) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(DataError::io(&folder, "list"))? {
            let path = entry.map_err(DataError::io(&folder, "list"))?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
                found.push((name, path));
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn lines(path: &Path) -> Result<Vec<String>, DataError> {
        let mut all = Vec::new();
        each_file(path, &|_| true, &mut |lines| {
            let mut line = Vec::new();
            while lines.next(&mut line)? {
                all.push(String::from_utf8(line.clone()).unwrap());
            }
            Ok(())
        })?;
        Ok(all)
    }

    fn gz(bytes: &[u8]) -> Vec<u8> {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        out.write_all(bytes).unwrap();
        out.finish().unwrap()
    }

    /// Text that does not pack away to nothing.
    fn noise() -> Vec<u8> {
        (0_u64..40_000)
            .map(|i| b'a' + (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 59) as u8 % 26)
            .collect()
    }

    #[test]
    fn plain_gzip_bzip2_and_xz_give_the_same_lines() {
        let dir = tempfile::tempdir().unwrap();
        let text = b"one\r\ntwo\n\nlast without an end";
        let mut bz = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        bz.write_all(text).unwrap();
        let mut xz = xz2::write::XzEncoder::new(Vec::new(), 1);
        xz.write_all(text).unwrap();
        let twice = [gz(&text[..7]), gz(&text[7..])].concat();
        let packed = [text.to_vec(), twice, bz.finish().unwrap(), xz.finish().unwrap()];
        for (i, bytes) in packed.into_iter().enumerate() {
            let path = dir.path().join(format!("file-{i}"));
            fs::write(&path, bytes).unwrap();
            assert_eq!(
                lines(&path).unwrap(),
                ["one", "two", "", "last without an end"],
                "file {i}"
            );
        }
    }

    #[test]
    fn a_gzip_file_damaged_in_the_middle_is_an_error_with_file_and_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dump.json.gz");
        let whole = gz(&noise());
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 0x55;
        for damage in [whole[..whole.len() / 2].to_vec(), flipped] {
            fs::write(&path, damage).unwrap();
            let error = lines(&path).unwrap_err().to_string();
            assert!(
                error.contains("dump.json.gz: byte ") && error.contains("unpacked bytes"),
                "{error}"
            );
            assert!(error.contains("a whole gzip file"), "{error}");
        }
    }

    #[test]
    fn archives_show_the_members_asked_for_and_folders_their_files_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let mut tar = tar::Builder::new(Vec::new());
        for (name, content) in [("a/no", "x"), ("a/yes", "1\n2"), ("b/yes", "3")] {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_cksum();
            tar.append_data(&mut header, name, content.as_bytes()).unwrap();
        }
        let path = dir.path().join("x.tar.gz");
        fs::write(&path, gz(&tar.into_inner().unwrap())).unwrap();
        let mut seen = Vec::new();
        let mut visit = |lines: &mut Lines| {
            let mut line = Vec::new();
            while lines.next(&mut line)? {
                seen.push(format!("{} {}", lines.member, String::from_utf8_lossy(&line)));
            }
            Ok(())
        };
        each_file(&path, &|name| name.ends_with("yes"), &mut visit).unwrap();
        assert_eq!(seen, ["a/yes 1", "a/yes 2", "b/yes 3"]);

        let folder = dir.path().join("folder");
        fs::create_dir_all(folder.join("z")).unwrap();
        for (name, content) in [("z/1.txt", "third"), ("b.txt", "second"), ("a.txt", "first")] {
            fs::write(folder.join(name), content).unwrap();
        }
        assert_eq!(lines(&folder).unwrap(), ["first", "second", "third"]);
    }
}
