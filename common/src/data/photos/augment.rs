//! From one picture to one view: a cut, its mirror image, colour noise, and the mean taken off.
//!
//! What is done to picture `i` in an epoch is a function of (seed, epoch, i) alone.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;
use serde::{Deserialize, Serialize};

use super::{Pca, PhotosError};
use crate::data::sampler::{below, sample_rng};

/// What is done at random to training pictures.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainView {
    /// Rows and columns of a view.
    pub crop: usize,
    /// Whether a view is cut at any of the `(side - crop + 1)²` places alike; if not, at the centre.
    pub crops: bool,
    /// Whether every other view is its mirror image.
    pub mirror: bool,
    /// Noise on the colours.
    pub colour: Option<ColourNoise>,
}

/// One draw a view, added to all its pixels, along the principal components of the colours.
///
/// Source: Krizhevsky et al. 2012, section 4.1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColourNoise {
    /// Standard deviation of the draws; 0.1 in the paper and in the code.
    pub sigma: f64,
    /// What a draw is multiplied by.
    pub form: NoiseForm,
}

/// What a draw of colour noise is multiplied by, for each component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoiseForm {
    /// The eigenvalue, as printed in the paper, with levels counted from 0 to 1: on photographs about 5
    /// of 255 levels along the first component. With levels up to 255 the same formula would add about
    /// a thousand.
    Eigenvalues,
    /// The standard deviation along the component, about 12 of 255 levels on photographs; then the view
    /// is divided by `1 + sigma`, so that its scale stays near that of a test view.
    ///
    /// Source: akrizhevsky/cuda-convnet2, `convdata.py`, `add_color_noise`, commit 031b431.
    StandardDeviations,
}

/// Which part of the mean picture is taken off a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MeanAt {
    /// That of the positions the view was cut from: the mean is taken off before the cut.
    Position,
    /// The centre, wherever the view was cut, after mirroring.
    ///
    /// Source: akrizhevsky/cuda-convnet2, `convdata.py`, `data_mean_crop`, commit 031b431.
    Centre,
}

/// How levels become inputs: `(level - mean) / scale`.
#[derive(Clone, Debug)]
pub struct Centring {
    /// `[side, side, channels]`.
    mean: Vec<f32>,
    /// The mean's mirror image.
    mirrored: Vec<f32>,
    side: usize,
    channels: usize,
    at: MeanAt,
    factor: f32,
}

/// Where a view is cut from a picture, and what is done to it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cut {
    pub(super) top: usize,
    pub(super) left: usize,
    pub(super) mirrored: bool,
    /// Added to red, green and blue, in levels.
    pub(super) noise: Option<[f32; 3]>,
    /// The view is multiplied by this at the end.
    pub(super) shrink: f32,
}

impl TrainView {
    /// Checks the options against pictures of `side` and `channels`.
    pub(super) fn check(&self, side: usize, channels: usize) -> Result<(), PhotosError> {
        check_crop(self.crop, side)?;
        if let Some(colour) = self.colour {
            if channels != 3 {
                let wanted = "red, green and blue, or no colour noise";
                return Err(PhotosError::misfit("colour noise", "grey pictures", wanted));
            }
            if !(colour.sigma.is_finite() && colour.sigma >= 0.0) {
                let found = colour.sigma.to_string();
                return Err(PhotosError::misfit("colour noise sigma", found, "0 or more"));
            }
        }
        Ok(())
    }

    /// What is done to picture `i` in `epoch`. Every draw is made whatever the options, so that runs with
    /// and without one of them see the same places, mirror images and noise.
    pub(super) fn draw(
        &self,
        seed: u64,
        epoch: u64,
        i: u32,
        side: usize,
        pca: Option<&Pca>,
    ) -> Cut {
        let mut rng = sample_rng(seed, epoch, u64::from(i));
        let places = (side - self.crop + 1) as u32;
        let mut place = || below(&mut rng, places) as usize;
        let (mut top, mut left) = (place(), place());
        if !self.crops {
            (top, left) = ((side - self.crop) / 2, (side - self.crop) / 2);
        }
        let mirrored = below(&mut rng, 2) == 1 && self.mirror;
        let mut cut = Cut { top, left, mirrored, noise: None, shrink: 1.0 };
        if let (Some(colour), Some(pca)) = (self.colour, pca) {
            cut.noise = Some(colour.draw(&mut rng, pca));
            if colour.form == NoiseForm::StandardDeviations {
                cut.shrink = (1.0 / (1.0 + colour.sigma)) as f32;
            }
        }
        cut
    }
}

impl ColourNoise {
    /// Noise for one view, in levels 0–255 of red, green and blue.
    fn draw(self, rng: &mut ChaCha8Rng, pca: &Pca) -> [f32; 3] {
        let mut noise = [0.0; 3];
        for (value, vector) in pca.values.iter().zip(&pca.vectors) {
            let size = match self.form {
                // In levels up to 1 the eigenvalue is `value / 255²`, and noise of 1 is 255 levels.
                NoiseForm::Eigenvalues => value / 255.0,
                NoiseForm::StandardDeviations => value.sqrt(),
            };
            let along = self.sigma * normal(rng) * size;
            noise.iter_mut().zip(vector).for_each(|(sum, part)| *sum += along * part);
        }
        noise.map(|level| level as f32)
    }
}

/// A standard normal draw (Box and Muller, the cosine only).
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let mut uniform = || ((rng.next_u64() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64; // in (0, 1)
    let radius = (-2.0 * uniform().ln()).sqrt();
    radius * (std::f64::consts::TAU * uniform()).cos()
}

/// A view must fit into the picture.
pub(super) fn check_crop(crop: usize, side: usize) -> Result<(), PhotosError> {
    if crop == 0 || crop > side {
        let found = format!("{crop} pixels");
        return Err(PhotosError::misfit("crop", found, format!("1 to {side}, the pictures' side")));
    }
    Ok(())
}

impl Centring {
    /// Takes off `mean: [side, side, channels]` and divides by `scale`: 1 for inputs of up to ±255.
    ///
    /// # Errors
    /// A mean of another size; a scale that is not positive.
    pub fn new(
        mean: Vec<f32>,
        side: usize,
        channels: usize,
        at: MeanAt,
        scale: f32,
    ) -> Result<Self, PhotosError> {
        if mean.len() != side * side * channels {
            let wanted = format!("{side}×{side}×{channels}");
            return Err(PhotosError::misfit("mean picture", mean.len().to_string(), wanted));
        }
        if !(scale.is_finite() && scale > 0.0) {
            return Err(PhotosError::misfit("scale", scale.to_string(), "a positive number"));
        }
        let mut mirrored = mean.clone();
        for row in mirrored.chunks_exact_mut((side * channels).max(1)) {
            row.reverse();
            row.chunks_exact_mut(channels).for_each(<[f32]>::reverse);
        }
        Ok(Self { mean, mirrored, side, channels, at, factor: 1.0 / scale })
    }

    /// Whether it is for pictures of this size.
    pub(super) fn check(&self, side: usize, channels: usize) -> Result<(), PhotosError> {
        if (self.side, self.channels) == (side, channels) {
            return Ok(());
        }
        let found = format!("{0}×{0}×{1}", self.side, self.channels);
        Err(PhotosError::misfit("mean picture", found, format!("{side}×{side}×{channels}")))
    }

    /// Writes the view `cut` of `picture: [side, side, channels]` to `out: [crop, crop, channels]`.
    pub(super) fn write(&self, picture: &[u8], cut: Cut, crop: usize, out: &mut [f32]) {
        let (side, c) = (self.side, self.channels);
        let factor = self.factor * cut.shrink;
        let noise: Vec<f32> = cut.noise.map(|noise| noise.repeat(crop)).unwrap_or_default(); // [crop, 3]
        let mut levels = vec![0; crop * c];
        for (y, out) in out.chunks_exact_mut(crop * c).enumerate() {
            let at = ((cut.top + y) * side + cut.left) * c;
            levels.copy_from_slice(&picture[at..at + crop * c]);
            if cut.mirrored {
                mirror(&mut levels, c);
            }
            let (mean, row, column) = match (self.at, cut.mirrored) {
                (MeanAt::Position, false) => (&self.mean, cut.top, cut.left),
                (MeanAt::Position, true) => (&self.mirrored, cut.top, side - crop - cut.left),
                (MeanAt::Centre, _) => (&self.mean, (side - crop) / 2, (side - crop) / 2),
            };
            let at = ((row + y) * side + column) * c;
            let mean = &mean[at..at + crop * c];
            let inputs = out.iter_mut().zip(&levels).zip(mean);
            if noise.is_empty() {
                inputs.for_each(|((x, &level), mean)| *x = (f32::from(level) - mean) * factor);
            } else {
                inputs.zip(&noise).for_each(|(((x, &level), mean), noise)| {
                    *x = (f32::from(level) - mean + noise) * factor;
                });
            }
        }
    }
}

/// Turns a row of pixels round.
fn mirror(row: &mut [u8], channels: usize) {
    row.reverse();
    if channels == 3 {
        row.chunks_exact_mut(3).for_each(|pixel| pixel.swap(0, 2));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIDE: usize = 6;
    const CROP: usize = 4;

    fn view(mirror: bool, colour: Option<ColourNoise>) -> TrainView {
        TrainView { crop: CROP, crops: true, mirror, colour }
    }

    fn plain(top: usize, left: usize, mirrored: bool) -> Cut {
        Cut { top, left, mirrored, noise: None, shrink: 1.0 }
    }

    fn pca() -> Pca {
        let r = 0.5_f64.sqrt();
        let vectors = [[r, r, 0.0], [0.0, 0.0, 1.0], [r, -r, 0.0]];
        Pca { values: [14_000.0, 1_200.0, 300.0], vectors }
    }

    /// A picture and a mean without symmetry.
    fn picture() -> (Vec<u8>, Vec<f32>) {
        let size = SIDE * SIDE * 3;
        let levels = (0..size).map(|i| (i * 89 % 256) as u8).collect();
        (levels, (0..size).map(|i| (i * 31 % 97) as f32 / 3.0).collect())
    }

    fn cut_out(at: MeanAt, scale: f32, cut: Cut) -> Vec<f32> {
        let (levels, mean) = picture();
        let centring = Centring::new(mean, SIDE, 3, at, scale).unwrap();
        let mut out = vec![f32::NAN; CROP * CROP * 3];
        centring.write(&levels, cut, CROP, &mut out);
        out
    }

    #[test]
    fn every_place_of_a_crop_is_equally_likely_and_so_is_its_mirror_image() {
        let mut counts = [0_u32; 3 * 3 * 2];
        let draws = 18_000;
        for i in 0..draws {
            let cut = view(true, None).draw(5, u64::from(i / 100), i % 100, SIDE, None);
            counts[(cut.top * 3 + cut.left) * 2 + usize::from(cut.mirrored)] += 1;
        }
        let expected = f64::from(draws) / 18.0;
        let chi2: f64 = counts.iter().map(|&c| (f64::from(c) - expected).powi(2) / expected).sum();
        assert!(chi2 < 40.8, "chi-square {chi2} with 17 degrees of freedom; 40.8 is p = 0.001");
    }

    #[test]
    fn a_crop_of_the_whole_picture_has_one_place() {
        let whole = TrainView { crop: SIDE, crops: true, mirror: true, colour: None };
        for i in 0..50 {
            let cut = whole.draw(1, 0, i, SIDE, None);
            assert_eq!((cut.top, cut.left), (0, 0));
        }
    }

    #[test]
    fn without_crops_the_centre_is_cut_and_the_mirror_images_are_the_same() {
        let with = view(true, None);
        let without = TrainView { crops: false, ..with };
        for i in 0..50 {
            let cut = without.draw(5, 0, i, SIDE, None);
            assert_eq!((cut.top, cut.left), (1, 1));
            assert_eq!(cut.mirrored, with.draw(5, 0, i, SIDE, None).mirrored);
        }
    }

    #[test]
    fn a_view_is_the_levels_less_the_mean_of_their_positions() {
        let (levels, mean) = picture();
        let out = cut_out(MeanAt::Position, 2.0, plain(2, 1, false));
        for y in 0..CROP {
            for x in 0..CROP * 3 {
                let at = (y + 2) * SIDE * 3 + 3 + x;
                let expected = (f32::from(levels[at]) - mean[at]) / 2.0;
                assert_eq!(out[y * CROP * 3 + x].to_bits(), expected.to_bits(), "row {y}, {x}");
            }
        }
    }

    #[test]
    fn a_mirrored_view_is_the_exact_mirror_image_of_the_view_at_the_same_place() {
        for (top, left) in [(0, 0), (1, 2), (2, 1)] {
            let straight = cut_out(MeanAt::Position, 1.0, plain(top, left, false));
            let mirrored = cut_out(MeanAt::Position, 1.0, plain(top, left, true));
            for (row, turned) in straight.chunks(CROP * 3).zip(mirrored.chunks(CROP * 3)) {
                let expected: Vec<&[f32]> = row.chunks(3).rev().collect();
                assert_eq!(turned, expected.concat());
            }
        }
    }

    #[test]
    fn the_code_takes_the_centre_of_the_mean_off_whatever_the_place() {
        let (levels, mean) = picture();
        let out = cut_out(MeanAt::Centre, 1.0, plain(2, 0, true));
        for y in 0..CROP {
            for x in 0..CROP {
                for c in 0..3 {
                    let level = levels[((y + 2) * SIDE + CROP - 1 - x) * 3 + c];
                    let expected = f32::from(level) - mean[((y + 1) * SIDE + x + 1) * 3 + c];
                    assert_eq!(out[(y * CROP + x) * 3 + c].to_bits(), expected.to_bits());
                }
            }
        }
    }

    #[test]
    fn colour_noise_changes_neither_place_nor_mirror_and_is_one_draw_a_view() {
        let noisy = ColourNoise { sigma: 0.1, form: NoiseForm::StandardDeviations };
        for i in 0..20 {
            let with = view(true, Some(noisy)).draw(3, 1, i, SIDE, Some(&pca()));
            let without = view(true, None).draw(3, 1, i, SIDE, Some(&pca()));
            assert_eq!(
                (with.top, with.left, with.mirrored),
                (without.top, without.left, without.mirrored)
            );
            let noise = with.noise.unwrap();
            let (out, clean) =
                (cut_out(MeanAt::Position, 1.0, with), cut_out(MeanAt::Position, 1.0, without));
            for (i, (x, clean)) in out.iter().zip(clean).enumerate() {
                let expected = (clean + noise[i % 3]) / 1.1;
                assert!((x - expected).abs() < 1e-4, "expected {expected}, got {x}");
            }
        }
    }

    #[test]
    fn the_covariance_of_colour_noise_is_that_of_the_formula() {
        let pca = pca();
        for form in [NoiseForm::Eigenvalues, NoiseForm::StandardDeviations] {
            let view = view(false, Some(ColourNoise { sigma: 0.1, form }));
            let n = 40_000;
            // P diag(size² sigma²) Pᵀ: along the components the draws are independent.
            let mut along = vec![[0.0; 3]; n];
            for (i, along) in along.iter_mut().enumerate() {
                let noise = view.draw(2, 0, i as u32, SIDE, Some(&pca)).noise.unwrap();
                *along = pca.vectors.map(|v| (0..3).map(|c| v[c] * f64::from(noise[c])).sum());
            }
            let mean = |f: &dyn Fn(&[f64; 3]) -> f64| along.iter().map(f).sum::<f64>() / n as f64;
            let expected = pca.values.map(|value| match form {
                NoiseForm::Eigenvalues => 0.01 * (255.0 * (value / 255.0 / 255.0)).powi(2),
                NoiseForm::StandardDeviations => 0.01 * value,
            });
            for k in 0..3 {
                // Five standard errors: 5 √(2/n) of a variance, 5 √(1/n) of a correlation.
                let variance = mean(&|xs| xs[k] * xs[k]) / expected[k];
                assert!((variance - 1.0).abs() < 0.036, "{form:?}, component {k}: {variance}");
                let next = (k + 1) % 3;
                let scale = (expected[k] * expected[next]).sqrt();
                let correlation = mean(&|xs| xs[k] * xs[next]) / scale;
                assert!(correlation.abs() < 0.025, "{form:?}, {k} and {next}: {correlation}");
            }
            // The paper's "about": 5 levels along the first component in one form, 12 in the other.
            let first = expected[0].sqrt();
            let range = if form == NoiseForm::Eigenvalues { 5.0..6.0 } else { 11.0..13.0 };
            assert!(range.contains(&first), "{first} levels");
        }
    }

    #[test]
    fn what_cannot_be_cut_is_refused_with_found_and_wanted() {
        let noise = Some(ColourNoise { sigma: 0.1, form: NoiseForm::Eigenvalues });
        let error = |view: TrainView, side, c| view.check(side, c).unwrap_err().to_string();
        assert_eq!(
            error(view(true, None), 3, 3),
            "crop: found 4 pixels, wanted 1 to 3, the pictures' side"
        );
        assert!(error(view(true, noise), 8, 1).contains("grey"));
        let wrong = Centring::new(vec![0.0; 7], SIDE, 3, MeanAt::Position, 1.0);
        assert!(wrong.unwrap_err().to_string().contains("6×6×3"));
        assert!(Centring::new(vec![0.0; 1], 1, 1, MeanAt::Position, 0.0).is_err());
    }
}
