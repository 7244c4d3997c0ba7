//! The network as a [`BytePredictor`].

use common::nn::mlstm::{FixedMlstm, FixedState};
use sha2::{Digest, Sha256};
use tch::{Device, Kind};

use super::coder::BytePredictor;
use crate::model::Neuron;

/// A network that reads one text in arithmetic of a fixed order.
#[derive(Debug)]
pub struct NeuronPredictor {
    net: FixedMlstm,
    state: FixedState,
    probabilities: Vec<f32>,
    digest: [u8; 32],
}

impl NeuronPredictor {
    /// At the start of a text.
    ///
    /// # Errors
    /// Parameters that cannot be read out.
    pub fn new(neuron: &Neuron) -> anyhow::Result<Self> {
        let net = FixedMlstm::new(&neuron.net);
        let state = net.start();
        Ok(Self { net, state, probabilities: Vec::new(), digest: digest(neuron)? })
    }
}

/// sha256 over a network's parameters: names and numbers.
///
/// # Errors
/// Parameters that cannot be read out.
pub fn digest(neuron: &Neuron) -> anyhow::Result<[u8; 32]> {
    let mut hash = Sha256::new();
    for (name, tensor) in neuron.parameters() {
        hash.update(name.as_bytes());
        let flat = tensor.detach().to_device(Device::Cpu).to_kind(Kind::Float).flatten(0, -1);
        for number in Vec::<f32>::try_from(flat)? {
            hash.update(number.to_le_bytes());
        }
    }
    Ok(hash.finalize().into())
}

impl BytePredictor for NeuronPredictor {
    fn reset(&mut self) {
        self.state = self.net.start();
    }

    fn probabilities(&mut self) -> &[f32] {
        self.probabilities = self.net.probabilities(&self.state);
        &self.probabilities
    }

    fn update(&mut self, byte: u8) {
        self.net.step(&mut self.state, usize::from(byte));
    }

    fn digest(&self) -> [u8; 32] {
        self.digest
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::compress::container::{ContainerError, pack, unpack};
    use crate::model::Sizes;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_bytes_come_back_through_a_network(
            content in proptest::collection::vec(any::<u8>(), 0..200),
            seed in 0_u64..4,
        ) {
            let neuron = Neuron::new(Sizes { embedding: 3, hidden: 6 }, 1, seed, Device::Cpu);
            let packed = pack(&mut NeuronPredictor::new(&neuron).unwrap(), &content).unwrap();
            let mut again = NeuronPredictor::new(&neuron).unwrap();
            prop_assert_eq!(unpack(&mut again, &packed).unwrap(), content);
        }
    }

    #[test]
    fn a_network_packs_and_unpacks_and_another_one_refuses() {
        let make = |seed| Neuron::new(Sizes { embedding: 4, hidden: 24 }, 1, seed, Device::Cpu);
        let predictor = |seed| NeuronPredictor::new(&make(seed)).unwrap();
        let text = "Crème, the same text again and again. ".repeat(5).into_bytes();
        let packed = pack(&mut predictor(1), &text).unwrap();
        assert_eq!(unpack(&mut predictor(1), &packed).unwrap(), text);
        let error = unpack(&mut predictor(2), &packed).unwrap_err();
        assert!(matches!(error, ContainerError::OtherModel { .. }), "{error}");
    }
}
