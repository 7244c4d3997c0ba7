//! A language model with its variables: GPT-1's transformer, or the LSTM that the paper sets beside it.
//!
//! What both share: ids in, states of the last layer out, scores by the token embedding transposed, and a vocabulary
//! that fine-tuning extends by three special tokens.
//!
//! `B` sequences, `T` tokens, `C` channels, `V` vocabulary.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use tch::nn::VarStore;
use tch::{Device, Tensor};

use super::lstm::{Lstm, LstmConfig};
use super::probe::Probe;
use super::transformer::parts::tied_loss;
use super::transformer::{Transformer, TransformerConfig};
use crate::checkpoint;
use crate::rng;

/// Which model, and its shape.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// GPT-1's decoder.
    Transformer(TransformerConfig),
    /// One layer of LSTM units.
    Lstm(LstmConfig),
}

/// Shares that are dropped while training.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dropout {
    /// Of a sub-layer's output.
    pub residual: f64,
    /// Of the summed embeddings.
    pub embedding: f64,
    /// Of attention weights; the LSTM has none.
    pub attention: f64,
}

impl Dropout {
    /// None at all.
    pub const NONE: Self = Self { residual: 0.0, embedding: 0.0, attention: 0.0 };
}

impl Shape {
    /// Tokens in the vocabulary.
    pub fn vocab(&self) -> i64 {
        match self {
            Self::Transformer(config) => config.vocab,
            Self::Lstm(config) => config.vocab,
        }
    }

    /// The longest sequence.
    pub fn context(&self) -> i64 {
        match self {
            Self::Transformer(config) => config.context,
            Self::Lstm(config) => config.context,
        }
    }

    /// Channels of a state.
    pub fn d_model(&self) -> i64 {
        match self {
            Self::Transformer(config) => config.d_model,
            Self::Lstm(config) => config.d_model,
        }
    }

    /// Blocks that can be transferred one by one; the LSTM is one.
    pub fn n_layers(&self) -> i64 {
        match self {
            Self::Transformer(config) => config.n_layers,
            Self::Lstm(_) => 1,
        }
    }

    /// All parameters.
    pub fn parameters(&self) -> i64 {
        match self {
            Self::Transformer(config) => config.parameters(),
            Self::Lstm(config) => config.parameters(),
        }
    }

    /// Multiply-adds of one token's forward pass: one for each weight, and those of attention over half the context.
    pub fn multiply_adds(&self) -> i64 {
        let (vocab, c) = (self.vocab(), self.d_model());
        match self {
            Self::Transformer(config) => {
                let attention = config.n_layers * config.context * c;
                config.non_embedding_parameters() + attention + vocab * c
            }
            Self::Lstm(config) => config.parameters(),
        }
    }

    /// What is wrong with the shape, if anything is: the field, what it holds and what it should hold.
    pub fn wrong(&self) -> Option<(&'static str, String, String)> {
        match self {
            Self::Transformer(config) => config.wrong(),
            Self::Lstm(config) => config.wrong(),
        }
    }

    /// The same with `extra` tokens more and another dropout.
    #[must_use]
    pub fn adapted(&self, extra: i64, dropout: Dropout) -> Self {
        match self {
            Self::Transformer(config) => Self::Transformer(TransformerConfig {
                vocab: config.vocab + extra,
                residual_dropout: dropout.residual,
                embedding_dropout: dropout.embedding,
                attention_dropout: dropout.attention,
                ..config.clone()
            }),
            Self::Lstm(config) => Self::Lstm(LstmConfig {
                vocab: config.vocab + extra,
                dropout: dropout.residual,
                ..config.clone()
            }),
        }
    }
}

/// The layers.
#[derive(Debug)]
pub enum Body {
    /// GPT-1's decoder.
    Transformer(Transformer),
    /// One layer of LSTM units.
    Lstm(Lstm),
}

impl Body {
    /// The last layer's states `[B, T, C]` of `ids: [B, T]`.
    pub fn states(&self, ids: &Tensor, train: bool, probe: &Probe) -> Tensor {
        match self {
            Self::Transformer(net) => net.forward(ids, train, probe),
            Self::Lstm(net) => probe.see("states", net.forward(ids, train)),
        }
    }

    /// Scores `[…, V]` of states `[…, C]`.
    pub fn logits(&self, states: &Tensor) -> Tensor {
        states.linear(self.tokens(), None::<&Tensor>)
    }

    /// Lets training compute the blocks' inner results again instead of keeping them; the LSTM has no blocks.
    pub fn set_recompute(&mut self, on: bool) {
        if let Self::Transformer(net) = self {
            net.set_recompute(on);
        }
    }

    /// The token embeddings `[V, C]`.
    pub fn tokens(&self) -> &Tensor {
        match self {
            Self::Transformer(net) => net.tokens(),
            Self::Lstm(net) => net.tokens(),
        }
    }
}

/// A model with its variables.
#[derive(Debug)]
pub struct Model {
    /// The variables.
    pub vs: VarStore,
    /// The layers.
    pub body: Body,
}

impl Model {
    /// A model with weights drawn from `seed`.
    ///
    /// # Panics
    /// If [`Shape::wrong`] finds something.
    pub fn new(shape: &Shape, seed: u64, device: Device) -> Self {
        rng::seed_torch(seed, "initial weights", 0);
        let vs = VarStore::new(device);
        let body = match shape {
            Shape::Transformer(config) => Body::Transformer(Transformer::new(&vs.root(), config)),
            Shape::Lstm(config) => Body::Lstm(Lstm::new(&vs.root(), config)),
        };
        Self { vs, body }
    }

    /// Its shape.
    pub fn shape(&self) -> Shape {
        match &self.body {
            Body::Transformer(net) => Shape::Transformer(net.config().clone()),
            Body::Lstm(net) => Shape::Lstm(net.config().clone()),
        }
    }

    /// The device that it is on.
    pub fn device(&self) -> Device {
        self.vs.device()
    }

    /// A copy for fine-tuning: `extra` tokens more at the end of the vocabulary, another dropout, and only the first
    /// `layers` blocks (with the embeddings) of this one; everything else is drawn from `seed`.
    ///
    /// Source: openai/finetune-transformer-lm, `train.py`, `n_transfer`: 1 + 12·k tensors are taken over.
    #[must_use]
    pub fn adapted(&self, extra: i64, dropout: Dropout, layers: i64, seed: u64) -> Self {
        let copy = Self::new(&self.shape().adapted(extra, dropout), seed, self.device());
        let own: HashMap<String, Tensor> = checkpoint::variables(&self.vs).into_iter().collect();
        let _no_grad = tch::no_grad_guard();
        for (name, variable) in checkpoint::variables(&copy.vs) {
            let source = &own[&name];
            if name == "tokens" {
                variable.narrow(0, 0, source.size()[0]).copy_(source);
            } else if block_of(&name).is_none_or(|block| block < layers) {
                variable.shallow_clone().copy_(source);
            }
        }
        copy
    }

    /// Mean loss in nats a token of `ids: [B, T + 1]`, whose last `T` tokens are predicted.
    pub fn loss(&self, ids: &Tensor, train: bool, probe: &Probe) -> Tensor {
        let t = ids.size()[1] - 1;
        let states = self.body.states(&ids.narrow(1, 0, t), train, probe).flatten(0, 1); // [B·T, C]
        let targets = ids.narrow(1, 1, t).flatten(0, 1); // [B·T]
        tied_loss(&states, self.body.tokens(), &targets, None)
    }
}

/// The block that a variable belongs to; the LSTM's units and the layer behind them are block 0.
fn block_of(variable: &str) -> Option<i64> {
    let first = variable.split('.').next().unwrap_or_default();
    match first {
        "units" | "back" => Some(0),
        _ => first.strip_prefix("block").and_then(|index| index.parse().ok()),
    }
}
