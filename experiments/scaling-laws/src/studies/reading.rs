//! Runs that train nothing: they read the finished runs of other studies into their folder, so that
//! what is fitted to them can be computed again from there.

use std::collections::BTreeMap;

use anyhow::ensure;
use common::experiment::Finished;
use common::session::{Plan, Session};
use common::training_run::{Spec, TrainingRun};
use ledger::run::{finished_runs, hex};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::joint_fit;
use crate::SCALING_LAWS;
use crate::rows::{self, Row};

/// What such a run reads.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Reading {
    /// The study whose runs are read.
    of: String,
    /// Digests of those runs' configurations, by variant and seed.
    digests: Vec<String>,
}

/// Makes the runs of `joint-fit` that are not there yet, then the run of `study` that reads them.
///
/// # Errors
/// As [`Session::grid`]; runs of another shard that are not finished.
pub(crate) fn run(session: &Session, study: &str) -> anyhow::Result<()> {
    if session.dry_run {
        let of = joint_fit::STUDY;
        let text = format!("{study}: reads the runs of {of}, which `plan {of}` prices\n");
        return Ok(common::cli::print(&text)?);
    }
    joint_fit::run(session)?;
    if session.shard.is_some() {
        tracing::info!("{study}: run it again without --index when all shards are done");
        return Ok(());
    }
    let folder =
        session.results.join(SCALING_LAWS.name).join(&session.preset).join(joint_fit::STUDY);
    let mut by_data: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (_, record) in finished_runs(&folder)? {
        by_data.entry(record.key.data).or_default().push(record.digest);
    }
    let mut plans = Vec::new();
    for (data, digests) in by_data {
        let sum = hex(&Sha256::digest(digests.concat().as_bytes()));
        // Another set of runs is another reading, beside the earlier one.
        let variant = format!("{}-runs-{sum:.8}", digests.len());
        let config = serde_json::to_value(Reading { of: joint_fit::STUDY.to_owned(), digests })?;
        plans.push(Plan { data, variant, seed: 0, config });
    }
    session.grid(SCALING_LAWS.study(study)?, plans)?;
    Ok(())
}

/// Copies the rows of the runs that are read.
///
/// # Errors
/// Runs that changed since; files that cannot be read or written.
pub fn train(spec: &Spec, run: &mut TrainingRun) -> anyhow::Result<BTreeMap<String, f64>> {
    let Reading { of, digests } = spec.config()?;
    let folder = spec.results.join(&spec.key.experiment).join(&spec.key.preset).join(&of);
    let records = finished_runs(&folder)?;
    let of_data = records.iter().filter(|(_, record)| record.key.data == spec.key.data);
    let wanted: Vec<_> = of_data.filter(|(_, record)| digests.contains(&record.digest)).collect();
    ensure!(wanted.len() == digests.len(), "{of}: runs changed while they were read");
    let found: Vec<Row> = wanted.iter().filter_map(|(_, record)| Row::of(record)).collect();
    run.start(&["runs"])?;
    rows::write(run.path(), &found)?;
    let n = found.len() as f64;
    run.log(0, &[("runs", n)])?;
    Ok(BTreeMap::from([("runs".to_owned(), n)]))
}

/// By text, the rows of the reading that has most of them.
///
/// # Errors
/// Files that cannot be read.
pub(crate) fn read(finished: &Finished) -> anyhow::Result<BTreeMap<String, Vec<Row>>> {
    let mut by_data: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    for (folder, record) in &finished.runs {
        let found = rows::read(folder)?;
        let most = by_data.entry(record.key.data.clone()).or_default();
        if found.len() > most.len() {
            *most = found;
        }
    }
    Ok(by_data)
}
