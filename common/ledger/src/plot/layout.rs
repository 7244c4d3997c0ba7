//! Where everything in a figure stands: title, panels in rows and columns, legend.

use plotters::element::{PathElement, Rectangle};
use plotters::style::Color as _;

use super::axis::{self, Settled, Side, Tick};
use super::canvas::{self, Align, Canvas, DRAWS, Type, units};
use super::font::{self, Weight};
use super::panel::{self, Frame};
use super::{Axis, Figure, Panel, Scale, legend, palette};
use super::{coloured, gallery, table};

const MARGIN: f64 = 14.0;
const GAP: f64 = 18.0;

/// Sizes that depend on the number of columns; px.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    width: f64,
    /// Text, chosen so that it is still 10 px high when the figure is shown 640 px wide.
    text: f64,
    /// Height of a plot over the width of its cell.
    aspect: f64,
}

impl Sizes {
    fn of(columns: usize) -> Self {
        let (width, aspect) = match columns {
            0 | 1 => (640.0, 0.54),
            2 => (860.0, 0.68),
            _ => (1080.0, 0.8),
        };
        Self { width, text: f64::max(13.0, 10.5 * width / 640.0), aspect }
    }

    fn tick(&self) -> f64 {
        0.92 * self.text
    }
}

/// A panel with its axes settled and measured.
struct Prepared<'a> {
    panel: &'a Panel,
    x: Settled,
    y: Settled,
    y_ticks: Vec<Tick>,
    /// Room left of the plot.
    left: f64,
    y_label: Vec<String>,
    title: Vec<String>,
    inside: Option<Inside<'a>>,
}

/// What stands in a panel in place of axes.
enum Inside<'a> {
    Gallery(gallery::LaidOut<'a>),
    Table(table::LaidOut),
    Coloured(coloured::LaidOut),
}

impl Inside<'_> {
    fn height(&self) -> f64 {
        match self {
            Self::Gallery(gallery) => gallery.height,
            Self::Table(table) => table.height,
            Self::Coloured(texts) => texts.height,
        }
    }

    fn draw(&self, canvas: &mut Canvas, left: f64, top: f64) {
        match self {
            Self::Gallery(gallery) => gallery.draw(canvas, left, top),
            Self::Table(table) => table.draw(canvas, left, top),
            Self::Coloured(texts) => texts.draw(canvas, left, top),
        }
    }
}

/// Draws the figure; points within `cell` px of each other may be merged.
pub(super) fn draw(figure: &Figure, cell: f64) -> String {
    let columns = figure.columns.clamp(1, figure.panels.len().max(1));
    let sizes = Sizes::of(columns);
    let inner = sizes.width - 2.0 * MARGIN;
    let cell_width = (inner - GAP * (columns as f64 - 1.0)) / columns as f64;
    let plot_height = (cell_width * sizes.aspect).round();
    let wishes = figure.panels.iter().flat_map(|p| &p.series).map(|s| (s.label.as_str(), s.colour));
    let slots = palette::assign(wishes);

    let title_size = 1.2 * sizes.text;
    let title = font::wrap(&figure.title, title_size, Weight::SemiBold, inner);
    let legend = legend::lay_out(figure, &slots, inner, sizes.text);
    let mut prepared: Vec<Prepared<'_>> =
        figure.panels.iter().map(|p| prepare(p, &sizes, cell_width, plot_height)).collect();
    let left_of: Vec<f64> = (0..columns)
        .map(|column| prepared.iter().skip(column).step_by(columns).map(|p| p.left))
        .map(|in_column| in_column.fold(0.0, f64::max))
        .collect();
    // The plots of a column begin where the widest labels among them end, and so do the titles.
    for (p, left) in prepared.iter_mut().zip(left_of.iter().cycle()) {
        let room = if p.inside.is_some() { cell_width } else { cell_width - left };
        p.title = font::wrap(&p.panel.title, sizes.text, Weight::SemiBold, room);
    }

    // Rows first: their heights give the canvas its own.
    let mut y =
        MARGIN + title.len() as f64 * 1.3 * title_size + if title.is_empty() { 0.0 } else { 4.0 };
    let mut frames: Vec<(Frame, Vec<Tick>)> = Vec::new();
    let mut x_label_at: Vec<f64> = Vec::new();
    for row in prepared.chunks(columns) {
        let heading = row.iter().map(|p| p.title.len()).max().unwrap_or(0) as f64;
        let top = y + heading * 1.35 * sizes.text + 0.7 * sizes.text;
        y = top;
        for (column, p) in row.iter().enumerate() {
            let cell = MARGIN + column as f64 * (cell_width + GAP);
            if let Some(inside) = &p.inside {
                let (width, height) = (cell_width, inside.height());
                y = y.max(top + height + 0.5 * sizes.text);
                x_label_at.push(y);
                let frame = Frame { left: cell, top, width, height, x: p.x, y: p.y };
                frames.push((frame, Vec::new()));
                continue;
            }
            let left = cell + left_of[column];
            let width = cell + cell_width - 0.6 * sizes.text - left;
            let height = plot_height;
            let ticks = x_ticks(&p.panel.x, &p.x, width, sizes.tick());
            let lines = ticks.iter().flat_map(|t| &t.label).map(|l| l.lines().count()).max();
            let under_ticks = top + height + 8.0 + 1.2 * sizes.tick() * lines.unwrap_or(0) as f64;
            let baseline = under_ticks + 1.15 * sizes.text;
            x_label_at.push(baseline);
            let labelled = !p.panel.x.label.is_empty();
            y = y.max(if labelled { baseline + 0.5 * sizes.text } else { under_ticks });
            frames.push((Frame { left, top, width, height, x: p.x, y: p.y }, ticks));
        }
        y += 0.4 * sizes.text;
    }
    let legend_top = y;
    let height = (legend_top + legend.height + MARGIN * 0.6).ceil();

    let mut canvas = Canvas::new(sizes.width, height);
    canvas.group("", |area| {
        let corners = [(0, 0), (units(sizes.width), units(height))];
        area.draw(&Rectangle::new(corners, palette::PAPER.filled())).expect(DRAWS);
    });
    for ((p, (frame, ticks)), label_y) in prepared.iter().zip(&frames).zip(&x_label_at) {
        if let Some(inside) = &p.inside {
            inside.draw(&mut canvas, frame.left, frame.top);
            draw_labels(&mut canvas, p, frame, *label_y, &sizes);
            continue;
        }
        let names = !p.panel.x.categories.is_empty();
        let style = panel::tick_type(sizes.tick());
        panel::draw_axes(&mut canvas, frame, ticks, &p.y_ticks, style, names);
        panel::draw_data(&mut canvas, frame, p.panel, &slots, cell);
        draw_labels(&mut canvas, p, frame, *label_y, &sizes);
    }
    canvas.group(canvas::weight(Weight::SemiBold), |area| {
        let style = Type { size: title_size, colour: palette::INK };
        for (i, line) in title.iter().enumerate() {
            let baseline = MARGIN + title_size * (0.95 + 1.3 * i as f64);
            canvas::text(area, line, MARGIN, baseline, Align::Start, style);
        }
    });
    canvas.group("", |area| legend.draw_samples(area, MARGIN, legend_top));
    for (dashes, from, to, colour) in legend.dashed(MARGIN, legend_top) {
        canvas.group(&format!("stroke-dasharray=\"{dashes}\""), |area| {
            let ends = [from, to].map(|[x, y]| (units(x), units(y)));
            area.draw(&PathElement::new(ends.to_vec(), panel::stroke(colour))).expect(DRAWS);
        });
    }
    canvas.group("", |area| legend.draw_labels(area, MARGIN, legend_top));
    canvas.finish(&figure.title, &figure.caption)
}

fn prepare<'a>(panel: &'a Panel, sizes: &Sizes, cell_width: f64, plot_height: f64) -> Prepared<'a> {
    let (x, y) = (axis::settle(panel, Side::X), axis::settle(panel, Side::Y));
    let Panel { gallery, table, coloured, .. } = panel;
    let (room, size) = (cell_width, sizes.tick());
    let inside = match (gallery, table, coloured) {
        (Some(of), ..) => Some(Inside::Gallery(of.lay_out(room, size))),
        (_, Some(of), _) => Some(Inside::Table(of.lay_out(room, size))),
        (.., Some(of)) => Some(Inside::Coloured(of.lay_out(room, size))),
        _ => None,
    };
    let title = Vec::new();
    if inside.is_some() {
        let (y_ticks, y_label) = (Vec::new(), Vec::new());
        return Prepared { panel, x, y, y_ticks, left: 0.0, y_label, title, inside };
    }
    let most = (plot_height / (3.0 * sizes.tick())).floor().clamp(3.0, 9.0) as usize;
    let y_ticks = axis::ticks(&panel.y, &y, most);
    let widest = y_ticks
        .iter()
        .flat_map(|t| &t.label)
        .map(|l| font::width(l, sizes.tick(), Weight::Regular))
        .fold(0.0, f64::max);
    let y_label = font::wrap(&panel.y.label, sizes.text, Weight::Regular, plot_height);
    let left = widest + 10.0 + y_label.len() as f64 * 1.3 * sizes.text + 4.0;
    Prepared { panel, x, y, y_ticks, left, y_label, title, inside: None }
}

/// Ticks along a horizontal axis `width` px long: as many as stand clear of each other.
fn x_ticks(axis: &Axis, settled: &Settled, width: f64, size: f64) -> Vec<Tick> {
    if !axis.categories.is_empty() {
        let room = width / axis.categories.len() as f64 - 0.6 * size;
        let mut ticks = axis::ticks(axis, settled, 0);
        for tick in &mut ticks {
            tick.label =
                tick.label.take().map(|l| font::wrap(&l, size, Weight::Regular, room).join("\n"));
        }
        return ticks;
    }
    let fewest = if settled.scale == Scale::Log { 2 } else { 3 };
    for most in (fewest..=9).rev() {
        let ticks = axis::ticks(axis, settled, most);
        let labelled: Vec<(f64, f64)> = ticks
            .iter()
            .filter_map(|t| {
                Some((t.at * width, font::width(t.label.as_ref()?, size, Weight::Regular)))
            })
            .collect();
        let clear = labelled
            .windows(2)
            .all(|w| w[1].0 - w[0].0 > f64::midpoint(w[0].1, w[1].1) + 1.3 * size);
        if clear || most == fewest {
            return ticks;
        }
    }
    Vec::new()
}

fn draw_labels(canvas: &mut Canvas, p: &Prepared<'_>, frame: &Frame, label_y: f64, sizes: &Sizes) {
    let style = Type { size: sizes.text, colour: palette::INK };
    canvas.group("", |area| {
        let middle = frame.left + frame.width / 2.0;
        canvas::text(area, &p.panel.x.label, middle, label_y, Align::Middle, style);
        let first = frame.left - p.left + 0.8 * sizes.text;
        for (i, line) in p.y_label.iter().enumerate() {
            let baseline = first + 1.3 * sizes.text * i as f64;
            canvas::upward_text(area, line, baseline, frame.top + frame.height / 2.0, style);
        }
    });
    canvas.group(canvas::weight(Weight::SemiBold), |area| {
        for (i, line) in p.title.iter().enumerate() {
            let lines_below = (p.title.len() - 1 - i) as f64;
            let baseline = frame.top - 0.7 * sizes.text - 1.35 * sizes.text * lines_below;
            canvas::text(area, line, frame.left, baseline, Align::Start, style);
        }
    });
}
