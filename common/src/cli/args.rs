//! Verbs and flags, and how they become a [`Session`].

use std::cell::Cell;
use std::path::PathBuf;

use clap::{ArgAction, Args, Subcommand};
use ledger::run::Existing;

use crate::data::lookup::Lookup;
use crate::device::{self, DeviceChoice, Precision};
use crate::distributed::World;
use crate::experiment::Experiment;
use crate::preset::Source;
use crate::session::{Head, Session, Shard, preset_in_paths};

/// The verbs that every experiment has.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the studies, presets with their minutes, and downloads
    List,
    /// Train: every run of the studies that is not finished yet
    Run(RunArgs),
    /// Measure and draw again from the stored files
    Figures(FiguresArgs),
    /// Recompute every measured value, figure and verdict; fails on any difference
    Verify(VerifyArgs),
    /// Lay one run's curves over another's: is my curve right?
    Compare(CompareArgs),
    /// Fetch and verify the data sets
    Data(DataArgs),
    /// One run of a grid, started by `run`
    #[command(hide = true)]
    Worker,
}

/// Flags of `run`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct RunArgs {
    /// Studies to run, or `all`; without any, those the preset leads with
    pub studies: Vec<String>,
    /// The scale: see `list`
    #[arg(long, default_value = "laptop")]
    pub preset: String,
    /// Run this one seed
    #[arg(long, conflicts_with = "seeds")]
    pub seed: Option<u64>,
    /// Run seeds 0 to N-1
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub seeds: Option<u64>,
    /// auto, cpu, cuda or cuda:<index>
    #[arg(long, default_value = "auto")]
    pub device: String,
    /// fp32, tf32 (GPUs) or bf16 (autocast, fp32 master weights); the preset says which is its own
    #[arg(long)]
    pub precision: Option<String>,
    /// Threads in all [default: `OMP_NUM_THREADS`, else the available cores]
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// Change a value of the preset; results then go to a folder of their own
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub sets: Vec<String>,
    /// Go on with runs that stopped before their end
    #[arg(long, conflicts_with = "overwrite")]
    pub resume: bool,
    /// With --resume: also under another binary, processor, precision or number of threads
    #[arg(long, requires = "resume")]
    pub allow_inexact: bool,
    /// Start anew, replacing what is there
    #[arg(long)]
    pub overwrite: bool,
    /// Make only every N-th run, from the I-th on (I from 0), and go on with half-done ones: for job arrays
    #[arg(long, value_name = "I/N", conflicts_with = "overwrite")]
    pub index: Option<Shard>,
    /// The results folder
    #[arg(long, value_name = "DIR", default_value = "results")]
    pub out: PathBuf,
    #[command(flatten)]
    /// Where data is looked for
    pub places: Places,
    /// Print the resolved configuration and its cost, and run nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Print one JSON object for each finished run on stdout
    #[arg(long)]
    pub json: bool,
    /// Only warnings and errors
    #[arg(short, long, conflicts_with = "verbose")]
    pub quiet: bool,
    /// More logs (twice: still more)
    #[arg(short, long, action = ArgAction::Count)]
    pub verbose: u8,
}

/// Where data sets are looked for.
#[derive(Debug, Args)]
pub struct Places {
    /// A folder with your own copy of the data
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Fetch nothing
    #[arg(long)]
    pub offline: bool,
}

/// Flags of `figures`.
#[derive(Debug, Args)]
pub struct FiguresArgs {
    /// Studies to draw; without any, all that have finished runs
    pub studies: Vec<String>,
    /// Only this preset (as in the results folder); without it, all
    #[arg(long)]
    pub preset: Option<String>,
    /// The results folder
    #[arg(long, value_name = "DIR", default_value = "results")]
    pub out: PathBuf,
}

/// Flags of `verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Only this preset (as in the results folder); without it, all
    #[arg(long)]
    pub preset: Option<String>,
    /// The results folder
    #[arg(long, value_name = "DIR", default_value = "results")]
    pub out: PathBuf,
}

/// Flags of `compare`.
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// The folder of a run
    pub run: PathBuf,
    /// The folder to compare it with [default: the same run in results/reference]
    pub with: Option<PathBuf>,
    /// Where the overlay is written, without ending [default: compare in the first run's study folder]
    #[arg(long, value_name = "STEM")]
    pub plot: Option<PathBuf>,
}

/// Flags of `data`.
#[derive(Debug, Args)]
pub struct DataArgs {
    /// Data sets by name; without any, those of the experiment's studies
    pub sets: Vec<String>,
    /// Only say what is there, whole or missing
    #[arg(long)]
    pub check: bool,
    #[command(flatten)]
    /// Where data is looked for
    pub places: Places,
}

impl RunArgs {
    /// Resolves the flags against presets, device and environment.
    ///
    /// # Errors
    /// An unknown preset, key, device or precision; a folder that is not there.
    pub fn session(&self, experiment: &'static Experiment) -> anyhow::Result<Session> {
        let source = Source::find(experiment.presets, &self.preset)?;
        let head: Head = source.load(&self.sets)?;
        let asked = match &self.precision {
            Some(text) => text.parse::<Precision>()?,
            None => head.precision,
        };
        let device = self.device.parse::<DeviceChoice>()?.resolve()?;
        let fast = asked.of_preset(device);
        let precision = if self.precision.is_some() { asked } else { fast };
        if fast != asked {
            tracing::warn!(
                "this processor has no instructions for {asked}, which takes it tens of times as long as {fast}: \
                 computing in {precision} (--precision chooses)"
            );
        }
        precision.prepare(device)?;
        let threads = device::threads(self.threads)?;
        device::configure_threads(threads);
        let world = World::join(device)?;
        let existing = match (self.resume || self.index.is_some(), self.overwrite) {
            (true, _) => Existing::Resume { allow_inexact: self.allow_inexact },
            (_, true) => Existing::Overwrite,
            _ => Existing::Keep,
        };
        Ok(Session {
            experiment,
            source,
            sets: self.sets.clone(),
            preset: preset_in_paths(&source, &self.sets, asked)?,
            seeds: self.seed.map(|seed| vec![seed]).or(self.seeds.map(|n| (0..n).collect())),
            device,
            precision,
            threads,
            results: self.out.clone(),
            lookup: self.places.lookup()?,
            existing,
            dry_run: self.dry_run,
            json: self.json,
            quiet: self.quiet,
            shard: self.index,
            resume_command: super::resume_command(),
            world,
            resumed: Cell::default(),
        })
    }
}

impl Places {
    /// The places as flags and environment name them.
    ///
    /// # Errors
    /// A folder that is not there.
    pub fn lookup(&self) -> anyhow::Result<Lookup> {
        Ok(Lookup::from_env(self.data.clone(), self.offline)?)
    }
}
