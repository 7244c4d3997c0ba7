//! From a data set's pictures to the batches of a step.

use std::convert::Infallible;
use std::ops::Range;
use std::sync::Arc;

use common::data::images::ImageSet;
use common::data::loader::Loader;
use common::data::sampler::{LastBatch, Sampler, epoch_order};
use common::device::upload;
use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};

/// What is done to grey levels before the net sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Inputs {
    /// 0–255, minus the mean of each position and channel over the training pictures: the authors' way.
    RawMinusMean,
    /// Each channel to mean 0 and deviation 1 over the training pictures.
    Standardised,
}

/// Training pictures in memory, and how they become inputs.
#[derive(Debug)]
pub struct TrainingSet {
    /// `[n, size, size, channels]`: channels last, as the net wants them.
    pixels: Vec<u8>,
    labels: Vec<u8>,
    /// Subtracted from a picture, `[size, size, channels]`.
    shift: Vec<f32>,
    /// Then multiplied, `[size, size, channels]`.
    scale: Vec<f32>,
    /// Pictures.
    pub n: usize,
    /// Colours.
    pub channels: usize,
    /// Rows and columns.
    pub size: usize,
    /// Classes.
    pub classes: usize,
}

/// A step's pictures and labels, ready to become tensors.
#[derive(Debug)]
pub struct Batch {
    xs: Vec<f32>,
    ys: Vec<i64>,
    shape: [i64; 4],
}

/// The pictures of a smaller run are the same for every seed and variant.
const SUBSET_SEED: u64 = 0;

impl TrainingSet {
    /// The first `pictures` of a fixed shuffle of `set` (all of them, in their own order, when it has no
    /// more). The mean and deviation are those of the pictures taken.
    ///
    /// # Panics
    /// If the pictures are not square.
    pub fn new(set: &ImageSet, pictures: usize, inputs: Inputs) -> Self {
        assert_eq!(set.height, set.width, "CIFAR-10 and the MNIST family are square");
        let chosen: Vec<u32> = if pictures >= set.n {
            (0..set.n as u32).collect()
        } else {
            epoch_order(SUBSET_SEED, 0, set.n)[..pictures].to_vec()
        };
        let (c, s) = (set.channels, set.height);
        let pixels = channels_last(set, chosen.iter().map(|&i| i as usize));
        let labels = chosen.iter().map(|&i| set.labels[i as usize]).collect();
        let (shift, scale) = match inputs {
            Inputs::RawMinusMean => (mean_by(&pixels, c * s * s), vec![1.0; c * s * s]),
            Inputs::Standardised => {
                let mean = mean_by(&pixels, c);
                let scale =
                    deviation_by(&pixels, &mean).into_iter().map(f32::recip).collect::<Vec<_>>();
                (mean.repeat(s * s), scale.repeat(s * s))
            }
        };
        let (n, classes) = (chosen.len(), set.classes.len());
        Self { pixels, labels, shift, scale, n, channels: c, size: s, classes }
    }

    /// The pictures and labels at `indices`.
    pub fn batch(&self, indices: &[u32]) -> Batch {
        let size = self.shift.len();
        let mut xs = Vec::with_capacity(indices.len() * size);
        for &i in indices {
            let picture = &self.pixels[i as usize * size..(i as usize + 1) * size];
            let inputs = picture.iter().zip(&self.shift).zip(&self.scale);
            xs.extend(inputs.map(|((&pixel, shift), scale)| (f32::from(pixel) - shift) * scale));
        }
        let ys = indices.iter().map(|&i| i64::from(self.labels[i as usize])).collect();
        Batch::new(xs, ys, self.size, self.channels)
    }

    /// The batches of `steps` that `sampler` chooses, made ahead by one thread of its own.
    pub fn loader(self: &Arc<Self>, sampler: Sampler, steps: Range<u64>) -> Loader<Batch> {
        let set = Arc::clone(self);
        Loader::new(steps, 1, 2, move |step| {
            Ok::<_, Infallible>(set.batch(&sampler.batch_of(step).indices))
        })
    }

    /// Which pictures each step sees: shuffled batches, of which an epoch's last may be short.
    pub fn sampler(&self, seed: u64, batch: usize) -> Sampler {
        Sampler::new(seed, self.n, batch, LastBatch::Keep)
    }
}

impl Batch {
    /// Inputs `xs: [N, size, size, channels]` and labels `ys: [N]`.
    pub(crate) fn new(xs: Vec<f32>, ys: Vec<i64>, size: usize, channels: usize) -> Self {
        let shape = [ys.len(), size, size, channels].map(|n| n as i64);
        Self { xs, ys, shape }
    }

    /// Pictures `[N, C, S, S]` with the channels last in memory, and labels `[N]`, on `device`.
    pub fn tensors(&self, device: Device) -> (Tensor, Tensor) {
        let xs = Tensor::from_slice(&self.xs).reshape(self.shape).permute([0, 3, 1, 2]);
        (upload(&xs, device), upload(&Tensor::from_slice(&self.ys), device))
    }

    /// Pictures in the batch.
    pub fn len(&self) -> usize {
        self.ys.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ys.is_empty()
    }
}

/// The bytes of the pictures at `places`, `[n, size, size, channels]`.
pub(crate) fn channels_last(
    set: &ImageSet,
    places: impl ExactSizeIterator<Item = usize>,
) -> Vec<u8> {
    let (c, s) = (set.channels, set.height);
    let mut pixels = Vec::with_capacity(places.len() * set.picture_bytes());
    for i in places {
        let picture = set.picture(i); // [C, S, S]
        pixels.extend((0..s * s).flat_map(|at| (0..c).map(move |k| picture[k * s * s + at])));
    }
    pixels
}

/// Mean of the bytes at each position modulo `period`.
pub(crate) fn mean_by(bytes: &[u8], period: usize) -> Vec<f32> {
    let mut sums = vec![0_u64; period];
    for chunk in bytes.chunks_exact(period) {
        sums.iter_mut().zip(chunk).for_each(|(sum, &byte)| *sum += u64::from(byte));
    }
    let n = (bytes.len() / period) as f64;
    sums.into_iter().map(|sum| (sum as f64 / n) as f32).collect()
}

/// Deviation of the bytes at each position modulo the length of `mean`.
fn deviation_by(bytes: &[u8], mean: &[f32]) -> Vec<f32> {
    let mut sums = vec![0.0_f64; mean.len()];
    for chunk in bytes.chunks_exact(mean.len()) {
        for ((sum, &byte), mean) in sums.iter_mut().zip(chunk).zip(mean) {
            *sum += (f64::from(byte) - f64::from(*mean)).powi(2);
        }
    }
    let n = (bytes.len() / mean.len()) as f64;
    sums.into_iter().map(|sum| (sum / n).sqrt() as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Kind;

    /// 40 pictures of 2 colours, 3×3, with known levels.
    fn pictures() -> ImageSet {
        let n = 40;
        ImageSet {
            images: (0..n * 18).map(|i| (i * 37 % 251) as u8).collect(),
            labels: (0..n).map(|i| (i % 10) as u8).collect(),
            n,
            channels: 2,
            height: 3,
            width: 3,
            classes: (0..10).map(|i| i.to_string()).collect(),
        }
    }

    fn whole(inputs: Inputs) -> Tensor {
        let set = TrainingSet::new(&pictures(), 100, inputs);
        let all: Vec<u32> = (0..40).collect();
        set.batch(&all).tensors(Device::Cpu).0.to_kind(Kind::Double) // [40, 2, 3, 3]
    }

    #[test]
    fn raw_inputs_have_mean_zero_at_each_position_and_keep_their_scale() {
        let xs = whole(Inputs::RawMinusMean);
        assert!(xs.mean_dim(0, false, Kind::Double).abs().max().double_value(&[]) < 1e-4);
        let levels =
            Tensor::from_slice(&pictures().images).to_kind(Kind::Double).reshape([40, 2, 3, 3]);
        let apart = (&levels - &xs - levels.mean_dim(0, true, Kind::Double)).abs().max();
        assert!(apart.double_value(&[]) < 1e-4, "{apart:?}");
    }

    #[test]
    fn standardised_inputs_have_mean_zero_and_deviation_one_in_each_channel() {
        let xs = whole(Inputs::Standardised).permute([1, 0, 2, 3]).flatten(1, -1); // [2, 360]
        for channel in xs.unbind(0) {
            assert!(channel.mean(Kind::Double).double_value(&[]).abs() < 1e-5);
            assert!((channel.std(false).double_value(&[]) - 1.0).abs() < 1e-5);
        }
    }

    #[test]
    fn a_subset_is_the_same_each_time_and_keeps_labels_with_their_pictures() {
        let set = pictures();
        let [a, b] = [(); 2].map(|()| TrainingSet::new(&set, 10, Inputs::RawMinusMean));
        assert_eq!((&a.pixels, &a.labels, a.n), (&b.pixels, &b.labels, 10));
        for (i, label) in a.labels.iter().enumerate() {
            let first = a.pixels[i * 18]; // colour 0, position 0
            let found = (0..40).find(|&j| set.picture(j)[0] == first).unwrap();
            assert_eq!(*label, set.labels[found]);
        }
    }
}
