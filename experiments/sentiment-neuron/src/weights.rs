//! The weights that a trained network leaves for use: `weights.safetensors`, and beside it `weights.json`, which says
//! what they are and which unit is the sentiment unit.
//!
//! The tensors are the network's parameters by name in half precision. Where even so they would be too large to be
//! published, the four normalised matrices are bytes, 0 to 255 for -127 to 127 of each column's largest entry: weight
//! normalisation divides a column by its length, so a column's scale means nothing and is not stored. Either way the
//! numbers read back are the same everywhere, which `compress` needs.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use common::checkpoint::{Tensors, read_safetensors, write_safetensors};
use common::data::sha256_file;
use common::linear::features::Features;
use common::linear::threshold::Threshold;
use common::weights::REFERENCE;
use ledger::publish::limits;
use ledger::run::write_atomic;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use crate::model::Neuron;
use crate::readout::Unit;
use crate::studies::single_unit;
use crate::{SENTIMENT_NEURON, released};

/// The version of the format that is written and read.
const FORMAT: u32 = 1;
/// The file of tensors.
pub const TENSORS: &str = "weights.safetensors";
/// The matrices whose columns' lengths mean nothing.
const NORMALISED: [&str; 4] = ["wx", "wh", "wmx", "wmh"];
/// Stands for zero among bytes.
const ZERO: f64 = 128.0;
/// Stands for a column's largest entry among bytes.
const LARGEST: f64 = 127.0;

/// What `weights.json` says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// The version of this format.
    format: u32,
    /// sha256 of the file of tensors, in hex.
    sha256: String,
    /// Where the weights are from: a run's folder below the results folder, or a file.
    pub origin: String,
    /// Bits per byte of validation text that these weights need, where that was measured.
    pub bits_per_byte: Option<f64>,
    /// The sentiment unit.
    pub unit: ChosenUnit,
}

/// The sentiment unit of a network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChosenUnit {
    /// Its index.
    pub index: usize,
    /// Its threshold on the training part that it was chosen on.
    pub threshold: Threshold,
    /// Deviation of its value over these texts: the scale of colours and of clamping.
    pub deviation: f64,
    /// The labelled set.
    pub set: String,
    /// Accuracy on the part that it was chosen on, a fraction.
    pub train_acc: f64,
}

impl ChosenUnit {
    /// The unit as chosen on the training part `train` of `set`.
    pub fn new(unit: &Unit, train: &Features, set: &str) -> Self {
        let values = train.column(unit.index);
        let n = values.len() as f64;
        let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
        let square = values.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n;
        Self {
            index: unit.index,
            threshold: unit.threshold,
            deviation: square.sqrt(),
            set: set.to_owned(),
            train_acc: unit.train_acc,
        }
    }

    /// What a distance from the threshold is measured in: the deviation, or 1 for a unit that never moves.
    pub fn scale(&self) -> f64 {
        if self.deviation > 0.0 { self.deviation } else { 1.0 }
    }

    /// The value so many deviations on the positive (or negative) side of the threshold.
    pub fn value(&self, deviations: f64) -> f32 {
        let sign = if self.threshold.larger_is_positive { 1.0 } else { -1.0 };
        (self.threshold.at + sign * deviations * self.deviation) as f32
    }
}

impl Card {
    /// A card for weights that are about to be written.
    pub fn new(origin: String, bits_per_byte: Option<f64>, unit: ChosenUnit) -> Self {
        Self { format: FORMAT, sha256: String::new(), origin, bits_per_byte, unit }
    }

    /// Where the card of the tensors in `path` is.
    pub fn beside(path: &Path) -> PathBuf {
        path.with_extension("json")
    }

    /// The card beside the tensors in `path`.
    ///
    /// # Errors
    /// A card that cannot be read, of another version, or for other tensors.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let card_path = Self::beside(path);
        let place = || card_path.display().to_string();
        let text = std::fs::read(&card_path).with_context(|| {
            format!(
                "{}: no sentiment unit is chosen for these weights; `pack-weights` does that",
                place()
            )
        })?;
        let card: Self = serde_json::from_slice(&text).with_context(place)?;
        ensure!(card.format == FORMAT, "{}: format {}, wanted {FORMAT}", place(), card.format);
        let found = sha256_file(path)?;
        ensure!(
            found == card.sha256,
            "{}: sha256 {found}, wanted {} as {} says; copy both files from the same run",
            path.display(),
            card.sha256,
            place()
        );
        Ok(card)
    }
}

/// How weights are packed: in the most exact form that may be published, in half precision where none may.
///
/// Returns the tensors by name, and whether they may be published.
pub fn packed(neuron: &Neuron) -> (Vec<(String, Tensor)>, bool) {
    let parameters = || {
        neuron.parameters().into_iter().map(|(name, tensor)| {
            (name, tensor.detach().to_device(Device::Cpu).to_kind(Kind::Float))
        })
    };
    let half = |tensor: &Tensor| tensor.to_kind(Kind::Half);
    let halves: Vec<_> = parameters().map(|(name, tensor)| (name, half(&tensor))).collect();
    if size_bytes(&halves) <= limits::WEIGHTS {
        return (halves, true);
    }
    let bytes: Vec<_> = parameters()
        .map(|(name, tensor)| {
            let normalised = NORMALISED.contains(&name.as_str());
            let tensor = if normalised { directions(&tensor) } else { half(&tensor) };
            (name, tensor)
        })
        .collect();
    if size_bytes(&bytes) <= limits::WEIGHTS { (bytes, true) } else { (halves, false) }
}

/// The columns of a matrix `[in, out]` as bytes, each to its own scale.
fn directions(matrix: &Tensor) -> Tensor {
    let largest = matrix.abs().amax([0].as_slice(), true).clamp_min(f64::from(f32::MIN_POSITIVE)); // [1, out]
    ((matrix * LARGEST / largest).round() + ZERO).to_kind(Kind::Uint8)
}

/// An upper bound of the file's size: names and shapes take less than 4 KiB.
fn size_bytes(tensors: &[(String, Tensor)]) -> u64 {
    let bytes = |tensor: &Tensor| (tensor.numel() * tensor.kind().elt_size_in_bytes()) as u64;
    4096 + tensors.iter().map(|(_, tensor)| bytes(tensor)).sum::<u64>()
}

/// The network that packed tensors make.
///
/// # Errors
/// Tensors that are missing, left over, or of shapes that do not fit together.
pub fn unpacked(tensors: Tensors, what: &str, device: Device) -> anyhow::Result<Neuron> {
    let tensors = tensors
        .into_iter()
        .map(|(name, tensor)| {
            let bytes = tensor.kind() == Kind::Uint8;
            let tensor = tensor.to_kind(Kind::Float);
            (name, if bytes { tensor - ZERO } else { tensor })
        })
        .collect();
    Neuron::of_tensors(&tensors, what, device)
}

/// Writes packed tensors to [`TENSORS`] in `folder`, and the card beside them; each file whole or not at all.
///
/// # Errors
/// A file that cannot be written.
pub fn write(folder: &Path, tensors: &[(String, Tensor)], card: Card) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(folder)
        .with_context(|| format!("{}: cannot create", folder.display()))?;
    let path = folder.join(TENSORS);
    write_safetensors(&path, tensors)?;
    let card = Card { sha256: sha256_file(&path)?, ..card };
    write_atomic(&Card::beside(&path), (serde_json::to_string_pretty(&card)? + "\n").as_bytes())?;
    Ok(path)
}

/// Reads a network from what a user may name: a file of tensors (of this module, or a station of a training), a folder
/// with [`TENSORS`], or one with the release's arrays. Where there are tensors, returns their file as well.
///
/// # Errors
/// Files that cannot be read or hold something else.
pub fn read(path: &Path, device: Device) -> anyhow::Result<(Neuron, Option<PathBuf>)> {
    let file = if path.is_dir() { path.join(TENSORS) } else { path.to_owned() };
    if path.is_dir() && !file.is_file() {
        return Ok((released::read(path, device)?, None));
    }
    let what = file.display().to_string();
    Ok((unpacked(read_safetensors(&file)?, &what, device)?, Some(file)))
}

/// The file of the weights that come with the repository; the working directory is its root.
///
/// # Errors
/// None there.
pub fn published() -> anyhow::Result<PathBuf> {
    published_below(Path::new(REFERENCE))
}

fn published_below(reference: &Path) -> anyhow::Result<PathBuf> {
    let name = SENTIMENT_NEURON.name;
    common::weights::published(reference, name, single_unit::STUDY, TENSORS).with_context(|| {
        format!(
            "{}: no {TENSORS} is published here; run this in the repository's folder, or name weights with --weights: \
             those that `{name} run language-model single-unit` leaves in the run's folder, a folder of `{name} \
             pack-weights`, or one with the released 0.npy to 14.npy",
            reference.join(name).display()
        )
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::compress::container::{pack, unpack};
    use crate::compress::predictor::{NeuronPredictor, digest};
    use crate::model::Sizes;
    use common::nn::mlstm::FixedMlstm;

    fn neuron() -> Neuron {
        Neuron::new(Sizes { embedding: 4, hidden: 24 }, 1, 5, Device::Cpu)
    }

    fn unit() -> ChosenUnit {
        let threshold = Threshold { at: 0.25, larger_is_positive: false };
        ChosenUnit { index: 3, threshold, deviation: 0.5, set: "made".into(), train_acc: 0.75 }
    }

    fn bytes(neuron: &Neuron) -> Vec<(String, Tensor)> {
        let parameters = neuron.parameters().into_iter().map(|(name, tensor)| {
            let tensor = tensor.detach();
            let normalised = NORMALISED.contains(&name.as_str());
            (name, if normalised { directions(&tensor) } else { tensor.to_kind(Kind::Half) })
        });
        parameters.collect()
    }

    fn probabilities(neuron: &Neuron) -> Vec<f32> {
        let net = FixedMlstm::new(&neuron.net);
        let mut state = net.start();
        b"\n some text".iter().for_each(|&byte| net.step(&mut state, usize::from(byte)));
        net.probabilities(&state)
    }

    #[test]
    fn half_precision_and_bytes_give_nearly_the_same_probabilities() {
        let original = neuron();
        let wanted = probabilities(&original);
        let (halves, publishable) = packed(&original);
        assert!(publishable && halves.iter().all(|(_, tensor)| tensor.kind() == Kind::Half));
        // Halves keep 11 bits of a number, bytes 8 of a column's largest.
        for (tensors, close) in [(halves, 1e-3), (bytes(&original), 2e-2)] {
            let dir = tempfile::tempdir().unwrap();
            let path = write(dir.path(), &tensors, Card::new("run".into(), None, unit())).unwrap();
            let (read, _) = read(dir.path(), Device::Cpu).unwrap();
            let apart = |(a, b): (&f32, &f32)| (a / b - 1.0).abs();
            let worst = probabilities(&read).iter().zip(&wanted).map(apart).fold(0.0, f32::max);
            assert!(worst < close && worst > 0.0, "{worst}, wanted below {close}");
            assert_eq!(Card::read(&path).unwrap().unit, unit());
        }
    }

    #[test]
    fn what_packed_weights_compressed_they_decompress_wherever_they_are_read() {
        let content = "Round and round, crème after crème. ".repeat(4).into_bytes();
        for tensors in [packed(&neuron()).0, bytes(&neuron())] {
            let [a, b] = [0, 1].map(|_| {
                let dir = tempfile::tempdir().unwrap();
                write(dir.path(), &tensors, Card::new(String::new(), None, unit())).unwrap();
                read(dir.path(), Device::Cpu).unwrap().0
            });
            assert_eq!(digest(&a).unwrap(), digest(&b).unwrap());
            let file = pack(&mut NeuronPredictor::new(&a).unwrap(), &content).unwrap();
            assert_eq!(unpack(&mut NeuronPredictor::new(&b).unwrap(), &file).unwrap(), content);
        }
    }

    #[test]
    fn the_form_is_the_most_exact_that_may_be_published() {
        let kind_of = |hidden| {
            let neuron = Neuron::new(Sizes { embedding: 64, hidden }, 1, 0, Device::Cpu);
            let (tensors, publishable) = packed(&neuron);
            let wh = tensors.iter().find(|(name, _)| name == "wh").unwrap();
            (wh.1.kind(), publishable, size_bytes(&tensors) <= limits::WEIGHTS)
        };
        assert_eq!(kind_of(512), (Kind::Half, true, true));
        assert_eq!(kind_of(1024), (Kind::Uint8, true, true));
    }

    #[test]
    fn a_card_for_other_tensors_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let tensors = packed(&neuron()).0;
        let path = write(dir.path(), &tensors, Card::new("run".into(), None, unit())).unwrap();
        let card = Card::beside(&path);
        let whole = fs::read_to_string(&card).unwrap();
        let said = |from: &str, to: &str| {
            fs::write(&card, whole.replacen(from, to, 1)).unwrap();
            format!("{:#}", Card::read(&path).unwrap_err())
        };
        for (from, to, words) in [
            ("\"format\": 1", "\"format\": 2", "format 2, wanted 1"),
            ("\"sha256\": \"", "\"sha256\": \"0", "copy both files from the same run"),
            ("\"origin\"", "\"urigin\"", "unknown field `urigin`"),
        ] {
            let said = said(from, to);
            assert!(said.contains(words) && said.contains("weights."), "{said}");
        }
        fs::remove_file(&card).unwrap();
        let error = format!("{:#}", Card::read(&path).unwrap_err());
        assert!(error.contains("pack-weights"), "{error}");
    }

    #[test]
    fn a_value_lies_on_the_side_that_its_sign_says() {
        assert!((unit().value(2.0) + 0.75).abs() < 1e-6, "{}", unit().value(2.0));
        assert!((unit().value(-1.0) - 0.75).abs() < 1e-6, "{}", unit().value(-1.0));
    }

    #[test]
    fn without_published_weights_the_error_says_how_to_get_some() {
        let folder = tempfile::tempdir().unwrap();
        let error = published_below(folder.path()).unwrap_err().to_string();
        for way in ["--weights", "run language-model single-unit", "pack-weights", "14.npy"] {
            assert!(error.contains(way), "{error}");
        }
        let run = "sentiment-neuron/overnight/single-unit/sst/mlstm-512-on-reviews/seed-0";
        let path = folder.path().join(run).join(TENSORS);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, b"").unwrap();
        assert_eq!(published_below(folder.path()).unwrap(), path);
    }
}
