//! `compress` and `decompress`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use ledger::run::write_atomic;

use super::Weights;
use crate::compress::baselines;
use crate::compress::container::{pack, unpack};
use crate::compress::predictor::NeuronPredictor;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    weights: Weights,
    /// The file
    file: PathBuf,
    /// Where to [default: the file with .neuron added or taken away]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("{}: cannot read", path.display()))
}

pub(super) fn compress(args: &Args) -> anyhow::Result<()> {
    let content = read(&args.file)?;
    let output = args.output.clone().unwrap_or_else(|| {
        let mut name = args.file.clone().into_os_string();
        name.push(".neuron");
        PathBuf::from(name)
    });
    free(&output)?;
    let mut predictor = NeuronPredictor::new(&args.weights.load()?.neuron)?;
    let packed = pack(&mut predictor, &content).with_context(|| args.file.display().to_string())?;
    write_whole(&output, &packed)?;
    let mut sizes = vec![("this network", packed.len() as u64)];
    sizes.extend(baselines::sizes(&content)?);
    eprintln!(
        "{} bytes; bits per byte: {}",
        content.len(),
        baselines::line(content.len() as u64, &sizes)
    );
    Ok(())
}

pub(super) fn decompress(args: &Args) -> anyhow::Result<()> {
    let packed = read(&args.file)?;
    let output = match (&args.output, args.file.extension()) {
        (Some(output), _) => output.clone(),
        (None, Some(ending)) if ending == "neuron" => args.file.with_extension(""),
        _ => {
            bail!("{}: does not end in .neuron; name the output with --output", args.file.display())
        }
    };
    free(&output)?;
    let mut predictor = NeuronPredictor::new(&args.weights.load()?.neuron)?;
    let content =
        unpack(&mut predictor, &packed).with_context(|| args.file.display().to_string())?;
    write_whole(&output, &content)
}

/// Before the work is done and again behind it: never over a file that is there.
fn free(path: &Path) -> anyhow::Result<()> {
    ensure!(
        !path.exists(),
        "{}: there is a file already; name another with --output",
        path.display()
    );
    Ok(())
}

/// Never half a file.
fn write_whole(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    free(path)?;
    Ok(write_atomic(path, bytes)?)
}
