//! What this machine has, what is missing, and the command that mends it.
//!
//! Works before set-up: this crate does not link libtorch. Each line says one thing: `ok`, `warn`
//! (a run works, but slower or with less) or `FAIL` (a build or a run will not work), and every
//! line that is not ok ends with what to do.

use std::env;
use std::fmt;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;

use crate::doctor::system::System;

mod data;
mod environment;
mod gpu;
mod libtorch;
mod machine;
mod system;
mod toolchain;

/// The command line of `ledger doctor`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Print one JSON object instead of lines
    #[arg(long)]
    pub json: bool,
    /// Load this shared library and say what the loader says (doctor starts itself for this, so
    /// that a library that crashes does not take the report with it)
    #[arg(long, hide = true, value_name = "FILE")]
    pub load: Option<PathBuf>,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ok,
    Warn,
    Fail,
}

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Check {
    status: Status,
    /// What was looked at.
    what: String,
    /// What was found.
    found: String,
    /// What to do about it; nothing where all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

impl Check {
    fn ok(what: &str, found: impl Into<String>) -> Self {
        Self { status: Status::Ok, what: what.to_owned(), found: found.into(), fix: None }
    }

    fn warn(what: &str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        let (found, fix) = (found.into(), Some(fix.into()));
        Self { status: Status::Warn, what: what.to_owned(), found, fix }
    }

    fn fail(what: &str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { status: Status::Fail, ..Self::warn(what, found, fix) }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = match self.status {
            Status::Ok => "ok",
            Status::Warn => "warn",
            Status::Fail => "FAIL",
        };
        write!(f, "{status:4}  {:18} {}", self.what, self.found)?;
        self.fix.iter().try_for_each(|fix| write!(f, " → {fix}"))
    }
}

/// The whole report, as `--json` prints it.
#[derive(Serialize)]
struct Report {
    /// Whether nothing failed.
    ok: bool,
    checks: Vec<Check>,
}

/// Looks at this machine and prints the report; the exit code is 1 if anything failed.
pub fn run(args: &Args) -> ExitCode {
    if let Some(library) = &args.load {
        return libtorch::load_and_say(library);
    }
    let report = examine(&System::real(&env::current_dir().unwrap_or_default()));
    let text = if args.json { report.json() } else { report.to_string() };
    // A reader that went away (`| head`) is no failure of this machine.
    let _ = io::stdout().lock().write_all(text.as_bytes());
    if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn examine(system: &System) -> Report {
    let mut checks = toolchain::checks(system);
    checks.extend(libtorch::checks(system));
    checks.extend(environment::checks(system));
    checks.extend(machine::checks(system));
    checks.extend(gpu::checks(system));
    checks.extend(data::checks(system));
    Report { ok: checks.iter().all(|c| c.status != Status::Fail), checks }
}

impl Report {
    fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a report is plain data") + "\n"
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for check in &self.checks {
            writeln!(f, "{check}")?;
        }
        let count = |status| self.checks.iter().filter(|c| c.status == status).count();
        match (count(Status::Fail), count(Status::Warn)) {
            (0, 0) => writeln!(f, "\nAll is well."),
            (0, warned) => writeln!(f, "\nNothing is in the way; to look at: {warned}."),
            (failed, warned) => writeln!(f, "\nTo mend: {failed}; to look at: {warned}."),
        }
    }
}
