//! Attention, perceptron, loss and log-probabilities: one operator each on the CPU, and the same composed of libtorch's,
//! which serves other devices and kinds of number and is the operators' test oracle.
//!
//! `B` sequences, `T` tokens, `C` channels, `H` heads of `D = C / H`, `V` vocabulary.

use tch::{Device, Kind, Tensor};

use crate::shim::transformer as shim;

/// Whether the operators serve such a tensor.
fn served(xs: &Tensor) -> bool {
    xs.device() == Device::Cpu && matches!(xs.kind(), Kind::Float | Kind::BFloat16)
}

/// Causal self-attention of queries, keys and values side by side in `qkv: [B, T, 3·C]`; `[B, T, C]` out.
/// `dropout` is the share of attention weights that is dropped.
///
/// Source: Radford et al. 2018, section 3.1. Differs: a fused kernel; scores are never stored, and a masked
/// score is minus infinity where the released code has −10⁹.
///
/// # Panics
/// If `qkv` is not of that shape.
pub fn attention(qkv: &Tensor, heads: i64, dropout: f64) -> Tensor {
    if served(qkv) && dropout == 0.0 {
        shim::attention(qkv, heads).unwrap_or_else(|err| panic!("{err}"))
    } else {
        attention_composed(qkv, heads, dropout)
    }
}

/// The same as [`attention`], by libtorch's `scaled_dot_product_attention`.
///
/// # Panics
/// If `qkv` is not of that shape.
pub fn attention_composed(qkv: &Tensor, heads: i64, dropout: f64) -> Tensor {
    let (b, t, c) = qkv.size3().expect("qkv is [B, T, 3·C]");
    let [q, k, v] = split_heads(qkv, heads); // [B, H, T, D] each
    let ys = Tensor::scaled_dot_product_attention(
        &q,
        &k,
        &v,
        None::<&Tensor>,
        dropout,
        true,
        None,
        false,
    );
    ys.transpose(1, 2).reshape([b, t, c / 3])
}

/// Queries, keys and values `[B, H, T, D]` of `qkv: [B, T, 3·C]`.
pub(super) fn split_heads(qkv: &Tensor, heads: i64) -> [Tensor; 3] {
    let (b, t, c) = qkv.size3().expect("qkv is [B, T, 3·C]");
    let parts = qkv.view([b, t, 3, heads, c / 3 / heads]).permute([2, 0, 3, 1, 4]); // [3, B, H, T, D]
    [0, 1, 2].map(|i| parts.select(0, i))
}

/// A linear layer: `[out, in]`, and `[out]` or none.
pub type Linear<'a> = (&'a Tensor, Option<&'a Tensor>);

/// `gelu(xs · W1ᵀ + b1) · W2ᵀ + b2` of `xs: […, C]`; the same shape out. GELU has its tanh form.
///
/// # Panics
/// If the layers do not fit each other.
pub fn mlp(xs: &Tensor, first: Linear, second: Linear) -> Tensor {
    if served(xs) && first.1.is_some() == second.1.is_some() {
        shim::mlp(xs, first, second).unwrap_or_else(|err| panic!("{err}"))
    } else {
        mlp_composed(xs, first, second)
    }
}

/// The same as [`mlp`], of libtorch's operators.
pub fn mlp_composed(xs: &Tensor, first: Linear, second: Linear) -> Tensor {
    xs.linear(first.0, first.1).gelu("tanh").linear(second.0, second.1)
}

/// The sum of `weights: [N]` times the losses in nats of `states: [N, C]` for `targets: [N]`, where scores are `states`
/// times `table: [V, C]` transposed. Without weights the mean.
///
/// On the CPU scores are never all in memory: both gradients are computed with the loss, some rows at a time.
///
/// # Panics
/// If shapes do not fit each other or a target is not in the table.
pub fn tied_loss(
    states: &Tensor,
    table: &Tensor,
    targets: &Tensor,
    weights: Option<&Tensor>,
) -> Tensor {
    if !served(states) {
        return tied_loss_composed(states, table, targets, weights);
    }
    let n = targets.size()[0];
    let even = || Tensor::full([n], 1.0 / n as f64, (Kind::Float, states.device()));
    let loss = match weights {
        Some(weights) => shim::tied_loss(states, table, targets, weights),
        None => shim::tied_loss(states, table, targets, &even()),
    };
    loss.unwrap_or_else(|err| panic!("{err}"))
}

/// The same as [`tied_loss`], with all scores at once.
pub fn tied_loss_composed(
    states: &Tensor,
    table: &Tensor,
    targets: &Tensor,
    weights: Option<&Tensor>,
) -> Tensor {
    let scores = states.linear(table, None::<&Tensor>); // [N, V]
    let wide = if scores.kind() == Kind::Double { Kind::Double } else { Kind::Float };
    let scores = scores.to_kind(wide);
    match weights {
        None => scores.cross_entropy_for_logits(targets),
        Some(weights) => {
            let none = tch::Reduction::None;
            let losses = scores.cross_entropy_loss::<Tensor>(targets, None, none, -100, 0.0);
            (losses * weights).sum(wide)
        }
    }
}

/// What a language model says of tokens.
#[derive(Debug)]
pub struct LogProbs {
    /// Log-probability of each target, nats: `[N]`.
    pub chosen: Tensor,
    /// Entropy of each distribution over all tokens, nats, without a gradient: `[N]`.
    pub entropy: Tensor,
}

/// Of scores `states: [N, C]` times `table: [V, C]` transposed, divided by `temperature`: the log-probabilities of
/// `targets: [N]`, and the entropies.
///
/// # Panics
/// If shapes do not fit each other or a target is not in the table.
pub fn log_probs(states: &Tensor, table: &Tensor, targets: &Tensor, temperature: f64) -> LogProbs {
    if !served(states) {
        return log_probs_composed(states, table, targets, temperature);
    }
    let found = shim::log_probs(states, table, targets, temperature);
    let [chosen, entropy] = found.unwrap_or_else(|err| panic!("{err}"));
    LogProbs { chosen, entropy }
}

/// The same as [`log_probs`], of libtorch's operators.
pub fn log_probs_composed(
    states: &Tensor,
    table: &Tensor,
    targets: &Tensor,
    temperature: f64,
) -> LogProbs {
    let scores = states.linear(table, None::<&Tensor>); // [N, V]
    let wide = if scores.kind() == Kind::Double { Kind::Double } else { Kind::Float };
    let all = (scores.to_kind(wide) / temperature).log_softmax(-1, wide);
    let held = all.detach();
    let entropy = -(held.exp() * &held).sum_dim_intlist(-1, false, wide);
    LogProbs { chosen: all.gather(-1, &targets.unsqueeze(-1), false).squeeze_dim(-1), entropy }
}
