//! From a prepared set of photographs to the batches of a step.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use common::data::catalog::Catalog;
use common::data::loader::Loader;
use common::data::lookup::Lookup;
use common::data::photos::{
    Batch, Centring, ColourNoise, MeanAt, Part, Pca, PhotosError, Pictures, PreparedSet, Source,
    SplitName, Statistics, TestBatches, TestView, TrainBatches, TrainView, prepared,
};
use common::data::sampler::{LastBatch, epoch_order};
use common::distributed::Share;
use serde::{Deserialize, Serialize};
use tch::Device;

use super::train::Recipe;

/// What is done to training pictures (section 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Augment {
    /// Whether views are cut at random; if not, always the centre.
    pub crops: bool,
    /// Whether every other view is its mirror image.
    pub mirror: bool,
    /// Noise on the colours; none if left out.
    pub colour: Option<ColourNoise>,
    /// Which part of the mean picture is taken off.
    pub mean: MeanAt,
}

/// Photographs in three parts.
pub struct Photographs {
    train: Part,
    held_out: Part,
    /// None where the set has no validation split, as a sample has.
    test: Option<Part>,
    /// Of the training split.
    mean: Vec<f32>,
    pca: Option<Pca>,
    /// Threads that make batches.
    threads: usize,
}

/// The set that is the user's own copy of ImageNet, `train/` and `val/` of 1,000 classes.
pub const IMAGENET: &str = "imagenet";
/// The user's own copy of ImageNet's Fall 2009 release, `fall-2009/`: one half of each class is trained on.
pub const FALL_2009: &str = "imagenet-fall-2009";
/// The user's own copy of the Fall 2011 release, `fall-2011/`, or any class folders to pre-train on.
pub const FALL_2011: &str = "imagenet-fall-2011";

/// Sets that a user brings, in a folder of their own below `--data`.
const OWN: [Own; 3] = [
    Own { name: IMAGENET, folder: "", needs: "train", val_share: None },
    Own { name: FALL_2009, folder: "fall-2009", needs: "", val_share: Some(0.5) },
    // Of each class of several pictures one is left to test with: what it takes to see that a network learns.
    Own { name: FALL_2011, folder: "fall-2011", needs: "", val_share: Some(1e-6) },
];

/// A set that a user brings.
struct Own {
    name: &'static str,
    /// Below the user's folder.
    folder: &'static str,
    /// What has to be in it.
    needs: &'static str,
    /// The share of each class that becomes the test pictures; none where there is a `val/`.
    val_share: Option<f64>,
}

/// Which pictures are held out is the same for every seed and variant.
const HELD_OUT_SEED: u64 = 0;
/// Batches made ahead of the one in use.
const AHEAD: usize = 3;

/// The first of the sets `names` that can be had, prepared at `side`, with its name. Those that a user brings
/// ([`IMAGENET`], [`FALL_2009`], [`FALL_2011`]) are class folders in the user's folder (`--data`).
///
/// # Errors
/// None that can be had; pictures that cannot be read.
pub fn load(
    names: &[String],
    side: usize,
    lookup: &Lookup,
) -> anyhow::Result<(String, Arc<PreparedSet>)> {
    let named = |own: &&Own| names.iter().any(|name| name == own.name);
    for own in OWN.iter().filter(named) {
        let there = |folder: &PathBuf| folder.join(own.needs).is_dir();
        let folder = lookup.data_dir.as_deref().map(|folder| folder.join(own.folder));
        if let Some(folder) = folder.filter(there) {
            return Ok((own.name.to_owned(), Arc::new(own.prepared(&folder, side, lookup)?)));
        }
    }
    let known = |name: &&str| OWN.iter().any(|own| own.name == *name);
    let others: Vec<&str> = names.iter().map(String::as_str).filter(|name| !known(name)).collect();
    ensure!(
        !others.is_empty(),
        "{} cannot be fetched: give your own copy with --data DIR, where DIR holds {}",
        names.join(" or "),
        OWN.iter().filter(named).map(Own::wanted).collect::<Vec<_>>().join(", or ")
    );
    let located = Catalog::builtin().first_available(&others, lookup)?;
    let set = prepared(&Source::located(&located)?, lookup, side)?;
    Ok((located.name, Arc::new(set)))
}

impl Own {
    /// What the user's folder has to hold.
    fn wanted(&self) -> String {
        match self.val_share {
            None => "train/<class>/<picture> and val/<class>/<picture>".to_owned(),
            Some(_) => format!("{}/<class>/<picture>", self.folder),
        }
    }

    /// The pictures of `folder`, prepared.
    fn prepared(&self, folder: &Path, side: usize, lookup: &Lookup) -> anyhow::Result<PreparedSet> {
        let set = prepared(&Source::new(folder, self.val_share), lookup, side)
            .with_context(|| format!("{}: cannot be prepared", folder.display()))?;
        let classes = set.classes().len();
        ensure!(
            self.name != IMAGENET || classes == 1000,
            "{}: {classes} classes, wanted the 1,000 of ImageNet",
            folder.display()
        );
        Ok(set)
    }
}

impl Photographs {
    /// The parts of `set` for a run of `cfg` on `device`.
    ///
    /// # Errors
    /// More pictures held out than there are.
    pub fn new(set: &Arc<PreparedSet>, cfg: &Recipe, device: Device) -> Result<Self, PhotosError> {
        let [train, test] = [SplitName::Train, SplitName::Val].map(|split| set.split(split));
        let statistics = Statistics { mean: set.mean().to_vec(), pca: Some(set.pca().clone()) };
        let pictures: Arc<dyn Pictures> = set.clone();
        Self::of(&pictures, train, test, statistics, cfg, device)
    }

    /// The parts of `pictures`, of which `train` and `test` are splits.
    ///
    /// Differs: held-out pictures come out of the training split, since the published validation split, whose
    /// labels are known, is our test.
    ///
    /// # Errors
    /// More pictures held out than there are.
    pub fn of(
        pictures: &Arc<dyn Pictures>,
        train: Range<usize>,
        test: Range<usize>,
        statistics: Statistics,
        cfg: &Recipe,
        device: Device,
    ) -> Result<Self, PhotosError> {
        let order = epoch_order(HELD_OUT_SEED, 0, train.len());
        let held = cfg.held_out.min(order.len());
        if held == 0 || held == order.len() {
            return Err(PhotosError::Misfit {
                what: "held_out".into(),
                found: cfg.held_out.to_string(),
                wanted: format!("some of the {} training pictures, not all", order.len()),
            });
        }
        let part = |chosen: &[u32]| Part {
            pictures: Arc::clone(pictures),
            indices: chosen.iter().map(|i| train.start as u32 + i).collect(),
        };
        let (held_out, rest) = order.split_at(held);
        let test =
            if test.is_empty() { None } else { Some(Part::new(Arc::clone(pictures), test)?) };
        Ok(Self {
            train: part(&rest[..rest.len().min(cfg.pictures)]),
            held_out: part(held_out),
            test,
            mean: statistics.mean,
            pca: statistics.pca,
            threads: if device.is_cuda() { 4 } else { 1 },
        })
    }

    /// Updates in one pass over the training pictures; the last of an epoch may be on fewer.
    pub fn steps_per_epoch(&self, batch: usize) -> u64 {
        self.train.n().div_ceil(batch) as u64
    }

    /// Shuffled batches of `steps`, made ahead: of each, `share`.
    ///
    /// # Errors
    /// Options that do not fit the pictures; a batch that cannot be shared.
    pub fn train_batches(
        &self,
        cfg: &Recipe,
        seed: u64,
        steps: Range<u64>,
        share: Share,
    ) -> anyhow::Result<Loader<Batch>> {
        let Augment { crops, mirror, colour, .. } = cfg.augment;
        let view = TrainView { crop: cfg.network.crop as usize, mirror, colour, crops };
        let (centring, pca) = (self.centring(cfg)?, self.pca.clone());
        let part = self.train.clone();
        let batches =
            TrainBatches::new(part, centring, view, pca, seed, cfg.batch, LastBatch::Keep)?;
        Ok(Arc::new(batches.shared(share)?).loader(steps, self.threads, AHEAD))
    }

    /// The pictures that are trained on.
    pub fn train(&self) -> &Part {
        &self.train
    }

    /// The test pictures; none where there are none.
    pub fn test(&self) -> Option<&Part> {
        self.test.as_ref()
    }

    /// The pictures that are trained on, in their order, the centre view of each.
    ///
    /// # Errors
    /// Options that do not fit the pictures.
    pub fn train_in_order(&self, cfg: &Recipe) -> Result<Loader<Batch>, PhotosError> {
        self.fixed(cfg, &self.train, TestView::Centre)
    }

    /// The held-out pictures, one view of each.
    ///
    /// # Errors
    /// Options that do not fit the pictures.
    pub fn held_out_batches(&self, cfg: &Recipe) -> Result<Loader<Batch>, PhotosError> {
        self.fixed(cfg, &self.held_out, TestView::Centre)
    }

    /// The test pictures in `view`; none where there are no test pictures.
    ///
    /// # Errors
    /// Options that do not fit the pictures.
    pub fn test_batches(
        &self,
        cfg: &Recipe,
        view: TestView,
    ) -> Result<Option<Loader<Batch>>, PhotosError> {
        self.test.as_ref().map(|part| self.fixed(cfg, part, view)).transpose()
    }

    fn fixed(
        &self,
        cfg: &Recipe,
        part: &Part,
        view: TestView,
    ) -> Result<Loader<Batch>, PhotosError> {
        let crop = cfg.network.crop as usize;
        let batch = (cfg.batch / view.count()).max(1);
        let batches = TestBatches::new(part.clone(), self.centring(cfg)?, crop, view, batch)?;
        Ok(Arc::new(batches).loader(self.threads, AHEAD))
    }

    fn centring(&self, cfg: &Recipe) -> Result<Centring, PhotosError> {
        let (pictures, scale) = (&self.train.pictures, (1.0 / cfg.input_scale) as f32);
        let (side, channels) = (pictures.side(), pictures.channels());
        Centring::new(self.mean.clone(), side, channels, cfg.augment.mean, scale)
    }
}
