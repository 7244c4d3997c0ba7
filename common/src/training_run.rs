//! One training: its folder, metrics, checkpoints and end.
//!
//! A study's training loop works on a [`TrainingRun`]: it asks where to go on
//! ([`TrainingRun::resume_or_start`]), tells what it measured ([`TrainingRun::log`]), saves
//! ([`TrainingRun::save`]) and reports how far it is ([`TrainingRun::tick`]). What is on disk is whole
//! at any moment: rows and events after the last checkpoint are cut when the run goes on.
//!
//! Several processes make one run together ([`TrainingRun::world`]): each calls the same functions, the first one reads
//! and writes the run's files.

mod spec;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use ledger::metrics::{self, MetricsWriter};
use ledger::run::{Opened, RunFolder, RunRecord, Status};
use ledger::tensorboard::{self, EventWriter};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tch::{Device, nn::VarStore};

use crate::checkpoint::{self, Loaded, Store, restore_variables};
use crate::device::{self, Precision};
use crate::distributed::World;
use crate::experiment::Experiment;
use crate::grid::{self, Message};
use crate::interrupt;
use crate::optim::{OptimError, Optimizer};
use crate::progress::Tick;
use crate::shim;

pub use spec::Spec;

/// The file of rows in a run's folder.
pub const METRICS: &str = "metrics.csv";
/// How often a run tells where it is.
const TICK_EVERY: Duration = Duration::from_millis(500);

/// A run that cannot go on where it stopped.
#[derive(Debug, thiserror::Error)]
pub enum ResumeError {
    /// The optimiser's state is of another model.
    #[error("{}: {source}", path.display())]
    Optimizer {
        /// The checkpoint's folder.
        path: PathBuf,
        /// What does not fit.
        source: OptimError,
    },
    /// Rows were written, but no checkpoint is there any more.
    #[error(
        "{}: the run had got to step {step}, but it has no checkpoint in {}; restore that folder, \
         or start the run over with --overwrite", run.display(), checkpoints.display()
    )]
    NoCheckpoint {
        /// The run's folder.
        run: PathBuf,
        /// Where checkpoints should be.
        checkpoints: PathBuf,
        /// The last step in its metrics.
        step: u64,
    },
}

/// What a checkpoint says besides tensors.
#[derive(Serialize, Deserialize)]
struct Saved<S> {
    step: u64,
    elapsed_s: f64,
    at: S,
}

/// Where a process keeps the run's files.
#[derive(Debug)]
enum Place {
    /// The run's folder, of the first process or one that is alone.
    Own(Box<RunFolder>),
    /// A folder that nobody looks into, of the others; what the run's record says.
    Aside(tempfile::TempDir, Box<RunRecord>),
}

impl Place {
    fn record(&mut self) -> &mut RunRecord {
        match self {
            Self::Own(folder) => &mut folder.record,
            Self::Aside(_, record) => record,
        }
    }
}

/// What is told of a run to whoever watches.
pub struct Show(Box<dyn Fn(&Tick)>);

impl Show {
    /// Shows by calling `show`.
    pub fn new(show: impl Fn(&Tick) + 'static) -> Self {
        Self(Box::new(show))
    }

    /// Shows nothing.
    pub fn nothing() -> Self {
        Self::new(|_| {})
    }
}

impl std::fmt::Debug for Show {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Show")
    }
}

/// One training in progress.
#[derive(Debug)]
pub struct TrainingRun {
    place: Place,
    world: World,
    resume: bool,
    store: Store,
    device: Device,
    precision: Precision,
    writers: Option<(MetricsWriter, EventWriter)>,
    /// Seconds before this sitting, up to the checkpoint it began with.
    elapsed_before: f64,
    sitting: Instant,
    last_tick: Option<(Instant, u64)>,
    /// Whether the checkpoints go when the run is complete.
    forget: bool,
    show: Show,
}

/// What the first process found where a run is to be made.
#[derive(Serialize, Deserialize)]
enum Answer {
    Ready { record: Box<RunRecord>, resume: bool },
    Complete(Box<RunRecord>),
}

/// What opening a run found.
#[derive(Debug)]
pub enum Start {
    /// A run to make or to go on with.
    Ready(Box<TrainingRun>),
    /// It is finished; its record.
    Complete(Box<RunRecord>),
}

impl TrainingRun {
    /// Opens and locks the run's folder; all processes of `world` together.
    ///
    /// # Errors
    /// As [`RunFolder::open`]; a device that is not there; processes that were started differently.
    pub fn open(
        spec: &Spec,
        built_from: (&str, bool),
        world: &World,
        show: Show,
    ) -> anyhow::Result<Start> {
        let device = spec.device.resolve()?;
        spec.precision.prepare(device)?;
        let record = spec.record(built_from)?;
        world.agree(&[
            ("run", spec.key.relative().display().to_string()),
            ("program", format!("{:.12}", record.build.binary_sha256)),
            ("conditions", record.config["conditions"].to_string()),
            ("configuration", format!("{:.12}", record.digest)),
            ("libtorch's instruction set", record.host.cpu_capability.clone()),
        ])?;
        let store = Store::new(spec.checkpoints());
        let mut own = None;
        let answer = world.told_by_first(|| {
            match RunFolder::open(&spec.results, record, spec.existing, &spec.resume_command)? {
                Opened::Complete(record) => Ok(Answer::Complete(record)),
                Opened::Ready { folder, resume } => {
                    if !resume {
                        store.clear()?;
                    }
                    let record = Box::new(folder.record.clone());
                    own = Some(Place::Own(folder));
                    Ok(Answer::Ready { record, resume })
                }
            }
        })?;
        let (record, resume) = match answer {
            Answer::Complete(record) => return Ok(Start::Complete(record)),
            Answer::Ready { record, resume } => (record, resume),
        };
        let place = match own {
            Some(own) => own,
            None => Place::Aside(tempfile::tempdir()?, record),
        };
        Ok(Start::Ready(Box::new(Self {
            place,
            world: world.clone(),
            resume,
            store,
            device,
            precision: spec.precision,
            writers: None,
            elapsed_before: 0.0,
            sitting: Instant::now(),
            last_tick: None,
            forget: false,
            show,
        })))
    }

    /// The processes that make the run.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// The device to train on.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Starts autocast for a forward pass in the run's precision; it lasts as long as what the call returns.
    pub fn autocast(&self) -> impl Fn() -> shim::Autocast + use<> {
        let (precision, device) = (self.precision, self.device);
        move || precision.autocast(device)
    }

    /// The folder for raw outputs: the run's in the first process, one that is thrown away in the others.
    pub fn path(&self) -> &Path {
        match &self.place {
            Place::Own(folder) => folder.path(),
            Place::Aside(folder, _) => folder.path(),
        }
    }

    /// Where the loop stands: the step and state of the last checkpoint, with `vs` and `opt` restored
    /// from it, or step 0 and the default state, which is saved at once: from the first row on there is a
    /// checkpoint. `columns` are those of `metrics.csv`; rows after the step are cut.
    ///
    /// # Errors
    /// A checkpoint of another model, damaged or gone; a file that cannot be read or written.
    pub fn resume_or_start<S: Serialize + DeserializeOwned + Default>(
        &mut self,
        vs: &VarStore,
        opt: &mut impl Optimizer,
        columns: &[&str],
    ) -> anyhow::Result<(u64, S)> {
        let metrics = self.path().join(METRICS);
        let events = self.path().join(tensorboard::FILE_NAME);
        let Some(loaded) = self.last_checkpoint::<S>(&metrics)? else {
            // Drawn from the same seed everywhere: this makes sure.
            self.world.broadcast(checkpoint::variables(vs).iter().map(|(_, variable)| variable))?;
            self.start(columns)?;
            self.save(0, vs, opt, &S::default())?;
            return Ok((0, S::default()));
        };
        let Saved { step, elapsed_s, at } = loaded.state;
        let what = self.store.folder().join(format!("step-{step}"));
        restore_variables(vs, &loaded.model, &what.display().to_string())?;
        opt.load_state(&loaded.optim)
            .map_err(|source| ResumeError::Optimizer { path: what, source })?;
        if self.world.is_first() {
            self.writers = Some((
                MetricsWriter::resume(metrics, columns, step)?,
                EventWriter::resume(events, unix_time(), step)?,
            ));
        } else {
            self.start(columns)?;
        }
        self.elapsed_before = elapsed_s;
        tracing::info!("{}: going on from step {step}", self.path().display());
        Ok((step, at))
    }

    /// The checkpoint to go on from, as the first process reads it; none for a run that begins.
    fn last_checkpoint<S: Serialize + DeserializeOwned>(
        &self,
        metrics: &Path,
    ) -> anyhow::Result<Option<Loaded<Saved<S>>>> {
        if !self.resume {
            return Ok(None);
        }
        let store = &self.store;
        self.world.loaded(|| {
            let saved = store.load::<Saved<S>>()?;
            let rows = || metrics::read(metrics).ok()?.rows.last().map(|row| row.step);
            if let (None, Some(step)) = (&saved, rows()) {
                let (run, checkpoints) = (self.path().into(), store.folder().into());
                return Err(ResumeError::NoCheckpoint { run, checkpoints, step }.into());
            }
            Ok(saved)
        })
    }

    /// Begins a run that trains nothing: it is over in one sitting, and its rows start anew. `columns` are
    /// those of `metrics.csv`.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn start(&mut self, columns: &[&str]) -> anyhow::Result<()> {
        let (metrics, events) =
            (self.path().join(METRICS), self.path().join(tensorboard::FILE_NAME));
        self.writers = Some((
            MetricsWriter::create(metrics, columns)?,
            EventWriter::create(events, unix_time())?,
        ));
        Ok(())
    }

    /// Seconds since the run began, over all sittings.
    pub fn elapsed_s(&self) -> f64 {
        self.elapsed_before + self.sitting.elapsed().as_secs_f64()
    }

    /// Writes one row to `metrics.csv` and the TensorBoard events.
    ///
    /// # Errors
    /// An unknown column, a step that goes back, a file that cannot be written.
    ///
    /// # Panics
    /// If called before [`TrainingRun::resume_or_start`] or [`TrainingRun::start`].
    pub fn log(&mut self, step: u64, values: &[(&str, f64)]) -> anyhow::Result<()> {
        let elapsed_s = self.elapsed_s();
        let (metrics, events) =
            self.writers.as_mut().expect("resume_or_start or start opens the writers");
        metrics.row(step, elapsed_s, values)?;
        let now = unix_time();
        for (tag, value) in values {
            events.scalar(step, now, tag, *value)?;
        }
        Ok(())
    }

    /// Writes a checkpoint; the rows before it are on the disk then. The first process writes it, all call this.
    ///
    /// # Errors
    /// A file that cannot be written; earlier checkpoints are then untouched.
    ///
    /// # Panics
    /// If called before [`TrainingRun::resume_or_start`].
    pub fn save<S: Serialize>(
        &mut self,
        step: u64,
        vs: &VarStore,
        opt: &impl Optimizer,
        at: &S,
    ) -> anyhow::Result<()> {
        let (metrics, _) = self.writers.as_ref().expect("resume_or_start opens the writers");
        if !self.world.is_first() {
            return Ok(());
        }
        metrics.sync()?;
        let saved = Saved { step, elapsed_s: self.elapsed_s(), at };
        self.store.save(step, &checkpoint::variables(vs), &opt.state(), &saved, false)?;
        Ok(())
    }

    /// Lets the checkpoints go when the run is complete: for a run whose result is in its folder, and of which there
    /// are many.
    pub fn forget_checkpoints_when_done(&mut self) {
        self.forget = true;
    }

    /// Tells whoever watches where the run is, at most twice a second: `seen` examples a step.
    pub fn tick(&mut self, step: u64, steps: u64, per_step: f64, unit: &str, loss: f64) {
        let now = Instant::now();
        let Some((then, before)) = self.last_tick else {
            self.last_tick = Some((now, step));
            return;
        };
        let passed = now.duration_since(then);
        if passed < TICK_EVERY {
            return;
        }
        self.last_tick = Some((now, step));
        let rate = (step - before) as f64 * per_step / passed.as_secs_f64();
        (self.show.0)(&Tick { step, steps, rate, unit: unit.to_owned(), loss });
    }

    /// Writes the end of the run into its record: its final numbers, or how it stopped.
    fn close(
        mut self,
        result: &anyhow::Result<BTreeMap<String, f64>>,
    ) -> anyhow::Result<RunRecord> {
        let elapsed_s = self.elapsed_s();
        let peak = device::peak_memory(self.device);
        let peak = peak.gpu.or(peak.host).unwrap_or_default();
        let record = self.place.record();
        record.elapsed_s = elapsed_s;
        record.peak_memory_bytes = record.peak_memory_bytes.max(peak);
        record.status = match result {
            Ok(metrics) => {
                record.metrics.clone_from(metrics);
                Status::Complete
            }
            Err(error) if interrupt::cause(error).is_some() => Status::Interrupted,
            Err(_) => Status::Failed,
        };
        let folder = match self.place {
            Place::Own(folder) => folder,
            Place::Aside(_, record) => return Ok(*record),
        };
        if let Some((metrics, _)) = &self.writers {
            metrics.sync()?;
        }
        folder.save()?;
        if self.forget && result.is_ok() {
            self.store.clear()?;
        }
        Ok(folder.record)
    }
}

/// Makes the run of `spec` in this process, and in the others of `world`; returns its record.
///
/// # Errors
/// What opening or training said; the run's record says how it stopped.
pub fn make(
    experiment: &Experiment,
    spec: &Spec,
    world: &World,
    show: Show,
) -> anyhow::Result<RunRecord> {
    let study = experiment.study(&spec.key.study)?;
    device::configure_threads(spec.threads);
    match TrainingRun::open(spec, experiment.built_from, world, show)? {
        Start::Complete(record) => Ok(*record),
        Start::Ready(mut run) => {
            // It is complete when it is in every process.
            let result = (study.train)(spec, &mut run)
                .and_then(|metrics| world.barrier().map(|()| metrics).map_err(Into::into));
            let closed = run.close(&result);
            if let (Err(_), Err(error)) = (&result, &closed) {
                // What stopped the training is the news, not that its record cannot be written either.
                tracing::error!("{error:#}");
            }
            result.and(closed)
        }
    }
}

/// The `worker` verb: makes the run that the parent asks for and tells how it goes.
pub fn work(experiment: &Experiment) {
    shim::keep_memory(); // before the thread that waits for the parent to go away
    let made = grid::receive::<Spec>().map_err(anyhow::Error::from).and_then(|spec| {
        let show = Show::new(|tick| grid::tell(&Message::Tick(tick.clone())));
        make(experiment, &spec, &World::alone(), show)
    });
    match made {
        Ok(record) => grid::tell(&Message::Done(summary(&record))),
        Err(error) if interrupt::cause(&error).is_some() => {}
        Err(error) => grid::tell(&Message::Failed(crate::cli::chain(&error))),
    }
}

/// What a finished run ended with, in a line.
pub(crate) fn summary(record: &RunRecord) -> String {
    let numbers: Vec<_> = record.metrics.iter().map(|(name, x)| format!("{name} {x:.4}")).collect();
    let elapsed = crate::progress::human_seconds(record.elapsed_s);
    format!("done in {elapsed}: {}", numbers.join(", "))
}

fn unix_time() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
