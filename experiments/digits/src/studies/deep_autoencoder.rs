//! Hinton & Salakhutdinov 2006, Figure 2: reconstructions from a short code by a deep autoencoder, with and without
//! pre-training, by logistic PCA and by PCA.
//!
//! "Logistic PCA" is the autoencoder without hidden layers: a linear code, logistic pixels. It and the autoencoder
//! without pre-training begin with the small Gaussian weights that the machines begin with.

use std::collections::BTreeMap;

use common::experiment::{Drawings, Finished};
use common::session::{Plan, Session};
use common::training_run::{Spec, TrainingRun};
use ledger::claims::Measured;
use ledger::stats::{Estimate, Scale};
use serde::{Deserialize, Serialize};
use tch::Kind;

use super::{Planning, Reading, Refuse, describe, ended, mean, measured, ratio, splits};
use crate::data::{test_cases, training_cases};
use crate::pca::Pca;
use crate::train::{Config, Method, Searches, Start};
use crate::{DIGITS, figures, pictures};

/// Its name.
pub const STUDY: &str = "deep-autoencoder";

pub(crate) const PRE_TRAINED: &str = "pre-trained";
pub(crate) const WITHOUT: &str = "without-pre-training";
pub(crate) const LOGISTIC_PCA: &str = "logistic-pca";
pub(crate) const PCA: &str = "pca";
/// PCA as published, whatever the preset's size.
const PUBLISHED_PCA: &str = "pca-30-all";

/// The published net, pixels left out.
pub(crate) const LAYERS: [i64; 4] = [1000, 500, 250, 30];
/// MNIST's training pictures.
pub(crate) const MNIST_CASES: usize = 60_000;

/// `[deep-autoencoder]` of a preset.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudyPreset {
    /// Seeds of the runs, from 0.
    pub seeds: u64,
    /// Training pictures; fewer than the set has are a fixed random subset.
    pub cases: usize,
    /// Units after the pixels, to the code.
    pub layers: Vec<i64>,
    /// Fine-tuning, and all the training of nets without pre-training.
    pub search: Searches,
}

/// What a run computes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(crate) enum RunConfig {
    /// An autoencoder.
    Net(Box<Config>),
    /// Principal components.
    Pca {
        /// How many.
        components: i64,
        /// Training pictures.
        cases: usize,
        /// sha256 over the data set's labels and pixels.
        data_sha256: String,
    },
}

/// Makes every run that is not done yet.
///
/// # Errors
/// A preset that does not fit, data that cannot be had, a run that fails.
pub fn run(session: &Session) -> anyhow::Result<()> {
    let study = DIGITS.study(STUDY)?;
    let planning = Planning::new(session, |preset, refuse| {
        let StudyPreset { seeds, cases, layers, search } = &preset.deep_autoencoder;
        let counts = [
            ("seeds", *seeds),
            ("cases", *cases as u64),
            ("search.epochs", search.epochs),
            ("search.batch", search.batch as u64),
            ("search.searches", search.searches as u64),
        ];
        refuse.counts(STUDY, &counts)?;
        refuse.layers("deep-autoencoder.layers", layers)?;
        Ok(*seeds)
    })?;
    let plans = plans(&planning, &Refuse(&session.preset))?;
    if session.dry_run {
        return describe(session, study, &plans, |plan| {
            Ok(match serde_json::from_value(plan.config.clone())? {
                RunConfig::Net(config) => (config.net().n_params(), config.work()),
                RunConfig::Pca { cases, .. } => {
                    let pixels = planning.splits.train.picture_bytes();
                    (0, (cases * pixels * pixels) as f64)
                }
            })
        });
    }
    session.grid(study, plans)?;
    Ok(())
}

fn plans(planning: &Planning, refuse: &Refuse) -> anyhow::Result<Vec<Plan>> {
    let Planning { preset, splits, .. } = planning;
    let StudyPreset { cases, layers, search, .. } = &preset.deep_autoencoder;
    let cases = (*cases).min(splits.train.n);
    refuse.batch("deep-autoencoder.search.batch", search.batch, cases)?;
    refuse.batch("pre-training.batch", preset.pre_training.batch, cases)?;

    let plan = |variant: &str, seed, config: RunConfig| {
        let config = serde_json::to_value(config)?;
        anyhow::Ok(Plan {
            data: splits.data_name.clone(),
            variant: variant.to_owned(),
            seed,
            config,
        })
    };
    let pca = |components, cases| {
        let data_sha256 = splits.sha256.clone();
        RunConfig::Pca { components, cases, data_sha256 }
    };
    let code = layers[layers.len() - 1];
    let mut plans = vec![
        plan(PUBLISHED_PCA, 0, pca(LAYERS[3], splits.train.n))?,
        plan(PCA, 0, pca(code, cases))?,
    ];
    let gaussian = Start::Gaussian { std: preset.pre_training.std };
    for &seed in &planning.seeds {
        for (variant, layers, start) in [
            (PRE_TRAINED, &layers[..], Start::PreTrained(preset.pre_training.clone())),
            (WITHOUT, &layers[..], gaussian.clone()),
            (LOGISTIC_PCA, &[code][..], gaussian.clone()),
        ] {
            let config = Config {
                widths: planning.widths(layers),
                start,
                method: Method::ConjugateGradients(*search),
                cases,
                data_sha256: splits.sha256.clone(),
            };
            plans.push(plan(variant, seed, RunConfig::Net(Box::new(config)))?);
        }
    }
    Ok(plans)
}

/// One run, in a process of its own.
///
/// # Errors
/// Data that cannot be read; what the training says.
pub fn train(spec: &Spec, run: &mut TrainingRun) -> anyhow::Result<BTreeMap<String, f64>> {
    run.forget_checkpoints_when_done();
    match spec.config()? {
        RunConfig::Net(config) => {
            let splits = splits(spec, &config.data_sha256)?;
            let train = training_cases(&splits, 0, config.cases, run.device());
            let test = test_cases(&splits, run.device());
            crate::train::train(&spec.key, &config, &train, &test, run)
        }
        RunConfig::Pca { components, cases, data_sha256 } => {
            let splits = splits(spec, &data_sha256)?;
            run.start(&["train/error", "test/error"])?;
            let train = training_cases(&splits, 0, cases, run.device());
            let test = test_cases(&splits, run.device());
            let pca = Pca::new(&train.xs, components);
            let error = |xs: &tch::Tensor| {
                let apart = (pca.reconstruct(xs) - xs).square();
                apart.sum(Kind::Double).double_value(&[]) / xs.size()[0] as f64
            };
            let numbers = [("train/error", error(&train.xs)), ("test/error", error(&test.xs))];
            run.log(0, &numbers)?;
            let shown = test.one_of_each();
            pictures::write_pairs(run.path(), &shown, &pca.reconstruct(&shown))?;
            Ok(numbers.into_iter().map(|(name, x)| (name.to_owned(), x)).collect())
        }
    }
}

/// Errors of the four ways of coding, and how many times larger one is than another.
///
/// # Errors
/// Files that cannot be read.
pub fn measure(finished: &Finished) -> anyhow::Result<Vec<Measured>> {
    let mut rows = Vec::new();
    for (data, runs) in &Reading::<RunConfig>::all(finished)? {
        let mut add = |id: &str, estimate: Option<Estimate>, protocol_ok| {
            rows.extend(estimate.map(|e| measured(finished, id, data, e, protocol_ok)));
        };
        let error = |variant, name| ended(runs, variant, name);
        let same = |variant| {
            let mut of = runs.iter().filter(|run| run.variant == variant);
            of.all(|run| is_published(data, &run.config))
        };
        let level = |variant, name| mean(&error(variant, name), Scale::Log);
        add("ae-01", level(PRE_TRAINED, "test/error"), same(PRE_TRAINED));
        add("ae-02", level(LOGISTIC_PCA, "test/error"), same(LOGISTIC_PCA));
        let pca = error(PUBLISHED_PCA, "test/error").values().next().copied();
        add("ae-03", pca.map(Estimate::certain), same(PUBLISHED_PCA));
        add("hf-04a", level(PRE_TRAINED, "train/error"), same(PRE_TRAINED));
        add("hf-04b", level(PRE_TRAINED, "test/error"), same(PRE_TRAINED));
        let pre_trained = error(PRE_TRAINED, "test/error");
        let gain = ratio(&error(WITHOUT, "test/error"), &pre_trained);
        add("ae-12", gain, same(PRE_TRAINED) && same(WITHOUT));
        let shallow = ratio(&error(LOGISTIC_PCA, "test/error"), &pre_trained);
        add("logistic-pca-over-autoencoder", shallow, false);
        // PCA is the same for every seed.
        let linear = error(PCA, "test/error").values().next().copied();
        let linear = linear.map(|x| pre_trained.keys().map(|&seed| (seed, x)).collect());
        add("pca-over-autoencoder", linear.and_then(|linear| ratio(&linear, &pre_trained)), false);
    }
    Ok(rows)
}

/// Whether a run is the published one: all of MNIST, the published net and the published training.
pub(crate) fn is_published(data: &str, config: &RunConfig) -> bool {
    let all = |cases| data == "mnist" && cases == MNIST_CASES;
    match config {
        RunConfig::Pca { components, cases, .. } => all(*cases) && *components == LAYERS[3],
        RunConfig::Net(config) => {
            let Config { widths, start, method, cases, .. } = &**config;
            let deep = widths[1..] == LAYERS;
            let shallow = widths[1..] == LAYERS[3..];
            let net = match start {
                Start::PreTrained(pre) => deep && pre.epochs >= 50,
                _ => deep || shallow,
            };
            let tuned = matches!(method, Method::ConjugateGradients(cg)
                if cg.epochs >= 200 && cg.batch == 1000 && cg.searches == 3);
            all(*cases) && net && tuned
        }
    }
}

/// One digit of each class and what becomes of it; training error over work; test errors.
///
/// # Errors
/// Files that cannot be read.
pub fn figures(finished: &Finished) -> anyhow::Result<Drawings> {
    let mut drawings = Vec::new();
    for (data, runs) in &Reading::<RunConfig>::all(finished)? {
        if runs.iter().any(|run| run.variant == PRE_TRAINED) {
            let name = |figure: &str| format!("{figure}-{data}");
            drawings.push((name("reconstructions"), figures::reconstructions(data, runs)?));
            drawings.push((name("fine-tuning"), figures::fine_tuning(data, runs)?));
            drawings.push((name("errors"), figures::errors(data, runs)?));
        }
    }
    Ok(drawings)
}
