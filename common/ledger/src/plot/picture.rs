//! Small RGB pictures: read from and written as PNG, and standing in the SVG as such.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::PlotError;

/// A picture of `width × height` with three bytes, red, green and blue, to the pixel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    width: usize,
    height: usize,
    /// `[height, width, 3]`
    rgb: Vec<u8>,
}

impl Picture {
    /// A picture from its bytes `rgb: [height, width, 3]`.
    ///
    /// # Panics
    /// If there are not `3 · width · height` bytes, or none.
    pub fn new(width: usize, height: usize, rgb: Vec<u8>) -> Self {
        assert!(
            rgb.len() == 3 * width * height && !rgb.is_empty(),
            "{} bytes for {width} x {height} pixels of 3",
            rgb.len()
        );
        Self { width, height, rgb }
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The bytes, `[height, width, 3]`.
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    /// The part of `width × height` whose corner is at column `left` and row `top`; `None` where it
    /// reaches over an edge.
    pub fn part(&self, left: usize, top: usize, width: usize, height: usize) -> Option<Self> {
        if left + width > self.width || top + height > self.height || width * height == 0 {
            return None;
        }
        let row = |y: usize| {
            let from = 3 * (y * self.width + left);
            &self.rgb[from..from + 3 * width]
        };
        Some(Self::new(width, height, (top..top + height).flat_map(row).copied().collect()))
    }

    /// Pictures of one size side by side, `columns` in a row; black where the last row is not full.
    ///
    /// # Panics
    /// If there is none, or their sizes differ.
    pub fn sheet(pictures: &[Self], columns: usize) -> Self {
        let (w, h) = (pictures[0].width, pictures[0].height);
        let rows = pictures.len().div_ceil(columns);
        let mut rgb = vec![0; 3 * columns * w * rows * h];
        for (i, picture) in pictures.iter().enumerate() {
            assert_eq!((picture.width, picture.height), (w, h), "a sheet has pictures of one size");
            for (y, line) in picture.rgb.chunks_exact(3 * w).enumerate() {
                let at = 3 * w * ((i / columns * h + y) * columns + i % columns);
                rgb[at..at + 3 * w].copy_from_slice(line);
            }
        }
        Self::new(columns * w, rows * h, rgb)
    }

    /// The picture as a PNG file.
    ///
    /// # Panics
    /// If a side is longer than a PNG can say.
    pub fn to_png(&self) -> Vec<u8> {
        let side = |n: usize| u32::try_from(n).expect("a picture's side fits 32 bits");
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, side(self.width), side(self.height));
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_compression(png::Compression::High);
        let written = encoder.write_header().and_then(|mut png| png.write_image_data(&self.rgb));
        written.expect("writing into memory does not fail");
        bytes
    }

    /// Reads a PNG file of three bytes to the pixel, as [`Picture::to_png`] writes them.
    ///
    /// # Errors
    /// A file that cannot be read, is no PNG, or has other pixels.
    pub fn read_png(path: &Path) -> Result<Self, PlotError> {
        let refused = |reason: String| PlotError::Picture { path: path.to_owned(), reason };
        let bytes = fs::read(path).map_err(|e| refused(e.to_string()))?;
        let mut reader = png::Decoder::new(Cursor::new(bytes))
            .read_info()
            .map_err(|e| refused(format!("not a PNG picture: {e}")))?;
        let info = reader.info();
        let (colour, depth) = (info.color_type, info.bit_depth);
        if (colour, depth) != (png::ColorType::Rgb, png::BitDepth::Eight) {
            return Err(refused(format!(
                "found {colour:?} pixels of {depth:?} bits, wanted Rgb of Eight"
            )));
        }
        let (width, height) = (info.width as usize, info.height as usize);
        let mut rgb = vec![0; 3 * width * height];
        reader.next_frame(&mut rgb).map_err(|e| refused(format!("damaged: {e}")))?;
        Ok(Self::new(width, height, rgb))
    }

    /// The picture as an address that holds all of it.
    pub(super) fn data_uri(&self) -> String {
        format!("{DATA_URI}{}", STANDARD.encode(self.to_png()))
    }
}

/// How the address of a picture that stands in an SVG begins.
pub(crate) const DATA_URI: &str = "data:image/png;base64,";
