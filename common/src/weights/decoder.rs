//! A decoder's weights in a folder, as Hugging Face keeps `openai-gpt` and `gpt2`.
//!
//! A folder holds `config.json` and `model.safetensors` (or `pytorch_model.bin`); ours also `vocab.json` and
//! `merges.txt`, and in `config.json` the key `text_mode`, how text becomes words, which others do not know.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ledger::run::{RunError, write_atomic};
use serde::Deserialize;
use serde_json::{Value, json};
use tch::nn::{self, VarStore};
use tch::{Device, Kind, TchError, Tensor};

use super::bytes::{SCALE, packed, unpacked};
use super::{StateDict, WeightsError};
use crate::checkpoint::{self, write_safetensors};
use crate::data::tokenizer::{ByteLevelTokenizer, Mode, Tokenizer, TokenizerError, Vocabulary};
use crate::nn::transformer::{NormPlace, Transformer, TransformerConfig};

/// The file of the shape.
const CONFIG: &str = "config.json";
/// The files of the tensors that are looked for, in order; the first is what we write.
const TENSORS: [&str; 2] = ["model.safetensors", "pytorch_model.bin"];

/// What Hugging Face calls GPT-2.
const GPT2: &str = "gpt2";

/// A folder of weights that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DecoderError {
    /// It holds none.
    #[error(
        "{}: no weights here; wanted config.json with model.safetensors or pytorch_model.bin, as Hugging Face keeps \
         openai-gpt and gpt2",
        .0.display()
    )]
    NoWeights(PathBuf),
    /// A file cannot be read or a folder not made.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// `config.json` is not what it should be.
    #[error("{}: {key}: found {found}, wanted {wanted}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// What stands there.
        found: String,
        /// What should stand there.
        wanted: String,
    },
    /// Tensors that do not make this model.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A vocabulary that cannot be read or written.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// A file cannot be written.
    #[error(transparent)]
    Write(#[from] RunError),
    /// libtorch refused an operation.
    #[error(transparent)]
    Torch(#[from] TchError),
}

/// How a decoder's matrices are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// In single precision, as Hugging Face's classes load them.
    Full,
    /// At a byte a weight with a scale for each row, for publishing; `name` times `name.scale` is the matrix.
    Bytes,
}

/// A decoder's shape and tensors, on the CPU, by our own names.
#[derive(Debug)]
pub struct Decoder {
    /// The shape.
    pub config: TransformerConfig,
    /// Every variable of [`Transformer`].
    pub tensors: BTreeMap<String, Tensor>,
}

impl Decoder {
    /// The decoder below `prefix` (`policy.`, or nothing) among the variables of `vs`, copied.
    pub fn of(vs: &VarStore, prefix: &str, config: &TransformerConfig) -> Self {
        let own = checkpoint::variables(vs).into_iter().filter_map(|(name, tensor)| {
            let name = name.strip_prefix(prefix)?.to_owned();
            Some((name, tensor.detach().to_device(Device::Cpu).copy()))
        });
        Self { config: config.clone(), tensors: own.collect() }
    }

    /// A model below `path` with these weights, of which only the first `layers` blocks are taken, and without any
    /// dropout.
    ///
    /// # Panics
    /// If `path` already holds variables of the same names.
    pub fn model(&self, path: &nn::Path, layers: i64) -> Transformer {
        let config = TransformerConfig {
            n_layers: layers.min(self.config.n_layers),
            residual_dropout: 0.0,
            embedding_dropout: 0.0,
            attention_dropout: 0.0,
            ..self.config.clone()
        };
        let vs = VarStore::new(path.device());
        drop(Transformer::new(&vs.root(), &config)); // only for the names
        let names: Vec<String> =
            checkpoint::variables(&vs).into_iter().map(|(name, _)| name).collect();
        let model = Transformer::new(path, &config);
        let _no_grad = tch::no_grad_guard();
        for name in names {
            let mut parts: Vec<&str> = name.split('.').collect();
            let last = parts.pop().expect("a name has a part");
            let place = parts.iter().fold(path.clone(), |at, part| at / *part);
            let source = &self.tensors[&name];
            place.entry(last).or_zeros(&source.size()).copy_(source);
        }
        model
    }

    /// Reads the decoder in `folder`.
    ///
    /// # Errors
    /// No weights; a shape that cannot be; a tensor that is missing, left over or of another shape.
    pub fn read(folder: &Path) -> Result<Self, DecoderError> {
        let path = folder.join(CONFIG);
        let tensors = TENSORS.iter().map(|name| folder.join(name)).find(|path| path.is_file());
        let (true, Some(tensors)) = (path.is_file(), tensors) else {
            return Err(DecoderError::NoWeights(folder.to_owned()));
        };
        let (family, config) = shape(&path)?;
        let tensors = unpacked(&StateDict::read(&tensors)?, is_conv1d);
        let tensors = without_buffers(&tensors);
        let vs = VarStore::new(Device::Cpu);
        let _model = Transformer::new(&vs.root(), &config);
        let prefix = match tensors.get(&format!("transformer.{}", family.name("tokens"))) {
            Some(_) => "transformer.",
            None => "",
        };
        tensors.load_into(&vs, |name| format!("{prefix}{}", family.name(name)))?;
        Ok(Self::of(&vs, "", &config))
    }

    /// Writes the decoder and its vocabulary into `folder`.
    ///
    /// # Errors
    /// A folder that cannot be written to.
    pub fn write(
        &self,
        folder: &Path,
        vocabulary: &dyn Vocabulary,
        stored: Stored,
    ) -> Result<(), DecoderError> {
        fs::create_dir_all(folder)
            .map_err(|source| DecoderError::Io { path: folder.to_owned(), source })?;
        let family = match self.config.norm {
            NormPlace::Post => Family::Gpt1,
            NormPlace::Pre => Family::Gpt2,
        };
        let mut tensors = Vec::new();
        for (own, tensor) in &self.tensors {
            let name = format!("transformer.{}", family.name(own));
            let laid_out = |tensor: Tensor| {
                if is_conv1d(&name) { tensor.tr().contiguous() } else { tensor }
            };
            if stored == Stored::Bytes && tensor.dim() == 2 {
                let (whole, scale) = packed(tensor);
                tensors.push((name.clone(), laid_out(whole)));
                tensors.push((format!("{name}{SCALE}"), scale));
            } else {
                tensors.push((name.clone(), laid_out(tensor.to_kind(Kind::Float))));
            }
        }
        write_safetensors(&folder.join(TENSORS[0]), &tensors)?;
        vocabulary.save(folder)?;
        let config = family.config(&self.config, vocabulary.mode());
        let text = serde_json::to_string_pretty(&config).expect("plain data") + "\n";
        write_atomic(&folder.join(CONFIG), text.as_bytes())?;
        Ok(())
    }
}

/// The vocabulary of a folder: GPT-1's kind, cut as its `config.json` says; where that does not say, Hugging Face's of
/// `gpt2` or of `openai-gpt`, whichever model stands there.
///
/// # Errors
/// A vocabulary that is missing or damaged.
pub fn vocabulary_of(folder: &Path) -> Result<Box<dyn Vocabulary>, DecoderError> {
    let Said { text_mode, model_type } = said(folder);
    if text_mode.is_none() && model_type.as_deref() == Some(GPT2) {
        return Ok(Box::new(ByteLevelTokenizer::open(folder)?));
    }
    Ok(Box::new(Tokenizer::open(text_mode.unwrap_or(Mode::Hf), folder)?))
}

/// How text becomes words, as the `config.json` of a folder says; none where there is none or it does not say.
pub fn text_mode(folder: &Path) -> Option<Mode> {
    said(folder).text_mode
}

/// What a `config.json` says of the text.
#[derive(Default, Deserialize)]
struct Said {
    text_mode: Option<Mode>,
    model_type: Option<String>,
}

fn said(folder: &Path) -> Said {
    let bytes = fs::read(folder.join(CONFIG)).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

/// Whose names and form the files have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// `openai-gpt`: norms after the sums.
    Gpt1,
    /// `gpt2`: norms before the sub-layers, and one at the end.
    Gpt2,
}

impl Family {
    /// What Hugging Face calls our variable.
    pub fn name(self, own: &str) -> String {
        match (self, own) {
            (Self::Gpt1, "tokens") => return "tokens_embed.weight".to_owned(),
            (Self::Gpt1, "positions") => return "positions_embed.weight".to_owned(),
            (Self::Gpt2, "tokens") => return "wte.weight".to_owned(),
            (Self::Gpt2, "positions") => return "wpe.weight".to_owned(),
            _ => {}
        }
        let (block, rest) = own.split_once('.').expect("the others belong to a layer");
        let Some(index) = block.strip_prefix("block") else {
            return format!("ln_f.{rest}");
        };
        let rest = rest
            .replace("attention.qkv", "attn.c_attn")
            .replace("attention.proj", "attn.c_proj")
            .replace("mlp.fc", "mlp.c_fc")
            .replace("mlp.proj", "mlp.c_proj")
            .replace("norm", "ln_");
        format!("h.{index}.{rest}")
    }

    fn config(self, config: &TransformerConfig, mode: Option<Mode>) -> Value {
        let mut value = json!({
            "vocab_size": config.vocab, "n_positions": config.context, "n_embd": config.d_model,
            "n_layer": config.n_layers, "n_head": config.n_heads,
            "resid_pdrop": config.residual_dropout, "embd_pdrop": config.embedding_dropout,
            "attn_pdrop": config.attention_dropout, "layer_norm_epsilon": 1e-5,
            "initializer_range": config.init_std,
        });
        if let Some(mode) = mode {
            value["text_mode"] = json!(mode);
        }
        let (family, class, key, activation) = match self {
            Self::Gpt1 => ("openai-gpt", "OpenAIGPTLMHeadModel", "afn", "gelu"),
            Self::Gpt2 => (GPT2, "GPT2LMHeadModel", "activation_function", "gelu_new"),
        };
        value["model_type"] = json!(family);
        value["architectures"] = json!([class]);
        value[key] = json!(activation);
        value
    }
}

/// The same tensors without causal masks and a copy of the embedding as output layer, turned as [`turned`] does.
fn without_buffers(tensors: &StateDict) -> StateDict {
    turned(tensors, |name| {
        let mask = name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias");
        !mask && name != "lm_head.weight"
    })
}

/// The tensors that `keep` accepts by their names, those of Hugging Face; matrices that are kept `[in, out]` are turned.
pub fn turned(tensors: &StateDict, keep: impl Fn(&str) -> bool) -> StateDict {
    let kept: BTreeMap<String, Tensor> = tensors
        .names()
        .filter(|name| keep(name))
        .map(|name| {
            let tensor = tensors.get(name).expect("it was listed");
            let turn = is_conv1d(name) && tensor.dim() == 2;
            (name.to_owned(), if turn { tensor.tr() } else { tensor.shallow_clone() })
        })
        .collect();
    StateDict::of(tensors.path(), kept)
}

/// Whether Hugging Face keeps the matrix `[in, out]`, as the original does; ours are `[out, in]`.
pub fn is_conv1d(there: &str) -> bool {
    there.ends_with(".weight") && (there.contains(".attn.c_") || there.contains(".mlp.c_"))
}

fn shape(path: &Path) -> Result<(Family, TransformerConfig), DecoderError> {
    let wrong = |key: &str, found: String, wanted: &str| DecoderError::Config {
        path: path.to_owned(),
        key: key.to_owned(),
        found,
        wanted: wanted.to_owned(),
    };
    let bytes =
        fs::read(path).map_err(|source| DecoderError::Io { path: path.to_owned(), source })?;
    let json: Value = serde_json::from_slice(&bytes)
        .map_err(|error| wrong("JSON", error.to_string(), "an object"))?;
    let (family, activation) = match json["model_type"].as_str() {
        Some("openai-gpt") => (Family::Gpt1, "afn"),
        Some(GPT2) => (Family::Gpt2, "activation_function"),
        other => {
            let found = other.unwrap_or("nothing").to_owned();
            return Err(wrong("model_type", found, "openai-gpt or gpt2"));
        }
    };
    let name = json[activation].as_str().unwrap_or("nothing");
    if !["gelu", "gelu_new"].contains(&name) {
        return Err(wrong(activation, name.to_owned(), "gelu or gelu_new, the tanh form"));
    }
    let epsilon = json["layer_norm_epsilon"].as_f64().unwrap_or(1e-5);
    if (epsilon - 1e-5).abs() > 1e-12 {
        return Err(wrong("layer_norm_epsilon", epsilon.to_string(), "1e-5"));
    }
    let whole = |key: &str| {
        json[key].as_i64().ok_or_else(|| wrong(key, json[key].to_string(), "a whole number"))
    };
    let share = |key: &str| json[key].as_f64().unwrap_or(0.0);
    let config = TransformerConfig {
        vocab: whole("vocab_size")?,
        context: whole("n_positions")?,
        n_layers: whole("n_layer")?,
        n_heads: whole("n_head")?,
        d_model: whole("n_embd")?,
        norm: if family == Family::Gpt1 { NormPlace::Post } else { NormPlace::Pre },
        bias: true,
        residual_dropout: share("resid_pdrop"),
        embedding_dropout: share("embd_pdrop"),
        attention_dropout: share("attn_pdrop"),
        init_std: json["initializer_range"].as_f64().unwrap_or(0.02),
    };
    match config.wrong() {
        Some((field, found, wanted)) => Err(wrong(field, found, &wanted)),
        None => Ok((family, config)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::probe::Probe;

    fn tiny(norm: NormPlace) -> TransformerConfig {
        TransformerConfig {
            vocab: 300,
            context: 8,
            n_layers: 2,
            n_heads: 2,
            d_model: 8,
            norm,
            init_std: 0.3,
            ..TransformerConfig::GPT1
        }
    }

    #[test]
    fn what_was_written_reads_as_the_same_model_of_either_family() {
        for norm in [NormPlace::Post, NormPlace::Pre] {
            let folder = tempfile::tempdir().unwrap();
            let vs = VarStore::new(Device::Cpu);
            let model = Transformer::new(&(vs.root() / "policy"), &tiny(norm));
            let decoder = Decoder::of(&vs, "policy.", &tiny(norm));
            let document =
                crate::data::tokenizer::Document { name: "a".into(), text: "a b c d e".into() };
            let tokenizer = Tokenizer::train(Mode::Hf, std::iter::once(Ok(document)), 20).unwrap();
            decoder.write(folder.path(), &tokenizer, Stored::Full).unwrap();
            let read = Decoder::read(folder.path()).unwrap();
            assert_eq!(read.config, tiny(norm));
            let other = VarStore::new(Device::Cpu);
            let again = read.model(&(other.root() / "x"), 2);
            let ids = Tensor::from_slice(&[5_i64, 9, 2]).view([1, 3]);
            let (a, b) = (
                model.forward(&ids, false, &Probe::off()),
                again.forward(&ids, false, &Probe::off()),
            );
            assert_eq!(a, b, "{norm:?}");
            assert_eq!(vocabulary_of(folder.path()).unwrap().digest(), tokenizer.digest());
            let first = read.model(&(other.root() / "first"), 1);
            assert_eq!(first.config().n_layers, 1);
        }
    }

    #[test]
    fn at_a_byte_a_weight_a_model_is_a_quarter_as_large_and_nearly_the_same() {
        for norm in [NormPlace::Post, NormPlace::Pre] {
            let shape = TransformerConfig { d_model: 64, init_std: 0.1, ..tiny(norm) };
            tch::manual_seed(2);
            let vs = VarStore::new(Device::Cpu);
            let model = Transformer::new(&vs.root(), &shape);
            let decoder = Decoder::of(&vs, "", &shape);
            let document =
                crate::data::tokenizer::Document { name: "a".into(), text: "a b c d e".into() };
            let tokenizer = Tokenizer::train(Mode::Hf, std::iter::once(Ok(document)), 20).unwrap();
            let size = |stored: Stored| {
                let folder = tempfile::tempdir().unwrap();
                decoder.write(folder.path(), &tokenizer, stored).unwrap();
                let size = fs::metadata(folder.path().join(TENSORS[0])).unwrap().len();
                (size as f64, Decoder::read(folder.path()).unwrap())
            };
            let ((full, _), (small, read)) = (size(Stored::Full), size(Stored::Bytes));
            assert!(small < 0.3 * full, "{norm:?}: {small} of {full} bytes");
            let other = VarStore::new(Device::Cpu);
            let again = read.model(&other.root(), 2);
            let ids = Tensor::from_slice(&[5_i64, 9, 2, 7]).view([1, 4]);
            let log_p = |model: &Transformer| {
                let states = model.forward(&ids, false, &Probe::off());
                model.logits(&states).log_softmax(-1, Kind::Float)
            };
            let (wanted, got) = (log_p(&model), log_p(&again));
            // Divergence of the next token's distribution, nats: steps of 1/254 of a row's largest weight.
            let apart = (wanted.exp() * (&wanted - got)).sum_dim_intlist(-1, false, Kind::Float);
            let apart = apart.max().double_value(&[]);
            assert!(apart < 1e-3, "{norm:?}: {apart}");
        }
    }

    #[test]
    fn gpt_2_from_hugging_face_has_pairs_of_bytes_and_ours_has_words() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(CONFIG), r#"{"model_type": "gpt2"}"#).unwrap();
        let said = vocabulary_of(folder.path()).unwrap_err().to_string();
        assert!(said.contains("vocab.json with merges.txt") && !said.contains("40000"), "{said}");
        let ours = r#"{"model_type": "gpt2", "text_mode": "hf"}"#;
        fs::write(folder.path().join(CONFIG), ours).unwrap();
        let said = vocabulary_of(folder.path()).unwrap_err().to_string();
        assert!(said.contains("encoder_bpe_40000.json"), "{said}");
    }

    #[test]
    fn a_folder_of_something_else_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let said = |folder: &Path| Decoder::read(folder).unwrap_err().to_string();
        assert!(said(folder.path()).contains("no weights here"));
        fs::write(folder.path().join(CONFIG), r#"{"model_type": "bert"}"#).unwrap();
        fs::write(folder.path().join(TENSORS[0]), "").unwrap();
        assert!(said(folder.path()).contains("model_type: found bert"));
    }
}
