//! The figures, from what is on disk. What was published is dashed: as a line of the published slope
//! through the middle of our points, where only slopes can be compared.

use ledger::plot::{Axis, Figure, Panel, Reference, Series, Style};

use crate::fit::{Fit, Form, Point};
use crate::frontier::{ends, frontier};
use crate::rows::Row;
use crate::studies::Fitted;
use crate::studies::loss_vs_compute::{PF_DAY, as_run};

mod allocation;
mod efficient;
mod models;
mod prediction;

pub(crate) use allocation::{allocation, refit_constants, refits};
pub(crate) use efficient::{compute_efficient, learning_curves};
pub(crate) use models::{batch_size, learning_rate, places, shape, tokenisation, transfer};
pub(crate) use prediction::prediction;

/// Points along a curve.
const STEPS: usize = 40;

/// `n` numbers from `low` to `high`, evenly in logs.
fn between(low: f64, high: f64) -> Vec<f64> {
    let at = |i: usize| (low.ln() + (high / low).ln() * i as f64 / (STEPS - 1) as f64).exp();
    (0..STEPS).map(at).collect()
}

/// Residuals of log loss against the predicted loss and against each variable.
pub fn residuals(fit: &Fit, points: &[Point]) -> Figure {
    let residual = |p: &Point| 100.0 * (p.loss / fit.loss(p.x, p.y)).ln();
    let panel = |label: &str, of: &dyn Fn(&Point) -> f64| Panel {
        x: Axis::log(label),
        y: Axis::linear("measured over predicted, log (%)"),
        series: vec![Series::new(
            "runs",
            Style::Markers,
            points.iter().map(|p| (of(p), residual(p))).collect(),
        )],
        references: vec![Reference::horizontal("the fit", 0.0)],
        ..Panel::default()
    };
    let mut panels = vec![panel("predicted loss", &|p| fit.loss(p.x, p.y))];
    if fit.form.needs_tokens() {
        panels.push(panel("parameters", &|p| p.x));
        panels.push(panel("tokens", &|p| p.y));
    } else {
        panels.push(panel("variable of the power law", &|p| p.x));
    }
    Figure {
        title: format!("Residuals of the {} fit", fit.form.name()),
        caption: format!(
            "Measured over predicted loss of {} runs, as a logarithm in percent; a trend in any \
             panel says that the form does not fit.",
            points.len()
        ),
        columns: 1,
        panels,
    }
}

/// A fit of one variable as a line with its bootstrap band over the points.
fn line(label: String, style: Style, fitted: &Fitted) -> Series {
    let (low, high) = ends(fitted.points.iter().map(|p| p.x));
    let xs = between(low, high);
    let points = xs.iter().map(|&x| (x, fitted.best.loss(x, 1.0))).collect();
    let band = |&x: &f64| {
        let [low, high] = fitted.draws.interval(|fit| fit.loss(x, 1.0));
        (x, low, high)
    };
    Series::new(label, style, points).band(xs.iter().map(band).collect())
}

/// What [`line`] is called: the form with its constants.
fn formula(fit: &Fit) -> String {
    let named = fit.named();
    match fit.form {
        Form::PurePower => format!("a·x^-{:.3}", named[1]),
        _ => format!("{:.2} + a·x^-{:.3}", named[2], named[1]),
    }
}

/// The published exponents as lines through the middle of the points.
fn slopes(points: &[Point], published: &[(&str, f64)]) -> Vec<Reference> {
    let (low, high) = ends(points.iter().map(|p| p.x));
    let n = points.len() as f64;
    let middle = |of: fn(&Point) -> f64| (points.iter().map(|p| of(p).ln()).sum::<f64>() / n).exp();
    let (x, y) = (middle(|p| p.x), middle(|p| p.loss));
    let at = |k: f64, to: f64| (to, y * (to / x).powf(-k));
    let curve = |&(label, k): &(&str, f64)| {
        Reference::curve(label, between(low, high).into_iter().map(|to| at(k, to)).collect())
    };
    published.iter().map(curve).collect()
}

/// Loss against one variable with its fits.
#[derive(Debug)]
pub(crate) struct PowerLaws<'a> {
    pub(crate) title: String,
    pub(crate) caption: String,
    pub(crate) variable: &'a str,
    /// Without and with an irreducible loss.
    pub(crate) fits: &'a [Option<Fitted>; 2],
    /// Names and exponents.
    pub(crate) published: &'a [(&'a str, f64)],
}

/// Loss against one variable, in logs: runs, fits with their bands, published slopes.
pub(crate) fn power_laws(what: &PowerLaws) -> Figure {
    let mut series = Vec::new();
    let mut references = Vec::new();
    if let Some(fitted) = what.fits.iter().flatten().next() {
        let runs = fitted.points.iter().map(|p| (p.x, p.loss)).collect();
        series.push(Series::new("runs", Style::Markers, runs));
        references = slopes(&fitted.points, what.published);
    }
    for (fitted, style) in what.fits.iter().zip([Style::Line, Style::Dashed]) {
        series.extend(fitted.iter().map(|fitted| line(formula(&fitted.best), style, fitted)));
    }
    Figure {
        title: what.title.clone(),
        caption: format!(
            "{} Fits with their 95 % bootstrap bands, without and with an irreducible loss; the \
             published slope, dashed, through the middle of the points: its constant belongs to \
             other text and tokens.",
            what.caption
        ),
        panels: vec![Panel {
            x: Axis::log(what.variable),
            y: Axis::log("loss (nats per token)"),
            series,
            references,
            ..Panel::default()
        }],
        columns: 1,
    }
}

/// Loss against tokens for each size, with Kaplan's and Hoffmann's laws.
pub(crate) fn joint_fit(data: &str, rows: &[Row], laws: &[Option<Fitted>; 2]) -> Figure {
    let mut sizes: Vec<f64> = rows.iter().map(|row| row.params).collect();
    sizes.sort_by(f64::total_cmp);
    sizes.dedup();
    let (low, high) = ends(rows.iter().map(|row| row.tokens));
    let panel = |fitted: &Fitted| {
        let mut series = Vec::new();
        for (slot, &size) in sizes.iter().enumerate() {
            let of_size: Vec<&Row> =
                rows.iter().filter(|row| row.params.total_cmp(&size).is_eq()).collect();
            let counted = match fitted.best.form {
                Form::Hoffmann => of_size[0].params_with_embedding,
                _ => size,
            };
            let points = of_size.iter().map(|row| (row.tokens, row.loss)).collect();
            series.push(Series::new(format!("N = {size:.0}"), Style::Markers, points).colour(slot));
            let law = between(low, high).into_iter();
            let law = law.map(|d| (d, fitted.best.loss(counted, d))).collect();
            series.push(Series::new("", Style::Line, law).colour(slot));
        }
        let author = if fitted.best.form == Form::Hoffmann { "Hoffmann" } else { "Kaplan" };
        Panel {
            title: format!("{author}'s law, fitted (lines)"),
            x: Axis::log("tokens"),
            y: Axis::log("loss (nats per token)"),
            series,
            ..Panel::default()
        }
    };
    Figure {
        title: format!("Loss by size and data on {data}"),
        caption: format!(
            "Test loss of {} runs on {data} against tokens read, by non-embedding parameters, with \
             the law fitted to all of them: Kaplan's (eq. 1.5) and Hoffmann's (approach 3, embedding \
             counted).",
            rows.len()
        ),
        panels: laws.iter().flatten().map(panel).collect(),
        columns: 2,
    }
}

/// Loss against compute: all runs by size, the frontier and its fits.
pub(crate) fn compute(data: &str, rows: &[Row], fits: &[Option<Fitted>; 2]) -> Figure {
    let mut sizes: Vec<f64> = rows.iter().map(|row| row.params).collect();
    sizes.sort_by(f64::total_cmp);
    sizes.dedup();
    let of_size = |&size: &f64| {
        let of = rows.iter().filter(|row| row.params.total_cmp(&size).is_eq());
        let points = of.map(|row| (row.flops / PF_DAY, row.loss)).collect();
        Series::new(format!("N = {size:.0}"), Style::Markers, points)
    };
    let mut series: Vec<Series> = sizes.iter().map(of_size).collect();
    let runs: Vec<_> = rows.iter().map(as_run).collect();
    let best = frontier(&runs).iter().map(|run| (run.flops / PF_DAY, run.loss)).collect();
    series.push(Series::new("frontier", Style::Dashed, best));
    let mut references = Vec::new();
    for fitted in fits.iter().flatten() {
        series.push(line(formula(&fitted.best), Style::Line, fitted));
    }
    if let Some(fitted) = fits.iter().flatten().next() {
        let published = [("Kaplan 2020, fixed batch: 0.057", 0.057), ("GPT-3 2020: 0.048", 0.048)];
        references = slopes(&fitted.points, &published);
    }
    Figure {
        title: format!("Loss against compute on {data}"),
        caption: format!(
            "Test loss of {} runs on {data} against training compute 6·N·D in PF-days, by \
             non-embedding parameters; the runs that no cheaper one equals, and power laws fitted to \
             them with 95 % bootstrap bands. Published slopes dashed, through the middle of the \
             frontier.",
            rows.len()
        ),
        panels: vec![Panel {
            x: Axis::log("compute (PF-days)"),
            y: Axis::log("loss (nats per token)"),
            series,
            references,
            ..Panel::default()
        }],
        columns: 1,
    }
}
