//! A picture of any size to `side × side`: the short side to `side`, then the centre.

use fast_image_resize::CropBox;
use image::RgbImage;

use super::resize::resize;

/// Writes the centre square of `picture`, resized, to `out: [side, side, 3]`.
///
/// Only the square is resized, which is the same as to resize all and cut afterwards, to within the rounding of the
/// long side to whole pixels.
///
/// Source: Krizhevsky et al. 2012, section 2. Differs: the paper names no filter.
///
/// # Panics
/// If `out` has another size, or the picture no pixels.
pub fn square(picture: &RgbImage, side: usize, out: &mut [u8]) {
    let (width, height) = (picture.width(), picture.height());
    let short = width.min(height);
    if short as usize == side {
        let left = ((width - short) / 2) as usize * 3;
        let rows = picture.as_raw().chunks_exact(width as usize * 3);
        let rows = rows.skip(((height - short) / 2) as usize);
        for (row, out) in rows.zip(out.chunks_exact_mut(side * 3)) {
            out.copy_from_slice(&row[left..left + side * 3]);
        }
        return;
    }
    let edge = |length: u32| f64::from(length - short) / 2.0;
    let short = f64::from(short);
    let centre = CropBox { left: edge(width), top: edge(height), width: short, height: short };
    resize(picture, centre, out, side as u32, side as u32);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(name: &str) -> RgbImage {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/photos");
        image::open(format!("{folder}/{name}")).unwrap().into_rgb8()
    }

    #[test]
    fn the_centre_square_is_resized_as_pillow_resizes_it() {
        let picture = fixture("square.png");
        for side in [24, 80] {
            let mut out = vec![0; side * side * 3];
            square(&picture, side, &mut out);
            let expected = fixture(&format!("square-{side}.expected.png"));
            let most = out.iter().zip(expected.iter()).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
            assert!(most <= 1, "side {side}: {most} levels apart");
        }
    }

    #[test]
    fn a_picture_of_the_right_short_side_is_cut_and_not_touched() {
        for (width, height, left, top) in [(9, 4, 2, 0), (4, 9, 0, 2), (4, 4, 0, 0)] {
            let picture =
                RgbImage::from_fn(width, height, |x, y| image::Rgb([x as u8, y as u8, 7]));
            let mut out = vec![0; 4 * 4 * 3];
            square(&picture, 4, &mut out);
            for (at, pixel) in out.chunks_exact(3).enumerate() {
                assert_eq!(pixel, [left + (at % 4) as u8, top + (at / 4) as u8, 7]);
            }
        }
    }

    #[test]
    fn a_high_and_a_wide_picture_are_treated_alike() {
        let wide = fixture("square.png");
        let high = image::imageops::rotate90(&wide);
        let (mut of_wide, mut of_high) = (vec![0; 24 * 24 * 3], vec![0; 24 * 24 * 3]);
        square(&wide, 24, &mut of_wide);
        square(&high, 24, &mut of_high);
        let turned = image::imageops::rotate90(&RgbImage::from_raw(24, 24, of_wide).unwrap());
        let most = turned.iter().zip(&of_high).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        // Rows first or columns first: the level between is rounded once.
        assert!(most <= 1, "{most} levels apart");
    }
}
