//! The studies: what runs, and what is computed from the runs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::ensure;
use common::cli;
use common::data::catalog::Catalog;
use common::data::images::Splits;
use common::data::load_images;
use common::device::Precision;
use common::experiment::{Finished, Study};
use common::preset::PresetError;
use common::progress::human_seconds;
use common::session::{Plan, Session};
use common::training_run::{METRICS, Spec};
use ledger::claims::{Measured, parse_claims};
use ledger::metrics;
use ledger::run::RunRecord;
use ledger::stats::{Estimate, Scale, mean_over_seeds, paired_ratio};
use serde::Deserialize;
use tch::{Kind, Tensor};

use crate::DIGITS;
use crate::net::Net;
use crate::pretrain;

pub mod deep_autoencoder;
pub mod deep_belief_net;
pub mod hessian_free;

/// MNIST is the papers'; the others are there on every machine that reaches a package registry.
pub const DATASETS: [&str; 3] = ["mnist", "mnist-10k", "fashion-mnist"];

/// A preset of this experiment: a table for each study, and what they share.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Preset {
    /// Studies that run when none is named.
    pub lead: Vec<String>,
    /// Precision of the runs.
    pub precision: Precision,
    /// How restricted Boltzmann machines are trained, in every study.
    pub pre_training: pretrain::Config,
    /// Hinton & Salakhutdinov 2006.
    pub deep_autoencoder: deep_autoencoder::StudyPreset,
    /// Martens 2010; Sutskever et al. 2013.
    pub hessian_free: hessian_free::StudyPreset,
    /// Hinton, Osindero & Teh 2006.
    pub deep_belief_net: deep_belief_net::StudyPreset,
}

/// The preset, the seeds and the pictures that a study's runs are planned with.
pub(crate) struct Planning {
    pub(crate) preset: Preset,
    pub(crate) seeds: Vec<u64>,
    pub(crate) splits: Splits,
}

impl Planning {
    /// Refuses what no run can use, then finds the pictures. `check` looks at the study's own table and says how many
    /// seeds it has.
    ///
    /// # Errors
    /// A preset that does not fit, a precision or a number of processes that the study has no use for, data that cannot
    /// be had.
    pub(crate) fn new(
        session: &Session,
        check: impl FnOnce(&Preset, &Refuse) -> Result<u64, PresetError>,
    ) -> anyhow::Result<Self> {
        let preset: Preset = session.preset()?;
        let refuse = Refuse(&session.preset);
        if session.precision != Precision::Fp32 {
            let wanted = "fp32: line searches compare losses digit by digit";
            return Err(refuse.value("--precision", session.precision.to_string(), wanted).into());
        }
        ensure!(
            session.world.size() == 1,
            "digits makes each run in one process; start it without torchrun or srun, and share runs by --index I/N"
        );
        let pre = &preset.pre_training;
        refuse.counts("pre-training", &[("epochs", pre.epochs), ("batch", pre.batch as u64)])?;
        let n_seeds = check(&preset, &refuse)?;
        let seeds = session.seeds_or(n_seeds);
        let located = Catalog::builtin().first_available(&DATASETS, &session.lookup)?;
        let splits = load_images(&located, &session.lookup)?;
        Ok(Self { preset, seeds, splits })
    }

    /// Pixels of a picture, then these widths.
    pub(crate) fn widths(&self, layers: &[i64]) -> Vec<i64> {
        [&[self.splits.train.picture_bytes() as i64], layers].concat()
    }
}

/// Words a preset's wrong values.
pub(crate) struct Refuse<'a>(pub(crate) &'a str);

impl Refuse<'_> {
    pub(crate) fn value(&self, key: &str, found: String, wanted: &'static str) -> PresetError {
        PresetError::Value { preset: self.0.to_owned(), key: key.to_owned(), found, wanted }
    }

    /// # Errors
    /// The first count that is no whole number from 1. A negative one arrives as a huge one.
    pub(crate) fn counts(&self, table: &str, counts: &[(&str, u64)]) -> Result<(), PresetError> {
        match counts.iter().find(|(_, n)| *n == 0 || *n > 1 << 40) {
            None => Ok(()),
            Some((key, found)) => {
                let found = (*found as i64).to_string();
                Err(self.value(&format!("{table}.{key}"), found, "a whole number from 1"))
            }
        }
    }

    /// # Errors
    /// Widths of layers that are no whole numbers from 1, or none at all.
    pub(crate) fn layers(&self, key: &str, layers: &[i64]) -> Result<(), PresetError> {
        if layers.is_empty() || layers.iter().any(|width| *width < 1) {
            return Err(self.value(
                key,
                format!("{layers:?}"),
                "units of one layer or more, from 1",
            ));
        }
        Ok(())
    }

    /// # Errors
    /// A batch that is larger than the cases there are, in the preset or in the set.
    pub(crate) fn batch(&self, key: &str, batch: usize, cases: usize) -> Result<(), PresetError> {
        if batch > cases {
            let wanted = "at most the study's `cases`";
            return Err(self.value(key, batch.to_string(), wanted));
        }
        Ok(())
    }
}

/// The pictures of a run, as its process finds them.
///
/// # Errors
/// Pictures that cannot be read or are not those that the run was planned with.
pub(crate) fn splits(spec: &Spec, sha256: &str) -> anyhow::Result<Splits> {
    let located = Catalog::builtin().locate(&spec.key.data, &spec.lookup)?;
    let splits = load_images(&located, &spec.lookup)?;
    ensure!(
        splits.sha256 == sha256,
        "{}: the data changed between planning and training",
        spec.key.data
    );
    Ok(splits)
}

/// `--dry-run`: the resolved configuration of every run with its parameters and its work, and what all of them cost. `size`
/// says of a plan how many parameters and multiply-adds, at the most.
pub(crate) fn describe(
    session: &Session,
    study: &Study,
    plans: &[Plan],
    size: impl Fn(&Plan) -> anyhow::Result<(i64, f64)>,
) -> anyhow::Result<()> {
    let mut out = String::new();
    let (mut largest, mut all) = (0, 0.0);
    for plan in plans {
        let (params, work) = size(plan)?;
        (largest, all) = (largest.max(params), all + work);
        let spec = session.spec(study, plan.clone(), 1);
        writeln!(out, "{} {}", spec.folder().display(), serde_json::to_string(&plan.config)?)?;
        writeln!(out, "    {params} parameters, {:.3e} floating-point operations", 2.0 * work)?;
    }
    let processes = if session.device.is_cuda() { 1 } else { session.threads };
    tch::set_num_threads(if session.device.is_cuda() { session.threads as i32 } else { 1 });
    // What this machine does in a second: gradients of the MNIST autoencoder on 1,000 cases.
    let net = Net::autoencoder(&[784, 500, 250, 30]);
    let theta = net.gaussian(0.01, session.device);
    let xs = Tensor::rand([1000, 784], (Kind::Float, session.device));
    let _warm = net.gradient(&theta, &xs, &xs);
    let begun = Instant::now();
    let _timed = net.gradient(&theta, &xs, &xs);
    let rate = 3.0 * net.multiply_adds() as f64 * 1000.0 / begun.elapsed().as_secs_f64();
    let memory = common::device::peak_memory(session.device);
    let megabytes = memory.gpu.or(memory.host).unwrap_or_default() / (1 << 20);
    writeln!(out, "\nruns            {}", plans.len())?;
    writeln!(out, "parameters      {largest} in the largest")?;
    writeln!(out, "operations      {:.3e} in all at the most", 2.0 * all)?;
    writeln!(
        out,
        "memory          {megabytes} MiB now, and the pictures a process; {processes} at a time"
    )?;
    writeln!(
        out,
        "time            at most {} here (at {:.1e} operations a second and process, measured now)",
        human_seconds(all / rate / processes as f64),
        2.0 * rate
    )?;
    Ok(cli::print(&out)?)
}

/// A finished run: its configuration, what it ended with and its rows.
#[derive(Debug)]
pub(crate) struct Reading<C> {
    pub(crate) folder: PathBuf,
    pub(crate) variant: String,
    pub(crate) seed: u64,
    pub(crate) config: C,
    pub(crate) metrics: BTreeMap<String, f64>,
}

impl<C: for<'a> Deserialize<'a>> Reading<C> {
    /// The finished runs by data set.
    ///
    /// # Errors
    /// A record of another study.
    pub(crate) fn all(finished: &Finished) -> anyhow::Result<BTreeMap<String, Vec<Self>>> {
        let mut by_data: BTreeMap<String, Vec<Self>> = BTreeMap::new();
        for (folder, RunRecord { key, config, metrics, .. }) in &finished.runs {
            let reading = Self {
                folder: folder.clone(),
                variant: key.variant.clone(),
                seed: key.seed,
                config: C::deserialize(config)?,
                metrics: metrics.clone(),
            };
            by_data.entry(key.data.clone()).or_default().push(reading);
        }
        Ok(by_data)
    }
}

impl<C> Reading<C> {
    /// Pairs of two columns of `metrics.csv`, of the rows that have both.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub(crate) fn curve(&self, x: &str, y: &str) -> anyhow::Result<Vec<(f64, f64)>> {
        let metrics = metrics::read(self.folder.join(METRICS))?;
        let xs: BTreeMap<u64, f64> = metrics.column(x)?.into_iter().collect();
        let ys = metrics.column(y)?;
        Ok(ys.into_iter().filter_map(|(step, y)| Some((*xs.get(&step)?, y))).collect())
    }
}

/// What the runs of some variants ended with, by seed.
pub(crate) type BySeed = BTreeMap<u64, f64>;

/// The number called `name` that the runs of `variant` ended with.
pub(crate) fn ended<C>(runs: &[Reading<C>], variant: &str, name: &str) -> BySeed {
    let of = runs.iter().filter(|run| run.variant == variant);
    of.filter_map(|run| Some((run.seed, *run.metrics.get(name)?))).collect()
}

/// Mean over seeds; none without runs.
pub(crate) fn mean(values: &BySeed, scale: Scale) -> Option<Estimate> {
    let values: Vec<f64> = values.values().copied().collect();
    mean_over_seeds(&values, scale).ok()
}

/// Ratio of two variants over the seeds that both have; none without any.
pub(crate) fn ratio(upper: &BySeed, lower: &BySeed) -> Option<Estimate> {
    let pairs = upper.iter().filter_map(|(seed, upper)| Some((*upper, *lower.get(seed)?)));
    let (upper, lower): (Vec<f64>, Vec<f64>) = pairs.unzip();
    paired_ratio(&upper, &lower).ok()
}

/// A row of what was measured.
pub(crate) fn measured(
    finished: &Finished,
    id: &str,
    data: &str,
    estimate: Estimate,
    protocol_ok: bool,
) -> Measured {
    Measured {
        protocol_ok: protocol_ok && !finished.preset.contains('+'),
        ..finished.measured(id, data, estimate)
    }
}

/// The published value of a claim.
///
/// # Errors
/// A claim without one, or none of that name.
pub(crate) fn published(id: &str) -> anyhow::Result<f64> {
    let claims = parse_claims(std::path::Path::new("claims.csv"), DIGITS.claims)?;
    let claim = claims.iter().find(|claim| claim.id == id).and_then(|claim| claim.published);
    claim.ok_or_else(|| anyhow::anyhow!("claims.csv: {id} has no published value"))
}
