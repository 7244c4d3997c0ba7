//! numpy's files of one array (`.npy`), as OpenAI released weights.
//!
//! tch reads them too, but takes the shape's word for how many bytes follow, and reads beyond the end of a short file.
//!
//! Source: `numpy/lib/_format_impl.py`: eight bytes of magic and version, the length of the header in two, the header,
//! a Python dictionary, then the numbers.

use std::fs;
use std::path::Path;

use regex::bytes::Regex;
use tch::{Kind, Tensor};

use super::WeightsError;

const MAGIC: &[u8] = b"\x93NUMPY\x01\x00";

/// Reads an array of little-endian floating-point numbers in C order, in its own precision.
///
/// # Errors
/// A file that cannot be read, holds something else, or is longer or shorter than its shape.
pub fn read_npy(path: &Path) -> Result<Tensor, WeightsError> {
    let bytes =
        fs::read(path).map_err(|source| WeightsError::Io { path: path.to_owned(), source })?;
    let wrong = |found: String, wanted: String| WeightsError::Malformed {
        path: path.to_owned(),
        place: "numpy array".to_owned(),
        found,
        wanted,
    };
    let (header, numbers) = parts(&bytes).ok_or_else(|| {
        let first = bytes[..bytes.len().min(MAGIC.len())].escape_ascii();
        wrong(format!("\"{first}\""), "a whole .npy file of version 1.0".to_owned())
    })?;
    let said = |key: &str, form: &str| {
        let pattern = Regex::new(&format!("'{key}': *{form}")).expect("a constant pattern");
        Some(String::from_utf8_lossy(pattern.captures(header)?.get(1)?.as_bytes()).into_owned())
    };
    let header_is = || String::from_utf8_lossy(header).trim().to_owned();
    let kind = match said("descr", "'([^']*)'").as_deref() {
        Some("<f2") => Kind::Half,
        Some("<f4") => Kind::Float,
        Some("<f8") => Kind::Double,
        _ => return Err(wrong(header_is(), "numbers of '<f2', '<f4' or '<f8'".to_owned())),
    };
    if said("fortran_order", "(False)").is_none() {
        return Err(wrong(header_is(), "an array in C order".to_owned()));
    }
    let shape = said("shape", r"\(([0-9, ]*)\)").and_then(|shape| {
        let sizes = shape.split(',').map(str::trim).filter(|size| !size.is_empty());
        sizes.map(|size| size.parse::<i64>().ok()).collect::<Option<Vec<i64>>>()
    });
    let shape = shape.ok_or_else(|| wrong(header_is(), "a shape".to_owned()))?;
    let room = |n: usize, size: &i64| n.checked_mul(usize::try_from(*size).ok()?);
    if shape.iter().try_fold(kind.elt_size_in_bytes(), room) != Some(numbers.len()) {
        let wanted = format!(
            "{shape:?} numbers of {} bytes; copy or fetch it again",
            kind.elt_size_in_bytes()
        );
        return Err(wrong(format!("{} bytes of numbers", numbers.len()), wanted));
    }
    Ok(Tensor::f_from_data_size(numbers, &shape, kind)?)
}

/// The header and what follows it.
fn parts(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.strip_prefix(MAGIC)?.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    #[test]
    fn what_tch_writes_comes_back_and_short_long_and_other_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("some.npy");
        for shape in [&[][..], &[3], &[2, 3], &[1, 2, 3]] {
            for kind in [Kind::Half, Kind::Float, Kind::Double] {
                let tensor = Tensor::rand(shape, (Kind::Float, Device::Cpu)).to_kind(kind);
                tensor.write_npy(&path).unwrap();
                let found = read_npy(&path).unwrap();
                assert_eq!((found.size(), found.kind()), (shape.to_vec(), kind));
                assert!(found.equal(&tensor));
            }
        }
        let whole = fs::read(&path).unwrap();
        let refused = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            read_npy(&path).unwrap_err().to_string()
        };
        let short = refused(&whole[..whole.len() - 1]);
        assert!(short.contains("some.npy") && short.contains("47 bytes of numbers"), "{short}");
        assert!(refused(&[&whole[..], b"x"].concat()).contains("49 bytes"));
        for at in 0..10 {
            assert!(refused(&whole[..at]).contains("a whole .npy file"));
        }
        let text = String::from_utf8_lossy(&whole[10..100]).into_owned();
        for (from, to) in [("<f8", ">f8"), ("False", "True "), ("(1,2,3,)", "(1,2,-3)")] {
            assert!(text.contains(from), "{text}");
            let at = 10 + text.find(from).unwrap();
            let other = [&whole[..at], to.as_bytes(), &whole[at + to.len()..]].concat();
            assert!(refused(&other).contains("wanted"), "{to}");
        }
    }
}
