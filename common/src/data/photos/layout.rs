//! The file of a prepared set: a block that says where everything is, the pixels, and the rest.
//!
//! | bytes | what |
//! |---|---|
//! | 0–7 | `PHOTOS\r\n`; a copy in text mode breaks it |
//! | 8–15 | version |
//! | 16–23, 24–31 | start and length of the tail |
//! | 32–63 | sha256 of bytes 8–31 and the tail |
//! | 4096… | pixels, `[n, side, side, 3]` |
//! | tail | length of a JSON header, the header, labels (4 bytes each), mean (4 bytes each), ends of the names (8 bytes each), names |
//!
//! Numbers are little endian. The tail is small (60 MB for ImageNet) and checked whenever a file is
//! opened; the pixels have their own sum, checked when they are written and by `PreparedSet::check`.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Pca;

pub(super) const MAGIC: &[u8; 8] = b"PHOTOS\r\n";

/// Raised when the layout, or what the decoder makes of the same files, changes.
pub(super) const VERSION: u64 = 1;

/// Where the pixels begin: a page of memory.
pub(super) const PIXELS_AT: usize = 4096;

/// The JSON header.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    /// Rows and columns.
    pub(super) side: usize,
    /// Training pictures, which come first.
    pub(super) n_train: usize,
    /// All pictures.
    pub(super) n: usize,
    /// Class names by label.
    pub(super) classes: Vec<String>,
    /// What identified the sources.
    pub(super) key: String,
    /// Pictures that could not be decoded.
    pub(super) skipped: Vec<String>,
    /// Over side, splits, class names, labels and pixels: what can change a result.
    pub(super) sha256: String,
    /// Of the training pixels.
    pub(super) pca: Pca,
}

/// What follows the pixels.
pub(super) struct Tail {
    pub(super) header: Header,
    pub(super) labels: Vec<u32>,
    pub(super) mean: Vec<f32>,
    /// Where each name ends in `names`.
    pub(super) ends: Vec<u64>,
    pub(super) names: String,
}

impl Tail {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let header = serde_json::to_vec(&self.header).expect("plain data");
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header);
        bytes.extend(self.labels.iter().flat_map(|label| label.to_le_bytes()));
        bytes.extend(self.mean.iter().flat_map(|level| level.to_le_bytes()));
        bytes.extend(self.ends.iter().flat_map(|end| end.to_le_bytes()));
        bytes.extend(self.names.as_bytes());
        bytes
    }

    /// Reads what [`Tail::to_bytes`] wrote; `None` if it is not that.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk::<8>()?;
        let (header, rest) = rest.split_at_checked(u64::from_le_bytes(*length) as usize)?;
        let header: Header = serde_json::from_slice(header).ok()?;
        let (labels, rest) = rest.split_at_checked(4 * header.n)?;
        let (mean, rest) = rest.split_at_checked(4 * 3 * header.side * header.side)?;
        let (ends, names) = rest.split_at_checked(8 * header.n)?;
        Some(Self {
            header,
            labels: labels.as_chunks().0.iter().map(|b| u32::from_le_bytes(*b)).collect(),
            mean: mean.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
            ends: ends.as_chunks().0.iter().map(|b| u64::from_le_bytes(*b)).collect(),
            names: String::from_utf8(names.to_vec()).ok()?,
        })
    }
}

/// The first block for a tail at `tail_at`.
pub(super) fn first_block(tail_at: usize, tail: &[u8]) -> [u8; 64] {
    let mut block = [0; 64];
    block[..8].copy_from_slice(MAGIC);
    block[8..16].copy_from_slice(&VERSION.to_le_bytes());
    block[16..24].copy_from_slice(&(tail_at as u64).to_le_bytes());
    block[24..32].copy_from_slice(&(tail.len() as u64).to_le_bytes());
    let sum = sum_of(&block, tail);
    block[32..].copy_from_slice(&sum);
    block
}

/// The sum over what the first block says and the tail.
pub(super) fn sum_of(block: &[u8; 64], tail: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(&block[8..32]).chain_update(tail).finalize().into()
}

/// The sum that stands for a set: over pixels first, as they are written, then the rest.
pub(super) struct ContentSum(Sha256);

impl ContentSum {
    pub(super) fn new() -> Self {
        Self(Sha256::new())
    }

    pub(super) fn pixels(&mut self, pixels: &[u8]) {
        self.0.update(pixels);
    }

    pub(super) fn finish(
        mut self,
        side: usize,
        n_train: usize,
        classes: &[String],
        labels: &[u32],
    ) -> String {
        for number in [side, n_train, labels.len(), classes.len()] {
            self.0.update((number as u64).to_le_bytes());
        }
        for class in classes {
            self.0.update(class.as_bytes());
            self.0.update([0]);
        }
        for label in labels {
            self.0.update(label.to_le_bytes());
        }
        ledger::run::hex(&self.0.finalize())
    }
}
