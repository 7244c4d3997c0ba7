//! The verb `prepare`: an ImageNet folder into one file that training streams from.

use std::path::{Path, PathBuf};

use clap::Args;
use common::data::catalog::Catalog;
use common::data::photos::{PrepareOptions, Report, Source, default_place, prepare};
use common::{cli, device, interrupt};

/// Flags of `prepare`.
#[derive(Debug, Args)]
pub struct PrepareArgs {
    /// A folder or .tar.gz with train/<class>/ and val/<class>/, a folder of classes (with --val-share),
    /// or a data set of the catalogue such as imagenette-128
    pub source: PathBuf,
    /// The file to write [default: a place in the cache, where the studies find it]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Rows and columns of a picture: its short side, then the centre
    #[arg(long, value_name = "PIXELS", default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub side: u16,
    /// Hold out this share of each class for validation, when there is no folder val
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub val_share: Option<f64>,
    /// Leave out pictures that cannot be decoded, and name and count them
    #[arg(long)]
    pub skip_corrupt: bool,
    /// Threads that decode [default: `OMP_NUM_THREADS`, else the available cores]
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    #[command(flatten)]
    /// Where data is looked for
    pub places: cli::Places,
}

/// A share above 0 and below 1.
fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    let inside = share > 0.0 && share < 1.0;
    inside.then_some(share).ok_or_else(|| "wanted above 0 and below 1, e.g. 0.1".to_owned())
}

/// Packs the pictures and prints the file's path.
///
/// # Errors
/// As [`prepare`]; a name that is neither a path nor a data set.
pub fn run(args: &PrepareArgs) -> anyhow::Result<()> {
    interrupt::install()?;
    let lookup = args.places.lookup()?;
    let catalog = Catalog::builtin();
    let source = if args.source.exists() {
        Source::new(&args.source, args.val_share)
    } else {
        match args.source.to_str().filter(|name| is_name(name)) {
            Some(name) => Source::located(&catalog.locate(name, &lookup)?)?,
            None => anyhow::bail!("{}: no such folder or file", args.source.display()),
        }
    };
    let side = usize::from(args.side);
    let out = match &args.out {
        Some(out) => out.clone(),
        None => default_place(&source, &lookup, side)?,
    };
    let threads = device::threads(args.threads)?;
    let options = PrepareOptions { side, skip_corrupt: args.skip_corrupt, threads };
    let report = prepare(&source, &out, &options)?;
    tracing::info!("{}", told(&report));
    Ok(cli::print(&format!("{}\n", report.path.display()))?)
}

/// Whether it can be the name of a data set: one word, not a path.
fn is_name(text: &str) -> bool {
    Path::new(text).components().count() == 1 && !text.contains(['/', '.'])
}

fn told(report: &Report) -> String {
    let Report { train, val, classes, size_bytes, .. } = report;
    let made = if report.was_there { "was there already, whole" } else { "prepared" };
    let skipped = match report.skipped.len() {
        0 => String::new(),
        n => format!("; {n} that could not be decoded left out"),
    };
    let megabytes = *size_bytes as f64 / 1e6;
    format!(
        "{made}: {train} training and {val} validation pictures in {classes} classes, \
         {megabytes:.1} MB{skipped}"
    )
}
