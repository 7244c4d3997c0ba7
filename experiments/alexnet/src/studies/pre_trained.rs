//! The network with a sixth convolution over its last pool, trained on a larger set first and then fine-tuned
//! (section 6, Table 2: "1 CNN*", "7 CNNs*").
//!
//! - `sixth`: that network from drawn weights, on the preset's photographs, beside the runs of `imagenet`;
//! - `pre-training`: the same on another set of class folders, with as many classes as that has;
//! - `fine-tuned`: begins with what `pre-training` left, its last layer drawn anew, on the preset's photographs;
//! - `averaged`: the networks of `imagenet` and the fine-tuned ones, their probabilities averaged; trains nothing;
//! - `half`: trained on one half of each class of a set, tested on the other (the paper's ImageNet Fall 2009).
//!
//! Differs: the paper says neither how long the networks were pre-trained nor how they were fine-tuned. Both are trained
//! as the others are, fine-tuning with a smaller first rate.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use common::cli;
use common::data::photos::{PreparedSet, SplitName};
use common::experiment::{Drawings, Finished, Study};
use common::preset::PresetError;
use common::session::{Plan, Session};
use common::training_run::{METRICS, Spec, TrainingRun};
use ledger::claims::Measured;
use ledger::metrics;
use ledger::run::{RunKey, RunRecord};
use ledger::stats::{Estimate, Scale, mean_over_seeds};
use serde::{Deserialize, Serialize};

use super::ablations::{
    self, Ablation, Asked, DATASETS, Effect, ImageNet, RunConfig, Runs, StudyPreset, TOP1, TOP5,
    Variant,
};
use super::averaging;
use super::exhibits::{RunConfig as OfOne, Trained, left_by};
use crate::ALEXNET;
use crate::figures::averaging as figure_of;
use crate::network::NetworkConfig;
use crate::photographs::data::{FALL_2009, IMAGENET, load};
use crate::photographs::train::Recipe;

/// The study as the command line knows it.
pub const STUDY: Study = Study {
    name: PreTrained::NAME,
    about: PreTrained::ABOUT,
    datasets: &DATASETS,
    run,
    train,
    measure,
    figures,
};

const SIXTH: &str = "sixth";
const PRE_TRAINING: &str = "pre-training";
const FINE_TUNED: &str = "fine-tuned";
const AVERAGED: &str = "averaged";
const HALF: &str = "half";
/// Networks averaged in the paper: five, and two that were pre-trained.
const PUBLISHED: (usize, usize) = (5, 2);
/// Classes of the Fall 2011 release, of which the paper says 22,000, and of Fall 2009, 10,184; at the least.
const CLASSES_2011: i64 = 20_000;
const CLASSES_2009: i64 = 10_000;

/// `[photographs.pre_trained]` of a preset.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Sets to train on first; the first that can be had is taken.
    pub data: Vec<String>,
    /// Sets to train on one half of; none leaves that out.
    pub half: Vec<String>,
    /// Networks that are pre-trained, from seed 0; 2 in the paper.
    pub networks: u64,
    /// Training pictures of these sets at the most.
    pub pictures: usize,
    /// Of these held out.
    pub held_out: usize,
    /// Passes over these sets, at the most when the schedule waits for plateaus.
    pub epochs: f64,
    /// First learning rate of the fine-tuning.
    pub fine_tuning_lr: f64,
}

impl Settings {
    /// Refuses what no run can use.
    pub(super) fn check(&self, preset: &str) -> Result<(), PresetError> {
        let refuse = |key: &str, found: String, wanted| {
            let (preset, key) = (preset.to_owned(), format!("photographs.pre_trained.{key}"));
            Err(PresetError::Value { preset, key, found, wanted })
        };
        for (key, n) in [
            ("networks", self.networks as usize),
            ("pictures", self.pictures),
            ("held_out", self.held_out),
        ] {
            if n == 0 {
                return refuse(key, n.to_string(), "a whole number from 1");
            }
        }
        for (key, x) in [("epochs", self.epochs), ("fine_tuning_lr", self.fine_tuning_lr)] {
            if !(x > 0.0 && x.is_finite()) {
                return refuse(key, x.to_string(), "a number above 0");
            }
        }
        Ok(())
    }
}

/// What is trained from drawn weights on the preset's photographs, and what is read off.
#[derive(Debug)]
pub struct PreTrained;

impl Ablation for PreTrained {
    const NAME: &'static str = "pre-trained";
    const ABOUT: &'static str = "Section 6, Table 2: a sixth convolution, pre-training on a larger set, seven networks averaged";
    const EFFECTS: &'static [Effect] = &[
        Effect {
            id: "sixth-convolution",
            label: "a sixth convolution",
            error: TOP1,
            without: &["base"],
            with: SIXTH,
        },
        Effect {
            id: "pre-training",
            label: "pre-training",
            error: TOP1,
            without: &[SIXTH],
            with: FINE_TUNED,
        },
    ];

    fn variants(preset: &StudyPreset) -> Vec<Variant> {
        vec![Variant { name: SIXTH, label: "six convolutions", recipe: sixth(&preset.recipe) }]
    }

    fn more(runs: &Runs) -> anyhow::Result<Vec<(&'static str, Estimate)>> {
        let rows = [
            ("alexnet-14", IMAGENET, FINE_TUNED, TOP1),
            ("alexnet-15", IMAGENET, FINE_TUNED, TOP5),
            ("alexnet-20", FALL_2009, HALF, TOP1),
            ("alexnet-21", FALL_2009, HALF, TOP5),
        ];
        let mut found = Vec::new();
        for (id, _, variant, metric) in rows.into_iter().filter(|row| row.1 == runs.data) {
            let ended = runs.by_variant.get(variant).into_iter().flat_map(BTreeMap::values);
            let percent: Vec<f64> =
                ended.filter_map(|run| run.metric(metric)).map(|error| 100.0 * error).collect();
            if !percent.is_empty() {
                found.push((id, mean_over_seeds(&percent, Scale::Natural)?));
            }
        }
        Ok(found)
    }
}

fn sixth(recipe: &Recipe) -> Recipe {
    let network = NetworkConfig { sixth: true, ..recipe.network.clone() };
    Recipe { network, ..recipe.clone() }
}

/// How the network is trained on a set of `classes` that is not the preset's.
fn elsewhere(preset: &StudyPreset, classes: usize) -> Recipe {
    let Settings { pictures, held_out, epochs, .. } = preset.pre_trained;
    let recipe = sixth(&preset.recipe);
    let network = NetworkConfig { classes: classes as i64, ..recipe.network };
    Recipe { network, pictures, held_out, epochs, ..recipe }
}

/// The configuration of a fine-tuning.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct FineTuned {
    #[serde(flatten)]
    own: RunConfig,
    /// The set that the weights come from.
    pre_trained_on: String,
    /// Its classes.
    pre_trained_classes: i64,
    /// Digest of the configuration of the run that left them.
    pre_trained_digest: String,
}

/// The configuration of an average.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Average {
    /// Whose networks, in order.
    members: Vec<Member>,
    /// Rows and columns of a prepared picture.
    side: usize,
    /// sha256 over the prepared pictures and labels.
    data_sha256: String,
}

/// A network of an average.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Member {
    study: String,
    variant: String,
    seed: u64,
    /// Digest of the run's configuration.
    digest: String,
    /// How it was trained.
    recipe: Recipe,
}

impl Member {
    fn of(record: &RunRecord) -> serde_json::Result<Self> {
        let RunConfig { recipe, .. } = RunConfig::deserialize(&record.config)?;
        let RunKey { study, variant, seed, .. } = record.key.clone();
        Ok(Self { study, variant, seed, digest: record.digest.clone(), recipe })
    }
}

/// A run on a set that is not the preset's.
fn plan(
    preset: &StudyPreset,
    (data, set): &(String, Arc<PreparedSet>),
    (variant, label): (&str, &str),
    seed: u64,
) -> anyhow::Result<Plan> {
    let recipe = elsewhere(preset, set.classes().len());
    let (label, data_sha256) = (label.to_owned(), set.sha256().to_owned());
    let config = RunConfig { label, side: preset.side, data_sha256, recipe };
    let (data, variant) = (data.clone(), variant.to_owned());
    Ok(Plan { data, variant, seed, config: serde_json::to_value(config)? })
}

fn run(session: &Session) -> anyhow::Result<()> {
    let asked = Asked::of(session)?;
    let (base, study) = (ALEXNET.study(ImageNet::NAME)?, ALEXNET.study(PreTrained::NAME)?);
    let wanted = [(base, asked.plans::<ImageNet>()?), (study, asked.plans::<PreTrained>()?)];
    let preset = &asked.preset;
    let Settings { data, half, networks, .. } = &preset.pre_trained;
    if session.dry_run {
        ablations::describe(session, &asked.set, &wanted)?;
        let told = format!(
            "then            {networks} networks pre-trained on {} and fine-tuned, all averaged; half of {}\n",
            data.join(" or "),
            if half.is_empty() { "nothing".to_owned() } else { half.join(" or ") }
        );
        return Ok(cli::print(&told)?);
    }
    // Before anything is trained: what is missing is said now.
    let large = load(data, preset.side, &session.lookup)?;
    let halved = match half.as_slice() {
        [] => None,
        half => Some(load(half, preset.side, &session.lookup)?),
    };
    let [(_, of_base), (_, of_sixth)] = wanted;
    let bases = session.grid(base, of_base)?;
    session.grid(study, of_sixth)?;

    let pre_training = (PRE_TRAINING, "pre-training");
    let plans = (0..*networks).map(|seed| plan(preset, &large, pre_training, seed));
    let pre_trained = session.grid(study, plans.collect::<anyhow::Result<_>>()?)?;
    let plans = pre_trained.iter().map(|record| fine_tuning(&asked, record));
    let fine_tuned = session.grid(study, plans.collect::<anyhow::Result<_>>()?)?;
    if let Some(halved) = &halved {
        let label = (HALF, "six convolutions, half of the set");
        session.grid(study, vec![plan(preset, halved, label, 0)?])?;
    }
    if asked.set.split(SplitName::Val).is_empty() {
        tracing::warn!("{}: has no test pictures (val/), so nothing is averaged", asked.data);
        return Ok(());
    }
    let members = bases.iter().chain(&fine_tuned).map(Member::of).collect::<Result<_, _>>()?;
    let (side, data_sha256) = (preset.side, asked.set.sha256().to_owned());
    let config = serde_json::to_value(Average { members, side, data_sha256 })?;
    let (data, variant) = (asked.data.clone(), AVERAGED.to_owned());
    session.grid(study, vec![Plan { data, variant, seed: 0, config }])?;
    Ok(())
}

/// The fine-tuning of the network that the run `record` left.
fn fine_tuning(asked: &Asked, record: &RunRecord) -> anyhow::Result<Plan> {
    let preset = &asked.preset;
    let recipe = Recipe { lr: preset.pre_trained.fine_tuning_lr, ..sixth(&preset.recipe) };
    let own = RunConfig {
        label: "six convolutions, pre-trained".to_owned(),
        side: preset.side,
        data_sha256: asked.set.sha256().to_owned(),
        recipe,
    };
    let RunConfig { recipe: before, .. } = RunConfig::deserialize(&record.config)?;
    let config = serde_json::to_value(FineTuned {
        own,
        pre_trained_on: record.key.data.clone(),
        pre_trained_classes: before.network.classes,
        pre_trained_digest: record.digest.clone(),
    })?;
    let (data, variant, seed) = (asked.data.clone(), FINE_TUNED.to_owned(), record.key.seed);
    Ok(Plan { data, variant, seed, config })
}

fn train(spec: &Spec, run: &mut TrainingRun) -> anyhow::Result<BTreeMap<String, f64>> {
    match spec.key.variant.as_str() {
        FINE_TUNED => {
            let FineTuned { own, pre_trained_on, pre_trained_digest, .. } = spec.config()?;
            let key = RunKey {
                data: pre_trained_on,
                variant: PRE_TRAINING.to_owned(),
                ..spec.key.clone()
            };
            let (_, start) = left_by(spec, key, &pre_trained_digest)?;
            ablations::train_from(spec, &own, Some(&start), run)
        }
        AVERAGED => {
            let Average { members, side, data_sha256 } = spec.config()?;
            let network = |member: Member, run: &TrainingRun| {
                let Member { study, variant, seed, digest, recipe } = member;
                let data_sha256 = data_sha256.clone();
                let config = OfOne { trained: variant, digest, side, data_sha256, recipe };
                averaging::probabilities(&Trained::load(spec, &study, seed, config, run)?, run)
            };
            averaging::averaged(members, network, run)
        }
        _ => ablations::train(spec, run),
    }
}

/// The finished runs that were trained, and the averages.
fn parts(finished: &Finished) -> (Finished, Vec<(PathBuf, RunRecord)>) {
    let (averages, runs) =
        finished.runs.iter().cloned().partition(|(_, record)| record.key.variant == AVERAGED);
    (Finished { runs, ..finished.clone() }, averages)
}

/// Whether every run of `variant` saw as many classes as the paper's: the user may bring any class folders.
fn saw(trained: &Finished, variant: &str, classes: i64) -> anyhow::Result<bool> {
    for (_, record) in trained.runs.iter().filter(|(_, record)| record.key.variant == variant) {
        let seen = match variant {
            FINE_TUNED => FineTuned::deserialize(&record.config)?.pre_trained_classes,
            _ => RunConfig::deserialize(&record.config)?.recipe.network.classes,
        };
        if seen < classes {
            return Ok(false);
        }
    }
    Ok(true)
}

fn measure(finished: &Finished) -> anyhow::Result<Vec<Measured>> {
    let (trained, averages) = parts(finished);
    let mut rows = ablations::measure::<PreTrained>(&trained)?;
    let pre_trained = saw(&trained, FINE_TUNED, CLASSES_2011)?;
    let halved = saw(&trained, HALF, CLASSES_2009)?;
    for row in &mut rows {
        row.protocol_ok &= match row.id.as_str() {
            "alexnet-14" | "alexnet-15" => pre_trained,
            "alexnet-20" | "alexnet-21" => halved,
            _ => true,
        };
    }
    for (folder, record) in averages.iter().filter(|(_, record)| record.key.data == IMAGENET) {
        let Average { members, .. } = Average::deserialize(&record.config)?;
        let starred = members.iter().filter(|member| member.study == PreTrained::NAME).count();
        let as_published = pre_trained
            && (members.len() - starred, starred) == PUBLISHED
            && members.iter().all(|member| ablations::is_full_size(&member.recipe))
            && !finished.preset.contains('+');
        let (_, errors) = averaging::gain(folder, members.len())?;
        for (id, error) in ["alexnet-16", "alexnet-17"].into_iter().zip(errors) {
            rows.push(Measured {
                id: id.to_owned(),
                preset: finished.preset.clone(),
                data: record.key.data.clone(),
                estimate: Estimate::certain(error),
                evidence: format!("{}/{AVERAGED}", record.key.data),
                protocol_ok: as_published,
            });
        }
    }
    Ok(rows)
}

fn figures(finished: &Finished) -> anyhow::Result<Drawings> {
    let (mut trained, averages) = parts(finished);
    // Only these have runs of `imagenet` beside them.
    trained.runs.retain(|(_, record)| [SIXTH, FINE_TUNED].contains(&record.key.variant.as_str()));
    let mut drawings = ablations::figures::<PreTrained>(&trained)?;
    for (folder, record) in &averages {
        let rows = metrics::read(folder.join(METRICS))?;
        let data = &record.key.data;
        drawings.push((format!("{AVERAGED}-{data}"), figure_of::figure(data, &rows)?));
    }
    Ok(drawings)
}
