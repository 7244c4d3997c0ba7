//! How compute is shared between size and data: our runs, and published tables of runs.

use std::collections::BTreeMap;

use ledger::plot::{Axis, Figure, Panel, Reference, Series, Style, ranges};
use ledger::stats::Estimate;

use super::between;
use crate::fit::Form;
use crate::frontier::{ends, parabola, slices};
use crate::studies::allocation::{Approaches, exponent_of_size};
use crate::studies::refits::Refitted;

/// Slices at equal compute with the minima of their parabolas, and the best size against compute by
/// the three approaches.
pub(crate) fn allocation(data: &str, approaches: &Approaches, n_slices: usize) -> Figure {
    let mut by_slice = Vec::new();
    let mut minima = Vec::new();
    for slice in slices(&approaches.runs, n_slices) {
        let (Some(first), Some((best, _))) = (slice.first(), parabola(&slice)) else { continue };
        let points = slice.iter().map(|run| (run.n, run.loss)).collect();
        let label = format!("{:.1e} FLOP", first.flops);
        by_slice.push(Series::new(label, Style::LineAndMarkers, points));
        minima.push((best.n, best.loss));
    }
    by_slice.push(Series::new("minima", Style::Markers, minima).colour(7));
    let mut best = Vec::new();
    for (label, found) in
        [("1: envelope", &approaches.envelope), ("2: parabolas", &approaches.slices)]
    {
        let Some(found) = found else { continue };
        let points = found.optima.iter().map(|o| (o.flops, o.n)).collect();
        best.push(Series::new(format!("{label}, a = {:.2}", found.a), Style::Markers, points));
    }
    let (low, high) = ends(approaches.runs.iter().map(|run| run.flops));
    if let Some(fitted) = &approaches.parametric {
        let a = exponent_of_size(&fitted.best);
        let named = fitted.best.named();
        let g = (named[3] * named[0] / (named[4] * named[1])).powf(1.0 / (named[3] + named[4]));
        let curve = between(low, high).into_iter().map(|c| (c, g * (c / 6.0).powf(a))).collect();
        best.push(Series::new(format!("3: parametric, a = {a:.2}"), Style::Line, curve));
    }
    let anchor = best.iter().flat_map(|s| s.points.iter().copied()).next().unwrap_or((low, 1.0));
    let slope = |label: &str, a: f64| {
        let at = |c: f64| (c, anchor.1 * (c / anchor.0).powf(a));
        Reference::curve(label, between(low, high).into_iter().map(at).collect())
    };
    Figure {
        title: format!("Sharing compute between size and data on {data}"),
        caption: format!(
            "Left: losses at equal compute, between the runs of each size, against parameters with \
             the embedding, and the minima of parabolas. Right: the best size against compute by \
             Hoffmann's three approaches on {} runs; published exponents dashed, from one point of \
             ours.",
            approaches.runs.len()
        ),
        panels: vec![
            Panel {
                title: "equal compute".into(),
                x: Axis::log("parameters"),
                y: Axis::linear("loss (nats per token)"),
                series: by_slice,
                ..Panel::default()
            },
            Panel {
                title: "best size".into(),
                x: Axis::log("compute (FLOP)"),
                y: Axis::log("parameters"),
                series: best,
                references: vec![
                    slope("Hoffmann 2022: 0.49", 0.49),
                    slope("Kaplan 2020: 0.73", 0.73),
                ],
                ..Panel::default()
            },
        ],
        columns: 2,
    }
}

/// The exponent of size of every table, by parametric fit and at equal compute, beside its authors'
/// own; a panel for each source, the first part of a table's name.
pub(crate) fn refits(all: &[Refitted]) -> Figure {
    let mut by_source: BTreeMap<&str, Vec<(&str, &Refitted)>> = BTreeMap::new();
    for refitted in all {
        let (source, short) = parts(refitted);
        by_source.entry(source).or_default().push((short, refitted));
    }
    Figure {
        title: "Published tables of runs, refitted".into(),
        caption:
            "The exponent a of the best size, N_opt ∝ C^a, from each table: by the parametric \
                  law and, where runs were planned at equal compute, from the best size at each \
                  budget; with 95 % intervals, beside the number its authors give."
                .into(),
        panels: by_source.into_iter().map(|(source, tables)| of_source(source, &tables)).collect(),
        columns: 1,
    }
}

/// A table's source and what the source calls it.
fn parts(refitted: &Refitted) -> (&str, &str) {
    let name = refitted.table.name.as_str();
    name.split_once('-').unwrap_or((name, name))
}

fn of_source(source: &str, tables: &[(&str, &Refitted)]) -> Panel {
    let mut parametric = Series::new("ours, parametric", Style::Intervals, Vec::new());
    let mut planned = Series::new("ours, at equal compute", Style::Intervals, Vec::new());
    let mut authors = Series::new("the authors'", Style::Markers, Vec::new());
    for (i, (_, refitted)) in tables.iter().enumerate() {
        let x = i as f64;
        if refitted.table.form == Form::Hoffmann {
            parametric.points.push((x, exponent_of_size(&refitted.fitted.best)));
            let [low, high] = refitted.fitted.draws.interval(exponent_of_size);
            parametric.band.push((x, low, high));
        }
        if let Some(found) = &refitted.isoflop {
            planned.points.push((x, found.a));
            planned.band.push((x, found.interval[0], found.interval[1]));
        }
        authors.points.extend(refitted.table.authors.get("a").map(|a| (x, *a)));
    }
    let series = [parametric, planned, authors];
    Panel {
        title: source.to_owned(),
        x: Axis::categories("table", tables.iter().map(|(short, _)| *short)),
        y: Axis::linear("exponent of size"),
        series: series.into_iter().filter(|series| !series.points.is_empty()).collect(),
        references: vec![Reference::horizontal("Hoffmann 2022: 0.5", 0.5)],
        ..Panel::default()
    }
}

/// Every constant that a table's authors give, as ours over theirs; a panel for each constant.
pub(crate) fn refit_constants(all: &[Refitted]) -> Figure {
    let mut by_key: BTreeMap<&str, Vec<(String, Estimate, f64)>> = BTreeMap::new();
    for refitted in all {
        for (key, ours) in refitted.constants() {
            if let Some(theirs) = refitted.table.authors.get(key) {
                let (source, short) = parts(refitted);
                let name = format!("{source} {short}");
                by_key.entry(key).or_default().push((name, ours, *theirs));
            }
        }
    }
    let panel = |(key, tables): (&str, Vec<(String, Estimate, f64)>)| {
        let row = |(name, ours, theirs): (String, Estimate, f64)| {
            let (low, high) = (ours.low.unwrap_or(ours.value), ours.high.unwrap_or(ours.value));
            (name, [low, ours.value, high].map(|value| value / theirs))
        };
        let rows = tables.into_iter().map(row).collect();
        Panel {
            title: key.to_owned(),
            references: vec![Reference::vertical("the same", 1.0)],
            ..ranges("ours over the authors'", Axis::log("ours over the authors'"), rows)
        }
    };
    Figure {
        title: "Published tables of runs: constants beside the authors' own".into(),
        caption: "Each constant that a table's authors give, ours over theirs with our 95 % \
                  interval; 1 is the same number."
            .into(),
        panels: by_key.into_iter().map(panel).collect(),
        columns: 2,
    }
}
