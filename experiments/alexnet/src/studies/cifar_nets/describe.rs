//! `--dry-run`: the resolved configuration of every run, and what they cost.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use common::cli;
use common::data::images::ImageSet;
use common::distributed::Gradients;
use common::experiment::Study;
use common::nn::probe::Probe;
use common::optim::named_params;
use common::progress::human_seconds;
use common::session::{Plan, Session};
use serde::Deserialize as _;
use tch::Tensor;
use tch::nn::VarStore;

use super::RunConfig;
use crate::cifar::data::Pictures;
use crate::cifar::net::{multiply_adds, optimizer};
use crate::cifar::schedule::Schedule;
use crate::cifar::train::{Config, build};
use crate::loss::Loss;
use crate::studies::seconds_per_update;
use crate::train::update;

/// Updates timed, after as many to warm up.
const TIMED_STEPS: u64 = 10;

/// What a run of one variant costs.
struct Cost {
    updates: u64,
    parameters: usize,
    /// Floating-point operations of an update.
    flops: f64,
    /// Seconds of an update, measured now.
    step_s: f64,
}

/// Prints the plans, and for each variant what its runs cost; the time is measured by a few updates each.
pub(in crate::studies) fn describe(
    session: &Session,
    study: &Study,
    train: &ImageSet,
    plans: &[Plan],
) -> anyhow::Result<()> {
    let mut out = String::new();
    let mut variants: BTreeMap<&str, (usize, Cost)> = BTreeMap::new();
    for plan in plans {
        let spec = session.spec(study, plan.clone(), 1);
        writeln!(out, "{} {}", spec.folder().display(), serde_json::to_string(&plan.config)?)?;
        if let Some((runs, _)) = variants.get_mut(plan.variant.as_str()) {
            *runs += 1;
        } else {
            let config = RunConfig::deserialize(&plan.config)?;
            let cost = measure(session, &config.train, train)?;
            variants.insert(&plan.variant, (1, cost));
        }
    }
    writeln!(out, "\nruns            {}", plans.len())?;
    let processes = if session.device.is_cuda() { 1 } else { session.threads };
    let mut seconds = 0.0;
    for (variant, (runs, cost)) in &variants {
        let Cost { updates, parameters, flops, step_s } = cost;
        let run_s = *updates as f64 * step_s;
        seconds += *runs as f64 * run_s / processes as f64;
        writeln!(
            out,
            "{variant}: {runs} runs of {parameters} parameters and {updates} updates, {flops:.3e} \
             floating-point operations and {:.1} ms each: {} a run",
            step_s * 1e3,
            human_seconds(run_s)
        )?;
    }
    let memory = common::device::peak_memory(session.device);
    let megabytes = memory.gpu.or(memory.host).unwrap_or_default() / (1 << 20);
    writeln!(out, "memory          about {megabytes} MiB a process, {processes} at a time")?;
    writeln!(out, "time            {} here, measured now", human_seconds(seconds))?;
    Ok(cli::print(&out)?)
}

fn measure(session: &Session, cfg: &Config, train: &ImageSet) -> anyhow::Result<Cost> {
    let set = Arc::new(Pictures::new(train, cfg.pictures));
    let mean = set.mean_view(cfg.views);
    let schedule = Arc::new(Schedule::new(&cfg.stages, cfg.scale, set.n, cfg.batch, 0));
    let mut vs = VarStore::new(session.device);
    let net = build(&mut vs, cfg, 0, &set);
    let params = named_params(&vs);
    let table = cfg.net.table();
    let grads = Gradients::alone();
    let mut opt = optimizer(&params, &table, cfg.momentum, cfg.bias_lr_scale, cfg.decay);
    tch::set_num_threads(if session.device.is_cuda() { session.threads as i32 } else { 1 });
    let autocast = || session.precision.autocast(session.device);
    let forward = |xs: &Tensor, probe: &Probe| net.forward(xs, probe);
    let steps = schedule.steps().min(2 * TIMED_STEPS);
    let batches = set.loader(cfg.views, &mean, &schedule, 0..steps);
    let step_s = seconds_per_update(steps, batches, |step, batch| {
        let (xs, ys) = batch.tensors(session.device);
        let _scores = update(
            forward,
            Loss::Softmax,
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
    let side = cfg.views.side(set.size) as i64;
    let view = multiply_adds(&table, set.channels as i64, side);
    Ok(Cost {
        updates: schedule.steps(),
        parameters: params.iter().map(|(_, param)| param.numel()).sum(),
        // Two operations for a multiply-add, and the backward pass costs twice the forward.
        flops: 6.0 * view as f64 * cfg.batch as f64,
        step_s,
    })
}
