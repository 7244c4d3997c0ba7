//! Loss against the text there is, repeated until the validation loss no longer falls (Kaplan et al.
//! 2020, Figure 1 middle).

use common::experiment::{Drawings, Finished};
use common::session::Session;
use ledger::claims::Measured;

use super::{Fitted, Preset, by_data, critical, make, n_seeds, rows, runs_of};
use crate::figures;
use crate::fit::{Form, Point};
use crate::rows::Row;

/// Its name.
pub const STUDY: &str = "loss-vs-data";

/// Makes every run that is not done yet.
///
/// # Errors
/// As [`make`].
pub fn run(session: &Session) -> anyhow::Result<()> {
    let preset: Preset = session.preset()?;
    let read = preset.read(&session.lookup)?;
    make(session, STUDY, &runs_of(session, std::slice::from_ref(&preset.loss_vs_data), &read)?)
}

/// The lowest loss at a look against different tokens.
///
/// Differs: Kaplan stops by the test loss; here the validation part says when, and its loss counts.
fn fits(rows: &[Row]) -> [Option<Fitted>; 2] {
    let point = |row: &Row| Point { x: row.unique_tokens, y: 1.0, loss: row.val_lowest };
    let points: Vec<Point> = rows.iter().map(point).collect();
    [Form::PurePower, Form::Power]
        .map(|form| Fitted::new(STUDY, form, points.clone(), n_seeds(rows)))
}

/// Exponent and constant.
///
/// # Errors
/// Files that cannot be read.
pub fn measure(finished: &Finished) -> anyhow::Result<Vec<Measured>> {
    let mut found = Vec::new();
    for (data, rows) in by_data(rows(finished)) {
        let [pure, free] = fits(&rows);
        if let Some(pure) = &pure {
            found.push(finished.measured("kap-03", &data, pure.constant("k")));
            found.push(finished.measured("kap-04", &data, pure.estimate(critical)));
        }
        if let Some(free) = &free {
            let id = "exponent-of-data-with-irreducible-loss";
            found.push(finished.measured(id, &data, free.constant("k")));
        }
    }
    Ok(super::finite(found))
}

/// Loss against data.
///
/// # Errors
/// Files that cannot be read.
pub fn figures(finished: &Finished) -> anyhow::Result<Drawings> {
    let draw = |(data, rows): (String, Vec<Row>)| {
        let figure = figures::power_laws(&figures::PowerLaws {
            title: format!("Loss against data on {data}"),
            caption: format!(
                "Lowest validation loss in nats per token of one model on ever less of {data}, \
                 repeated until the loss no longer falls; one point a run."
            ),
            variable: "different tokens",
            fits: &fits(&rows),
            published: &[("Kaplan 2020: 0.095", 0.095)],
        });
        (format!("loss-vs-data-{data}"), figure)
    };
    Ok(by_data(rows(finished)).into_iter().map(draw).collect())
}
