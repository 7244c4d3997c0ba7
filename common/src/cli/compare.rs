//! `compare`: one run's curves over another's.

use std::fmt::Write as _;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, bail};
use ledger::metrics::{self, Metrics};
use ledger::plot::{Axis, Figure, Panel, Series, Style};
use ledger::run::{RunRecord, differences};

use super::CompareArgs;
use crate::training_run::METRICS;

/// A run with its rows.
struct Run {
    name: String,
    record: RunRecord,
    metrics: Metrics,
}

pub(super) fn compare(args: &CompareArgs) -> anyhow::Result<()> {
    let with = match &args.with {
        Some(with) => with.clone(),
        None => published(&args.run)?,
    };
    let (left, right) = (read(&args.run)?, read(&with)?);
    let columns: Vec<&String> =
        left.metrics.columns.iter().filter(|name| right.metrics.columns.contains(name)).collect();
    let mut out = format!("A  {}\nB  {}\n", left.name, right.name);
    let config = differences(&left.record.config, &right.record.config);
    if !config.is_empty() {
        writeln!(out, "configuration (A → B): {}", config.join(", "))?;
    }
    writeln!(out, "\n{:28} {:>10} {:>12} {:>12} {:>12}", "metric", "at step", "A", "B", "A - B")?;
    let mut panels = Vec::new();
    for name in columns {
        let (a, b) = (left.metrics.column(name)?, right.metrics.column(name)?);
        // The last step that both have.
        let last = a.iter().rev().find_map(|&(step, x)| {
            b.iter().find(|(other, _)| *other == step).map(|&(_, y)| (step, x, y))
        });
        match last {
            Some((step, x, y)) => {
                writeln!(out, "{name:28} {step:>10} {x:>12.5} {y:>12.5} {:>12.5}", x - y)?;
            }
            None => writeln!(out, "{name:28} no step in common")?,
        }
        let series = |label: &str, points: &[(u64, f64)]| {
            let points = points.iter().map(|&(step, x)| (step as f64, x)).collect();
            Series::new(label, Style::Line, points)
        };
        panels.push(Panel {
            title: name.clone(),
            x: Axis::linear("step"),
            y: Axis::linear(name.clone()),
            series: vec![series("A", &a), series("B", &b)],
            ..Panel::default()
        });
    }
    if panels.is_empty() {
        bail!("{} and {} have no column in common", left.name, right.name);
    }
    let figure = Figure {
        title: "A over B".into(),
        caption: format!("A: {}; B: {}", left.name, right.name),
        columns: panels.len().min(2),
        panels,
    };
    let stem = match &args.plot {
        Some(stem) => stem.clone(),
        None => args.run.join("../..").join("compare"),
    };
    figure.write(&stem)?;
    writeln!(out, "\n{}.svg", stem.display())?;
    Ok(super::print(&out)?)
}

fn read(folder: &Path) -> anyhow::Result<Run> {
    let Some(record) = RunRecord::read(folder)? else {
        bail!("{}: no run.json here; name the folder of a run (…/seed-0)", folder.display());
    };
    let path = folder.join(METRICS);
    let metrics = metrics::read(&path).with_context(|| "the run wrote no rows yet")?;
    let name = format!("{} ({:?})", record.key.relative().display(), record.status);
    Ok(Run { name, record, metrics })
}

/// The folder of the same run in `results/reference`, when `run` lies in `results`.
fn published(run: &Path) -> anyhow::Result<PathBuf> {
    let record = RunRecord::read(run)?.with_context(|| {
        format!("{}: no run.json here; name the folder of a run", run.display())
    })?;
    let run = std::path::absolute(run)?;
    let depth =
        record.key.relative().components().filter(|c| matches!(c, Component::Normal(_))).count();
    let results = run.ancestors().nth(depth).context("the run lies in a results folder")?;
    let folder = results.join("reference").join(record.key.relative());
    if folder.is_dir() {
        return Ok(folder);
    }
    bail!(
        "{}: this run is not published; name a second run to compare with, or leave out --set and \
         --precision, whose results are never published",
        folder.display()
    );
}
