//! `index.html`: what was gathered, worded for the template in `assets/`.

use std::collections::BTreeSet;

use minijinja::Environment;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use serde::Serialize;

use self::run_table::{Made, PresetRuns};
use super::gather::{Experiment, Gathered};
use super::words;
use crate::claims::{LedgerRow, Verdict};

mod run_table;

const TEMPLATE: &str = include_str!("../../assets/report.html");
const STYLE: &str = include_str!("../../assets/report.css");

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
    /// How many claims have no judged row; `not_run` also holds smoke rows of those that have one.
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
    range: String,
    unverified: bool,
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
        made: run_table::made(all),
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
    let ids = |rows: &[&'a LedgerRow]| rows.iter().map(|r| r.id.as_str()).collect::<BTreeSet<_>>();
    let without = ids(&not_run).difference(&ids(&judged)).count();
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
        not_run_count: words::count(without, "claim", "claims"),
        runs: run_table::by_preset(&experiment.runs),
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
        range: words::published_range(claim),
        unverified: row.published.unverified,
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
