//! Weights in folders: as Hugging Face keeps `openai-gpt`, as OpenAI released them, and ours.
//!
//! Ours are Hugging Face's: `config.json`, `model.safetensors`, `vocab.json`, `merges.txt`. Two keys of `config.json`
//! are our own and unknown to others: `text_mode`, how text becomes words, and, for the LSTM, `landmarks_lstm`.

use std::fs;
use std::path::{Path, PathBuf};

use common::checkpoint::{self, write_safetensors};
use common::data::tokenizer::{Mode, Tokenizer, TokenizerError};
use common::nn::transformer::{NormPlace, TransformerConfig};
use common::weights::decoder::{Family, is_conv1d, text_mode, turned};
use common::weights::{StateDict, WeightsError};
use ledger::run::{RunError, write_atomic};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tch::{Device, Kind, TchError, Tensor};

use crate::lstm::LstmConfig;
use crate::model::{Model, Shape};

mod openai;

/// The file of the shape.
const CONFIG: &str = "config.json";
/// The files of the tensors that are looked for, in order; the first is what we write.
const TENSORS: [&str; 2] = ["model.safetensors", "pytorch_model.bin"];

/// The file of a fine-tuned model's classifier.
const HEAD: &str = "classifier.safetensors";
/// How a classifier's variables begin.
const HEAD_PREFIX: &str = "classifier.";

/// A folder of weights that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It holds none of the forms.
    #[error(
        "{}: no weights here; wanted config.json with model.safetensors or pytorch_model.bin (Hugging Face's \
         openai-gpt, or what gpt1 writes), or params_shapes.json with params_0.npy to params_9.npy (OpenAI's release)",
        .0.display()
    )]
    NoWeights(PathBuf),
    /// The model was not fine-tuned.
    #[error(
        "{}: no classifier here (classifier.safetensors); fine-tune these weights first: gpt1 finetune --weights {} \
         --task TASK --to DIR",
        .0.display(), .0.display()
    )]
    NoClassifier(PathBuf),
    /// A file cannot be read.
    #[error("{}: cannot read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file's inside is not what it should be.
    #[error("{}: {place}: found {found}, wanted {wanted}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The key or the place.
        place: String,
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

/// `config.json` of Hugging Face's `openai-gpt`; what it says besides is left alone.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Config {
    model_type: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    architectures: Vec<String>,
    vocab_size: i64,
    n_positions: i64,
    n_embd: i64,
    n_layer: i64,
    n_head: i64,
    afn: String,
    resid_pdrop: f64,
    embd_pdrop: f64,
    attn_pdrop: f64,
    layer_norm_epsilon: f64,
    initializer_range: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text_mode: Option<Mode>,
}

/// Our LSTM's `config.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct OwnLstm {
    model_type: String,
    landmarks_lstm: LstmConfig,
    text_mode: Option<Mode>,
}

/// What the LSTM's `model_type` is.
const LSTM_TYPE: &str = "landmarks-lstm";

/// Reads the model in `folder`, in any of the forms.
///
/// # Errors
/// No weights; a shape that cannot be; a tensor that is missing, left over or of another shape, by name and with both
/// shapes.
pub fn read(folder: &Path, device: Device) -> Result<Model, FolderError> {
    if folder.join(openai::SHAPES).is_file() {
        return openai::read(folder, device);
    }
    let path = folder.join(CONFIG);
    let tensors = TENSORS.iter().map(|name| folder.join(name)).find(|path| path.is_file());
    let (true, Some(tensors)) = (path.is_file(), tensors) else {
        return Err(FolderError::NoWeights(folder.to_owned()));
    };
    let shape = shape(&path)?;
    let model = Model::new(&shape, 0, device);
    let mut tensors = StateDict::read(&tensors)?;
    match shape {
        Shape::Lstm(_) => tensors.load_into(&model.vs, str::to_owned)?,
        Shape::Transformer(config) => {
            leave_out_what_is_no_weight(&mut tensors, &config)?;
            let prefix = match tensors.get("transformer.tokens_embed.weight") {
                Some(_) => "transformer.",
                None => "",
            };
            let name_there = |name: &str| format!("{prefix}{}", Family::Gpt1.name(name));
            turned(&tensors, |_| true).load_into(&model.vs, name_there)?;
        }
    }
    Ok(model)
}

/// Writes `model` and, where there is one, its vocabulary into `folder`, as Hugging Face keeps them; with `half` in
/// bf16, at half the size.
///
/// # Errors
/// A folder that cannot be written to.
///
/// # Panics
/// If a transformer has its norms before the sub-layers or no biases: this experiment has none such.
pub fn write(
    folder: &Path,
    model: &Model,
    tokenizer: Option<&Tokenizer>,
    half: bool,
) -> Result<(), FolderError> {
    fs::create_dir_all(folder)
        .map_err(|source| FolderError::Read { path: folder.to_owned(), source })?;
    let mode = tokenizer.map(Tokenizer::mode);
    let shape = model.shape();
    let kind = if half { Kind::BFloat16 } else { Kind::Float };
    let (config, name): (Value, fn(&str) -> String) = match shape {
        Shape::Lstm(config) => {
            let (model_type, landmarks_lstm) = (LSTM_TYPE.to_owned(), config);
            (to_json(&OwnLstm { model_type, landmarks_lstm, text_mode: mode }), str::to_owned)
        }
        Shape::Transformer(config) => {
            assert!(
                config.norm == NormPlace::Post && config.bias,
                "openai-gpt has norms after its sums, and biases"
            );
            let config = Config {
                model_type: "openai-gpt".into(),
                architectures: vec!["OpenAIGPTLMHeadModel".into()],
                vocab_size: config.vocab,
                n_positions: config.context,
                n_embd: config.d_model,
                n_layer: config.n_layers,
                n_head: config.n_heads,
                afn: "gelu".into(),
                resid_pdrop: config.residual_dropout,
                embd_pdrop: config.embedding_dropout,
                attn_pdrop: config.attention_dropout,
                layer_norm_epsilon: 1e-5,
                initializer_range: config.init_std,
                text_mode: mode,
            };
            (to_json(&config), |name| format!("transformer.{}", Family::Gpt1.name(name)))
        }
    };
    let (head, own): (Vec<_>, Vec<_>) = checkpoint::variables(&model.vs)
        .into_iter()
        .partition(|(name, _)| name.starts_with(HEAD_PREFIX));
    if !head.is_empty() {
        write_safetensors(&folder.join(HEAD), &head)?;
    }
    let tensors: Vec<(String, Tensor)> = own
        .into_iter()
        .map(|(own, tensor)| {
            let there = name(&own);
            let tensor = tensor.detach().to_device(Device::Cpu).to_kind(kind);
            let tensor = if is_conv1d(&there) { tensor.tr().contiguous() } else { tensor };
            (there, tensor)
        })
        .collect();
    write_safetensors(&folder.join(TENSORS[0]), &tensors)?;
    if let Some(tokenizer) = tokenizer {
        tokenizer.save(folder)?;
    }
    let text = serde_json::to_string_pretty(&config).expect("plain data") + "\n";
    write_atomic(&folder.join(CONFIG), text.as_bytes())?;
    Ok(())
}

/// Reads the classifier of a fine-tuned model in `folder` into the variables of `model` that are one's.
///
/// # Errors
/// No classifier there; one of another shape.
pub fn read_head(folder: &Path, model: &Model) -> Result<(), FolderError> {
    let path = folder.join(HEAD);
    if !path.is_file() {
        return Err(FolderError::NoClassifier(folder.to_owned()));
    }
    let mut tensors = StateDict::read(&path)?;
    let own = checkpoint::variables(&model.vs).into_iter();
    for (name, variable) in own.filter(|(name, _)| name.starts_with(HEAD_PREFIX)) {
        let tensor = tensors.take(&name, &variable.size())?;
        tch::no_grad(|| variable.shallow_clone().f_copy_(&tensor))?;
    }
    Ok(())
}

/// The tokeniser of a folder: its vocabulary, cut as `mode` says or, without, as `config.json` does. A folder that
/// does not say holds Hugging Face's or OpenAI's own weights.
///
/// # Errors
/// A vocabulary that is missing or damaged.
pub fn tokenizer(folder: &Path, mode: Option<Mode>) -> Result<Tokenizer, FolderError> {
    let released = !folder.join(CONFIG).is_file() && folder.join(openai::SHAPES).is_file();
    let stored = text_mode(folder).or_else(|| released.then_some(Mode::OpenAi));
    Ok(Tokenizer::open(mode.or(stored).unwrap_or(Mode::Hf), folder)?)
}

fn to_json(config: &impl Serialize) -> Value {
    serde_json::to_value(config).expect("plain data")
}

fn shape(path: &Path) -> Result<Shape, FolderError> {
    let bytes =
        fs::read(path).map_err(|source| FolderError::Read { path: path.to_owned(), source })?;
    let malformed = |place: &str, found: String, wanted: &str| FolderError::Malformed {
        path: path.to_owned(),
        place: place.to_owned(),
        found,
        wanted: wanted.to_owned(),
    };
    let json: Value = serde_json::from_slice(&bytes)
        .map_err(|error| malformed("JSON", error.to_string(), "an object"))?;
    let kind = json["model_type"].as_str().unwrap_or("nothing");
    let shape = if kind == LSTM_TYPE {
        let own = OwnLstm::deserialize(&json)
            .map_err(|error| malformed("landmarks_lstm", error.to_string(), "an LSTM's shape"))?;
        Shape::Lstm(own.landmarks_lstm)
    } else if kind == "openai-gpt" {
        let config = Config::deserialize(&json)
            .map_err(|error| malformed("keys", error.to_string(), "those of openai-gpt"))?;
        if !["gelu", "gelu_new"].contains(&config.afn.as_str()) {
            return Err(malformed("afn", config.afn, "gelu: GPT-1's activation, its tanh form"));
        }
        if (config.layer_norm_epsilon - 1e-5).abs() > 1e-12 {
            let found = config.layer_norm_epsilon.to_string();
            return Err(malformed("layer_norm_epsilon", found, "1e-5, GPT-1's"));
        }
        Shape::Transformer(TransformerConfig {
            vocab: config.vocab_size,
            context: config.n_positions,
            n_layers: config.n_layer,
            n_heads: config.n_head,
            d_model: config.n_embd,
            norm: NormPlace::Post,
            bias: true,
            residual_dropout: config.resid_pdrop,
            embedding_dropout: config.embd_pdrop,
            attention_dropout: config.attn_pdrop,
            init_std: config.initializer_range,
        })
    } else {
        let wanted = format!("openai-gpt or {LSTM_TYPE}");
        return Err(malformed("model_type", kind.to_owned(), &wanted));
    };
    match shape.wrong() {
        Some((field, found, wanted)) => Err(malformed(key_there(field), found, &wanted)),
        None => Ok(shape),
    }
}

/// What Hugging Face's `config.json` calls a field of the shape.
fn key_there(field: &str) -> &str {
    match field {
        "vocab" => "vocab_size",
        "context" => "n_positions",
        "n_layers" => "n_layer",
        "n_heads" => "n_head",
        "d_model" => "n_embd",
        "residual_dropout" => "resid_pdrop",
        "embedding_dropout" => "embd_pdrop",
        "attention_dropout" => "attn_pdrop",
        other => other,
    }
}

/// Takes out the causal masks, which older files hold as tensors, and the output layer, which is the embedding.
fn leave_out_what_is_no_weight(
    tensors: &mut StateDict,
    config: &TransformerConfig,
) -> Result<(), FolderError> {
    let masks: Vec<String> =
        tensors.names().filter(|name| name.ends_with(".attn.bias")).map(str::to_owned).collect();
    for mask in masks {
        drop(tensors.take(&mask, &[1, 1, config.context, config.context])?);
    }
    let name = "lm_head.weight";
    if tensors.get(name).is_some() {
        let output = tensors.take(name, &[config.vocab, config.d_model])?;
        let tokens = tensors.get("transformer.tokens_embed.weight");
        if tokens.is_some_and(|tokens| tokens.size() == output.size() && *tokens != output) {
            return Err(FolderError::Malformed {
                path: tensors.path().to_owned(),
                place: name.to_owned(),
                found: "other numbers than in transformer.tokens_embed.weight".into(),
                wanted: "the same: GPT-1's output layer is its embedding".into(),
            });
        }
    }
    Ok(())
}
