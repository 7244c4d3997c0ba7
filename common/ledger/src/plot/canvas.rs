//! The SVG document: groups of shapes, each drawn by plotters.
//!
//! plotters counts in whole units, so a canvas has [`UNITS`] of them to the px and the document's
//! view box scales them down. What plotters' backend cannot say (dashes, clipping, joins) is said
//! once on the group around the shapes.

use std::fmt::Write as _;

use plotters::coord::Shift;
use plotters::prelude::{DrawingArea, IntoDrawingArea as _, RGBColor, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color as _, FontTransform, IntoFont as _, TextStyle};

use super::font::{self, CAP_HEIGHT, Weight};
use super::gallery::Scaling;
use super::picture::Picture;

/// Canvas units to the px.
pub(super) const UNITS: f64 = 10.0;

/// Where plotters draws, in canvas units.
pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// plotters cannot fail on a string; every draw call ends with this.
pub(super) const DRAWS: &str = "drawing into a string does not fail";

/// A length in px as canvas units.
pub(super) fn units(px: f64) -> i32 {
    (px * UNITS).round() as i32
}

/// How a text stands at its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    Start,
    Middle,
    End,
}

/// How a text looks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Type {
    /// px
    pub(super) size: f64,
    pub(super) colour: RGBColor,
}

/// A document in the making; sizes in px.
#[derive(Debug)]
pub(super) struct Canvas {
    pub(super) width: f64,
    pub(super) height: f64,
    definitions: String,
    body: String,
    clips: usize,
}

impl Canvas {
    pub(super) fn new(width: f64, height: f64) -> Self {
        Self { width, height, definitions: String::new(), body: String::new(), clips: 0 }
    }

    /// Adds what `draw` draws, in a group with these attributes.
    pub(super) fn group(&mut self, attributes: &str, draw: impl FnOnce(&Area<'_>)) {
        let mut svg = String::new();
        {
            let size = (units(self.width) as u32, units(self.height) as u32);
            let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
            draw(&area);
            area.present().expect(DRAWS);
        }
        // plotters wraps the shapes in a root element of its own; only the shapes are wanted.
        let start = svg.find(">\n").map_or(0, |i| i + 2);
        let shapes =
            svg[start..].trim_end().trim_end_matches("</svg>").replace(" opacity=\"1\"", "");
        if !shapes.is_empty() {
            let space = if attributes.is_empty() { "" } else { " " };
            let _ = write!(self.body, "<g{space}{attributes}>\n{shapes}</g>\n");
        }
    }

    /// Adds a picture at `[left, top, width, height]` px.
    pub(super) fn picture(&mut self, picture: &Picture, at: [f64; 4], scaling: Scaling) {
        let [x, y, width, height] = at.map(units);
        let scaled = match scaling {
            Scaling::Smooth => "",
            Scaling::Pixelated => " style=\"image-rendering:pixelated\"",
        };
        let _ = writeln!(
            self.body,
            "<image x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" \
             preserveAspectRatio=\"none\"{scaled} href=\"{}\"/>",
            picture.data_uri()
        );
    }

    /// Defines a rectangle to clip with, in px, and returns the attribute that uses it.
    pub(super) fn clip(&mut self, left: f64, top: f64, width: f64, height: f64) -> String {
        let id = format!("@clip{}", self.clips); // the @ becomes the document's own prefix
        self.clips += 1;
        let (x, y, w, h) = (units(left), units(top), units(width), units(height));
        let _ = writeln!(
            self.definitions,
            "<clipPath id=\"{id}\"><rect x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\"/></clipPath>"
        );
        format!("clip-path=\"url(#{id})\"")
    }

    /// The finished document. Ids start with a hash of the content, so that several documents can
    /// stand in one page.
    pub(super) fn finish(self, title: &str, description: &str) -> String {
        let prefix = format!("f{:08x}", fnv1a(&[title, &self.body]));
        let (w, h) = (self.width, self.height);
        let (wide, high) = (units(w), units(h));
        let (title, description) = (escape(title), escape(description));
        let definitions = self.definitions.replace("@clip", &format!("{prefix}-clip"));
        let body = self.body.replace("url(#@clip", &format!("url(#{prefix}-clip"));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w}\" height=\"{h}\" \
             viewBox=\"0 0 {wide} {high}\" role=\"img\" \
             aria-labelledby=\"{prefix}-title {prefix}-desc\">\n\
             <title id=\"{prefix}-title\">{title}</title>\n\
             <desc id=\"{prefix}-desc\">{description}</desc>\n\
             <defs>\n{definitions}</defs>\n{body}</svg>\n"
        )
    }
}

/// Draws one line of text whose baseline runs through `(x, y)` px.
pub(super) fn text(area: &Area<'_>, text: &str, x: f64, y: f64, align: Align, style: Type) {
    // plotters puts the baseline 0.76 em under the top.
    let at = (units(x), units(y - 0.76 * style.size));
    area.draw_text(text, &text_style(align, style, FontTransform::None), at).expect(DRAWS);
}

/// Draws text that reads upwards, centred on `y`, with its baseline at `x` px.
pub(super) fn upward_text(area: &Area<'_>, text: &str, x: f64, y: f64, style: Type) {
    let at = (units(x - 0.76 * style.size), units(y));
    let turned = text_style(Align::Middle, style, FontTransform::Rotate270);
    area.draw_text(text, &turned, at).expect(DRAWS);
}

/// How far under the middle of a capital letter its baseline is, in px.
pub(super) fn half_cap(size: f64) -> f64 {
    0.5 * CAP_HEIGHT * size
}

fn text_style(align: Align, style: Type, turn: FontTransform) -> TextStyle<'static> {
    let h = match align {
        Align::Start => HPos::Left,
        Align::Middle => HPos::Center,
        Align::End => HPos::Right,
    };
    // plotters' SVG backend divides sizes by 1.24.
    let font = (font::FAMILY, style.size * UNITS * 1.24).into_font().transform(turn);
    TextStyle { font, color: style.colour.to_backend_color(), pos: Pos::new(h, VPos::Top) }
}

/// The attribute that sets a text group's weight.
pub(super) fn weight(weight: Weight) -> &'static str {
    match weight {
        Weight::Regular => "",
        Weight::SemiBold => "font-weight=\"600\"",
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// 32-bit FNV-1a over the parts.
fn fnv1a(parts: &[&str]) -> u32 {
    let bytes = parts.iter().flat_map(|part| part.bytes());
    bytes.fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
