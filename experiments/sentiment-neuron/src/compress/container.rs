//! The file around the code words: 80 bytes that say what wrote it, and that it is whole.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `neuron`, a zero, the version |
//! | 16 | sha256 of the model, its first half |
//! | 16 | sha256 of the model's rounded probabilities on a fixed text, its first half |
//! | 8 | length of the content, little-endian |
//! | 16 | sha256 of the content, its first half |
//! | 4 each | code words, little-endian |
//! | 16 | sha256 of everything before, its first half |

use sha2::{Digest, Sha256};

use super::coder::{BytePredictor, CoderError, arithmetic, decode, encode};

const MAGIC: &[u8; 7] = b"neuron\0";
const VERSION: u8 = 1;
/// Bytes of a sum.
const SUM: usize = 16;
/// Bytes before the code words.
const HEAD: usize = 8 + 2 * SUM + 8 + SUM;

/// A file that cannot be unpacked.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ContainerError {
    /// It is something else.
    #[error("not a file that `sentiment-neuron compress` wrote: {found}")]
    Foreign {
        /// What it begins with, or how short it is.
        found: String,
    },
    /// Another version wrote it.
    #[error(
        "written in version {found} of the format, this program reads version {VERSION}: use the program that wrote it"
    )]
    Version {
        /// The file's version.
        found: u8,
    },
    /// Bytes were changed or lost.
    #[error("the file is damaged: its content does not have the sum at its end; copy it again")]
    Damaged,
    /// Another model wrote it.
    #[error(
        "written with the model {found}, these weights are {wanted}: give the ones it was written with by --weights"
    )]
    OtherModel {
        /// Sum of the file's model.
        found: String,
        /// Sum of the model at hand.
        wanted: String,
    },
    /// The same model computes other numbers here.
    #[error(
        "the model computes other probabilities here than where the file was written; unpack it with the program, and on a machine of the kind, that wrote it"
    )]
    OtherArithmetic,
    /// What was decoded is not what was packed.
    #[error(
        "what was decoded does not have the sum of what was packed: the model's arithmetic differs here"
    )]
    WrongContent,
    /// The model or the code.
    #[error(transparent)]
    Coder(#[from] CoderError),
}

fn sum(bytes: &[u8]) -> [u8; SUM] {
    Sha256::digest(bytes)[..SUM].try_into().expect("a sum has 32 bytes")
}

/// `content` packed by the predictor's probabilities.
///
/// # Errors
/// Probabilities that are no distribution.
pub fn pack(predictor: &mut impl BytePredictor, content: &[u8]) -> Result<Vec<u8>, ContainerError> {
    let mut file = Vec::with_capacity(HEAD + content.len() / 2);
    file.extend_from_slice(MAGIC);
    file.push(VERSION);
    file.extend_from_slice(&predictor.digest()[..SUM]);
    file.extend_from_slice(&arithmetic(predictor)?[..SUM]);
    file.extend_from_slice(&(content.len() as u64).to_le_bytes());
    file.extend_from_slice(&sum(content));
    for word in encode(predictor, content)? {
        file.extend_from_slice(&word.to_le_bytes());
    }
    let end = sum(&file);
    file.extend_from_slice(&end);
    Ok(file)
}

/// What `pack` packed.
///
/// # Errors
/// A file that is something else, damaged, or of another version, model or arithmetic.
pub fn unpack(predictor: &mut impl BytePredictor, file: &[u8]) -> Result<Vec<u8>, ContainerError> {
    let foreign = |found: String| ContainerError::Foreign { found };
    let Some(rest) = file.strip_prefix(MAGIC) else {
        return Err(foreign(format!("it begins with {:?}", &file[..file.len().min(8)])));
    };
    let Some((&version, _)) = rest.split_first() else { return Err(ContainerError::Damaged) };
    if version != VERSION {
        return Err(ContainerError::Version { found: version });
    }
    if file.len() < HEAD + SUM {
        return Err(ContainerError::Damaged);
    }
    let (whole, end) = file.split_at(file.len() - SUM);
    if sum(whole) != *end {
        return Err(ContainerError::Damaged);
    }
    let (head, code) = whole.split_at(HEAD);
    let (model, head) = head[8..].split_at(SUM);
    let (numbers, head) = head.split_at(SUM);
    let (length, content_sum) = head.split_at(8);
    let digest = predictor.digest();
    if *model != digest[..SUM] {
        let (found, wanted) = (ledger::run::hex(model), ledger::run::hex(&digest[..SUM]));
        return Err(ContainerError::OtherModel { found, wanted });
    }
    if *numbers != arithmetic(predictor)?[..SUM] {
        return Err(ContainerError::OtherArithmetic);
    }
    let length = u64::from_le_bytes(length.try_into().expect("eight bytes"));
    let words =
        code.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().expect("four bytes")));
    let content = decode(predictor, words.collect(), length)?;
    if sum(&content) == *content_sum { Ok(content) } else { Err(ContainerError::WrongContent) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use testing::damage::survives;

    use super::super::coder::tests::Counting;
    use super::*;

    proptest! {
        #[test]
        fn any_bytes_come_back(content in proptest::collection::vec(any::<u8>(), 0..600)) {
            let packed = pack(&mut Counting::new(3), &content).unwrap();
            prop_assert_eq!(unpack(&mut Counting::new(3), &packed).unwrap(), content);
        }
    }

    #[test]
    fn an_empty_file_one_byte_and_long_runs_come_back() {
        for content in
            [vec![], vec![0], vec![255], vec![7; 5000], (0..=255).cycle().take(3000).collect()]
        {
            let packed = pack(&mut Counting::new(0), &content).unwrap();
            assert_eq!(unpack(&mut Counting::new(0), &packed).unwrap(), content);
        }
        assert!(pack(&mut Counting::new(0), &[7; 5000]).unwrap().len() < 200);
    }

    #[test]
    fn another_model_and_another_arithmetic_are_refused() {
        let packed = pack(&mut Counting::new(3), b"some text").unwrap();
        let error = unpack(&mut Counting::new(4), &packed).unwrap_err();
        assert!(matches!(error, ContainerError::OtherModel { .. }), "{error}");
        let mut elsewhere = Counting::new(3);
        elsewhere.nudge = 1e-4;
        assert_eq!(unpack(&mut elsewhere, &packed).unwrap_err(), ContainerError::OtherArithmetic);
    }

    #[test]
    fn every_damaged_byte_and_every_cut_is_noticed() {
        let packed = pack(&mut Counting::new(3), b"some text, not too short").unwrap();
        for at in 0..packed.len() {
            let mut damaged = packed.clone();
            damaged[at] ^= 0x10;
            assert!(unpack(&mut Counting::new(3), &damaged).is_err(), "byte {at}");
            assert!(unpack(&mut Counting::new(3), &packed[..at]).is_err(), "cut at {at}");
        }
        let foreign = unpack(&mut Counting::new(3), b"\x1f\x8bgzip").unwrap_err().to_string();
        assert!(foreign.contains("not a file that"), "{foreign}");
    }

    #[test]
    fn damaged_files_are_never_taken_for_whole_ones() {
        let packed = pack(&mut Counting::new(3), b"some text, not too short").unwrap();
        survives(std::slice::from_ref(&packed), |file| {
            let unpacked = unpack(&mut Counting::new(3), file);
            assert_eq!(unpacked.is_ok(), file == packed);
        });
    }
}
