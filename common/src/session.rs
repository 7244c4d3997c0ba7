//! What one command line resolved to, and the grids of runs it makes.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::PathBuf;

use ledger::run::{
    Existing, Found, RunError, RunKey, RunRecord, Status, digest, finished_runs, look,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tch::Device;

use crate::data::lookup::Lookup;
use crate::device::Precision;
use crate::experiment::{Experiment, Finished, Study};
use crate::grid::{self, Job};
use crate::preset::{PresetError, Source};
use crate::progress::Progress;
use crate::training_run::Spec;

/// What every preset says besides the studies' own tables.
#[derive(Debug, Clone, Deserialize)]
pub struct Head {
    /// The studies that run when none is named.
    pub lead: Vec<String>,
    /// The precision that runs use unless `--precision` says otherwise.
    pub precision: Precision,
}

/// One command line, resolved.
#[derive(Debug)]
pub struct Session {
    /// The experiment.
    pub experiment: &'static Experiment,
    /// The preset as the binary carries it.
    pub source: Source,
    /// `--set`, in order.
    pub sets: Vec<String>,
    /// The preset's name in paths: with `+<8 hex>` behind it when it was changed.
    pub preset: String,
    /// The seeds asked for; `None` leaves them to the preset.
    pub seeds: Option<Vec<u64>>,
    /// The device.
    pub device: Device,
    /// The precision.
    pub precision: Precision,
    /// Threads for the whole command.
    pub threads: usize,
    /// The results folder.
    pub results: PathBuf,
    /// Where data sets are looked for.
    pub lookup: Lookup,
    /// What to do with what run folders hold.
    pub existing: Existing,
    /// Print what would run, and run nothing.
    pub dry_run: bool,
    /// Print one JSON object per finished run.
    pub json: bool,
    /// No progress.
    pub quiet: bool,
    /// The command that goes on with an interrupted run.
    pub resume_command: String,
    /// Whether `--resume` has found a half-done run: what follows it may start anew.
    pub(crate) resumed: Cell<bool>,
}

/// One run that a study wants made.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The data set's name.
    pub data: String,
    /// What is varied, e.g. `authors-relu`.
    pub variant: String,
    /// The seed.
    pub seed: u64,
    /// The run's configuration, with everything that can change a number (the data's hash too).
    pub config: Value,
}

/// One line of `--json`.
#[derive(Serialize)]
struct Line<'a> {
    path: String,
    status: Status,
    elapsed_s: f64,
    metrics: &'a std::collections::BTreeMap<String, f64>,
}

impl Session {
    /// The whole preset, with `--set` laid over it.
    ///
    /// # Errors
    /// An unknown key, a value of the wrong type.
    pub fn preset<T: DeserializeOwned>(&self) -> Result<T, PresetError> {
        self.source.load(&self.sets)
    }

    /// The folder of one study at this preset.
    pub fn study_folder(&self, study: &Study) -> PathBuf {
        study_folder(&self.results, self.experiment, &self.preset, study)
    }

    /// Makes all runs of `plans` that are not finished, several at a time, and returns the records of
    /// all of them in order.
    ///
    /// On the CPU each run is a process with one thread, as many at a time as there are threads:
    /// that is at least as fast as fewer with more threads (`make bench` measures it). On a GPU one runs at a time.
    ///
    /// # Errors
    /// A folder that holds another or a half-done run, a run that fails, an interrupt.
    pub fn grid(&self, study: &Study, plans: Vec<Plan>) -> anyhow::Result<Vec<RunRecord>> {
        let (parallel, threads) =
            if self.device.is_cuda() { (1, self.threads) } else { (self.threads, 1) };
        let mut progress = Progress::new(self.quiet);
        let mut jobs = Vec::new();
        let specs: Vec<Spec> =
            plans.into_iter().map(|plan| self.spec(study, plan, threads)).collect();
        let mut begun = false;
        for spec in &specs {
            let name = format!("{} seed {}", spec.key.variant, spec.key.seed);
            let record = spec.record(self.experiment.built_from)?;
            match look(&spec.results, &record, spec.existing, &spec.resume_command)? {
                Found::Complete(_) => {
                    begun = true;
                    progress.line(&format!("{name}: finished before, skipped"));
                    continue;
                }
                Found::HalfDone(_) => {
                    begun = true;
                    self.resumed.set(true);
                }
                Found::Nothing => {}
            }
            jobs.push(Job { name, spec: spec.clone() });
        }
        if let (Existing::Resume { .. }, false, false, Some(first)) =
            (self.existing, begun, self.resumed.get(), specs.first())
        {
            return Err(RunError::NothingToResume(first.folder()).into());
        }
        let made = grid::run(&jobs, parallel, threads, &mut progress);
        let mut records = Vec::new();
        for spec in &specs {
            if let Some(record) = RunRecord::read(&spec.folder())? {
                self.print(&record)?;
                records.push(record);
            }
        }
        made?;
        Ok(records)
    }

    /// One run as its process gets it.
    pub fn spec(&self, study: &Study, plan: Plan, threads: usize) -> Spec {
        Spec {
            key: RunKey {
                experiment: self.experiment.name.to_owned(),
                preset: self.preset.clone(),
                study: study.name.to_owned(),
                data: plan.data,
                variant: plan.variant,
                seed: plan.seed,
            },
            config: plan.config,
            results: self.results.clone(),
            lookup: self.lookup.clone(),
            device: self.device.into(),
            precision: self.precision,
            threads,
            existing: self.existing,
            resume_command: self.resume_command.clone(),
        }
    }

    fn print(&self, record: &RunRecord) -> anyhow::Result<()> {
        if self.json && record.status == Status::Complete {
            let path = self.results.join(record.key.relative()).display().to_string();
            let RunRecord { status, elapsed_s, metrics, .. } = record;
            let line = Line { path, status: *status, elapsed_s: *elapsed_s, metrics };
            crate::cli::print(&(serde_json::to_string(&line)? + "\n"))?;
        }
        Ok(())
    }

    /// Makes the runs of the studies named, or of the preset's lead studies.
    ///
    /// # Errors
    /// An unknown study; what a study says.
    pub fn run(&self, names: &[String]) -> anyhow::Result<()> {
        let studies = studies(self.experiment, &self.source, &self.sets, names)?;
        if matches!(self.existing, Existing::Resume { .. }) {
            let begun = |study: &&Study| holds_a_run(&self.study_folder(study));
            if !studies.iter().any(begun) {
                let folder =
                    self.study_folder(studies.first().expect("a preset leads with a study"));
                return Err(RunError::NothingToResume(folder).into());
            }
        }
        studies.into_iter().try_for_each(|study| (study.run)(self))
    }
}

/// Whether a run was begun anywhere below `folder`.
fn holds_a_run(folder: &std::path::Path) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    entries
        .flatten()
        .map(|entry| entry.path())
        .any(|path| if path.is_dir() { holds_a_run(&path) } else { path.ends_with("run.json") })
}

/// The folder of one study's runs, figures and measured values.
pub fn study_folder(
    results: &std::path::Path,
    experiment: &Experiment,
    preset: &str,
    study: &Study,
) -> PathBuf {
    results.join(experiment.name).join(preset).join(study.name)
}

/// The finished runs in a study's folder.
///
/// # Errors
/// A folder that cannot be listed, a record that cannot be read.
pub fn finished(folder: PathBuf, preset: String) -> anyhow::Result<Finished> {
    let runs = finished_runs(&folder)?;
    Ok(Finished { preset, folder, runs })
}

/// The studies called `names`; the preset's lead studies when there are none, and every study for
/// `all`.
///
/// # Errors
/// An unknown study, a preset that cannot be read.
pub fn studies(
    experiment: &Experiment,
    source: &Source,
    sets: &[String],
    names: &[String],
) -> anyhow::Result<Vec<&'static Study>> {
    let head: Head = source.load(sets)?;
    let names = if names.is_empty() { &head.lead } else { names };
    if names.iter().any(|name| name == "all") {
        return Ok(experiment.studies.iter().collect());
    }
    let mut seen = BTreeSet::new();
    let named = names.iter().filter(|name| seen.insert(name.as_str()));
    named.map(|name| Ok(experiment.study(name)?)).collect()
}

/// The preset's name in paths: as it is, or with the first 8 digits of a hash over the whole resolved
/// preset and the precision when either differs from the preset as it is carried.
///
/// # Errors
/// A preset that cannot be read.
pub fn preset_in_paths(
    source: &Source,
    sets: &[String],
    precision: Precision,
) -> Result<String, PresetError> {
    let resolved = |sets: &[String], precision| {
        source
            .load::<toml::Table>(sets)
            .map(|table| json!({"preset": table, "precision": precision}))
    };
    let head: Head = source.load(&[])?;
    let (carried, asked) = (resolved(&[], head.precision)?, resolved(sets, precision)?);
    Ok(if carried == asked {
        source.name.to_owned()
    } else {
        format!("{}+{:.8}", source.name, digest(&asked))
    })
}
