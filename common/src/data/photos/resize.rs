//! Pictures of other sizes, by the triangle filter ("bilinear") widened to the scale, so that nothing aliases: what
//! Pillow and torchvision do by default.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{CropBox, FilterType, ResizeAlg, ResizeOptions, Resizer};
use image::RgbImage;

/// All of `picture`, resized to `width × height`.
///
/// # Panics
/// If either picture has no pixels.
pub fn resized(picture: &RgbImage, width: u32, height: u32) -> RgbImage {
    let (wide, high) = picture.dimensions();
    let all = CropBox { left: 0.0, top: 0.0, width: wide.into(), height: high.into() };
    let mut out = RgbImage::new(width, height);
    resize(picture, all, &mut out, width, height);
    out
}

/// Writes the `part` of `picture` to `out: [height, width, 3]`.
///
/// # Panics
/// If `out` has another size, or `part` lies outside the picture or is empty.
// The one place: for each kind of pixel, filter and instruction set the library is compiled anew where it is called.
pub(super) fn resize(picture: &RgbImage, part: CropBox, out: &mut [u8], width: u32, height: u32) {
    let source =
        TypedImageRef::<U8x3>::from_buffer(picture.width(), picture.height(), picture.as_raw())
            .expect("a picture has three levels a pixel");
    let mut target =
        TypedImage::<U8x3>::from_buffer(width, height, out).expect("`out` is height × width × 3");
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
        .crop(part.left, part.top, part.width, part.height);
    Resizer::new()
        .resize_typed(&source, &mut target, &options)
        .expect("the part lies inside the picture");
}
