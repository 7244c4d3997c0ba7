//! The weights as OpenAI released them: `params_0.npy` to `params_9.npy`, ten pieces of one long vector, and
//! `params_shapes.json`, the shapes of the tensors in it.
//!
//! Source: openai/finetune-transformer-lm, `train.py`, where pre-trained parameters are loaded. In order: positions,
//! tokens, then of each block qkv, projection, gain and bias of the first norm, inner layer, outer layer, gain and bias
//! of the second. Matrices are `[1, in, out]`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use common::nn::transformer::TransformerConfig;
use common::weights::{StateDict, read_npy};
use tch::{Device, Kind, Tensor};

use super::FolderError;
use crate::model::{Model, Shape};

/// The file of shapes.
pub(super) const SHAPES: &str = "params_shapes.json";
/// Pieces of the vector.
const PIECES: usize = 10;
/// A block's variables in the release's order.
const BLOCK: [&str; 12] = [
    "attention.qkv.weight",
    "attention.qkv.bias",
    "attention.proj.weight",
    "attention.proj.bias",
    "norm1.weight",
    "norm1.bias",
    "mlp.fc.weight",
    "mlp.fc.bias",
    "mlp.proj.weight",
    "mlp.proj.bias",
    "norm2.weight",
    "norm2.bias",
];
/// Heads of a block; the shapes do not say how many there are.
///
/// Source: openai/finetune-transformer-lm, `train.py`, `--n_head`.
const HEADS: i64 = 12;

/// Reads a folder of released weights, of any size.
pub(super) fn read(folder: &Path, device: Device) -> Result<Model, FolderError> {
    let path = folder.join(SHAPES);
    let bytes =
        fs::read(&path).map_err(|source| FolderError::Read { path: path.clone(), source })?;
    let malformed = |place: &str, found: String, wanted: String| FolderError::Malformed {
        path: path.clone(),
        place: place.to_owned(),
        found,
        wanted,
    };
    let shapes: Vec<Vec<i64>> = serde_json::from_slice(&bytes)
        .map_err(|error| malformed("JSON", error.to_string(), "a list of shapes".into()))?;
    let config = config(&shapes).ok_or_else(|| {
        let found = format!("{} shapes, the first {:?}", shapes.len(), shapes.first());
        malformed(
            "shapes",
            found,
            "those of positions, tokens and 12 for each block, of channels for 12 heads".into(),
        )
    })?;

    let mut pieces = Vec::with_capacity(PIECES);
    for index in 0..PIECES {
        let piece = read_npy(&folder.join(format!("params_{index}.npy")))?;
        pieces.push(piece.to_kind(Kind::Float).flatten(0, -1));
    }
    let all = Tensor::cat(&pieces, 0);
    let sizes: Vec<i64> = shapes.iter().map(|shape| shape.iter().product()).collect();
    let wanted: i64 = sizes.iter().sum();
    if all.numel() as i64 != wanted {
        let found = format!("room for {wanted} numbers");
        return Err(malformed(
            "shapes",
            found,
            format!("{}: so many are in the pieces", all.numel()),
        ));
    }
    let mut tensors = BTreeMap::new();
    for ((name, shape), flat) in names().zip(&shapes).zip(all.split_with_sizes(&sizes, 0)) {
        let tensor = flat.view(shape.as_slice());
        let tensor = if shape.len() == 3 { tensor.squeeze_dim(0).tr() } else { tensor };
        tensors.insert(name, tensor);
    }
    let model = Model::new(&Shape::Transformer(config), 0, device);
    StateDict::of(&path, tensors).load_into(&model.vs, str::to_owned)?;
    Ok(model)
}

fn names() -> impl Iterator<Item = String> {
    let blocks = (0..).flat_map(|i| BLOCK.map(|name| format!("block{i}.{name}")));
    ["positions".to_owned(), "tokens".to_owned()].into_iter().chain(blocks)
}

fn config(shapes: &[Vec<i64>]) -> Option<TransformerConfig> {
    let ([positions, tokens], blocks) = shapes.split_first_chunk::<2>()?;
    let (&[context, d_model], &[vocab, _]) = (&positions[..], &tokens[..]) else { return None };
    let n_layers = (blocks.len() / BLOCK.len()) as i64;
    let n_heads = HEADS;
    let config =
        TransformerConfig { vocab, context, n_layers, n_heads, d_model, ..TransformerConfig::GPT1 };
    (blocks.len().is_multiple_of(BLOCK.len()) && config.wrong().is_none()).then_some(config)
}
