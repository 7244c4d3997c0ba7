//! From bytes to code words and back, by the probabilities of a [`BytePredictor`].

use constriction::stream::model::ContiguousCategoricalEntropyModel;
use constriction::stream::queue::{DefaultRangeDecoder, DefaultRangeEncoder};
use constriction::stream::{Decode as _, Encode as _};
use sha2::{Digest, Sha256};

/// Different bytes.
const BYTES: usize = 256;
/// Probabilities are whole numbers over 2 to this power.
const PRECISION: usize = 24;
/// What a [`BytePredictor`] reads so that its arithmetic leaves a digest.
const PROBE: &[u8] = b"\n The quick brown fox jumps over the lazy dog; 0123456789 times. It was great, it was awful! ";

/// Something that gives the next byte's probabilities, the same bits whenever it has read the same bytes.
pub trait BytePredictor {
    /// Forgets what was read.
    fn reset(&mut self);
    /// Probabilities of the 256 bytes; their sum is 1 but for rounding.
    fn probabilities(&mut self) -> &[f32];
    /// Reads a byte.
    fn update(&mut self, byte: u8);
    /// sha256 over everything that decides the probabilities besides the arithmetic.
    fn digest(&self) -> [u8; 32];
}

/// What cannot be coded.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CoderError {
    /// The model gave something that is no distribution.
    #[error(
        "the model's probabilities behind byte {position} are no distribution: {what}; its weights are damaged"
    )]
    NoDistribution {
        /// Bytes read before.
        position: u64,
        /// What is wrong.
        what: String,
    },
    /// The code words do not come from this model.
    #[error("the code breaks off at byte {position} of {length}: it was not written by this model")]
    BrokenOff {
        /// Bytes decoded before.
        position: u64,
        /// Bytes wanted.
        length: u64,
    },
}

type Rounded = ContiguousCategoricalEntropyModel<u32, Vec<u32>, PRECISION>;

/// Rounds probabilities to whole numbers above zero with the sum 2²⁴: each gets its share of what is left when every
/// byte has one, and the most likely byte gets what rounding leaves.
fn rounded(probabilities: &[f32], position: u64) -> Result<[u32; BYTES], CoderError> {
    let wrong = |what: String| CoderError::NoDistribution { position, what };
    let of: &[f32; BYTES] =
        probabilities.try_into().map_err(|_| wrong(format!("{} numbers", probabilities.len())))?;
    let total = 1_i64 << PRECISION;
    let mut counts = [0; BYTES];
    let mut sum = 0;
    for (count, &p) in counts.iter_mut().zip(of) {
        if !(0.0..=1.0).contains(&p) {
            return Err(wrong(format!("one is {p}")));
        }
        *count = 1 + (f64::from(p) * (total - BYTES as i64) as f64) as u32;
        sum += i64::from(*count);
    }
    let (most, _) =
        counts.iter().enumerate().rev().max_by_key(|(_, count)| **count).expect("256 counts");
    let filled = i64::from(counts[most]) + total - sum;
    // With a sum of 1 rounding leaves less than one for each byte; far more means no distribution.
    if (total - sum).abs() > total >> 8 || filled < 1 {
        return Err(wrong(format!("their sum is {}", of.iter().sum::<f32>())));
    }
    counts[most] = filled as u32;
    Ok(counts)
}

fn model(counts: &[u32; BYTES]) -> Rounded {
    Rounded::from_nonzero_fixed_point_probabilities(counts, false)
        .expect("256 counts above zero with the sum 2^24")
}

/// The code words of `bytes`.
///
/// # Errors
/// Probabilities that are no distribution.
pub fn encode(predictor: &mut impl BytePredictor, bytes: &[u8]) -> Result<Vec<u32>, CoderError> {
    predictor.reset();
    let mut encoder = DefaultRangeEncoder::new();
    for (&byte, position) in bytes.iter().zip(0..) {
        let counts = rounded(predictor.probabilities(), position)?;
        encoder
            .encode_symbol(usize::from(byte), model(&counts))
            .expect("every byte has a count above zero, and a vector takes every word");
        predictor.update(byte);
    }
    Ok(encoder.into_compressed().expect("a vector takes every word"))
}

/// The `length` bytes that `words` are the code of.
///
/// # Errors
/// Probabilities that are no distribution; words that this model did not write.
pub fn decode(
    predictor: &mut impl BytePredictor,
    words: Vec<u32>,
    length: u64,
) -> Result<Vec<u8>, CoderError> {
    predictor.reset();
    let mut decoder =
        DefaultRangeDecoder::from_compressed(words).expect("a vector gives every word");
    let mut bytes = Vec::new();
    for position in 0..length {
        let counts = rounded(predictor.probabilities(), position)?;
        let symbol = decoder.decode_symbol(model(&counts));
        let byte = symbol.map_err(|_| CoderError::BrokenOff { position, length })? as u8;
        predictor.update(byte);
        bytes.push(byte);
    }
    Ok(bytes)
}

/// Bits that an ideal coder needs for `bytes` with the rounded probabilities.
///
/// # Errors
/// Probabilities that are no distribution.
pub fn code_length(predictor: &mut impl BytePredictor, bytes: &[u8]) -> Result<f64, CoderError> {
    predictor.reset();
    let mut bits = 0.0;
    for (&byte, position) in bytes.iter().zip(0..) {
        let count = rounded(predictor.probabilities(), position)?[usize::from(byte)];
        bits += PRECISION as f64 - f64::from(count).log2();
        predictor.update(byte);
    }
    Ok(bits)
}

/// sha256 over the rounded probabilities that the predictor gives on a fixed text: what its arithmetic is on this
/// machine.
///
/// # Errors
/// Probabilities that are no distribution.
pub fn arithmetic(predictor: &mut impl BytePredictor) -> Result<[u8; 32], CoderError> {
    predictor.reset();
    let mut hash = Sha256::new();
    for (&byte, position) in PROBE.iter().zip(0..) {
        for count in rounded(predictor.probabilities(), position)? {
            hash.update(count.to_le_bytes());
        }
        predictor.update(byte);
    }
    Ok(hash.finalize().into())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Counts what it has seen, with a weight for what came after the same byte.
    #[derive(Clone)]
    pub(crate) struct Counting {
        counts: Vec<[u32; BYTES]>,
        last: u8,
        now: Vec<f32>,
        /// Stands for the weights.
        pub(crate) salt: u32,
        /// Stands for another processor's rounding.
        pub(crate) nudge: f32,
    }

    impl Counting {
        pub(crate) fn new(salt: u32) -> Self {
            Self { counts: vec![[1; BYTES]; BYTES], last: 0, now: Vec::new(), salt, nudge: 0.0 }
        }
    }

    impl BytePredictor for Counting {
        fn reset(&mut self) {
            let Self { salt, nudge, .. } = *self;
            *self = Self { nudge, ..Self::new(salt) };
        }

        fn probabilities(&mut self) -> &[f32] {
            let row = &self.counts[usize::from(self.last)];
            let weight =
                |i: usize| (row[i] + self.salt * u32::from(i == 7)) as f32 + self.nudge * i as f32;
            let sum: f32 = (0..BYTES).map(weight).sum();
            self.now = (0..BYTES).map(|i| weight(i) / sum).collect();
            &self.now
        }

        fn update(&mut self, byte: u8) {
            self.counts[usize::from(self.last)][usize::from(byte)] += 32;
            self.last = byte;
        }

        fn digest(&self) -> [u8; 32] {
            Sha256::digest(self.salt.to_le_bytes()).into()
        }
    }

    #[test]
    fn the_code_is_as_long_as_the_probabilities_say() {
        let bytes: Vec<u8> =
            (0..3000_u32).map(|i| if i % 7 == 0 { (i % 250) as u8 } else { b'a' }).collect();
        let mut predictor = Counting::new(0);
        let mut bits = 0.0;
        for &byte in &bytes {
            bits -= f64::from(predictor.probabilities()[usize::from(byte)]).log2();
            predictor.update(byte);
        }
        let rounded = code_length(&mut predictor, &bytes).unwrap();
        assert!((rounded / bits - 1.0).abs() < 1e-3, "{rounded} bits, the entropy is {bits}");
        let words = encode(&mut predictor, &bytes).unwrap();
        let coded = 32.0 * words.len() as f64;
        assert!((coded - bits).abs() < 64.0 + 0.001 * bits, "{coded} bits, the entropy is {bits}");
    }

    #[test]
    fn rounding_keeps_every_byte_possible_and_the_sum_whole() {
        let mut certain = [0.0; BYTES];
        certain[9] = 1.0;
        for of in [certain, [1.0 / 256.0; BYTES]] {
            let counts = rounded(&of, 0).unwrap();
            assert!(counts.iter().all(|&count| count > 0));
            assert_eq!(counts.iter().map(|&count| u64::from(count)).sum::<u64>(), 1 << PRECISION);
        }
        for (bad, what) in [(f32::NAN, "NaN"), (-0.1, "-0.1"), (0.5, "sum")] {
            let mut of = [1.0 / 256.0; BYTES];
            of[3] = bad;
            let error = rounded(&of, 5).unwrap_err().to_string();
            assert!(error.contains("byte 5") && error.contains(what), "{error}");
        }
    }
}
