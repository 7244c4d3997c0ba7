//! How a budget of compute is best shared between size and data: Hoffmann's three approaches on our
//! runs, with his counts and with Kaplan's.

use common::experiment::{Drawings, Finished};
use common::session::Session;
use ledger::claims::Measured;
use ledger::stats::Estimate;

use super::loss_vs_compute::{as_run, as_run_with_head};
use super::{DRAWS, Fitted, SEED, estimate, n_seeds, reading};
use crate::figures;
use crate::fit::{Fit, Form, Point};
use crate::frontier::{Allocation, Run, approach_1, approach_2};
use crate::rows::Row;

/// Its name.
pub const STUDY: &str = "allocation";

/// Slices at equal compute through the runs: as many as Hoffmann had budgets.
const SLICES: usize = 9;

/// Makes the runs of `joint-fit` and reads them.
///
/// # Errors
/// As [`reading::run`].
pub fn run(session: &Session) -> anyhow::Result<()> {
    reading::run(session, STUDY)
}

/// The three approaches with one way of counting.
#[derive(Debug)]
pub(crate) struct Approaches {
    pub(crate) runs: Vec<Run>,
    pub(crate) envelope: Option<Allocation>,
    pub(crate) slices: Option<Allocation>,
    pub(crate) parametric: Option<Fitted>,
    n_seeds: usize,
}

impl Approaches {
    fn new(rows: &[Row], of: fn(&Row) -> Run) -> Self {
        let runs: Vec<Run> = rows.iter().map(of).collect();
        let points: Vec<Point> =
            runs.iter().map(|run| Point { x: run.n, y: run.tokens, loss: run.loss }).collect();
        let n_seeds = n_seeds(rows);
        let parametric = Fitted::new(STUDY, Form::Hoffmann, points, n_seeds);
        // New noise is drawn around the parametric fit, whose residuals are what the runs scatter.
        let expected: Option<Vec<f64>> = parametric
            .as_ref()
            .map(|fitted| runs.iter().map(|run| fitted.best.loss(run.n, run.tokens)).collect());
        let envelope =
            expected.as_ref().and_then(|expected| approach_1(&runs, expected, DRAWS, SEED));
        let slices =
            expected.as_ref().and_then(|expected| approach_2(&runs, expected, SLICES, DRAWS, SEED));
        Self { runs, envelope, slices, parametric, n_seeds }
    }

    fn of(&self, found: &Allocation, value: f64, interval: [f64; 2]) -> Estimate {
        let method =
            format!("{} optima, residual bootstrap, {DRAWS} draws, 95 %", found.optima.len());
        estimate(value, interval, self.n_seeds, self.runs.len(), &method)
    }
}

/// Exponent of size of a parametric fit. Source: Hoffmann et al. 2022, eq. 4.
pub(crate) fn exponent_of_size(fit: &Fit) -> f64 {
    fit.theta[4] / (fit.theta[3] + fit.theta[4])
}

/// Tokens for each parameter that a fit finds best at `flops`. Source: Hoffmann et al. 2022, eq. 4.
fn tokens_per_parameter(fit: &Fit, flops: f64) -> f64 {
    let [a, b, _, alpha, beta] =
        <[f64; 5]>::try_from(fit.named()).expect("the form has five constants");
    let g = (alpha * a / (beta * b)).powf(1.0 / (alpha + beta));
    let n = g * (flops / 6.0).powf(beta / (alpha + beta));
    flops / (6.0 * n * n)
}

/// The exponents of the three approaches, and of the second with Kaplan's counts.
///
/// # Errors
/// Files that cannot be read.
pub fn measure(finished: &Finished) -> anyhow::Result<Vec<Measured>> {
    let mut found = Vec::new();
    for (data, rows) in reading::read(finished)? {
        let mut add = |id: &str, estimate| found.push(finished.measured(id, &data, estimate));
        let hoffmann = Approaches::new(&rows, as_run_with_head);
        for (allocation, ids) in
            [(&hoffmann.envelope, ["chi-01", "chi-02"]), (&hoffmann.slices, ["chi-03", "chi-04"])]
        {
            let Some(allocation) = allocation else { continue };
            add(ids[0], hoffmann.of(allocation, allocation.a, allocation.a_interval));
            add(ids[1], hoffmann.of(allocation, allocation.b, allocation.b_interval));
        }
        if let Some(fitted) = &hoffmann.parametric {
            add("chi-05", fitted.estimate(exponent_of_size));
            add("chi-06", fitted.estimate(|fit| 1.0 - exponent_of_size(fit)));
            let most = hoffmann.runs.iter().map(|run| run.flops).fold(0.0, f64::max);
            add("chi-12", fitted.estimate(|fit| tokens_per_parameter(fit, most)));
        }
        let kaplan = Approaches::new(&rows, as_run);
        if let (Some(with_head), Some(without)) = (&hoffmann.slices, &kaplan.slices) {
            // Porian et al. 2024 and Pearce and Song 2024: leaving the head out raises the exponent.
            let rise = without.a - with_head.a;
            let ends = [
                without.a_interval[0] - with_head.a_interval[1],
                without.a_interval[1] - with_head.a_interval[0],
            ];
            let mut estimate = hoffmann.of(with_head, rise, ends);
            "difference of two intervals' ends, a wide bound".clone_into(&mut estimate.method);
            add("exponent-of-size-without-head-over-with", estimate);
        }
    }
    Ok(super::finite(found))
}

/// Slices at equal compute with their optima, and size against compute by all approaches.
///
/// # Errors
/// Files that cannot be read.
pub fn figures(finished: &Finished) -> anyhow::Result<Drawings> {
    let mut drawings = Vec::new();
    for (data, rows) in reading::read(finished)? {
        let approaches = Approaches::new(&rows, as_run_with_head);
        let figure = figures::allocation(&data, &approaches, SLICES);
        drawings.push((format!("allocation-{data}"), figure));
    }
    Ok(drawings)
}
