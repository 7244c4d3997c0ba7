//! A loss predicted before the run (GPT-4 Technical Report, Figure 1): fitted to runs of a small share
//! of the compute, written down, then trained and compared.

use common::cli;
use common::experiment::{Drawings, Finished};
use common::session::Session;
use ledger::claims::Measured;
use ledger::run::{RunRecord, finished_runs};
use ledger::stats::Estimate;
use serde::Deserialize;

use super::loss_vs_compute::{PF_DAY, as_run};
use super::{DELTA, DRAWS, SEED, make, runs_of};
use crate::SCALING_LAWS;
use crate::figures;
use crate::fit::{Draws, Fit, FitError, Form, Point, bootstrap, fit};
use crate::frontier::frontier;
use crate::rows::Row;
use crate::runs::{Grid, Planned, Predicted, RunConfig};

/// Its name.
pub const STUDY: &str = "predict-ahead";

/// `[predict-ahead]` of a preset.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// How many times the compute of any small run the large one has, at least.
    pub factor: f64,
    /// The runs that the law is fitted to: grids, since smaller models may read more.
    pub small: Vec<Grid>,
    /// The run that is predicted.
    pub large: Grid,
}

/// Makes the small runs, writes down what they say of the large one, and makes that.
///
/// The prediction is part of the large run's configuration, so that its `run.json` holds it before
/// the first update, and its digest says that it was not changed since.
///
/// # Errors
/// As [`make`]; small runs that are too large or not finished.
pub fn run(session: &Session) -> anyhow::Result<()> {
    let preset: super::Preset = session.preset()?;
    let own = &preset.predict_ahead;
    let read = preset.read(&session.lookup)?;
    let small = runs_of(session, &own.small, &read)?;
    let large = runs_of(session, std::slice::from_ref(&own.large), &read)?;
    far_below(own.factor, &small, &large)?;
    make(session, STUDY, &small)?;
    if session.dry_run {
        return make(session, STUDY, &large);
    }
    let folder = session.results.join(SCALING_LAWS.name).join(&session.preset).join(STUDY);
    let records = finished_runs(&folder)?;
    let of_small = |record: &&RunRecord| {
        small.iter().any(|run| run.variant == record.key.variant && run.seed == record.key.seed)
    };
    let records: Vec<&RunRecord> =
        records.iter().map(|(_, record)| record).filter(of_small).collect();
    if records.len() < small.len() {
        let missing = small.len() - records.len();
        tracing::warn!(
            "predict-ahead: {missing} small runs are not finished; the large one is predicted and \
             trained when they are: run this again then"
        );
        return Ok(());
    }
    let rows: Vec<Row> = records.iter().filter_map(|record| Row::of(record)).collect();
    let from: Vec<String> = records.iter().map(|record| record.digest.clone()).collect();
    let mut large = large;
    for run in &mut large {
        let [size, tokens] = [run_params(run), run.config.train.tokens()];
        run.config.predicted = predict(&rows, size, tokens)?
            .iter()
            .map(|prediction| Predicted { from: from.clone(), ..prediction.predicted.clone() })
            .collect();
        for predicted in &run.config.predicted {
            let Predicted { form, loss, interval: [low, high], .. } = predicted;
            cli::print(&format!(
                "predicted before training {}: {form} says {loss:.4} ({low:.4} to {high:.4})\n",
                run.variant
            ))?;
        }
    }
    make(session, STUDY, &large)
}

/// Every small run has at most one `factor`th of the large run's compute.
fn far_below(factor: f64, small: &[Planned], large: &[Planned]) -> anyhow::Result<()> {
    let least = large.iter().map(Planned::flops).fold(f64::INFINITY, f64::min);
    if let Some(run) = small.iter().find(|run| run.flops() * factor > least) {
        let (variant, flops) = (&run.variant, run.flops());
        anyhow::bail!(
            "predict-ahead: {variant} has {flops:.2e} FLOP, more than 1/{factor} of {least:.2e}, the large run's: make \
             it smaller"
        );
    }
    Ok(())
}

fn run_params(run: &Planned) -> f64 {
    crate::counts::Shape::of(&run.config.train.shape).kaplan_params() as f64
}

/// A law fitted to the small runs and what it says of a larger one.
#[derive(Debug)]
pub(crate) struct Prediction {
    pub(crate) predicted: Predicted,
    pub(crate) best: Fit,
    pub(crate) points: Vec<Point>,
}

/// What two laws say of a run of this size on so many tokens: `L(N, D)` of Hoffmann, first, and the
/// report's `L(C) = a·C^b + c` on the frontier.
///
/// The interval is of the run's loss, not of the law's mean: each draw of the law has a residual of a
/// small run added.
pub(crate) fn predict(rows: &[Row], n: f64, tokens: f64) -> Result<Vec<Prediction>, FitError> {
    let joint: Vec<Point> = rows.iter().map(Row::point).collect();
    let runs: Vec<_> = rows.iter().map(as_run).collect();
    let by_compute: Vec<Point> = frontier(&runs)
        .iter()
        .map(|run| Point { x: run.flops / PF_DAY, y: 1.0, loss: run.loss })
        .collect();
    let at = [(n, tokens), (6.0 * n * tokens / PF_DAY, 1.0)];
    let mut found = Vec::new();
    for ((form, points), (x, y)) in
        [(Form::Hoffmann, joint), (Form::Power, by_compute)].into_iter().zip(at)
    {
        let best = match fit(form, &points, DELTA) {
            Ok(best) => best,
            Err(error) if !found.is_empty() => {
                tracing::warn!("predict-ahead: no law of compute: {error}");
                continue;
            }
            Err(error) => return Err(error),
        };
        let draws = bootstrap(&best, &points, DELTA, DRAWS, SEED);
        let interval = of_a_run(&draws, &best, &points, x, y);
        let predicted = Predicted {
            loss: best.loss(x, y),
            interval,
            form: form.name().to_owned(),
            from: Vec::new(),
        };
        found.push(Prediction { predicted, best, points });
    }
    Ok(found)
}

fn of_a_run(draws: &Draws, best: &Fit, points: &[Point], x: f64, y: f64) -> [f64; 2] {
    let residuals: Vec<f64> = points.iter().map(|p| (p.loss / best.loss(p.x, p.y)).ln()).collect();
    let turn = std::cell::Cell::new(0);
    draws.interval(|fit| {
        turn.set(turn.get() + 1);
        fit.loss(x, y) * residuals[turn.get() % residuals.len()].exp()
    })
}

/// A large run that was predicted, and its loss.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) data: String,
    pub(crate) row: Row,
    pub(crate) predicted: Vec<Predicted>,
    pub(crate) small: Vec<Row>,
}

fn outcomes(finished: &Finished) -> anyhow::Result<Vec<Outcome>> {
    let mut found = Vec::new();
    for (_, record) in &finished.runs {
        let RunConfig { predicted, .. } = RunConfig::deserialize(&record.config)?;
        let (Some(first), Some(row)) = (predicted.first(), Row::of(record)) else { continue };
        let of = |(_, other): &&(_, RunRecord)| first.from.contains(&other.digest);
        let small = finished.runs.iter().filter(of).filter_map(|(_, other)| Row::of(other));
        let small = small.collect();
        found.push(Outcome { data: row.data.clone(), row, predicted, small });
    }
    Ok(found)
}

/// How far the prediction was off, whether its interval held the loss, and from what share of the
/// compute it was made.
///
/// # Errors
/// Files that cannot be read.
pub fn measure(finished: &Finished) -> anyhow::Result<Vec<Measured>> {
    let mut found = Vec::new();
    for outcome in outcomes(finished)? {
        let Outcome { data, row, predicted, small } = &outcome;
        let mut add = |id: &str, estimate: Estimate| {
            let evidence = format!("{data}/{}", row.variant);
            found.push(Measured { evidence, ..finished.measured(id, data, estimate) });
        };
        let largest = small.iter().map(|row| row.flops).fold(0.0, f64::max);
        add("pred-02", Estimate::certain(largest / row.flops));
        for prediction in predicted {
            let [low, high] = prediction.interval;
            let off = |predicted: f64| 100.0 * (predicted / row.loss - 1.0);
            let mut error = Estimate::certain(off(prediction.loss));
            (error.low, error.high) = (Some(off(low)), Some(off(high)));
            error.n = small.len();
            error.method = format!(
                "{} fitted to {} runs before the run; the interval is that written down then",
                prediction.form,
                small.len()
            );
            let id = format!("prediction-error-{}", prediction.form);
            add(&id, error);
        }
        let first = &predicted[0];
        let size = 100.0 * (first.loss / row.loss - 1.0).abs();
        add("pred-03", Estimate::certain(size).with_n(small.len()));
    }
    Ok(super::finite(found))
}

/// The small runs, the laws fitted to them, and the large run.
///
/// # Errors
/// Files that cannot be read.
pub fn figures(finished: &Finished) -> anyhow::Result<Drawings> {
    let mut drawings = Vec::new();
    for outcome in outcomes(finished)? {
        let laws = predict(&outcome.small, outcome.row.params, outcome.row.tokens)?;
        let name = format!("predict-ahead-{}-{}", outcome.row.variant, outcome.row.seed);
        drawings.push((name, figures::prediction(&outcome, &laws)));
    }
    Ok(drawings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::Read;
    use crate::studies;

    #[test]
    fn a_law_that_holds_predicts_the_large_run() {
        let law = [406.4, 410.7, 1.69, 0.34, 0.28];
        let row = |n: f64, tokens: f64| Row {
            params: n,
            tokens,
            flops: 6.0 * n * tokens,
            loss: Form::Hoffmann.loss(&law, n, tokens),
            ..crate::rows::tests::row()
        };
        let small: Vec<Row> = (0..4)
            .flat_map(|i| (0..4).map(move |j| row(1e6 * 3_f64.powi(i), 1e8 * 3_f64.powi(j))))
            .collect();
        let (n, tokens) = (1e9, 2e10);
        let found = predict(&small, n, tokens).unwrap();
        let wanted = Form::Hoffmann.loss(&law, n, tokens);
        let [joint, compute] = &found[..] else { panic!("{found:?}") };
        assert!(
            (joint.predicted.loss / wanted - 1.0).abs() < 1e-3,
            "expected {wanted}, got {joint:?}"
        );
        // The frontier of a coarse grid is above the true one, and the more so the smaller the runs.
        assert!(
            (compute.predicted.loss / wanted - 1.0).abs() < 0.2,
            "expected {wanted}, got {compute:?}"
        );
    }

    #[test]
    fn every_preset_predicts_from_runs_as_small_as_it_says() {
        for source in SCALING_LAWS.presets {
            let preset: studies::Preset = source.load(&[]).unwrap();
            let config = preset.text.clone();
            let (data, sha256, transfer, vocab) =
                (config.name.clone(), String::new(), Vec::new(), 256);
            let read = Read { data, config, transfer, vocab, sha256 };
            let runs = |grid: &Grid| grid.runs(&preset.training, None, source.name, &read).unwrap();
            let own = &preset.predict_ahead;
            let small: Vec<Planned> = own.small.iter().flat_map(runs).collect();
            let large = runs(&own.large);
            far_below(own.factor, &small, &large).unwrap();
            far_below(own.factor, &large, &large).unwrap_err();
        }
    }
}
