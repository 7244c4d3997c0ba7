//! Class folders of pictures.

use std::path::Path;

use image::ImageReader;

use super::error::DataError;

/// Decodes one picture of `(height, width)` into `out: [3, height, width]`; the format is sniffed.
/// `place` says where in `path` the picture stands, for the error.
pub(crate) fn decode_rgb(
    path: &Path,
    place: &str,
    bytes: &[u8],
    (height, width): (usize, usize),
    out: &mut [u8],
) -> Result<(), DataError> {
    let bad = |found: String| {
        DataError::malformed(path, place, found, format!("a {width}x{height} JPEG or PNG picture"))
    };
    let picture = ImageReader::new(std::io::Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|e| bad(e.to_string()))?
        .decode()
        .map_err(|e| bad(e.to_string()))?
        .into_rgb8();
    if (picture.height() as usize, picture.width() as usize) != (height, width) {
        return Err(bad(format!("{}x{} pixels", picture.width(), picture.height())));
    }
    let plane = height * width;
    for (i, pixel) in picture.as_raw().chunks_exact(3).enumerate() {
        for (channel, level) in pixel.iter().enumerate() {
            out[channel * plane + i] = *level; // [height, width, 3] to [3, height, width]
        }
    }
    Ok(())
}
