//! Weights from elsewhere: state dictionaries, as safetensors or as PyTorch writes them.
//!
//! [`StateDict::read`] tells the format by a file's first bytes, not by its name. What it holds is
//! copied into a model by [`StateDict::load_into`], which refuses a missing tensor, one left over, and
//! one of another shape, by name.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use tch::nn::VarStore;
use tch::{Kind, TchError, Tensor};

use crate::checkpoint;
use crate::data::pickle::PickleError;
use crate::preset::nearest;

mod bytes;
pub mod decoder;
mod npy;
mod published;
mod torch_zip;

pub use npy::read_npy;
pub use published::{REFERENCE, published};

/// Tensors by name, on the CPU.
#[derive(Debug)]
pub struct StateDict {
    path: PathBuf,
    tensors: BTreeMap<String, Tensor>,
}

/// Weights that cannot be read or used.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The file could not be read.
    #[error("{}: cannot read: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is none of the formats.
    #[error(
        "{}: found a file that begins with {found}, wanted .safetensors, or .pth as PyTorch 1.6 and later \
         write it",
        path.display()
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// Its first bytes.
        found: String,
    },
    /// It is in the format that PyTorch wrote before 1.6.
    #[error(
        "{0}: in the format from before PyTorch 1.6, which is not read; convert it once: python3 -c \"import \
         torch; torch.save(torch.load('{0}', map_location='cpu'), '{0}.zip.pth')\", and give {0}.zip.pth",
        path.display()
    )]
    Old {
        /// The file.
        path: PathBuf,
    },
    /// It is a compiled program, not weights alone.
    #[error(
        "{0}: a TorchScript archive, a program; save its weights alone: python3 -c \"import torch; \
         torch.save(torch.jit.load('{0}', map_location='cpu').state_dict(), '{0}.zip.pth')\"",
        path.display()
    )]
    Script {
        /// The file.
        path: PathBuf,
    },
    /// The pickle inside is not a dictionary of tensors.
    #[error(
        "{}: {source}; only dictionaries of tensors are read, as torch.save(model.state_dict(), …) writes \
         them",
        path.display()
    )]
    Pickle {
        /// The file.
        path: PathBuf,
        /// What was refused.
        source: PickleError,
    },
    /// The file's inside breaks its format.
    #[error("{}: {place}: found {found}, wanted {wanted}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The place in it.
        place: String,
        /// What stands there.
        found: String,
        /// What should stand there.
        wanted: String,
    },
    /// A tensor that the model has is not there.
    #[error(
        "{}: lacks the tensor {name} {wanted:?}{}", path.display(),
        nearest.as_ref().map_or_else(String::new, |n| format!("; the nearest name there is {n}"))
    )]
    Missing {
        /// The file.
        path: PathBuf,
        /// The tensor, as files of this kind call it.
        name: String,
        /// Its shape in the model.
        wanted: Vec<i64>,
        /// The most similar name in the file.
        nearest: Option<String>,
    },
    /// A tensor has another shape.
    #[error("{}: the tensor {name} is {found:?}, wanted {wanted:?}", path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its shape in the file.
        found: Vec<i64>,
        /// Its shape in the model.
        wanted: Vec<i64>,
    },
    /// Tensors that the model does not have.
    #[error("{}: holds {names}, which this model does not have", path.display())]
    LeftOver {
        /// The file.
        path: PathBuf,
        /// The tensors.
        names: String,
    },
    /// libtorch refused an operation.
    #[error("{0}")]
    Torch(#[from] TchError),
}

/// How PyTorch before 1.6 begins: a pickle of its magic number.
///
/// Source: PyTorch 2.13, `torch/serialization.py`, `MAGIC_NUMBER`.
const OLD: &[u8] = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";

impl StateDict {
    /// Reads all tensors of a file.
    ///
    /// # Errors
    /// A file of another format, damaged, or with something else than tensors in it.
    pub fn read(path: &Path) -> Result<Self, WeightsError> {
        let io = |source| WeightsError::Io { path: path.to_owned(), source };
        let bytes = fs::read(path).map_err(io)?;
        let path = path.to_owned();
        let head = &bytes[..bytes.len().min(64)];
        if head.starts_with(b"PK\x03\x04") {
            let tensors = torch_zip::read(&path, &bytes)?;
            return Ok(Self { path, tensors });
        }
        // A safetensors file begins with the length of its header in 8 bytes, then the header, JSON.
        if head.get(8) == Some(&b'{') {
            return match checkpoint::parse_safetensors(&bytes) {
                Ok(tensors) => Ok(Self { path, tensors: tensors.into_iter().collect() }),
                Err(found) => {
                    let (place, wanted) = ("safetensors".to_owned(), "a whole file".to_owned());
                    Err(WeightsError::Malformed { path, place, found, wanted })
                }
            };
        }
        if head.get(2..).is_some_and(|rest| rest.starts_with(OLD)) {
            return Err(WeightsError::Old { path });
        }
        let found = match head.get(..8.min(head.len())) {
            None | Some([]) => "nothing: it is empty".to_owned(),
            Some(first) => format!("\"{}\"", first.escape_ascii()),
        };
        Err(WeightsError::Format { path, found })
    }

    /// Tensors that were made from those of `path`, e.g. turned or cut.
    pub fn of(path: &Path, tensors: BTreeMap<String, Tensor>) -> Self {
        Self { path: path.to_owned(), tensors }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The tensors' names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The tensor called `name`.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.tensors.get(name)
    }

    /// The tensor called `name`, taken out: [`StateDict::load_into`] then does not miss a place for it.
    ///
    /// # Errors
    /// When it is not there or of another shape.
    pub fn take(&mut self, name: &str, shape: &[i64]) -> Result<Tensor, WeightsError> {
        self.check(name, shape)?;
        Ok(self.tensors.remove(name).expect("it was checked"))
    }

    /// Copies the tensors into the variables of `vs`, in the variables' own precision; a variable's
    /// tensor is the one that the file calls `name_in_file(variable's name)`.
    ///
    /// # Errors
    /// A tensor that is missing, left over or of another shape; nothing was changed then.
    pub fn load_into(
        &self,
        vs: &VarStore,
        name_in_file: impl Fn(&str) -> String,
    ) -> Result<(), WeightsError> {
        let variables: Vec<_> = checkpoint::variables(vs)
            .into_iter()
            .map(|(name, variable)| (name_in_file(&name), variable))
            .collect();
        for (name, variable) in &variables {
            self.check(name, &variable.size())?;
        }
        let known: BTreeSet<&str> = variables.iter().map(|(name, _)| name.as_str()).collect();
        let left_over: Vec<&str> =
            self.tensors.keys().map(String::as_str).filter(|name| !known.contains(name)).collect();
        if !left_over.is_empty() {
            let (path, names) = (self.path.clone(), left_over.join(", "));
            return Err(WeightsError::LeftOver { path, names });
        }
        for (name, mut variable) in variables {
            tch::no_grad(|| variable.f_copy_(&self.tensors[&name]))?;
        }
        Ok(())
    }

    fn check(&self, name: &str, wanted: &[i64]) -> Result<(), WeightsError> {
        let (path, name) = (self.path.clone(), name.to_owned());
        let wanted = wanted.to_vec();
        let Some(tensor) = self.tensors.get(&name) else {
            let nearest = nearest(&name, self.tensors.keys().map(String::as_str));
            return Err(WeightsError::Missing { path, name, wanted, nearest });
        };
        if tensor.size() != wanted {
            return Err(WeightsError::Shape { path, name, found: tensor.size(), wanted });
        }
        let floats = [Kind::Double, Kind::Float, Kind::Half, Kind::BFloat16];
        if !floats.contains(&tensor.kind()) {
            let (place, found) = (format!("tensor {name}"), format!("{:?}", tensor.kind()));
            let wanted = "floating-point numbers".to_owned();
            return Err(WeightsError::Malformed { path, place, found, wanted });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
