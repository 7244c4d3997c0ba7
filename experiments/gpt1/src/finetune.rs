//! Section 3.2's training: a classifier on the state at the extract token, with the language model's own loss beside.

use common::data::sampler::epoch_order;
use serde::{Deserialize, Serialize};

mod classifier;
mod training;

pub use classifier::Classifier;
pub use training::{At, Epoch, Seen, Tuned, Tuning, copy};

/// Everything besides the task and the start that decides the numbers of one fine-tuning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Passes over the training examples; published: 3.
    pub epochs: u64,
    /// Examples of an update; published: 32.
    pub batch: usize,
    /// The highest rate; where there are several, each is tried and the one best on the validation part is taken.
    /// Published: 6.25e-5.
    pub lr: Vec<f64>,
    /// Share of the updates over which the rate rises; published: 0.002.
    pub warmup: f64,
    /// Decoupled decay of matrices and embeddings; published: 0.01.
    pub weight_decay: f64,
    /// The largest norm of all gradients together; released: 1.
    pub clip: f64,
    /// Weight of the language model's loss; published: 0.5, and 0 in the ablation.
    pub lm_weight: f64,
    /// Share of the classifier's inputs that is dropped; published: 0.1.
    pub classifier_dropout: f64,
    /// What is dropped in the model; published: 0.1 everywhere.
    pub dropout: crate::model::Dropout,
}

/// The first `n` examples of an order drawn from `seed`: what a run with few labels learns from. A larger number
/// holds the smaller one's examples.
pub fn subset<T: Clone>(examples: &[T], n: usize, seed: u64) -> Vec<T> {
    let order = epoch_order(seed, u64::MAX, examples.len());
    order.into_iter().take(n).map(|i| examples[i as usize].clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_labels_hold_the_fewer_and_another_seed_draws_others() {
        let all: Vec<u32> = (0..100).collect();
        let (few, more) = (subset(&all, 5, 1), subset(&all, 20, 1));
        assert_eq!(few, more[..5]);
        assert_ne!(few, subset(&all, 5, 2));
        assert_eq!(subset(&all, 200, 1).len(), 100);
    }
}
