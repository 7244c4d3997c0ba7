//! The weights that a trained network leaves: `weights.safetensors`, and beside it `weights.json`, which says
//! what they are for.
//!
//! The tensors are the network's parameters by name (`conv1.weight`, … `fc8.bias`), in half precision, and
//! `mean`, the mean training picture, in single. The [`Card`] has the network's configuration, the names of
//! its classes, and how a picture becomes its input, so that the two files are all that a prediction needs.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use common::checkpoint;
use common::data::sha256_file;
use common::weights::StateDict;
use ledger::run::write_atomic;
use serde::{Deserialize, Serialize};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use crate::network::{AlexNet, NetworkConfig};

/// The version of the format that is written and read.
const FORMAT: u32 = 1;
/// The file of tensors.
pub const TENSORS: &str = "weights.safetensors";
/// The tensor with the mean picture.
const MEAN: &str = "mean";

/// What `weights.json` says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// The version of this format.
    format: u32,
    /// sha256 of the file of tensors, in hex.
    sha256: String,
    /// The network.
    pub network: NetworkConfig,
    /// Names of the classes, in the order of the outputs.
    pub classes: Vec<String>,
    /// How a picture becomes an input.
    pub preprocessing: Preprocessing,
    /// The run that trained it.
    pub origin: Origin,
}

/// How a picture becomes an input: its short side to `side`, its centre, less the mean picture, times
/// `scale`; then the centre of `network.crop` rows and columns.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocessing {
    /// Rows and columns of the pictures that the mean was taken over.
    pub side: usize,
    /// Multiplies levels 0–255 less their mean.
    pub scale: f64,
}

/// The run that trained a network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// The run's folder below the results folder.
    pub run: String,
    /// The configuration's digest, as in `run.json`.
    pub digest: String,
    /// The data set's name.
    pub data: String,
    /// Top-1 error on the test pictures, centre view, a fraction.
    pub top1_error: f64,
}

/// A network with its weights, and what is to be known for using it.
#[derive(Debug)]
pub struct Trained {
    /// The network.
    pub net: AlexNet,
    /// What it is for.
    pub card: Card,
    /// The mean training picture, `[side, side, 3]`.
    pub mean: Vec<f32>,
}

impl Card {
    /// A card for weights that are about to be written.
    pub fn new(
        network: NetworkConfig,
        classes: Vec<String>,
        preprocessing: Preprocessing,
        origin: Origin,
    ) -> Self {
        Self { format: FORMAT, sha256: String::new(), network, classes, preprocessing, origin }
    }

    /// Where the card of the tensors in `path` is.
    pub fn beside(path: &Path) -> PathBuf {
        path.with_extension("json")
    }
}

/// How many bytes [`write()`] takes for a network and a mean picture of `side` rows and columns.
pub fn size_bytes(network: &NetworkConfig, side: usize) -> u64 {
    (network.parameters() * 2) as u64 + (side * side * 3 * 4) as u64
}

/// Writes the parameters of `vs` and `mean: [side, side, 3]` to [`TENSORS`] in `folder`, and the card beside
/// it; each file whole or not at all.
///
/// # Errors
/// A file that cannot be written.
///
/// # Panics
/// If the mean is of another size than the card says.
pub fn write(folder: &Path, vs: &VarStore, mean: &[f32], card: Card) -> anyhow::Result<PathBuf> {
    let side = card.preprocessing.side as i64;
    let mut tensors: Vec<(String, Tensor)> = checkpoint::variables(vs)
        .into_iter()
        .map(|(name, tensor)| (name, tensor.to_device(Device::Cpu).to_kind(Kind::Half)))
        .collect();
    tensors.push((MEAN.to_owned(), Tensor::from_slice(mean).reshape([side, side, 3])));
    let path = folder.join(TENSORS);
    checkpoint::write_safetensors(&path, &tensors)?;
    let card = Card { sha256: sha256_file(&path)?, ..card };
    let text = serde_json::to_string_pretty(&card)? + "\n";
    write_atomic(&Card::beside(&path), text.as_bytes())?;
    Ok(path)
}

/// Reads the tensors at `path`, to `device`, and the card beside them.
///
/// # Errors
/// A card of another version or for other tensors; as many class names as outputs are not there; a tensor
/// that is missing, left over or of another shape.
pub fn read(path: &Path, device: Device) -> anyhow::Result<Trained> {
    let card_path = Card::beside(path);
    let place = || card_path.display().to_string();
    let text = fs::read_to_string(&card_path).with_context(place)?;
    let card: Card = serde_json::from_str(&text).with_context(place)?;
    ensure!(card.format == FORMAT, "{}: format {}, wanted {FORMAT}", place(), card.format);
    let (names, outputs) = (card.classes.len(), card.network.classes);
    ensure!(
        names as i64 == outputs,
        "{}: found {names} names of classes, wanted {outputs}, one for each output of the network",
        place()
    );
    let found = sha256_file(path)?;
    ensure!(
        found == card.sha256,
        "{}: sha256 {found}, wanted {} as {} says; copy both files from the same run",
        path.display(),
        card.sha256,
        place()
    );
    let mut state = StateDict::read(path)?;
    let side = card.preprocessing.side as i64;
    let mean = state.take(MEAN, &[side, side, 3])?.to_kind(Kind::Float).flatten(0, -1);
    let vs = VarStore::new(device);
    let net = AlexNet::new(&vs.root(), &card.network);
    state.load_into(&vs, str::to_owned)?;
    Ok(Trained { net, card, mean: Vec::try_from(mean)? })
}

#[cfg(test)]
mod tests {
    use common::nn::probe::Probe;

    use super::*;

    fn narrow() -> NetworkConfig {
        NetworkConfig { width: 1.0 / 32.0, crop: 64, classes: 3, ..NetworkConfig::paper() }
    }

    fn card() -> Card {
        let classes = ["cat", "dog", "horn"].map(str::to_owned).to_vec();
        let origin = Origin {
            run: "alexnet/smoke/imagenet/x/base/seed-0".into(),
            digest: "0".into(),
            data: "x".into(),
            top1_error: 0.5,
        };
        Card::new(narrow(), classes, Preprocessing { side: 70, scale: 0.5 }, origin)
    }

    fn written() -> (tempfile::TempDir, PathBuf, VarStore, AlexNet) {
        let folder = tempfile::tempdir().unwrap();
        let vs = VarStore::new(Device::Cpu);
        tch::manual_seed(1);
        let net = AlexNet::new(&vs.root(), &narrow());
        let mean: Vec<f32> = (0..70 * 70 * 3).map(|i| i as f32 / 100.0).collect();
        let path = write(folder.path(), &vs, &mean, card()).unwrap();
        (folder, path, vs, net)
    }

    #[test]
    fn weights_that_are_read_give_the_scores_of_those_that_were_written() {
        let (_folder, path, _vs, net) = written();
        let size = fs::metadata(&path).unwrap().len();
        let expected = size_bytes(&narrow(), 70);
        assert!((expected..expected + 4096).contains(&size), "{size}, counted {expected}");
        let trained = read(&path, Device::Cpu).unwrap();
        assert_eq!(Card { sha256: String::new(), ..trained.card.clone() }, card());
        assert!((trained.mean[4321] - 43.21).abs() < 1e-5);
        let xs = Tensor::randn([2, 3, 64, 64], (Kind::Float, Device::Cpu)) * 60.0;
        let [found, wanted] =
            [&trained.net, &net].map(|net| tch::no_grad(|| net.forward(&xs, false, &Probe::off())));
        // Halves have 11 bits: a relative error of 2^-12 a weight at the most.
        let apart = (&found - &wanted).abs().max().double_value(&[]);
        let size = wanted.abs().max().double_value(&[]);
        assert!(apart < 1e-3 * size && apart > 0.0, "{apart} apart, scores up to {size}");
    }

    #[test]
    fn a_card_that_does_not_fit_its_tensors_is_refused_by_what_is_wrong() {
        let (_folder, path, ..) = written();
        let card_path = Card::beside(&path);
        let whole = fs::read_to_string(&card_path).unwrap();
        let said = |from: &str, to: &str| {
            assert!(whole.contains(from), "{whole}");
            fs::write(&card_path, whole.replacen(from, to, 1)).unwrap();
            format!("{:#}", read(&path, Device::Cpu).unwrap_err())
        };
        for (from, to, words) in [
            ("\"format\": 1", "\"format\": 2", "format 2, wanted 1"),
            ("    \"dog\",\n", "", "found 2 names of classes, wanted 3"),
            ("\"sha256\": \"", "\"sha256\": \"0", "copy both files from the same run"),
            ("\"side\": 70", "\"side\": 71", "mean is [70, 70, 3], wanted [71, 71, 3]"),
            ("\"crop\": 64", "\"crop\": 224", "tensor fc6.weight is"),
            ("\"scale\"", "\"skale\"", "unknown field `skale`"),
        ] {
            let said = said(from, to);
            assert!(said.contains(words), "expected: {words}\n     got: {said}");
            assert!(said.contains("weights."), "no file is named: {said}");
        }
    }
}
