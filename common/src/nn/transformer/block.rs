//! One block: attention and a two-layer perceptron, each added to its input.

use tch::nn::{self, Module as _};
use tch::{Kind, Tensor};

use super::cache::Layer;
use super::{Norm, NormPlace, TransformerConfig, linear};

#[derive(Debug)]
pub(super) struct Block {
    place: NormPlace,
    n_heads: i64,
    residual_dropout: f64,
    attention_dropout: f64,
    qkv: nn::Linear,
    proj: nn::Linear,
    norm1: Norm,
    mlp_fc: nn::Linear,
    mlp_proj: nn::Linear,
    norm2: Norm,
}

impl Block {
    pub(super) fn new(path: &nn::Path, config: &TransformerConfig) -> Self {
        let c = config.d_model;
        let (attention, mlp) = (path / "attention", path / "mlp");
        Self {
            place: config.norm,
            n_heads: config.n_heads,
            residual_dropout: config.residual_dropout,
            attention_dropout: config.attention_dropout,
            qkv: linear(&(&attention / "qkv"), c, 3 * c, config),
            proj: linear(&(&attention / "proj"), c, c, config),
            norm1: Norm::new(&(path / "norm1"), config),
            mlp_fc: linear(&(&mlp / "fc"), c, 4 * c, config),
            mlp_proj: linear(&(&mlp / "proj"), 4 * c, c, config),
            norm2: Norm::new(&(path / "norm2"), config),
        }
    }

    /// `[B, T, C]` to the same. `cached` has the keys and values of that many tokens before these.
    pub(super) fn forward(
        &self,
        xs: &Tensor,
        cached: Option<(&mut Layer, i64)>,
        train: bool,
    ) -> Tensor {
        match self.place {
            NormPlace::Post => {
                let ns = self.norm1.forward(&(xs + self.attention(xs, cached, train)));
                self.norm2.forward(&(&ns + self.mlp(&ns, train)))
            }
            NormPlace::Pre => {
                let ns = xs + self.attention(&self.norm1.forward(xs), cached, train);
                &ns + self.mlp(&self.norm2.forward(&ns), train)
            }
        }
    }

    /// Masked self-attention over `xs: [B, T, C]`; same shape out.
    ///
    /// Source: Radford et al. 2018, section 3.1. Differs: a fused kernel; scores are never stored, and a
    /// masked score is minus infinity where the released code has −10⁹.
    fn attention(&self, xs: &Tensor, cached: Option<(&mut Layer, i64)>, train: bool) -> Tensor {
        let (b, t, c) = xs.size3().expect("xs is [B, T, C]");
        let heads = |x: &Tensor| x.view([b, t, self.n_heads, c / self.n_heads]).transpose(1, 2);
        let qkv = self.qkv.forward(xs).chunk(3, -1); // 3 × [B, T, C]
        let (q, k, v) = (heads(&qkv[0]), heads(&qkv[1]), heads(&qkv[2])); // [B, H, T, D]
        let p = if train { self.attention_dropout } else { 0.0 };
        let ys = match cached {
            None => attend(&q, &k, &v, None, p, true),
            Some((layer, past)) => {
                let (k, v) = layer.append(&k, &v, past); // [B, H, past + T, D]
                // One token sees all before it; several need the part of the triangle that is theirs.
                let mask = (t > 1)
                    .then(|| Tensor::ones([t, past + t], (Kind::Bool, xs.device())).tril(past));
                attend(&q, &k, &v, mask.as_ref(), p, false)
            }
        }; // [B, H, T, D]
        let ys = ys.transpose(1, 2).reshape([b, t, c]);
        self.proj.forward(&ys).dropout(self.residual_dropout, train) // [B, T, C]
    }

    fn mlp(&self, xs: &Tensor, train: bool) -> Tensor {
        let inner = self.mlp_fc.forward(xs).gelu("tanh"); // [B, T, 4C]
        self.mlp_proj.forward(&inner).dropout(self.residual_dropout, train)
    }
}

fn attend(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    mask: Option<&Tensor>,
    dropout: f64,
    causal: bool,
) -> Tensor {
    Tensor::scaled_dot_product_attention(q, k, v, mask, dropout, causal, None, false)
}
