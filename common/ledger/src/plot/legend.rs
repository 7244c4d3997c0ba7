//! The legend: one entry for each label of a figure, in rows below the panels.

use plotters::element::{Circle, PathElement, Polygon, Rectangle};
use plotters::style::{Color as _, RGBColor};

use super::canvas::{Align, Area, DRAWS, Type, half_cap, text, units};
use super::font::{self, Weight};
use super::panel::{Shape, dashes, marker, stroke};
use super::{Figure, Series, Style, palette};

/// What the sample of an entry shows.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Sample {
    Series { style: Style, band: bool, shape: Shape },
    Reference { dashes: usize },
}

/// One entry: its sample and its text.
#[derive(Clone, Debug, PartialEq)]
struct Entry {
    label: String,
    colour: RGBColor,
    sample: Sample,
}

/// A legend laid out for a width; `height` px tall.
#[derive(Debug)]
pub(super) struct Legend {
    placed: Vec<(f64, f64, Vec<String>, Entry)>, // x and y of the first baseline, lines, entry
    size: f64,
    pub(super) height: f64,
}

const SAMPLE: f64 = 2.2; // em
const GAP: f64 = 0.55; // em between sample and text
const BETWEEN: f64 = 1.6; // em between entries
const LINE: f64 = 1.5; // em from line to line

/// Lays the figure's entries out in rows of at most `width` px, in text of `size` px.
pub(super) fn lay_out(figure: &Figure, slots: &[(&str, usize)], width: f64, size: f64) -> Legend {
    let mut placed = Vec::new();
    let (mut x, mut y) = (0.0, LINE * size);
    for entry in entries(figure, slots) {
        let left = (SAMPLE + GAP) * size;
        let lines = font::wrap(&entry.label, size, Weight::Regular, width - left);
        let widest =
            lines.iter().map(|l| font::width(l, size, Weight::Regular)).fold(0.0_f64, f64::max);
        if x > 0.0 && x + left + widest > width {
            x = 0.0;
            y += LINE * size;
        }
        let extra = lines.len().saturating_sub(1) as f64 * LINE * size;
        placed.push((x, y, lines, entry));
        x += left + widest + BETWEEN * size;
        if extra > 0.0 {
            x = 0.0;
            y += extra + LINE * size;
        }
    }
    let bottom = placed
        .iter()
        .map(|(_, y, lines, _)| y + lines.len().saturating_sub(1) as f64 * LINE * size)
        .fold(0.0, f64::max);
    let height = if placed.is_empty() { 0.0 } else { bottom + 0.5 * size };
    Legend { placed, size, height }
}

impl Legend {
    /// Draws the samples of solid things; `left` and `top` in px.
    pub(super) fn draw_samples(&self, area: &Area<'_>, left: f64, top: f64) {
        for (x, y, _, entry) in &self.placed {
            if let Sample::Series { style, band, shape } = entry.sample
                && style != Style::Dashed
            {
                let middle = top + y - half_cap(self.size);
                self.sample(area, (left + x, middle), entry, (style, band, shape));
            }
        }
    }

    /// The dashed samples as `(stroke-dasharray, from, to, colour)` in px.
    pub(super) fn dashed(
        &self,
        left: f64,
        top: f64,
    ) -> Vec<(&'static str, [f64; 2], [f64; 2], RGBColor)> {
        let mut all = Vec::new();
        for (x, y, _, entry) in &self.placed {
            let pattern = match entry.sample {
                Sample::Reference { dashes: kind } => dashes(kind),
                Sample::Series { style: Style::Dashed, .. } => dashes(0),
                Sample::Series { .. } => continue,
            };
            let middle = top + y - half_cap(self.size);
            let from = [left + x, middle];
            let to = [left + x + SAMPLE * self.size, middle];
            all.push((pattern, from, to, entry.colour));
        }
        all
    }

    /// Draws the labels.
    pub(super) fn draw_labels(&self, area: &Area<'_>, left: f64, top: f64) {
        let style = Type { size: self.size, colour: palette::INK };
        for (x, y, lines, _) in &self.placed {
            for (i, line) in lines.iter().enumerate() {
                let at =
                    (left + x + (SAMPLE + GAP) * self.size, top + y + i as f64 * LINE * self.size);
                text(area, line, at.0, at.1, Align::Start, style);
            }
        }
    }

    fn sample(
        &self,
        area: &Area<'_>,
        (left, middle): (f64, f64),
        entry: &Entry,
        (style, band, shape): (Style, bool, Shape),
    ) {
        let (from, to) = (units(left), units(left + SAMPLE * self.size));
        let (y, half) = (units(middle), units(0.45 * self.size));
        let centre = i32::midpoint(from, to);
        let solid = stroke(entry.colour);
        let lines = matches!(style, Style::Line | Style::LineAndMarkers);
        if band && (lines || style == Style::Markers) {
            let pale = entry.colour.mix(super::panel::BAND_OPACITY).filled();
            area.draw(&Rectangle::new([(from, y - half), (to, y + half)], pale)).expect(DRAWS);
        }
        if lines {
            area.draw(&PathElement::new(vec![(from, y), (to, y)], solid)).expect(DRAWS);
        }
        if style == Style::Intervals {
            let tall = units(0.6 * self.size);
            area.draw(&PathElement::new(vec![(centre, y - tall), (centre, y + tall)], solid))
                .expect(DRAWS);
        }
        if matches!(style, Style::Bars | Style::Histogram) {
            let corners = [(centre - 2 * half, y - half), (centre + 2 * half, y + half)];
            let ink = entry.colour.mix(super::panel::opacity(style)).filled();
            area.draw(&Rectangle::new(corners, ink)).expect(DRAWS);
        }
        if matches!(style, Style::Markers | Style::LineAndMarkers | Style::Intervals) {
            draw_marker(area, (centre, y), shape, entry.colour);
        }
    }
}

/// Draws one marker centred on `at`, in canvas units.
pub(super) fn draw_marker(area: &Area<'_>, at: (i32, i32), shape: Shape, colour: RGBColor) {
    match marker(shape) {
        None => area.draw(&Circle::new(at, super::panel::MARKER_RADIUS, colour.filled())),
        Some(corners) => {
            let moved: Vec<_> = corners.iter().map(|(x, y)| (at.0 + x, at.1 + y)).collect();
            area.draw(&Polygon::new(moved, colour.filled()))
        }
    }
    .expect(DRAWS);
}

/// Entries in the order the panels name them; the same label with the same look is named once.
fn entries(figure: &Figure, slots: &[(&str, usize)]) -> Vec<Entry> {
    let mut ours: Vec<Entry> = Vec::new();
    let mut published: Vec<Entry> = Vec::new();
    for panel in &figure.panels {
        for mark in panel.gallery.iter().flat_map(|gallery| &gallery.marks) {
            let (style, shape) = (Style::Bars, Shape::of(mark.colour));
            let sample = Sample::Series { style, band: false, shape };
            let (label, colour) = (mark.label.clone(), palette::colour(mark.colour));
            let entry = Entry { label, colour, sample };
            if !ours.contains(&entry) {
                ours.push(entry);
            }
        }
        for series in panel.series.iter().filter(|s| !s.label.is_empty()) {
            let slot = slot_of(series, slots);
            let band = !series.band.is_empty();
            let sample = Sample::Series { style: series.style, band, shape: Shape::of(slot) };
            let label = label_of(series);
            let entry = Entry { label, colour: palette::colour(slot), sample };
            let same = |e: &&mut Entry| {
                e.label == entry.label
                    && matches!(e.sample, Sample::Series { style, .. } if style == series.style)
            };
            match ours.iter_mut().find(same) {
                None => ours.push(entry),
                Some(known) => {
                    if let Sample::Series { band: known, .. } = &mut known.sample {
                        *known |= band;
                    }
                }
            }
        }
        for (i, reference) in panel.references.iter().enumerate() {
            let colour = reference.colour.map_or(palette::MUTED, palette::colour);
            let sample = Sample::Reference { dashes: super::panel::dash_kind(panel, i) };
            let entry = Entry { label: reference.label.clone(), colour, sample };
            if !entry.label.is_empty() && !published.contains(&entry) {
                published.push(entry);
            }
        }
    }
    ours.append(&mut published);
    ours
}

/// The palette slot of a series.
pub(super) fn slot_of(series: &Series, slots: &[(&str, usize)]) -> usize {
    let by_label = || slots.iter().find(|(label, _)| *label == series.label).map(|(_, slot)| *slot);
    series.colour.or_else(by_label).unwrap_or(0)
}

fn label_of(series: &Series) -> String {
    let drawn = series.points.iter().any(|p| p.0.is_finite() && p.1.is_finite());
    if drawn || !series.band.is_empty() {
        series.label.clone()
    } else {
        format!("{} (no data)", series.label)
    }
}
