//! One panel: axes, bands, lines, markers, bars and references inside a rectangle of the canvas.

use plotters::element::{PathElement, Polygon, Rectangle};
use plotters::style::{Color as _, RGBAColor, RGBColor, ShapeStyle};

use super::axis::{Settled, Tick};
use super::canvas::{Align, Area, Canvas, DRAWS, Type, half_cap, text, units};
use super::decimate::{self, At};
use super::legend::{draw_marker, slot_of};
use super::{Panel, ReferenceShape, Scale, Series, Style, palette};

/// Opacity of the spread over seeds.
pub(super) const BAND_OPACITY: f64 = 0.18;

/// Opacity of bars, and of bins, which show through each other where two histograms meet.
pub(super) fn opacity(style: Style) -> f64 {
    if style == Style::Histogram { 0.6 } else { 0.85 }
}

/// In canvas units.
pub(super) const MARKER_RADIUS: i32 = 35;

/// Marker shapes, so that series stay apart without colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Circle,
    Square,
    Triangle,
    Diamond,
}

impl Shape {
    pub(super) fn of(slot: usize) -> Self {
        [Self::Circle, Self::Square, Self::Triangle, Self::Diamond][slot % 4]
    }
}

/// A marker's corners around its centre; `None` for the circle.
pub(super) fn marker(shape: Shape) -> Option<Vec<At>> {
    match shape {
        Shape::Circle => None,
        Shape::Square => Some(vec![(-32, -32), (32, -32), (32, 32), (-32, 32)]),
        Shape::Triangle => Some(vec![(0, -44), (41, 30), (-41, 30)]),
        Shape::Diamond => Some(vec![(0, -46), (46, 0), (0, 46), (-46, 0)]),
    }
}

/// A line of 1.8 px.
pub(super) fn stroke(colour: RGBColor) -> ShapeStyle {
    colour.stroke_width(units(1.8) as u32)
}

/// The `stroke-dasharray` of a kind of dashes, in canvas units.
pub(super) fn dashes(kind: usize) -> &'static str {
    ["60 40", "18 32", "90 32 18 32", "140 40"][kind % 4]
}

/// Which dashes the panel's `i`-th reference has: each colour starts anew.
pub(super) fn dash_kind(panel: &Panel, i: usize) -> usize {
    let colour = panel.references[i].colour;
    panel.references[..i].iter().filter(|r| r.colour == colour).count()
}

/// The smallest distance between neighbouring x, 1 if there is none: the room for a bar.
pub(super) fn spacing(points: &[(f64, f64)]) -> f64 {
    let mut xs: Vec<f64> = points.iter().map(|p| p.0).filter(|x| x.is_finite()).collect();
    xs.sort_by(f64::total_cmp);
    let least =
        xs.windows(2).map(|w| w[1] - w[0]).filter(|d| *d > 0.0).fold(f64::INFINITY, f64::min);
    if least.is_finite() { least } else { 1.0 }
}

/// The rectangle inside the axes and the scales along it; lengths in px.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) x: Settled,
    pub(super) y: Settled,
}

impl Frame {
    /// Where a value pair is on the canvas, in canvas units; `None` if it cannot be drawn.
    pub(super) fn place(&self, x: f64, y: f64) -> Option<At> {
        let (x, y) = (self.x.fraction(x)?, self.y.fraction(y)?);
        Some((units(self.left + x * self.width), units(self.top + (1.0 - y) * self.height)))
    }

    /// Runs of points without a gap.
    fn runs(&self, points: &[(f64, f64)]) -> Vec<Vec<At>> {
        let placed: Vec<Option<At>> = points.iter().map(|p| self.place(p.0, p.1)).collect();
        placed
            .split(Option::is_none)
            .filter(|r| !r.is_empty())
            .map(|r| r.iter().flatten().copied().collect())
            .collect()
    }

    /// The y of zero, or of the bottom where there is no zero.
    fn base(&self) -> f64 {
        match self.y.scale {
            Scale::Linear => 0.0,
            Scale::Log => 10f64.powf(self.y.low),
        }
    }

    /// The low end of a spread as drawn: on a log axis one at or under zero reaches far below.
    fn shown_low(&self, low: f64) -> f64 {
        if self.y.scale == Scale::Log && low <= 0.0 { f64::MIN_POSITIVE } else { low }
    }

    fn bottom(&self) -> f64 {
        self.top + self.height
    }
}

/// Draws grid, axis lines and tick labels.
pub(super) fn draw_axes(
    canvas: &mut Canvas,
    frame: &Frame,
    x: &[Tick],
    y: &[Tick],
    style: Type,
    names: bool,
) {
    let (left, right) = (frame.left, frame.left + frame.width);
    let at_x = |tick: &Tick| frame.left + tick.at * frame.width;
    let at_y = |tick: &Tick| frame.bottom() - tick.at * frame.height;
    let line = |area: &Area<'_>, from: (f64, f64), to: (f64, f64), colour: RGBColor| {
        let ends = vec![(units(from.0), units(from.1)), (units(to.0), units(to.1))];
        area.draw(&PathElement::new(ends, colour.stroke_width(units(1.0) as u32))).expect(DRAWS);
    };
    canvas.group("", |area| {
        for tick in y.iter().filter(|t| t.label.is_some()) {
            line(area, (left, at_y(tick)), (right, at_y(tick)), palette::GRID);
        }
        for tick in x.iter().filter(|t| t.label.is_some() && !names) {
            line(area, (at_x(tick), frame.top), (at_x(tick), frame.bottom()), palette::GRID);
        }
    });
    canvas.group("stroke-linecap=\"square\"", |area| {
        line(area, (left, frame.top), (left, frame.bottom()), palette::INK);
        line(area, (left, frame.bottom()), (right, frame.bottom()), palette::INK);
        for tick in x.iter().filter(|_| !names) {
            let length = if tick.label.is_some() { 5.0 } else { 3.0 };
            line(
                area,
                (at_x(tick), frame.bottom()),
                (at_x(tick), frame.bottom() + length),
                palette::INK,
            );
        }
        for tick in y {
            let length = if tick.label.is_some() { 5.0 } else { 3.0 };
            line(area, (left, at_y(tick)), (left - length, at_y(tick)), palette::INK);
        }
    });
    canvas.group("", |area| {
        for tick in x {
            for (i, part) in tick.label.iter().flat_map(|l| l.lines()).enumerate() {
                let y = frame.bottom() + 8.0 + style.size * (0.8 + 1.2 * i as f64);
                text(area, part, at_x(tick), y, Align::Middle, style);
            }
        }
        for tick in y {
            if let Some(label) = &tick.label {
                text(area, label, left - 8.0, at_y(tick) + half_cap(style.size), Align::End, style);
            }
        }
    });
}

/// Draws everything inside the axes. `cell` is the width in px within which points are merged.
pub(super) fn draw_data(
    canvas: &mut Canvas,
    frame: &Frame,
    panel: &Panel,
    slots: &[(&str, usize)],
    cell: f64,
) {
    let clip = canvas.clip(frame.left, frame.top, frame.width, frame.height);
    let colour_of = |series: &Series| palette::colour(slot_of(series, slots));
    canvas.group(&clip, |area| {
        for series in panel.series.iter().filter(|s| is_line(s.style) || s.style == Style::Markers)
        {
            draw_band(area, frame, series, colour_of(series), cell);
        }
        for series in panel.series.iter().filter(|s| s.style == Style::Histogram) {
            draw_histogram(area, frame, series, colour_of(series));
        }
        for (series, offset, width) in side_by_side(panel, Style::Bars) {
            draw_bars(area, frame, series, colour_of(series), (offset, width));
        }
    });
    for (i, reference) in panel.references.iter().enumerate() {
        let colour = reference.colour.map_or(palette::MUTED, palette::colour);
        let dashed = format!("{clip} stroke-dasharray=\"{}\"", dashes(dash_kind(panel, i)));
        let (low_x, high_x) = (frame.left, frame.left + frame.width);
        canvas.group(&dashed, |area| match &reference.shape {
            ReferenceShape::Horizontal(value) => {
                if let Some(fraction) = frame.y.fraction(*value) {
                    let y = units(frame.bottom() - fraction * frame.height);
                    draw_runs(area, &[vec![(units(low_x), y), (units(high_x), y)]], colour, cell);
                }
            }
            ReferenceShape::Vertical(value) => {
                if let Some(fraction) = frame.x.fraction(*value) {
                    let x = units(frame.left + fraction * frame.width);
                    let ends = vec![(x, units(frame.bottom())), (x, units(frame.top))];
                    draw_runs(area, &[ends], colour, cell);
                }
            }
            ReferenceShape::Curve(points) => draw_runs(area, &frame.runs(points), colour, cell),
        });
    }
    for series in panel.series.iter().filter(|s| is_line(s.style)) {
        let dashed = if series.style == Style::Dashed { dashes(0) } else { "none" };
        let attributes = format!("{clip} stroke-linejoin=\"round\" stroke-dasharray=\"{dashed}\"");
        let colour = colour_of(series);
        canvas
            .group(&attributes, |area| draw_runs(area, &frame.runs(&series.points), colour, cell));
    }
    // Not clipped, so that a marker on the edge is whole; those outside are left out.
    canvas.group("", |area| {
        let inside = |at: &At| {
            (units(frame.left) - 1..=units(frame.left + frame.width) + 1).contains(&at.0)
                && (units(frame.top) - 1..=units(frame.bottom()) + 1).contains(&at.1)
        };
        for series in &panel.series {
            let shape = Shape::of(slot_of(series, slots));
            if matches!(series.style, Style::Markers | Style::LineAndMarkers) {
                let placed = frame.runs(&series.points).concat();
                for at in decimate::markers(&placed, units(cell)).iter().filter(|at| inside(at)) {
                    draw_marker(area, *at, shape, colour_of(series));
                }
            } else if is_line(series.style) {
                // A point alone between two gaps has no line.
                for run in frame.runs(&series.points).iter().filter(|r| r.len() == 1) {
                    if inside(&run[0]) {
                        draw_marker(area, run[0], Shape::Circle, colour_of(series));
                    }
                }
            }
        }
        for (series, offset, _) in side_by_side(panel, Style::Intervals) {
            draw_error_bars(area, frame, series, colour_of(series), offset);
            let shape = Shape::of(slot_of(series, slots));
            for point in &series.points {
                if let Some(at) = frame.place(point.0 + offset, point.1).filter(inside) {
                    draw_marker(area, at, shape, colour_of(series));
                }
            }
        }
        for (series, offset, _) in side_by_side(panel, Style::Bars) {
            draw_error_bars(area, frame, series, palette::INK, offset);
        }
    });
}

fn is_line(style: Style) -> bool {
    matches!(style, Style::Line | Style::Dashed | Style::LineAndMarkers)
}

fn draw_runs(area: &Area<'_>, runs: &[Vec<At>], colour: RGBColor, cell: f64) {
    for run in runs.iter().filter(|r| r.len() > 1) {
        let thinned = decimate::line(run, units(cell));
        area.draw(&PathElement::new(thinned, stroke(colour))).expect(DRAWS);
    }
}

fn draw_band(area: &Area<'_>, frame: &Frame, series: &Series, colour: RGBColor, cell: f64) {
    let placed: Vec<Option<(At, At)>> = series
        .band
        .iter()
        .map(|&(x, low, high)| Some((frame.place(x, frame.shown_low(low))?, frame.place(x, high)?)))
        .collect();
    for run in placed.split(Option::is_none).filter(|r| r.len() > 1) {
        let (low, high): (Vec<At>, Vec<At>) = run.iter().flatten().copied().unzip();
        let mut outline = decimate::line(&high, units(cell));
        outline.extend(decimate::line(&low, units(cell)).into_iter().rev());
        area.draw(&Polygon::new(outline, colour.mix(BAND_OPACITY).filled())).expect(DRAWS);
    }
}

fn draw_histogram(area: &Area<'_>, frame: &Frame, series: &Series, colour: RGBColor) {
    for bin in series.points.windows(2) {
        let corners = (frame.place(bin[0].0, frame.base()), frame.place(bin[1].0, bin[0].1));
        if let (Some(base), Some(top)) = corners
            && base.1 != top.1
        {
            // Bins touch; a sixth of a px keeps them apart to the eye.
            let right = (top.0 - 3).max(base.0 + 1);
            draw_box(area, (base.0, top.1), (right, base.1), colour.mix(opacity(Style::Histogram)));
        }
    }
}

/// The panel's series of one style with their shift along x and the width of a bar there.
fn side_by_side(panel: &Panel, style: Style) -> Vec<(&Series, f64, f64)> {
    let all: Vec<&Series> = panel.series.iter().filter(|s| s.style == style).collect();
    let xs: Vec<(f64, f64)> = all.iter().flat_map(|s| s.points.iter().copied()).collect();
    // Intervals on a numeric axis stay at their x; named positions and bars share the room.
    let shared = style == Style::Bars || !panel.x.categories.is_empty();
    let room =
        if shared { spacing(&xs) * if style == Style::Bars { 0.78 } else { 0.5 } } else { 0.0 };
    let width = room / all.len().max(1) as f64;
    let middle = (all.len() as f64 - 1.0) / 2.0;
    all.into_iter().enumerate().map(|(i, s)| (s, (i as f64 - middle) * width, width)).collect()
}

fn draw_bars(
    area: &Area<'_>,
    frame: &Frame,
    series: &Series,
    colour: RGBColor,
    (offset, width): (f64, f64),
) {
    for &(x, y) in &series.points {
        let half = 0.47 * width;
        let base = frame.place(x + offset - half, frame.base());
        if let (Some(base), Some(top)) = (base, frame.place(x + offset + half, y)) {
            let high = top.1.min(base.1);
            // A bar of no height is a line: 0 was measured.
            let low = top.1.max(base.1).max(high + units(1.0));
            draw_box(area, (base.0, high), (top.0, low), colour.mix(opacity(Style::Bars)));
        }
    }
}

fn draw_box(area: &Area<'_>, from: At, to: At, colour: RGBAColor) {
    area.draw(&Rectangle::new([from, to], colour.filled())).expect(DRAWS);
}

fn draw_error_bars(area: &Area<'_>, frame: &Frame, series: &Series, colour: RGBColor, offset: f64) {
    let style = colour.stroke_width(units(1.5) as u32);
    let edges = (units(frame.top), units(frame.bottom()));
    for &(x, low, high) in &series.band {
        let ends = (frame.place(x + offset, frame.shown_low(low)), frame.place(x + offset, high));
        if let (Some(low), Some(high)) = ends {
            let (from, to) = (low.1.clamp(edges.0, edges.1), high.1.clamp(edges.0, edges.1));
            area.draw(&PathElement::new(vec![(low.0, from), (low.0, to)], style)).expect(DRAWS);
            for (end, shown) in [(low.1, from), (high.1, to)] {
                if end == shown {
                    let cap = vec![(low.0 - units(3.5), end), (low.0 + units(3.5), end)];
                    area.draw(&PathElement::new(cap, style)).expect(DRAWS);
                }
            }
        }
    }
}

/// Type of tick labels.
pub(super) fn tick_type(size: f64) -> Type {
    Type { size, colour: palette::MUTED }
}
