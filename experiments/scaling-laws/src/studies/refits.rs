//! Published tables of runs, refitted: our constants beside the authors' own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use common::cli;
use common::data::catalog::Catalog;
use common::data::error::DataError;
use common::data::lookup::Lookup;
use common::data::sha256_file;
use common::data::text::input::each_file;
use common::experiment::{Drawings, Finished};
use common::rows::{read_rows, write_rows};
use common::session::{Plan, Session};
use common::training_run::{Spec, TrainingRun};
use ledger::claims::Measured;
use ledger::stats::Estimate;
use serde::{Deserialize, Serialize};

use super::allocation::exponent_of_size;
use super::{DRAWS, Fitted, SEED, estimate, measured};
use crate::SCALING_LAWS;
use crate::exclude::Exclude;
use crate::figures;
use crate::fit::{Form, Point};
use crate::frontier::{Allocation, Run, approach_2_planned};
use crate::table::{Column, Variables, read_from};
use crate::text::file;

/// Its name.
pub const STUDY: &str = "refits";

/// The sets of published tables.
pub const DATASETS: [&str; 3] = ["porian-runs", "openlm-runs", "gemstones-runs"];

/// `[refits]` of a preset.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// The tables.
    pub tables: Vec<Table>,
}

/// A table of runs. One of your own takes `name`, `file` and the columns that are called otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Its name in paths.
    pub name: String,
    /// The set of the catalogue that has the file; without one, `file` is a path.
    pub set: Option<String>,
    /// The file, CSV or a JSON object a line, packed or not.
    pub file: PathBuf,
    /// Column of parameters.
    #[serde(default = "params")]
    pub params: String,
    /// Column of tokens.
    #[serde(default = "tokens")]
    pub tokens: String,
    /// Column of losses.
    #[serde(default = "loss")]
    pub loss: String,
    /// Rows left out, as `fit --exclude` takes them.
    pub exclude: Option<String>,
    /// Whether the runs were planned at equal compute, `6·N·D` to a tenth: then approach 2 too.
    #[serde(default)]
    pub isoflop: bool,
    /// The authors' own constants, by key of the form or `a`, the exponent of size.
    #[serde(default)]
    pub authors: BTreeMap<String, f64>,
    /// The claim that approach 2's exponent of size answers, if any does.
    pub claim: Option<String>,
}

fn params() -> String {
    "params".to_owned()
}

fn tokens() -> String {
    "tokens".to_owned()
}

fn loss() -> String {
    "loss".to_owned()
}

/// A table and the sum of its file.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Refit {
    table: Table,
    file_sha256: String,
}

/// A point as it is kept in the run's folder.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Kept {
    params: f64,
    tokens: f64,
    loss: f64,
}

/// The file of points in a run's folder, without ending.
const POINTS: &str = "points";

impl Table {
    /// Where its file lies; None where its set cannot be had here.
    fn find(&self, lookup: &Lookup) -> anyhow::Result<Option<PathBuf>> {
        let Some(set) = &self.set else { return Ok(Some(self.file.clone())) };
        match Catalog::builtin().locate(set, lookup) {
            Ok(located) => {
                let name = self.file.to_string_lossy();
                let found = located.files.into_iter().find(|file| file.name == name);
                let found = found.with_context(|| format!("the set {set} has no file {name}"))?;
                Ok(Some(found.path))
            }
            Err(DataError::Unavailable { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn points(&self, path: &Path) -> anyhow::Result<Vec<Point>> {
        let mut bytes = Vec::new();
        each_file(path, &|_| true, &mut |lines| {
            bytes.append(&mut lines.rest()?);
            Ok(())
        })?;
        let column = |name: &str, flag| Column { name: name.to_owned(), flag };
        let variables = Variables::ParamsTokens(
            column(&self.params, "params in the preset"),
            column(&self.tokens, "tokens in the preset"),
        );
        let exclude = self.exclude.as_deref().map(Exclude::parse).transpose()?;
        let loss = column(&self.loss, "loss in the preset");
        let as_json = path.to_string_lossy().contains(".jsonl");
        let text = if as_json { csv_of_json_lines(path, &bytes)? } else { bytes };
        Ok(read_from(path, text.as_slice(), &variables, &loss, exclude.as_ref())?)
    }
}

/// A table of JSON objects, one a line, as CSV with the first object's keys.
fn csv_of_json_lines(path: &Path, bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    type Object = serde_json::Map<String, serde_json::Value>;
    let mut out = csv::Writer::from_writer(Vec::new());
    let mut keys: Vec<String> = Vec::new();
    for (i, line) in String::from_utf8_lossy(bytes).lines().enumerate() {
        let place = || format!("{}, line {}: wanted a JSON object", path.display(), i + 1);
        let object: Object = serde_json::from_str(line).with_context(place)?;
        if keys.is_empty() {
            keys = object.keys().cloned().collect();
            out.write_record(&keys)?;
        }
        let cell = |key: &String| match object.get(key) {
            Some(serde_json::Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => String::new(),
        };
        out.write_record(keys.iter().map(cell))?;
    }
    Ok(out.into_inner()?)
}

/// Refits every table that can be had.
///
/// # Errors
/// As [`Session::grid`]; a table that is damaged.
pub fn run(session: &Session) -> anyhow::Result<()> {
    let preset: super::Preset = session.preset()?;
    let (mut plans, mut missing) = (Vec::new(), Vec::new());
    for table in preset.refits.tables {
        let Some(path) = table.find(&session.lookup)? else {
            missing.push(table.name);
            continue;
        };
        let file_sha256 = sha256_file(&path)?;
        let data = table.name.clone();
        if session.dry_run {
            let n = table.points(&path)?.len();
            cli::print(&format!("refits: {data}, {n} runs, seconds\n"))?;
            continue;
        }
        let config = serde_json::to_value(Refit { table, file_sha256 })?;
        plans.push(Plan { data, variant: "refit".to_owned(), seed: 0, config });
    }
    if !missing.is_empty() {
        tracing::warn!(
            "refits: left out, since no registry has them: {}; set LANDMARKS_MIRROR or --data to a \
             folder that does",
            missing.join(", ")
        );
    }
    if !plans.is_empty() {
        session.grid(SCALING_LAWS.study(STUDY)?, plans)?;
    }
    Ok(())
}

/// Keeps a table's points in the run's folder, and fits them.
///
/// # Errors
/// A table that is damaged or changed, a file that cannot be written, points that cannot be fitted.
pub fn train(spec: &Spec, run: &mut TrainingRun) -> anyhow::Result<BTreeMap<String, f64>> {
    let Refit { table, file_sha256 } = spec.config()?;
    let path = table.find(&spec.lookup)?;
    let path = path.with_context(|| format!("{}: the table is gone", table.name))?;
    ensure!(sha256_file(&path)? == file_sha256, "{}: changed since it was planned", path.display());
    let points = table.points(&path)?;
    let keep = |p: &Point| Kept { params: p.x, tokens: p.y, loss: p.loss };
    let kept: Vec<Kept> = points.iter().map(keep).collect();
    write_rows(&file(run.path(), POINTS), &kept)?;
    let best = crate::fit::fit(Form::Hoffmann, &points, super::DELTA)
        .with_context(|| table.name.clone())?;
    let keys = Form::Hoffmann.keys();
    let mut numbers: Vec<(&str, f64)> = keys.iter().copied().zip(best.named()).collect();
    numbers.extend([("objective", best.objective), ("runs", points.len() as f64)]);
    let columns: Vec<&str> = numbers.iter().map(|(name, _)| *name).collect();
    run.start(&columns)?;
    run.log(0, &numbers)?;
    Ok(numbers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// A refitted table.
#[derive(Debug)]
pub(crate) struct Refitted {
    pub(crate) table: Table,
    pub(crate) fitted: Fitted,
    pub(crate) isoflop: Option<Allocation>,
}

fn refitted(finished: &Finished) -> anyhow::Result<Vec<Refitted>> {
    let mut found = Vec::new();
    for (folder, record) in &finished.runs {
        let Refit { table, .. } = Refit::deserialize(&record.config)?;
        let kept: Vec<Kept> = read_rows(&file(folder, POINTS))?;
        let point = |kept: &Kept| Point { x: kept.params, y: kept.tokens, loss: kept.loss };
        let points: Vec<Point> = kept.iter().map(point).collect();
        let isoflop =
            table.isoflop.then(|| approach_2_planned(&by_budget(&points), DRAWS, SEED)).flatten();
        // Each run of the table was trained once.
        if let Some(fitted) = Fitted::new(&table.name, Form::Hoffmann, points, 1) {
            found.push(Refitted { table, fitted, isoflop });
        }
    }
    Ok(found)
}

/// Points by their compute `6·N·D`, which runs of one budget share to a tenth.
fn by_budget(points: &[Point]) -> Vec<Vec<Run>> {
    let mut runs: Vec<Run> = points
        .iter()
        .map(|p| Run { n: p.x, flops: 6.0 * p.x * p.y, tokens: p.y, loss: p.loss })
        .collect();
    runs.sort_by(|a, b| a.flops.total_cmp(&b.flops));
    let groups = runs.chunk_by(|a, b| b.flops < 1.1 * a.flops);
    let of = |group: &[Run]| -> Vec<Run> {
        let flops = group.iter().map(|run| run.flops.ln()).sum::<f64>() / group.len() as f64;
        group.iter().map(|run| Run { flops: flops.exp(), ..*run }).collect()
    };
    groups.map(of).collect()
}

/// The constants of each table, and approach 2 where it was planned for it.
///
/// # Errors
/// Files that cannot be read.
pub fn measure(finished: &Finished) -> anyhow::Result<Vec<Measured>> {
    let mut found = Vec::new();
    for Refitted { table, fitted, isoflop } in refitted(finished)? {
        let mut add = |id: &str, estimate: Estimate| {
            found.push(measured(finished, id, &table.name, estimate));
        };
        for key in Form::Hoffmann.keys() {
            add(&format!("refit-{key}"), fitted.constant(key));
        }
        add("refit-a", fitted.estimate(exponent_of_size));
        if let Some(isoflop) = &isoflop {
            let n = fitted.points.len();
            let method = format!(
                "{} parabolas, residual bootstrap, {DRAWS} draws, 95 %",
                isoflop.optima.len()
            );
            let estimate = estimate(isoflop.a, isoflop.a_interval, 1, n, &method);
            add("refit-a-isoflop", estimate.clone());
            if let Some(claim) = &table.claim {
                let row = measured(finished, claim, &table.name, estimate);
                // The published runs themselves, and the published question.
                found.push(Measured { protocol_ok: true, ..row });
            }
        }
    }
    Ok(super::finite(found))
}

/// The exponent of size of every table beside its authors' own, and the residuals of each fit.
///
/// # Errors
/// Files that cannot be read.
pub fn figures(finished: &Finished) -> anyhow::Result<Drawings> {
    let all = refitted(finished)?;
    let residuals = |refitted: &Refitted| {
        let Refitted { table, fitted, .. } = refitted;
        (format!("residuals-{}", table.name), figures::residuals(&fitted.best, &fitted.points))
    };
    let mut drawings = vec![("refits".to_owned(), figures::refits(&all))];
    drawings.extend(all.iter().map(residuals));
    Ok(drawings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_lines_become_a_table() {
        let bytes = b"{\"run\":\"a,b\",\"params\":1e6,\"loss\":3.5}\n{\"run\":\"c\",\"loss\":3,\"params\":2e6}";
        let text = csv_of_json_lines(Path::new("x.jsonl"), bytes).unwrap();
        let text = String::from_utf8(text).unwrap();
        let mut lines = text.lines();
        let header = lines.next().unwrap();
        let columns: Vec<&str> = header.split(',').collect();
        let at = |name: &str| columns.iter().position(|column| *column == name).unwrap();
        let rows: Vec<csv::StringRecord> =
            csv::Reader::from_reader(text.as_bytes()).records().collect::<Result<_, _>>().unwrap();
        assert_eq!(&rows[0][at("run")], "a,b");
        let number = |name: &str| rows[1][at(name)].parse::<f64>().unwrap();
        assert!((number("params") - 2e6).abs() < 1e-6 && (number("loss") - 3.0).abs() < 1e-12);
        let error = csv_of_json_lines(Path::new("x.jsonl"), b"{}\nno").unwrap_err().to_string();
        assert!(error.contains("x.jsonl, line 2"), "{error}");
    }

    #[test]
    fn budgets_are_told_apart_by_their_compute() {
        let point = |x: f64, flops: f64| Point { x, y: flops / 6.0 / x, loss: 3.0 };
        let points = [point(1e6, 1e18), point(1e7, 2e18), point(2e6, 1.0001e18), point(2e7, 2e18)];
        let groups = by_budget(&points);
        assert_eq!(groups.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2]);
        assert!(groups.iter().all(|group| group[0].flops.total_cmp(&group[1].flops).is_eq()));
    }
}
