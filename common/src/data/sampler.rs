//! Which pictures a step sees. Order and augmentation are functions of (seed, epoch, index) alone:
//! not of the number of workers, and not of what was drawn before.

use std::sync::{Arc, Mutex, PoisonError};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

use crate::distributed::{Share, WorldError};
use crate::rng;

/// The order of `n` items in `epoch`: a Fisher–Yates shuffle keyed by (seed, epoch).
///
/// # Panics
/// If `n` does not fit 32 bits.
pub fn epoch_order(seed: u64, epoch: u64, n: usize) -> Vec<u32> {
    let n = u32::try_from(n).expect("at most 2^32 - 1 items");
    let mut order: Vec<u32> = (0..n).collect();
    let mut rng = rng::chacha(seed, "order", epoch);
    for i in (1..n).rev() {
        order.swap(i as usize, below(&mut rng, i + 1) as usize);
    }
    order
}

/// The generator for what is done to item `index` in `epoch` (crop, flip, colour).
///
/// # Panics
/// If `epoch` or `index` do not fit 32 bits.
pub fn sample_rng(seed: u64, epoch: u64, index: u64) -> ChaCha8Rng {
    assert!(epoch >> 32 == 0 && index >> 32 == 0, "epoch {epoch} and index {index} fit 32 bits");
    rng::chacha(seed, "sample", epoch << 32 | index)
}

/// Uniform in `0..bound`, without bias: draws below `2^32 mod bound` are refused.
///
/// Written out so that the order does not change with a version of a crate.
pub fn below(rng: &mut ChaCha8Rng, bound: u32) -> u32 {
    let threshold = bound.wrapping_neg() % bound;
    loop {
        let wide = u64::from(rng.next_u32()) * u64::from(bound);
        if wide as u32 >= threshold {
            return (wide >> 32) as u32;
        }
    }
}

/// What becomes of the items left over when the batch size does not divide their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastBatch {
    /// They are left out in this epoch (another epoch leaves out others); all batches are full.
    Drop,
    /// They make a last, shorter batch.
    Keep,
}

/// The items of one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// From 0.
    pub epoch: u64,
    /// Indices into the data set, in the order in which they are shown.
    pub indices: Vec<u32>,
}

/// Batches of shuffled items, by step.
#[derive(Debug)]
pub struct Sampler {
    seed: u64,
    n: usize,
    batch: usize,
    last: LastBatch,
    share: Share,
    /// Orders of the epochs used last; workers stand in two epochs at once at an epoch's end.
    orders: Mutex<Vec<(u64, Arc<Vec<u32>>)>>,
}

impl Sampler {
    /// Batches of `batch` out of `n` items.
    ///
    /// # Panics
    /// If no batch can be made: `batch` is 0, `n` is 0, or `n < batch` and short ones are dropped.
    pub fn new(seed: u64, n: usize, batch: usize, last: LastBatch) -> Self {
        let share = Share::ALL;
        let sampler = Self { seed, n, batch, last, share, orders: Mutex::default() };
        assert!(batch > 0 && sampler.steps_per_epoch() > 0, "no batch of {batch} from {n} items");
        sampler
    }

    /// Of each batch the share of one of several processes.
    ///
    /// # Errors
    /// When a batch cannot be shared evenly, or a process would get nothing of an epoch's last one.
    pub fn shared(mut self, share: Share) -> Result<Self, WorldError> {
        share.divides("a batch", self.batch)?;
        if self.last == LastBatch::Keep {
            share.reaches("an epoch's last batch", self.n % self.batch)?;
        }
        self.share = share;
        Ok(self)
    }

    /// Steps in one pass over the data.
    pub fn steps_per_epoch(&self) -> u64 {
        let steps = match self.last {
            LastBatch::Drop => self.n / self.batch,
            LastBatch::Keep => self.n.div_ceil(self.batch),
        };
        steps as u64
    }

    /// The items of `step`, counted from 0 over all epochs: those of this process.
    pub fn batch_of(&self, step: u64) -> Batch {
        let epoch = step / self.steps_per_epoch();
        let start = (step % self.steps_per_epoch()) as usize * self.batch;
        let end = (start + self.batch).min(self.n);
        let own = self.share.of(end - start);
        Batch { epoch, indices: self.order(epoch)[start + own.start..start + own.end].to_vec() }
    }

    fn order(&self, epoch: u64) -> Arc<Vec<u32>> {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, order)) = orders.iter().find(|(e, _)| *e == epoch) {
            return Arc::clone(order);
        }
        let order = Arc::new(epoch_order(self.seed, epoch, self.n));
        if orders.len() == 2 {
            orders.remove(0);
        }
        orders.push((epoch, Arc::clone(&order)));
        order
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_order_is_a_permutation(seed: u64, epoch in 0_u64..1000, n in 0_usize..2000) {
            let mut order = epoch_order(seed, epoch, n);
            order.sort_unstable();
            prop_assert_eq!(order, (0..n as u32).collect::<Vec<_>>());
        }

        #[test]
        fn an_epoch_shows_each_item_once(seed: u64, n in 1_usize..500, batch in 1_usize..64) {
            let sampler = Sampler::new(seed, n, batch, LastBatch::Keep);
            let steps = sampler.steps_per_epoch();
            let mut seen: Vec<u32> =
                (steps..2 * steps).flat_map(|step| sampler.batch_of(step).indices).collect();
            prop_assert_eq!(&seen, &epoch_order(seed, 1, n));
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..n as u32).collect::<Vec<_>>());
        }
    }

    #[test]
    fn orders_differ_between_epochs_and_seeds_and_repeat() {
        let order = epoch_order(1, 2, 100);
        assert_eq!(order, epoch_order(1, 2, 100));
        assert_ne!(order, epoch_order(1, 3, 100));
        assert_ne!(order, epoch_order(2, 2, 100));
    }

    #[test]
    fn each_of_the_six_orders_of_three_items_is_equally_likely() {
        let mut counts = std::collections::BTreeMap::new();
        let draws = 12_000;
        for epoch in 0..draws {
            *counts.entry(epoch_order(7, epoch, 3)).or_insert(0_u64) += 1;
        }
        let expected = draws as f64 / 6.0;
        let chi2: f64 =
            counts.values().map(|c| (*c as f64 - expected).powi(2) / expected).sum::<f64>();
        assert_eq!(counts.len(), 6);
        assert!(chi2 < 20.5, "chi-square {chi2} with 5 degrees of freedom; 20.5 is p = 0.001");
    }

    #[test]
    fn short_batches_are_dropped_or_kept_as_asked() {
        let drop = Sampler::new(0, 10, 4, LastBatch::Drop);
        assert_eq!(drop.steps_per_epoch(), 2);
        let sizes = |s: &Sampler| (0..4).map(|i| s.batch_of(i).indices.len()).collect::<Vec<_>>();
        assert_eq!(sizes(&drop), [4, 4, 4, 4]);
        assert_eq!(drop.batch_of(2).epoch, 1);
        let keep = Sampler::new(0, 10, 4, LastBatch::Keep);
        assert_eq!(sizes(&keep), [4, 4, 2, 4]);
    }

    #[test]
    fn what_is_done_to_an_item_depends_on_seed_epoch_and_index() {
        let draw = |seed, epoch, index| sample_rng(seed, epoch, index).next_u64();
        assert_eq!(draw(1, 2, 3), draw(1, 2, 3));
        for other in [draw(2, 2, 3), draw(1, 3, 3), draw(1, 2, 4), draw(1, 3, 2)] {
            assert_ne!(draw(1, 2, 3), other);
        }
    }
}
