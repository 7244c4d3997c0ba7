//! What the studies of fine-tuning share: where a run starts from, how it is made, and what it leaves.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use common::data::error::DataError;
use common::data::lookup::Lookup;
use common::data::sha256_file;
use common::session::{Plan, Session};
use common::training_run::{Spec, TrainingRun};
use ledger::run::{RunRecord, Status};
use serde::{Deserialize, Serialize};
use tch::Device;

use super::scored::write_predictions;
use super::{pretrain, stations_of};
use crate::GPT1;
use crate::finetune::{At, Classifier, Config, Epoch, Seen, Tuned, Tuning, copy, subset};
use crate::forms::{EncodedSet, SPECIAL};
use crate::model::Model;
use crate::pretrain::station;
use crate::tasks::{Example, Task, TaskData, TaskError};
use crate::verbs::PUBLISHED;
use crate::{bag, weights};

/// The file of a station's tensors.
const TENSORS: &str = "model.safetensors";
/// The columns of `metrics.csv` after step and time.
const COLUMNS: [&str; 5] = ["epoch", "train/loss", "train/lm_loss", "train/grad_norm", "val/score"];

/// `[tuning]` of a preset: how every fine-tuning goes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// Where fine-tuning starts.
    pub start: StartFrom,
    /// How it goes.
    pub config: Config,
}

/// Where fine-tuning starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StartFrom {
    /// The models that `pretrain` made at the same preset.
    Pretrain,
    /// The weights that come with this repository; while there are none, those of `pretrain`, with a warning.
    Published,
}

/// Pre-trained weights.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// The model's name, e.g. `transformer`.
    pub model: String,
    /// Updates of pre-training, where they are known.
    pub step: Option<u64>,
    /// What it read.
    pub books: String,
    /// sha256 of the weights' file, in hex.
    pub sha256: String,
    /// The station's run; none for published weights.
    pub seed: Option<u64>,
}

/// What of the start is taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Taken {
    /// Everything.
    All,
    /// The embeddings and the first so many blocks.
    Layers(i64),
    /// Nothing but shape and vocabulary: no pre-training.
    Nothing,
}

/// One run's configuration.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunConfig {
    /// sha256 over the task's examples.
    pub task_sha256: String,
    /// What is fine-tuned and how; none for the plain baseline.
    pub tune: Option<Tune>,
}

/// A fine-tuning.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Tune {
    /// The weights that it starts from.
    pub start: Start,
    /// What of them is taken over.
    pub taken: Taken,
    /// Labelled examples; without a number, all.
    pub labels: Option<usize>,
    /// How.
    pub config: Config,
}

/// The folder of a start's weights, as the run of `spec` finds it.
fn folder_of(start: &Start, spec: &Spec) -> PathBuf {
    let (Some(step), Some(seed)) = (start.step, start.seed) else {
        return published(&start.model);
    };
    let mut trained = spec.clone();
    pretrain::STUDY.clone_into(&mut trained.key.study);
    trained.key.data.clone_from(&start.books);
    trained.key.variant.clone_from(&start.model);
    trained.key.seed = seed;
    station(&stations_of(&trained), step)
}

/// Where the published weights of a model are.
fn published(model: &str) -> PathBuf {
    match model {
        "transformer" => PathBuf::from(PUBLISHED),
        other => Path::new(PUBLISHED).join(other),
    }
}

/// The pre-trained models that fine-tuning starts from, the transformer first.
///
/// # Errors
/// A model that is not trained yet, with the command that trains it.
pub fn starts(session: &Session) -> anyhow::Result<Vec<Start>> {
    let preset = session.preset::<super::Preset>()?.tuning;
    if preset.start == StartFrom::Published {
        let mut starts = Vec::new();
        for model in ["transformer", "lstm"] {
            let path = published(model).join(TENSORS);
            if path.is_file() {
                let (model, books) = (model.to_owned(), "published".to_owned());
                let sha256 = sha256_file(&path)?;
                starts.push(Start { model, step: None, books, sha256, seed: None });
            }
        }
        if !starts.is_empty() {
            return Ok(starts);
        }
        tracing::warn!(
            "{PUBLISHED}: this checkout has no published weights; fine-tuning starts from the pretrain runs of this \
             preset instead"
        );
    }
    stations(session, false)
}

/// The weights that `pretrain` left at this preset, of its first seed: at the end only, or at every station.
///
/// # Errors
/// A model that is not trained yet, with the command that trains it.
pub fn stations(session: &Session, whole_way: bool) -> anyhow::Result<Vec<Start>> {
    let study = GPT1.study(pretrain::STUDY)?;
    let mut starts = Vec::new();
    // `--data` is where the tasks are; the books need not be there too.
    let lookup = Lookup { data_dir_is_flag: false, ..session.lookup.clone() };
    let plans = pretrain::plans(session, &lookup)?;
    let first = plans.first().map(|(plan, _)| plan.seed);
    for (plan, cfg) in plans.into_iter().filter(|(plan, _)| Some(plan.seed) == first) {
        let spec = session.spec(study, plan.clone(), 1);
        let record = RunRecord::read(&spec.folder())?;
        ensure!(
            record.is_some_and(|record| record.status == Status::Complete),
            "{}: the model is not trained yet; first: gpt1 run pretrain --preset {}",
            spec.folder().display(),
            session.source.name
        );
        let steps = if whole_way {
            common::stations::stations(cfg.steps, cfg.stations)
        } else {
            vec![cfg.steps]
        };
        for step in steps {
            let path = station(&stations_of(&spec), step).join(TENSORS);
            ensure!(
                path.is_file(),
                "{}: the weights are not in the cache any more; train the model again with --overwrite",
                path.display()
            );
            let Plan { data, variant, seed, .. } = plan.clone();
            starts.push(Start {
                model: variant,
                step: Some(step),
                books: data,
                sha256: sha256_file(&path)?,
                seed: Some(seed),
            });
        }
    }
    Ok(starts)
}

/// The weights of a start, checked to be the planned ones.
///
/// # Errors
/// Weights that are gone or changed.
pub fn load(start: &Start, spec: &Spec, device: Device) -> anyhow::Result<(Model, PathBuf)> {
    let folder = folder_of(start, spec);
    let path = folder.join(TENSORS);
    let found = sha256_file(&path)
        .with_context(|| "the weights are gone; run pretrain again with --overwrite")?;
    ensure!(found == start.sha256, "{}: changed since the run was planned", path.display());
    Ok((weights::read(&folder, device)?, folder))
}

/// The tasks among `names` that can be had; those that cannot are left out with a warning.
///
/// # Errors
/// An unknown or damaged task; none that can be had.
pub fn tasks(names: &[String], lookup: &Lookup) -> anyhow::Result<Vec<TaskData>> {
    let mut found = Vec::new();
    let mut last = None;
    for name in names {
        match Task::get(name)?.read(lookup) {
            Ok(data) => found.push(data),
            Err(
                error @ (TaskError::Data(DataError::Unavailable { .. }) | TaskError::Bring { .. }),
            ) => {
                tracing::warn!("{name} is left out: {error}");
                last = Some(error);
            }
            Err(error) => return Err(error.into()),
        }
    }
    match last {
        Some(error) if found.is_empty() => Err(error.into()),
        _ => Ok(found),
    }
}

/// The first of `names` that can be had.
///
/// # Errors
/// As [`tasks`].
pub fn first_task(names: &[String], lookup: &Lookup) -> anyhow::Result<TaskData> {
    for name in names {
        match tasks(std::slice::from_ref(name), lookup) {
            Ok(mut found) => return Ok(found.remove(0)),
            Err(error) if name == names.last().unwrap_or(name) => return Err(error),
            Err(_) => {}
        }
    }
    anyhow::bail!("the preset names no task")
}

/// Makes the runs of a study, or prints what they would be.
///
/// # Errors
/// As [`Session::grid`].
pub fn make(session: &Session, study: &str, plans: Vec<Plan>) -> anyhow::Result<()> {
    let study = GPT1.study(study)?;
    if session.dry_run {
        let line = |plan: &Plan| {
            let spec = session.spec(study, plan.clone(), 1);
            Ok(format!("{} {}\n", spec.folder().display(), serde_json::to_string(&plan.config)?))
        };
        let lines: Vec<String> = plans.iter().map(line).collect::<anyhow::Result<_>>()?;
        return Ok(common::cli::print(&lines.concat())?);
    }
    session.grid(study, plans)?;
    Ok(())
}

/// A run to be planned: a fine-tuning on a task or, without one, the baseline.
///
/// # Panics
/// Never: the configuration is plain data.
pub fn plan(data: &TaskData, variant: &str, seed: u64, tune: Option<Tune>) -> Plan {
    let config = RunConfig { task_sha256: data.sha256.clone(), tune };
    Plan {
        data: data.task.name.to_owned(),
        variant: variant.to_owned(),
        seed,
        config: serde_json::to_value(config).expect("plain data"),
    }
}

/// One fine-tuning or the baseline, in a process of its own; its test predictions are written beside its record.
///
/// # Errors
/// Data or weights that changed or cannot be read; what the training says.
pub fn train(spec: &Spec, run: &mut TrainingRun) -> anyhow::Result<BTreeMap<String, f64>> {
    let config: RunConfig = spec.config()?;
    let data = Task::get(&spec.key.data)?.read(&spec.lookup)?;
    ensure!(
        data.sha256 == config.task_sha256,
        "{}: the data changed since the run was planned",
        data.task.name
    );
    let labels: Vec<f64> = data.test.iter().map(|example| example.label).collect();
    let mut ended = BTreeMap::new();
    let predictions = match config.tune {
        None => {
            run.start(&COLUMNS)?;
            bag::predict(&data)?
        }
        Some(Tune { start, taken, labels, config }) => {
            let (pretrained, folder) = load(&start, spec, run.device())?;
            let tokenizer = weights::tokenizer(&folder, None)?;
            let context = pretrained.shape().context() as usize;
            let encode = |part: &str, examples: &[Example]| {
                let set = EncodedSet::new(data.task.form, examples, &tokenizer, context);
                set.warn(&format!("{}, {part}", data.task.name));
                set
            };
            let mut train = encode("training part", &data.train);
            let (val, test) =
                (encode("validation part", &data.val), encode("test part", &data.test));
            let cut = train.cut + val.cut + test.cut;
            ended.insert("examples_cut".to_owned(), cut as f64);
            if let Some(n) = labels {
                train.examples = subset(&train.examples, n, spec.key.seed);
            }
            ended.insert("n_train".to_owned(), train.examples.len() as f64);
            let model = taken.model(&pretrained, &config, spec.key.seed);
            let classifier =
                Classifier::new(model, data.task, config.classifier_dropout, spec.key.seed);
            let (autocast, world) = (run.autocast(), run.world().clone());
            let tuning = Tuning {
                classifier: &classifier,
                cfg: &config,
                seed: spec.key.seed,
                train: &train.examples,
                val: &val.examples,
                autocast: &autocast,
                world: &world,
            };
            let (val_score, lr) = best_of(&tuning, run)?;
            ended.insert("best/val_score".to_owned(), val_score);
            ended.insert("lr".to_owned(), lr);
            classifier.predict(&test.examples, 2 * config.batch, &autocast)?
        }
    };
    write_predictions(run.path(), &predictions, &labels)?;
    ended.insert("test/score".to_owned(), data.task.metric.of(&predictions, &labels));
    ended.insert("n_test".to_owned(), labels.len() as f64);
    Ok(ended)
}

impl Taken {
    /// The model that a run begins with.
    fn model(self, pretrained: &Model, config: &Config, seed: u64) -> Model {
        let n_layers = pretrained.shape().n_layers();
        match self {
            Self::All => pretrained.adapted(SPECIAL, config.dropout, n_layers, seed),
            Self::Layers(n) => pretrained.adapted(SPECIAL, config.dropout, n, seed),
            Self::Nothing => {
                let shape = pretrained.shape().adapted(SPECIAL, config.dropout);
                Model::new(&shape, seed, pretrained.device())
            }
        }
    }
}

/// Fine-tunes from wherever `run` stopped, with every rate of the configuration, and leaves the weights that are best on
/// the validation part; returns their score and rate.
fn best_of(tuning: &Tuning, run: &mut TrainingRun) -> anyhow::Result<(f64, f64)> {
    let (vs, cfg) = (&tuning.classifier.model.vs, tuning.cfg);
    let begin = copy(vs);
    let mut tuned = Tuned::new(vs, cfg.weight_decay);
    let (_, mut at) = run.resume_or_start::<At>(vs, &mut tuned, &COLUMNS)?;
    // The predictions are the result; hundreds of such runs would fill the cache.
    run.forget_checkpoints_when_done();
    let mut seen = |tuned: &Tuned, at: &At, seen: Seen| {
        run.tick(seen.step, seen.steps, cfg.batch as f64, "examples/s", seen.loss);
        if let Some(Epoch { epoch, loss, lm_loss, grad_norm, val }) = seen.epoch {
            let row = [
                ("epoch", epoch as f64),
                ("train/loss", loss),
                ("train/lm_loss", lm_loss),
                ("train/grad_norm", grad_norm),
                ("val/score", val),
            ];
            run.log(seen.step, &row)?;
        }
        if seen.keep {
            run.save(seen.step, vs, tuned, at)?;
        }
        Ok(())
    };
    tuning.run(&begin, &mut tuned, &mut at, &mut seen)
}
