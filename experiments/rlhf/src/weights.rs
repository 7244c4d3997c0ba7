//! Weights that one stage leaves for the next: where they lie, and what a run says of them in its record.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use common::checkpoint::{read_safetensors, variables, write_safetensors};
use common::data::sha256_file;
use common::training_run::Spec;
use common::weights::decoder::{Decoder, Stored, vocabulary_of};
use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};

use crate::reward::RewardModel;
use crate::words::Words;

/// The file of a decoder's tensors.
const TENSORS: &str = "model.safetensors";
/// The file of a reward model's head, gain and bias.
const REWARD: &str = "reward.safetensors";

/// Weights that a run starts from or reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// In words, for records and pages, e.g. `trained here on novels`.
    pub what: String,
    /// Where they lie.
    pub place: Place,
    /// sha256 of the file of their tensors, in hex.
    pub sha256: String,
}

/// Where weights lie.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// A folder, as Hugging Face keeps them.
    Folder(PathBuf),
    /// Beside the checkpoints of a run at the same preset.
    Run {
        /// Its study.
        study: String,
        /// Its data.
        data: String,
        /// Its variant.
        variant: String,
        /// Its seed.
        seed: u64,
    },
}

impl Origin {
    /// Weights in a folder.
    ///
    /// # Errors
    /// A folder without weights.
    pub fn folder(what: String, folder: PathBuf) -> anyhow::Result<Self> {
        let file = [TENSORS, "pytorch_model.bin"].iter().map(|name| folder.join(name));
        let file = file.into_iter().find(|path| path.is_file());
        let file = file.with_context(|| {
            format!("{}: no weights here; wanted {TENSORS} or pytorch_model.bin", folder.display())
        })?;
        Ok(Self { what, sha256: sha256_file(&file)?, place: Place::Folder(folder) })
    }

    /// The weights that the finished run of `spec` left.
    ///
    /// # Errors
    /// A run whose weights are gone from the cache.
    pub fn run(what: String, spec: &Spec) -> anyhow::Result<Self> {
        let path = kept(spec).join(TENSORS);
        let sha256 = sha256_file(&path).with_context(|| {
            format!(
                "{}: its weights are gone; run it again with --overwrite",
                spec.folder().display()
            )
        })?;
        let key = spec.key.clone();
        let place =
            Place::Run { study: key.study, data: key.data, variant: key.variant, seed: key.seed };
        Ok(Self { what, place, sha256 })
    }

    /// The folder, as the run of `spec` finds it, checked.
    ///
    /// # Errors
    /// Weights that are gone or changed since the run was planned.
    pub fn find(&self, spec: &Spec) -> anyhow::Result<PathBuf> {
        let folder = match &self.place {
            Place::Folder(folder) => folder.clone(),
            Place::Run { study, data, variant, seed } => {
                let mut trained = spec.clone();
                trained.key.study.clone_from(study);
                trained.key.data.clone_from(data);
                trained.key.variant.clone_from(variant);
                trained.key.seed = *seed;
                kept(&trained)
            }
        };
        let again = Self::folder(String::new(), folder.clone())?;
        ensure!(
            again.sha256 == self.sha256,
            "{}: changed since the run was planned",
            folder.display()
        );
        Ok(folder)
    }

    /// The decoder and its words, as the run of `spec` finds them.
    ///
    /// # Errors
    /// As [`Origin::find`].
    pub fn decoder(&self, spec: &Spec) -> anyhow::Result<(Decoder, Words)> {
        read_decoder(&self.find(spec)?)
    }

    /// The reward model, as the run of `spec` finds it.
    ///
    /// # Errors
    /// As [`Origin::find`].
    pub fn reward(&self, spec: &Spec, device: Device) -> anyhow::Result<RewardModel> {
        Ok(read_reward(&self.find(spec)?, device)?.0)
    }
}

/// Where a run keeps its weights.
pub fn kept(spec: &Spec) -> PathBuf {
    spec.checkpoints().join("weights")
}

/// A decoder and its words in a folder.
///
/// # Errors
/// Weights or vocabulary that are missing or damaged.
pub fn read_decoder(folder: &Path) -> anyhow::Result<(Decoder, Words)> {
    let decoder = Decoder::read(folder)?;
    let words = Words::new(vocabulary_of(folder)?)?;
    ensure!(
        decoder.config.vocab >= words.vocabulary.vocab_size() as i64,
        "{}: the model has {} tokens, its vocabulary {}: the files do not belong together",
        folder.display(),
        decoder.config.vocab,
        words.vocabulary.vocab_size()
    );
    Ok((decoder, words))
}

/// Writes a reward model: its decoder, and its head beside it.
///
/// # Errors
/// A folder that cannot be written to.
pub fn write_reward(
    folder: &Path,
    model: &RewardModel,
    words: &Words,
    stored: Stored,
) -> anyhow::Result<()> {
    model.decoder().write(folder, &*words.vocabulary, stored)?;
    Ok(write_safetensors(&folder.join(REWARD), &head(model))?)
}

/// A reward model and its words in a folder.
///
/// # Errors
/// Files that are missing, damaged or of another model.
pub fn read_reward(folder: &Path, device: Device) -> anyhow::Result<(RewardModel, Words)> {
    let (decoder, words) = read_decoder(folder)?;
    let model = RewardModel::new(&decoder, decoder.config.n_layers, device);
    let path = folder.join(REWARD);
    let tensors = read_safetensors(&path)
        .with_context(|| format!("{}: not a reward model", folder.display()))?;
    let _no_grad = tch::no_grad_guard();
    for (name, variable) in head(&model) {
        let tensor =
            tensors.get(&name).with_context(|| format!("{}: lacks {name}", path.display()))?;
        ensure!(tensor.size() == variable.size(), "{}: {name} is of another shape", path.display());
        variable.shallow_clone().copy_(tensor);
    }
    Ok((model, words))
}

/// The variables that are no decoder's.
fn head(model: &RewardModel) -> Vec<(String, Tensor)> {
    variables(&model.vs).into_iter().filter(|(name, _)| !name.starts_with("body.")).collect()
}

#[cfg(test)]
mod tests {
    use common::data::tokenizer::{Document, Mode, Tokenizer};
    use common::nn::transformer::{NormPlace, Transformer, TransformerConfig};
    use ledger::publish::limits;
    use tch::nn::VarStore;

    use super::*;
    use crate::RLHF;
    use crate::studies::Preset;

    /// A decoder of this shape with some weights.
    fn decoder(shape: crate::stages::Shape, vocab: i64) -> Decoder {
        let config = TransformerConfig {
            vocab,
            context: shape.context,
            n_layers: shape.n_layers,
            n_heads: shape.n_heads,
            d_model: shape.d_model,
            norm: NormPlace::Post,
            ..TransformerConfig::GPT1
        };
        let vs = VarStore::new(Device::Cpu);
        drop(Transformer::new(&vs.root(), &config));
        Decoder::of(&vs, "", &config)
    }

    fn words() -> Words {
        let document = Document { name: "a".into(), text: "a b . c d e".into() };
        let vocabulary = Tokenizer::train(Mode::Hf, std::iter::once(Ok(document)), 24).unwrap();
        Words::new(Box::new(vocabulary)).unwrap()
    }

    #[test]
    fn the_three_models_that_a_preset_publishes_are_within_the_limit_of_an_experiment() {
        let mut published = 0;
        for source in RLHF.presets {
            let preset: Preset = source.load(&[]).unwrap();
            if !preset.sentiment.publish {
                continue;
            }
            published += 1;
            let words = words();
            let folder = tempfile::tempdir().unwrap();
            let base = decoder(preset.base.shape, 4096);
            for part in ["policy", "before"] {
                base.write(&folder.path().join(part), &*words.vocabulary, Stored::Bytes).unwrap();
            }
            let reward = RewardModel::new(&base, base.config.n_layers, Device::Cpu);
            let part = folder.path().join("reward");
            write_reward(&part, &reward, &words, Stored::Bytes).unwrap();
            let size = |file: &str| folder.path().join(file).metadata().unwrap().len();
            let all = size("policy/model.safetensors")
                + size("before/model.safetensors")
                + size("reward/model.safetensors")
                + size("reward/reward.safetensors");
            let most = limits::WEIGHTS;
            assert!(all < most, "{}: {all} bytes of weights, at most {most}", source.name);
            // In single precision they would not be.
            base.write(&part, &*words.vocabulary, Stored::Full).unwrap();
            assert!(3 * size("reward/model.safetensors") > most, "{}", source.name);
        }
        assert_eq!(published, 1, "overnight publishes");
    }

    #[test]
    fn a_reward_model_at_a_byte_a_weight_reads_as_the_same_one() {
        let shape = crate::stages::Shape { n_layers: 2, n_heads: 2, d_model: 32, context: 16 };
        tch::manual_seed(3);
        let model = RewardModel::new(&decoder(shape, 30), 2, Device::Cpu);
        let folder = tempfile::tempdir().unwrap();
        write_reward(folder.path(), &model, &words(), Stored::Bytes).unwrap();
        let (again, _) = read_reward(folder.path(), Device::Cpu).unwrap();
        let ids = Tensor::from_slice(&[1_i64, 5, 9, 2, 7, 4]).view([2, 3]);
        let of = |model: &RewardModel| tch::no_grad(|| crate::train_reward::scores(model, &ids, 8));
        let (wanted, got) = (of(&model), of(&again));
        let apart = (&wanted - got).abs().max().double_value(&[]);
        let spread = wanted.abs().max().double_value(&[]);
        assert!(apart < 0.02 * spread, "{apart} of {spread}");
    }
}
