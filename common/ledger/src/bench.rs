//! Speed beside others: the tables that the programs of `bench/` leave in `<results>/bench/`, as one page and one figure.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::numbers::grouped;
use crate::plot::{Axis, Figure, Panel, PlotError, Reference, ranges};
use crate::report::plain;
use crate::run::{RunError, write_atomic};

/// The folder of the tables, in a results folder.
pub const FOLDER: &str = "bench";
/// The page, beside it.
pub const PAGE: &str = "bench.md";
/// The figure's files without their endings, beside it.
pub const FIGURE: &str = "bench";
/// The one that is drawn with lines.
pub const DRAWING: &str = "bench.svg";

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A file or folder cannot be read.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file holds no table.
    #[error("{path}: {reason}; measure it again with `make bench`, or delete it")]
    Table {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The figure cannot be drawn.
    #[error(transparent)]
    Plot(#[from] PlotError),
    /// A table cannot be written.
    #[error(transparent)]
    Run(#[from] RunError),
}

/// One program's table.
#[derive(Debug, Deserialize)]
struct Table {
    #[serde(rename = "table")]
    name: String,
    experiment: String,
    title: String,
    /// PyTorch's version; empty where it took no part.
    pytorch: String,
    machine: Machine,
    /// Processes that wanted to run when it began.
    load: f64,
    date: String,
    commit: String,
    dirty: bool,
    rounds: u32,
    lines: Vec<Line>,
}

#[derive(Debug, Deserialize)]
struct Machine {
    processor: String,
    bf16: Vec<String>,
    cores: u32,
    memory_gib: Option<u32>,
}

/// Ours beside another's; a ratio above 1 is in our favour.
#[derive(Debug, Deserialize)]
struct Line {
    what: String,
    unit: String,
    ours: f64,
    theirs: f64,
    against: String,
    ratios: Vec<f64>,
    share_of_gemm: Option<f64>,
}

/// The page and its figure.
#[derive(Debug)]
pub struct Page {
    /// `bench.md`.
    pub text: String,
    /// `bench.svg` and `bench.png`.
    pub figure: Figure,
}

/// The page of the tables in `results`; none where there are no tables.
///
/// # Errors
/// A file that cannot be read or is no table.
pub fn page(results: &Path) -> Result<Option<Page>, BenchError> {
    let tables = read(&results.join(FOLDER))?;
    Ok((!tables.is_empty()).then(|| Page { text: text(&tables), figure: figure(&tables) }))
}

/// Copies the tables of `results` to `reference`, those of a changed tree aside, and says what was done with each.
///
/// # Errors
/// A file that cannot be read or written, or is no table.
pub fn publish(results: &Path, reference: &Path) -> Result<Vec<String>, BenchError> {
    let mut done = Vec::new();
    for (path, bytes, table) in files(&results.join(FOLDER))? {
        let to = reference.join(FOLDER).join(path.file_name().unwrap_or_default());
        let name = format!("{FOLDER}/{}", path.file_name().unwrap_or_default().display());
        if table.dirty {
            done.push(format!("{name}: refused: measured with changes that are not committed"));
            continue;
        }
        let io = |source| BenchError::Io { path: to.clone(), source };
        fs::create_dir_all(reference.join(FOLDER)).map_err(io)?;
        write_atomic(&to, &bytes)?;
        done.push(format!("{name}: copied"));
    }
    Ok(done)
}

fn read(folder: &Path) -> Result<Vec<Table>, BenchError> {
    let mut tables: Vec<Table> = files(folder)?.into_iter().map(|(_, _, table)| table).collect();
    tables.sort_by(|a, b| (&a.experiment, &a.name).cmp(&(&b.experiment, &b.name)));
    Ok(tables)
}

/// The tables in `folder`, by path, with their bytes.
fn files(folder: &Path) -> Result<Vec<(PathBuf, Vec<u8>, Table)>, BenchError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| BenchError::Io { path, source }
    };
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut tables = Vec::new();
    for entry in fs::read_dir(folder).map_err(io(folder))? {
        let path = entry.map_err(io(folder))?.path();
        if path.extension().is_none_or(|ending| ending != "json") {
            continue;
        }
        let bytes = fs::read(&path).map_err(io(&path))?;
        let wrong = |reason: String| BenchError::Table { path: path.clone(), reason };
        let table: Table = serde_json::from_slice(&bytes).map_err(|e| wrong(e.to_string()))?;
        let bad = |line: &&Line| {
            line.ratios.is_empty() || line.ratios.iter().any(|r| !(r.is_finite() && *r > 0.0))
        };
        if let Some(line) = table.lines.iter().find(bad) {
            return Err(wrong(format!("\"{}\" has no ratios above 0", line.what)));
        }
        if table.lines.is_empty() {
            return Err(wrong("a table without lines".to_owned()));
        }
        tables.push((path, bytes, table));
    }
    tables.sort_by(|(a, ..), (b, ..)| a.cmp(b));
    Ok(tables)
}

impl Line {
    /// The least, the median and the largest ratio.
    fn spread(&self) -> [f64; 3] {
        let mut ratios = self.ratios.clone();
        ratios.sort_by(f64::total_cmp);
        let (n, last) = (ratios.len(), ratios.len() - 1);
        [ratios[0], f64::midpoint(ratios[last / 2], ratios[n / 2]), ratios[last]]
    }
}

const INTRODUCTION: &str = "\
# Speed beside PyTorch and others

Written by `make bench`. Both sides run on the same machine, the same libtorch version and the same number of threads, in turn,
round by round, PyTorch in the best of its modes (eager or compiled, and of convolutions both layouts). A ratio above 1 is in our
favour, whatever the unit; the median over the rounds stands first, in brackets the least and the largest. The last column is the
share of this machine's rate of plain matrix products (1,024 by 1,024, the same precision and threads, in the same run) at which a
training computes.

";

fn text(tables: &[Table]) -> String {
    let mut out = INTRODUCTION.to_owned();
    let _ = write!(out, "![{CAPTION}]({FIGURE}.png)\n\n");
    out.push_str("| experiment | slowest line | ratio |\n| --- | --- | ---: |\n");
    let mut rest = tables;
    while let Some(first) = rest.first() {
        let n = rest.partition_point(|table| table.experiment == first.experiment);
        let (own, others) = rest.split_at(n);
        let lines = own.iter().flat_map(|table| table.lines.iter().map(move |line| (table, line)));
        let slowest = lines.min_by(|(_, a), (_, b)| a.spread()[1].total_cmp(&b.spread()[1]));
        if let Some((table, line)) = slowest {
            let (name, what) = (&table.experiment, plain(&line.what));
            let _ = writeln!(out, "| {name} | {}: {what} | {} |", plain(&table.title), ratio(line));
        }
        rest = others;
    }
    for table in tables {
        let _ = write!(out, "\n## {}\n\n{}\n\n", table.title, made(table));
        out.push_str("| | ours | theirs | unit | in our favour | beside | of plain products |\n");
        out.push_str("| --- | ---: | ---: | --- | ---: | --- | ---: |\n");
        for line in &table.lines {
            let (what, beside) = (plain(&line.what), plain(&line.against));
            let (ours, theirs, unit) = (number(line.ours), number(line.theirs), plain(&line.unit));
            let share =
                line.share_of_gemm.map_or_else(String::new, |s| format!("{:.0} %", 100.0 * s));
            let ratio = ratio(line);
            let _ = writeln!(
                out,
                "| {what} | {ours} | {theirs} | {unit} | {ratio} | {beside} | {share} |"
            );
        }
    }
    out
}

/// Where, when and with what a table was made.
fn made(table: &Table) -> String {
    let Machine { processor, bf16, cores, memory_gib } = &table.machine;
    let mut said = format!("{}, {processor}, {cores} cores", table.experiment);
    if !bf16.is_empty() {
        let _ = write!(said, " ({})", bf16.join(", "));
    }
    if let Some(memory) = memory_gib {
        let _ = write!(said, ", {memory} GiB");
    }
    if !table.pytorch.is_empty() {
        let _ = write!(said, "; PyTorch {}", table.pytorch);
    }
    let (commit, changed) =
        (table.commit.get(..12).unwrap_or("unknown"), if table.dirty { ", changed" } else { "" });
    let _ = write!(
        said,
        "; {}, commit {commit}{changed}, {} rounds, load {:.1}.",
        table.date, table.rounds, table.load
    );
    said
}

fn ratio(line: &Line) -> String {
    let [least, median, most] = line.spread();
    format!("**{median:.2}** ({least:.2} to {most:.2})")
}

/// Whole from 100 on, otherwise three digits.
fn number(x: f64) -> String {
    let places = match x.abs() {
        100.0.. => 0,
        10.0.. => 1,
        _ => 2,
    };
    grouped(&format!("{x:.places$}"))
}

/// The last word before what is added after a comma.
fn last_word(against: &str) -> &str {
    against.split(',').next().and_then(|name| name.split(' ').next_back()).unwrap_or_default()
}

const CAPTION: &str = "Ratios to PyTorch and others, least to largest with the median marked; right of 1 is in our favour";

/// A panel a table, a line a row, ratios on the same scale.
fn figure(tables: &[Table]) -> Figure {
    let ratios = tables.iter().flat_map(|table| &table.lines).flat_map(|line| &line.ratios);
    let (low, high) = ratios.fold((1.0_f64, 1.0_f64), |(low, high), &r| (low.min(r), high.max(r)));
    let panel = |table: &Table| {
        // Where one thing is timed beside several, its name alone would not say which line this is.
        let label = |line: &Line| match table.lines.iter().filter(|l| l.what == line.what).count() {
            1 => line.what.clone(),
            _ => format!("{} | {}", line.what, last_word(&line.against)),
        };
        let labels: Vec<_> = table.lines.iter().map(label).collect();
        let spreads = table.lines.iter().map(Line::spread);
        let rows = labels.iter().map(String::as_str).zip(spreads).collect();
        let x = Axis::log("ratio in our favour").range(low / 1.1, high * 1.1);
        Panel {
            title: format!("{}: {}", table.experiment, table.title),
            references: vec![Reference::vertical("level", 1.0)],
            ..ranges("median of the rounds", x, rows)
        }
    };
    Figure {
        title: "Speed beside PyTorch and others".to_owned(),
        caption: CAPTION.to_owned(),
        panels: tables.iter().map(panel).collect(),
        columns: 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = r#"{"table": "steps", "experiment": "alexnet", "title": "Steps", "pytorch": "2.13.0+cpu",
        "machine": {"processor": "Some", "bf16": ["amx_bf16"], "cores": 2, "memory_gib": 24}, "load": 0.04,
        "date": "2026-12-02", "commit": "0123456789abcdef", "dirty": false, "rounds": 4, "lines": [
        {"what": "fp32", "unit": "images/s", "ours": 12344.4, "theirs": 6172.2, "against": "eager | best", "ratios": [2.1, 1.9, 2.0, 2.2],
         "share_of_gemm": 0.456},
        {"what": "memory", "unit": "MiB", "ours": 99.96, "theirs": 9.5, "against": "eager", "ratios": [0.5], "share_of_gemm": null}]}"#;

    fn tables(texts: &[(&str, &str)]) -> (tempfile::TempDir, Result<Option<Page>, BenchError>) {
        let results = tempfile::tempdir().unwrap();
        fs::create_dir(results.path().join(FOLDER)).unwrap();
        for (name, text) in texts {
            fs::write(results.path().join(FOLDER).join(name), text).unwrap();
        }
        let page = page(results.path());
        (results, page)
    }

    #[test]
    fn a_table_is_told_with_its_spread_and_its_slowest_line() {
        let (_results, page) = tables(&[("steps.json", TABLE), ("notes.txt", "not a table")]);
        let Page { text, figure } = page.unwrap().unwrap();
        assert!(text.contains("| fp32 | 12,344 | 6172 | images/s | **2.05** (1.90 to 2.20) | eager \\| best | 46 % |"), "{text}");
        assert!(
            text.contains("| memory | 100.0 | 9.50 | MiB | **0.50** (0.50 to 0.50) | eager |  |"),
            "{text}"
        );
        assert!(text.contains("| alexnet | Steps: memory | **0.50** (0.50 to 0.50) |"), "{text}");
        let made = "alexnet, Some, 2 cores (amx_bf16), 24 GiB; PyTorch 2.13.0+cpu; 2026-12-02, commit 0123456789ab, 4 rounds, load 0.0.";
        assert!(text.contains(made), "{text}");
        let svg = figure.to_svg().unwrap();
        assert!(svg.contains("memory") && svg.contains("fp32"));
    }

    #[test]
    fn nothing_measured_gives_no_page_and_a_damaged_table_is_named() {
        assert!(page(Path::new("/nowhere")).unwrap().is_none());
        assert!(tables(&[]).1.unwrap().is_none());
        for (text, reason) in [
            (&TABLE[..400], "EOF"),
            (&TABLE.replace("[0.5]", "[]"), "\"memory\" has no ratios"),
            (&TABLE.replace("[0.5]", "[-1]"), "\"memory\" has no ratios"),
        ] {
            let error = tables(&[("steps.json", text)]).1.unwrap_err().to_string();
            assert!(error.contains("steps.json") && error.contains(reason), "{error}");
        }
    }

    #[test]
    fn a_table_is_published_unless_the_tree_was_changed() {
        let changed = TABLE.replace("\"dirty\": false", "\"dirty\": true");
        let (results, _page) = tables(&[("a.json", TABLE), ("b.json", &changed)]);
        let reference = tempfile::tempdir().unwrap();
        let done = publish(results.path(), reference.path()).unwrap();
        assert_eq!(done[0], "bench/a.json: copied");
        assert!(done[1].starts_with("bench/b.json: refused"), "{done:?}");
        assert_eq!(fs::read_to_string(reference.path().join("bench/a.json")).unwrap(), TABLE);
        assert!(!reference.path().join("bench/b.json").exists());
    }
}
