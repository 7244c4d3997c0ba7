//! What a trained network does for its user.

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use clap::{Args, Subcommand};
use common::checkpoint::write_safetensors;
use common::cli::print;
use common::data::catalog::Catalog;
use common::data::lookup::Lookup;
use common::data::text::labelled;
use common::linear::threshold::Threshold;
use common::nn::mlstm::FixedMlstm;
use common::rng;
use ledger::run::write_atomic;
use rand_chacha::rand_core::Rng as _;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tch::{Device, Kind};

use crate::compress::baselines;
use crate::compress::container::{pack, unpack};
use crate::compress::predictor::NeuronPredictor;
use crate::features::{features, prepared};
use crate::model::Neuron;
use crate::readout::best_unit;
use crate::released;

mod heatmap;

/// The weights' file in a folder that `pack-weights` made.
const WEIGHTS: &str = "weights.safetensors";
/// The single unit's file beside it.
const UNIT: &str = "unit.json";
/// Weights that come with this repository.
const PUBLISHED: &str = "results/reference/sentiment-neuron/weights";

/// The experiment's own verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Print what the network knows at the end of a text: cell and hidden state
    Features(Features),
    /// Say of texts whether they are positive, by the single unit
    Classify(Classify),
    /// Colour a text by the single unit's value after each byte
    Heatmap(Heatmap),
    /// Let the network write on
    Generate(Generate),
    /// Pack a file by the network's predictions
    Compress(Pack),
    /// Unpack what `compress` packed
    Decompress(Pack),
    /// Find the single unit of a network on a labelled set and put both in a folder that the other verbs take
    PackWeights(PackWeights),
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
pub struct Features {
    #[command(flatten)]
    weights: Weights,
    #[command(flatten)]
    text: Text,
    /// Read exactly these bytes: no cleaning, no prefix, no suffix
    #[arg(long)]
    raw: bool,
    /// Print one JSON object with `cell` and `hidden`
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the flags say it")]
pub struct Classify {
    #[command(flatten)]
    weights: Weights,
    /// Texts; without any, the lines of stdin
    texts: Vec<String>,
    /// Print one JSON object a text
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the flags say it")]
pub struct Heatmap {
    #[command(flatten)]
    weights: Weights,
    #[command(flatten)]
    text: Text,
    /// Another unit than the chosen one
    #[arg(long)]
    unit: Option<usize>,
    /// Write a page instead of colouring the terminal
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the flags say it")]
pub struct Generate {
    #[command(flatten)]
    weights: Weights,
    /// What the text begins with
    #[arg(long, default_value = "")]
    prefix: String,
    /// Bytes to write
    #[arg(long, default_value_t = 400)]
    bytes: usize,
    /// Below 1 plainer, above 1 wilder; 0 always takes the likeliest byte
    #[arg(long, default_value_t = 1.0)]
    temperature: f64,
    /// The draw
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Hold a unit's cell at a value after each byte; may be given more than once
    #[arg(long, value_name = "UNIT=VALUE", value_parser = clamp)]
    clamp: Vec<(usize, f32)>,
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the flags say it")]
pub struct Pack {
    #[command(flatten)]
    weights: Weights,
    /// The file
    file: PathBuf,
    /// Where to [default: the file with .neuron added or taken away]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the flags say it")]
pub struct PackWeights {
    #[command(flatten)]
    weights: Weights,
    /// The labelled set whose training part chooses the unit
    #[arg(long, default_value = "sst")]
    set: String,
    /// The folder to make
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Halve the numbers' size (bf16)
    #[arg(long)]
    half: bool,
    /// A folder with your own copy of the data
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Fetch nothing
    #[arg(long)]
    offline: bool,
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

/// The single unit as `pack-weights` found it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct ChosenUnit {
    index: usize,
    threshold: Threshold,
    /// Deviation of the unit's value over the texts it was chosen on: the scale of colours.
    deviation: f64,
    /// The labelled set.
    set: String,
    /// Accuracy on the part that chose it, a fraction.
    train_acc: f64,
}

fn clamp(text: &str) -> Result<(usize, f32), String> {
    let wanted = || format!("found {text}, wanted UNIT=VALUE such as 12=1.5");
    let (unit, value) = text.split_once('=').ok_or_else(wanted)?;
    Ok((unit.parse().map_err(|_| wanted())?, value.parse().map_err(|_| wanted())?))
}

impl Weights {
    fn path(&self) -> PathBuf {
        self.weights.clone().unwrap_or_else(|| PathBuf::from(PUBLISHED))
    }

    fn load(&self) -> anyhow::Result<Neuron> {
        let path = self.path();
        if self.weights.is_none() {
            ensure!(
                path.exists(),
                "{}: this checkout has no published weights; name some with --weights, e.g. a station of a trained \
                 language-model run in the cache",
                path.display()
            );
            eprintln!("using the published weights in {}", path.display());
        }
        if !path.is_dir() {
            return Neuron::read(&path, Device::Cpu);
        }
        if path.join(WEIGHTS).is_file() {
            return Neuron::read(&path.join(WEIGHTS), Device::Cpu);
        }
        released::read(&path, Device::Cpu)
    }

    fn unit(&self) -> anyhow::Result<ChosenUnit> {
        let path = self.path().join(UNIT);
        let text = std::fs::read(&path).with_context(|| {
            format!("{}: no single unit is chosen for these weights; make such a folder with pack-weights", path.display())
        })?;
        serde_json::from_slice(&text)
            .with_context(|| format!("{}: not what pack-weights writes", path.display()))
    }
}

impl Text {
    fn read(&self) -> anyhow::Result<Vec<u8>> {
        if let Some(text) = &self.text {
            return Ok(text.clone().into_bytes());
        }
        let mut bytes = Vec::new();
        match &self.file {
            Some(path) => {
                bytes = std::fs::read(path)
                    .with_context(|| format!("{}: cannot read", path.display()))?;
            }
            None => {
                std::io::stdin().lock().read_to_end(&mut bytes).context("stdin: cannot read")?;
            }
        }
        Ok(bytes)
    }
}

/// Carries a verb out.
///
/// # Errors
/// Weights, texts or files that cannot be read or written.
pub fn execute(verb: Verb) -> anyhow::Result<()> {
    match verb {
        Verb::Features(args) => print_features(&args),
        Verb::Classify(args) => classify(args),
        Verb::Heatmap(args) => heatmap(&args),
        Verb::Generate(args) => generate(&args),
        Verb::Compress(args) => compress(&args),
        Verb::Decompress(args) => decompress(&args),
        Verb::PackWeights(args) => pack_weights(&args),
        Verb::WriteReleased(args) => released::write(&args.weights.load()?, &args.to),
    }
}

fn lossy(bytes: &[u8]) -> String {
    common::data::text::clean::decode(bytes).0.into_owned()
}

fn print_features(args: &Features) -> anyhow::Result<()> {
    let bytes = args.text.read()?;
    let bytes = if args.raw { bytes } else { prepared(&lossy(&bytes)) };
    let net = FixedMlstm::new(&args.weights.load()?.net);
    let mut state = net.start();
    for byte in bytes {
        net.step(&mut state, usize::from(byte));
    }
    if args.json {
        return Ok(print(&format!("{}\n", json!({"cell": state.c, "hidden": state.h})))?);
    }
    let lines = state.c.iter().zip(&state.h).enumerate();
    let lines: Vec<String> = lines.map(|(unit, (c, h))| format!("{unit}\t{c}\t{h}\n")).collect();
    Ok(print(&("unit\tcell\thidden\n".to_owned() + &lines.concat()))?)
}

fn classify(args: Classify) -> anyhow::Result<()> {
    let (neuron, unit) = (args.weights.load()?, args.weights.unit()?);
    let texts = if args.texts.is_empty() {
        let mut all = Vec::new();
        std::io::stdin().lock().read_to_end(&mut all).context("stdin: cannot read")?;
        lossy(&all).lines().map(str::to_owned).collect()
    } else {
        args.texts
    };
    ensure!(
        unit.index < neuron.hidden(),
        "the chosen unit {} is not one of {}",
        unit.index,
        neuron.hidden()
    );
    let values = features(&neuron, &texts)?.column(unit.index);
    for (score, text) in unit.threshold.scores(&values).into_iter().zip(&texts) {
        let label = if score > 0.0 { "positive" } else { "negative" };
        let line = if args.json {
            json!({"label": label, "score": score / unit.deviation, "text": text}).to_string()
        } else {
            format!("{label}\t{:+.2}\t{text}", score / unit.deviation)
        };
        print(&(line + "\n"))?;
    }
    Ok(())
}

fn heatmap(args: &Heatmap) -> anyhow::Result<()> {
    let neuron = args.weights.load()?;
    let chosen = args.weights.unit();
    let (unit, threshold, deviation) = match (args.unit, chosen) {
        (Some(unit), Ok(chosen)) if unit == chosen.index => {
            (unit, chosen.threshold, chosen.deviation)
        }
        (Some(unit), _) => (unit, Threshold { at: 0.0, larger_is_positive: true }, 0.0),
        (None, chosen) => {
            let chosen = chosen?;
            (chosen.index, chosen.threshold, chosen.deviation)
        }
    };
    ensure!(
        unit < neuron.hidden(),
        "--unit {unit}: the network has the units 0 to {}",
        neuron.hidden() - 1
    );
    let bytes = prepared(&lossy(&args.text.read()?));
    let net = FixedMlstm::new(&neuron.net);
    let mut state = net.start();
    let values: Vec<f32> = bytes
        .iter()
        .map(|&byte| {
            net.step(&mut state, usize::from(byte));
            state.c[unit]
        })
        .collect();
    let scores = threshold.scores(&values);
    let scale = if deviation > 0.0 {
        deviation
    } else {
        scores.iter().fold(1e-9, |a, b| f64::max(a, b.abs()))
    };
    let cells: Vec<f64> =
        scores.iter().map(|score| (score / scale).clamp(-2.0, 2.0) / 2.0).collect();
    if let Some(path) = &args.html {
        return Ok(write_atomic(path, heatmap::page(&bytes, &cells, unit).as_bytes())?);
    }
    Ok(print(&heatmap::terminal(&bytes, &cells, std::io::stdout().is_terminal()))?)
}

fn generate(args: &Generate) -> anyhow::Result<()> {
    ensure!(
        args.temperature >= 0.0 && args.temperature.is_finite(),
        "--temperature {}: found that, wanted 0 or more",
        args.temperature
    );
    let neuron = args.weights.load()?;
    if let Some((unit, _)) = args.clamp.iter().find(|(unit, _)| *unit >= neuron.hidden()) {
        bail!("--clamp {unit}: the network has the units 0 to {}", neuron.hidden() - 1);
    }
    let net = FixedMlstm::new(&neuron.net);
    let mut state = net.start();
    let mut read = |byte: u8| {
        net.step(&mut state, usize::from(byte));
        for &(unit, value) in &args.clamp {
            state.c[unit] = value;
        }
        net.logits(&state)
    };
    // A review begins as they did in training.
    let prefix = [common::data::text::clean::PREFIX, &args.prefix].concat();
    let mut logits = Vec::new();
    for byte in prefix.bytes() {
        logits = read(byte);
    }
    let mut out = std::io::stdout().lock();
    out.write_all(args.prefix.as_bytes())?;
    for step in 0..args.bytes {
        let byte = draw(&logits, args.temperature, args.seed, step as u64);
        out.write_all(&[byte])?;
        logits = read(byte);
    }
    out.write_all(b"\n")?;
    Ok(())
}

/// A byte by its score.
fn draw(logits: &[f32], temperature: f64, seed: u64, step: u64) -> u8 {
    let top = logits.iter().copied().fold(f32::MIN, f32::max);
    if temperature <= 0.0 {
        return logits.iter().position(|&logit| logit >= top).unwrap_or_default() as u8;
    }
    let weights: Vec<f64> =
        logits.iter().map(|&logit| (f64::from(logit - top) / temperature).exp()).collect();
    let uniform =
        (rng::chacha(seed, "generate", step).next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
    let mut left = uniform * weights.iter().sum::<f64>();
    for (byte, weight) in weights.iter().enumerate() {
        left -= weight;
        if left < 0.0 {
            return byte as u8;
        }
    }
    weights.len().saturating_sub(1) as u8
}

fn compress(args: &Pack) -> anyhow::Result<()> {
    let content = std::fs::read(&args.file)
        .with_context(|| format!("{}: cannot read", args.file.display()))?;
    let mut predictor = NeuronPredictor::new(&args.weights.load()?)?;
    let packed = pack(&mut predictor, &content).with_context(|| args.file.display().to_string())?;
    let output = args.output.clone().unwrap_or_else(|| {
        let mut name = args.file.clone().into_os_string();
        name.push(".neuron");
        PathBuf::from(name)
    });
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

fn decompress(args: &Pack) -> anyhow::Result<()> {
    let packed = std::fs::read(&args.file)
        .with_context(|| format!("{}: cannot read", args.file.display()))?;
    let output = match (&args.output, args.file.extension()) {
        (Some(output), _) => output.clone(),
        (None, Some(ending)) if ending == "neuron" => args.file.with_extension(""),
        _ => {
            bail!("{}: does not end in .neuron; name the output with --output", args.file.display())
        }
    };
    let mut predictor = NeuronPredictor::new(&args.weights.load()?)?;
    let content =
        unpack(&mut predictor, &packed).with_context(|| args.file.display().to_string())?;
    write_whole(&output, &content)
}

/// Never half a file, and never over one that is there.
fn write_whole(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    ensure!(
        !path.exists(),
        "{}: there is a file already; name another with --output",
        path.display()
    );
    Ok(write_atomic(path, bytes)?)
}

fn pack_weights(args: &PackWeights) -> anyhow::Result<()> {
    let neuron = args.weights.load()?;
    let lookup = Lookup::from_env(args.data.clone(), args.offline)?;
    let set = labelled::read(&Catalog::builtin().locate(&args.set, &lookup)?)?;
    let round = set.rounds().swap_remove(0);
    let texts: Vec<&str> = round.train.iter().map(|&i| set.texts[i].as_str()).collect();
    let labels: Vec<bool> = round.train.iter().map(|&i| set.labels[i]).collect();
    let train = features(&neuron, &texts)?;
    let unit = best_unit(&train, &labels, &common::linear::logistic::Linear::zero(train.d()))?;
    let values = train.column(unit.index);
    let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / values.len() as f64;
    let square =
        values.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / values.len() as f64;
    let chosen = ChosenUnit {
        index: unit.index,
        threshold: unit.threshold,
        deviation: square.sqrt(),
        set: args.set.clone(),
        train_acc: unit.train_acc,
    };
    std::fs::create_dir_all(&args.to)
        .with_context(|| format!("{}: cannot create", args.to.display()))?;
    let kind = if args.half { Kind::BFloat16 } else { Kind::Float };
    let tensors: Vec<_> = neuron
        .parameters()
        .into_iter()
        .map(|(name, tensor)| (name, tensor.detach().to_kind(kind)))
        .collect();
    write_safetensors(&args.to.join(WEIGHTS), &tensors)?;
    write_atomic(&args.to.join(UNIT), (serde_json::to_string_pretty(&chosen)? + "\n").as_bytes())?;
    eprintln!(
        "unit {} alone is right on {:.1} % of {}'s training part",
        unit.index,
        100.0 * unit.train_acc,
        args.set
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clamp_is_a_unit_and_a_value() {
        assert_eq!(clamp("12=-1.5"), Ok((12, -1.5)));
        assert!(clamp("12").unwrap_err().contains("UNIT=VALUE"));
        assert!(clamp("x=1").is_err());
    }

    #[test]
    fn draws_follow_the_scores_and_repeat_with_the_seed() {
        let mut logits = vec![-30.0_f32; 256];
        (logits[65], logits[66]) = (1.0, 0.0);
        assert_eq!(draw(&logits, 0.0, 0, 0), 65);
        let share = |temperature| {
            (0..2000).filter(|&step| draw(&logits, temperature, 7, step) == 65).count() as f64
                / 2000.0
        };
        let wanted = 1.0 / (1.0 + (-1.0_f64).exp());
        assert!((share(1.0) - wanted).abs() < 0.03, "{} {wanted}", share(1.0));
        assert!(share(0.25) > 0.97);
        assert_eq!(draw(&logits, 1.0, 7, 5), draw(&logits, 1.0, 7, 5));
    }
}
