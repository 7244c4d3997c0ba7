//! From a picture to a network's input.

use common::data::photos::{resized, square};
use image::RgbImage;
use tch::{Kind, Tensor};

use crate::weights::Preprocessing;

/// The input `[1, 3, crop, crop]` as our training's test views are made.
pub(super) fn ours(
    picture: &RgbImage,
    mean: &[f32],
    Preprocessing { side, scale }: Preprocessing,
    crop: i64,
) -> Tensor {
    let mut levels = vec![0; side * side * 3];
    square(picture, side, &mut levels);
    let side = side as i64;
    let of = |xs: Tensor| xs.to_kind(Kind::Float).reshape([side, side, 3]);
    let xs = (of(Tensor::from_slice(&levels)) - of(Tensor::from_slice(mean))) * scale;
    let edge = (side - crop) / 2;
    let xs = xs.narrow(0, edge, crop).narrow(1, edge, crop); // [crop, crop, 3]
    xs.permute([2, 0, 1]).unsqueeze(0).contiguous()
}

/// Short side of a picture as torchvision prepares it for its weights.
pub(crate) const SHORT: u32 = 256;
/// Rows and columns of its view.
const CROP: u32 = 224;
/// What is taken off red, green and blue, from 0 to 1.
pub(crate) const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
/// What they are then divided by.
pub(crate) const STD: [f32; 3] = [0.229, 0.224, 0.225];

/// The input `[1, 3, 224, 224]` as torchvision makes it for its weights: short side to 256, centre 224, levels
/// from 0 to 1, less a mean and over a deviation for each colour.
///
/// Source: torchvision, `AlexNet_Weights.IMAGENET1K_V1.transforms` (`ImageClassification`).
pub(super) fn torchvision(picture: &RgbImage) -> Tensor {
    let side = SHORT as usize;
    let mut levels = vec![0; side * side * 3];
    torchvision_square(picture, side, &mut levels);
    let side = side as i64;
    let edge = i64::from((SHORT - CROP) / 2);
    let crop = i64::from(CROP);
    let levels = Tensor::from_slice(&levels).reshape([side, side, 3]);
    let levels = levels.narrow(0, edge, crop).narrow(1, edge, crop); // [224, 224, 3]
    let xs = levels.to_kind(Kind::Float) / 255.0;
    let xs = (xs - Tensor::from_slice(&MEAN)) / Tensor::from_slice(&STD);
    xs.permute([2, 0, 1]).unsqueeze(0).contiguous()
}

/// Writes to `out: [256, 256, 3]` what torchvision makes of a picture before it cuts the centre out, as far as it lies
/// around that: the centre view of `out` is torchvision's, to the pixel.
///
/// # Panics
/// If `side` is not [`SHORT`].
pub(crate) fn torchvision_square(picture: &RgbImage, side: usize, out: &mut [u8]) {
    assert_eq!(side, SHORT as usize, "torchvision's weights are for this side");
    let (width, height) = picture.dimensions();
    let short = width.min(height);
    let sized = |length: u32| (u64::from(SHORT) * u64::from(length) / u64::from(short)) as u32;
    let (wide, high) = (sized(width), sized(height));
    let resized = resized(picture, wide, high);
    // Python's round(), to the even number from a half.
    let edge = |length: u32| (f64::from(length - CROP) / 2.0).round_ties_even() as usize;
    let around = (SHORT - CROP) as usize / 2;
    let (top, left) = (edge(high) - around, edge(wide) - around);
    let rows = resized.as_raw().chunks_exact(wide as usize * 3).skip(top);
    for (row, out) in rows.zip(out.chunks_exact_mut(side * 3)) {
        out.copy_from_slice(&row[left * 3..(left + side) * 3]);
    }
}

#[cfg(test)]
mod tests {
    use image::Rgb;
    use tch::IndexOp as _;

    use super::*;

    #[test]
    fn our_input_is_the_centre_of_the_levels_less_the_mean_picture() {
        let picture = RgbImage::from_fn(9, 6, |x, y| Rgb([x as u8, y as u8, 7]));
        let mean: Vec<f32> = (0..6 * 6 * 3).map(|i| i as f32 / 10.0).collect();
        let xs = ours(&picture, &mean, Preprocessing { side: 6, scale: 2.0 }, 4);
        assert_eq!(xs.size(), [1, 3, 4, 4]);
        for (y, x, c) in [(0_i64, 0_i64, 0), (1, 3, 1), (3, 2, 2)] {
            // The centre of 9 columns begins at 1; the view at 1 of 6.
            let level = [x + 1 + 1, y + 1, 7][c];
            let mean = ((y + 1) * 6 + x + 1) as f64 * 0.3 + 0.1 * c as f64;
            let wanted = 2.0 * (level as f64 - mean);
            let found = xs.i((0, c as i64, y, x)).double_value(&[]);
            assert!((found - wanted).abs() < 1e-4, "{c} at {y}, {x}: {found}, wanted {wanted}");
        }
    }
}
