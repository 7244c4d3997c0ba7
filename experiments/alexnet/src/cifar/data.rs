//! From pictures to the views that a net sees: whole pictures, or crops and their mirror images.

use std::convert::Infallible;
use std::ops::Range;
use std::sync::Arc;

use common::data::images::ImageSet;
use common::data::loader::Loader;
use common::data::sampler::{below, sample_rng};
use serde::{Deserialize, Serialize};

use super::schedule::Schedule;
use crate::data::{Batch, channels_last, mean_by};

/// How much of a picture a net sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Views {
    /// The whole picture.
    Whole,
    /// A part that leaves a border of this many pixels, wherever it lies. In training its place is drawn
    /// at random, and so is whether it is mirrored; tests take the centre, or ten views.
    Crops {
        /// 4 of 32 for the authors' nets: views of 24×24.
        border: usize,
    },
}

/// Where one view lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// Rows above it.
    pub top: usize,
    /// Columns to the left of it.
    pub left: usize,
    /// Left and right exchanged.
    pub mirrored: bool,
}

/// Pictures in memory, as views are cut out of them.
#[derive(Debug)]
pub struct Pictures {
    /// `[n, size, size, channels]`: channels last, as the nets want them.
    pixels: Vec<u8>,
    labels: Vec<u8>,
    /// Pictures.
    pub n: usize,
    /// Colours.
    pub channels: usize,
    /// Rows and columns.
    pub size: usize,
}

/// The mean of each position and colour of a view over the training pictures.
#[derive(Debug, Clone, PartialEq)]
pub struct MeanView(Vec<f32>);

impl Views {
    /// Rows and columns of a view of a picture with `size`; 0 where the border leaves nothing.
    pub fn side(self, size: usize) -> usize {
        size.saturating_sub(2 * self.border())
    }

    fn border(self) -> usize {
        match self {
            Self::Whole => 0,
            Self::Crops { border } => border,
        }
    }

    /// The view in the middle.
    pub fn centre(self) -> View {
        View { top: self.border(), left: self.border(), mirrored: false }
    }

    /// Four corners, the centre, and the mirror images of these five; the one view there is of whole
    /// pictures.
    ///
    /// Source: cuda-convnet, `docs/TrainingNet.md`.
    pub fn test(self) -> Vec<View> {
        let (Self::Crops { border }, far) = (self, 2 * self.border()) else {
            return vec![self.centre()];
        };
        let places = [(0, 0), (0, far), (border, border), (far, 0), (far, far)];
        [false, true]
            .into_iter()
            .flat_map(|mirrored| places.map(|(top, left)| View { top, left, mirrored }))
            .collect()
    }

    /// The view of picture `index` in `epoch`.
    fn drawn(self, seed: u64, epoch: u64, index: u32) -> View {
        let Self::Crops { border } = self else { return self.centre() };
        let mut rng = sample_rng(seed, epoch, u64::from(index));
        let mut draw = |bound: usize| below(&mut rng, bound as u32) as usize;
        View { top: draw(2 * border + 1), left: draw(2 * border + 1), mirrored: draw(2) == 1 }
    }
}

impl Pictures {
    /// The first `most` pictures of `set`, in their order.
    ///
    /// # Panics
    /// If the pictures are not square.
    pub fn new(set: &ImageSet, most: usize) -> Self {
        let places: Vec<usize> = (0..set.n.min(most)).collect();
        Self::at(set, &places)
    }

    /// The pictures at `places` of `set`.
    ///
    /// # Panics
    /// If the pictures are not square, or a place is beyond the last.
    pub fn at(set: &ImageSet, places: &[usize]) -> Self {
        assert_eq!(set.height, set.width, "CIFAR-10 and the MNIST family are square");
        let pixels = channels_last(set, places.iter().copied());
        let labels = places.iter().map(|&i| set.labels[i]).collect();
        Self { pixels, labels, n: places.len(), channels: set.channels, size: set.height }
    }

    /// The mean view: the middle of the mean picture, whichever part a view shows.
    ///
    /// Source: cuda-convnet, `convdata.py`, `CroppedCIFARDataProvider`.
    pub fn mean_view(&self, views: Views) -> MeanView {
        let mean = mean_by(&self.pixels, self.channels * self.size * self.size);
        let (side, border, c) = (views.side(self.size), views.border(), self.channels);
        let row = |y: usize| {
            let start = ((y + border) * self.size + border) * c;
            &mean[start..start + side * c]
        };
        MeanView((0..side).flat_map(row).copied().collect())
    }

    /// Inputs and labels: one view each of the pictures of `chosen`, minus the mean view.
    pub fn batch(
        &self,
        chosen: impl ExactSizeIterator<Item = (u32, View)>,
        side: usize,
        mean: &MeanView,
    ) -> Batch {
        let (c, size) = (self.channels, self.size);
        let mut xs = Vec::with_capacity(chosen.len() * side * side * c);
        let mut ys = Vec::with_capacity(chosen.len());
        for (i, View { top, left, mirrored }) in chosen {
            let picture = &self.pixels[i as usize * size * size * c..][..size * size * c];
            for (y, mean) in mean.0.chunks_exact(side * c).enumerate() {
                let row = &picture[((top + y) * size + left) * c..][..side * c];
                if mirrored {
                    let pixels = row.chunks_exact(c).rev().flatten();
                    xs.extend(pixels.zip(mean).map(|(&pixel, mean)| f32::from(pixel) - mean));
                } else {
                    xs.extend(row.iter().zip(mean).map(|(&pixel, mean)| f32::from(pixel) - mean));
                }
            }
            ys.push(i64::from(self.labels[i as usize]));
        }
        Batch::new(xs, ys, side, c)
    }

    /// The views of each step's pictures, made ahead by one thread of its own.
    pub fn loader(
        self: &Arc<Self>,
        views: Views,
        mean: &MeanView,
        schedule: &Arc<Schedule>,
        steps: Range<u64>,
    ) -> Loader<Batch> {
        let (set, mean, schedule) = (Arc::clone(self), mean.clone(), Arc::clone(schedule));
        let side = views.side(set.size);
        Loader::new(steps, 1, 2, move |step| {
            let place = schedule.place(step);
            let view = |&i: &u32| (i, views.drawn(place.seed, place.epoch, i));
            Ok::<_, Infallible>(set.batch(place.indices.iter().map(view), side, &mean))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use tch::{Device, Kind, Tensor};

    const N: usize = 6;
    const SIZE: usize = 7;
    const CROPS: Views = Views::Crops { border: 2 };

    /// 6 pictures of 3 colours, 7×7.
    fn pictures() -> ImageSet {
        ImageSet {
            images: (0..N * 3 * SIZE * SIZE).map(|i| (i * 37 % 251) as u8).collect(),
            labels: (0..N as u8).collect(),
            n: N,
            channels: 3,
            height: SIZE,
            width: SIZE,
            classes: (0..10).map(|i| i.to_string()).collect(),
        }
    }

    /// `[6, 3, 7, 7]`
    fn levels() -> Tensor {
        let size = SIZE as i64;
        Tensor::from_slice(&pictures().images).to_kind(Kind::Float).reshape([-1, 3, size, size])
    }

    fn inputs(views: Views, view: View) -> (Tensor, Tensor) {
        let set = Pictures::new(&pictures(), usize::MAX);
        let mean = set.mean_view(views);
        let all = (0..N as u32).map(|i| (i, view));
        set.batch(all, views.side(SIZE), &mean).tensors(Device::Cpu)
    }

    #[test]
    fn a_view_is_that_part_of_the_picture_less_the_middle_of_the_mean() {
        let mean = levels().mean_dim(0, true, Kind::Float).narrow(2, 2, 3).narrow(3, 2, 3);
        for (top, left, mirrored) in [(0, 0, false), (2, 2, false), (1, 4, true), (4, 0, true)] {
            let (xs, ys) = inputs(CROPS, View { top, left, mirrored });
            let part = levels().narrow(2, top as i64, 3).narrow(3, left as i64, 3);
            let part = if mirrored { part.flip([3]) } else { part };
            let apart = (xs - (part - &mean)).abs().max().double_value(&[]);
            assert!(apart < 1e-4, "{top} {left} {mirrored}: {apart}");
            assert_eq!(Vec::<i64>::try_from(ys).unwrap(), [0, 1, 2, 3, 4, 5]);
        }
    }

    #[test]
    fn whole_pictures_less_their_mean_have_mean_zero_everywhere() {
        let (xs, _) = inputs(Views::Whole, Views::Whole.centre());
        assert_eq!(xs.size(), [6, 3, 7, 7]);
        assert!(xs.mean_dim(0, false, Kind::Float).abs().max().double_value(&[]) < 1e-4);
        assert_eq!(Views::Whole.test(), [Views::Whole.centre()]);
    }

    #[test]
    fn a_test_has_four_corners_and_the_centre_each_with_its_mirror_image() {
        let views = Views::Crops { border: 4 }.test();
        let places: Vec<_> = views.iter().map(|v| (v.top, v.left, v.mirrored)).collect();
        let five = [(0, 0), (0, 8), (4, 4), (8, 0), (8, 8)];
        let wanted: Vec<_> = [false, true]
            .into_iter()
            .flat_map(|mirrored| five.map(|(top, left)| (top, left, mirrored)))
            .collect();
        assert_eq!(places, wanted);
    }

    #[test]
    fn drawn_views_take_every_place_equally_often_and_are_mirrored_half_of_the_time() {
        let draws = 81 * 2 * 50;
        let mut counts: BTreeMap<(usize, usize, bool), f64> = BTreeMap::new();
        for i in 0..draws {
            let view = Views::Crops { border: 4 }.drawn(3, u64::from(i / 100), i);
            *counts.entry((view.top, view.left, view.mirrored)).or_default() += 1.0;
        }
        let chi2: f64 = counts.values().map(|n| (n - 50.0).powi(2) / 50.0).sum();
        assert_eq!(counts.len(), 81 * 2);
        assert!(chi2 < 223.0, "chi-square {chi2} with 161 degrees of freedom; 223 is p = 0.0009");
        let draw = |seed, epoch, index| CROPS.drawn(seed, epoch, index);
        assert_eq!(draw(1, 2, 3), draw(1, 2, 3));
        assert!((0..20).any(|i| draw(1, 2, i) != draw(1, 3, i)));
    }

    #[test]
    fn pictures_at_places_keep_their_labels() {
        let set = Pictures::at(&pictures(), &[4, 1]);
        assert_eq!((set.n, set.labels.as_slice()), (2, [4, 1].as_slice()));
        let first = |i: usize| pictures().picture(i)[0];
        assert_eq!([set.pixels[0], set.pixels[SIZE * SIZE * 3]], [first(4), first(1)]);
        assert_eq!(Pictures::new(&pictures(), 2).labels, [0, 1]);
    }
}
