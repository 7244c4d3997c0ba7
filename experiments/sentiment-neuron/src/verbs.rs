//! What a trained network does for its user.

use std::io::Read as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use common::cli;
use common::data::text::clean::decode;
use tch::Device;

use crate::model::Neuron;
use crate::released;
use crate::weights::{self, Card, ChosenUnit};

mod classify;
mod compress;
mod features;
mod generate;
mod heatmap;
mod pack_weights;

/// The experiment's own verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Print what the network knows at the end of a text: cell and hidden state
    Features(features::Args),
    /// Say of texts whether they are positive, by the sentiment unit
    Classify(classify::Args),
    /// Colour a text by the sentiment unit's value after each byte
    Heatmap(heatmap::Args),
    /// Let the network write on
    Generate(generate::Args),
    /// Pack a file by the network's predictions
    Compress(compress::Args),
    /// Unpack what `compress` packed
    Decompress(compress::Args),
    /// Find the sentiment unit of a network on a labelled set and put both in a folder that the other verbs take
    PackWeights(pack_weights::Args),
    /// Write a network's weights as the fifteen numpy arrays of the release
    WriteReleased(WriteReleased),
}

/// Which network.
#[derive(Debug, Args)]
pub struct Weights {
    /// A safetensors file, a folder of `pack-weights`, or one with the released 0.npy to 14.npy [default: the published
    /// weights of this repository]
    #[arg(long, value_name = "PATH")]
    weights: Option<PathBuf>,
}

/// A text from the command line, a file or stdin.
#[derive(Debug, Args)]
pub struct Text {
    /// The text
    #[arg(long, conflicts_with = "file")]
    text: Option<String>,
    /// A file with the text; without either, stdin
    file: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the flags say it")]
pub struct WriteReleased {
    #[command(flatten)]
    weights: Weights,
    /// The folder to write
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
}

/// A network, ready for use.
struct Loaded {
    neuron: Neuron,
    /// Its file of tensors; none for the release's arrays.
    file: Option<PathBuf>,
    /// What was asked for, for errors.
    path: PathBuf,
}

impl Weights {
    /// # Errors
    /// None published and none named; files that cannot be read.
    fn load(&self) -> anyhow::Result<Loaded> {
        let path = match &self.weights {
            Some(path) => path.clone(),
            None => weights::published()?,
        };
        let (neuron, file) = weights::read(&path, Device::Cpu)?;
        if let (None, Some(file)) = (&self.weights, &file) {
            tracing::info!(
                "{}: published weights, from {}",
                file.display(),
                Card::read(file)?.origin
            );
        }
        Ok(Loaded { neuron, file, path })
    }
}

impl Loaded {
    /// # Errors
    /// Weights without a card, or with one of another network.
    fn unit(&self) -> anyhow::Result<ChosenUnit> {
        let file = self.file.as_ref().with_context(|| {
            format!(
                "{}: no sentiment unit is chosen for these weights; `pack-weights` does that",
                self.path.display()
            )
        })?;
        let unit = Card::read(file)?.unit;
        self.check(unit.index, &Card::beside(file).display().to_string())?;
        Ok(unit)
    }

    /// # Errors
    /// A unit that the network does not have; `what` named it.
    fn check(&self, unit: usize, what: &str) -> anyhow::Result<()> {
        let n = self.neuron.hidden();
        anyhow::ensure!(unit < n, "{what}: unit {unit}, the network has the units 0 to {}", n - 1);
        Ok(())
    }
}

impl Text {
    fn read(&self) -> anyhow::Result<Vec<u8>> {
        match (&self.text, &self.file) {
            (Some(text), _) => Ok(text.clone().into_bytes()),
            (None, Some(path)) => {
                std::fs::read(path).with_context(|| format!("{}: cannot read", path.display()))
            }
            (None, None) => stdin(),
        }
    }
}

fn stdin() -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::io::stdin().lock().read_to_end(&mut bytes).context("stdin: cannot read")?;
    Ok(bytes)
}

/// Bytes as text: what is no UTF-8 is read as Latin-1.
fn lossy(bytes: &[u8]) -> String {
    decode(bytes).0.into_owned()
}

/// Carries a verb out.
///
/// # Errors
/// Weights, texts or files that cannot be read or written.
pub fn execute(verb: Verb) -> anyhow::Result<()> {
    cli::start_logs(false, 0);
    match verb {
        Verb::Features(args) => features::print_features(&args),
        Verb::Classify(args) => classify::classify(&args),
        Verb::Heatmap(args) => heatmap::print_heatmap(&args),
        Verb::Generate(args) => generate::generate(&args),
        Verb::Compress(args) => compress::compress(&args),
        Verb::Decompress(args) => compress::decompress(&args),
        Verb::PackWeights(args) => pack_weights::pack_weights(&args),
        Verb::WriteReleased(args) => released::write(&args.weights.load()?.neuron, &args.to),
    }
}
