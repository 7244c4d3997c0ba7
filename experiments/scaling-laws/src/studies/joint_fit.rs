//! Loss as a function of size and data together: sizes times tokens, each with its own decay.

use common::experiment::{Drawings, Finished};
use common::session::Session;
use ledger::claims::Measured;

use super::{Fitted, Preset, by_data, make, n_seeds, rows, runs_of};
use crate::figures;
use crate::fit::Form;
use crate::rows::Row;

/// Its name.
pub const STUDY: &str = "joint-fit";

/// The sets that a run may read.
pub const DATASETS: [&str; 1] = ["enwik8"];

/// Makes every run that is not done yet.
///
/// # Errors
/// As [`make`].
pub fn run(session: &Session) -> anyhow::Result<()> {
    let preset: Preset = session.preset()?;
    let read = preset.read(&session.lookup)?;
    make(session, STUDY, &runs_of(session, &preset.joint_fit, &read)?)
}

/// Both laws fitted to the rows of one text: Kaplan's counts for Kaplan's law, Hoffmann's for his.
fn laws(rows: &[Row]) -> [Option<Fitted>; 2] {
    let fitted = |form, points| Fitted::new(STUDY, form, points, n_seeds(rows));
    [
        fitted(Form::Kaplan, rows.iter().map(Row::point).collect()),
        fitted(Form::Hoffmann, rows.iter().map(Row::point_with_embedding).collect()),
    ]
}

/// The constants of both laws.
///
/// # Errors
/// Files that cannot be read.
pub fn measure(finished: &Finished) -> anyhow::Result<Vec<Measured>> {
    let mut found = Vec::new();
    for (data, rows) in by_data(rows(finished)) {
        let [kaplan, hoffmann] = laws(&rows);
        let constants = |fitted: Option<&Fitted>, ids: &[(&str, &str)]| -> Vec<Measured> {
            let Some(fitted) = fitted else { return Vec::new() };
            let one = |(id, key): &(&str, &str)| finished.measured(id, &data, fitted.constant(key));
            ids.iter().map(one).collect()
        };
        let ids =
            [("kap-11", "alpha_N"), ("kap-12", "alpha_D"), ("kap-13", "N_c"), ("kap-14", "D_c")];
        found.extend(constants(kaplan.as_ref(), &ids));
        if let Some(kaplan) = &kaplan {
            // Eq. 4.4: overfitting goes with N^(alpha_N/alpha_D)/D.
            let ratio = kaplan.estimate(|fit| fit.theta[2] / fit.theta[3]);
            found.push(finished.measured("kap-15", &data, ratio));
        }
        let ids = [
            ("chi-07", "E"),
            ("chi-08", "A"),
            ("chi-09", "B"),
            ("chi-10", "alpha"),
            ("chi-11", "beta"),
        ];
        found.extend(constants(hoffmann.as_ref(), &ids));
    }
    Ok(super::finite(found))
}

/// Loss against tokens for each size, with both laws, and the residuals of each.
///
/// # Errors
/// Files that cannot be read.
pub fn figures(finished: &Finished) -> anyhow::Result<Drawings> {
    let mut drawings = Vec::new();
    for (data, rows) in by_data(rows(finished)) {
        let laws = laws(&rows);
        drawings.push((format!("joint-fit-{data}"), figures::joint_fit(&data, &rows, &laws)));
        for fitted in laws.iter().flatten() {
            let name = format!("residuals-{}-{data}", fitted.best.form.name());
            drawings.push((name, figures::residuals(&fitted.best, &fitted.points)));
        }
    }
    Ok(drawings)
}
