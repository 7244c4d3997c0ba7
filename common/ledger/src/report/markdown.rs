//! `README.md` of the folder we publish: the page for those who read the repository.

use std::fmt::Write as _;

use super::gather::{Experiment, Gathered};
use super::page::{place, seeds, totals};
use super::words;
use crate::claims::LedgerRow;

const INTRODUCTION: &str = "\
# Published results

Each row sets one published statement beside what we measured for it. Every number comes from a run whose folder is
here, and every verdict is computed from the stored files by rules fixed in advance; a failed reproduction is reported
as one. The range behind a measured value is its 95 % interval over seeds; `≥` marks a bound. The same with all runs is
`index.html` (one file, opens without a network), and with every digit `ledger.csv`. This file is written by
`make publish`; edits are lost.

";

pub(super) fn readme(all: &Gathered, timed: bool) -> String {
    let mut out = INTRODUCTION.to_owned();
    if all.empty() {
        out.push_str("Nothing is published yet.\n\n");
    }
    if timed {
        out.push_str(
            "How fast all of it is, beside PyTorch and others, is in [bench.md](bench.md).\n\n",
        );
    }
    out.push_str("| verdict | claims |\n| --- | ---: |\n");
    for total in totals(all) {
        let _ = writeln!(out, "| {} | {} |", total.label, total.count);
    }
    for experiment in &all.experiments {
        let _ = write!(out, "\n## {}\n", plain(&experiment.name));
        figures(&mut out, experiment);
        table(&mut out, experiment);
    }
    out.push_str("\n## What the verdicts mean\n\n");
    for (word, _, meaning) in words::glossary() {
        let _ = writeln!(out, "- **{word}**: {}", plain(&meaning));
    }
    out
}

/// The pictures of the best preset; the others are on the page.
fn figures(out: &mut String, experiment: &Experiment) {
    let Some(preset) = experiment.figures.first() else { return };
    for study in &preset.studies {
        for figure in &study.figures {
            let Some(png) = &figure.png else { continue };
            let caption = plain(&figure.caption);
            let _ = write!(
                out,
                "\n![{caption}](<{png}>)\n\n*{} at the preset {}.* {caption}\n",
                plain(&study.study),
                plain(&preset.preset)
            );
        }
    }
}

fn table(out: &mut String, experiment: &Experiment) {
    out.push_str(
        "\n| claim | published | measured | seeds, preset, data | verdict | why | repeat with |\n\
         | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    let (judged, not_run) = experiment.judged_and_not();
    for row in judged.into_iter().chain(not_run) {
        line(out, experiment, row);
    }
}

fn line(out: &mut String, experiment: &Experiment, row: &LedgerRow) {
    let claim = experiment.claim(row);
    let source = plain(&place(&claim.source, &claim.place));
    let unverified = if row.published.unverified { " (unverified)" } else { "" };
    let with_range = |value: String, range: String| {
        let range = if range.is_empty() { range } else { format!(" ({range})") };
        plain(&format!("{value}{range}"))
    };
    let published = with_range(words::published(claim), words::published_range(claim)) + unverified;
    let with = [seeds(row), row.preset.clone(), row.data.clone()];
    let with: Vec<_> = with.iter().filter(|s| !s.is_empty()).map(|s| plain(s)).collect();
    let cells = [
        format!("{}<br><sub>{source}; {}</sub>", plain(&row.claim), plain(&row.id)),
        published.trim().to_owned(),
        with_range(words::measured(row), words::interval(row)),
        with.join(", "),
        format!("**{}**", words::verdict(row.verdict)),
        plain(&row.reason),
        code(&row.command),
    ];
    let _ = writeln!(out, "| {} |", cells.join(" | "));
}

/// Text that Markdown and HTML leave as it is, on one line and within one cell of a table.
pub(crate) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '$' => out.extend(['\\', c]),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// A code span within one cell of a table; nothing for nothing.
fn code(plain: &str) -> String {
    if plain.is_empty() {
        return String::new();
    }
    format!("`{}`", plain.replace(['`', '\n', '\r'], " ").replace('|', "\\|"))
}
