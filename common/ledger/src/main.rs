//! `ledger`: doctor, report, publish, verify. Works without libtorch.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use ledger::{bench, publish, report, verify};

#[derive(Parser)]
#[command(about, version)]
enum Command {
    /// Say what this machine has, what is missing, and what mends it
    Doctor(ledger::doctor::Args),
    /// Write the ledger and the results page from what is in the results folder
    Report {
        /// The repository, which holds the claims
        #[arg(long, value_name = "DIR", default_value = ".")]
        root: PathBuf,
        /// The results folder
        #[arg(long, value_name = "DIR", default_value = "results")]
        results: PathBuf,
        /// What is published: its values stand beside those of the results folder
        #[arg(long, value_name = "DIR", default_value = "results/reference")]
        reference: PathBuf,
    },
    /// Copy finished, clean runs to the folder that is published
    Publish {
        /// The results folder
        #[arg(long, value_name = "DIR", default_value = "results")]
        results: PathBuf,
        /// Where they are published
        #[arg(long, value_name = "DIR", default_value = "results/reference")]
        reference: PathBuf,
    },
    /// Compute what is published again from its files, and name every difference
    Verify {
        /// The repository, which holds the claims
        #[arg(long, value_name = "DIR", default_value = ".")]
        root: PathBuf,
        /// The published folder
        #[arg(long, value_name = "DIR", default_value = "results/reference")]
        results: PathBuf,
    },
}

fn main() -> ExitCode {
    let done = match Command::parse() {
        Command::Doctor(args) => return ledger::doctor::run(&args),
        Command::Report { root, results, reference } => write_report(&root, &results, &reference),
        Command::Publish { results, reference } => copy_runs(&results, &reference),
        Command::Verify { root, results } => check(&root, &results),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn write_report(root: &Path, results: &Path, reference: &Path) -> anyhow::Result<ExitCode> {
    let page = report::write(root, results, reference)?;
    say(&format!("{}\n", page.display()));
    Ok(ExitCode::SUCCESS)
}

fn copy_runs(results: &Path, reference: &Path) -> anyhow::Result<ExitCode> {
    let runs = publish::publish(results, reference)?;
    let mut text = String::new();
    for run in &runs {
        writeln!(text, "{run}")?;
    }
    if runs.is_empty() {
        writeln!(text, "{}: no runs to publish", results.display())?;
    }
    for table in bench::publish(results, reference)? {
        writeln!(text, "{table}")?;
    }
    say(&text);
    Ok(ExitCode::SUCCESS)
}

fn check(root: &Path, results: &Path) -> anyhow::Result<ExitCode> {
    let verify::Verified { rows, runs, differences } = verify::verify(root, results)?;
    let text = match (differences.as_slice(), rows, runs) {
        ([], 0, 0) => format!("{}: nothing is published\n", results.display()),
        ([], ..) => format!("{rows} ledger rows, {runs} runs: all as the files give\n"),
        (found, ..) => found.join("\n") + "\n",
    };
    say(&text);
    Ok(if differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prints; a reader that went away (`| head`) is no failure.
fn say(text: &str) {
    let _ = io::stdout().lock().write_all(text.as_bytes());
}
