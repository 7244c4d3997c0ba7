//! Pictures in rows, with a line of text and horizontal bars under each.

use plotters::element::{PathElement, Rectangle};
use plotters::style::{Color as _, RGBColor};

use super::canvas::{Align, Canvas, DRAWS, Type, half_cap, text, units};
use super::font::{self, Weight};
use super::picture::Picture;
use super::{palette, panel};

/// Pictures in rows: what a panel shows instead of axes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gallery {
    /// Drawn row by row.
    pub tiles: Vec<Tile>,
    /// Pictures in a row, from 1.
    pub columns: usize,
    /// So many at the start of each row stand apart from the others.
    pub apart: usize,
    /// How a picture gets to the size at which it is drawn.
    pub scaling: Scaling,
    /// What the colours of frames and bars say; named in the legend.
    pub marks: Vec<Mark>,
}

/// One picture and what is said about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Tile {
    /// The picture.
    pub picture: Picture,
    /// Printed under it, on two lines at the most; may be empty.
    pub caption: String,
    /// The index of a mark, for a frame in its colour.
    pub mark: Option<usize>,
    /// Drawn under the caption, from top to bottom.
    pub bars: Vec<Bar>,
}

/// A share of a whole, as a bar from the picture's left edge that reaches its right one at 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// Printed on the bar.
    pub label: String,
    /// From 0 to 1; printed in per cent at the right edge.
    pub share: f64,
    /// The index of a mark, for its colour; grey without.
    pub mark: Option<usize>,
}

/// A colour that says something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Named in the legend.
    pub label: String,
    /// A slot of the palette.
    pub colour: usize,
}

/// How a picture gets to the size at which it is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scaling {
    /// Smoothly, for photographs.
    #[default]
    Smooth,
    /// Each pixel becomes a rectangle, for kernels.
    Pixelated,
}

/// Lines of text under a picture, at the most.
const CAPTION_LINES: usize = 2;
/// em from line to line of a caption, and from bar to bar.
const CAPTION_LINE: f64 = 1.25;
const BAR_LINE: f64 = 1.5;
/// em, the height of a bar.
const BAR: f64 = 1.32;
/// Opacity of a bar: ink on it stays legible.
const BAR_OPACITY: f64 = 0.38;
/// px, the width of a frame.
const FRAME: f64 = 2.5;

/// A gallery laid out for a width; lengths in px.
#[derive(Debug)]
pub(super) struct LaidOut<'a> {
    gallery: &'a Gallery,
    size: f64,
    side: f64,
    /// Left edge of each column.
    lefts: Vec<f64>,
    /// Top of each row.
    tops: Vec<f64>,
    /// Height of the pictures in each row.
    heights: Vec<f64>,
    /// Lines under each picture: those of the longest caption.
    lines: usize,
    captions: Vec<Vec<String>>,
    pub(super) height: f64,
}

impl Gallery {
    /// Lays the pictures out over `width` px, with text of `size` px.
    pub(super) fn lay_out(&self, width: f64, size: f64) -> LaidOut<'_> {
        let columns = self.columns.max(1);
        let gap = (0.08 * width / columns as f64).clamp(3.0, 14.0);
        let stands_apart = self.apart > 0 && self.apart < columns;
        let aisle = if stands_apart { 2.0 * gap } else { 0.0 };
        let side = (width - aisle - gap * (columns as f64 - 1.0)) / columns as f64;
        let lefts = (0..columns)
            .map(|c| c as f64 * (side + gap) + if c >= self.apart { aisle } else { 0.0 })
            .collect();
        let captions: Vec<Vec<String>> =
            self.tiles.iter().map(|tile| caption_lines(&tile.caption, size, side)).collect();
        let mut y = 0.0;
        let lines = captions.iter().map(Vec::len).max().unwrap_or(0);
        let (mut tops, mut heights) = (Vec::new(), Vec::new());
        for row in self.tiles.chunks(columns) {
            let high = |t: &Tile| side * t.picture.height() as f64 / t.picture.width() as f64;
            let height = row.iter().map(high).fold(0.0, f64::max);
            let bars = row.iter().map(|tile| tile.bars.len()).max().unwrap_or(0);
            tops.push(y);
            heights.push(height);
            let under = CAPTION_LINE * lines as f64 + BAR_LINE * bars as f64;
            let air = if under > 0.0 { 0.9 * size } else { 0.0 };
            y += height + under * size + air + gap;
        }
        let height = (y - gap).max(0.0);
        LaidOut { gallery: self, size, side, lefts, tops, heights, lines, captions, height }
    }
}

impl LaidOut<'_> {
    /// Draws the gallery with its corner at `left` and `top`.
    pub(super) fn draw(&self, canvas: &mut Canvas, left: f64, top: f64) {
        let columns = self.lefts.len();
        let place = |i: usize| (left + self.lefts[i % columns], top + self.tops[i / columns]);
        let under = |i: usize| place(i).1 + self.heights[i / columns];
        for (i, tile) in self.gallery.tiles.iter().enumerate() {
            let (x, y) = place(i);
            let high = self.side * tile.picture.height() as f64 / tile.picture.width() as f64;
            canvas.picture(&tile.picture, [x, y, self.side, high], self.gallery.scaling);
        }
        canvas.group("stroke-linecap=\"square\"", |area| {
            for (i, tile) in self.gallery.tiles.iter().enumerate() {
                if let Some(colour) = self.colour(tile.mark) {
                    let (x, y) = place(i);
                    // The line's middle runs along the picture's edge; plotters' rectangles have
                    // no width of line.
                    let (right, bottom) = (x + self.side, under(i));
                    let corners = [(x, y), (right, y), (right, bottom), (x, bottom), (x, y)];
                    let path = corners.map(|(x, y)| (units(x), units(y))).to_vec();
                    let line = colour.stroke_width(units(FRAME) as u32);
                    area.draw(&PathElement::new(path, line)).expect(DRAWS);
                }
                for (k, bar) in tile.bars.iter().enumerate() {
                    let (x, y) = (place(i).0, self.bar_top(under(i), k));
                    let long = self.side * bar.share.clamp(0.0, 1.0);
                    let corners =
                        [(units(x), units(y)), (units(x + long), units(y + BAR * self.size))];
                    let ink = self.colour(bar.mark).unwrap_or(palette::MUTED).mix(BAR_OPACITY);
                    area.draw(&Rectangle::new(corners, ink.filled())).expect(DRAWS);
                }
            }
        });
        canvas.group("", |area| {
            let style = Type { size: self.size, colour: palette::INK };
            let muted = panel::tick_type(self.size);
            for (i, tile) in self.gallery.tiles.iter().enumerate() {
                let x = place(i).0;
                for (k, line) in self.captions[i].iter().enumerate() {
                    let baseline = under(i) + self.size * (1.2 + CAPTION_LINE * k as f64);
                    text(area, line, x + self.side / 2.0, baseline, Align::Middle, style);
                }
                for (k, bar) in tile.bars.iter().enumerate() {
                    let middle = self.bar_top(under(i), k) + 0.5 * BAR * self.size;
                    let baseline = middle + half_cap(self.size);
                    let share = format!("{:.0} %", 100.0 * bar.share);
                    let room = font::width(&share, self.size, Weight::Regular) + 0.9 * self.size;
                    let label = font::fit(&bar.label, self.size, Weight::Regular, self.side - room);
                    text(area, &label, x + 0.35 * self.size, baseline, Align::Start, style);
                    text(area, &share, x + self.side, baseline, Align::End, muted);
                }
            }
        });
    }

    /// The top of the `k`-th bar of a tile whose picture ends at `under`.
    fn bar_top(&self, under: f64, k: usize) -> f64 {
        under + self.size * (0.6 + CAPTION_LINE * self.lines as f64 + BAR_LINE * k as f64)
    }

    fn colour(&self, mark: Option<usize>) -> Option<RGBColor> {
        mark.map(|i| palette::colour(self.gallery.marks[i].colour))
    }
}

/// A caption on so many lines as it may have, the last cut short where it is longer.
fn caption_lines(caption: &str, size: f64, limit: f64) -> Vec<String> {
    let lines = font::wrap(caption, size, Weight::Regular, limit);
    let last = CAPTION_LINES - 1;
    let mut kept: Vec<String> = lines.iter().take(last).cloned().collect();
    if lines.len() > last {
        kept.push(lines[last..].join(" "));
    }
    kept.iter().map(|line| font::fit(line, size, Weight::Regular, limit)).collect()
}
