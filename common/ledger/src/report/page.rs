//! `index.html`: what was gathered, worded for the template in `assets/`.

use std::collections::{BTreeMap, BTreeSet};

use minijinja::Environment;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use serde::Serialize;

use super::figures::in_order;
use super::gather::{Experiment, Gathered};
use super::runs::{self, Run};
use super::words;
use crate::claims::{LedgerRow, Verdict};

const TEMPLATE: &str = include_str!("../../assets/report.html");
const STYLE: &str = include_str!("../../assets/report.css");
/// How much of a commit's name is shown.
const COMMIT: usize = 8;

#[derive(Serialize)]
struct Page<'a> {
    style: &'static str,
    is_reference: bool,
    /// The experiment to start with, while nothing has run.
    start: Option<&'a str>,
    /// Whether there are published values to stand beside ours.
    published: bool,
    totals: Vec<Total>,
    experiments: Vec<Section<'a>>,
    glossary: Vec<Term>,
    made: Made,
}

/// How many claims have a verdict.
#[derive(Serialize)]
pub(super) struct Total {
    /// The verdict's word in the ledger; chooses the colour.
    pub(super) key: &'static str,
    pub(super) label: &'static str,
    pub(super) count: usize,
}

#[derive(Serialize)]
struct Term {
    key: &'static str,
    label: &'static str,
    meaning: String,
}

#[derive(Serialize)]
struct Section<'a> {
    name: &'a str,
    figures: Vec<Preset<'a>>,
    judged: Vec<Entry<'a>>,
    not_run: Vec<Entry<'a>>,
    /// Claims, not rows, among `not_run`.
    not_run_count: String,
    runs: Vec<PresetRuns<'a>>,
}

#[derive(Serialize)]
struct Preset<'a> {
    name: &'a str,
    count: String,
    studies: Vec<Study<'a>>,
}

#[derive(Serialize)]
struct Study<'a> {
    name: &'a str,
    figures: Vec<Figure<'a>>,
}

#[derive(Serialize)]
struct Figure<'a> {
    svg: &'a str,
    caption: &'a str,
}

/// A row of the ledger.
#[derive(Serialize)]
struct Entry<'a> {
    claim: &'a str,
    /// Whether the row above is about the same claim.
    again: bool,
    source: String,
    id: &'a str,
    value: String,
    unverified: bool,
    tolerance: &'a str,
    measured: String,
    interval: String,
    seeds: String,
    preset: &'a str,
    data: &'a str,
    evidence: &'a str,
    published: Option<Beside<'a>>,
    key: &'static str,
    verdict: &'static str,
    reason: &'a str,
    command: &'a str,
}

/// The measurement we publish, beside one of the reader's.
#[derive(Serialize)]
struct Beside<'a> {
    measured: String,
    interval: String,
    /// Preset and data, where they are not those of the row.
    other: Vec<&'a str>,
    seeds: String,
}

#[derive(Serialize)]
struct PresetRuns<'a> {
    name: &'a str,
    /// `4 runs, 1 of them not complete`.
    count: String,
    rows: Vec<RunRow<'a>>,
}

#[derive(Serialize)]
struct RunRow<'a> {
    path: &'a str,
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
struct Made {
    runs: String,
    versions: Vec<String>,
    machines: Vec<String>,
    commits: Vec<String>,
}

/// The page. A template that does not render is a fault of this crate, not of the results.
pub(super) fn html(all: &Gathered) -> String {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.expect("the usual delimiters"));
    // The name's ending turns escaping on.
    environment.add_template("report.html", TEMPLATE).expect("the template is tested");
    let template = environment.get_template("report.html").expect("it was just added");
    template.render(Serde(page(all))).expect("the template is tested") + "\n"
}

fn page(all: &Gathered) -> Page<'_> {
    let first = || all.experiments.first().map_or("alexnet", |e| e.name.as_str());
    let glossary = words::glossary().into_iter();
    Page {
        style: STYLE,
        is_reference: all.is_reference,
        start: all.empty().then(first),
        published: all.published.is_some(),
        totals: totals(all),
        experiments: all.experiments.iter().map(|e| section(all, e)).collect(),
        glossary: glossary.map(|(label, key, meaning)| Term { key, label, meaning }).collect(),
        made: made(all),
    }
}

/// The counts of the summary in the order of the glossary.
pub(super) fn totals(all: &Gathered) -> Vec<Total> {
    let s = all.summary;
    let total = |v: Verdict, count| Total { key: v.word(), label: words::verdict(v), count };
    vec![
        total(Verdict::Reproduced, s.reproduced),
        total(Verdict::Exceeds, s.exceeds),
        total(Verdict::Trend, s.trend),
        total(Verdict::NotReproduced, s.not_reproduced),
        total(Verdict::NotRun, s.not_run),
        Total { key: "unverified", label: "unverified", count: s.unverified },
    ]
}

fn section<'a>(all: &'a Gathered, experiment: &'a Experiment) -> Section<'a> {
    let (judged, not_run) = experiment.judged_and_not();
    let entries = |rows: &[&'a LedgerRow]| {
        let mut above = "";
        let entry = |row: &&'a LedgerRow| {
            let again = above == row.id;
            above = &row.id;
            entry(all, experiment, row, again)
        };
        rows.iter().map(entry).collect::<Vec<_>>()
    };
    let ids: BTreeSet<&str> = not_run.iter().map(|row| row.id.as_str()).collect();
    let figures = experiment.figures.iter().map(|preset| Preset {
        name: &preset.preset,
        count: {
            let n = preset.studies.iter().map(|study| study.figures.len()).sum();
            words::count(n, "figure", "figures")
        },
        studies: preset
            .studies
            .iter()
            .map(|study| Study {
                name: &study.study,
                figures: study
                    .figures
                    .iter()
                    .map(|figure| Figure { svg: &figure.svg, caption: &figure.caption })
                    .collect(),
            })
            .collect(),
    });
    Section {
        name: &experiment.name,
        figures: figures.collect(),
        judged: entries(&judged),
        not_run: entries(&not_run),
        not_run_count: words::count(ids.len(), "claim", "claims"),
        runs: runs_by_preset(&experiment.runs),
    }
}

fn entry<'a>(
    all: &'a Gathered,
    experiment: &'a Experiment,
    row: &'a LedgerRow,
    again: bool,
) -> Entry<'a> {
    let claim = experiment.claim(row);
    let published = all.published(row).map(|other| Beside {
        measured: words::measured(other),
        interval: words::interval(other),
        other: match (other.preset == row.preset, other.data == row.data) {
            (true, true) => vec![],
            (false, true) => vec![other.preset.as_str()],
            (true, false) => vec![other.data.as_str()],
            (false, false) => vec![other.preset.as_str(), other.data.as_str()],
        },
        seeds: seeds(other),
    });
    Entry {
        claim: &row.claim,
        again,
        source: place(&claim.source, &claim.place),
        id: &row.id,
        value: words::published(claim),
        unverified: row.published.unverified,
        tolerance: &claim.tolerance_reason,
        measured: words::measured(row),
        interval: words::interval(row),
        seeds: seeds(row),
        preset: &row.preset,
        data: &row.data,
        evidence: &row.evidence,
        published,
        key: row.verdict.word(),
        verdict: words::verdict(row.verdict),
        reason: &row.reason,
        command: &row.command,
    }
}

/// Source and place in it.
pub(super) fn place(source: &str, place: &str) -> String {
    if place.is_empty() { source.to_owned() } else { format!("{source}, {place}") }
}

/// How many seeds a row rests on; empty when nothing was measured.
pub(super) fn seeds(row: &LedgerRow) -> String {
    row.seeds.map(|n| words::count(n, "seed", "seeds")).unwrap_or_default()
}

fn runs_by_preset(runs: &[Run]) -> Vec<PresetRuns<'_>> {
    let mut presets: Vec<PresetRuns<'_>> = runs
        .chunk_by(|a, b| a.preset() == b.preset())
        .map(|same| {
            let rows: Vec<_> = same.iter().map(run_row).collect();
            let open = rows.iter().filter(|row| !row.complete).count();
            let mut count = words::count(rows.len(), "run", "runs");
            if open > 0 {
                count.push_str(&format!(", {open} of them not complete"));
            }
            PresetRuns { name: same[0].preset(), count, rows }
        })
        .collect();
    presets.sort_by_cached_key(|preset| in_order(preset.name));
    presets
}

fn run_row(run: &Run) -> RunRow<'_> {
    let record = match &run.record {
        Ok(record) => record,
        Err(problem) => {
            return RunRow {
                path: run.within_preset(),
                complete: false,
                status: "unreadable",
                problem,
                seed: String::new(),
                elapsed: String::new(),
                memory: String::new(),
                machine: String::new(),
                commit: "",
                dirty: false,
                inexact: false,
                resumed: String::new(),
                metrics: vec![],
            };
        }
    };
    let commit = &record.build.commit;
    let metrics = record.metrics.iter().map(|(name, x)| (name.as_str(), words::number(*x)));
    RunRow {
        path: run.within_preset(),
        complete: record.status == crate::run::Status::Complete,
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

fn machine(record: &crate::run::RunRecord) -> String {
    let host = &record.host;
    let cores = words::count(host.cores, "core", "cores");
    let gpu = host.gpu.as_ref().map(|gpu| format!("{gpu}; ")).unwrap_or_default();
    format!("{gpu}{}, {}, {cores}", host.cpu, host.cpu_capability)
}

fn made(all: &Gathered) -> Made {
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
