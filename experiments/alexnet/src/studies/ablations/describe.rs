//! `--dry-run`: every run of a study, and what they cost, measured by a few updates of the first.

use std::fmt::Write as _;
use std::sync::Arc;

use common::cli;
use common::data::photos::PreparedSet;
use common::distributed::{Gradients, Share};
use common::experiment::Study;
use common::nn::probe::Probe;
use common::optim::named_params;
use common::progress::human_seconds;
use common::rng;
use common::session::{Plan, Session};
use serde::Deserialize as _;
use tch::Tensor;
use tch::nn::VarStore;

use super::RunConfig;
use crate::photographs::data::Photographs;
use crate::photographs::train::{build, optimizer};
use crate::studies::seconds_per_update;
use crate::train::update;

/// Updates timed, after as many to warm up.
const TIMED_STEPS: u64 = 4;

pub(in crate::studies) fn describe(
    session: &Session,
    set: &Arc<PreparedSet>,
    wanted: &[(&Study, Vec<Plan>)],
) -> anyhow::Result<()> {
    let mut out = String::new();
    let (mut runs, mut work, mut steps, mut first) = (0, 0.0, 0.0, None);
    for (study, plans) in wanted {
        for plan in plans {
            let RunConfig { recipe, .. } = RunConfig::deserialize(&plan.config)?;
            let spec = session.spec(study, plan.clone(), 1);
            writeln!(out, "{} {}", spec.folder().display(), plan.config)?;
            let photographs = Photographs::new(set, &recipe, session.device)?;
            let updates = recipe.epochs * photographs.steps_per_epoch(recipe.batch) as f64;
            runs += 1;
            steps += updates;
            work += updates * (recipe.batch as i64 * recipe.network.multiply_adds()) as f64;
            first.get_or_insert((recipe, photographs));
        }
    }
    let Some((recipe, photographs)) = first else { return Ok(cli::print("nothing to run\n")?) };
    let processes = if session.device.is_cuda() { 1 } else { session.threads };
    tch::set_num_threads(if session.device.is_cuda() { session.threads as i32 } else { 1 });
    let mut vs = VarStore::new(session.device);
    let net = build(&mut vs, &recipe.network, 0);
    let params = named_params(&vs);
    let grads = Gradients::alone();
    let mut opt = optimizer(&params, &recipe);
    let autocast = || session.precision.autocast(session.device);
    let forward = |xs: &Tensor, probe: &Probe| {
        rng::seed_torch(0, "dropout", 0);
        net.forward(xs, true, probe)
    };
    let batches = photographs.train_batches(&recipe, 0, 0..2 * TIMED_STEPS, Share::ALL)?;
    let step_s = seconds_per_update(2 * TIMED_STEPS, batches, |step, batch| {
        let (xs, ys) = batch.tensors(session.device);
        let _scores = update(
            forward,
            recipe.loss,
            &mut opt,
            &grads,
            &params,
            &xs,
            &ys,
            0.0,
            step,
            &autocast,
        )?;
        Ok(())
    })?;
    let step_work = (recipe.batch as i64 * recipe.network.multiply_adds()) as f64;
    let memory = common::device::peak_memory(session.device);
    let megabytes = memory.gpu.or(memory.host).unwrap_or_default() / (1 << 20);
    // Two operations for a multiply-add, and the backward pass costs twice the forward.
    let flops = 6.0 * step_work;
    let seconds = work / step_work * step_s / processes as f64;
    writeln!(out, "\nruns            {runs}")?;
    writeln!(out, "parameters      {} in the first", recipe.network.parameters())?;
    writeln!(
        out,
        "updates         {steps:.0} in all, {flops:.3e} floating-point operations each in the first"
    )?;
    writeln!(out, "memory          about {megabytes} MiB a process, {processes} at a time")?;
    writeln!(
        out,
        "time            about {} here ({:.1} ms an update, measured now), evaluations not counted",
        human_seconds(seconds),
        step_s * 1e3
    )?;
    Ok(cli::print(&out)?)
}
