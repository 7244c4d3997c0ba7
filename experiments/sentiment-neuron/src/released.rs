//! The weights as their authors released them: fifteen numpy arrays, `0.npy` to `14.npy`.
//!
//! Source: openai/generating-reviews-discovering-sentiment, `encoder.py`, `Model`. In order: the embedding, `wx`, `wh`
//! in four pieces of its columns (one a gate), `wmx`, `wmh`, `b`, the gains `gx`, `gh`, `gmx`, `gmh`, the output layer's
//! matrix and bias. Matrices are `[in, out]`, as ours.

use std::path::Path;

use anyhow::{Context as _, ensure};
use common::checkpoint::Tensors;
use common::weights::read_npy;
use tch::{Device, Kind, Tensor};

use crate::model::Neuron;

/// Arrays of a release.
const ARRAYS: usize = 15;
/// Pieces of the recurrent matrix.
const PIECES: usize = 4;
/// Our names in the release's order; `wh` stands for its four pieces.
const NAMES: [&str; 12] = [
    "embedding",
    "wx",
    "wh",
    "wmx",
    "wmh",
    "b",
    "gx",
    "gh",
    "gmx",
    "gmh",
    "output.weight",
    "output.bias",
];

/// Reads a folder of released weights, of any width.
///
/// # Errors
/// An array that is missing or damaged, shapes that do not fit together.
pub fn read(folder: &Path, device: Device) -> anyhow::Result<Neuron> {
    let mut arrays = Vec::with_capacity(ARRAYS);
    for index in 0..ARRAYS {
        let path = folder.join(format!("{index}.npy"));
        ensure!(
            path.is_file(),
            "{}: not there; released weights are the {ARRAYS} files 0.npy to {}.npy",
            path.display(),
            ARRAYS - 1
        );
        arrays.push(read_npy(&path)?.to_kind(Kind::Float));
    }
    let pieces: Vec<Tensor> = arrays.drain(2..2 + PIECES).collect();
    let first = pieces[0].size();
    for (piece, index) in pieces.iter().zip(2..) {
        let found = piece.size();
        ensure!(
            found == first && found.len() == 2,
            "{}: {found:?}, wanted a matrix of {first:?}, a quarter of the recurrent one",
            folder.join(format!("{index}.npy")).display()
        );
    }
    arrays.insert(2, Tensor::cat(&pieces, 1)); // [H, 4·H]
    let tensors: Tensors = NAMES.into_iter().map(str::to_owned).zip(arrays).collect();
    Neuron::of_tensors(&tensors, &folder.display().to_string(), device)
}

/// Writes a network as the fifteen arrays.
///
/// # Errors
/// A file that cannot be written.
pub fn write(neuron: &Neuron, folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)
        .with_context(|| format!("{}: cannot create", folder.display()))?;
    let parameters = neuron.parameters();
    let mut arrays = Vec::with_capacity(ARRAYS);
    for name in NAMES {
        let (_, tensor) =
            parameters.iter().find(|(known, _)| known == name).expect("an mLSTM has all twelve");
        let tensor = tensor.detach().to_device(Device::Cpu).to_kind(Kind::Float);
        if name == "wh" {
            arrays.extend(tensor.chunk(PIECES as i64, 1));
        } else {
            arrays.push(tensor);
        }
    }
    for (index, array) in arrays.iter().enumerate() {
        let path = folder.join(format!("{index}.npy"));
        array
            .contiguous()
            .write_npy(&path)
            .with_context(|| format!("{}: cannot write", path.display()))?;
    }
    Ok(())
}
