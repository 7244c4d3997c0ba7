//! A multiplicative LSTM over bytes (or other symbols) with weight normalisation, and its language
//! model.
//!
//! What makes it this model:
//! - `m = (x·Wmx) ⊙ (h·Wmh)` takes the place of `h` in an LSTM: each symbol has its own transition;
//! - `z = x·Wx + m·Wh + b`, cut into i, f, o, u; `c ← σ(f)⊙c + σ(i)⊙tanh(u)`, `h ← σ(o)⊙tanh(c)`;
//! - each column of the four matrices has the norm that its gain says;
//! - `x` is a row of a learned embedding; a linear layer on `h` scores the next symbol.
//!
//! Source: Krause et al. 2016, section 3; Radford et al. 2017, section 3, and `encoder.py` of
//! openai/generating-reviews-discovering-sentiment.

use tch::nn::{Init, Path};
use tch::{Device, Kind, Tensor};

use crate::distributed::{World, WorldError};
use crate::shim;

mod fixed;

pub use fixed::{FixedMlstm, FixedState};

/// The sizes of an [`Mlstm`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MlstmConfig {
    /// How many symbols there are; 256 for bytes.
    pub vocab: i64,
    /// Length of a symbol's vector; published: 64.
    pub embedding: i64,
    /// Units; published: 4096.
    pub hidden: i64,
}

impl MlstmConfig {
    /// How many numbers are learned.
    pub fn parameters(&self) -> i64 {
        let Self { vocab, embedding: e, hidden: h } = *self;
        vocab * e + 5 * h * (e + h) + 4 * h + 10 * h + vocab * (h + 1)
    }

    /// Multiply-adds of one symbol, forwards: the recurrent matrices and the output layer. The
    /// products with `x` are left out: they are computed once per segment for each symbol.
    pub fn multiply_adds(&self) -> i64 {
        self.hidden * (5 * self.hidden + self.vocab)
    }
}

/// Where a text stands: the hidden and the cell state, `[batch, hidden]` each, in fp32.
#[derive(Debug)]
pub struct State {
    /// What the next step and the output layer see.
    pub h: Tensor,
    /// What the gates keep; the published features are taken from here.
    pub c: Tensor,
}

impl State {
    /// The state before any text.
    pub fn zeros(batch: i64, hidden: i64, device: Device) -> Self {
        let zeros = || Tensor::zeros([batch, hidden], (Kind::Float, device));
        Self { h: zeros(), c: zeros() }
    }

    /// The states of `n` texts from `start` on.
    #[must_use]
    pub fn narrow(&self, start: i64, n: i64) -> Self {
        Self { h: self.h.narrow(0, start, n), c: self.c.narrow(0, start, n) }
    }

    /// The states of the texts of all processes, in their order; each has as many.
    ///
    /// # Errors
    /// A process that has gone.
    pub fn gathered(&self, world: &World) -> Result<Self, WorldError> {
        Ok(Self { h: world.gather(&self.h)?, c: world.gather(&self.c)? })
    }

    /// The same numbers, cut off from what computed them: truncated back-propagation.
    #[must_use]
    pub fn detach(&self) -> Self {
        Self { h: self.h.detach(), c: self.c.detach() }
    }
}

/// What a segment of text gives.
#[derive(Debug)]
pub struct Segment {
    /// The hidden state after each symbol: `[time, batch, hidden]`; bf16 under such an autocast.
    pub hidden: Tensor,
    /// The cell state after each symbol: `[time, batch, hidden]`, fp32, without a gradient.
    pub cell: Tensor,
    /// The state after the last symbol.
    pub state: State,
}

/// The model. Its matrices are stored `[in, out]`, as the released weights are.
#[derive(Debug)]
pub struct Mlstm {
    config: MlstmConfig,
    embedding: Tensor,
    wx: Tensor,
    wh: Tensor,
    wmx: Tensor,
    wmh: Tensor,
    b: Tensor,
    gx: Tensor,
    gh: Tensor,
    gmx: Tensor,
    gmh: Tensor,
    output: Tensor,
    output_bias: Tensor,
}

/// Steps that [`Mlstm::last_states`] keeps in memory at a time.
const CHUNK: i64 = 64;

impl Mlstm {
    /// A new model in `path`.
    ///
    /// The embedding and the output layer start at N(0, 0.02), the four matrices orthogonal, each
    /// gate's on its own. Source: A. Radford in issue 31 of the released code. The gains start at 1
    /// and the biases at 0: their published values are not known.
    pub fn new(path: &Path, config: &MlstmConfig) -> Self {
        let MlstmConfig { vocab, embedding: e, hidden: h } = *config;
        let normal = Init::Randn { mean: 0.0, stdev: 0.02 };
        let orthogonal = |name: &str, rows: i64, blocks: i64| {
            let one = |_| tch::nn::init(Init::Orthogonal { gain: 1.0 }, &[rows, h], Device::Cpu);
            let all = Tensor::cat(&(0..blocks).map(one).collect::<Vec<_>>(), 1);
            path.var_copy(name, &all.to_device(path.device()))
        };
        Self {
            config: *config,
            embedding: path.var("embedding", &[vocab, e], normal),
            wx: orthogonal("wx", e, 4),
            wh: orthogonal("wh", h, 4),
            wmx: orthogonal("wmx", e, 1),
            wmh: orthogonal("wmh", h, 1),
            b: path.zeros("b", &[4 * h]),
            gx: path.ones("gx", &[4 * h]),
            gh: path.ones("gh", &[4 * h]),
            gmx: path.ones("gmx", &[h]),
            gmh: path.ones("gmh", &[h]),
            output: (path / "output").var("weight", &[h, vocab], normal),
            output_bias: (path / "output").zeros("bias", &[vocab]),
        }
    }

    /// The sizes it was made with.
    pub fn config(&self) -> &MlstmConfig {
        &self.config
    }

    /// Reads `xs: [batch, time]`, integers below `vocab`, on from `state`.
    ///
    /// On the CPU in fp32 parameters this is one fused operator, elsewhere [`Mlstm::composed`].
    ///
    /// # Panics
    /// If a symbol is not in the vocabulary, or shapes do not fit.
    pub fn forward(&self, xs: &Tensor, state: &State) -> Segment {
        if self.b.device() != Device::Cpu || self.b.kind() != Kind::Float {
            return self.composed(xs, state);
        }
        let weights = shim::mlstm::Weights {
            embedding: &self.embedding,
            wx: &weight_norm(&self.wx, &self.gx),
            wh: &weight_norm(&self.wh, &self.gh),
            wmx: &weight_norm(&self.wmx, &self.gmx),
            wmh: &weight_norm(&self.wmh, &self.gmh),
            b: &self.b,
        };
        let [hidden, h, c, cell] =
            shim::mlstm::time_loop(&xs.transpose(0, 1), &weights, &state.h, &state.c)
                .expect("symbols of the vocabulary and a state of this model's width");
        Segment { hidden, cell, state: State { h, c } }
    }

    /// [`Mlstm::forward`] step by step, as the formulas stand: the fused operator's test oracle.
    pub fn composed(&self, xs: &Tensor, state: &State) -> Segment {
        let wh = weight_norm(&self.wh, &self.gh);
        let wmh = weight_norm(&self.wmh, &self.gmh);
        let xs = Tensor::embedding(&self.embedding, &xs.transpose(0, 1), -1, false, false); // [T, B, E]
        // One product each for the whole segment. `unbind` and not `select`, whose backward pass
        // would fill a whole gradient at each step.
        let zxs = xs.matmul(&weight_norm(&self.wx, &self.gx)) + &self.b; // [T, B, 4·H]
        let mxs = xs.matmul(&weight_norm(&self.wmx, &self.gmx)); // [T, B, H]
        let (mut h, mut c) = (state.h.shallow_clone(), state.c.shallow_clone());
        let (mut hs, mut cs) = (Vec::new(), Vec::new());
        for (zx, mx) in zxs.unbind(0).iter().zip(mxs.unbind(0)) {
            let m = mx * h.matmul(&wmh); // [B, H]
            let z = (zx + m.matmul(&wh)).to_kind(c.kind()).chunk(4, -1); // 4 × [B, H]
            c = z[1].sigmoid() * &c + z[0].sigmoid() * z[3].tanh();
            h = z[2].sigmoid() * c.tanh();
            hs.push(h.shallow_clone());
            cs.push(c.detach());
        }
        Segment {
            hidden: Tensor::stack(&hs, 0),
            cell: Tensor::stack(&cs, 0),
            state: State { h, c },
        }
    }

    /// Scores of the next symbol, `[…, vocab]`, of hidden states `[…, hidden]`.
    pub fn logits(&self, hidden: &Tensor) -> Tensor {
        let rows = hidden.reshape([-1, self.config.hidden]);
        let logits = self.output_bias.addmm(&rows, &self.output);
        let mut shape = hidden.size();
        *shape.last_mut().expect("hidden has at least one dimension") = self.config.vocab;
        logits.view(shape.as_slice())
    }

    /// The mean loss in nats per symbol of predicting `ys` from `xs`, `[batch, time]` each, and the
    /// state after `xs`.
    pub fn loss(&self, xs: &Tensor, ys: &Tensor, state: &State) -> (Tensor, State) {
        let Segment { hidden, state, .. } = self.forward(xs, state);
        let logits = self.logits(&hidden.flatten(0, 1)); // [T · B, vocab]
        let ys = ys.transpose(0, 1).reshape([-1]);
        let kind = if logits.kind() == Kind::BFloat16 { Kind::Float } else { logits.kind() };
        (logits.to_kind(kind).cross_entropy_for_logits(&ys), state)
    }

    /// The state of each text after its own last symbol, from zero.
    ///
    /// `xs: [batch, time]` holds the texts, filled up on the right with any symbol; `lengths:
    /// [batch]` how many symbols are the text's (0 leaves the zero state). Takes no gradient.
    pub fn last_states(&self, xs: &Tensor, lengths: &Tensor) -> State {
        let _no_grad = tch::no_grad_guard();
        let (batch, time) = xs.size2().expect("xs is [batch, time]");
        let mut state = State::zeros(batch, self.config.hidden, xs.device());
        let mut last = State::zeros(batch, self.config.hidden, xs.device());
        for start in (0..time).step_by(CHUNK as usize) {
            let n = CHUNK.min(time - start);
            let segment = self.forward(&xs.narrow(1, start, n), &state);
            let end = lengths - start; // of each text in this chunk
            let here = end.ge(1).logical_and(&end.le(n)).unsqueeze(1); // [B, 1]
            let at = (end - 1).clamp(0, n - 1).view([1, batch, 1]);
            let at = at.expand([1, batch, self.config.hidden], false);
            let pick = |all: &Tensor, old: &Tensor| {
                let now = all.gather(0, &at, false).squeeze_dim(0).to_kind(old.kind()); // [B, H]
                now.where_self(&here, old)
            };
            last = State { h: pick(&segment.hidden, &last.h), c: pick(&segment.cell, &last.c) };
            state = segment.state;
        }
        last
    }
}

/// `v: [in, out]` with the Euclidean norm of each column set to its gain in `g: [out]`.
///
/// Source: Salimans & Kingma 2016, equation 2.
fn weight_norm(v: &Tensor, g: &Tensor) -> Tensor {
    v * (g / v.square().sum_dim_intlist([0i64].as_slice(), true, v.kind()).sqrt())
}
