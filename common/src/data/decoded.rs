//! The decoded form of a data set in the cache, so that the next start need not decode.
//!
//! A file is an 8-byte magic, the length of a JSON header (8 bytes, little endian), the header, and
//! labels and pixels of both splits. It is only believed when the sum over what was read is the one
//! in the header.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::DataError;
use super::images::{ImageSet, Splits};
use super::verify::{sha256_text, write_atomically};

const MAGIC: &[u8; 8] = b"pixels\0\x01";

/// Raised when a reader or decoder changes what it returns for the same files.
const READER_VERSION: u32 = 1;

#[derive(Deserialize, Serialize)]
struct Header {
    data_name: String,
    sha256: String,
    splits: [Shape; 2],
}

#[derive(Deserialize, Serialize)]
struct Shape {
    n: usize,
    channels: usize,
    height: usize,
    width: usize,
    classes: Vec<String>,
}

/// The splits from `folder`'s decoded form for `key` (what identifies the sources), or from `read`,
/// which is then kept there. A damaged file is made again.
pub(crate) fn cached(
    folder: &Path,
    key: &str,
    read: impl FnOnce() -> Result<Splits, DataError>,
) -> Result<Splits, DataError> {
    let path = path_for(folder, key);
    match load(&path) {
        Ok(Some(splits)) => return Ok(splits),
        Ok(None) => {}
        Err(why) => tracing::warn!("{}: {why}; decoding again", path.display()),
    }
    let splits = read()?;
    if let Err(error) = store(&path, &splits) {
        tracing::warn!("cannot keep the decoded pictures, the next start decodes again: {error}");
    }
    Ok(splits)
}

fn path_for(folder: &Path, key: &str) -> PathBuf {
    let sum = sha256_text(&format!("{READER_VERSION}\n{key}"));
    folder.join(format!("decoded-{}.bin", &sum[..16]))
}

fn store(path: &Path, splits: &Splits) -> Result<(), DataError> {
    let (train, test) = (&splits.train, &splits.test);
    let shape = |s: &ImageSet| Shape {
        n: s.n,
        channels: s.channels,
        height: s.height,
        width: s.width,
        classes: s.classes.clone(),
    };
    let header = Header {
        data_name: splits.data_name.clone(),
        sha256: splits.sha256.clone(),
        splits: [shape(train), shape(test)],
    };
    let header = serde_json::to_vec(&header).expect("plain data");
    let length = (header.len() as u64).to_le_bytes();
    let parts: [&[u8]; 7] =
        [MAGIC, &length, &header, &train.labels, &train.images, &test.labels, &test.images];
    write_atomically(path, &parts)
}

/// `None` if there is no file; an error in words if it is not what was written.
fn load(path: &Path) -> Result<Option<Splits>, String> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e.to_string()),
    };
    let short = || "ends too early".to_owned();
    let rest = bytes.strip_prefix(MAGIC).ok_or("does not begin with the magic bytes")?;
    let (length, rest) = rest.split_first_chunk::<8>().ok_or_else(short)?;
    let (header, mut rest) =
        rest.split_at_checked(u64::from_le_bytes(*length) as usize).ok_or_else(short)?;
    let header: Header = serde_json::from_slice(header).map_err(|e| e.to_string())?;
    let mut take = |n: usize| -> Result<Vec<u8>, String> {
        let (head, tail) = rest.split_at_checked(n).ok_or_else(short)?;
        rest = tail;
        Ok(head.to_vec())
    };
    let mut sets = Vec::with_capacity(2);
    for Shape { n, channels, height, width, classes } in header.splits {
        let labels = take(n)?;
        let images = take(n * channels * height * width)?;
        sets.push(ImageSet { images, labels, n, channels, height, width, classes });
    }
    let test = sets.pop().ok_or_else(short)?;
    let train = sets.pop().ok_or_else(short)?;
    let splits = Splits::new(&header.data_name, train, test);
    if splits.sha256 == header.sha256 && rest.is_empty() {
        Ok(Some(splits))
    } else {
        Err("its content does not have the sum it was written with".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn splits() -> Splits {
        let set = |n: usize| ImageSet {
            images: (0..n * 4).map(|i| i as u8).collect(),
            labels: (0..n).map(|i| (i % 2) as u8).collect(),
            n,
            channels: 1,
            height: 2,
            width: 2,
            classes: vec!["a".into(), "b".into()],
        };
        Splits::new("x", set(3), set(2))
    }

    #[test]
    fn the_second_call_reads_what_the_first_wrote() {
        let dir = tempfile::tempdir().unwrap();
        let first = cached(dir.path(), "k", || Ok(splits())).unwrap();
        let second = cached(dir.path(), "k", || panic!("must not decode again")).unwrap();
        assert_eq!(first, second);
        let other = cached(dir.path(), "another key", || Err(DataError::Catalog("read".into())));
        assert!(other.is_err(), "another key must not be served from this file");
    }

    #[test]
    fn a_damaged_file_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let good = cached(dir.path(), "k", || Ok(splits())).unwrap();
        let path = path_for(dir.path(), "k");
        let written = fs::read(&path).unwrap();
        let mut flipped = written.clone();
        *flipped.last_mut().unwrap() ^= 1;
        for damage in [flipped, written[..written.len() - 1].to_vec(), b"junk".to_vec(), vec![]] {
            fs::write(&path, damage).unwrap();
            let mut decoded = false;
            let again = cached(dir.path(), "k", || {
                decoded = true;
                Ok(splits())
            });
            assert!(decoded, "damage went unnoticed");
            assert_eq!(again.unwrap(), good);
            assert_eq!(fs::read(&path).unwrap(), written);
        }
    }
}
