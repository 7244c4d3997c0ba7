//! A decoder-only transformer language model, as GPT-1 publishes it and as its successors changed it.
//!
//! What makes it GPT-1's (Radford et al. 2018, section 4.1; openai/finetune-transformer-lm `train.py`):
//! - learned positions, added to the token's embedding;
//! - blocks that normalise after each residual sum: `n = LN(x + attention(x))`, `y = LN(n + mlp(n))`, and no
//!   norm at the end;
//! - GELU in its tanh form, an inner width of four times `d_model`;
//! - the output layer is the token embedding, transposed, without a bias;
//! - weights and embeddings from N(0, 0.02²), biases 0, gains 1.
//!
//! With [`NormPlace::Pre`] each sub-layer sees a normalised input, residual sums stay as they are and a norm
//! comes at the end (GPT-2, and the models of Kaplan et al. 2020). `bias: false` leaves every bias out.
//!
//! `B` sequences, `T` tokens, `C` channels (`d_model`), `H` heads of `D = C / H`, `V` vocabulary.

use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tch::nn::{self, Init, LinearConfig};
use tch::{IndexOp as _, Tensor};

use super::probe::Probe;
use crate::shim::recompute::recompute;

mod block;
mod cache;
mod padding;
pub mod parts;

use block::Block;
pub use cache::Cache;
pub use padding::Padding;

/// Where a block's norms stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NormPlace {
    /// After each residual sum: GPT-1.
    Post,
    /// Before each sub-layer, and once at the end: GPT-2 and later.
    Pre,
}

/// Shape, dropout and initial weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransformerConfig {
    /// Tokens in the vocabulary, special ones included.
    pub vocab: i64,
    /// Positions: the longest sequence.
    pub context: i64,
    /// Blocks.
    pub n_layers: i64,
    /// Heads of a block's attention; divides `d_model`.
    pub n_heads: i64,
    /// Channels.
    pub d_model: i64,
    /// Where the norms stand.
    pub norm: NormPlace,
    /// Whether linear layers and norms have biases.
    pub bias: bool,
    /// Share of a sub-layer's output that is dropped before it is added.
    pub residual_dropout: f64,
    /// Share of the summed embeddings that is dropped.
    pub embedding_dropout: f64,
    /// Share of attention weights that is dropped.
    pub attention_dropout: f64,
    /// Standard deviation of the initial weights.
    pub init_std: f64,
}

impl TransformerConfig {
    /// GPT-1 with its vocabulary of 40,478.
    ///
    /// Source: Radford et al. 2018, section 4.1.
    pub const GPT1: Self = Self {
        vocab: 40_478,
        context: 512,
        n_layers: 12,
        n_heads: 12,
        d_model: 768,
        norm: NormPlace::Post,
        bias: true,
        residual_dropout: 0.1,
        embedding_dropout: 0.1,
        attention_dropout: 0.1,
        init_std: 0.02,
    };

    /// What is wrong with the shape, if anything is: the field, what it holds and what it should hold.
    pub fn wrong(&self) -> Option<(&'static str, String, String)> {
        let counts = [
            ("vocab", self.vocab),
            ("context", self.context),
            ("n_layers", self.n_layers),
            ("n_heads", self.n_heads),
            ("d_model", self.d_model),
        ];
        let small = counts.into_iter().find(|(_, n)| *n < 1);
        let shares = [
            ("residual_dropout", self.residual_dropout),
            ("embedding_dropout", self.embedding_dropout),
            ("attention_dropout", self.attention_dropout),
        ];
        let share = shares.into_iter().find(|(_, p)| !(0.0..1.0).contains(p));
        if let Some((field, n)) = small {
            Some((field, n.to_string(), "a whole number from 1".to_owned()))
        } else if self.d_model % self.n_heads != 0 {
            let wanted = format!("a multiple of n_heads, which is {}", self.n_heads);
            Some(("d_model", self.d_model.to_string(), wanted))
        } else {
            share.map(|(field, p)| (field, p.to_string(), "from 0 to below 1".to_owned()))
        }
    }

    /// Parameters of the blocks and of a norm at the end, without the embeddings.
    pub fn non_embedding_parameters(&self) -> i64 {
        let c = self.d_model;
        let biases = if self.bias { 3 * c + c + 4 * c + c + 2 * c } else { 0 };
        let block = 12 * c * c + 2 * c + biases;
        let last = match self.norm {
            NormPlace::Post => 0,
            NormPlace::Pre => c + if self.bias { c } else { 0 },
        };
        self.n_layers * block + last
    }

    /// All parameters; the output layer is the token embedding and counts once.
    pub fn parameters(&self) -> i64 {
        (self.vocab + self.context) * self.d_model + self.non_embedding_parameters()
    }
}

/// The model.
#[derive(Debug)]
pub struct Transformer {
    config: TransformerConfig,
    /// `[V, C]`
    tokens: Tensor,
    /// `[context, C]`
    positions: Tensor,
    blocks: Vec<Arc<Block>>,
    /// Whether training computes the blocks' inner results again instead of keeping them.
    recompute: bool,
    /// With [`NormPlace::Pre`] only.
    norm: Option<Norm>,
}

impl Transformer {
    /// A model with weights drawn from libtorch's generator. Its variables are `tokens`, `positions`,
    /// `block<i>.{attention.qkv, attention.proj, norm1, mlp.fc, mlp.proj, norm2}` and, with norms before the
    /// sub-layers, `norm`.
    ///
    /// # Panics
    /// If [`TransformerConfig::wrong`] finds something.
    #[expect(
        clippy::arc_with_non_send_sync,
        reason = "on a GPU backward counts from a thread of libtorch's while this one waits"
    )]
    pub fn new(path: &nn::Path, config: &TransformerConfig) -> Self {
        assert_eq!(config.wrong(), None, "the shape was checked where it came from");
        let init = Init::Randn { mean: 0.0, stdev: config.init_std };
        let norm = match config.norm {
            NormPlace::Post => None,
            NormPlace::Pre => Some(Norm::new(&(path / "norm"), config)),
        };
        Self {
            tokens: path.var("tokens", &[config.vocab, config.d_model], init),
            positions: path.var("positions", &[config.context, config.d_model], init),
            blocks: (0..config.n_layers)
                .map(|i| Arc::new(Block::new(&(path / format!("block{i}")), config)))
                .collect(),
            recompute: false,
            norm,
            config: config.clone(),
        }
    }

    /// Lets training keep only what goes into each block and compute the rest again for the gradient: less memory for
    /// a third more work ("activation checkpointing").
    pub fn set_recompute(&mut self, on: bool) {
        self.recompute = on;
    }

    /// The shape it was made with.
    pub fn config(&self) -> &TransformerConfig {
        &self.config
    }

    /// The last layer's states `[B, T, C]` of `ids: [B, T]`.
    ///
    /// # Panics
    /// If a sequence is longer than the context.
    pub fn forward(&self, ids: &Tensor, train: bool, probe: &Probe) -> Tensor {
        let positions = self.positions.i(self.span(0, ids)); // [T, C]
        let mut xs = probe.see("embedding", self.embed(ids, &positions, train)); // [B, T, C]
        for (i, block) in self.blocks.iter().enumerate() {
            xs = if self.recompute && train {
                let block = Arc::clone(block);
                let piece = move |xs: &Tensor| block.forward(xs, None, None, true);
                recompute(&xs, piece).unwrap_or_else(|err| panic!("{err}"))
            } else {
                block.forward(&xs, None, None, train)
            }; // [B, T, C]
            xs = probe.see(format_args!("block{i}"), xs);
        }
        self.finish(xs)
    }

    /// As [`Transformer::forward`] where some of `ids: [B, T]` are padding: no token sees those, and they take no
    /// positions. Their own states mean nothing.
    ///
    /// # Panics
    /// If a sequence is longer than the context, or `padding` is of another shape.
    pub fn forward_padded(&self, ids: &Tensor, padding: &Padding, train: bool) -> Tensor {
        let span = self.span(0, ids);
        let mut xs = self.embed(ids, &self.positions_of(padding, span.clone()), train); // [B, T, C]
        let mask = padding.mask(span); // [B, 1, T, T]
        for block in &self.blocks {
            xs = block.forward(&xs, None, mask.as_ref(), train);
        }
        self.finish(xs)
    }

    /// The states `[B, t, C]` of `ids: [B, t]` that follow what `cache` holds; it then holds them too.
    ///
    /// # Panics
    /// If both together are longer than the context, or `B` differs from the cache's.
    pub fn forward_cached(&self, ids: &Tensor, cache: &mut Cache) -> Tensor {
        let positions = self.positions.i(self.span(cache.len(), ids)); // [t, C]
        self.go_on(self.embed(ids, &positions, false), None, cache)
    }

    /// As [`Transformer::forward_cached`] where some tokens are padding: `padding` says which, of those that the
    /// cache holds and of `ids: [B, t]`.
    ///
    /// # Panics
    /// As [`Transformer::forward_cached`]; if `padding` is of another shape.
    pub fn forward_cached_padded(
        &self,
        ids: &Tensor,
        padding: &Padding,
        cache: &mut Cache,
    ) -> Tensor {
        let span = self.span(cache.len(), ids);
        let xs = self.embed(ids, &self.positions_of(padding, span.clone()), false); // [B, t, C]
        self.go_on(xs, padding.mask(span).as_ref(), cache)
    }

    /// The states `[B, t, C]` of embedded tokens behind those of the cache.
    fn go_on(&self, mut xs: Tensor, mask: Option<&Tensor>, cache: &mut Cache) -> Tensor {
        let past = cache.len();
        for (block, layer) in self.blocks.iter().zip(cache.layers()) {
            xs = block.forward(&xs, Some((layer, past)), mask, false);
        }
        cache.advance(xs.size()[1]);
        self.finish(xs)
    }

    /// An empty cache for `batch` sequences on the model's device.
    pub fn cache(&self, batch: i64) -> Cache {
        Cache::new(&self.config, batch, self.tokens.device())
    }

    /// Scores `[…, V]` of states `[…, C]`.
    pub fn logits(&self, states: &Tensor) -> Tensor {
        states.linear(&self.tokens, None::<&Tensor>)
    }

    /// The token embeddings `[V, C]`, which are the output layer too.
    pub fn tokens(&self) -> &Tensor {
        &self.tokens
    }

    /// Where `ids: [B, t]` stand that follow `past` tokens.
    fn span(&self, past: i64, ids: &Tensor) -> Range<i64> {
        let end = past + ids.size()[1];
        assert!(end <= self.config.context, "{end} tokens, the context is {}", self.config.context);
        past..end
    }

    /// The positions' embeddings `[B, t, C]` of a span of padded sequences.
    fn positions_of(&self, padding: &Padding, span: Range<i64>) -> Tensor {
        Tensor::embedding(&self.positions, &padding.positions(span), -1, false, false)
    }

    /// The summed embeddings `[B, t, C]` of `ids: [B, t]`.
    fn embed(&self, ids: &Tensor, positions: &Tensor, train: bool) -> Tensor {
        let tokens = Tensor::embedding(&self.tokens, ids, -1, false, false); // [B, t, C]
        (tokens + positions).dropout(self.config.embedding_dropout, train)
    }

    fn finish(&self, states: Tensor) -> Tensor {
        match &self.norm {
            Some(norm) => norm.forward(&states),
            None => states,
        }
    }
}

fn linear(path: &nn::Path, c_in: i64, c_out: i64, config: &TransformerConfig) -> nn::Linear {
    let init = LinearConfig {
        ws_init: Init::Randn { mean: 0.0, stdev: config.init_std },
        bs_init: Some(Init::Const(0.0)),
        bias: config.bias,
    };
    nn::linear(path, c_in, c_out, init)
}

/// Layer normalisation with a gain and, where the model has biases, a bias; ε is 1e-5.
#[derive(Debug)]
struct Norm {
    /// `[C]`
    ws: Tensor,
    /// `[C]`
    bs: Option<Tensor>,
}

impl Norm {
    fn new(path: &nn::Path, config: &TransformerConfig) -> Self {
        let shape = [config.d_model];
        Self {
            ws: path.var("weight", &shape, Init::Const(1.0)),
            bs: config.bias.then(|| path.var("bias", &shape, Init::Const(0.0))),
        }
    }

    /// `[…, C]` to the same.
    fn forward(&self, xs: &Tensor) -> Tensor {
        xs.layer_norm(self.ws.size(), Some(&self.ws), self.bs.as_ref(), 1e-5, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::nn::VarStore;
    use tch::{Device, Kind};

    fn tiny(norm: NormPlace, bias: bool) -> TransformerConfig {
        TransformerConfig {
            vocab: 11,
            context: 9,
            n_layers: 2,
            n_heads: 2,
            d_model: 8,
            norm,
            bias,
            residual_dropout: 0.0,
            embedding_dropout: 0.0,
            attention_dropout: 0.0,
            init_std: 0.3,
        }
    }

    fn model(config: &TransformerConfig) -> (VarStore, Transformer) {
        tch::manual_seed(3);
        let vs = VarStore::new(Device::Cpu);
        let model = Transformer::new(&vs.root(), config);
        (vs, model)
    }

    const SHAPES: [(NormPlace, bool); 3] =
        [(NormPlace::Post, true), (NormPlace::Pre, true), (NormPlace::Pre, false)];

    #[test]
    fn gpt_1_has_the_published_number_of_parameters() {
        // shared golden value: 116,534,784, of which 7,087,872 a block; our vocabulary row count is 40,478.
        assert_eq!(TransformerConfig::GPT1.parameters(), 116_534_784);
        assert_eq!(TransformerConfig::GPT1.non_embedding_parameters(), 12 * 7_087_872);
    }

    #[test]
    fn the_count_is_that_of_the_variables_made() {
        for (norm, bias) in SHAPES {
            let config = tiny(norm, bias);
            let (vs, _) = model(&config);
            let made: usize = vs.variables().values().map(Tensor::numel).sum();
            assert_eq!(made as i64, config.parameters(), "{norm:?}, bias {bias}");
        }
    }

    #[test]
    fn a_token_changes_no_score_before_it() {
        for (norm, bias) in SHAPES {
            let (_vs, model) = model(&tiny(norm, bias));
            let ids = Tensor::from_slice(&[1_i64, 5, 2, 7, 3]).view([1, 5]);
            let other = Tensor::from_slice(&[1_i64, 5, 2, 9, 3]).view([1, 5]);
            let scores = |ids: &Tensor| model.logits(&model.forward(ids, false, &Probe::off()));
            let apart = (scores(&ids) - scores(&other)).abs().amax([0, 2], false); // [T]
            let apart = Vec::<f64>::try_from(apart.to_kind(Kind::Double)).unwrap();
            assert!(apart[..3].iter().all(|x| *x == 0.0), "{apart:?}");
            assert!(apart[3..].iter().all(|x| *x > 1e-3), "{apart:?}");
        }
    }

    #[test]
    fn cached_states_are_those_of_the_whole_sequence() {
        for (norm, bias) in SHAPES {
            let (_vs, model) = model(&tiny(norm, bias));
            let ids = Tensor::randint(11, [3, 9], (Kind::Int64, Device::Cpu));
            let whole = model.forward(&ids, false, &Probe::off());
            let mut cache = model.cache(3);
            // A beginning of four, then a piece of three, then one by one.
            let pieces = [(0, 4), (4, 3), (7, 1), (8, 1)];
            let states: Vec<_> = pieces
                .into_iter()
                .map(|(from, n)| model.forward_cached(&ids.narrow(1, from, n), &mut cache))
                .collect();
            assert_eq!(cache.len(), 9);
            let apart = (Tensor::cat(&states, 1) - whole).abs().max().double_value(&[]);
            assert!(apart < 1e-5, "{norm:?}, bias {bias}: {apart}");
        }
    }

    #[test]
    fn padding_on_either_side_changes_no_state_of_what_is_there() {
        for (norm, bias) in SHAPES {
            let (_vs, model) = model(&tiny(norm, bias));
            let ids = Tensor::from_slice(&[4_i64, 2, 9, 7]).view([1, 4]);
            let alone = model.forward(&ids, false, &Probe::off()); // [1, 4, C]
            for left in [0, 1, 3] {
                let padded = ids.constant_pad_nd([left, 3 - left]); // id 0 stands in for padding
                let present = Tensor::ones([1, 4], (Kind::Bool, Device::Cpu));
                let padding = Padding::new(&present.constant_pad_nd([left, 3 - left]));
                let states = model.forward_padded(&padded, &padding, false);
                let apart = (states.narrow(1, left, 4) - &alone).abs().max().double_value(&[]);
                assert!(apart < 1e-5, "{norm:?}, {left} before: {apart}");
                assert!(states.isfinite().all().int64_value(&[]) == 1);
                // The same with a cache: a beginning, then token by token.
                let mut cache = model.cache(1);
                let pieces: Vec<_> = [(0, 3), (3, 1), (4, 1), (5, 1), (6, 1)]
                    .into_iter()
                    .map(|(from, n)| {
                        let piece = padded.narrow(1, from, n);
                        model.forward_cached_padded(&piece, &padding, &mut cache)
                    })
                    .collect();
                let cached = Tensor::cat(&pieces, 1).narrow(1, left, 4);
                let apart = (cached - &alone).abs().max().double_value(&[]);
                assert!(apart < 1e-5, "{norm:?}, {left} before, cached: {apart}");
            }
        }
    }

    #[test]
    fn the_first_loss_is_near_that_of_a_guess() {
        let config = TransformerConfig { init_std: 0.02, ..tiny(NormPlace::Post, true) };
        let (_vs, model) = model(&config);
        let ids = Tensor::randint(11, [4, 9], (Kind::Int64, Device::Cpu));
        let states = model.forward(&ids, false, &Probe::off()).flatten(0, 1);
        let loss = parts::tied_loss(&states, model.tokens(), &ids.flatten(0, 1), None);
        let loss = loss.double_value(&[]);
        assert!((loss - 11_f64.ln()).abs() < 0.1, "{loss}");
    }

    #[test]
    fn gelu_is_the_tanh_form() {
        let found = Tensor::from_slice(&[1.0_f64, -1.0, 2.0, -2.0]).gelu("tanh");
        let wanted = [0.841_192, -0.158_808, 1.954_598, -0.045_402];
        for (found, wanted) in Vec::<f64>::try_from(found).unwrap().into_iter().zip(wanted) {
            assert!((found - wanted).abs() < 1e-6, "{found}, wanted {wanted}");
        }
    }

    #[test]
    fn a_shape_that_cannot_be_is_named() {
        let config = TransformerConfig { d_model: 9, ..tiny(NormPlace::Post, true) };
        assert_eq!(config.wrong().unwrap().0, "d_model");
        let config = TransformerConfig { attention_dropout: 1.0, ..tiny(NormPlace::Post, true) };
        assert_eq!(config.wrong().unwrap().0, "attention_dropout");
        assert_eq!(TransformerConfig::GPT1.wrong(), None);
    }
}
