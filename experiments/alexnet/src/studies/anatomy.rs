//! Figure 2: the network counted, layer by layer. Nothing is trained.

use std::collections::BTreeMap;

use anyhow::Context as _;
use common::cli;
use common::experiment::{Drawings, Finished};
use common::session::{Plan, Session};
use common::training_run::{Spec, TrainingRun};
use ledger::claims::Measured;
use ledger::stats::Estimate;
use serde::{Deserialize, Serialize};

use crate::ALEXNET;
use crate::figures::anatomy as figures_of;
use crate::network::{Layout, NetworkConfig};

/// The columns of `metrics.csv` after step and time.
const COLUMNS: [&str; 3] = ["parameters", "units", "multiply_adds"];

/// The variant that claims are about.
const PAPER: &str = "paper";

/// What stands for a data set in paths: the counts need none.
const NO_DATA: &str = "no-data";

/// The rows and columns of a picture before it is cropped (section 2).
const PICTURE: i64 = 256;

/// A counted network.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct RunConfig {
    label: String,
    network: NetworkConfig,
}

/// Counts every network.
///
/// # Errors
/// A folder that cannot be written.
pub fn run(session: &Session) -> anyhow::Result<()> {
    let narrow = session.preset::<super::Preset>()?.photographs.recipe.network;
    let of = |layout| NetworkConfig { layout, ..NetworkConfig::paper() };
    let nets = [
        (PAPER, "the paper's two towers", of(Layout::TwoTowers)),
        ("one-tower", "one tower, as released", of(Layout::OneTower)),
        ("half-tower", "one tower, half the kernels", of(Layout::HalfTower)),
        ("photographs", "the preset's", narrow),
    ];
    let plan = |(variant, label, network): (&str, &str, NetworkConfig)| {
        let config = serde_json::to_value(RunConfig { label: label.to_owned(), network })?;
        let (data, variant) = (NO_DATA.to_owned(), variant.to_owned());
        anyhow::Ok(Plan { data, variant, seed: 0, config })
    };
    let plans = nets.into_iter().map(plan).collect::<anyhow::Result<Vec<_>>>()?;
    if session.dry_run {
        return Ok(cli::print(&format!("{} networks to count, a second\n", plans.len()))?);
    }
    session.grid(ALEXNET.study("anatomy")?, plans)?;
    Ok(())
}

/// Counts one network.
///
/// # Errors
/// A file that cannot be written.
pub fn train(spec: &Spec, run: &mut TrainingRun) -> anyhow::Result<BTreeMap<String, f64>> {
    let RunConfig { network, .. } = spec.config()?;
    run.start(&COLUMNS)?;
    let counts = [network.parameters(), network.units(), network.multiply_adds()];
    let row: Vec<_> = COLUMNS.into_iter().zip(counts.map(|count| count as f64)).collect();
    run.log(0, &row)?;
    Ok(row.into_iter().map(|(name, count)| (name.to_owned(), count)).collect())
}

/// Views that random crops and mirror images make of one picture of [`PICTURE`] rows and columns: as many as
/// [`TrainView`](common::data::photos::TrainView) draws from.
fn views(network: &NetworkConfig) -> i64 {
    2 * (PICTURE - network.crop + 1).max(0).pow(2)
}

/// The counts of the paper's network.
///
/// # Errors
/// A run of another version of the program.
pub fn measure(finished: &Finished) -> anyhow::Result<Vec<Measured>> {
    let mut rows = Vec::new();
    for (_, record) in finished.runs.iter().filter(|(_, record)| record.key.variant == PAPER) {
        let RunConfig { network, .. } = RunConfig::deserialize(&record.config)?;
        let count =
            |name| record.metrics.get(name).copied().context("a finished run has its counts");
        let counts = [
            ("alexnet-34", views(&network) as f64),
            ("alexnet-36", count("parameters")?),
            ("alexnet-37", count("units")?),
        ];
        rows.extend(counts.map(|(id, value)| Measured {
            id: id.to_owned(),
            preset: finished.preset.clone(),
            data: NO_DATA.to_owned(),
            estimate: Estimate::certain(value),
            evidence: format!("{NO_DATA}/{PAPER}"),
            protocol_ok: true,
        }));
    }
    Ok(rows)
}

/// Bars of parameters and multiply-adds.
///
/// # Errors
/// A run of another version of the program.
pub fn figures(finished: &Finished) -> anyhow::Result<Drawings> {
    let mut nets = Vec::new();
    for (_, record) in &finished.runs {
        let RunConfig { label, network } = RunConfig::deserialize(&record.config)?;
        nets.push((label, network.layers()));
    }
    Ok(vec![("anatomy".to_owned(), figures_of::figure(&nets))])
}
