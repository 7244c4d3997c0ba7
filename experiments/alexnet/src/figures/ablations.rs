//! Errors of the ablated networks, what their ingredients gain, and how they trained.

use std::collections::BTreeMap;

use common::training_run::METRICS;
use ledger::metrics;
use ledger::plot::{Axis, Figure, Panel, Series, Style};

use super::gains::{self, Gain};
use super::published;
use crate::studies::ablations::{Effect, Finish, Runs, TOP1};

/// Three panels: test error of each variant, gains with their intervals beside the published ones, and the
/// error on held-out pictures over epochs.
pub(crate) fn figure(about: &str, runs: &Runs, effects: &[Effect]) -> anyhow::Result<Figure> {
    let mut panels = vec![errors(runs)];
    if !effects.is_empty() {
        panels.push(gains(runs, effects)?);
    }
    panels.push(curves(runs)?);
    let any = runs.by_variant.values().flat_map(BTreeMap::values).next();
    let width = any.map_or(1.0, |run| run.config.recipe.network.width);
    let seeds = runs.by_variant.values().map(BTreeMap::len).max().unwrap_or(0);
    Ok(Figure {
        title: format!("{about} ({})", runs.data),
        caption: format!(
            "{about}. The network at {width} of its width on {}, {seeds} seeds. Test errors: mean of ten views, \
             mean and range over seeds. Gains: error without minus error with, paired by seed, 95 % interval of \
             Student's t; published gains, on ImageNet at full width, dashed.",
            runs.data
        ),
        // Names of more than four variants do not fit into a third of the width.
        columns: if runs.by_variant.len() > 4 { 2 } else { panels.len() },
        panels,
    })
}

/// Mean, lowest and highest.
fn spread(values: &[f64]) -> (f64, f64, f64) {
    let (low, high) = values.iter().fold((f64::MAX, f64::MIN), |(l, h), &x| (l.min(x), h.max(x)));
    (values.iter().sum::<f64>() / values.len() as f64, low, high)
}

fn label(runs: &BTreeMap<u64, Finish>) -> String {
    runs.values().next().map(|run| run.config.label.clone()).unwrap_or_default()
}

fn errors(runs: &Runs) -> Panel {
    let (mut names, mut points, mut band) = (Vec::new(), Vec::new(), Vec::new());
    for seeds in runs.by_variant.values() {
        let errors: Vec<f64> =
            seeds.values().filter_map(|run| run.metric(TOP1)).map(|x| 100.0 * x).collect();
        if errors.is_empty() {
            continue;
        }
        let (mean, low, high) = spread(&errors);
        let x = names.len() as f64;
        names.push(label(seeds));
        points.push((x, mean));
        band.push((x, low, high));
    }
    let series = Series::new("test error, range over seeds", Style::Intervals, points).band(band);
    Panel {
        title: "error".into(),
        x: Axis::categories("", names),
        y: Axis::linear("top-1 test error (%)"),
        series: vec![series.colour(0)],
        ..Panel::default()
    }
}

fn gains(runs: &Runs, effects: &[Effect]) -> anyhow::Result<Panel> {
    let mut found = Vec::new();
    for effect in effects {
        let Some(estimate) = runs.gain(effect)? else { continue };
        let published = published(effect.id)?;
        found.push(Gain { label: effect.label, estimate, published });
    }
    Ok(gains::panel(&found))
}

fn curves(runs: &Runs) -> anyhow::Result<Panel> {
    let mut series = Vec::new();
    for seeds in runs.by_variant.values() {
        let mut by_epoch: BTreeMap<u64, Vec<(f64, f64)>> = BTreeMap::new();
        for run in seeds.values() {
            let rows = metrics::read(run.folder.join(METRICS))?;
            let epochs: BTreeMap<u64, f64> = rows.column("epoch")?.into_iter().collect();
            for (step, error) in rows.column("val/top1_error")? {
                if let Some(&epoch) = epochs.get(&step) {
                    by_epoch.entry(step).or_default().push((epoch, 100.0 * error));
                }
            }
        }
        let mean = |rows: &Vec<(f64, f64)>| {
            (rows[0].0, rows.iter().map(|row| row.1).sum::<f64>() / rows.len() as f64)
        };
        let points = by_epoch.values().map(mean).collect();
        series.push(Series::new(label(seeds), Style::Line, points));
    }
    Ok(Panel {
        title: "training".into(),
        x: Axis::linear("epochs"),
        y: Axis::linear("top-1 error on held-out pictures (%)"),
        series,
        ..Panel::default()
    })
}
