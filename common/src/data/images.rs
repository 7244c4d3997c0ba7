//! Labelled pictures in memory, as bytes.

use ledger::run::hex;
use sha2::{Digest, Sha256};

use super::error::DataError;

/// `n` labelled pictures of one size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageSet {
    /// Grey levels 0..=255, `[n, channels, height, width]`.
    pub images: Vec<u8>,
    /// One class index a picture, `[n]`, each below `classes.len()`.
    pub labels: Vec<u8>,
    /// Number of pictures.
    pub n: usize,
    /// 1 for grey, 3 for red, green, blue.
    pub channels: usize,
    /// Rows of a picture.
    pub height: usize,
    /// Columns of a picture.
    pub width: usize,
    /// Names of the classes, by index.
    pub classes: Vec<String>,
}

impl ImageSet {
    /// Bytes of one picture.
    pub fn picture_bytes(&self) -> usize {
        self.channels * self.height * self.width
    }

    /// The pixels of picture `i`, `[channels, height, width]`.
    pub fn picture(&self, i: usize) -> &[u8] {
        let size = self.picture_bytes();
        &self.images[i * size..(i + 1) * size]
    }

    fn update(&self, hash: &mut Sha256) {
        for part in [self.n, self.channels, self.height, self.width, self.classes.len()] {
            hash.update((part as u64).to_le_bytes());
        }
        for class in &self.classes {
            hash.update(class.as_bytes());
            hash.update([0]);
        }
        hash.update(&self.labels);
        hash.update(&self.images);
    }
}

/// The training and the test part of a data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Splits {
    /// Pictures to learn from.
    pub train: ImageSet,
    /// Pictures to be read once, at the end.
    pub test: ImageSet,
    /// Name in the catalogue; the data part of the paths of results.
    pub data_name: String,
    /// sha256 over shapes, class names, labels and pixels of both parts, in order, in hex.
    pub sha256: String,
}

impl Splits {
    /// Both parts, with the hash over their content.
    pub fn new(data_name: &str, train: ImageSet, test: ImageSet) -> Self {
        let mut hash = Sha256::new();
        train.update(&mut hash);
        test.update(&mut hash);
        Self { train, test, data_name: data_name.to_owned(), sha256: hex(&hash.finalize()) }
    }
}

/// Fills the chunks of `out`, `size` bytes each, by `make(i, chunk)` on all cores; the error of the
/// lowest chunk wins, whatever the threads' timing.
pub(crate) fn fill_parallel(
    out: &mut [u8],
    size: usize,
    make: impl Fn(usize, &mut [u8]) -> Result<(), DataError> + Sync,
) -> Result<(), DataError> {
    let n = out.len() / size;
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(n.max(1));
    let per_thread = n.div_ceil(threads).max(1);
    let results: Vec<Result<(), DataError>> = std::thread::scope(|scope| {
        let make = &make;
        let handles: Vec<_> = out
            .chunks_mut(per_thread * size)
            .enumerate()
            .map(|(t, part)| {
                scope.spawn(move || {
                    part.chunks_exact_mut(size)
                        .enumerate()
                        .try_for_each(|(i, chunk)| make(t * per_thread + i, chunk))
                })
            })
            .collect();
        handles
            .into_iter()
            .map(|h| h.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    results.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(labels: Vec<u8>, pixel: u8) -> ImageSet {
        let n = labels.len();
        let classes = vec!["a".into(), "b".into()];
        ImageSet {
            images: vec![pixel; n * 4],
            labels,
            n,
            channels: 1,
            height: 2,
            width: 2,
            classes,
        }
    }

    #[test]
    fn the_content_hash_changes_with_a_label_a_pixel_a_class_and_the_split() {
        let base = Splits::new("x", set(vec![0, 1], 7), set(vec![1], 7));
        let mut renamed = set(vec![0, 1], 7);
        renamed.classes[1] = "c".into();
        for other in [
            Splits::new("x", set(vec![1, 1], 7), set(vec![1], 7)),
            Splits::new("x", set(vec![0, 1], 8), set(vec![1], 7)),
            Splits::new("x", set(vec![0], 7), set(vec![1, 1], 7)),
            Splits::new("x", renamed, set(vec![1], 7)),
        ] {
            assert_ne!(base.sha256, other.sha256);
        }
        let again = Splits::new("another name", set(vec![0, 1], 7), set(vec![1], 7));
        assert_eq!(base.sha256, again.sha256, "the hash is over content, not over the name");
    }

    #[test]
    fn parallel_filling_reaches_every_chunk_and_reports_the_first_error() {
        let mut out = vec![0_u8; 7 * 3];
        fill_parallel(&mut out, 3, |i, chunk| {
            chunk.fill(i as u8 + 1);
            Ok(())
        })
        .unwrap();
        assert_eq!(out, (1..=7).flat_map(|i| [i; 3]).collect::<Vec<u8>>());
        let error = fill_parallel(&mut out, 3, |i, _| {
            if i >= 2 { Err(DataError::Catalog(format!("chunk {i}"))) } else { Ok(()) }
        });
        assert_eq!(error.unwrap_err().to_string(), "data set catalogue: chunk 2");
    }
}
