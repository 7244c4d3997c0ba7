//! What the trained network shows: its first kernels (Figure 3), its guesses (Figure 4, left), its nearest
//! neighbours (Figure 4, right).
//!
//! Nothing is trained here. Each study looks at the networks that the runs of `imagenet` left, seed by seed; it
//! makes those runs if they are missing. What it finds lies in its own run folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use common::checkpoint::{Store, Tensors, restore_variables};
use common::cli;
use common::data::loader::Loader;
use common::data::photos::{Batch, PreparedSet, TestView};
use common::experiment::{Drawings, Finished, Study};
use common::nn::probe::Probe;
use common::session::{Plan, Session};
use common::shim::Autocast;
use common::training_run::{Spec, TrainingRun};
use ledger::claims::Measured;
use ledger::plot::Figure;
use ledger::publish::limits;
use ledger::run::{RunKey, RunRecord, Status};
use ledger::stats::{Estimate, Scale, mean_over_seeds, paired_difference};
use serde::{Deserialize, Serialize};
use tch::nn::VarStore;
use tch::{Kind, Tensor};

use super::ablations::{self, Ablation as _, Asked, DATASETS, ImageNet};
use crate::ALEXNET;
use crate::class_index::ClassIndex;
use crate::exhibits::{filters, neighbours, predictions};
use crate::figures::exhibits as figures_of;
use crate::network::{AlexNet, Layout};
use crate::photographs::data::{Photographs, load};
use crate::photographs::eval::mean_over_views;
use crate::photographs::train::Recipe;
use crate::weights::{self, Card, Origin, Preprocessing};

/// The configuration of a run: whose network is looked at.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct RunConfig {
    /// The variant of `imagenet`; data set and seed are the run's own.
    pub(super) trained: String,
    /// Digest of that run's configuration.
    pub(super) digest: String,
    /// Rows and columns of a prepared picture.
    pub(super) side: usize,
    /// sha256 over the prepared pictures and labels.
    pub(super) data_sha256: String,
    /// How it was trained.
    pub(super) recipe: Recipe,
}

impl RunConfig {
    /// That of a run that looks at the network which the finished run `record` of `imagenet` left.
    pub(super) fn of(record: &RunRecord) -> serde_json::Result<Self> {
        let ablations::RunConfig { side, data_sha256, recipe, .. } =
            Deserialize::deserialize(&record.config)?;
        let (trained, digest) = (record.key.variant.clone(), record.digest.clone());
        Ok(Self { trained, digest, side, data_sha256, recipe })
    }
}

/// A network that was trained, and the pictures to show it.
pub struct Trained {
    vs: VarStore,
    pub(super) net: AlexNet,
    pub(super) recipe: Recipe,
    set: Arc<PreparedSet>,
    pub(super) photographs: Photographs,
    /// Names of the classes, words where the index of ImageNet's is there.
    classes: Vec<String>,
    record: RunRecord,
    /// In the cache, for weights that are too large to lie with the results.
    cache: PathBuf,
}

/// A study of what trained networks show.
pub trait Exhibit {
    /// Its name.
    const NAME: &'static str;
    /// One line.
    const ABOUT: &'static str;
    /// The columns of `metrics.csv` after step and time.
    const COLUMNS: &'static [&'static str];

    /// Looks at a network and writes what it finds to the run's folder; returns the row of numbers.
    ///
    /// # Errors
    /// Pictures that cannot be read; a file that cannot be written.
    fn look(trained: &Trained, run: &TrainingRun) -> anyhow::Result<Vec<f64>>;

    /// What the runs on one data set, by seed, say about the claims.
    ///
    /// # Errors
    /// Files that cannot be read.
    fn measure(folders: &[&Path]) -> anyhow::Result<Vec<(&'static str, Estimate)>>;

    /// What is drawn of a run.
    ///
    /// # Errors
    /// Files that cannot be read.
    fn figure(data: &str, folder: &Path, layout: Layout) -> anyhow::Result<Figure>;
}

/// The study as the command line knows it.
pub const fn study<E: Exhibit>() -> Study {
    Study {
        name: E::NAME,
        about: E::ABOUT,
        datasets: &DATASETS,
        run: run::<E>,
        train: train::<E>,
        measure: measure::<E>,
        figures: figures::<E>,
    }
}

fn run<E: Exhibit>(session: &Session) -> anyhow::Result<()> {
    let trained = ALEXNET.study(ImageNet::NAME)?;
    let study = ALEXNET.study(E::NAME)?;
    let asked = Asked::of(session)?;
    let plans = asked.plans::<ImageNet>()?;
    if session.dry_run {
        ablations::describe(session, &asked.set, &[(trained, plans)])?;
        return Ok(cli::print(&format!("then            {}: {}\n", E::NAME, E::ABOUT))?);
    }
    let records = session.grid(trained, plans)?;
    let plan = |record: RunRecord| {
        let config = RunConfig::of(&record)?;
        let RunKey { data, variant, seed, .. } = record.key;
        anyhow::Ok(Plan { data, variant, seed, config: serde_json::to_value(config)? })
    };
    let plans = records.into_iter().map(plan).collect::<anyhow::Result<Vec<_>>>()?;
    session.grid(study, plans)?;
    Ok(())
}

/// Looks at one network, in a process of its own.
fn train<E: Exhibit>(spec: &Spec, run: &mut TrainingRun) -> anyhow::Result<BTreeMap<String, f64>> {
    let trained = Trained::load(spec, ImageNet::NAME, spec.key.seed, spec.config()?, run)?;
    looked::<E>(&trained, run)
}

/// Looks at `trained`; returns the numbers of the one row by name.
fn looked<E: Exhibit>(
    trained: &Trained,
    run: &mut TrainingRun,
) -> anyhow::Result<BTreeMap<String, f64>> {
    run.start(E::COLUMNS)?;
    let numbers = E::look(trained, run)?;
    let row: Vec<(&str, f64)> = E::COLUMNS.iter().copied().zip(numbers).collect();
    run.log(0, &row)?;
    Ok(row.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// The record of the run `key`, among whose results those of `spec` are, and the weights that it left.
///
/// # Errors
/// A run that is not finished, or of another configuration than `digest` says; no checkpoint.
pub(super) fn left_by(
    spec: &Spec,
    key: RunKey,
    digest: &str,
) -> anyhow::Result<(RunRecord, Tensors)> {
    let again = format!("make it again: alexnet run {} --overwrite", key.study);
    let base = Spec { key, ..spec.clone() };
    let folder = base.folder();
    let record = RunRecord::read(&folder)?;
    let record = record.filter(|r| r.status == Status::Complete && r.digest == digest);
    let record =
        record.with_context(|| format!("{}: changed since this was planned", folder.display()))?;
    let store = Store::new(base.checkpoints());
    let left = store.load::<serde_json::Value>()?.with_context(|| {
        format!("{}: no checkpoint of {}; {again}", store.folder().display(), folder.display())
    })?;
    Ok((record, left.model))
}

impl Trained {
    /// The network that the run of `study` with `seed`, among whose results those of `spec` are, left.
    pub(super) fn load(
        spec: &Spec,
        study: &str,
        seed: u64,
        config: RunConfig,
        run: &TrainingRun,
    ) -> anyhow::Result<Self> {
        let (study, variant) = (study.to_owned(), config.trained.clone());
        let key = RunKey { study, variant, seed, ..spec.key.clone() };
        let (record, left) = left_by(spec, key, &config.digest)?;
        let (data, set) = load(std::slice::from_ref(&spec.key.data), config.side, &spec.lookup)?;
        ensure!(
            set.sha256() == config.data_sha256,
            "{data}: the data changed between training and looking"
        );
        let vs = VarStore::new(run.device());
        let net = AlexNet::new(&vs.root(), &config.recipe.network);
        restore_variables(&vs, &left, &record.key.relative().display().to_string())?;
        let photographs = Photographs::new(&set, &config.recipe, run.device())?;
        let mut classes = set.classes().to_vec();
        if let Some(index) = ClassIndex::find(&spec.lookup)? {
            classes = index.readable(&classes);
        }
        let (recipe, cache) = (config.recipe, spec.checkpoints());
        Ok(Self { vs, net, recipe, set, photographs, classes, record, cache })
    }

    /// Calls `each` with the centre views `[n, 3, S, S]` of pictures in their order and what `forward` makes
    /// of them.
    fn show(
        &self,
        batches: Loader<Batch>,
        autocast: &dyn Fn() -> Autocast,
        forward: impl Fn(&AlexNet, &Tensor) -> Tensor,
        mut each: impl FnMut(&Tensor, Tensor),
    ) -> anyhow::Result<()> {
        let _no_grad = tch::no_grad_guard();
        for batch in batches {
            let (xs, _) = batch?.tensors(self.vs.device());
            let ys = {
                let _autocast = autocast();
                forward(&self.net, &xs)
            };
            each(&xs, ys.to_kind(Kind::Float));
            common::interrupt::check()?;
        }
        Ok(())
    }

    /// Places of the test pictures in the set, and their centre views.
    fn test(&self) -> anyhow::Result<(&[u32], Loader<Batch>)> {
        let batches = self.photographs.test_batches(&self.recipe, TestView::Centre)?;
        let data = &self.record.key.data;
        let none = || format!("{data}: has no test pictures (val/), wanted some to show");
        let part = self.photographs.test().with_context(none)?;
        Ok((&part.indices, batches.with_context(none)?))
    }

    /// Classes of the pictures with these places in the set.
    fn labels(&self, places: &[u32]) -> Vec<u32> {
        places.iter().map(|&i| self.set.label(i as usize)).collect()
    }
}

/// Figure 3.
#[derive(Debug)]
pub struct Filters;

impl Exhibit for Filters {
    const NAME: &'static str = "filters";
    const ABOUT: &'static str = "Figure 3: the kernels that the first layer learned";
    const COLUMNS: &'static [&'static str] = &["kernels"];

    fn look(trained: &Trained, run: &TrainingRun) -> anyhow::Result<Vec<f64>> {
        let weights = &trained.vs.variables()["conv1.weight"];
        filters::write(run.path(), weights)?;
        Ok(vec![weights.size()[0] as f64])
    }

    fn measure(_folders: &[&Path]) -> anyhow::Result<Vec<(&'static str, Estimate)>> {
        Ok(Vec::new())
    }

    fn figure(data: &str, folder: &Path, layout: Layout) -> anyhow::Result<Figure> {
        let towers = if layout == Layout::TwoTowers { 2 } else { 1 };
        Ok(figures_of::filters(data, &filters::read(folder)?, towers))
    }
}

/// Figure 4, left. The run with seed 0 also leaves the weights that `alexnet predict` uses.
#[derive(Debug)]
pub struct Predictions;

impl Exhibit for Predictions {
    const NAME: &'static str = "predictions";
    const ABOUT: &'static str = "Figure 4, left: the five most probable classes of test pictures; leaves weights for predict";
    const COLUMNS: &'static [&'static str] = &["test/top1_error", "test/top5_error"];

    fn look(trained: &Trained, run: &TrainingRun) -> anyhow::Result<Vec<f64>> {
        let Trained { set, classes, .. } = trained;
        let mut p = Vec::new();
        let (test, batches) = trained.test()?;
        let loss = trained.recipe.loss;
        let forward = |net: &AlexNet, xs: &Tensor| {
            mean_over_views(loss, &net.forward(xs, false, &Probe::off()), 1)
        };
        trained.show(batches, &run.autocast(), forward, |_, ys| p.push(ys))?;
        let labels = trained.labels(test);
        let picture = |i: usize| set.picture(test[i] as usize);
        let p = Tensor::cat(&p, 0).to_device(tch::Device::Cpu);
        let errors = predictions::write(run.path(), &p, &labels, classes, set.side(), picture)?;
        if trained.record.key.seed == 0 {
            export(trained, run.path(), errors.top1)?;
        }
        Ok(vec![errors.top1, errors.top5])
    }

    fn measure(folders: &[&Path]) -> anyhow::Result<Vec<(&'static str, Estimate)>> {
        let errors = folders.iter().map(|folder| predictions::errors(folder));
        let errors = errors.collect::<anyhow::Result<Vec<_>>>()?;
        let right = |wrong: fn(&predictions::Errors) -> f64| {
            errors.iter().map(|errors| 100.0 * (1.0 - wrong(errors))).collect::<Vec<_>>()
        };
        Ok(vec![
            ("predictions-top1", mean_over_seeds(&right(|e| e.top1), Scale::Natural)?),
            ("predictions-top5", mean_over_seeds(&right(|e| e.top5), Scale::Natural)?),
        ])
    }

    fn figure(data: &str, folder: &Path, _layout: Layout) -> anyhow::Result<Figure> {
        let (shown, errors) = (predictions::shown(folder)?, predictions::errors(folder)?);
        Ok(figures_of::predictions(data, shown, errors))
    }
}

/// Writes the weights for `alexnet predict`: to the run's folder, or to the cache where they are too large to be
/// published.
fn export(trained: &Trained, folder: &Path, top1_error: f64) -> anyhow::Result<()> {
    let Trained { recipe, set, classes, record, cache, .. } = trained;
    let small = weights::size_bytes(&recipe.network, set.side()) <= limits::WEIGHTS;
    let folder = if small { folder } else { cache };
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let preprocessing = Preprocessing { side: set.side(), scale: recipe.input_scale };
    let origin = Origin {
        run: record.key.relative().display().to_string(),
        digest: record.digest.clone(),
        data: record.key.data.clone(),
        top1_error,
    };
    let card = Card::new(recipe.network.clone(), classes.clone(), preprocessing, origin);
    let path = weights::write(folder, &trained.vs, set.mean(), card)?;
    tracing::info!("weights for `alexnet predict`: {}", path.display());
    Ok(())
}

/// Figure 4, right.
#[derive(Debug)]
pub struct Retrieval;

impl Exhibit for Retrieval {
    const NAME: &'static str = "retrieval";
    const ABOUT: &'static str =
        "Figure 4, right: training pictures nearest to test pictures by the last hidden features";
    const COLUMNS: &'static [&'static str] = &["features/precision", "pixels/precision"];

    fn look(trained: &Trained, run: &TrainingRun) -> anyhow::Result<Vec<f64>> {
        let Trained { recipe, set, photographs, classes, .. } = trained;
        let (test, batches) = trained.test()?;
        let train = &photographs.train().indices;
        let (test_labels, train_labels) = (trained.labels(test), trained.labels(train));
        let queries: Vec<i64> =
            neighbours::queries(&test_labels).into_iter().map(|i| i as i64).collect();
        let autocast = run.autocast();
        let features = |net: &AlexNet, xs: &Tensor| net.features(xs);
        let flat = |xs: &Tensor| xs.flatten(1, -1); // [n, 3·S·S]

        // Of the test pictures, only the queries are kept.
        let (mut by_features, mut by_pixels, mut seen) = (Vec::new(), Vec::new(), 0);
        trained.show(batches, &autocast, features, |xs, ys| {
            let n = xs.size()[0];
            let asked: Vec<i64> = queries
                .iter()
                .filter(|&&i| (seen..seen + n).contains(&i))
                .map(|i| i - seen)
                .collect();
            let asked = Tensor::from_slice(&asked).to_device(xs.device());
            by_features.push(ys.index_select(0, &asked));
            by_pixels.push(flat(xs).index_select(0, &asked));
            seen += n;
        })?;
        let mut by_features = neighbours::Nearest::new(&Tensor::cat(&by_features, 0));
        let mut by_pixels = neighbours::Nearest::new(&Tensor::cat(&by_pixels, 0));
        trained.show(photographs.train_in_order(recipe)?, &autocast, features, |xs, ys| {
            by_features.add(&ys);
            by_pixels.add(&flat(xs));
        })?;

        let labels =
            neighbours::Labels { test: &test_labels, train: &train_labels, names: classes };
        neighbours::write(
            run.path(),
            labels,
            &[(neighbours::Space::Features, by_features), (neighbours::Space::Pixels, by_pixels)],
            set.side(),
            |i| set.picture(test[i] as usize),
            |i| set.picture(train[i] as usize),
        )?;
        Ok(neighbours::precision(run.path())?.to_vec())
    }

    fn measure(folders: &[&Path]) -> anyhow::Result<Vec<(&'static str, Estimate)>> {
        let precision = folders.iter().map(|folder| neighbours::precision(folder));
        let precision = precision.collect::<anyhow::Result<Vec<_>>>()?;
        let [features, pixels] =
            [0, 1].map(|i| precision.iter().map(|p| 100.0 * p[i]).collect::<Vec<_>>());
        Ok(vec![
            ("retrieval-features", mean_over_seeds(&features, Scale::Natural)?),
            ("retrieval-over-pixels", paired_difference(&features, &pixels)?),
        ])
    }

    fn figure(data: &str, folder: &Path, _layout: Layout) -> anyhow::Result<Figure> {
        let (rows, precision) = (neighbours::shown(folder)?, neighbours::precision(folder)?);
        Ok(figures_of::retrieval(data, rows, precision))
    }
}

/// The runs by data set, each set's sorted by seed.
fn by_data(finished: &Finished) -> BTreeMap<String, Vec<(&PathBuf, &RunRecord)>> {
    let mut sets: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for (folder, record) in &finished.runs {
        sets.entry(record.key.data.clone()).or_default().push((folder, record));
    }
    for runs in sets.values_mut() {
        runs.sort_by_key(|(_, record)| record.key.seed);
    }
    sets
}

fn measure<E: Exhibit>(finished: &Finished) -> anyhow::Result<Vec<Measured>> {
    let mut rows = Vec::new();
    for (data, runs) in by_data(finished) {
        let folders: Vec<&Path> = runs.iter().map(|(folder, _)| folder.as_path()).collect();
        rows.extend(E::measure(&folders)?.into_iter().map(|(id, estimate)| Measured {
            id: id.to_owned(),
            preset: finished.preset.clone(),
            data: data.clone(),
            estimate,
            evidence: data.clone(),
            protocol_ok: false, // the paper gives no such number
        }));
    }
    Ok(rows)
}

fn figures<E: Exhibit>(finished: &Finished) -> anyhow::Result<Drawings> {
    let mut drawings = Vec::new();
    for (data, runs) in by_data(finished) {
        let (folder, record) = runs[0];
        let RunConfig { recipe, .. } = RunConfig::deserialize(&record.config)?;
        let figure = E::figure(&data, folder, recipe.network.layout)?;
        drawings.push((format!("{}-{data}", E::NAME), figure));
    }
    Ok(drawings)
}

#[cfg(test)]
pub(super) mod tests;
