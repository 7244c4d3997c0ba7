//! The network on photographs, and the same network with one ingredient taken out: which part of the
//! published gains is there.
//!
//! Every ablation is set against the runs of `imagenet`, the network with all its ingredients, seed by
//! seed. Those runs are made once; each study that needs them makes them if they are missing, and reads
//! them from their own folder. Runs of one seed share the order of pictures, their views and the draws of
//! dropout; layers of the same shape begin with the same weights where nothing before them differs.
//!
//! At `paper` this is the paper's network on ImageNet. At the smaller presets it is narrow, and the
//! photographs are Imagenette's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::ensure;
use common::checkpoint::Tensors;
use common::data::photos::PreparedSet;
use common::experiment::{Drawings, Finished, Study};
use common::preset::PresetError;
use common::session::{Plan, Session};
use common::training_run::{Spec, TrainingRun};
use ledger::claims::Measured;
use ledger::run::RunRecord;
use ledger::stats::{Estimate, StatsError, paired_difference};
use serde::{Deserialize, Serialize};

use super::pre_trained;
use crate::ALEXNET;
use crate::figures::ablations as figures_of;
use crate::photographs::data::{FALL_2009, IMAGENET, Photographs, load};
use crate::photographs::train::{self, Recipe};

mod describe;
pub mod variants;

pub(super) use describe::describe;
pub use variants::{Augmentation, Depth, Dropout, ImageNet, Lrn, OverlappingPooling, TwoTowers};

/// Data sets the studies can run on.
pub const DATASETS: [&str; 2] = ["imagenette-128", "imagenet-sample"];

/// Top-1 error on the test pictures, mean of ten views, a fraction: what the paper's tables give.
pub const TOP1: &str = "test/ten_views_top1_error";
/// Top-5 error likewise.
pub const TOP5: &str = "test/ten_views_top5_error";
/// Top-1 error with the centre view alone.
pub const ONE_VIEW_TOP1: &str = "test/top1_error";
/// Top-5 error likewise.
pub const ONE_VIEW_TOP5: &str = "test/top5_error";

/// `[photographs]` of a preset.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudyPreset {
    /// Data sets to train on; the first that can be had is taken.
    pub data: Vec<String>,
    /// Rows and columns that pictures are brought to; 256 in the paper.
    pub side: usize,
    /// Seeds, from 0.
    pub seeds: u64,
    /// The runs of `dropout` that are longer than the others are this many times as long.
    pub long: f64,
    /// The network and its training, with every ingredient.
    pub recipe: Recipe,
    /// The sets of the study `pre-trained`.
    pub pre_trained: pre_trained::Settings,
}

/// What the runs of these studies have in common, so that `measure` and `figures` need no preset.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RunConfig {
    /// What is varied, in words.
    pub(crate) label: String,
    /// Rows and columns of a prepared picture.
    pub(crate) side: usize,
    /// sha256 over the prepared pictures and labels.
    pub(crate) data_sha256: String,
    /// How it is trained.
    pub(crate) recipe: Recipe,
}

/// A run of a study but for its seed.
#[derive(Debug, Clone)]
pub struct Variant {
    /// Its name in paths.
    pub name: &'static str,
    /// Its name in figures.
    pub label: &'static str,
    /// How it is trained.
    pub recipe: Recipe,
}

/// A gain: the error without an ingredient minus the error with it, in points.
#[derive(Debug, Clone, Copy)]
pub struct Effect {
    /// The claim's id.
    pub id: &'static str,
    /// Its name in figures.
    pub label: &'static str,
    /// The column with the error.
    pub error: &'static str,
    /// Variants without the ingredient; the mean of their errors counts.
    pub without: &'static [&'static str],
    /// The variant with it.
    pub with: &'static str,
}

/// A study of the network on photographs.
pub trait Ablation {
    /// Its name.
    const NAME: &'static str;
    /// One line.
    const ABOUT: &'static str;
    /// The gains it measures.
    const EFFECTS: &'static [Effect];

    /// Its own runs; those of [`ImageNet`] come to them.
    fn variants(preset: &StudyPreset) -> Vec<Variant>;

    /// What it measures besides its gains, out of the runs on one data set.
    ///
    /// # Errors
    /// Files that cannot be read.
    fn more(_runs: &Runs) -> anyhow::Result<Vec<(&'static str, Estimate)>> {
        Ok(Vec::new())
    }
}

/// The study as the command line knows it.
pub const fn study<A: Ablation>() -> Study {
    Study {
        name: A::NAME,
        about: A::ABOUT,
        datasets: &DATASETS,
        run: run::<A>,
        train,
        measure: measure::<A>,
        figures: figures::<A>,
    }
}

impl StudyPreset {
    /// Refuses what no run can use, before anything is fetched or started.
    fn check(&self, preset: &str) -> Result<(), PresetError> {
        let refuse = |key: &str, found: String, wanted| {
            let (preset, key) = (preset.to_owned(), format!("photographs.{key}"));
            Err(PresetError::Value { preset, key, found, wanted })
        };
        self.pre_trained.check(preset)?;
        let recipe = &self.recipe;
        let counts = [
            ("seeds", self.seeds as usize),
            ("recipe.batch", recipe.batch),
            ("recipe.pictures", recipe.pictures),
            ("recipe.held_out", recipe.held_out),
            ("recipe.row_every", recipe.row_every),
            ("recipe.eval_every", recipe.eval_every),
            ("recipe.save_every", recipe.save_every),
        ];
        if let Some((key, found)) = counts.into_iter().find(|(_, n)| *n == 0) {
            return refuse(key, found.to_string(), "a whole number from 1");
        }
        let positive = [
            ("long", self.long),
            ("recipe.epochs", recipe.epochs),
            ("recipe.input_scale", recipe.input_scale),
            ("recipe.network.width", recipe.network.width),
        ];
        if let Some((key, found)) = positive.into_iter().find(|(_, x)| !(*x > 0.0 && x.is_finite()))
        {
            return refuse(key, found.to_string(), "a number above 0");
        }
        if !(0.0..1.0).contains(&recipe.network.dropout) {
            let found = recipe.network.dropout.to_string();
            return refuse("recipe.network.dropout", found, "a share from 0 to below 1");
        }
        // Three pools halve what the first convolution leaves.
        if recipe.network.layers().iter().any(|layer| layer.pooled < 1) {
            let found = recipe.network.crop.to_string();
            return refuse("recipe.network.crop", found, "at least 31, or no pixel is left");
        }
        Ok(())
    }
}

/// What a command line asks for: the preset's photographs and seeds.
pub(super) struct Asked {
    /// The preset, with the classes of its pictures.
    pub(super) preset: StudyPreset,
    /// The data set's name.
    pub(super) data: String,
    /// The prepared pictures.
    pub(super) set: Arc<PreparedSet>,
    seeds: Vec<u64>,
}

impl Asked {
    /// Reads the preset and finds its pictures.
    pub(super) fn of(session: &Session) -> anyhow::Result<Self> {
        let mut preset = session.preset::<super::Preset>()?.photographs;
        preset.check(&session.preset)?;
        let seeds = session.seeds_or(preset.seeds);
        let (data, set) = load(&preset.data, preset.side, &session.lookup)?;
        preset.recipe.network.classes = set.classes().len() as i64;
        Ok(Self { preset, data, set, seeds })
    }

    /// The runs of `A`, for each seed.
    pub(super) fn plans<A: Ablation>(&self) -> anyhow::Result<Vec<Plan>> {
        let mut plans = Vec::new();
        for &seed in &self.seeds {
            for Variant { name, label, recipe } in A::variants(&self.preset) {
                let config = RunConfig {
                    label: label.to_owned(),
                    side: self.preset.side,
                    data_sha256: self.set.sha256().to_owned(),
                    recipe,
                };
                let (data, variant) = (self.data.clone(), name.to_owned());
                plans.push(Plan { data, variant, seed, config: serde_json::to_value(config)? });
            }
        }
        Ok(plans)
    }
}

pub(super) fn run<A: Ablation>(session: &Session) -> anyhow::Result<()> {
    let asked = Asked::of(session)?;
    let mut wanted = vec![(ALEXNET.study(ImageNet::NAME)?, asked.plans::<ImageNet>()?)];
    if A::NAME != ImageNet::NAME {
        wanted.push((ALEXNET.study(A::NAME)?, asked.plans::<A>()?));
    }
    if session.dry_run {
        return describe(session, &asked.set, &wanted);
    }
    for (study, plans) in wanted {
        session.grid(study, plans)?;
    }
    Ok(())
}

/// One training, in a process of its own.
pub(super) fn train(spec: &Spec, run: &mut TrainingRun) -> anyhow::Result<BTreeMap<String, f64>> {
    train_from(spec, &spec.config()?, None, run)
}

/// The training of `spec`, whose own configuration is `config`, beginning with the weights `start` but for their last
/// layer, or with all drawn.
pub(super) fn train_from(
    spec: &Spec,
    config: &RunConfig,
    start: Option<&Tensors>,
    run: &mut TrainingRun,
) -> anyhow::Result<BTreeMap<String, f64>> {
    let (data, set) = load(std::slice::from_ref(&spec.key.data), config.side, &spec.lookup)?;
    ensure!(
        set.sha256() == config.data_sha256,
        "{data}: the data changed between planning and training"
    );
    let photographs = Photographs::new(&set, &config.recipe, run.device())?;
    train::train(&spec.key, &config.recipe, &photographs, start, run)
}

/// The finished runs of a study and of [`ImageNet`] on one data set, by variant and seed.
#[derive(Debug)]
pub struct Runs {
    /// The data set.
    pub data: String,
    /// Each run's folder, record and configuration.
    pub(crate) by_variant: BTreeMap<String, BTreeMap<u64, Finish>>,
}

/// One finished run.
#[derive(Debug)]
pub(crate) struct Finish {
    pub(crate) folder: std::path::PathBuf,
    pub(crate) record: RunRecord,
    pub(crate) config: RunConfig,
}

impl Finish {
    /// A number that the run ended with.
    pub(crate) fn metric(&self, name: &str) -> Option<f64> {
        self.record.metrics.get(name).copied()
    }
}

impl Runs {
    /// Those of `finished` and of the runs that the study is set against, by data set.
    fn read(finished: Finished) -> anyhow::Result<Vec<Self>> {
        let base = finished.beside(ImageNet::NAME)?;
        let same = base.folder == finished.folder;
        let mut sets: BTreeMap<String, Self> = BTreeMap::new();
        for (folder, record) in
            finished.runs.into_iter().chain(base.runs.into_iter().filter(|_| !same))
        {
            let config = RunConfig::deserialize(&record.config)?;
            let data = record.key.data.clone();
            let runs = sets
                .entry(data.clone())
                .or_insert_with(|| Self { data, by_variant: BTreeMap::new() });
            let (variant, seed) = (record.key.variant.clone(), record.key.seed);
            let finish = Finish { folder, record, config };
            runs.by_variant.entry(variant).or_default().insert(seed, finish);
        }
        Ok(sets.into_values().collect())
    }

    /// Seeds that every one of `variants` has finished.
    pub(crate) fn seeds(&self, variants: &[&str]) -> BTreeSet<u64> {
        let of = |variant: &&str| -> BTreeSet<u64> {
            self.by_variant
                .get(*variant)
                .map(|runs| runs.keys().copied().collect())
                .unwrap_or_default()
        };
        variants.iter().map(of).reduce(|a, b| &a & &b).unwrap_or_default()
    }

    /// What the run of `variant` with `seed` ended with; in points.
    fn points(&self, variant: &str, seed: u64, error: &str) -> Option<f64> {
        Some(100.0 * self.by_variant.get(variant)?.get(&seed)?.metric(error)?)
    }

    /// The gain in points; none before a pair of runs has finished.
    pub(crate) fn gain(&self, effect: &Effect) -> Result<Option<Estimate>, StatsError> {
        let seeds = self.seeds(&[effect.without, &[effect.with]].concat());
        let mean_without = |&seed: &u64| {
            let errors = effect.without.iter().map(|v| self.points(v, seed, effect.error));
            Some(errors.sum::<Option<f64>>()? / effect.without.len() as f64)
        };
        let with = |&seed: &u64| self.points(effect.with, seed, effect.error);
        let left: Option<Vec<f64>> = seeds.iter().map(mean_without).collect();
        let right: Option<Vec<f64>> = seeds.iter().map(with).collect();
        match (left, right) {
            (Some(left), Some(right)) if !seeds.is_empty() => {
                paired_difference(&left, &right).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Whether the runs are the paper's: its data and network, and as long a training.
    fn protocol_ok(&self, preset: &str) -> bool {
        let paper = |finish: &Finish| is_full_size(&finish.config.recipe);
        !preset.contains('+')
            && [IMAGENET, FALL_2009].contains(&self.data.as_str())
            && self.by_variant.values().flat_map(BTreeMap::values).all(paper)
    }
}

/// Whether the network and its training are as large as the paper's.
pub(super) fn is_full_size(recipe: &Recipe) -> bool {
    let Recipe { network, epochs, pictures, .. } = recipe;
    let full = (network.width - 1.0).abs() < 1e-12 && network.crop >= 224;
    full && *epochs >= 90.0 && *pictures >= 1_000_000
}

/// The study's gains and what else it measures, on each data set.
pub(super) fn measure<A: Ablation>(finished: &Finished) -> anyhow::Result<Vec<Measured>> {
    let mut rows = Vec::new();
    for runs in Runs::read(finished.clone())? {
        let mut found = Vec::new();
        for effect in A::EFFECTS {
            found.extend(runs.gain(effect)?.map(|estimate| (effect.id, estimate)));
        }
        found.extend(A::more(&runs)?);
        rows.extend(found.into_iter().map(|(id, estimate)| Measured {
            id: id.to_owned(),
            preset: finished.preset.clone(),
            data: runs.data.clone(),
            estimate,
            evidence: runs.data.clone(),
            protocol_ok: runs.protocol_ok(&finished.preset),
        }));
    }
    Ok(rows)
}

/// Errors of the variants, gains and curves, for each data set.
pub(super) fn figures<A: Ablation>(finished: &Finished) -> anyhow::Result<Drawings> {
    let mut drawings = Vec::new();
    for runs in Runs::read(finished.clone())? {
        let figure = figures_of::figure(A::ABOUT, &runs, A::EFFECTS)?;
        drawings.push((format!("{}-{}", A::NAME, runs.data), figure));
    }
    Ok(drawings)
}
