//! The paper's stand-in for the transformer: one layer of LSTM units between the same embedding and output.
//!
//! Source: Radford et al. 2018, section 5: "a single layer 2048 unit LSTM using the same framework".
//! Differs: the paper does not say how 2,048 units meet an embedding of 768; here a linear layer leads back to the
//! embedding's size, so that the output layer is the embedding transposed, as the transformer's is.
//!
//! `B` sequences, `T` tokens, `C` channels of the embedding, `H` units, `V` vocabulary.

use serde::{Deserialize, Serialize};
use tch::Tensor;
use tch::nn::{self, Init, Module as _, RNN as _};

/// Shape, dropout and initial weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LstmConfig {
    /// Tokens in the vocabulary, special ones included.
    pub vocab: i64,
    /// The longest sequence that is read at once; the network itself has no limit.
    pub context: i64,
    /// Channels of the embedding.
    pub d_model: i64,
    /// Units.
    pub hidden: i64,
    /// Share of the embeddings and of the output that is dropped.
    pub dropout: f64,
    /// Standard deviation of the initial embedding and output layer; the units' own weights are uniform in
    /// ±1/√`hidden`, PyTorch's default.
    pub init_std: f64,
}

impl LstmConfig {
    /// All parameters; the output layer is the token embedding and counts once.
    pub fn parameters(&self) -> i64 {
        let (c, h) = (self.d_model, self.hidden);
        self.vocab * c + 4 * h * (c + h + 2) + h * c + c
    }

    /// What is wrong with the shape, if anything is: the field, what it holds and what it should hold.
    pub fn wrong(&self) -> Option<(&'static str, String, String)> {
        let counts = [
            ("vocab", self.vocab),
            ("context", self.context),
            ("d_model", self.d_model),
            ("hidden", self.hidden),
        ];
        let small = counts.into_iter().find(|(_, n)| *n < 1);
        if let Some((field, n)) = small {
            return Some((field, n.to_string(), "a whole number from 1".to_owned()));
        }
        let wanted = "from 0 to below 1".to_owned();
        (!(0.0..1.0).contains(&self.dropout)).then(|| ("dropout", self.dropout.to_string(), wanted))
    }
}

/// The model.
#[derive(Debug)]
pub struct Lstm {
    config: LstmConfig,
    /// `[V, C]`
    tokens: Tensor,
    units: nn::LSTM,
    /// `[H, C]`
    back: nn::Linear,
}

impl Lstm {
    /// A model with weights drawn from libtorch's generator. Its variables are `tokens`, `units.*` and `back.*`.
    ///
    /// # Panics
    /// If [`LstmConfig::wrong`] finds something.
    pub fn new(path: &nn::Path, config: &LstmConfig) -> Self {
        assert_eq!(config.wrong(), None, "the shape was checked where it came from");
        let init = Init::Randn { mean: 0.0, stdev: config.init_std };
        let bound = 1.0 / (config.hidden as f64).sqrt();
        let uniform = Init::Uniform { lo: -bound, up: bound };
        let units = nn::RNNConfig {
            w_ih_init: uniform,
            w_hh_init: uniform,
            b_ih_init: Some(uniform),
            b_hh_init: Some(uniform),
            ..nn::RNNConfig::default()
        };
        let back = nn::LinearConfig { ws_init: init, bs_init: Some(Init::Const(0.0)), bias: true };
        Self {
            tokens: path.var("tokens", &[config.vocab, config.d_model], init),
            units: nn::lstm(&(path / "units"), config.d_model, config.hidden, units),
            back: nn::linear(path / "back", config.hidden, config.d_model, back),
            config: config.clone(),
        }
    }

    /// The shape it was made with.
    pub fn config(&self) -> &LstmConfig {
        &self.config
    }

    /// States `[B, T, C]` of `ids: [B, T]`, each from a zero state.
    pub fn forward(&self, ids: &Tensor, train: bool) -> Tensor {
        let xs = Tensor::embedding(&self.tokens, ids, -1, false, false); // [B, T, C]
        let xs = xs.dropout(self.config.dropout, train);
        let hs = self.units.seq(&xs).0; // [B, T, H]
        self.back.forward(&hs).dropout(self.config.dropout, train) // [B, T, C]
    }

    /// The token embeddings `[V, C]`, which are the output layer too.
    pub fn tokens(&self) -> &Tensor {
        &self.tokens
    }
}
