//! A table of texts in place of axes, e.g. what a model wrote before and after.

use plotters::element::Rectangle;
use plotters::style::Color as _;

use super::canvas::{Align, Canvas, DRAWS, Type, text, units, weight};
use super::font::{self, Weight};
use super::palette;

/// Texts in rows and columns, each wrapped to its column.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// The heading of each column, and its share of the width.
    pub columns: Vec<(String, f64)>,
    /// One text for each column.
    pub rows: Vec<Vec<String>>,
}

/// em from line to line, and from row to row besides.
const LINE: f64 = 1.3;
const ROW: f64 = 0.9;
/// em between columns.
const GAP: f64 = 1.0;

/// A table laid out for a width; lengths in px.
#[derive(Debug)]
pub(super) struct LaidOut {
    size: f64,
    width: f64,
    /// Left edge of each column.
    lefts: Vec<f64>,
    /// Lines of each cell: the headings first, then row by row.
    rows: Vec<Vec<Vec<String>>>,
    /// Top of each row.
    tops: Vec<f64>,
    pub(super) height: f64,
}

impl Table {
    /// Lays the texts out over `width` px, with letters of `size` px.
    pub(super) fn lay_out(&self, width: f64, size: f64) -> LaidOut {
        let total: f64 = self.columns.iter().map(|(_, share)| share).sum();
        let room = width - GAP * size * (self.columns.len() as f64 - 1.0).max(0.0);
        let widths: Vec<f64> = self.columns.iter().map(|(_, share)| room * share / total).collect();
        let mut lefts = Vec::with_capacity(widths.len());
        let mut left = 0.0;
        for width in &widths {
            lefts.push(left);
            left += width + GAP * size;
        }
        let heading: Vec<String> = self.columns.iter().map(|(name, _)| name.clone()).collect();
        let of = |row: &Vec<String>, weight| -> Vec<Vec<String>> {
            let cells = row.iter().zip(&widths);
            cells.map(|(cell, width)| font::wrap(cell, size, weight, *width)).collect()
        };
        let rows: Vec<Vec<Vec<String>>> = std::iter::once(of(&heading, Weight::SemiBold))
            .chain(self.rows.iter().map(|row| of(row, Weight::Regular)))
            .collect();
        let mut tops = Vec::with_capacity(rows.len());
        let mut height = 0.0;
        for row in &rows {
            tops.push(height);
            let lines = row.iter().map(Vec::len).max().unwrap_or(0).max(1) as f64;
            height += size * (LINE * lines + ROW);
        }
        LaidOut { size, width, lefts, rows, tops, height }
    }
}

impl LaidOut {
    /// Draws the table with its corner at `left` and `top`.
    pub(super) fn draw(&self, canvas: &mut Canvas, left: f64, top: f64) {
        canvas.group("", |area| {
            for y in self.tops.iter().skip(1).map(|y| top + y - 0.45 * ROW * self.size) {
                let corners = [(units(left), units(y)), (units(left + self.width), units(y + 0.8))];
                area.draw(&Rectangle::new(corners, palette::GRID.filled())).expect(DRAWS);
            }
        });
        let style = Type { size: self.size, colour: palette::INK };
        for (is_heading, attributes) in [(true, weight(Weight::SemiBold)), (false, "")] {
            canvas.group(attributes, |area| {
                let rows = self.rows.iter().zip(&self.tops).enumerate();
                for (_, (row, y)) in rows.filter(|(i, _)| (*i == 0) == is_heading) {
                    for (cell, x) in row.iter().zip(&self.lefts) {
                        for (line, k) in cell.iter().zip(0..) {
                            let baseline = top + y + self.size * (1.0 + LINE * f64::from(k));
                            text(area, line, left + x, baseline, Align::Start, style);
                        }
                    }
                }
            });
        }
    }
}
