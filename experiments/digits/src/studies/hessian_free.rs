//! Martens 2010, Tables 2 and 3, and Sutskever et al. 2013, Table 1: the deep autoencoder without pre-training, by
//! Hessian-free optimisation and by gradient descent with momentum; pre-trained ones beside it.
//!
//! What is compared is the squared error on the training pictures. Learning rates are chosen as the papers chose them,
//! each variant's own: one run for every rate of its list with a seed and a budget of its own, and the one with the
//! smallest error is taken.

use std::collections::BTreeMap;

use anyhow::Context as _;
use common::experiment::{Drawings, Finished};
use common::preset::PresetError;
use common::session::{Plan, Session};
use common::training_run::{Spec, TrainingRun};
use ledger::run::RunRecord;
use serde::{Deserialize, Serialize};

use super::{Planning, Reading, Refuse, describe, splits};
use crate::data::{test_cases, training_cases};
use crate::hessian_free;
use crate::momentum::{self, Form, Schedule};
use crate::train::{Config, Method, Searches, Start};
use crate::{DIGITS, figures};

mod measure;

pub use measure::measure;

/// Its name.
pub const STUDY: &str = "hessian-free";

/// Hessian-free optimisation from sparse random weights.
pub(crate) const HF: &str = "hf";
/// Pre-training, then conjugate gradients: what Hessian-free optimisation is set against.
pub(crate) const PRE_TRAINED_CG: &str = "pre-trained-cg";

/// `[hessian-free]` of a preset.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudyPreset {
    /// Seeds of the reported runs, from 0.
    pub seeds: u64,
    /// Training pictures; fewer than the set has are a fixed random subset.
    pub cases: usize,
    /// Units after the pixels, to the code.
    pub layers: Vec<i64>,
    /// Weights into each unit of a net that is not pre-trained.
    pub incoming: i64,
    /// Hessian-free optimisation.
    pub newton: hessian_free::Config,
    /// Its variants by name.
    pub newton_variants: BTreeMap<String, Newton>,
    /// Conjugate gradients after pre-training, without the table not at all.
    pub search: Option<Searches>,
    /// Gradient descent with momentum.
    pub momentum: Schedule,
    /// Its variants by name.
    pub momentum_variants: BTreeMap<String, Descent>,
    /// The search for learning rates.
    pub rates: Rates,
}

/// A variant of Hessian-free optimisation.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Newton {
    /// Whether machines are trained first; otherwise the weights begin sparse and random.
    pub pre_trained: bool,
    /// Weight of ½‖θ‖².
    pub l2: f64,
}

/// A variant of gradient descent.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Descent {
    /// Where the gradient is taken.
    pub form: Form,
    /// The momentum that the schedule ends at.
    pub max_momentum: f64,
    /// Learning rates to choose from; one alone is taken without a search.
    pub lr: Vec<f64>,
}

/// How learning rates are picked.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rates {
    /// The seed of the search; not one of the reported ones, or the winner would be flattered.
    pub seed: u64,
    /// Updates.
    pub updates: u64,
}

/// What the runs of this study have in common.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RunConfig {
    /// The variant whose learning rate this run only helps to choose; none for a reported run.
    pub(crate) search: Option<String>,
    #[serde(flatten)]
    pub(crate) train: Config,
}

/// Makes the search's runs, then the reported ones.
///
/// # Errors
/// A preset that does not fit, data that cannot be had, a run that fails.
pub fn run(session: &Session) -> anyhow::Result<()> {
    let study = DIGITS.study(STUDY)?;
    let planning = Planning::new(session, |preset, refuse| {
        check(&preset.hessian_free, session.seeds.as_deref(), refuse)
    })?;
    check_batches(&planning, &Refuse(&session.preset))?;
    let searches = searches(&planning)?;
    if session.dry_run {
        let plans = [searches, reported(&planning, |_, descent| Ok(descent.lr[0]))?].concat();
        return describe(session, study, &plans, |plan| {
            let RunConfig { train, .. } = serde_json::from_value(plan.config.clone())?;
            Ok((train.net().n_params(), train.work()))
        });
    }
    let searched = session.grid(study, searches)?;
    let plans = reported(&planning, |variant, descent| match descent.lr[..] {
        [only] => Ok(only),
        _ => best_rate(&searched, variant),
    })?;
    session.grid(study, plans)?;
    Ok(())
}

/// Refuses what no run can use; `seeds` are those of the command line.
fn check(study: &StudyPreset, seeds: Option<&[u64]>, refuse: &Refuse) -> Result<u64, PresetError> {
    let StudyPreset { newton, momentum, rates, .. } = study;
    let counts = [
        ("seeds", study.seeds),
        ("cases", study.cases as u64),
        ("incoming", study.incoming as u64),
        ("newton.iterations", newton.iterations),
        ("newton.chunks", newton.chunks as u64),
        ("newton.cg.max_iterations", newton.cg.max_iterations as u64),
        ("momentum.batch", momentum.batch as u64),
        ("momentum.updates", momentum.updates),
        ("momentum.period", momentum.period),
        ("momentum.row_every", momentum.row_every),
        ("rates.updates", rates.updates),
    ];
    refuse.counts(STUDY, &counts)?;
    refuse.layers("hessian-free.layers", &study.layers)?;
    if newton.cg.spacing <= 1.0 {
        let (key, found) = ("hessian-free.newton.cg.spacing", newton.cg.spacing.to_string());
        return Err(refuse.value(key, found, "a factor above 1"));
    }
    for (name, descent) in &study.momentum_variants {
        if descent.lr.is_empty() || descent.lr.iter().any(|lr| !(*lr > 0.0 && lr.is_finite())) {
            let key = format!("hessian-free.momentum_variants.{name}.lr");
            return Err(refuse.value(&key, format!("{:?}", descent.lr), "numbers above 0"));
        }
    }
    let reported = seeds.map_or(rates.seed < study.seeds, |seeds| seeds.contains(&rates.seed));
    if reported {
        let wanted = "a seed that is not reported";
        return Err(refuse.value("hessian-free.rates.seed", rates.seed.to_string(), wanted));
    }
    Ok(study.seeds)
}

/// Refuses batches that are larger than the cases there are.
fn check_batches(planning: &Planning, refuse: &Refuse) -> Result<(), PresetError> {
    let (study, cases) = (&planning.preset.hessian_free, planning.cases());
    refuse.batch("hessian-free.momentum.batch", study.momentum.batch, cases)?;
    refuse.batch("hessian-free.newton.chunks", study.newton.chunks as usize, cases)?;
    refuse.batch("pre-training.batch", planning.preset.pre_training.batch, cases)?;
    let search = study.search.map_or(1, |search| search.batch);
    refuse.batch("hessian-free.search.batch", search, cases)
}

impl Planning {
    /// Training pictures of this study.
    fn cases(&self) -> usize {
        self.preset.hessian_free.cases.min(self.splits.train.n)
    }

    fn plan(
        &self,
        variant: String,
        seed: u64,
        search: Option<String>,
        start: Start,
        method: Method,
    ) -> anyhow::Result<Plan> {
        let train = Config {
            widths: self.widths(&self.preset.hessian_free.layers),
            start,
            method,
            cases: self.cases(),
            data_sha256: self.splits.sha256.clone(),
        };
        let config = serde_json::to_value(RunConfig { search, train })?;
        Ok(Plan { data: self.splits.data_name.clone(), variant, seed, config })
    }

    fn sparse(&self) -> Start {
        Start::Sparse { incoming: self.preset.hessian_free.incoming }
    }

    fn descent(&self, variant: &Descent, lr: f64) -> momentum::Config {
        let Descent { form, max_momentum, .. } = *variant;
        momentum::Config { form, max_momentum, lr, schedule: self.preset.hessian_free.momentum }
    }
}

/// A run for every learning rate of every list that leaves a choice.
fn searches(planning: &Planning) -> anyhow::Result<Vec<Plan>> {
    let StudyPreset { momentum_variants, rates, .. } = &planning.preset.hessian_free;
    let mut plans = Vec::new();
    for (name, variant) in momentum_variants.iter().filter(|(_, variant)| variant.lr.len() > 1) {
        for &lr in &variant.lr {
            let mut config = planning.descent(variant, lr);
            config.schedule.updates = rates.updates;
            let path = format!("{name}-search-lr-{lr}");
            let (start, method) = (planning.sparse(), Method::Momentum(config));
            plans.push(planning.plan(path, rates.seed, Some(name.clone()), start, method)?);
        }
    }
    Ok(plans)
}

/// The reported runs; `rate` chooses a variant's learning rate.
fn reported(
    planning: &Planning,
    rate: impl Fn(&str, &Descent) -> anyhow::Result<f64>,
) -> anyhow::Result<Vec<Plan>> {
    let study = &planning.preset.hessian_free;
    let pre_trained = || Start::PreTrained(planning.preset.pre_training.clone());
    let mut plans = Vec::new();
    for &seed in &planning.seeds {
        for (name, variant) in &study.newton_variants {
            let start = if variant.pre_trained { pre_trained() } else { planning.sparse() };
            let method = Method::HessianFree { l2: variant.l2, newton: study.newton.clone() };
            plans.push(planning.plan(name.clone(), seed, None, start, method)?);
        }
        if let Some(search) = study.search {
            let method = Method::ConjugateGradients(search);
            let name = PRE_TRAINED_CG.to_owned();
            plans.push(planning.plan(name, seed, None, pre_trained(), method)?);
        }
        for (name, variant) in &study.momentum_variants {
            let config = planning.descent(variant, rate(name, variant)?);
            let method = Method::Momentum(config);
            plans.push(planning.plan(name.clone(), seed, None, planning.sparse(), method)?);
        }
    }
    Ok(plans)
}

/// The learning rate with the smallest training error at the end of the search; of equals, the smaller.
fn best_rate(searched: &[RunRecord], variant: &str) -> anyhow::Result<f64> {
    let mut found: Vec<(f64, f64)> = Vec::new(); // error, rate
    for record in searched {
        let RunConfig { search, train } = RunConfig::deserialize(&record.config)?;
        if let (true, Method::Momentum(config)) =
            (search.as_deref() == Some(variant), &train.method)
        {
            let error = record.metrics.get("train/error").context("a finished run has an error")?;
            found.push((*error, config.lr));
        }
    }
    found.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    Ok(found.first().context("the search has finished")?.1)
}

/// One run, in a process of its own.
///
/// # Errors
/// Data that cannot be read; what the training says.
pub fn train(spec: &Spec, run: &mut TrainingRun) -> anyhow::Result<BTreeMap<String, f64>> {
    run.forget_checkpoints_when_done();
    let RunConfig { train: config, .. } = spec.config()?;
    let splits = splits(spec, &config.data_sha256)?;
    let train = training_cases(&splits, 0, config.cases, run.device());
    let test = test_cases(&splits, run.device());
    crate::train::train(&spec.key, &config, &train, &test, run)
}

/// Training error over work, and what Hessian-free optimisation did in each update.
///
/// # Errors
/// Files that cannot be read.
pub fn figures(finished: &Finished) -> anyhow::Result<Drawings> {
    let mut drawings = Vec::new();
    for (data, runs) in &Reading::<RunConfig>::all(finished)? {
        if runs.iter().any(|run| run.config.search.is_none()) {
            drawings.push((format!("training-{data}"), figures::training(data, runs)?));
        }
        if runs.iter().any(|run| run.variant == HF) {
            drawings.push((format!("updates-{data}"), figures::updates(data, runs)?));
        }
    }
    Ok(drawings)
}
