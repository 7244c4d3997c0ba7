//! Figures: one description, drawn as SVG by plotters and rendered from it as PNG.
//!
//! A figure looks the same wherever it is made: text is measured and rendered with the bundled
//! font only, series take a colour-blind-safe palette by label, what we measured is solid, what
//! was published is dashed, and the spread over seeds is shaded. The legend stands below the
//! panels, never on the data. A panel of pictures (kernels, photographs) has a [`Gallery`] in place
//! of axes; the pictures stand in the SVG itself.

use std::path::{Path, PathBuf};

use crate::run::{RunError, write_atomic};

mod axis;
mod canvas;
mod coloured;
mod decimate;
mod font;
mod gallery;
mod layout;
mod legend;
mod palette;
mod panel;
mod picture;
mod raster;
mod table;

pub use coloured::{Coloured, ColouredTexts};
pub use gallery::{Bar, Gallery, Mark, Scaling, Tile};
pub(crate) use picture::DATA_URI;
pub use picture::Picture;
pub use table::Table;

/// The largest SVG we write, in bytes; the same limit holds for published figures.
pub const MAX_SVG_BYTES: usize = 300_000;

/// A figure: a title, a caption for those who cannot see it, and its panels in reading order.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// Printed above the panels.
    pub title: String,
    /// What is plotted, on which data, over how many seeds. Stored as the SVG's description and
    /// printed by the results page; not drawn.
    pub caption: String,
    /// Drawn row by row.
    pub panels: Vec<Panel>,
    /// Panels in a row, from 1.
    pub columns: usize,
}

/// One pair of axes and what is drawn in it, or pictures.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Panel {
    /// Printed above the axes; may be empty.
    pub title: String,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// Drawn in order, the last on top.
    pub series: Vec<Series>,
    /// Published values, drawn dashed.
    pub references: Vec<Reference>,
    /// Pictures; where there are any, axes, series and references are not drawn.
    pub gallery: Option<Gallery>,
    /// Texts, in the same way.
    pub table: Option<Table>,
    /// Texts on coloured grounds, in the same way.
    pub coloured: Option<ColouredTexts>,
}

/// One axis. The unit belongs in the label: `"training error (%)"`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Axis {
    /// Quantity and unit.
    pub label: String,
    /// How values are spaced.
    pub scale: Scale,
    /// Lowest and highest value shown; `None` takes them from what is drawn.
    pub range: Option<(f64, f64)>,
    /// Names of the positions 0, 1, 2, … for bars and intervals; empty for a numeric axis.
    pub categories: Vec<String>,
}

/// How an axis spaces its values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scale {
    /// Equal differences take equal lengths.
    #[default]
    Linear,
    /// Equal ratios take equal lengths; values that are not positive are left out.
    Log,
}

/// What we measured: points with an optional spread.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// Named in the legend; series with the same label share a colour over all panels.
    pub label: String,
    /// `(x, y)`. A point that is not finite breaks the line. With [`Style::Histogram`], `x` is a
    /// bin's left edge and `y` its height; the last point gives the right edge of the last bin.
    pub points: Vec<(f64, f64)>,
    /// `(x, low, high)`: a shaded band for lines and markers, error bars for intervals and bars.
    pub band: Vec<(f64, f64, f64)>,
    /// How the points are drawn.
    pub style: Style,
    /// A slot of the palette; `None` takes the next free one for a label not seen before.
    pub colour: Option<usize>,
}

/// How a series is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// A solid line.
    #[default]
    Line,
    /// A dashed line, for a second quantity of the same method.
    Dashed,
    /// A marker at each point.
    Markers,
    /// A solid line with a marker at each point.
    LineAndMarkers,
    /// A marker with an error bar from the series' band.
    Intervals,
    /// A bar from zero, with an error bar where the band has one; several series stand side by side.
    Bars,
    /// Touching bars between the points' `x`.
    Histogram,
}

/// A published value or curve, drawn dashed.
#[derive(Clone, Debug, PartialEq)]
pub struct Reference {
    /// Named in the legend.
    pub label: String,
    /// What is drawn.
    pub shape: ReferenceShape,
    /// A slot of the palette, to tie the reference to a method; `None` is grey.
    pub colour: Option<usize>,
}

/// The shape of a published value.
#[derive(Clone, Debug, PartialEq)]
pub enum ReferenceShape {
    /// A line across the panel at this `y`.
    Horizontal(f64),
    /// A line up the panel at this `x`.
    Vertical(f64),
    /// A line through these points.
    Curve(Vec<(f64, f64)>),
}

/// Why a figure could not be drawn or written.
#[derive(Debug, thiserror::Error)]
pub enum PlotError {
    /// The file system refused.
    #[error("cannot write a figure: {0}")]
    Write(#[from] RunError),
    /// Too much is drawn even with every invisible point left out.
    #[error(
        "the figure \"{title}\" takes {bytes} bytes as SVG; at most {MAX_SVG_BYTES} are allowed: \
             draw fewer series or markers, fewer or smaller pictures, or split it"
    )]
    TooLarge {
        /// The figure's title.
        title: String,
        /// Size of the smallest drawing found.
        bytes: usize,
    },
    /// A picture that a figure shows could not be read.
    #[error("{}: {reason}; run the study again", path.display())]
    Picture {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The SVG could not be turned into a picture.
    #[error("cannot render {what} as PNG: {reason}")]
    Render {
        /// The figure's title or file.
        what: String,
        /// What the renderer said.
        reason: String,
    },
}

impl Axis {
    /// A linear axis that takes its range from the data.
    pub fn linear(label: impl Into<String>) -> Self {
        Self { label: label.into(), ..Self::default() }
    }

    /// A logarithmic axis that takes its range from the data.
    pub fn log(label: impl Into<String>) -> Self {
        Self { label: label.into(), scale: Scale::Log, ..Self::default() }
    }

    /// An axis with names at the positions 0, 1, 2, ….
    pub fn categories<S: Into<String>>(
        label: impl Into<String>,
        names: impl IntoIterator<Item = S>,
    ) -> Self {
        let categories = names.into_iter().map(Into::into).collect();
        Self { label: label.into(), categories, ..Self::default() }
    }

    /// The same axis showing `low` to `high`.
    #[must_use]
    pub fn range(mut self, low: f64, high: f64) -> Self {
        self.range = Some((low, high));
        self
    }
}

impl Series {
    /// A series in the given style, without a band.
    pub fn new(label: impl Into<String>, style: Style, points: Vec<(f64, f64)>) -> Self {
        Self { label: label.into(), points, style, ..Self::default() }
    }

    /// The same series with a spread `(x, low, high)`.
    #[must_use]
    pub fn band(mut self, band: Vec<(f64, f64, f64)>) -> Self {
        self.band = band;
        self
    }

    /// The same series in a given slot of the palette.
    #[must_use]
    pub fn colour(mut self, slot: usize) -> Self {
        self.colour = Some(slot);
        self
    }
}

/// A panel with names up its side, the first at the top: of each row the range `(low, high)` as a line and a value in
/// it as a marker.
pub fn ranges<S: Into<String>>(label: &str, x: Axis, rows: Vec<(S, [f64; 3])>) -> Panel {
    let (names, values): (Vec<String>, Vec<[f64; 3]>) =
        rows.into_iter().rev().map(|(name, values)| (name.into(), values)).unzip();
    let placed = || values.iter().enumerate().map(|(i, values)| (i as f64, values));
    let line = |(y, &[low, _, high]): (f64, &[f64; 3])| {
        Series::new("", Style::Line, vec![(low, y), (high, y)]).colour(0)
    };
    let mut series: Vec<Series> = placed().map(line).collect();
    let markers = placed().map(|(y, &[_, value, _])| (value, y)).collect();
    series.push(Series::new(label, Style::Markers, markers).colour(0));
    Panel { x, y: Axis::categories("", names), series, ..Panel::default() }
}

impl Reference {
    /// A published value of `y`.
    pub fn horizontal(label: impl Into<String>, y: f64) -> Self {
        Self { label: label.into(), shape: ReferenceShape::Horizontal(y), colour: None }
    }

    /// A published value of `x`.
    pub fn vertical(label: impl Into<String>, x: f64) -> Self {
        Self { label: label.into(), shape: ReferenceShape::Vertical(x), colour: None }
    }

    /// A published curve.
    pub fn curve(label: impl Into<String>, points: Vec<(f64, f64)>) -> Self {
        Self { label: label.into(), shape: ReferenceShape::Curve(points), colour: None }
    }

    /// The same reference in a given slot of the palette.
    #[must_use]
    pub fn colour(mut self, slot: usize) -> Self {
        self.colour = Some(slot);
        self
    }
}

impl Figure {
    /// The figure as an SVG document of at most [`MAX_SVG_BYTES`].
    ///
    /// # Errors
    /// When it does not fit even without the points that cannot be seen.
    pub fn to_svg(&self) -> Result<String, PlotError> {
        let mut smallest = usize::MAX;
        // Widths, in px, within which points are merged; 0.5 px is what the PNG can show.
        for cell in [0.5, 1.0, 2.0, 4.0] {
            let svg = layout::draw(self, cell);
            if svg.len() <= MAX_SVG_BYTES {
                return Ok(svg);
            }
            smallest = smallest.min(svg.len());
        }
        Err(PlotError::TooLarge { title: self.title.clone(), bytes: smallest })
    }

    /// The figure as a PNG with two picture elements to each unit of the SVG; fewer where many photographs would
    /// make it large.
    ///
    /// # Errors
    /// When the SVG is too large or cannot be rendered.
    pub fn to_png(&self) -> Result<Vec<u8>, PlotError> {
        raster::render(&self.to_svg()?, &self.title)
    }

    /// Writes `<stem>.svg` and `<stem>.png`, each whole or not at all, creating the folder.
    ///
    /// # Errors
    /// When the figure is too large or a file cannot be written.
    pub fn write(&self, stem: &Path) -> Result<(), PlotError> {
        let svg = self.to_svg()?;
        let png = raster::render(&svg, &self.title)?;
        write_whole(&with_suffix(stem, "svg"), svg.as_bytes())?;
        write_whole(&with_suffix(stem, "png"), &png)
    }
}

/// `stem` with `.suffix` appended; a dot already in the name stays (`loss-1.5b` is no extension).
fn with_suffix(stem: &Path, suffix: &str) -> PathBuf {
    let mut name = stem.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), PlotError> {
    // A name without a folder is in the current one.
    let path = Path::new(".").join(path);
    if let Some(folder) = path.parent() {
        let failed = |source| RunError::Io { path: folder.to_owned(), source };
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    Ok(write_atomic(&path, bytes)?)
}

#[cfg(test)]
mod tests;
