//! `figures` and `verify`: everything after training, from the files on disk.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};
use ledger::claims::{Measured, parse_claims, read_measured, verify_ledger, write_measured};
use ledger::metrics;
use ledger::run::{RunRecord, digest, finished_runs};
use ledger::stats::Bound;

use super::{FiguresArgs, VerifyArgs};
use crate::experiment::{Experiment, Finished, Study};
use crate::training_run::METRICS;

const MEASURED: &str = "measured.csv";

pub(super) fn figures(experiment: &Experiment, args: &FiguresArgs) -> anyhow::Result<()> {
    for name in &args.studies {
        if name != "all" {
            experiment.study(name)?;
        }
    }
    let wanted = |study: &Study| {
        args.studies.is_empty()
            || args.studies.iter().any(|name| name == "all" || name == study.name)
    };
    let found = with_runs(experiment, &args.out, args.preset.as_deref(), wanted)?;
    for (study, finished) in found {
        let measured = (study.measure)(&finished)?;
        write_measured(&finished.folder.join(MEASURED), &measured)?;
        for row in &measured {
            super::print(&format!("{}\n", shown(row)))?;
        }
        for (name, figure) in (study.figures)(&finished)? {
            let stem = finished.folder.join(&name);
            figure.write(&stem)?;
            super::print(&format!("{}.svg\n", stem.display()))?;
        }
    }
    Ok(())
}

pub(super) fn verify(experiment: &Experiment, args: &VerifyArgs) -> anyhow::Result<()> {
    let mut differences = Vec::new();
    let (mut values, mut drawings) = (0, 0);
    for (study, finished) in with_runs(experiment, &args.out, args.preset.as_deref(), |_| true)? {
        for (folder, record) in &finished.runs {
            differences.extend(record_differences(folder, record)?);
        }
        let path = finished.folder.join(MEASURED);
        let computed = (study.measure)(&finished)?;
        values += computed.len();
        let stored = if path.exists() { read_measured(&path)? } else { Vec::new() };
        differences.extend(different(&path, &stored, &computed));
        for (name, figure) in (study.figures)(&finished)? {
            drawings += 1;
            let path = finished.folder.join(format!("{name}.svg"));
            if fs::read_to_string(&path).unwrap_or_default() != figure.to_svg()? {
                differences.push(format!("{}: missing or not what the runs give", path.display()));
            }
        }
    }
    let mut rows = 0;
    if args.out.join("ledger.csv").exists() && args.preset.is_none() {
        let claims = parse_claims(Path::new("claims.csv"), experiment.claims)?;
        let claims = [(experiment.name.to_owned(), claims)];
        differences.extend(verify_ledger(&claims, &args.out)?.iter().map(ToString::to_string));
        rows = claims[0].1.len();
    }
    if differences.is_empty() {
        let text = format!(
            "{}: {values} measured values, {drawings} figures and the verdicts of {rows} claims are what \
             the files give\n",
            experiment.name
        );
        return Ok(super::print(&text)?);
    }
    bail!(
        "{} differences from what the files give; `{} figures` and `make report` bring them up to date\n  {}",
        differences.len(),
        experiment.name,
        differences.join("\n  ")
    );
}

/// Where a run's record is not what its rows and its configuration give.
fn record_differences(folder: &Path, record: &RunRecord) -> anyhow::Result<Vec<String>> {
    let place = folder.join("run.json");
    let mut differences = Vec::new();
    if digest(&record.config) != record.digest {
        differences
            .push(format!("{}: the digest is not that of the configuration", place.display()));
    }
    let rows = metrics::read(folder.join(METRICS))?;
    for (name, &stored) in record.metrics.iter().filter(|(name, _)| rows.columns.contains(name)) {
        let last = rows.column(name)?.last().map(|row| row.1);
        if last != Some(stored) {
            differences.push(format!(
                "{}: {name} is {stored}, the last row says {last:?}",
                place.display()
            ));
        }
    }
    Ok(differences)
}

/// Studies that have finished runs below `results`, by preset.
fn with_runs(
    experiment: &Experiment,
    results: &Path,
    preset: Option<&str>,
    wanted: impl Fn(&Study) -> bool,
) -> anyhow::Result<Vec<(&'static Study, Finished)>> {
    let folder = results.join(experiment.name);
    let mut presets = Vec::new();
    if folder.is_dir() {
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            presets.push(entry?.file_name().to_string_lossy().into_owned());
        }
    }
    presets.retain(|name| preset.is_none_or(|wanted| wanted == name));
    presets.sort();
    let mut found = Vec::new();
    for preset in presets {
        for study in experiment.studies.iter().filter(|study| wanted(study)) {
            let folder = folder.join(&preset).join(study.name);
            let runs = finished_runs(&folder)?;
            if !runs.is_empty() {
                found.push((study, Finished { preset: preset.clone(), folder, runs }));
            }
        }
    }
    if found.is_empty() {
        let name = experiment.name;
        let folder = preset.map_or_else(|| folder.clone(), |preset| folder.join(preset));
        bail!("{}: no finished runs here; make some with `{name} run`", folder.display());
    }
    Ok(found)
}

fn different(path: &Path, stored: &[Measured], computed: &[Measured]) -> Vec<String> {
    let only = |left: &[Measured], right: &[Measured], side: &str| -> Vec<String> {
        let missing = left.iter().filter(|row| !right.contains(row));
        missing.map(|row| format!("{}: only {side}: {row:?}", path.display())).collect()
    };
    let mut all = only(stored, computed, "stored");
    all.extend(only(computed, stored, "computed"));
    all
}

/// `alexnet-22 laptop cifar10: 3.4 (2.9 to 4.1), 3 seeds`.
fn shown(row: &Measured) -> String {
    let estimate = &row.estimate;
    let sign = match estimate.bound {
        Bound::Exact => "",
        Bound::AtLeast => "≥ ",
        Bound::AtMost => "≤ ",
    };
    let end = |x: Option<f64>| x.map_or_else(|| "?".to_owned(), |x| format!("{x:.4}"));
    format!(
        "{} {} {}: {sign}{:.4} ({} to {}), {} seeds, {}",
        row.id,
        row.preset,
        row.data,
        estimate.value,
        end(estimate.low),
        end(estimate.high),
        estimate.n_seeds,
        estimate.method
    )
}
