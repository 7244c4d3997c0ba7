//! Batches of views: a step's training batch is a function of (seed, step) alone, whatever the number
//! of threads that make them ahead.
//!
//! A loader holds at most `ahead` finished batches beside the one in use: `(ahead + 1) · batch · crop² ·
//! channels · 4` bytes.

use std::ops::Range;
use std::sync::Arc;

use tch::{Device, Tensor};

use super::augment::{Cut, check_crop};
use super::{Centring, Part, Pca, PhotosError, TestView, TrainView};
use crate::data::loader::Loader;
use crate::data::sampler::{LastBatch, Sampler};
use crate::device::upload;
use crate::distributed::{Share, WorldError};
use crate::shim::memory;

/// Views and labels, ready to become tensors.
#[derive(Debug)]
pub struct Batch {
    /// `[n · views, crop, crop, channels]`; the views of a picture follow one another.
    xs: Tensor,
    /// `[n]`.
    ys: Vec<i64>,
}

impl Batch {
    /// Views `[n · views, channels, crop, crop]` with the channels last in memory, and labels `[n]`, on
    /// `device`. On the CPU the views are the batch's own memory.
    pub fn tensors(&self, device: Device) -> (Tensor, Tensor) {
        let xs = self.xs.permute([0, 3, 1, 2]);
        (upload(&xs, device), upload(&Tensor::from_slice(&self.ys), device))
    }

    /// The inputs, `[n · views, crop, crop, channels]`.
    pub fn xs(&self) -> &[f32] {
        memory::floats(&self.xs)
    }

    /// The labels, `[n]`.
    pub fn ys(&self) -> &[i64] {
        &self.ys
    }

    /// Pictures in the batch.
    pub fn len(&self) -> usize {
        self.ys.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ys.is_empty()
    }

    /// The views `cuts(i)` of the pictures at `indices`, `views` of each.
    fn new(
        part: &Part,
        centring: &Centring,
        crop: usize,
        views: usize,
        indices: &[u32],
        cuts: impl Fn(u32) -> Vec<Cut>,
    ) -> Result<Self, PhotosError> {
        let (pictures, c) = (&part.pictures, part.pictures.channels());
        let size = crop * crop * c;
        let shape = [indices.len() * views, crop, crop, c].map(|length| length as i64);
        let mut room = Vec::new();
        let xs = memory::filled(&shape, |xs| {
            for (&i, out) in indices.iter().zip(xs.chunks_exact_mut(views * size)) {
                let picture = pictures.picture(i as usize, &mut room)?;
                for (cut, out) in cuts(i).into_iter().zip(out.chunks_exact_mut(size)) {
                    centring.write(picture, cut, crop, out);
                }
            }
            Ok::<_, PhotosError>(())
        })?;
        let ys = indices.iter().map(|&i| i64::from(pictures.label(i as usize))).collect();
        Ok(Self { xs, ys })
    }
}

/// Shuffled batches of random views.
#[derive(Debug)]
pub struct TrainBatches {
    part: Part,
    centring: Centring,
    view: TrainView,
    pca: Option<Pca>,
    seed: u64,
    sampler: Sampler,
}

impl TrainBatches {
    /// Batches of `batch` pictures of `part`; `pca` is needed for colour noise only.
    ///
    /// # Errors
    /// Options that do not fit the pictures.
    pub fn new(
        part: Part,
        centring: Centring,
        view: TrainView,
        pca: Option<Pca>,
        seed: u64,
        batch: usize,
        last: LastBatch,
    ) -> Result<Self, PhotosError> {
        let (side, channels) = (part.pictures.side(), part.pictures.channels());
        view.check(side, channels)?;
        centring.check(side, channels)?;
        if view.colour.is_some() && pca.is_none() {
            let wanted = "the principal components of the colours";
            return Err(PhotosError::misfit("colour noise", "none", wanted));
        }
        if batch == 0 || (last == LastBatch::Drop && batch > part.n()) {
            let wanted = format!("1 to {}, the pictures there are", part.n());
            return Err(PhotosError::misfit("batch", batch.to_string(), wanted));
        }
        let sampler = Sampler::new(seed, part.n(), batch, last);
        Ok(Self { part, centring, view, pca, seed, sampler })
    }

    /// Of each batch the share of one of several processes.
    ///
    /// # Errors
    /// As [`Sampler::shared`].
    pub fn shared(self, share: Share) -> Result<Self, WorldError> {
        Ok(Self { sampler: self.sampler.shared(share)?, ..self })
    }

    /// Steps in one pass over the part.
    pub fn steps_per_epoch(&self) -> u64 {
        self.sampler.steps_per_epoch()
    }

    /// The batch of `step`, counted from 0 over all epochs.
    ///
    /// # Errors
    /// If a picture cannot be read.
    pub fn batch(&self, step: u64) -> Result<Batch, PhotosError> {
        let chosen = self.sampler.batch_of(step);
        let indices: Vec<u32> =
            chosen.indices.iter().map(|&at| self.part.indices[at as usize]).collect();
        let side = self.part.pictures.side();
        let cut = |i| vec![self.view.draw(self.seed, chosen.epoch, i, side, self.pca.as_ref())];
        Batch::new(&self.part, &self.centring, self.view.crop, 1, &indices, cut)
    }

    /// The batches of `steps` in order, made by `threads`, at most `ahead` in front of the consumer.
    pub fn loader(
        self: &Arc<Self>,
        steps: Range<u64>,
        threads: usize,
        ahead: usize,
    ) -> Loader<Batch> {
        let this = Arc::clone(self);
        Loader::new(steps, threads, ahead, move |step| this.batch(step))
    }
}

/// Every picture of a part once, in order, in its fixed views.
#[derive(Debug)]
pub struct TestBatches {
    part: Part,
    centring: Centring,
    crop: usize,
    view: TestView,
    batch: usize,
}

impl TestBatches {
    /// Batches of `batch` pictures of `part`, so of `batch · view.count()` views; the last may be short.
    ///
    /// # Errors
    /// Options that do not fit the pictures.
    pub fn new(
        part: Part,
        centring: Centring,
        crop: usize,
        view: TestView,
        batch: usize,
    ) -> Result<Self, PhotosError> {
        let side = part.pictures.side();
        check_crop(crop, side)?;
        centring.check(side, part.pictures.channels())?;
        if batch == 0 {
            return Err(PhotosError::misfit("batch", "0", "at least one picture"));
        }
        Ok(Self { part, centring, crop, view, batch })
    }

    /// Batches it takes to see every picture.
    pub fn count(&self) -> u64 {
        self.part.n().div_ceil(self.batch) as u64
    }

    /// Batch `k` of [`TestBatches::count`].
    ///
    /// # Errors
    /// If a picture cannot be read.
    pub fn batch(&self, k: u64) -> Result<Batch, PhotosError> {
        let start = k as usize * self.batch;
        let indices = &self.part.indices[start..(start + self.batch).min(self.part.n())];
        let cuts = self.view.cuts(self.part.pictures.side(), self.crop);
        let of = |_| cuts.clone();
        Batch::new(&self.part, &self.centring, self.crop, cuts.len(), indices, of)
    }

    /// All batches in order, made by `threads`, at most `ahead` in front of the consumer.
    pub fn loader(self: &Arc<Self>, threads: usize, ahead: usize) -> Loader<Batch> {
        let this = Arc::clone(self);
        Loader::new(0..self.count(), threads, ahead, move |k| this.batch(k))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::photos::test_set::set;
    use crate::data::photos::{ColourNoise, MeanAt, MemoryPictures, NoiseForm, Statistics};

    fn part() -> (Part, Centring, Option<Pca>) {
        let pictures = MemoryPictures::new(&set(21, 8, 3)).unwrap();
        let part = Part::new(Arc::new(pictures), 0..21).unwrap();
        let Statistics { mean, pca } = Statistics::of(&part).unwrap();
        (part, Centring::new(mean, 8, 3, MeanAt::Position, 1.0).unwrap(), pca)
    }

    fn train(seed: u64) -> Arc<TrainBatches> {
        let (part, centring, pca) = part();
        let colour = Some(ColourNoise { sigma: 0.1, form: NoiseForm::Eigenvalues });
        let view = TrainView { crop: 5, crops: true, mirror: true, colour };
        let last = LastBatch::Keep;
        Arc::new(TrainBatches::new(part, centring, view, pca, seed, 4, last).unwrap())
    }

    #[test]
    fn training_batches_depend_on_seed_and_step_and_not_on_threads() {
        let content =
            |b: &Batch| (b.xs().iter().map(|x| x.to_bits()).collect::<Vec<_>>(), b.ys.clone());
        let train_of = |seed| train(seed);
        let expected: Vec<_> =
            (3..16).rev().map(|step| content(&train_of(1).batch(step).unwrap())).rev().collect();
        for (threads, ahead) in [(1, 1), (4, 3)] {
            let made: Vec<_> = train_of(1)
                .loader(3..16, threads, ahead)
                .map(|batch| content(&batch.unwrap()))
                .collect();
            assert_eq!(made, expected, "{threads} threads");
        }
        assert_ne!(content(&train_of(2).batch(3).unwrap()), expected[0]);
        let (first, second) = (train_of(1), train_of(1));
        let epoch = first.steps_per_epoch();
        assert_eq!(epoch, 6);
        assert_ne!(content(&first.batch(0).unwrap()), content(&second.batch(epoch).unwrap()));
    }

    #[test]
    fn an_epoch_shows_every_picture_of_the_part_with_its_own_label() {
        let (part, centring, _) = part();
        // Pictures whose level is their number, so that a view tells which it is.
        let mut marked = set(21, 8, 3);
        marked.images.chunks_exact_mut(192).enumerate().for_each(|(i, p)| p.fill(i as u8));
        let pictures: Arc<dyn crate::data::photos::Pictures> =
            Arc::new(MemoryPictures::new(&marked).unwrap());
        let part = Part { pictures, indices: part.indices[4..].into() };
        let zero = Centring::new(vec![0.0; 192], 8, 3, MeanAt::Centre, 1.0).unwrap();
        drop(centring);
        let view = TrainView { crop: 3, crops: true, mirror: true, colour: None };
        let batches = TrainBatches::new(part, zero, view, None, 0, 4, LastBatch::Keep).unwrap();
        let mut seen = Vec::new();
        for step in 0..batches.steps_per_epoch() {
            let batch = batches.batch(step).unwrap();
            for (view, &label) in batch.xs().chunks_exact(27).zip(batch.ys()) {
                let i = view[0] as usize;
                assert!(view.iter().all(|&x| x as usize == i), "{view:?}");
                assert_eq!(label, i64::from(marked.labels[i]));
                seen.push(i);
            }
        }
        seen.sort_unstable();
        assert_eq!(seen, (4..21).collect::<Vec<_>>());
    }

    #[test]
    fn test_batches_have_the_views_of_a_picture_side_by_side_and_end_short() {
        let (part, centring, _) = part();
        let batches = |view| {
            let (part, centring) = (part.clone(), centring.clone());
            Arc::new(TestBatches::new(part, centring, 5, view, 4).unwrap())
        };
        let (ten, one) = (batches(TestView::Ten), batches(TestView::Centre));
        let mut pictures = 0;
        for (k, batch) in ten.loader(3, 2).enumerate() {
            let batch = batch.unwrap();
            let single = one.batch(k as u64).unwrap();
            assert_eq!(batch.ys(), single.ys());
            let (views, centres) = (batch.xs().chunks_exact(10 * 75), single.xs().chunks_exact(75));
            for (views, centre) in views.zip(centres) {
                assert_eq!(&views[4 * 75..5 * 75], centre);
            }
            let (xs, ys) = batch.tensors(Device::Cpu);
            assert_eq!(xs.size(), [10 * batch.len() as i64, 3, 5, 5]);
            assert_eq!(ys.size(), [batch.len() as i64]);
            pictures += batch.len();
        }
        assert_eq!((pictures, ten.count()), (21, 6));
    }

    #[test]
    fn tensors_have_the_channels_last_in_memory() {
        let batch = train(0).batch(0).unwrap();
        let (xs, _) = batch.tensors(Device::Cpu);
        assert_eq!(xs.stride(), [75, 1, 15, 3]);
        let found = xs.double_value(&[1, 2, 3, 4]) as f32;
        assert_eq!(found.to_bits(), batch.xs()[75 + (3 * 5 + 4) * 3 + 2].to_bits());
    }

    #[test]
    fn options_that_do_not_fit_the_pictures_are_refused() {
        let (part, centring, _) = part();
        let colour = Some(ColourNoise { sigma: 0.1, form: NoiseForm::Eigenvalues });
        for (view, batch, word) in [
            (TrainView { crop: 9, crops: true, mirror: true, colour: None }, 4, "crop: found 9"),
            (TrainView { crop: 8, crops: true, mirror: true, colour }, 4, "principal components"),
            (TrainView { crop: 8, crops: true, mirror: true, colour: None }, 22, "batch: found 22"),
        ] {
            let (part, centring) = (part.clone(), centring.clone());
            let made = TrainBatches::new(part, centring, view, None, 0, batch, LastBatch::Drop);
            let error = made.unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
        let other = Centring::new(vec![0.0; 12], 2, 3, MeanAt::Position, 1.0).unwrap();
        let error = TestBatches::new(part, other, 2, TestView::Centre, 4).unwrap_err().to_string();
        assert!(error.contains("found 2×2×3, wanted 8×8×3"), "{error}");
    }
}
