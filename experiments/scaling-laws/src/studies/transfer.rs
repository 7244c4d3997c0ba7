//! Loss on other text against loss on text like that of the training (Kaplan et al. 2020, Figure 8).

use std::collections::BTreeMap;

use common::experiment::{Drawings, Finished};
use common::session::Session;
use ledger::claims::Measured;
use serde::{Deserialize, Serialize};

use common::rows::{read_rows, write_rows};
use common::training_run::{Spec, TrainingRun};
use ledger::run::finished_runs;

use super::{Fitted, joint_fit, reading};
use crate::figures;
use crate::fit::{Fit, Form, Point};
use crate::text::file;

/// Its name.
pub const STUDY: &str = "transfer";

/// The file of [`Judged`] in a run's folder, without ending.
const JUDGED: &str = "judged";

/// A model's loss on a text.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Judged {
    /// The run.
    pub(crate) variant: String,
    pub(crate) seed: u64,
    pub(crate) params: f64,
    pub(crate) tokens: f64,
    /// On the test part of what it was trained on.
    pub(crate) own: f64,
    /// The other text.
    pub(crate) other: String,
    /// On that, in nats per token.
    pub(crate) loss: f64,
}

/// Makes the runs of `joint-fit` and reads them.
///
/// # Errors
/// As [`reading::run`].
pub fn run(session: &Session) -> anyhow::Result<()> {
    reading::run(session, STUDY)
}

/// Reads the runs, and what they lost on other texts.
///
/// # Errors
/// As [`reading::train`].
pub fn train(spec: &Spec, run: &mut TrainingRun) -> anyhow::Result<BTreeMap<String, f64>> {
    let numbers = reading::train(spec, run)?;
    let folder =
        spec.results.join(&spec.key.experiment).join(&spec.key.preset).join(joint_fit::STUDY);
    let mut judged = Vec::new();
    for (_, record) in finished_runs(&folder)? {
        let Some(row) = crate::rows::Row::of(&record) else { continue };
        if row.data != spec.key.data {
            continue;
        }
        for (name, loss) in &record.metrics {
            let Some(other) = name.strip_prefix("transfer/") else { continue };
            judged.push(Judged {
                variant: row.variant.clone(),
                seed: row.seed,
                params: row.params,
                tokens: row.tokens,
                own: row.loss,
                other: other.to_owned(),
                loss: *loss,
            });
        }
    }
    write_rows(&file(run.path(), JUDGED), &judged)?;
    Ok(numbers)
}

/// By text of the training and other text.
fn judged(finished: &Finished) -> anyhow::Result<BTreeMap<(String, String), Vec<Judged>>> {
    let mut most: BTreeMap<String, Vec<Judged>> = BTreeMap::new();
    for (folder, record) in &finished.runs {
        let found: Vec<Judged> = read_rows(&file(folder, JUDGED))?;
        let of_data = most.entry(record.key.data.clone()).or_default();
        if found.len() > of_data.len() {
            *of_data = found;
        }
    }
    let mut pairs: BTreeMap<(String, String), Vec<Judged>> = BTreeMap::new();
    for (data, all) in most {
        for one in all {
            pairs.entry((data.clone(), one.other.clone())).or_default().push(one);
        }
    }
    Ok(pairs)
}

/// The loss on the other text as a power of the loss on one's own: an exponent of 1 is a constant
/// factor, parallel lines in logs.
fn slope(judged: &[Judged]) -> Option<Fitted> {
    let points: Vec<Point> =
        judged.iter().map(|one| Point { x: one.own, y: 1.0, loss: one.loss }).collect();
    let mut seeds: Vec<u64> = judged.iter().map(|one| one.seed).collect();
    seeds.sort_unstable();
    seeds.dedup();
    Fitted::new(STUDY, Form::PurePower, points, seeds.len())
}

/// The exponent for each other text.
///
/// # Errors
/// Files that cannot be read.
pub fn measure(finished: &Finished) -> anyhow::Result<Vec<Measured>> {
    let mut found = Vec::new();
    for ((data, other), judged) in judged(finished)? {
        let Some(fitted) = slope(&judged) else { continue };
        // y = a·x^-k
        let estimate = fitted.estimate(|fit: &Fit| -fit.theta[1]);
        let row = finished.measured("kap-39", &format!("{data}-to-{other}"), estimate);
        found.push(Measured { evidence: data, ..row });
    }
    Ok(super::finite(found))
}

/// Figure 8: loss on other texts against loss on the own.
///
/// # Errors
/// Files that cannot be read.
pub fn figures(finished: &Finished) -> anyhow::Result<Drawings> {
    let mut by_data: BTreeMap<String, Vec<(String, Vec<Judged>)>> = BTreeMap::new();
    for ((data, other), judged) in judged(finished)? {
        by_data.entry(data).or_default().push((other, judged));
    }
    let draw = |(data, others): (String, Vec<(String, Vec<Judged>)>)| {
        (format!("transfer-{data}"), figures::transfer(&data, &others))
    };
    Ok(by_data.into_iter().map(draw).collect())
}
