//! The tables of runs, and what the runs were made with.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::Serialize;

use crate::report::figures::in_order;
use crate::report::gather::Gathered;
use crate::report::runs::{self, Run};
use crate::report::words;
use crate::run::{RunRecord, Status};

/// How much of a commit's name is shown.
const COMMIT: usize = 8;

/// The runs of one preset.
#[derive(Serialize)]
pub(super) struct PresetRuns<'a> {
    name: &'a str,
    anchor: String,
    /// `4 runs, 1 of them not complete`.
    count: String,
    rows: Vec<RunRow<'a>>,
}

#[derive(Default, Serialize)]
struct RunRow<'a> {
    /// Below the preset's folder, to be read.
    path: &'a str,
    /// Below the results folder.
    folder: &'a str,
    complete: bool,
    status: &'static str,
    /// What is wrong with the record; then the rest is empty.
    problem: &'a str,
    seed: String,
    elapsed: String,
    memory: String,
    machine: String,
    commit: &'a str,
    dirty: bool,
    inexact: bool,
    resumed: String,
    metrics: Vec<(&'a str, String)>,
}

/// What the runs were made with.
#[derive(Serialize)]
pub(super) struct Made {
    runs: String,
    versions: Vec<String>,
    machines: Vec<String>,
    commits: Vec<String>,
}

/// The runs of an experiment by preset, in the order of its figures.
pub(super) fn by_preset<'a>(experiment: &str, runs: &'a [Run]) -> Vec<PresetRuns<'a>> {
    let mut presets: Vec<PresetRuns<'a>> = runs
        .chunk_by(|a, b| a.preset() == b.preset())
        .map(|same| {
            let rows: Vec<_> = same.iter().map(run_row).collect();
            let open = rows.iter().filter(|row| !row.complete).count();
            let mut count = words::count(rows.len(), "run", "runs");
            if open > 0 {
                let _ = write!(count, ", {open} of them not complete");
            }
            let name = same[0].preset();
            PresetRuns { name, anchor: anchor(experiment, name), count, rows }
        })
        .collect();
    presets.sort_by_cached_key(|preset| in_order(preset.name));
    presets
}

/// What a link to the runs of a preset names.
pub(super) fn anchor(experiment: &str, preset: &str) -> String {
    format!("{experiment}-{preset}-runs")
}

fn run_row(run: &Run) -> RunRow<'_> {
    let record = match &run.record {
        Ok(record) => record,
        Err(problem) => {
            return RunRow {
                path: run.within_preset(),
                folder: &run.path,
                status: "unreadable",
                problem,
                ..RunRow::default()
            };
        }
    };
    let commit = &record.build.commit;
    let metrics = record.metrics.iter().map(|(name, x)| (name.as_str(), words::number(*x)));
    RunRow {
        path: run.within_preset(),
        folder: &run.path,
        complete: record.status == Status::Complete,
        status: runs::status(record.status),
        problem: "",
        seed: record.key.seed.to_string(),
        elapsed: words::elapsed(record.elapsed_s),
        memory: words::bytes(record.peak_memory_bytes),
        machine: machine(record),
        commit: commit.get(..COMMIT).unwrap_or(commit),
        dirty: record.build.dirty,
        inexact: record.inexact,
        resumed: match record.resumed {
            0 => String::new(),
            1 => "resumed once".into(),
            n => format!("resumed {n} times"),
        },
        metrics: metrics.collect(),
    }
}

fn machine(record: &RunRecord) -> String {
    let host = &record.host;
    let cores = words::count(host.cores, "core", "cores");
    let gpu = host.gpu.as_ref().map(|gpu| format!("{gpu}; ")).unwrap_or_default();
    format!("{gpu}{}, {}, {cores}", host.cpu, host.cpu_capability)
}

/// What all runs together were made with.
pub(super) fn made(all: &Gathered) -> Made {
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let (mut machines, mut commits) = (BTreeSet::new(), BTreeSet::new());
    let runs: Vec<_> = all.experiments.iter().flat_map(|e| &e.runs).collect();
    for record in runs.iter().filter_map(|run| run.record.as_ref().ok()) {
        for (name, version) in &record.build.versions {
            versions.entry(name).or_default().insert(version);
        }
        machines.insert(format!("{} ({})", machine(record), record.host.system));
        let commit = &record.build.commit;
        let dirty = if record.build.dirty { " with uncommitted changes" } else { "" };
        commits.insert(format!("{}{dirty}", commit.get(..COMMIT).unwrap_or(commit)));
    }
    let join = |(name, found): (&str, BTreeSet<&str>)| {
        format!("{name} {}", found.into_iter().collect::<Vec<_>>().join(", "))
    };
    Made {
        runs: words::count(runs.len(), "run", "runs"),
        versions: versions.into_iter().map(join).collect(),
        machines: machines.into_iter().collect(),
        commits: commits.into_iter().collect(),
    }
}
