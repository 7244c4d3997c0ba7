//! What one command line resolved to, and the grids of runs it makes.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::rc::Rc;
use std::str::FromStr;

use ledger::run::{
    Existing, Found, RunError, RunKey, RunRecord, Status, digest, look, run_folders,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tch::Device;

use crate::data::lookup::Lookup;
use crate::device::{DeviceChoice, Precision};
use crate::distributed::World;
use crate::experiment::{Experiment, Study};
use crate::grid::{self, GridError, Job};
use crate::interrupt;
use crate::preset::{PresetError, Source};
use crate::progress::Progress;
use crate::training_run::{self, Show, Spec};

/// What every preset says besides the studies' own tables.
#[derive(Debug, Clone, Deserialize)]
pub struct Head {
    /// The studies that run when none is named.
    pub lead: Vec<String>,
    /// The precision that runs use unless `--precision` says otherwise.
    pub precision: Precision,
}

/// One of several commands that share a grid's runs: `0/4` to `3/4`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// From 0.
    index: usize,
    /// How many there are.
    of: usize,
}

impl Shard {
    /// Whether the run at this place of a grid is this command's.
    fn has(self, place: usize) -> bool {
        place % self.of == self.index
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts =
            text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        match parts {
            Some((index, of)) if index < of => Ok(Self { index, of }),
            _ => Err(format!("{text}: wanted I/N with I from 0 and below N, e.g. 0/4")),
        }
    }
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
    /// Which of the runs are this command's; without it, all.
    pub shard: Option<Shard>,
    /// The command that goes on with an interrupted run.
    pub resume_command: String,
    /// The processes that make each run together.
    pub world: World,
    /// Whether a run was found, finished or half-done: what follows it may start anew under `--resume`.
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
    metrics: &'a BTreeMap<String, f64>,
}

impl Session {
    /// The whole preset, with `--set` laid over it.
    ///
    /// # Errors
    /// An unknown key, a value of the wrong type.
    pub fn preset<T: DeserializeOwned>(&self) -> Result<T, PresetError> {
        self.source.load(&self.sets)
    }

    /// The seeds of a study: those of the command line, or as many as its preset says.
    pub fn seeds_or(&self, preset: u64) -> Vec<u64> {
        self.seeds.clone().unwrap_or_else(|| (0..preset).collect())
    }

    /// Makes all runs of `plans` that are not finished, several at a time, and returns the records of
    /// all of them in order.
    ///
    /// On the CPU each run is a process with one thread, as many at a time as there are threads: that is
    /// at least as fast as fewer with more threads (`make bench` measures it). On a GPU one runs at a
    /// time. Where several processes were started to train together, they make one run after the other.
    ///
    /// # Errors
    /// A folder that holds another or a half-done run, a run that fails, an interrupt.
    pub fn grid(&self, study: &Study, plans: Vec<Plan>) -> anyhow::Result<Vec<RunRecord>> {
        let together = self.world.size() > 1;
        let (parallel, threads) =
            if together || self.device.is_cuda() { (1, self.threads) } else { (self.threads, 1) };
        let mut progress = Progress::new(self.quiet || !self.world.is_first());
        let own = |place: usize| self.shard.is_none_or(|shard| shard.has(place));
        let specs: Vec<Spec> = plans
            .into_iter()
            .enumerate()
            .filter(|(place, _)| own(*place))
            .map(|(_, plan)| self.spec(study, plan, threads))
            .collect();
        self.world.agree(&[
            ("study", study.name.to_owned()),
            ("preset", self.preset.clone()),
            ("results", self.results.display().to_string()),
            ("runs", specs.len().to_string()),
        ])?;
        let unfinished = self.world.told_by_first(|| self.unfinished(&specs, &progress))?;
        let jobs = unfinished.into_iter().map(|place| {
            let spec = specs[place].clone();
            Job { name: format!("{} seed {}", spec.key.variant, spec.key.seed), spec }
        });
        let jobs: Vec<Job<Spec>> = jobs.collect();
        let made = if together {
            self.together(&jobs, progress)
        } else {
            grid::run(&jobs, parallel, threads, &mut progress).map_err(Into::into)
        };
        let read = || -> anyhow::Result<Vec<RunRecord>> {
            let mut records = Vec::new();
            for spec in &specs {
                if let Some(record) = RunRecord::read(&spec.folder())? {
                    self.print(&record)?;
                    records.push(record);
                }
            }
            Ok(records)
        };
        if let Err(error) = made {
            if self.world.is_first() {
                read()?;
            }
            return Err(error);
        }
        self.world.told_by_first(read)
    }

    /// The places in `specs` of the runs that are still to be made or to go on with.
    fn unfinished(&self, specs: &[Spec], progress: &Progress) -> anyhow::Result<Vec<usize>> {
        let mut unfinished = Vec::new();
        for (place, spec) in specs.iter().enumerate() {
            let record = spec.record(self.experiment.built_from)?;
            match look(&spec.results, &record, spec.existing, &spec.resume_command)? {
                Found::Complete(_) => {
                    self.resumed.set(true);
                    let (variant, seed) = (&spec.key.variant, spec.key.seed);
                    progress.line(&format!("{variant} seed {seed}: finished before, skipped"));
                    continue;
                }
                Found::HalfDone(_) => self.resumed.set(true),
                Found::Nothing => {}
            }
            unfinished.push(place);
        }
        if let (Existing::Resume { .. }, None, false, Some(first)) =
            (self.existing, self.shard, self.resumed.get(), specs.first())
        {
            return Err(RunError::NothingToResume(first.folder()).into());
        }
        Ok(unfinished)
    }

    /// Makes the runs one after the other, each in all processes.
    fn together(&self, jobs: &[Job<Spec>], progress: Progress) -> anyhow::Result<()> {
        let progress = Rc::new(RefCell::new(progress));
        for Job { name, spec } in jobs {
            let (shown, own) = (Rc::clone(&progress), name.clone());
            let show = Show::new(move |tick| shown.borrow_mut().tick(&own, tick));
            match training_run::make(self.experiment, spec, &self.world, show) {
                Ok(record) => {
                    progress.borrow_mut().finish(name, &training_run::summary(&record));
                }
                Err(error) => {
                    return Err(match interrupt::cause(&error) {
                        // Says how to go on, once.
                        Some(stopped) if self.world.is_first() => {
                            GridError::Interrupted(stopped).into()
                        }
                        _ => error,
                    });
                }
            }
        }
        Ok(())
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
            device: DeviceChoice::of(self.device),
            precision: self.precision,
            threads,
            world_size: self.world.size(),
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
        let made = self.run_studies(names);
        if let Err(error) = &made {
            self.world.leave_word(error);
        }
        made.and_then(|()| Ok(self.world.barrier()?))
    }

    fn run_studies(&self, names: &[String]) -> anyhow::Result<()> {
        let studies = self.studies(names)?;
        if self.dry_run && !self.world.is_first() {
            return Ok(());
        }
        // Before anything is fetched. `grid` looks again, run by run. A study may have stopped in a run of another
        // one that it needs.
        if matches!(self.existing, Existing::Resume { .. }) && self.shard.is_none() {
            let folder = |study: &Study| {
                self.results.join(self.experiment.name).join(&self.preset).join(study.name)
            };
            let first = folder(studies.first().expect("a preset leads with a study"));
            self.world.told_by_first(|| {
                let all = self.experiment.studies.iter();
                let begun: Vec<_> =
                    all.map(|study| run_folders(&folder(study), None)).collect::<Result<_, _>>()?;
                if begun.iter().all(Vec::is_empty) {
                    return Err(RunError::NothingToResume(first).into());
                }
                Ok(())
            })?;
        }
        studies.into_iter().try_for_each(|study| (study.run)(self))
    }

    /// The studies called `names`; the preset's lead studies when there are none, and every study for
    /// `all`.
    fn studies(&self, names: &[String]) -> anyhow::Result<Vec<&'static Study>> {
        let head: Head = self.preset()?;
        let names = if names.is_empty() { &head.lead } else { names };
        if names.iter().any(|name| name == "all") {
            return Ok(self.experiment.studies.iter().collect());
        }
        let mut seen = BTreeSet::new();
        let named = names.iter().filter(|name| seen.insert(name.as_str()));
        named.map(|name| Ok(self.experiment.study(name)?)).collect()
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_share_every_run_and_none_twice() {
        let shards: Vec<Shard> = (0..3).map(|i| format!("{i}/3").parse().unwrap()).collect();
        for place in 0..10 {
            assert_eq!(shards.iter().filter(|shard| shard.has(place)).count(), 1, "{place}");
        }
        for wrong in ["3/3", "1", "a/2", "-1/2", "0/0"] {
            let error = wrong.parse::<Shard>().unwrap_err();
            assert!(error.contains("wanted I/N"), "{error}");
        }
    }
}
