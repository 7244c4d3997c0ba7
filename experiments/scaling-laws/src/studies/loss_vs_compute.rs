//! The lowest loss that a budget of compute buys (Kaplan et al. 2020, Figures 1 left and 13; Brown et
//! al. 2020, Figure 3.1).

use common::experiment::{Drawings, Finished};
use common::session::Session;
use ledger::claims::Measured;

use super::{Fitted, critical, n_seeds, reading};
use crate::figures;
use crate::fit::{Form, Point};
use crate::frontier::{Run, frontier};
use crate::rows::Row;

/// Its name.
pub const STUDY: &str = "loss-vs-compute";

/// FLOPs in a PF-day. Source: Kaplan et al. 2020, section 1.3.
pub(crate) const PF_DAY: f64 = 8.64e19;

/// Makes the runs of `joint-fit` and reads them.
///
/// # Errors
/// As [`reading::run`].
pub fn run(session: &Session) -> anyhow::Result<()> {
    reading::run(session, STUDY)
}

/// A row as compute counts it: Kaplan's parameters and FLOPs.
pub(crate) fn as_run(row: &Row) -> Run {
    Run { n: row.params, flops: row.flops, tokens: row.tokens, loss: row.loss }
}

/// The same with the embedding in the parameters and the head, the embedding and attention in the
/// FLOPs: Hoffmann's counts.
pub(crate) fn as_run_with_head(row: &Row) -> Run {
    Run { n: row.params_with_embedding, flops: row.flops_all, ..as_run(row) }
}

/// Loss against compute in PF-days along the frontier, without and with an irreducible loss.
fn fits(rows: &[Row], of: fn(&Row) -> Run) -> [Option<Fitted>; 2] {
    let runs: Vec<Run> = rows.iter().map(of).collect();
    let as_point = |run: &Run| Point { x: run.flops / PF_DAY, y: 1.0, loss: run.loss };
    let points: Vec<Point> = frontier(&runs).iter().map(as_point).collect();
    [Form::PurePower, Form::Power]
        .map(|form| Fitted::new(STUDY, form, points.clone(), n_seeds(rows)))
}

/// Exponents and constants along the frontier, with 6·N·D and with all FLOPs.
///
/// # Errors
/// Files that cannot be read.
pub fn measure(finished: &Finished) -> anyhow::Result<Vec<Measured>> {
    let mut found = Vec::new();
    for (data, rows) in reading::read(finished)? {
        let mut add = |id: &str, estimate| found.push(finished.measured(id, &data, estimate));
        if let [Some(pure), free] = &fits(&rows, as_run) {
            add("kap-07", pure.constant("k"));
            add("kap-08", pure.estimate(critical));
            if let Some(free) = free {
                add("exponent-of-compute-with-irreducible-loss", free.constant("k"));
            }
        }
        if let [Some(pure), _] = &fits(&rows, as_run_with_head) {
            add("gpt3-01", pure.constant("k"));
            add("hen-01", pure.constant("k"));
        }
    }
    Ok(super::finite(found))
}

/// All runs, the frontier and its fits.
///
/// # Errors
/// Files that cannot be read.
pub fn figures(finished: &Finished) -> anyhow::Result<Drawings> {
    let mut drawings = Vec::new();
    for (data, rows) in reading::read(finished)? {
        let figure = figures::compute(&data, &rows, &fits(&rows, as_run));
        drawings.push((format!("loss-vs-compute-{data}"), figure));
    }
    Ok(drawings)
}
