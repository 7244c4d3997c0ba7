//! Hinton, Osindero & Teh 2006: a net that makes digits and names them, trained layer by layer and then by the up-down
//! algorithm; beside it the classifier of Hinton & Salakhutdinov 2006, pre-trained in the same way or not at all.

use std::collections::BTreeMap;

use common::experiment::{Drawings, Finished};
use common::session::{Plan, Session};
use common::training_run::{Spec, TrainingRun};
use ledger::claims::Measured;
use ledger::stats::{Estimate, Scale};
use serde::{Deserialize, Serialize};

use super::{BySeed, Planning, Reading, Refuse, describe, ended, mean, measured, ratio, splits};
use crate::data::{test_cases, training_cases};
use crate::pretrain;
use crate::train_classifier::Descent;
use crate::train_dbn::{Prediction, UpDown, error, predictions};
use crate::{DIGITS, figures, train_classifier, train_dbn};

/// Its name.
pub const STUDY: &str = "deep-belief-net";
const UP_DOWN: &str = "up-down";
const CLASSIFIER: &str = "classifier";
const WITHOUT: &str = "classifier-without-pre-training";

/// `[deep-belief-net]` of a preset.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudyPreset {
    /// Seeds of the runs, from 0.
    pub seeds: u64,
    /// Training pictures; fewer than the set has are a fixed random subset.
    pub cases: usize,
    /// Pictures beside them that only validate.
    pub val_cases: usize,
    /// Units after the pixels, to the features below the associative memory.
    pub layers: Vec<i64>,
    /// Hidden units of the associative memory.
    pub top: i64,
    /// Passes over the cases for each machine, in place of `pre-training.epochs`.
    pub epochs: u64,
    /// The up-down algorithm.
    pub up_down: UpDown,
    /// Pictures generated for each class, …
    pub generated: usize,
    /// … after so many steps of Gibbs sampling.
    pub generated_gibbs: usize,
    /// The classifier beside it.
    pub classifier: Classifier,
}

/// `[deep-belief-net.classifier]` of a preset; pictures, and the machines' epochs, are those of the belief net.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Classifier {
    /// Units after the pixels, to those below the softmax.
    pub layers: Vec<i64>,
    /// Standard deviation of the first weights without pre-training.
    pub std: f64,
    /// Gradient descent.
    pub descent: Descent,
}

/// What a run trains.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum RunConfig {
    /// A deep belief net.
    Belief(train_dbn::Config),
    /// A classifier.
    Classifier(train_classifier::Config),
}

/// Makes every run that is not done yet.
///
/// # Errors
/// A preset that does not fit, data that cannot be had, a run that fails.
pub fn run(session: &Session) -> anyhow::Result<()> {
    let study = DIGITS.study(STUDY)?;
    let planning = Planning::new(session, |preset, refuse| {
        let study = &preset.deep_belief_net;
        let counts = [
            ("seeds", study.seeds),
            ("cases", study.cases as u64),
            ("val_cases", study.val_cases as u64),
            ("top", study.top as u64),
            ("epochs", study.epochs),
            ("up_down.epochs", study.up_down.epochs),
            ("up_down.batch", study.up_down.batch as u64),
            ("up_down.gibbs", study.up_down.gibbs.into_iter().min().unwrap_or_default() as u64),
            ("generated", study.generated as u64),
            ("classifier.descent.epochs", study.classifier.descent.epochs),
            ("classifier.descent.batch", study.classifier.descent.batch as u64),
        ];
        refuse.counts(STUDY, &counts)?;
        refuse.layers("deep-belief-net.layers", &study.layers)?;
        refuse.layers("deep-belief-net.classifier.layers", &study.classifier.layers)?;
        Ok(study.seeds)
    })?;
    let plans = plans(&planning, &Refuse(&session.preset))?;
    if session.dry_run {
        return describe(session, study, &plans, |plan| {
            Ok(match serde_json::from_value(plan.config.clone())? {
                RunConfig::Belief(config) => config.size(),
                RunConfig::Classifier(config) => config.size(),
            })
        });
    }
    session.grid(study, plans)?;
    Ok(())
}

fn plans(planning: &Planning, refuse: &Refuse) -> anyhow::Result<Vec<Plan>> {
    let (study, splits) = (&planning.preset.deep_belief_net, &planning.splits);
    let key = "deep-belief-net.val_cases";
    let left = splits.train.n.checked_sub(study.val_cases).filter(|left| *left > 0);
    let left = left.ok_or_else(|| {
        refuse.value(key, study.val_cases.to_string(), "fewer than there are training pictures")
    })?;
    let cases = study.cases.min(left);
    refuse.batch("deep-belief-net.up_down.batch", study.up_down.batch, cases)?;
    let mut pre_training = planning.preset.pre_training.clone();
    pre_training.epochs = study.epochs;
    refuse.batch("pre-training.batch", pre_training.batch, cases)?;
    let classifier = &study.classifier;
    let batch = classifier.descent.batch;
    refuse.batch("deep-belief-net.classifier.descent.batch", batch, cases)?;
    let classes = splits.train.classes.len() as i64;
    let belief = train_dbn::Config {
        widths: planning.widths(&study.layers),
        top: study.top,
        classes,
        pre_training: pre_training.clone(),
        up_down: study.up_down.clone(),
        cases,
        val_cases: study.val_cases,
        generated: study.generated,
        generated_gibbs: study.generated_gibbs,
        data_sha256: splits.sha256.clone(),
    };
    let classifier = |std: f64, pre_training: Option<pretrain::Config>| train_classifier::Config {
        widths: planning.widths(&[&classifier.layers[..], &[classes]].concat()),
        pre_training,
        std,
        descent: classifier.descent,
        cases,
        val_cases: study.val_cases,
        data_sha256: splits.sha256.clone(),
    };
    let pre_trained = classifier(pre_training.std, Some(pre_training));
    let variants = [
        (UP_DOWN, RunConfig::Belief(belief)),
        (CLASSIFIER, RunConfig::Classifier(pre_trained)),
        (WITHOUT, RunConfig::Classifier(classifier(study.classifier.std, None))),
    ];
    let mut plans = Vec::new();
    for &seed in &planning.seeds {
        for (variant, config) in &variants {
            let (data, variant) = (splits.data_name.clone(), (*variant).to_owned());
            plans.push(Plan { data, variant, seed, config: serde_json::to_value(config)? });
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
    let config: RunConfig = spec.config()?;
    let (cases, val_cases, sha256) = match &config {
        RunConfig::Belief(config) => (config.cases, config.val_cases, &config.data_sha256),
        RunConfig::Classifier(config) => (config.cases, config.val_cases, &config.data_sha256),
    };
    let splits = splits(spec, sha256)?;
    let train = training_cases(&splits, 0, cases, run.device());
    let val = training_cases(&splits, cases, cases + val_cases, run.device());
    let test = test_cases(&splits, run.device());
    match &config {
        RunConfig::Belief(config) => train_dbn::train(&spec.key, config, &train, &val, &test, run),
        RunConfig::Classifier(config) => {
            train_classifier::train(&spec.key, config, &train, &val, &test, run)
        }
    }
}

/// Test errors in per cent: before and after the up-down algorithm from each picture's prediction, and of the classifiers.
///
/// # Errors
/// Files that cannot be read.
pub fn measure(finished: &Finished) -> anyhow::Result<Vec<Measured>> {
    let mut rows = Vec::new();
    for (data, runs) in &Reading::<RunConfig>::all(finished)? {
        let same = |variant: &str| {
            let mut of = runs.iter().filter(|run| run.variant == variant);
            of.all(|run| is_published(data, &run.config))
        };
        let mut add = |id: &str, estimate: Option<Estimate>, protocol_ok| {
            rows.extend(estimate.map(|e| measured(finished, id, data, e, protocol_ok)));
        };
        let [mut greedy, mut tuned, mut all] = [(); 3].map(|()| BySeed::new());
        let mut n = 0;
        for run in runs {
            let RunConfig::Belief(config) = &run.config else { continue };
            let found = predictions(&run.folder)?;
            n = found.len();
            let percent = |of: fn(&Prediction) -> i64| 100.0 * error(&found, of);
            greedy.insert(run.seed, percent(|p| p.greedy));
            tuned.insert(run.seed, percent(|p| p.tuned));
            if config.up_down.all_epochs > 0 {
                all.insert(run.seed, percent(|p| p.all));
            }
        }
        for (id, errors) in [("dbn-01", &all), ("dbn-07", &greedy), ("dbn-08", &tuned)] {
            let estimate = mean(errors, Scale::Natural).map(|estimate| estimate.with_n(n));
            add(id, estimate, same(UP_DOWN));
        }
        add("greedy-over-up-down", ratio(&greedy, &tuned), false);

        let percent = |variant| -> BySeed {
            let errors = ended(runs, variant, "test/error");
            errors.into_iter().map(|(seed, error)| (seed, 100.0 * error)).collect()
        };
        let (with, without) = (percent(CLASSIFIER), percent(WITHOUT));
        add("ae-10", mean(&with, Scale::Natural), same(CLASSIFIER));
        add("ae-11", mean(&without, Scale::Natural), same(WITHOUT));
        add("classifier-without-over-with-pre-training", ratio(&without, &with), false);
    }
    Ok(rows)
}

/// Whether a run is the published one, but for the choice of a net on the validation pictures.
fn is_published(data: &str, config: &RunConfig) -> bool {
    let published = match config {
        RunConfig::Belief(config) => {
            config.cases >= 44_000
                && config.widths[1..] == [500, 500]
                && config.top == 2000
                && config.pre_training.epochs >= 30
                && config.up_down.epochs >= 300
                && config.up_down.all_epochs >= 59
        }
        RunConfig::Classifier(config) => {
            config.cases >= 44_000
                && config.widths[1..] == [500, 500, 2000, 10]
                && config.descent.epochs >= 77
        }
    };
    data == "mnist" && published
}

/// Digits that the net makes, and the validation error while it is tuned.
///
/// # Errors
/// Files that cannot be read.
pub fn figures(finished: &Finished) -> anyhow::Result<Drawings> {
    let mut drawings = Vec::new();
    for (data, runs) in Reading::<RunConfig>::all(finished)? {
        let belief = |run: Reading<RunConfig>| match run.config {
            RunConfig::Belief(config) => {
                let Reading { folder, variant, seed, metrics, .. } = run;
                Some(Reading { folder, variant, seed, config, metrics })
            }
            RunConfig::Classifier(_) => None,
        };
        let runs: Vec<Reading<train_dbn::Config>> = runs.into_iter().filter_map(belief).collect();
        if let Some(first) = runs.first() {
            drawings.push((format!("generated-{data}"), figures::generated(&data, first)?));
            drawings.push((format!("up-down-{data}"), figures::up_down(&data, &runs)?));
        }
    }
    Ok(drawings)
}
