//! The authors' own CIFAR-10 nets, from their layer tables and on their schedules, tested as they tested
//! them; and what the JPEG coding of our copy of CIFAR-10 costs.
//!
//! A variant is a net with its schedule. The test pictures are read once, at the end of a run; curves show
//! the training error and, in stages that hold pictures out, the error on these.

use std::collections::BTreeMap;

use anyhow::ensure;
use common::data::catalog::Catalog;
use common::data::cifar10::strips::official_places;
use common::data::images::{ImageSet, Splits};
use common::data::load_images;
use common::data::lookup::{Located, Lookup, Status};
use common::preset::PresetError;
use common::session::{Plan, Session};
use common::training_run::{Spec, TrainingRun};
use serde::{Deserialize, Serialize};

use super::Preset;
use crate::ALEXNET;
use crate::cifar::data::{Pictures, Views};
use crate::cifar::layers::{Normalisation, Pooling};
use crate::cifar::net::multiply_adds;
use crate::cifar::nets::Net;
use crate::cifar::schedule::{Schedule, Stage};
use crate::cifar::train::Config;

mod describe;
mod measure;

pub(super) use describe::describe;
pub(crate) use measure::{Run, of, runs, short_name};
pub use measure::{figures, measure};

/// CIFAR-10 is the authors'; Fashion-MNIST is there on every machine that reaches a package registry, and
/// shows that everything works: no claim is about it.
pub const DATASETS: [&str; 3] = ["cifar10", "cifar10-jpeg", "fashion-mnist"];

/// The two copies of the pictures that are there lossless and as JPEG.
const COPIES: [(&str, &str); 2] = [("lossless", "cifar10-lossless"), ("jpeg", "cifar10-jpeg")];

/// Rows and columns that three pools take to 1.
const LEAST_SIDE: usize = 8;

/// `[cifar-nets]` of a preset.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudyPreset {
    /// Learning rate of the weights in a stage that divides it by 1.
    pub lr: f64,
    /// The biases' learning rate is this many times that of the weights.
    pub bias_lr_scale: f64,
    /// How much of the last update is kept.
    pub momentum: f64,
    /// Training pictures at the most, the first ones.
    pub pictures: usize,
    /// Test pictures at the most, the first ones.
    pub test_pictures: usize,
    /// Pictures between two rows of `metrics.csv`.
    pub row_every: usize,
    /// Rows between two looks at the pictures held out.
    pub val_rows: u64,
    /// Pictures between two checkpoints.
    pub save_every: usize,
    /// The nets and how they are trained, by the name that paths have.
    pub variants: BTreeMap<String, Variant>,
    /// The net that is trained on lossless pictures and on their JPEG copies; where these are not at hand,
    /// this is left out.
    #[serde(rename = "jpeg-cost")]
    pub jpeg_cost: Variant,
}

/// A net and how it is trained.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// The net.
    pub net: Net,
    /// What it sees of a picture.
    pub views: Views,
    /// Whether weights decay as the net's table says, or not at all.
    pub decay: bool,
    /// Pictures in a batch.
    pub batch: usize,
    /// Seeds, from 0.
    pub seeds: u64,
    /// The stages, as published.
    pub stages: Vec<Stage>,
    /// Each stage has this many times its epochs.
    pub scale: f64,
}

/// What the runs of this study have in common, so that `measure` and `figures` need no preset.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RunConfig {
    /// For what JPEG costs: the copy that is trained on, a key of [`COPIES`].
    pub(crate) copy: Option<String>,
    #[serde(flatten)]
    pub(crate) train: Config,
}

impl StudyPreset {
    /// Refuses what no run can use, before anything is fetched or started.
    pub(super) fn check(&self, preset: &str) -> Result<(), PresetError> {
        let refuse = |key: String, found: String, wanted| {
            let (preset, key) = (preset.to_owned(), format!("cifar-nets.{key}"));
            Err(PresetError::Value { preset, key, found, wanted })
        };
        let counts = [
            ("pictures", self.pictures),
            ("test_pictures", self.test_pictures),
            ("row_every", self.row_every),
            ("val_rows", self.val_rows as usize),
            ("save_every", self.save_every),
        ];
        if let Some((key, found)) = counts.into_iter().find(|(_, n)| *n == 0) {
            return refuse(key.into(), found.to_string(), "a whole number from 1");
        }
        let variants = self.variants.iter().map(|(name, v)| (format!("variants.{name}"), v));
        for (key, variant) in variants.chain([("jpeg-cost".into(), &self.jpeg_cost)]) {
            if variant.batch == 0 {
                return refuse(format!("{key}.batch"), "0".into(), "a whole number from 1");
            }
            if !(variant.scale > 0.0 && variant.scale.is_finite()) {
                let found = variant.scale.to_string();
                return refuse(format!("{key}.scale"), found, "a number above 0");
            }
            let sound = |stage: &Stage| {
                (0.0..=1.0).contains(&stage.share)
                    && (stage.share * self.pictures as f64).round() >= 1.0
                    && stage.epochs >= 0.0
                    && stage.epochs.is_finite()
                    && stage.divisor > 0.0
            };
            if variant.stages.is_empty() || !variant.stages.iter().all(sound) {
                let wanted = "stages, each with a share above 0 and up to 1 of the pictures, epochs \
                              from 0 and a divisor above 0";
                return refuse(format!("{key}.stages"), format!("{:?}", variant.stages), wanted);
            }
        }
        Ok(())
    }

    /// How `variant` is trained, on pictures of `train` and tested on at most `test`; `sha256` is theirs.
    pub(super) fn config(
        &self,
        variant: &Variant,
        train: &ImageSet,
        test: usize,
        sha256: String,
    ) -> Config {
        let Variant { net, views, decay, batch, stages, scale, .. } = variant.clone();
        Config {
            net,
            normalisation: Normalisation::Published,
            pooling: Pooling::Overlapping,
            views,
            decay,
            lr: self.lr,
            bias_lr_scale: self.bias_lr_scale,
            momentum: self.momentum,
            batch,
            stages,
            scale,
            pictures: self.pictures.min(train.n),
            test_pictures: self.test_pictures.min(test),
            row_every: self.row_every,
            val_rows: self.val_rows,
            save_every: self.save_every,
            data_sha256: sha256,
        }
    }
}

/// Makes the runs: the shortest first, and one seed of each variant before any other seed.
///
/// # Errors
/// A preset that does not fit, data that cannot be had, a run that fails.
pub fn run(session: &Session) -> anyhow::Result<()> {
    let study = ALEXNET.study("cifar-nets")?;
    let preset = session.preset::<Preset>()?.cifar_nets;
    preset.check(&session.preset)?;
    let located = Catalog::builtin().first_available(&DATASETS, &session.lookup)?;
    let splits = load_images(&located, &session.lookup)?;

    let mut cells: Vec<(String, String, u64, RunConfig)> = Vec::new(); // data, variant, seeds
    for (name, variant) in &preset.variants {
        let train = preset.config(variant, &splits.train, splits.test.n, splits.sha256.clone());
        let config = RunConfig { copy: None, train };
        cells.push((splits.data_name.clone(), name.clone(), variant.seeds, config));
    }
    match Copies::load(&session.lookup)? {
        Ok(copies) => {
            let Variant { seeds, .. } = preset.jpeg_cost;
            for (i, (copy, data)) in COPIES.into_iter().enumerate() {
                let sets = &copies.sets[i];
                let train =
                    preset.config(&preset.jpeg_cost, &sets.0, sets.1.n, copies.sha256.clone());
                let config = RunConfig { copy: Some(copy.into()), train };
                cells.push((data.into(), format!("jpeg-cost-{copy}"), seeds, config));
            }
        }
        Err(missing) => tracing::warn!("cifar-nets: jpeg-cost is left out, {missing}"),
    }
    for (data, name, _, config) in &cells {
        fits("cifar-nets", name, data, splits.train.height, config.train.views)?;
    }
    cells.sort_by_key(|(_, name, _, config)| (cost(&config.train, &splits.train), name.clone()));

    let most = cells.iter().map(|cell| cell.2).max().unwrap_or(0);
    let all: Vec<u64> = (0..most).collect();
    let mut plans = Vec::new();
    for &seed in session.seeds.as_ref().unwrap_or(&all) {
        for (data, variant, seeds, config) in &cells {
            if session.seeds.is_some() || seed < *seeds {
                let (data, variant) = (data.clone(), variant.clone());
                let config = serde_json::to_value(config)?;
                plans.push(Plan { data, variant, seed, config });
            }
        }
    }
    if session.dry_run {
        return describe(session, study, &splits.train, &plans);
    }
    session.grid(study, plans)?;
    Ok(())
}

/// Refuses pictures of which the views of `variant` leave too little.
pub(super) fn fits(
    study: &str,
    variant: &str,
    data: &str,
    size: usize,
    views: Views,
) -> anyhow::Result<()> {
    let side = views.side(size);
    ensure!(
        side >= LEAST_SIDE,
        "{study}, {variant}: pictures of {size}x{size} ({data}) leave views of {side}x{side}; the nets \
         pool three times and take at least {LEAST_SIDE}x{LEAST_SIDE}: choose a smaller border"
    );
    Ok(())
}

/// Multiply-adds of a run's forward passes in training.
pub(super) fn cost(cfg: &Config, set: &ImageSet) -> u64 {
    let schedule = Schedule::new(&cfg.stages, cfg.scale, cfg.pictures, cfg.batch, 0);
    let side = cfg.views.side(set.height) as i64;
    let view = multiply_adds(&cfg.net.table(), set.channels as i64, side) as u64;
    schedule.steps() * cfg.batch as u64 * view
}

/// The pictures that are there both lossless and as JPEG: train and test, in the order of [`COPIES`].
struct Copies {
    sets: [(ImageSet, ImageSet); 2],
    sha256: String,
}

impl Copies {
    /// Both copies, or why there are none; fetches nothing.
    fn load(lookup: &Lookup) -> anyhow::Result<Result<Self, String>> {
        let mut found = Vec::new();
        for (_, name) in COPIES {
            match Catalog::builtin().check(name, lookup)? {
                Status::Here(located) => found.push(located),
                Status::Missing { why, .. } => return Ok(Err(format!("{name} is missing: {why}"))),
            }
        }
        let splits: Vec<Splits> =
            found.iter().map(|located| load_images(located, lookup)).collect::<Result<_, _>>()?;
        let sha256 = splits.iter().map(|s| s.sha256.as_str()).collect::<Vec<_>>().join(" ");
        let (train, test) = places(&found[0])?;
        let [lossless, jpeg] = <[Splits; 2]>::try_from(splits).expect("one for each name");
        let jpeg = (pick(&jpeg.train, &train), pick(&jpeg.test, &test));
        Ok(Ok(Self { sets: [(lossless.train, lossless.test), jpeg], sha256 }))
    }
}

fn places(lossless: &Located) -> anyhow::Result<(Vec<usize>, Vec<usize>)> {
    Ok(official_places(&lossless.files)?)
}

/// The pictures of `set` at `places`.
fn pick(set: &ImageSet, places: &[usize]) -> ImageSet {
    ImageSet {
        images: places.iter().flat_map(|&i| set.picture(i)).copied().collect(),
        labels: places.iter().map(|&i| set.labels[i]).collect(),
        n: places.len(),
        classes: set.classes.clone(),
        ..*set
    }
}

/// One training, in a process of its own.
///
/// # Errors
/// Data that cannot be read; what the training says.
pub fn train(spec: &Spec, run: &mut TrainingRun) -> anyhow::Result<BTreeMap<String, f64>> {
    let RunConfig { copy, train: cfg } = spec.config()?;
    let first = |set: &ImageSet, most| Pictures::new(set, most);
    let (train, tests, sha256) = if let Some(copy) = copy {
        let copies = Copies::load(&spec.lookup)?.map_err(anyhow::Error::msg)?;
        let at = usize::from(copy != COPIES[0].0);
        let tests: Vec<_> = COPIES
            .iter()
            .zip(&copies.sets)
            .map(|((name, _), (_, test))| (*name, first(test, cfg.test_pictures)))
            .collect();
        (first(&copies.sets[at].0, cfg.pictures), tests, copies.sha256)
    } else {
        let located = Catalog::builtin().locate(&spec.key.data, &spec.lookup)?;
        let splits = load_images(&located, &spec.lookup)?;
        let tests = vec![("test", first(&splits.test, cfg.test_pictures))];
        (first(&splits.train, cfg.pictures), tests, splits.sha256)
    };
    ensure!(
        sha256 == cfg.data_sha256,
        "{}: the data changed between planning and training",
        spec.key.data
    );
    crate::cifar::train::train(&spec.key, &cfg, train, &tests, run)
}
