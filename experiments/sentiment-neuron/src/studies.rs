//! The studies: what runs, and what is computed from the runs.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use common::cli;
use common::data::text::corpora::{Corpus, own_shards};
use common::data::text::shards::Shards;
use common::device::Precision;
use common::experiment::Study;
use common::nn::mlstm::State;
use common::preset::PresetError;
use common::progress::human_seconds;
use common::session::{Plan, Session};
use common::training_run::Spec;
use serde::Deserialize;

use crate::features::symbols_tensor;
use crate::model::{Neuron, Sizes};
use crate::train::Config;

pub mod clamping;
pub mod compression;
pub mod data_efficiency;
pub mod emergence;
pub mod hidden_mood;
pub mod language_model;
mod networks;
pub mod probes;
pub mod sentence_tasks;
pub mod single_unit;
pub mod word_pieces;

pub use networks::Networks;

/// A preset.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// Studies that run when none is named.
    pub lead: Vec<String>,
    /// Precision of the runs.
    pub precision: Precision,
    /// Which networks the studies read that train none; `emergence` reads this preset's own.
    pub networks: Networks,
    /// The networks that learn reviews.
    #[serde(rename = "language-model")]
    pub language_model: language_model::Preset,
    /// Probe and single unit on the way of a training.
    pub emergence: emergence::Preset,
    /// Probes of the finished networks.
    pub probes: probes::Preset,
    /// Grades and pairs.
    #[serde(rename = "sentence-tasks")]
    pub sentence_tasks: sentence_tasks::Preset,
    /// One unit against all.
    #[serde(rename = "single-unit")]
    pub single_unit: single_unit::Preset,
    /// Probes on few labels.
    #[serde(rename = "data-efficiency")]
    pub data_efficiency: data_efficiency::Preset,
    /// Reviews written with a unit held.
    pub clamping: clamping::Preset,
    /// Networks as compressors.
    pub compression: compression::Preset,
    /// Pieces instead of bytes.
    #[serde(rename = "word-pieces")]
    pub word_pieces: word_pieces::Preset,
    /// The made-up language.
    #[serde(rename = "hidden-mood")]
    pub hidden_mood: hidden_mood::Preset,
}

/// How a network is trained, as presets write it; [`Config`] explains the fields.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// Units.
    pub hidden: i64,
    /// Length of a byte's vector.
    pub embedding: i64,
    /// Texts side by side.
    pub streams: usize,
    /// Bytes of each in a batch.
    pub steps: usize,
    /// Updates in all.
    pub updates: u64,
    /// Rate at the first update.
    pub lr: f64,
    /// The largest norm of all gradients; without it they are not clipped.
    pub clip: Option<f64>,
    /// Updates between two rows.
    pub row_every: u64,
    /// Updates between two looks at the validation shard.
    pub val_every: u64,
    /// Bytes that such a look reads.
    pub val_bytes: usize,
    /// Updates between two checkpoints.
    pub save_every: u64,
    /// How many times the weights are kept.
    pub stations: u32,
}

impl Training {
    /// The configuration of a run on the text with this sum.
    ///
    /// # Errors
    /// A value that no run can use; `preset` and `key` are what the message calls it.
    fn config(&self, preset: &str, key: &str, data_sha256: &str) -> Result<Config, PresetError> {
        let refuse = |name: &str, found: String, wanted| {
            let (preset, key) = (preset.to_owned(), format!("{key}.{name}"));
            Err(PresetError::Value { preset, key, found, wanted })
        };
        let counts = [
            ("hidden", self.hidden as u64),
            ("embedding", self.embedding as u64),
            ("streams", self.streams as u64),
            ("steps", self.steps as u64),
            ("updates", self.updates),
            ("row_every", self.row_every),
            ("save_every", self.save_every),
            ("val_bytes", self.val_bytes as u64),
            ("stations", u64::from(self.stations)),
        ];
        if let Some((name, found)) = counts.into_iter().find(|(_, n)| *n == 0 || *n > 1 << 40) {
            return refuse(name, (found as i64).to_string(), "a whole number from 1");
        }
        if self.val_every == 0 || !self.val_every.is_multiple_of(self.row_every) {
            return refuse("val_every", self.val_every.to_string(), "a multiple of row_every");
        }
        for (name, x) in [("lr", self.lr), ("clip", self.clip.unwrap_or(1.0))] {
            if !(x > 0.0 && x.is_finite()) {
                return refuse(name, x.to_string(), "a number above 0");
            }
        }
        Ok(Config {
            sizes: Sizes { embedding: self.embedding, hidden: self.hidden },
            streams: self.streams,
            steps: self.steps,
            updates: self.updates,
            lr: self.lr,
            clip: self.clip,
            row_every: self.row_every,
            val_every: self.val_every,
            val_bytes: self.val_bytes,
            save_every: self.save_every,
            stations: self.stations,
            data_sha256: data_sha256.to_owned(),
        })
    }
}

/// Where a run's stations lie: beside its checkpoints, in the cache.
fn stations_of(spec: &Spec) -> PathBuf {
    spec.checkpoints().join("stations")
}

/// The shards of a text by its name in paths of results; `own` is the user's own file or folder.
fn shards(
    name: &str,
    own: Option<&Path>,
    train: usize,
    spec: &Spec,
) -> anyhow::Result<Arc<Shards>> {
    let shards = match (own, Corpus::get(name)) {
        (Some(path), _) => own_shards(path, train, &spec.lookup)?,
        (None, Some(corpus)) => corpus.shards(train, &spec.lookup)?,
        (None, None) => anyhow::bail!("no text is called {name}"),
    };
    Ok(Arc::new(shards))
}

/// Updates timed for a dry run, after as many to warm up.
const TIMED: u64 = 3;

/// `--dry-run` of trainings: the resolved configuration of every run, and what they cost. The time of each is
/// measured by a few updates on bytes that mean nothing.
fn describe(session: &Session, study: &Study, plans: &[(Plan, Config)]) -> anyhow::Result<()> {
    let mut out = String::new();
    let mut seconds = 0.0;
    tch::set_num_threads(if session.device.is_cuda() { session.threads as i32 } else { 1 });
    for (plan, cfg) in plans {
        let spec = session.spec(study, plan.clone(), 1);
        writeln!(out, "{} {}", spec.folder().display(), serde_json::to_string(&plan.config)?)?;
        let neuron = Neuron::new(cfg.sizes, cfg.streams, 0, session.device);
        let bytes: Vec<u8> = (0..cfg.streams * cfg.steps).map(|i| (i % 97) as u8).collect();
        let xs = symbols_tensor(&bytes, cfg.streams, cfg.steps).to_device(session.device);
        let mut begun = Instant::now();
        for step in 0..2 * TIMED {
            if step == TIMED {
                begun = Instant::now();
            }
            let state = State::zeros(cfg.streams as i64, cfg.sizes.hidden, session.device);
            let _autocast = session.precision.autocast(session.device);
            let (loss, _) = neuron.net.loss(&xs, &xs, &state);
            loss.backward();
            let _ = loss.double_value(&[]);
        }
        let step_s = begun.elapsed().as_secs_f64() / TIMED as f64;
        seconds += step_s * cfg.updates as f64;
        let sizes = cfg.sizes.config();
        writeln!(
            out,
            "  {} parameters, {} updates of {} bytes, {:.2e} multiply-adds a byte, {:.1} ms an update here, {}",
            sizes.parameters(),
            cfg.updates,
            bytes.len(),
            // The backward pass costs twice the forward.
            3.0 * sizes.multiply_adds() as f64,
            step_s * 1e3,
            human_seconds(step_s * cfg.updates as f64)
        )?;
    }
    let processes = if session.device.is_cuda() { 1 } else { session.threads };
    let memory = common::device::peak_memory(session.device);
    let megabytes = memory.gpu.or(memory.host).unwrap_or_default() / (1 << 20);
    writeln!(out, "memory          about {megabytes} MiB a process, {processes} at a time")?;
    writeln!(out, "time            about {} in all", human_seconds(seconds / processes as f64))?;
    Ok(cli::print(&out)?)
}
