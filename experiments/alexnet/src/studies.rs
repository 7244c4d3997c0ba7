//! The studies: what runs, and what is computed from the runs.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use common::cli;
use common::data::images::Splits;
use common::device::Precision;
use common::distributed::Gradients;
use common::experiment::Study;
use common::nn::probe::Probe;
use common::optim::named_params;
use common::progress::human_seconds;
use common::session::{Plan, Session};
use serde::Deserialize;
use tch::Tensor;
use tch::nn::VarStore;

use crate::data::TrainingSet;
use crate::loss::Loss;
use crate::model::Figure1Net;
use crate::train::{self, Config};

pub mod ablations;
pub mod anatomy;
pub mod averaging;
pub mod cifar_ablations;
pub mod cifar_nets;
pub mod exhibits;
pub mod ports;
pub mod pre_trained;
pub mod relu_vs_tanh;

/// A preset of this experiment: a table for each study.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Preset {
    /// Studies that run when none is named.
    pub lead: Vec<String>,
    /// Precision of the runs.
    pub precision: Precision,
    /// Figure 1.
    pub relu_vs_tanh: relu_vs_tanh::StudyPreset,
    /// The authors' CIFAR-10 nets.
    pub cifar_nets: cifar_nets::StudyPreset,
    /// The same with one ingredient taken out.
    pub cifar_ablations: cifar_ablations::StudyPreset,
    /// The network on photographs, and its ablations.
    pub photographs: ablations::StudyPreset,
}

/// Updates timed for a dry run, after as many to warm up.
const TIMED_STEPS: u64 = 10;

/// Makes `n` updates, one with each batch, and returns how many seconds one takes; the first half of them warms up.
fn seconds_per_update<B, E>(
    n: u64,
    batches: impl IntoIterator<Item = Result<B, E>>,
    mut update: impl FnMut(u64, B) -> anyhow::Result<()>,
) -> anyhow::Result<f64>
where
    anyhow::Error: From<E>,
{
    let mut begun = Instant::now();
    for (step, batch) in (0..n).zip(batches) {
        if step == n / 2 {
            begun = Instant::now();
        }
        update(step, batch?)?;
    }
    Ok(begun.elapsed().as_secs_f64() / (n - n / 2).max(1) as f64)
}

/// `--dry-run`: the resolved configuration of every run, and what they cost. The time is measured by a few
/// updates of the first run.
fn describe(
    session: &Session,
    study: &Study,
    splits: &Splits,
    plans: &[Plan],
) -> anyhow::Result<()> {
    let mut out = String::new();
    let mut updates = 0.0;
    for plan in plans {
        let cfg: Config = serde_json::from_value(plan.config.clone())?;
        updates += cfg.epochs * (cfg.pictures as f64 / cfg.batch as f64).ceil();
        let spec = session.spec(study, plan.clone(), 1);
        writeln!(out, "{} {}", spec.folder().display(), serde_json::to_string(&plan.config)?)?;
    }
    let Some(first) = plans.first() else { return Ok(cli::print("nothing to run\n")?) };
    let cfg: Config = serde_json::from_value(first.config.clone())?;
    let set = Arc::new(TrainingSet::new(&splits.train, cfg.pictures, cfg.inputs));
    let mut vs = VarStore::new(session.device);
    let model = train::build(&mut vs, &cfg, first.seed, &set);
    let params = named_params(&vs);
    let n_params: usize = params.iter().map(|(_, param)| param.numel()).sum();
    let mut opt = train::optimizer(&params, &cfg);
    let forward = |xs: &Tensor, probe: &Probe| model.forward(xs, probe);
    let processes = if session.device.is_cuda() { 1 } else { session.threads };
    tch::set_num_threads(if session.device.is_cuda() { session.threads as i32 } else { 1 });
    let autocast = || session.precision.autocast(session.device);
    let loader = set.loader(set.sampler(0, cfg.batch), 0..2 * TIMED_STEPS);
    let step_s = seconds_per_update(2 * TIMED_STEPS, loader, |step, batch| {
        let (xs, ys) = batch.tensors(session.device);
        let _scores = train::update(
            forward,
            Loss::Softmax,
            &mut opt,
            &Gradients::alone(),
            &params,
            &xs,
            &ys,
            0.0,
            step,
            &autocast,
        )?;
        Ok(())
    })?;
    let shape = [set.channels, set.size, set.classes].map(|n| n as i64);
    // Two operations for a multiply-add, and the backward pass costs twice the forward.
    let flops =
        6.0 * Figure1Net::multiply_adds(shape[0], shape[1], shape[2]) as f64 * cfg.batch as f64;
    let memory = common::device::peak_memory(session.device);
    writeln!(out, "\nruns            {}", plans.len())?;
    writeln!(out, "parameters      {n_params} a run")?;
    writeln!(
        out,
        "updates         {updates:.0} in all at the most, {flops:.3e} floating-point operations each"
    )?;
    let megabytes = memory.gpu.or(memory.host).unwrap_or_default() / (1 << 20);
    writeln!(out, "memory          about {megabytes} MiB a process, {processes} at a time")?;
    let seconds = updates * step_s / processes as f64;
    writeln!(
        out,
        "time            at most {} here ({:.1} ms an update, measured now); a run ends at its target",
        human_seconds(seconds),
        step_s * 1e3
    )?;
    Ok(cli::print(&out)?)
}
