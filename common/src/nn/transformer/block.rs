//! One block: attention and a two-layer perceptron, each added to its input.

use tch::nn::{self, Module as _};
use tch::{Kind, Tensor};

use super::cache::Layer;
use super::{Norm, NormPlace, TransformerConfig, linear, parts};

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

    /// `[B, T, C]` to the same. `cached` has the keys and values of that many tokens before these; `mask`
    /// `[B, 1, T, past + T]` is true where a token sees another, and stands for all earlier ones where it is none.
    pub(super) fn forward(
        &self,
        xs: &Tensor,
        cached: Option<(&mut Layer, i64)>,
        mask: Option<&Tensor>,
        train: bool,
    ) -> Tensor {
        match self.place {
            NormPlace::Post => {
                let ns = self.norm1.forward(&(xs + self.attention(xs, cached, mask, train)));
                self.norm2.forward(&(&ns + self.mlp(&ns, train)))
            }
            NormPlace::Pre => {
                let ns = xs + self.attention(&self.norm1.forward(xs), cached, mask, train);
                &ns + self.mlp(&self.norm2.forward(&ns), train)
            }
        }
    }

    /// Masked self-attention over `xs: [B, T, C]`; same shape out.
    fn attention(
        &self,
        xs: &Tensor,
        cached: Option<(&mut Layer, i64)>,
        mask: Option<&Tensor>,
        train: bool,
    ) -> Tensor {
        let qkv = self.qkv.forward(xs); // [B, T, 3·C]
        let p = if train { self.attention_dropout } else { 0.0 };
        let ys = match (cached, mask) {
            (None, None) => parts::attention(&qkv, self.n_heads, p),
            (cached, mask) => self.attention_over(&qkv, cached, mask, p),
        }; // [B, T, C]
        self.proj.forward(&ys).dropout(self.residual_dropout, train)
    }

    /// Attention of `qkv: [B, T, 3·C]` to themselves and the `past` tokens that a cache's layer holds, as `mask` says.
    fn attention_over(
        &self,
        qkv: &Tensor,
        cached: Option<(&mut Layer, i64)>,
        mask: Option<&Tensor>,
        p: f64,
    ) -> Tensor {
        let (b, t, c) = qkv.size3().expect("qkv is [B, T, 3·C]");
        let [q, k, v] = parts::split_heads(qkv, self.n_heads); // [B, H, T, D] each
        let past = cached.as_ref().map_or(0, |(_, past)| *past);
        let (k, v) = match cached {
            Some((layer, past)) => layer.append(&k, &v, past), // [B, H, past + T, D]
            None => (k, v),
        };
        // One token sees all before it; several need the part of the triangle that is theirs.
        let triangle = (t > 1 && mask.is_none())
            .then(|| Tensor::ones([t, past + t], (Kind::Bool, qkv.device())).tril(past));
        let mask = mask.or(triangle.as_ref());
        let ys = Tensor::scaled_dot_product_attention(&q, &k, &v, mask, p, false, None, false);
        ys.transpose(1, 2).reshape([b, t, c / 3])
    }

    fn mlp(&self, xs: &Tensor, train: bool) -> Tensor {
        let [first, second] =
            [&self.mlp_fc, &self.mlp_proj].map(|layer| (&layer.ws, layer.bs.as_ref()));
        parts::mlp(xs, first, second).dropout(self.residual_dropout, train)
    }
}
