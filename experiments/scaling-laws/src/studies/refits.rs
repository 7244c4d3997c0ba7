//! Published tables of runs, refitted: our constants beside the authors' own.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use common::cli;
use common::data::sha256_file;
use common::experiment::{Drawings, Finished};
use common::rows::{read_rows, write_rows};
use common::session::{Plan, Session};
use common::training_run::{Spec, TrainingRun};
use ledger::claims::Measured;
use ledger::stats::Estimate;
use serde::{Deserialize, Serialize};

use super::allocation::exponent_of_size;
use super::{DRAWS, Fitted, SEED, estimate};
use crate::SCALING_LAWS;
use crate::figures;
use crate::fit::{Form, Point};
use crate::frontier::{Isoflop, Run, isoflop};
use crate::text::file;

mod table;

pub use table::Table;

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
    let best =
        crate::fit::fit(table.form, &points, table.delta).with_context(|| table.name.clone())?;
    let keys = table.form.keys();
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
    pub(crate) isoflop: Option<Isoflop>,
}

fn refitted(finished: &Finished) -> anyhow::Result<Vec<Refitted>> {
    let mut found = Vec::new();
    for (folder, record) in &finished.runs {
        let Refit { table, .. } = Refit::deserialize(&record.config)?;
        let kept: Vec<Kept> = read_rows(&file(folder, POINTS))?;
        let point = |kept: &Kept| Point { x: kept.params, y: kept.tokens, loss: kept.loss };
        let points: Vec<Point> = kept.iter().map(point).collect();
        let run = |p: &Point| Run { n: p.x, flops: 6.0 * p.x * p.y, tokens: p.y, loss: p.loss };
        let runs: Vec<Run> = points.iter().map(run).collect();
        let isoflop = table.seed_noise.and_then(|noise| isoflop(&runs, noise, DRAWS, SEED));
        // Each run of the table was trained once.
        let fitted = Fitted::with_delta(&table.name, table.form, points, 1, table.delta);
        found.extend(fitted.map(|fitted| Refitted { table, fitted, isoflop }));
    }
    Ok(found)
}

impl Refitted {
    /// Our constants by the keys of the form, and `a`, the exponent of the best size: at equal
    /// compute where the table was planned for it, otherwise of the law where that has two exponents.
    pub(crate) fn constants(&self) -> BTreeMap<&'static str, Estimate> {
        let key = |key: &&'static str| (*key, self.fitted.constant(key));
        let mut constants: BTreeMap<_, _> = self.table.form.keys().iter().map(key).collect();
        if let Some(a) = self.at_equal_compute().or_else(|| self.parametric_a()) {
            constants.insert("a", a);
        }
        constants
    }

    fn parametric_a(&self) -> Option<Estimate> {
        (self.table.form == Form::Hoffmann).then(|| self.fitted.estimate(exponent_of_size))
    }

    fn at_equal_compute(&self) -> Option<Estimate> {
        let found = self.isoflop.as_ref()?;
        let budgets = found.best.len();
        let method = format!("{budgets} budgets, {DRAWS} draws of seed noise, 95 %");
        Some(estimate(found.a, found.interval, 1, self.fitted.points.len(), &method))
    }
}

/// The constants of each table, and the best sizes at equal compute where it was planned for it.
///
/// # Errors
/// Files that cannot be read.
pub fn measure(finished: &Finished) -> anyhow::Result<Vec<Measured>> {
    let mut found = Vec::new();
    for refitted in refitted(finished)? {
        let table = &refitted.table;
        let mut add = |id: &str, estimate| {
            found.push(finished.measured(id, &table.name, estimate));
        };
        for key in table.form.keys() {
            add(&format!("refit-{key}"), refitted.fitted.constant(key));
        }
        let a = [("a", refitted.parametric_a()), ("a-isoflop", refitted.at_equal_compute())];
        for (key, estimate) in a {
            if let Some(estimate) = estimate {
                add(&format!("refit-{key}"), estimate);
            }
        }
        let constants = refitted.constants();
        for (key, id) in &table.claims {
            let estimate = constants
                .get(key.as_str())
                .with_context(|| format!("{}: no constant {key:?} to answer {id}", table.name))?;
            let row = finished.measured(id, &table.name, estimate.clone());
            // The published runs themselves, and the published question.
            found.push(Measured { protocol_ok: true, ..row });
        }
    }
    Ok(super::finite(found))
}

/// The exponent of size of every table and its other constants beside its authors' own, and the
/// residuals of each fit.
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
    if all.iter().any(|refitted| !refitted.table.authors.is_empty()) {
        drawings.push(("refits-constants".to_owned(), figures::refit_constants(&all)));
    }
    drawings.extend(all.iter().map(residuals));
    Ok(drawings)
}
