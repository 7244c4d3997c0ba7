//! Compute-efficient training: learning curves `L(N, S_min)`, and the loss, the size, the batch and the
//! updates that the least compute for a loss goes with (Kaplan et al. 2020, sections 5 and 6,
//! appendix B).
//!
//! What a run took is corrected to what a batch far below or far above the critical one would have
//! taken: `S_min`, `C_min` and `B_crit` are those of [`crate::efficiency`], the critical batch as
//! `batch-size` measures it. Intervals are of the runs here, at that critical batch.

use std::collections::BTreeMap;

use common::experiment::{Drawings, Finished};
use common::rows::{read_rows, write_rows};
use common::session::Session;
use common::training_run::{METRICS, Spec, TrainingRun};
use ledger::claims::Measured;
use ledger::metrics;
use ledger::run::finished_runs;
use ledger::stats::{Estimate, Scale, mean_over_seeds};
use serde::{Deserialize, Serialize};

use super::loss_vs_compute::{PF_DAY, as_run};
use super::{DRAWS, Fitted, SEED, batch_size, critical, joint_fit, n_seeds, reading};
use crate::efficiency::{AgainstConverged, alpha_c, c_min, excess, s_min, steps_at_size};
use crate::figures;
use crate::fit::{Fit, Form, Point};
use crate::frontier::{Allocation, Run, approach_2, frontier, power};
use crate::rows::Row;
use crate::runs::RunConfig;
use crate::text::file;

/// Its name.
pub const STUDY: &str = "compute-efficient";

/// The file of [`Look`]s in a run's folder, without ending.
const LOOKS: &str = "looks";

/// Slices at equal `C_min` through the runs, as `allocation` has them at equal compute.
const SLICES: usize = 8;

/// The converged training that efficient training is set against stops this far above its limit.
/// Source: Kaplan et al. 2020, appendix B.3.
const CONVERGED: f64 = 0.02;

/// Sizes over the best one at which wrong sizes are priced. Source: Kaplan et al. 2020, Figure 12.
const WRONG_SIZES: [f64; 2] = [0.6, 2.2];

/// A look at the validation part behind the warm-up, in the longest run of a size and seed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Look {
    pub(crate) params: f64,
    pub(crate) seed: u64,
    /// Tokens of an update.
    pub(crate) batch_tokens: f64,
    pub(crate) step: f64,
    /// Nats per token.
    pub(crate) loss: f64,
}

/// Makes the runs of `batch-size` and of `joint-fit` and reads them.
///
/// # Errors
/// As [`reading::run`].
pub fn run(session: &Session) -> anyhow::Result<()> {
    if !session.dry_run {
        batch_size::run(session)?;
    }
    reading::run(session, STUDY)
}

/// Reads the runs, and the looks of the longest of each size.
///
/// # Errors
/// As [`reading::train`].
pub fn train(spec: &Spec, run: &mut TrainingRun) -> anyhow::Result<BTreeMap<String, f64>> {
    let numbers = reading::train(spec, run)?;
    let folder =
        spec.results.join(&spec.key.experiment).join(&spec.key.preset).join(joint_fit::STUDY);
    let mut longest: BTreeMap<(u64, u64), (f64, Vec<Look>)> = BTreeMap::new();
    for (folder, record) in finished_runs(&folder)? {
        let Some(row) = Row::of(&record) else { continue };
        let of_size = longest.entry((row.params as u64, row.seed)).or_default();
        if row.data != spec.key.data || row.tokens <= of_size.0 {
            continue;
        }
        let warmup = RunConfig::deserialize(&record.config)?.train.warmup;
        let looks = metrics::read(folder.join(METRICS))?.column("val/loss")?;
        let look = |(step, loss): (u64, f64)| Look {
            params: row.params,
            seed: row.seed,
            batch_tokens: row.batch_tokens,
            step: step as f64,
            loss,
        };
        let looks = looks.into_iter().filter(|(step, _)| *step > warmup).map(look);
        *of_size = (row.tokens, looks.collect());
    }
    let looks: Vec<Look> = longest.into_values().flat_map(|(_, looks)| looks).collect();
    write_rows(&file(run.path(), LOOKS), &looks)?;
    Ok(numbers)
}

/// Everything that is fitted to the runs on one text.
#[derive(Debug)]
pub(crate) struct Efficient {
    /// Rows, and their looks.
    rows: Vec<Row>,
    pub(crate) looks: Vec<Look>,
    /// `B_crit` against the loss.
    pub(crate) batch: Fitted,
    /// `L(N, S_min)`.
    pub(crate) curves: Option<Fitted>,
    /// Runs by `C_min`, and the loss along their frontier, without and with an irreducible loss.
    pub(crate) runs: Vec<Run>,
    pub(crate) loss: [Option<Fitted>; 2],
    /// The best size against `C_min`.
    pub(crate) size: Option<Allocation>,
}

impl Efficient {
    fn new(rows: Vec<Row>, looks: Vec<Look>, batch: Fitted) -> Self {
        let seeds = n_seeds(&rows);
        let critical = |loss: f64| batch_size::critical_at(&batch, loss);
        let point = |look: &Look| Point {
            x: look.params,
            y: s_min(look.step, look.batch_tokens, critical(look.loss)),
            loss: look.loss,
        };
        let points = looks.iter().map(point).collect();
        let mut run_of: Vec<usize> = Vec::new();
        for (i, look) in looks.iter().enumerate() {
            let same = |other: &Look| (other.params, other.seed) == (look.params, look.seed);
            let next = run_of.last().map_or(0, |last| last + usize::from(!same(&looks[i - 1])));
            run_of.push(next);
        }
        let curves = Fitted::of_runs(STUDY, Form::LearningCurves, points, &run_of, seeds);
        let as_least = |row: &Row| Run {
            flops: c_min(row.flops, row.batch_tokens, critical(row.loss)),
            ..as_run(row)
        };
        let runs: Vec<Run> = rows.iter().map(as_least).collect();
        let as_point = |run: &Run| Point { x: run.flops / PF_DAY, y: 1.0, loss: run.loss };
        let points: Vec<Point> = frontier(&runs).iter().map(as_point).collect();
        let loss = [Form::PurePower, Form::Power]
            .map(|form| Fitted::new(STUDY, form, points.clone(), seeds));
        // New noise is drawn around Kaplan's law of the runs, as `allocation` does around Hoffmann's.
        let law = Fitted::new(STUDY, Form::Kaplan, rows.iter().map(Row::point).collect(), seeds);
        let size = law.and_then(|law| {
            let expected: Vec<f64> =
                rows.iter().map(|row| law.best.loss(row.params, row.tokens)).collect();
            approach_2(&runs, &expected, SLICES, DRAWS, SEED)
        });
        Self { rows, looks, batch, curves, runs, loss, size }
    }

    /// `(id, estimate)` of what the learning curves say. Where they leave an exponent open, what would
    /// follow from it is left out.
    fn of_curves(&self) -> Vec<(&'static str, Estimate)> {
        let Some(curves) = &self.curves else { return Vec::new() };
        let of_exponents =
            vec![("kap-18", curves.constant("alpha_N")), ("kap-19", curves.constant("alpha_S"))];
        if let Some(key) = curves.open_exponent() {
            tracing::warn!(
                "{STUDY}: the learning curves do not identify {key}: nothing is derived from it"
            );
            return of_exponents;
        }
        let alpha_b = 1.0 / self.batch.best.theta[1];
        let exponents = |fit: &Fit| (fit.theta[2], fit.theta[3]);
        let of = |value: &dyn Fn(f64, f64) -> f64| {
            curves.estimate(|fit| {
                let (alpha_n, alpha_s) = exponents(fit);
                value(alpha_n, alpha_s)
            })
        };
        let against = |n, s| AgainstConverged::new(n, s, CONVERGED);
        let wrong = |n, s| {
            WRONG_SIZES
                .map(|x| 100.0 * (x * steps_at_size(x, n, s) - 1.0))
                .into_iter()
                .fold(0.0, f64::max)
        };
        let derived = [
            ("kap-20", curves.constant("N_c")),
            ("kap-21", curves.constant("S_c")),
            ("kap-30", of(&|n, s| alpha_c(n, s, alpha_b))),
            ("kap-53", of(&|n, s| alpha_c(n, s, alpha_b))),
            ("kap-45", of(&|n, s| alpha_c(n, s, alpha_b) / n)),
            ("kap-31", of(&|n, s| 100.0 * excess(n, s))),
            ("kap-32", of(&|n, s| 1.0 / against(n, s).steps)),
            ("kap-33", of(&|n, s| against(n, s).params)),
            ("kap-34", of(&|n, s| 100.0 * (1.0 - against(n, s).compute()))),
            ("kap-35", of(&wrong)),
            ("kap-52", of(&|n, s| 100.0 * (1.0 - steps_at_size(WRONG_SIZES[1], n, s)))),
        ];
        of_exponents.into_iter().chain(derived).collect()
    }

    /// `(id, estimate)` of loss, size, batch, updates and tokens against `C_min`.
    fn of_compute(&self) -> Vec<(&'static str, Estimate)> {
        let mut found = Vec::new();
        if let Some(pure) = &self.loss[0] {
            found.push(("kap-05", pure.constant("k")));
            found.push(("kap-06", pure.estimate(critical)));
        }
        let Some(size) = &self.size else { return found };
        let seeds = n_seeds(&self.rows);
        let method =
            format!("{} slices, residual bootstrap, {DRAWS} draws, 95 %", size.optima.len());
        let with =
            |value, interval| super::estimate(value, interval, seeds, self.rows.len(), &method);
        found.push(("kap-22", with(size.a, size.a_interval)));
        // Tokens at a batch of nothing are C_min/(6·N): eq. 6.7 doubles them for the critical batch.
        let one_less = |[low, high]: [f64; 2]| [1.0 - high, 1.0 - low];
        for id in ["kap-25", "kap-47"] {
            found.push((id, with(1.0 - size.a, one_less(size.a_interval))));
        }
        let law = |of: &dyn Fn(f64, f64, f64) -> f64| {
            let point = |o: &crate::frontier::Optimum| (o.flops / PF_DAY, of(o.flops, o.n, o.loss));
            power(&size.optima.iter().map(point).collect::<Vec<_>>())
                .unwrap_or((f64::NAN, f64::NAN))
        };
        let b_crit = |loss: f64| batch_size::critical_at(&self.batch, loss);
        let tokens = |c: f64, n: f64| c / (6.0 * n);
        let none = [f64::NAN; 2];
        let mut laws = vec![
            ("", "kap-26", law(&|_, n, _| n)),
            ("", "kap-29", law(&|c, n, _| tokens(c, n))),
            ("", "kap-46", law(&|c, n, _| 2.0 * tokens(c, n))),
        ];
        // Batch and updates only where the critical batch was measured at the losses of the best sizes.
        let losses = batch_size::measured(&self.batch);
        if size.optima.iter().all(|o| losses.contains(&o.loss)) {
            laws.push(("kap-23", "kap-27", law(&|_, _, loss| b_crit(loss))));
            laws.push(("kap-24", "kap-28", law(&|c, n, loss| tokens(c, n) / b_crit(loss))));
        }
        for (exponent, constant, (k, at_one)) in laws {
            let method = format!("least squares through {} optima, no interval", size.optima.len());
            let plain = |value| super::estimate(value, none, seeds, self.rows.len(), &method);
            if !exponent.is_empty() {
                found.push((exponent, plain(k)));
            }
            found.push((constant, plain(at_one)));
        }
        found
    }

    /// Minus the exponent of the updates that sizes take to the loss that all of them reach, by seed.
    fn fewer_updates(&self) -> anyhow::Result<Option<Estimate>> {
        let mut by_seed: BTreeMap<u64, BTreeMap<u64, Vec<(f64, f64)>>> = BTreeMap::new();
        for look in &self.looks {
            let of_seed = by_seed.entry(look.seed).or_default();
            of_seed.entry(look.params as u64).or_default().push((look.step, look.loss));
        }
        let most = by_seed.values().map(BTreeMap::len).max().unwrap_or(0);
        let slopes: Vec<f64> = by_seed.values().filter_map(slope_of_updates).collect();
        if most < 2 || slopes.is_empty() {
            return Ok(None);
        }
        Ok(Some(mean_over_seeds(&slopes, Scale::Natural)?.with_n(self.looks.len())))
    }
}

/// Minus the exponent of updates to the highest of the last losses, against size; None with fewer than
/// two sizes that pass it.
fn slope_of_updates(curves: &BTreeMap<u64, Vec<(f64, f64)>>) -> Option<f64> {
    let target = curves.values().filter_map(|looks| Some(looks.last()?.1)).fold(0.0, f64::max);
    let point = |(params, looks): (&u64, &Vec<(f64, f64)>)| {
        Some((*params as f64, batch_size::updates_to(looks, target)?))
    };
    let points: Vec<(f64, f64)> = curves.iter().filter_map(point).collect();
    power(&points).map(|(k, _)| -k)
}

/// By text; none where `batch-size` has not been measured.
fn efficient(finished: &Finished) -> anyhow::Result<BTreeMap<String, Efficient>> {
    let mut batches = batch_size::laws(&finished.beside(batch_size::STUDY)?)?;
    let mut looks: BTreeMap<String, Vec<Look>> = BTreeMap::new();
    for (folder, record) in &finished.runs {
        let found: Vec<Look> = read_rows(&file(folder, LOOKS))?;
        let most = looks.entry(record.key.data.clone()).or_default();
        if found.len() > most.len() {
            *most = found;
        }
    }
    let mut found = BTreeMap::new();
    for (data, rows) in reading::read(finished)? {
        let Some(batch) = batches.remove(&data) else {
            tracing::warn!("{STUDY} on {data}: no critical batch; `batch-size` measures it");
            continue;
        };
        let looks = looks.remove(&data).unwrap_or_default();
        found.insert(data, Efficient::new(rows, looks, batch));
    }
    Ok(found)
}

/// Every number of sections 5.2 and 6 and of appendix B that the runs give.
///
/// # Errors
/// Files that cannot be read.
pub fn measure(finished: &Finished) -> anyhow::Result<Vec<Measured>> {
    let mut found = Vec::new();
    for (data, efficient) in efficient(finished)? {
        let fewer = efficient.fewer_updates()?.map(|estimate| ("kap-57", estimate));
        let all = efficient.of_curves().into_iter().chain(efficient.of_compute()).chain(fewer);
        found.extend(all.map(|(id, estimate)| finished.measured(id, &data, estimate)));
    }
    Ok(super::finite(found))
}

/// Figures 4 (right), 13 and 14.
///
/// # Errors
/// Files that cannot be read.
pub fn figures(finished: &Finished) -> anyhow::Result<Drawings> {
    let mut drawings = Vec::new();
    for (data, efficient) in efficient(finished)? {
        drawings
            .push((format!("learning-curves-{data}"), figures::learning_curves(&data, &efficient)));
        drawings.push((
            format!("compute-efficient-{data}"),
            figures::compute_efficient(&data, &efficient),
        ));
    }
    Ok(drawings)
}

#[cfg(test)]
mod tests;
