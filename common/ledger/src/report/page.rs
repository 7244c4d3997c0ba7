//! `index.html`: what was gathered, worded for the template in `assets/`.

use std::collections::BTreeSet;

use minijinja::Environment;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use serde::Serialize;

use self::run_table::{Made, PresetRuns};
use self::story::Chapter;
use super::figures::{self, PresetFigures};
use super::gather::{Experiment, Gathered};
use super::words;
use crate::claims::{LedgerRow, Verdict};

mod run_table;
mod story;

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
    story: Vec<Chapter<'a>>,
    filters: Vec<Filter>,
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

/// Rows that a check box shows or hides: those of a class.
#[derive(Serialize)]
struct Filter {
    name: &'static str,
    boxes: Vec<(&'static str, &'static str)>,
}

/// The presets whose rows have a check box; the others are changed ones.
const PRESETS: [&str; 4] = ["paper", "overnight", "laptop", "smoke"];

#[derive(Serialize)]
struct Term {
    key: &'static str,
    label: &'static str,
    meaning: String,
}

#[derive(Serialize)]
struct Section<'a> {
    name: &'a str,
    title: &'a str,
    /// Where its README is.
    readme: Option<&'a str>,
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
    /// Whether it is shown unfolded.
    open: bool,
    count: String,
    studies: Vec<Study<'a>>,
}

#[derive(Serialize)]
struct Study<'a> {
    name: &'a str,
    /// What a link to its figures names.
    anchor: String,
    /// Said where one of its figures stands in the story.
    in_story: Option<&'static str>,
    figures: Vec<Figure<'a>>,
}

#[derive(Serialize)]
struct Figure<'a> {
    svg: &'a str,
    caption: &'a str,
}

impl<'a> Figure<'a> {
    fn of(figure: &'a figures::Figure) -> Self {
        Self { svg: &figure.svg, caption: &figure.caption }
    }
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
    /// The study's figures on this page.
    figures: Option<String>,
    /// The study's `measured.csv`.
    numbers: String,
    /// The preset's runs on this page.
    runs: Option<String>,
    published: Option<Beside<'a>>,
    key: &'static str,
    /// What the check boxes of presets call it; empty where nothing was measured.
    preset_key: &'static str,
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
        story: story::chapters(all),
        filters: filters(all),
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

/// The check boxes: verdicts that there are, and presets where there are several.
fn filters(all: &Gathered) -> Vec<Filter> {
    let rows = || all.experiments.iter().flat_map(|e| &e.rows);
    let verdicts = words::glossary().into_iter().filter_map(|(label, key, _)| {
        rows().any(|row| row.verdict.word() == key).then_some((key, label))
    });
    let measured: BTreeSet<_> = rows().map(|row| preset_key(&row.preset)).collect();
    let presets = PRESETS.into_iter().chain(["changed"]).filter(|key| measured.contains(key));
    vec![
        Filter { name: "Verdict", boxes: verdicts.collect() },
        Filter { name: "Preset", boxes: presets.map(|key| (key, key)).collect() },
    ]
}

/// The check box of a row's preset.
fn preset_key(preset: &str) -> &'static str {
    if preset.is_empty() {
        return "";
    }
    PRESETS.into_iter().find(|name| *name == preset).unwrap_or("changed")
}

/// What a link to the figures of a study names.
fn anchor(experiment: &str, preset: &str, study: &str) -> String {
    format!("{experiment}-{preset}-{study}-figures")
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
    let key = story::key_figure(experiment);
    let figures = experiment.figures.iter().enumerate().map(|(i, preset)| Preset {
        name: &preset.preset,
        open: i == 0,
        count: {
            let n = preset.studies.iter().map(|study| study.figures.len()).sum();
            words::count(n, "figure", "figures")
        },
        studies: preset
            .studies
            .iter()
            .map(|study| {
                let told =
                    |figure: &figures::Figure| key.is_some_and(|key| std::ptr::eq(key.1, figure));
                let left = study.figures.iter().filter(|figure| !told(figure));
                let figures: Vec<_> = left.map(Figure::of).collect();
                let in_story =
                    if figures.is_empty() { "Its figure stands" } else { "One more stands" };
                Study {
                    name: &study.study,
                    anchor: anchor(&experiment.name, &preset.preset, &study.study),
                    in_story: (figures.len() < study.figures.len()).then_some(in_story),
                    figures,
                }
            })
            .collect(),
    });
    Section {
        name: &experiment.name,
        title: experiment.title(),
        readme: experiment.readme.as_deref(),
        figures: figures.collect(),
        judged: entries(&judged),
        not_run: entries(&not_run),
        not_run_count: words::count(without, "claim", "claims"),
        runs: run_table::by_preset(&experiment.name, &experiment.runs),
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
    let study = claim.study.as_str();
    let drawn = |preset: &PresetFigures| {
        preset.preset == row.preset && preset.studies.iter().any(|s| s.study == study)
    };
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
        figures: experiment
            .figures
            .iter()
            .any(drawn)
            .then(|| anchor(&experiment.name, &row.preset, study)),
        numbers: format!("{}/{}/{study}/measured.csv", experiment.name, row.preset),
        runs: experiment
            .runs
            .iter()
            .any(|run| run.preset() == row.preset)
            .then(|| run_table::anchor(&experiment.name, &row.preset)),
        published,
        key: row.verdict.word(),
        preset_key: preset_key(&row.preset),
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
