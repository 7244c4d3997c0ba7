//! The network with its parameters: made new, written and read.
//!
//! What makes it the published model: bytes in and out, an embedding of 64, one multiplicative LSTM of 4,096 units with
//! weight normalisation on its four matrices and on nothing else (`common::nn::mlstm`), 86,319,360 parameters.
//!
//! Besides the parameters a [`Neuron`] holds the state that training carries from segment to segment, as variables
//! that are not trained, so that a checkpoint has everything the next update depends on.

use std::path::Path;

use anyhow::Context as _;
use common::checkpoint::{Tensors, read_safetensors, restore_variables, write_safetensors};
use common::nn::mlstm::{Mlstm, MlstmConfig, State};
use common::rng;
use serde::{Deserialize, Serialize};
use tch::nn::VarStore;
use tch::{Device, Tensor};

/// Different bytes.
pub const BYTES: i64 = 256;
/// Where the carried state stands among the variables.
const CARRIED: &str = "carried";

/// The sizes a preset chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sizes {
    /// Length of a byte's vector; published: 64.
    pub embedding: i64,
    /// Units; published: 4,096.
    pub hidden: i64,
}

/// The published sizes.
pub const PUBLISHED: Sizes = Sizes { embedding: 64, hidden: 4096 };

impl Sizes {
    /// The network of these sizes over bytes.
    pub fn config(self) -> MlstmConfig {
        MlstmConfig { vocab: BYTES, embedding: self.embedding, hidden: self.hidden }
    }
}

/// A network, its parameters, and the state that training carries along.
#[derive(Debug)]
pub struct Neuron {
    /// All variables.
    pub vs: VarStore,
    /// The network.
    pub net: Mlstm,
    carried: Option<[Tensor; 2]>,
}

impl Neuron {
    /// A network with its first weights, and a state for `streams` texts side by side.
    pub fn new(sizes: Sizes, streams: usize, seed: u64, device: Device) -> Self {
        Self::over(&sizes.config(), streams, seed, device)
    }

    /// As [`Neuron::new`], over other symbols than bytes.
    pub fn over(config: &MlstmConfig, streams: usize, seed: u64, device: Device) -> Self {
        let vs = VarStore::new(device);
        rng::seed_torch(seed, "init", 0);
        let net = Mlstm::new(&vs.root(), config);
        let state = |name| {
            let path = vs.root() / CARRIED;
            path.zeros_no_train(name, &[streams as i64, config.hidden])
        };
        let carried = Some([state("h"), state("c")]);
        Self { vs, net, carried }
    }

    /// The carried state; zero at first.
    ///
    /// # Panics
    /// If the network was read for use, not made for training.
    pub fn carried(&self) -> State {
        let [h, c] = self.carried.as_ref().expect("made for training");
        State { h: h.copy(), c: c.copy() }
    }

    /// Puts `state` where a checkpoint finds it.
    ///
    /// # Panics
    /// If the network was read for use, not made for training.
    pub fn carry(&mut self, state: &State) {
        let [h, c] = self.carried.as_mut().expect("made for training");
        tch::no_grad(|| {
            h.copy_(&state.h);
            c.copy_(&state.c);
        });
    }

    /// Writes the parameters, without the carried state, as a safetensors file.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        Ok(write_safetensors(path, &self.parameters())?)
    }

    /// Reads parameters that [`Neuron::write`] wrote; the file says the sizes.
    ///
    /// # Errors
    /// A file that cannot be read or holds something else.
    pub fn read(path: &Path, device: Device) -> anyhow::Result<Self> {
        Self::of_tensors(&read_safetensors(path)?, &path.display().to_string(), device)
    }

    /// The network with these parameters; `what` is what errors call them.
    ///
    /// # Errors
    /// Tensors that are missing, left over, or of shapes that do not fit together.
    pub fn of_tensors(tensors: &Tensors, what: &str, device: Device) -> anyhow::Result<Self> {
        let shape = |name: &str| {
            let found = tensors.get(name).and_then(|tensor| tensor.size2().ok());
            found.with_context(|| {
                format!("{what}: no matrix {name}; wanted the weights of an mLSTM over bytes")
            })
        };
        let (_, embedding) = shape("embedding")?;
        let (hidden, _) = shape("wmh")?;
        let vs = VarStore::new(device);
        let net = Mlstm::new(&vs.root(), &Sizes { embedding, hidden }.config());
        restore_variables(&vs, tensors, what)?;
        Ok(Self { vs, net, carried: None })
    }

    /// The parameters by name, sorted.
    pub fn parameters(&self) -> Vec<(String, Tensor)> {
        let mut all: Vec<_> = self
            .vs
            .variables()
            .into_iter()
            .filter(|(name, _)| !name.starts_with(CARRIED))
            .collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }

    /// Units.
    pub fn hidden(&self) -> usize {
        self.net.config().hidden as usize
    }

    /// Where it computes.
    pub fn device(&self) -> Device {
        self.vs.device()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_sizes_have_the_published_number_of_parameters() {
        assert_eq!(PUBLISHED.config().parameters(), 86_319_360);
    }

    #[test]
    fn what_was_written_is_read_back_without_the_carried_state() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("weights.safetensors");
        let written = Neuron::new(Sizes { embedding: 3, hidden: 5 }, 2, 1, Device::Cpu);
        written.write(&path).unwrap();
        let read = Neuron::read(&path, Device::Cpu).unwrap();
        assert_eq!(read.hidden(), 5);
        let (a, b) = (written.parameters(), read.parameters());
        assert_eq!(a.len(), 12);
        for ((name, x), (other, y)) in a.iter().zip(&b) {
            assert!(name == other && x.equal(y), "{name}");
        }
        let numbers: usize = a.iter().map(|(_, tensor)| tensor.numel()).sum();
        assert_eq!(numbers as i64, read.net.config().parameters());
    }

    #[test]
    fn another_models_file_is_refused_with_what_it_lacks() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("other.safetensors");
        let tensor = Tensor::zeros([2, 2], (tch::Kind::Float, Device::Cpu));
        write_safetensors(&path, &[("conv1".to_owned(), tensor)]).unwrap();
        let error = Neuron::read(&path, Device::Cpu).unwrap_err().to_string();
        assert!(error.contains("no matrix embedding"), "{error}");
    }
}
