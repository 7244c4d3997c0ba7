//! The batches of truncated back-propagation: `streams` texts side by side, `steps` bytes of each at a time.
//!
//! A shard is cut into `streams` pieces of equal length that are read in parallel; each batch goes on where the one
//! before stopped, so a network carries its state from batch to batch and starts from zero at each shard. Which
//! shard and which place a step sees is a function of (seed, step) alone.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use super::shards::{Part, Shards};
use crate::data::error::DataError;
use crate::data::sampler::epoch_order;

/// The bytes of one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// What the network reads, `[streams, steps]`.
    pub xs: Vec<u8>,
    /// What it has to predict: the byte behind each, `[streams, steps]`.
    pub ys: Vec<u8>,
    /// Whether a new shard begins: the state is zero before it.
    pub reset: bool,
    /// Passes over the training shards begun before this one.
    pub epoch: u64,
}

/// The training text as segments, by step.
#[derive(Debug)]
pub struct Segments {
    shards: Arc<Shards>,
    seed: u64,
    cut: Cut,
    /// Steps that each shard gives, by its index.
    steps_of: Vec<u64>,
    /// The shard read last.
    at_hand: Mutex<Option<(usize, Arc<Vec<u8>>)>>,
    order: Mutex<Option<(u64, Arc<Vec<u32>>)>>,
}

/// How a shard is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Texts side by side.
    pub streams: usize,
    /// Bytes of each at a time.
    pub steps: usize,
}

impl Cut {
    /// Segments of a text of `bytes`; what does not fill the last is left out.
    pub fn count(self, bytes: usize) -> u64 {
        (self.stream(bytes) / self.steps) as u64
    }

    /// Segment `index` of `text`, bytes or other symbols: inputs and targets, `[streams, steps]` each.
    ///
    /// # Panics
    /// If the text has no such segment.
    pub fn segment<T: Copy>(self, text: &[T], index: u64) -> (Vec<T>, Vec<T>) {
        assert!(index < self.count(text.len()), "the text has no segment {index}");
        let stream = self.stream(text.len());
        let range = |b: usize| -> Range<usize> {
            let start = b * stream + index as usize * self.steps;
            start..start + self.steps
        };
        let gather = |shift: usize| {
            let pieces = (0..self.streams).map(|b| &text[shift..][range(b)]);
            pieces.collect::<Vec<_>>().concat()
        };
        (gather(0), gather(1))
    }

    /// Bytes of one stream: the last byte of a text is only a target.
    fn stream(self, bytes: usize) -> usize {
        bytes.saturating_sub(1) / self.streams
    }
}

impl Segments {
    /// The training shards, cut for batches of `cut`.
    ///
    /// # Errors
    /// When no shard is long enough for one step.
    ///
    /// # Panics
    /// If `cut` has no streams or no steps.
    pub fn new(shards: Arc<Shards>, seed: u64, cut: Cut) -> Result<Self, DataError> {
        assert!(cut.streams > 0 && cut.steps > 0, "a batch holds at least one byte");
        let steps_of: Vec<u64> =
            shards.train_bytes().into_iter().map(|bytes| cut.count(bytes as usize)).collect();
        if steps_of.iter().sum::<u64>() == 0 {
            let longest = shards.train_bytes().into_iter().max().unwrap_or_default();
            return Err(DataError::Segments {
                longest,
                need: (cut.streams * cut.steps + 1) as u64,
            });
        }
        let (at_hand, order) = (Mutex::new(None), Mutex::new(None));
        Ok(Self { shards, seed, cut, steps_of, at_hand, order })
    }

    /// Steps in a pass over the training shards.
    pub fn steps_per_epoch(&self) -> u64 {
        self.steps_of.iter().sum()
    }

    /// The bytes of `step`, counted from 0.
    ///
    /// # Errors
    /// A shard that cannot be read.
    pub fn at(&self, step: u64) -> Result<Segment, DataError> {
        let epoch = step / self.steps_per_epoch();
        let mut left = step % self.steps_per_epoch();
        for &shard in self.order(epoch).iter() {
            let shard = shard as usize;
            if left < self.steps_of[shard] {
                let text = self.text(shard)?;
                let (xs, ys) = self.cut.segment(&text, left);
                return Ok(Segment { xs, ys, reset: left == 0, epoch });
            }
            left -= self.steps_of[shard];
        }
        unreachable!("a step of an epoch lies in one of its shards")
    }

    /// The shards' order in `epoch`.
    fn order(&self, epoch: u64) -> Arc<Vec<u32>> {
        let mut kept = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, order)) = kept.as_ref()
            && *of == epoch
        {
            return Arc::clone(order);
        }
        let order = Arc::new(epoch_order(self.seed, epoch, self.steps_of.len()));
        *kept = Some((epoch, Arc::clone(&order)));
        order
    }

    fn text(&self, shard: usize) -> Result<Arc<Vec<u8>>, DataError> {
        let mut kept = self.at_hand.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, text)) = kept.as_ref()
            && *of == shard
        {
            return Ok(Arc::clone(text));
        }
        *kept = None; // one shard in memory at a time
        let text = Arc::new(self.shards.read(Part::Train(shard))?);
        *kept = Some((shard, Arc::clone(&text)));
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shards(dir: &std::path::Path) -> Arc<Shards> {
        let shards = Shards::open_or_make(dir, "key", 4, &dir.join("memory"), |sharder| {
            (0..500).try_for_each(|i| sharder.review(format!("number {i} of many").as_bytes()))
        });
        Arc::new(shards.unwrap())
    }

    #[test]
    fn an_epoch_shows_every_stream_of_every_shard_in_order_and_targets_are_the_next_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let shards = shards(dir.path());
        let cut = Cut { streams: 3, steps: 7 };
        let segments = Segments::new(Arc::clone(&shards), 5, cut).unwrap();
        let mut texts: Vec<[Vec<u8>; 3]> = Vec::new();
        for step in 0..segments.steps_per_epoch() {
            let Segment { xs, ys, reset, epoch } = segments.at(step).unwrap();
            assert_eq!((xs.len(), epoch), (21, 0));
            for b in 0..3 {
                assert_eq!(xs[b * 7 + 1..(b + 1) * 7], ys[b * 7..(b + 1) * 7 - 1]);
            }
            if reset {
                texts.push([const { Vec::new() }; 3]);
            }
            for (stream, x) in texts.last_mut().unwrap().iter_mut().zip(xs.chunks(7)) {
                stream.extend_from_slice(x);
            }
        }
        let mut found: Vec<Vec<u8>> = texts.iter().map(|streams| streams[0].clone()).collect();
        let mut wanted: Vec<Vec<u8>> = (0..4)
            .map(|i| {
                let text = shards.read(Part::Train(i)).unwrap();
                text[..(text.len() - 1) / 3 / 7 * 7].to_vec()
            })
            .collect();
        assert_ne!(found, wanted, "shards are not shuffled");
        found.sort();
        wanted.sort();
        assert_eq!(found, wanted);
    }

    #[test]
    fn a_step_is_the_same_whatever_was_asked_before_and_epochs_and_seeds_differ() {
        let dir = tempfile::tempdir().unwrap();
        let shards = shards(dir.path());
        let cut = Cut { streams: 2, steps: 5 };
        let make = |seed| Segments::new(Arc::clone(&shards), seed, cut).unwrap();
        let (a, b) = (make(1), make(1));
        let n = a.steps_per_epoch();
        let forwards: Vec<Segment> = (0..2 * n).map(|step| a.at(step).unwrap()).collect();
        for step in (0..2 * n).rev() {
            assert_eq!(b.at(step).unwrap(), forwards[step as usize]);
        }
        let xs = |from: u64| {
            forwards[from as usize..(from + n) as usize]
                .iter()
                .map(|s| s.xs.clone())
                .collect::<Vec<_>>()
        };
        assert_ne!(xs(0), xs(n), "the second epoch has the first one's order");
        let other = make(2);
        assert_ne!(xs(0), (0..n).map(|step| other.at(step).unwrap().xs).collect::<Vec<_>>());
    }

    #[test]
    fn shards_too_short_for_a_batch_are_an_error_that_says_how_long_they_must_be() {
        let dir = tempfile::tempdir().unwrap();
        let cut = Cut { streams: 64, steps: 128 };
        let error = Segments::new(shards(dir.path()), 0, cut).unwrap_err().to_string();
        assert!(error.contains("8193 bytes"), "{error}");
    }
}
