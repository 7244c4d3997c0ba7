//! How compute is shared between size and data: our runs, and published tables of runs.

use std::collections::BTreeMap;

use ledger::plot::{Axis, Figure, Panel, Reference, Series, Style};

use super::{between, ends};
use crate::frontier::{parabola, slices};
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

/// The exponent of size of every table, by parametric fit and by parabolas, beside its authors' own;
/// a panel for each source, the first part of a table's name.
pub(crate) fn refits(all: &[Refitted]) -> Figure {
    let mut by_source: BTreeMap<&str, Vec<(&str, &Refitted)>> = BTreeMap::new();
    for refitted in all {
        let name = refitted.table.name.as_str();
        let (source, short) = name.split_once('-').unwrap_or((name, name));
        by_source.entry(source).or_default().push((short, refitted));
    }
    Figure {
        title: "Published tables of runs, refitted".into(),
        caption:
            "The exponent a of the best size, N_opt ∝ C^a, from each table: by the parametric \
                  law and, where runs were planned at equal compute, by parabolas; with 95 % \
                  bootstrap intervals, beside the number its authors give."
                .into(),
        panels: by_source.into_iter().map(|(source, tables)| of_source(source, &tables)).collect(),
        columns: 1,
    }
}

fn of_source(source: &str, tables: &[(&str, &Refitted)]) -> Panel {
    let mut parametric = Series::new("ours, parametric", Style::Intervals, Vec::new());
    let mut parabolas = Series::new("ours, parabolas", Style::Intervals, Vec::new());
    let mut authors = Series::new("the authors'", Style::Markers, Vec::new());
    for (i, (_, refitted)) in tables.iter().enumerate() {
        let x = i as f64;
        parametric.points.push((x, exponent_of_size(&refitted.fitted.best)));
        let [low, high] = refitted.fitted.draws.interval(exponent_of_size);
        parametric.band.push((x, low, high));
        if let Some(found) = &refitted.isoflop {
            parabolas.points.push((x, found.a));
            parabolas.band.push((x, found.a_interval[0], found.a_interval[1]));
        }
        authors.points.extend(refitted.table.authors.get("a").map(|a| (x, *a)));
    }
    let series = [parametric, parabolas, authors];
    Panel {
        title: source.to_owned(),
        x: Axis::categories("table", tables.iter().map(|(short, _)| *short)),
        y: Axis::linear("exponent of size"),
        series: series.into_iter().filter(|series| !series.points.is_empty()).collect(),
        references: vec![Reference::horizontal("Hoffmann 2022: 0.5", 0.5)],
        ..Panel::default()
    }
}
