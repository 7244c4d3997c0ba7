//! Learning curves, and what the least compute for a loss goes with.

use std::collections::BTreeMap;

use ledger::plot::{Axis, Figure, Panel, Reference, Series, Style};

use super::{between, formula, line, slopes};
use crate::efficiency::s_min;
use crate::frontier::{ends, frontier};
use crate::studies::batch_size::critical_at;
use crate::studies::compute_efficient::{Efficient, Look};
use crate::studies::loss_vs_compute::PF_DAY;

/// Loss against the updates that a large batch would take, by size, with the law of all sizes.
pub(crate) fn learning_curves(data: &str, efficient: &Efficient) -> Figure {
    let least = |look: &Look| {
        let critical = critical_at(&efficient.batch, look.loss);
        s_min(look.step, look.batch_tokens, critical)
    };
    let mut by_size: BTreeMap<u64, Vec<(f64, f64)>> = BTreeMap::new();
    for look in &efficient.looks {
        by_size.entry(look.params as u64).or_default().push((least(look), look.loss));
    }
    let mut series = Vec::new();
    for (slot, (params, points)) in by_size.into_iter().enumerate() {
        let (low, high) = ends(points.iter().map(|point| point.0));
        let label = format!("N = {params}");
        series.push(Series::new(label.clone(), Style::Markers, points).colour(slot));
        if let Some(curves) = &efficient.curves {
            let law = between(low, high).into_iter();
            let law = law.map(|s| (s, curves.best.loss(params as f64, s))).collect();
            series.push(Series::new(label, Style::Line, law).colour(slot));
        }
    }
    Figure {
        title: format!("Learning curves on {data}"),
        caption: format!(
            "Validation loss on {data} at the looks behind the warm-up of each size's longest runs, \
             against S_min, the updates that a batch far above the critical one would take, with \
             Kaplan's L(N, S_min) (eq. 5.6) fitted to all of them."
        ),
        panels: vec![Panel {
            x: Axis::log("S_min (updates)"),
            y: Axis::log("loss (nats per token)"),
            series,
            ..Panel::default()
        }],
        columns: 1,
    }
}

/// Loss and best size against the least compute.
pub(crate) fn compute_efficient(data: &str, efficient: &Efficient) -> Figure {
    let in_days = |flops: f64| flops / PF_DAY;
    let all = efficient.runs.iter().map(|run| (in_days(run.flops), run.loss)).collect();
    let best = frontier(&efficient.runs);
    let best = best.iter().map(|run| (in_days(run.flops), run.loss)).collect();
    let mut loss = vec![
        Series::new("runs", Style::Markers, all),
        Series::new("frontier", Style::Dashed, best),
    ];
    let mut references = Vec::new();
    for fitted in efficient.loss.iter().flatten() {
        loss.push(line(formula(&fitted.best), Style::Line, fitted));
        references = slopes(&fitted.points, &[("Kaplan 2020: 0.050", 0.050)]);
    }
    let (mut sizes, mut size_references) = (Vec::new(), Vec::new());
    if let Some(size) = &efficient.size {
        let points: Vec<_> = size.optima.iter().map(|o| (in_days(o.flops), o.n)).collect();
        let (low, high) = ends(points.iter().map(|point| point.0));
        if let Some(&(c, n)) = points.first() {
            let at = |to: f64| (to, n * (to / c).powf(0.73));
            let curve = between(low, high).into_iter().map(at).collect();
            size_references.push(Reference::curve("Kaplan 2020: 0.73", curve));
        }
        let label = format!("best size, exponent {:.2}", size.a);
        sizes.push(Series::new(label, Style::LineAndMarkers, points));
    }
    let panel = |title: &str, y: &str, series, references| Panel {
        title: title.into(),
        x: Axis::log("C_min (PF-days)"),
        y: Axis::log(y),
        series,
        references,
        ..Panel::default()
    };
    Figure {
        title: format!("The least compute for a loss on {data}"),
        caption: format!(
            "Left: test loss of {} runs on {data} against C_min, the compute that a batch far below \
             the critical one would take; the frontier and power laws with 95 % bootstrap bands. \
             Right: the best size in slices at equal C_min. Published slopes dashed, through the \
             middle or the first of ours.",
            efficient.runs.len()
        ),
        panels: vec![
            panel("loss", "loss (nats per token)", loss, references),
            panel("size", "non-embedding parameters", sizes, size_references),
        ],
        columns: 2,
    }
}
