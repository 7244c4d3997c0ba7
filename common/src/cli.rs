//! The command line all binaries share.
//!
//! A binary hands its own verbs to [`main`], which adds the shared ones ([`Command`]) and turns what comes
//! back into the exit code: 0 done, 1 failed, 2 wrong usage, 130 or 143 interrupted.

use std::fs::{self, File};
use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;

use anyhow::Context as _;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use tracing::Level;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::{BoxMakeWriter, MakeWriterExt as _};

use crate::data::error::DataError;
use crate::device::DeviceError;
use crate::distributed::{Place, WorldError};
use crate::experiment::{Experiment, UnknownStudy};
use crate::grid::GridError;
use crate::interrupt;
use crate::preset::PresetError;
use crate::{shim, training_run};

mod args;
mod compare;
mod data;
mod list;
mod redraw;

pub use args::{Command, CompareArgs, DataArgs, FiguresArgs, Places, RunArgs, VerifyArgs};

#[derive(Parser)]
#[command(version)]
struct Cli<Own: Subcommand> {
    #[command(subcommand)]
    verb: Verb<Own>,
}

#[derive(Subcommand)]
enum Verb<Own: Subcommand> {
    #[command(flatten)]
    Shared(Box<Command>),
    #[command(flatten)]
    Own(Own),
}

/// Carries out the command line: a shared verb, or by `own` one of the experiment's (`Infallible` where it has none).
pub fn main<Own: Subcommand>(
    experiment: &'static Experiment,
    own: impl FnOnce(Own) -> anyhow::Result<()>,
) -> ExitCode {
    let mut cli = Cli::<Own>::command().name(experiment.name).about(experiment.about);
    let parsed = Cli::<Own>::from_arg_matches(&cli.get_matches_mut());
    match parsed.unwrap_or_else(|error| error.format(&mut cli).exit()).verb {
        Verb::Shared(command) => exit(|| execute(experiment, *command)),
        Verb::Own(verb) => exit(|| own(verb)),
    }
}

/// Carries out one of the shared verbs.
///
/// # Errors
/// What the verb says; [`main`] prints it.
pub fn execute(experiment: &'static Experiment, command: Command) -> anyhow::Result<()> {
    match command {
        Command::List => list::list(experiment),
        Command::Run(args) => {
            match Place::from_env().map_err(WorldError::from)? {
                None => start_logs(args.quiet, args.verbose),
                Some(place) => {
                    shim::keep_memory(); // as a worker does
                    let folder = args.out.join(experiment.name);
                    start_logs_of(&place, &folder, args.quiet, args.verbose)?;
                }
            }
            interrupt::install()?;
            args.session(experiment)?.run(&args.studies)
        }
        Command::Figures(args) => {
            start_logs(false, 0);
            redraw::figures(experiment, &args)
        }
        Command::Verify(args) => {
            start_logs(false, 0);
            redraw::verify(experiment, &args)
        }
        Command::Compare(args) => {
            start_logs(false, 0);
            compare::compare(&args)
        }
        Command::Data(args) => {
            start_logs(false, 0);
            interrupt::install()?;
            data::data(experiment, &args)
        }
        Command::Worker => {
            start_logs(false, 0);
            interrupt::install()?;
            training_run::work(experiment);
            Ok(())
        }
    }
}

/// Runs a binary's body and turns its result into the exit code, printing the chain of an error once.
fn exit(body: impl FnOnce() -> anyhow::Result<()>) -> ExitCode {
    let Err(error) = body() else { return ExitCode::SUCCESS };
    if let Some(stopped) = interrupt::cause(&error) {
        let code = ExitCode::from(stopped.exit_code);
        if error.is::<GridError>() {
            let command = resume_command();
            eprintln!("interrupted; every run has written a checkpoint. Go on with: {command}");
        } else {
            eprintln!("{error}");
        }
        return code;
    }
    eprintln!("error: {}", chain(&error));
    let usage = error.is::<PresetError>()
        || error.is::<UnknownStudy>()
        || matches!(error.downcast_ref(), Some(DataError::UnknownSet { .. }))
        || matches!(
            error.downcast_ref(),
            Some(
                DeviceError::UnknownDevice(_)
                    | DeviceError::UnknownPrecision(_)
                    | DeviceError::Tf32OnCpu
                    | DeviceError::NotANumber { .. }
            )
        );
    ExitCode::from(if usage { 2 } else { 1 })
}

/// An error and its causes, joined; a cause that a message already holds is not said again.
pub(crate) fn chain(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |said, cause| {
        match (said.is_empty(), said.contains(&cause)) {
            (true, _) => cause,
            (_, true) => said,
            _ => format!("{said}: {cause}"),
        }
    })
}

/// This command line, with `--resume` for `--overwrite` or none.
pub(crate) fn resume_command() -> String {
    let mut words: Vec<String> = std::env::args()
        .filter(|word| word != "--overwrite" && word != "--resume")
        .map(|word| {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:+,".contains(c);
            if word.chars().all(plain) {
                word
            } else {
                format!("'{}'", word.replace('\'', r"'\''"))
            }
        })
        .collect();
    words.push("--resume".into());
    words.join(" ")
}

/// Logs go to stderr; `LANDMARKS_LOG` overrides the level (`debug`, `common=trace`, …).
pub fn start_logs(quiet: bool, verbose: u8) {
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    log_to(BoxMakeWriter::new(io::stderr), colour, quiet, verbose);
}

/// As [`start_logs`] for one of several processes: each has a file `rank-<n>.log` in `folder` beside, and only the first
/// one says on stderr what is no warning.
fn start_logs_of(place: &Place, folder: &Path, quiet: bool, verbose: u8) -> anyhow::Result<()> {
    let path = folder.join(format!("rank-{}.log", place.rank));
    let file = fs::create_dir_all(folder)
        .and_then(|()| File::options().create(true).append(true).open(&path))
        .with_context(|| format!("{}: cannot be written", path.display()))?;
    let shown = if place.rank == 0 { Level::TRACE } else { Level::WARN };
    let both = io::stderr.with_max_level(shown).and(Mutex::new(file));
    log_to(BoxMakeWriter::new(both), false, quiet, verbose);
    Ok(())
}

fn log_to(writer: BoxMakeWriter, colour: bool, quiet: bool, verbose: u8) {
    let level = match (quiet, verbose) {
        (true, _) => "warn",
        (false, 0) => "info",
        (false, 1) => "debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_env("LANDMARKS_LOG").unwrap_or_else(|_| level.into());
    // A second start, in a test, changes nothing.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(colour)
        .with_target(false)
        .without_time()
        .try_init();
}

/// Results for programs go to stdout. A reader that went away is no failure.
///
/// # Errors
/// When stdout cannot be written, e.g. on a full disk.
pub fn print(text: &str) -> io::Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_said_once() {
        let cause = || io::Error::other("the disk is full");
        let told = anyhow::Error::from(cause()).context("run.json: the disk is full");
        assert_eq!(chain(&told), "run.json: the disk is full");
        let added = Err::<(), _>(cause()).context("run.json").unwrap_err();
        assert_eq!(chain(&added), "run.json: the disk is full");
    }
}
