//! SVG to PNG, with the bundled font only.

use resvg::tiny_skia::{Color, Pixmap, Transform};
use resvg::usvg::{Options, Tree};

use super::{Picture, PlotError, font};

/// Picture elements of the PNG to each unit of the SVG.
pub(super) const SCALE: f32 = 2.0;

/// A PNG beyond this many bytes is rendered smaller: photographs hardly pack, and a figure of them is no clearer
/// with more picture elements than they have.
const LARGE: usize = 800_000;
/// Picture elements to each unit in that case.
const SMALLER: f32 = 1.5;

/// Renders an SVG document on white; `what` names it in errors.
pub(super) fn render(svg: &str, what: &str) -> Result<Vec<u8>, PlotError> {
    let png = render_at(svg, what, SCALE)?;
    if png.len() > LARGE { render_at(svg, what, SMALLER) } else { Ok(png) }
}

fn render_at(svg: &str, what: &str, scale: f32) -> Result<Vec<u8>, PlotError> {
    let failed = |reason: String| PlotError::Render { what: what.to_owned(), reason };
    let options = Options {
        fontdb: font::database(),
        font_family: font::BUNDLED.to_owned(),
        ..Options::default()
    };
    let tree = Tree::from_str(svg, &options).map_err(|e| failed(e.to_string()))?;
    let pixels = |length: f32| (length * scale).round() as u32;
    let (width, height) = (pixels(tree.size().width()), pixels(tree.size().height()));
    let mut picture = Pixmap::new(width, height)
        .ok_or_else(|| failed(format!("no memory for {width} x {height} picture elements")))?;
    picture.fill(Color::WHITE);
    resvg::render(&tree, Transform::from_scale(scale, scale), &mut picture.as_mut());
    // On white nothing shines through: three bytes a pixel say all, and pack better than four.
    let rgb = picture.pixels().iter().flat_map(|p| [p.red(), p.green(), p.blue()]).collect();
    Ok(Picture::new(width as usize, height as usize, rgb).to_png())
}
