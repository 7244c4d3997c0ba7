//! The finished networks of `language-model` as other studies take them, and the labelled sets to read them on.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};
use common::cli;
use common::data::catalog::Catalog;
use common::data::error::DataError;
use common::data::sha256_file;
use common::data::text::labelled::{self, LabelledSet};
use common::session::{Plan, Session};
use common::stations::stations;
use common::training_run::{Spec, TrainingRun};
use ledger::run::{RunRecord, Status, hex};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{language_model, stations_of};
use crate::SENTIMENT_NEURON;
use crate::model::Neuron;
use crate::train::station;
use crate::weights;

/// A network of `language-model` after some of its updates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Model {
    /// The text it learned.
    pub(crate) data: String,
    /// Its name in paths.
    pub(crate) variant: String,
    /// Its seed.
    pub(crate) seed: u64,
    /// Its width.
    pub(crate) hidden: i64,
    /// After so many updates.
    pub(crate) updates: u64,
    /// Of the weights' file, in hex.
    pub(crate) sha256: String,
    /// The weights' file, where they are the published ones and not a station of this machine's training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) published: Option<PathBuf>,
}

impl Model {
    /// The run of another study that reads this network, or all its seeds' runs, in paths.
    pub(super) fn name(&self) -> String {
        format!("{}-on-{}", self.variant, self.data)
    }
}

/// Which networks the studies read that train none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Networks {
    /// Those that `language-model` has trained at the same preset.
    Trained,
    /// The one whose weights come with the repository.
    Published,
}

/// The text that a network learned.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Learned {
    /// Training shards.
    pub(super) shards: usize,
    /// The user's own file or folder.
    pub(super) text: Option<PathBuf>,
    /// Over its shards.
    pub(super) sha256: String,
    /// Bytes of the validation shard that the training looked at.
    pub(super) val_bytes: usize,
}

/// A network and the text that it learned.
pub(super) struct Trained {
    pub(super) model: Model,
    pub(super) learned: Learned,
}

/// The networks that the studies of this preset read, and what those learned that were trained here.
///
/// # Errors
/// As [`trained`], or no published weights.
pub(super) fn networks(session: &Session) -> anyhow::Result<Vec<(Model, Option<Learned>)>> {
    Ok(match session.preset::<super::Preset>()?.networks {
        Networks::Trained => {
            let trained = trained(session, false)?.into_iter();
            trained.map(|Trained { model, learned }| (model, Some(learned))).collect()
        }
        Networks::Published => vec![(published_network()?, None)],
    })
}

/// The network whose weights come with the repository, with the description that its run of `single-unit` has of it.
fn published_network() -> anyhow::Result<Model> {
    let path = weights::published()?;
    let folder = path.parent().with_context(|| format!("{}: lies nowhere", path.display()))?;
    let record = RunRecord::read(folder)?
        .with_context(|| format!("{}: holds weights and no run", folder.display()))?;
    let model = Model::deserialize(&record.config["model"])
        .with_context(|| format!("{}: its run names no network", folder.display()))?;
    Ok(Model { sha256: sha256_file(&path)?, published: Some(path), ..model })
}

/// The trained networks of `language-model` at this preset: at the end only, or at every station that is reached. Those
/// that are still to be trained are left out with a warning.
///
/// # Errors
/// None that is trained, with the command that trains them; weights that are gone.
pub(super) fn trained(session: &Session, whole_way: bool) -> anyhow::Result<Vec<Trained>> {
    let study = SENTIMENT_NEURON.study(language_model::STUDY)?;
    let (mut all, mut missing) = (Vec::new(), Vec::new());
    for (plan, cfg) in language_model::plans(session)? {
        let spec = session.spec(study, plan.clone(), 1);
        let record = RunRecord::read(&spec.folder())?;
        let complete = record.as_ref().is_some_and(|record| record.status == Status::Complete);
        let readable = complete || (whole_way && record.is_some());
        if !readable {
            missing.push(spec.folder());
            continue;
        }
        let steps = if whole_way { stations(cfg.updates, cfg.stations) } else { vec![cfg.updates] };
        let folder = stations_of(&spec);
        for updates in steps {
            let path = station(&folder, updates);
            if !path.is_file() {
                ensure!(
                    whole_way && !complete,
                    "{}: the weights are not in the cache any more",
                    path.display()
                );
                continue; // not reached yet
            }
            let bytes =
                std::fs::read(&path).with_context(|| format!("{}: cannot read", path.display()))?;
            let Plan { data, variant, seed, config } = plan.clone();
            let (hidden, sha256) = (cfg.sizes.hidden, hex(&Sha256::digest(&bytes)));
            let model = Model { data, variant, seed, hidden, updates, sha256, published: None };
            let language_model::RunConfig { shards, text, train } = serde_json::from_value(config)?;
            let (sha256, val_bytes) = (train.data_sha256, train.val_bytes);
            all.push(Trained { model, learned: Learned { shards, text, sha256, val_bytes } });
        }
    }
    let command = format!("sentiment-neuron run language-model --preset {}", session.source.name);
    if let (Some(first), true) = (missing.first(), all.is_empty()) {
        bail!("{}: the network is not trained yet; first: {command}", first.display());
    }
    for folder in missing {
        tracing::warn!("left out, not trained yet: {}; train it by: {command}", folder.display());
    }
    Ok(all)
}

/// The labelled sets among `names` that can be had.
///
/// # Errors
/// A damaged set; none that can be had.
pub(super) fn sets(session: &Session, names: &[String]) -> anyhow::Result<Vec<LabelledSet>> {
    let mut sets = Vec::new();
    let mut last = None;
    for name in names {
        match Catalog::builtin().locate(name, &session.lookup) {
            Ok(located) => sets.push(labelled::read(&located)?),
            Err(error @ DataError::Unavailable { .. }) => {
                tracing::warn!("left out: {error}");
                last = Some(error);
            }
            Err(error) => return Err(error.into()),
        }
    }
    match last {
        Some(error) if sets.is_empty() => Err(error.into()),
        _ => Ok(sets),
    }
}

/// Reads a labelled set again in a run's own process.
///
/// # Errors
/// Data that cannot be read or is not the planned one.
pub(super) fn planned_set(spec: &Spec, name: &str, sha256: &str) -> anyhow::Result<LabelledSet> {
    let set = labelled::read(&Catalog::builtin().locate(name, &spec.lookup)?)?;
    ensure!(set.sha256 == sha256, "{name}: the data changed since the run was planned");
    Ok(set)
}

/// A network as the run of `spec` gets it; its weights are the planned ones.
///
/// # Errors
/// Weights that are gone or changed.
pub(super) fn load(spec: &Spec, model: &Model, run: &TrainingRun) -> anyhow::Result<Neuron> {
    let path = weights_at(spec, model)?;
    let bytes = std::fs::read(&path).with_context(|| format!("{}: cannot read", path.display()))?;
    ensure!(
        hex(&Sha256::digest(&bytes)) == model.sha256,
        "{}: changed since the run was planned",
        path.display()
    );
    Ok(weights::read(&path, run.device())?.0)
}

/// Where a network's weights are: published, or at a station of its training.
fn weights_at(spec: &Spec, model: &Model) -> anyhow::Result<PathBuf> {
    if let Some(path) = &model.published {
        return Ok(path.clone());
    }
    let mut trained = spec.clone();
    language_model::STUDY.clone_into(&mut trained.key.study);
    trained.key.variant.clone_from(&model.variant);
    trained.key.seed = model.seed;
    trained.key.data.clone_from(&model.data);
    let path = station(&stations_of(&trained), model.updates);
    ensure!(
        path.is_file(),
        "{}: the weights are not in the cache any more; train the network again with --overwrite",
        path.display()
    );
    Ok(path)
}

/// Makes the runs of a study; a dry run only says which, with the configuration of each.
///
/// # Errors
/// As [`Session::grid`].
pub(super) fn look(session: &Session, study: &str, plans: Vec<Plan>) -> anyhow::Result<()> {
    if session.dry_run {
        let line = |plan: &Plan| {
            let Plan { data, variant, seed, config } = plan;
            format!("{study} {data} {variant} seed {seed} {config}\n")
        };
        return Ok(cli::print(&plans.iter().map(line).collect::<String>())?);
    }
    session.grid(SENTIMENT_NEURON.study(study)?, plans)?;
    Ok(())
}

/// Writes the numbers that a run which trains nothing ended with as the one row of its `metrics.csv`; returns them.
///
/// # Errors
/// A file that cannot be written.
pub(super) fn only_row(
    run: &mut TrainingRun,
    ended: BTreeMap<String, f64>,
) -> anyhow::Result<BTreeMap<String, f64>> {
    let columns: Vec<&str> = ended.keys().map(String::as_str).collect();
    run.start(&columns)?;
    let row: Vec<(&str, f64)> = ended.iter().map(|(name, &value)| (name.as_str(), value)).collect();
    run.log(0, &row)?;
    Ok(ended)
}
