//! The studies: what runs, and what is computed from the runs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use common::cli;
use common::data::lookup::Lookup;
use common::device::Precision;
use common::experiment::Finished;
use common::progress::human_seconds;
use common::session::Session;
use common::training_run::{Spec, TrainingRun};
use ledger::claims::Measured;
use ledger::stats::{Bound, Estimate};
use serde::Deserialize;

use crate::fit::{Draws, Fit, Form, Point, bootstrap, bootstrap_runs, fit};
use crate::rows::Row;
use crate::runs::{Grid, Planned, Read, RunConfig, Training};
use crate::text::{self, Text, TextConfig};
use crate::train::seconds_per_step;
use crate::{SCALING_LAWS, counts};

pub mod allocation;
pub mod batch_size;
pub mod compute_efficient;
pub mod joint_fit;
pub mod learning_rate;
pub mod loss_vs_compute;
pub mod loss_vs_data;
pub mod loss_vs_size;
pub mod lstm_vs_transformer;
pub mod predict_ahead;
pub mod reading;
pub mod refits;
pub mod shape;
pub mod sweep;
pub mod tokenisation;
pub mod transfer;

/// A preset.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// Studies that run when none is named.
    pub lead: Vec<String>,
    /// Precision of the runs.
    pub precision: Precision,
    /// What is read.
    pub text: TextConfig,
    /// Other texts that every model is judged on, where they can be had.
    pub transfer: Vec<String>,
    /// What all trainings share.
    pub training: Training,
    /// Sizes times tokens: several grids, since slices at equal compute need small models to read more.
    #[serde(rename = "joint-fit")]
    pub joint_fit: Vec<Grid>,
    /// One size on less and less text.
    #[serde(rename = "loss-vs-data")]
    pub loss_vs_data: Grid,
    /// Depth against width at one size.
    pub shape: Grid,
    /// Both kinds of model on a longer context.
    #[serde(rename = "lstm-vs-transformer")]
    pub lstm_vs_transformer: Grid,
    /// One size at many batches.
    #[serde(rename = "batch-size")]
    pub batch_size: Grid,
    /// The same text in bytes and in pairs.
    pub tokenisation: tokenisation::Preset,
    /// Small runs, and the large one that they predict.
    #[serde(rename = "predict-ahead")]
    pub predict_ahead: predict_ahead::Preset,
    /// Rates by size.
    #[serde(rename = "learning-rate")]
    pub learning_rate: Grid,
    /// Your own grid.
    pub sweep: sweep::Preset,
    /// Published tables of runs.
    pub refits: refits::Preset,
}

/// Bootstrap draws of every interval that a study reports, and their seed.
pub(crate) const DRAWS: usize = 1000;
pub(crate) const SEED: u64 = 0;
/// Huber's delta. Source: Hoffmann et al. 2022, section 3.3.
pub(crate) const DELTA: f64 = 1e-3;

impl Preset {
    /// What the grids of this preset read.
    ///
    /// # Errors
    /// A text that cannot be had.
    pub fn read(&self, lookup: &Lookup) -> anyhow::Result<Read> {
        self.read_as(&self.text, lookup)
    }

    /// The same for another text.
    ///
    /// # Errors
    /// As [`Preset::read`].
    pub fn read_as(&self, config: &TextConfig, lookup: &Lookup) -> anyhow::Result<Read> {
        let text = Text::open(config, lookup)?;
        let transfer = text::available(&self.transfer, lookup)?;
        let (data, config) = (config.name.clone(), config.clone());
        Ok(Read { data, config, transfer, vocab: text.vocab, sha256: text.sha256 })
    }
}

/// Every run of `grids` in this session.
///
/// # Errors
/// A preset that does not fit, a text that cannot be had.
pub(crate) fn runs_of(
    session: &Session,
    grids: &[Grid],
    read: &Read,
) -> anyhow::Result<Vec<Planned>> {
    let preset: Preset = session.preset()?;
    let mut runs = Vec::new();
    for grid in grids {
        let seeds = session.seeds.as_deref();
        runs.extend(grid.runs(&preset.training, seeds, &session.preset, read)?);
    }
    Ok(runs)
}

/// Makes the runs of a study that are not made yet, or says what they cost.
///
/// # Errors
/// As [`Session::grid`].
pub(crate) fn make(session: &Session, study: &str, runs: &[Planned]) -> anyhow::Result<()> {
    if session.dry_run {
        return describe(session, study, runs);
    }
    let plans = runs.iter().map(Planned::plan).collect::<anyhow::Result<_>>()?;
    session.grid(SCALING_LAWS.study(study)?, plans)?;
    Ok(())
}

/// One training, in a process of its own.
///
/// # Errors
/// Text that cannot be read or changed since; what the training says.
pub fn train(spec: &Spec, run: &mut TrainingRun) -> anyhow::Result<BTreeMap<String, f64>> {
    let RunConfig { text: config, transfer, train, .. } = spec.config()?;
    let text = Text::open(&config, &spec.lookup)?;
    anyhow::ensure!(
        text.sha256 == train.data_sha256,
        "{}: the text changed since the run was planned",
        spec.key.data
    );
    let others = transfer
        .into_iter()
        .map(|name| {
            let config = TextConfig { name: name.clone(), own: None, ..config.clone() };
            Ok((name, text.test_part_of(&config, &spec.lookup)?))
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    crate::train::train(spec.key.seed, &train, text, &others, run)
}

/// Updates that a dry run times.
const TIMED: u32 = 2;

/// `plan` and `--dry-run`: every run with its parameters, FLOPs and the time it would take here.
fn describe(session: &Session, study: &str, runs: &[Planned]) -> anyhow::Result<()> {
    tch::set_num_threads(if session.device.is_cuda() { session.threads as i32 } else { 1 });
    let mut out = format!("{study}\n");
    let _ = writeln!(
        out,
        "  {:<28} {:>4} {:>11} {:>11} {:>11} {:>10} {:>10} {:>8}",
        "variant", "seed", "parameters", "+ embedding", "tokens", "6ND FLOP", "all FLOP", "time"
    );
    let mut timed: BTreeMap<&str, f64> = BTreeMap::new();
    let (mut seconds, mut flops) = (0.0, 0.0);
    for run in runs {
        let train = &run.config.train;
        let step_s = *timed
            .entry(run.variant.as_str())
            .or_insert_with(|| seconds_per_step(train, session.precision, session.device, TIMED));
        let shape = counts::Shape::of(&train.shape);
        let time = step_s * train.steps as f64;
        seconds += time;
        flops += run.flops();
        let _ = writeln!(
            out,
            "  {:<28} {:>4} {:>11} {:>11} {:>11.0} {:>10.2e} {:>10.2e} {:>8}",
            run.variant,
            run.seed,
            shape.kaplan_params(),
            shape.hoffmann_params(),
            train.tokens(),
            run.flops(),
            shape.hoffmann_flops(train.tokens()),
            human_seconds(time)
        );
    }
    let processes = if session.device.is_cuda() { 1 } else { session.threads };
    let time = human_seconds(seconds / processes as f64);
    let n = runs.len();
    let _ = writeln!(out, "  {n} runs, {flops:.2e} FLOP, about {time} with {processes} at a time");
    Ok(cli::print(&out)?)
}

/// The finished trainings of a study as rows.
pub(crate) fn rows(finished: &Finished) -> Vec<Row> {
    finished.runs.iter().filter_map(|(_, record)| Row::of(record)).collect()
}

/// Rows by the text they were trained on.
pub(crate) fn by_data(rows: Vec<Row>) -> BTreeMap<String, Vec<Row>> {
    let mut by_data: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    for row in rows {
        by_data.entry(row.data.clone()).or_default().push(row);
    }
    by_data
}

/// The rows whose value is a number: a law fitted to runs that do not follow it may give none.
pub(crate) fn finite(mut rows: Vec<Measured>) -> Vec<Measured> {
    rows.retain(|row| {
        let keep = row.estimate.value.is_finite();
        if !keep {
            tracing::warn!("{} on {}: the fit gives no number; left out", row.id, row.data);
        }
        keep
    });
    rows
}

/// Seeds behind the cell that has most of them.
pub(crate) fn n_seeds(rows: &[Row]) -> usize {
    let mut cells: BTreeMap<&str, usize> = BTreeMap::new();
    for row in rows {
        *cells.entry(&row.variant).or_default() += 1;
    }
    cells.into_values().max().unwrap_or(0)
}

/// A number with an interval that a bootstrap gave; none where an end is not finite.
pub(crate) fn estimate(
    value: f64,
    [low, high]: [f64; 2],
    n_seeds: usize,
    n: usize,
    method: &str,
) -> Estimate {
    let ends = low.is_finite() && high.is_finite() && low < high;
    let (low, high) = (ends.then_some(low), ends.then_some(high));
    Estimate { value, low, high, bound: Bound::Exact, n_seeds, n, method: method.to_owned() }
}

/// A law fitted to points, with its bootstrap.
#[derive(Debug)]
pub(crate) struct Fitted {
    pub(crate) points: Vec<Point>,
    pub(crate) best: Fit,
    pub(crate) draws: Draws,
    n_seeds: usize,
}

impl Fitted {
    /// Fits `form`; None with too few points for it, which is said.
    pub(crate) fn new(what: &str, form: Form, points: Vec<Point>, n_seeds: usize) -> Option<Self> {
        Self::with_delta(what, form, points, n_seeds, DELTA)
    }

    /// The same where a run has several points: `run_of[i]` is point `i`'s run, counted from 0.
    pub(crate) fn of_runs(
        what: &str,
        form: Form,
        points: Vec<Point>,
        run_of: &[usize],
        n_seeds: usize,
    ) -> Option<Self> {
        let mut fitted = Self::without_draws(what, form, points, n_seeds, DELTA)?;
        fitted.draws = bootstrap_runs(&fitted.best, &fitted.points, run_of, DELTA, DRAWS, SEED);
        Some(fitted)
    }

    /// The same with another `delta` of Huber's.
    pub(crate) fn with_delta(
        what: &str,
        form: Form,
        points: Vec<Point>,
        n_seeds: usize,
        delta: f64,
    ) -> Option<Self> {
        let mut fitted = Self::without_draws(what, form, points, n_seeds, delta)?;
        // With one point to spare nearly every draw has too few different ones.
        if fitted.points.len() > form.n_free() + 1 {
            fitted.draws = bootstrap(&fitted.best, &fitted.points, delta, DRAWS, SEED);
        }
        Some(fitted)
    }

    fn without_draws(
        what: &str,
        form: Form,
        points: Vec<Point>,
        n_seeds: usize,
        delta: f64,
    ) -> Option<Self> {
        let best = fit(form, &points, delta)
            .inspect_err(|error| tracing::warn!("{what}: no fit: {error}"))
            .ok()?;
        Some(Self { points, best, draws: Draws::default(), n_seeds })
    }

    /// `of` the fit, with its bootstrap interval.
    pub(crate) fn estimate(&self, of: impl Fn(&Fit) -> f64) -> Estimate {
        let state = if self.best.converged { "" } else { ", not converged" };
        let method = if self.draws.is_empty() {
            format!("one run more than constants: no interval{state}")
        } else {
            format!("bootstrap over runs, {DRAWS} draws, 95 %{state}")
        };
        let interval = self.draws.interval(&of);
        estimate(of(&self.best), interval, self.n_seeds, self.points.len(), &method)
    }

    /// The constant called `key`.
    pub(crate) fn constant(&self, key: &str) -> Estimate {
        let i = self.best.form.keys().iter().position(|k| *k == key).expect("a key of the form");
        self.estimate(|fit| fit.named()[i])
    }

    /// An exponent that the points leave open, by its key.
    pub(crate) fn open_exponent(&self) -> Option<&'static str> {
        let keys = self.best.form.keys();
        let mut open = self.draws.open(&self.best).into_iter().map(|i| keys[i]);
        open.find(|key| key.starts_with("alpha"))
    }
}

/// Kaplan's constant of `(x_c/x)^k`, of a fit without irreducible loss.
///
/// `a·x^-k` is `(x_c/x)^k` for `x_c = a^(1/k)`.
pub(crate) fn critical(fit: &Fit) -> f64 {
    let named = fit.named();
    named[0].powf(1.0 / named[1])
}
