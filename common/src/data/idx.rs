//! The idx format of the MNIST family: two zero bytes, the type (8: unsigned byte), the number of
//! dimensions, the dimensions as big-endian 32-bit numbers, then the bytes. Gzipped or not.
//!
//! Source: the description on the MNIST page, <http://yann.lecun.com/exdb/mnist/>.

use std::fs;
use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;

use super::error::DataError;
use super::images::ImageSet;

/// Reads a split from its file of pictures `[n, height, width]` and its file of labels `[n]`.
///
/// # Errors
/// Another magic number, dimensions that do not fit the file, more or fewer labels than pictures, a
/// label that is no class.
pub fn read(images: &Path, labels: &Path, classes: &[String]) -> Result<ImageSet, DataError> {
    let ([n, height, width], pixels) = read_array::<3>(images)?;
    let ([n_labels], label_bytes) = read_array::<1>(labels)?;
    if n_labels != n {
        let wanted = format!("{n}, as many as {} has pictures", images.display());
        return Err(DataError::malformed(labels, "header", format!("{n_labels} labels"), wanted));
    }
    if let Some(i) = label_bytes.iter().position(|l| usize::from(*l) >= classes.len()) {
        let found = format!("label {}", label_bytes[i]);
        let wanted = format!("a label in 0..={}", classes.len() - 1);
        return Err(DataError::malformed(labels, format!("label {i}"), found, wanted));
    }
    let classes = classes.to_vec();
    Ok(ImageSet { images: pixels, labels: label_bytes, n, channels: 1, height, width, classes })
}

/// Dimensions and bytes of one file.
fn read_array<const D: usize>(path: &Path) -> Result<([usize; D], Vec<u8>), DataError> {
    let raw = fs::read(path).map_err(DataError::io(path, "read"))?;
    if !raw.starts_with(b"\x1f\x8b") {
        return parse(path, &mut raw.as_slice());
    }
    parse(path, &mut GzDecoder::new(raw.as_slice()))
}

fn parse<const D: usize>(
    path: &Path,
    bytes: &mut dyn Read,
) -> Result<([usize; D], Vec<u8>), DataError> {
    let mut word = || -> Result<[u8; 4], DataError> {
        let mut word = [0; 4];
        bytes.read_exact(&mut word).map_err(|e| {
            DataError::malformed(path, "header", e.to_string(), format!("{} bytes", 4 + 4 * D))
        })?;
        Ok(word)
    };
    let magic = word()?;
    if magic != [0, 0, 8, D as u8] {
        let wanted = format!("{:?}: unsigned bytes in {D} dimension(s)", [0, 0, 8, D]);
        return Err(DataError::malformed(path, "magic number", format!("{magic:?}"), wanted));
    }
    let mut dims = [0; D];
    for dim in &mut dims {
        *dim = u32::from_be_bytes(word()?) as usize;
    }
    let size = dims.iter().try_fold(1_usize, |size, dim| size.checked_mul(*dim));
    let size = size.filter(|s| *s <= 1 << 34).ok_or_else(|| {
        DataError::malformed(path, "header", format!("dimensions {dims:?}"), "at most 16 GiB")
    })?;
    let mut content = Vec::new();
    bytes.take(size as u64 + 1).read_to_end(&mut content).map_err(|e| {
        DataError::malformed(path, format!("byte {}", content.len()), e.to_string(), "more bytes")
    })?;
    if content.len() != size {
        let found = if content.len() > size { "more".into() } else { content.len().to_string() };
        let wanted = format!("{size} for dimensions {dims:?}");
        return Err(DataError::malformed(path, "bytes after the header", found, wanted));
    }
    Ok((dims, content))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::path::PathBuf;

    use super::*;

    fn idx(dims: &[u32], content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, 8, dims.len() as u8];
        for dim in dims {
            bytes.extend(dim.to_be_bytes());
        }
        bytes.extend(content);
        bytes
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(bytes).unwrap();
        gz.finish().unwrap()
    }

    /// Reads two files with this content as one split of two classes.
    fn read_bytes(images: &[u8], labels: &[u8]) -> Result<ImageSet, String> {
        let dir = tempfile::tempdir().unwrap();
        let paths: [PathBuf; 2] = ["images", "labels"].map(|name| dir.path().join(name));
        fs::write(&paths[0], images).unwrap();
        fs::write(&paths[1], labels).unwrap();
        let classes = ["no".to_owned(), "yes".to_owned()];
        read(&paths[0], &paths[1], &classes).map_err(|e| e.to_string())
    }

    #[test]
    fn plain_and_gzipped_files_read_the_same() {
        let (images, labels) = (idx(&[2, 1, 3], b"abcdef"), idx(&[2], &[1, 0]));
        let set = read_bytes(&images, &labels).unwrap();
        assert_eq!((set.n, set.channels, set.height, set.width), (2, 1, 1, 3));
        assert_eq!((set.picture(1), set.labels.as_slice()), (b"def".as_slice(), [1, 0].as_slice()));
        assert_eq!(read_bytes(&gzip(&images), &gzip(&labels)).unwrap(), set);
    }

    #[test]
    fn every_way_a_file_can_be_wrong_is_named() {
        let (images, labels) = (idx(&[2, 1, 3], b"abcdef"), idx(&[2], &[1, 0]));
        let zipped = gzip(&images);
        for (images, labels, expected) in [
            (&b"\0\0\x0d\x03aaaa"[..], &labels[..], "images: magic number: found [0, 0, 13, 3]"),
            (&labels, &labels, "images: magic number: found [0, 0, 8, 1]"),
            (
                &images,
                &idx(&[2], &[1, 2]),
                "labels: label 1: found label 2, wanted a label in 0..=1",
            ),
            (&images, &idx(&[3], &[1, 1, 1]), "labels: header: found 3 labels, wanted 2"),
            (&images, &idx(&[2], &[1]), "labels: bytes after the header: found 1, wanted 2"),
            (&idx(&[2, 1, 3], b"abcde"), &labels, "found 5, wanted 6 for dimensions [2, 1, 3]"),
            (&idx(&[2, 1, 3], b"abcdefg"), &labels, "found more, wanted 6"),
            (&zipped[..zipped.len() - 12], &labels, "images: byte "),
            (b"\0\0\x08\x03\0\0", &labels, "images: header: "),
            (&idx(&[u32::MAX; 3], b""), &labels, "at most 16 GiB"),
        ] {
            let error = read_bytes(images, labels).unwrap_err();
            assert!(error.contains(expected), "expected {expected}\n     got {error}");
        }
    }
}
