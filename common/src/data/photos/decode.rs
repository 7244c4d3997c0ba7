//! One file's bytes to red, green and blue.
//!
//! JPEG (baseline and progressive; grey, YCbCr, RGB, CMYK and YCCK) and PNG (grey, palette, alpha, 16
//! bits), told by their first bytes whatever the name. The turn that a camera noted (EXIF) is carried
//! out; alpha is laid over white; 16 bits become 8; colour profiles are not applied. CMYK is taken as
//! inverted, as Adobe writes it; Pillow does the same.

use std::io::Cursor;

use image::codecs::png::PngDecoder;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, RgbImage};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use crate::data::image_folder::Format;

/// Larger pictures are refused before memory is taken for them: 300 MB for each thread.
const MOST_PIXELS: usize = 100_000_000;

/// Why a file is not a picture that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadPicture(String);

/// The picture in `bytes`, turned upright.
///
/// # Errors
/// Bytes that are neither JPEG nor PNG, damaged, cut short, or more than 100 million pixels.
pub fn decode(bytes: &[u8]) -> Result<RgbImage, BadPicture> {
    match Format::of(bytes) {
        Some(Format::Jpeg) => jpeg(bytes),
        Some(Format::Png) => png(bytes),
        None if bytes.is_empty() => Err(BadPicture("the file is empty".to_owned())),
        None => Err(BadPicture("neither JPEG nor PNG".to_owned())),
    }
}

fn jpeg(bytes: &[u8]) -> Result<RgbImage, BadPicture> {
    let bad = |e: zune_jpeg::errors::DecodeErrors| BadPicture(format!("damaged JPEG: {e}"));
    let options = DecoderOptions::default()
        .set_strict_mode(true) // damage is an error, not a grey area
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX))
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(bad)?;
    let (width, height) = decoder.dimensions().expect("the headers are decoded");
    check_size(width, height)?;
    if !ends(bytes) {
        return Err(BadPicture("damaged JPEG: the file is cut short".to_owned()));
    }
    let mut pixels = vec![0; width * height * 3];
    decoder.decode_into(&mut pixels).map_err(bad)?;
    let turn = decoder.exif().and_then(|exif| Orientation::from_exif_chunk(exif));
    let picture = RgbImage::from_raw(width as u32, height as u32, pixels)
        .expect("the buffer is as large as the picture");
    Ok(upright(picture, turn.unwrap_or(Orientation::NoTransforms)))
}

/// Whether the marker that ends a JPEG follows its last scan.
fn ends(bytes: &[u8]) -> bool {
    let mut rest = &bytes[2..]; // after the marker that begins it
    loop {
        // To the next marker; inside a scan 0xFF is data when a zero follows, and RST0–7 go on with it.
        let Some(at) = rest.iter().position(|&byte| byte == 0xff) else { return false };
        rest = &rest[at + 1..];
        match rest {
            [0xd9, ..] => return true,
            [0x00 | 0x01 | 0xd0..=0xd7, after @ ..] => rest = after,
            [0xff, ..] => {} // padding before a marker
            [_, high, low, ..] => {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                let Some(after) = rest.get(1 + length..) else { return false };
                rest = after;
            }
            _ => return false,
        }
    }
}

fn png(bytes: &[u8]) -> Result<RgbImage, BadPicture> {
    let bad = |e: image::ImageError| BadPicture(format!("damaged PNG: {e}"));
    let mut decoder = PngDecoder::new(Cursor::new(bytes)).map_err(bad)?;
    let (width, height) = decoder.dimensions();
    check_size(width as usize, height as usize)?;
    let turn = decoder.orientation().map_err(bad)?;
    let picture = DynamicImage::from_decoder(decoder).map_err(bad)?;
    let flat = if picture.color().has_alpha() { over_white(&picture) } else { picture.into_rgb8() };
    Ok(upright(flat, turn))
}

fn check_size(width: usize, height: usize) -> Result<(), BadPicture> {
    if width.saturating_mul(height) > MOST_PIXELS {
        let found =
            format!("{width}×{height} pixels, wanted at most {} million", MOST_PIXELS / 1_000_000);
        return Err(BadPicture(found));
    }
    Ok(())
}

fn over_white(picture: &DynamicImage) -> RgbImage {
    let picture = picture.to_rgba8();
    let pixels = picture.pixels().flat_map(|pixel| {
        let [r, g, b, alpha] = pixel.0.map(u32::from);
        [r, g, b].map(|level| ((level * alpha + 255 * (255 - alpha) + 127) / 255) as u8)
    });
    RgbImage::from_raw(picture.width(), picture.height(), pixels.collect())
        .expect("three levels for each pixel")
}

fn upright(picture: RgbImage, turn: Orientation) -> RgbImage {
    if turn == Orientation::NoTransforms {
        return picture;
    }
    let mut picture = DynamicImage::ImageRgb8(picture);
    picture.apply_orientation(turn);
    picture.into_rgb8()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    fn fixture(name: &str) -> Vec<u8> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/photos");
        let path = PathBuf::from(folder).join(name);
        fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    /// Largest and mean distance in levels from what Pillow makes of the same file.
    fn apart(name: &str) -> (u8, f64) {
        let picture = decode(&fixture(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        let stem = name.rsplit_once('.').unwrap().0;
        let expected = fixture(&format!("{stem}.expected.png"));
        let expected = image::load_from_memory(&expected).unwrap().into_rgb8();
        assert_eq!(picture.dimensions(), expected.dimensions(), "{name}");
        let differences: Vec<u8> =
            picture.iter().zip(expected.iter()).map(|(a, b)| a.abs_diff(*b)).collect();
        let sum: f64 = differences.iter().map(|&d| f64::from(d)).sum();
        (differences.iter().copied().max().unwrap(), sum / differences.len() as f64)
    }

    #[test]
    fn every_kind_of_jpeg_decodes_as_pillow_decodes_it() {
        // libjpeg-turbo rounds its inverse transform and colours another way: a level or two.
        for name in ["baseline-444", "progressive", "restarts", "direct", "grey", "cmyk", "ycck"] {
            let (most, mean) = apart(&format!("{name}.jpg"));
            assert!(most <= 3 && mean < 0.5, "{name}: {most} at most, {mean:.2} on average");
        }
        // Colours at half resolution are spread over their pixels by other weights at sharp edges.
        for name in ["baseline-420", "baseline-422"] {
            let (most, mean) = apart(&format!("{name}.jpg"));
            assert!(most <= 6 && mean < 0.6, "{name}: {most} at most, {mean:.2} on average");
        }
    }

    #[test]
    fn a_picture_is_turned_as_the_camera_noted() {
        for turn in 1..=8 {
            let (most, _) = apart(&format!("turn-{turn}.jpg"));
            assert!(most <= 3, "orientation {turn}: {most} levels apart");
        }
    }

    #[test]
    fn every_kind_of_png_decodes_as_pillow_decodes_it_under_any_name() {
        for name in [
            "rgb.png",
            "disguised.jpg",
            "alpha.png",
            "grey-alpha.png",
            "palette.png",
            "palette-clear.png",
            "black-and-white.png",
            "grey-16.png",
        ] {
            assert_eq!(apart(name).0, 0, "{name}");
        }
    }

    #[test]
    fn a_jpeg_cut_anywhere_is_damaged() {
        for name in ["baseline-420.jpg", "progressive.jpg", "restarts.jpg", "turn-6.jpg"] {
            let bytes = fixture(name);
            for end in 0..bytes.len() - 1 {
                assert!(decode(&bytes[..end]).is_err(), "{name} cut at {end} of {}", bytes.len());
            }
            let trailed = [bytes, vec![0; 20]].concat();
            assert!(decode(&trailed).is_ok(), "{name} with zeros after its end");
        }
    }

    #[test]
    fn what_is_no_picture_says_so() {
        let said = |bytes: &[u8]| decode(bytes).unwrap_err().to_string();
        assert_eq!(said(b""), "the file is empty");
        assert_eq!(said(b"GIF89a"), "neither JPEG nor PNG");
        let png = fixture("rgb.png");
        assert!(said(&png[..png.len() / 2]).starts_with("damaged PNG: "));
        let mut flipped = png;
        let middle = flipped.len() / 2;
        flipped[middle] ^= 0x10;
        assert!(said(&flipped).starts_with("damaged PNG: "));
        let mut jpeg = fixture("baseline-444.jpg");
        let sof = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
        jpeg[sof + 5..sof + 9].copy_from_slice(&[0x7f; 4]);
        assert_eq!(said(&jpeg), "32639×32639 pixels, wanted at most 100 million");
    }
}
