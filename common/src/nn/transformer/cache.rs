//! Keys and values of the tokens so far, so that a new token costs one step and not the whole sequence.

use tch::{Device, Kind, Tensor};

use super::TransformerConfig;

/// What all layers remember of a batch of sequences of one length.
#[derive(Debug)]
pub struct Cache {
    layers: Vec<Layer>,
    len: i64,
}

/// Keys and values `[B, H, context, D]` of one layer; made with the kind of the first keys.
#[derive(Debug)]
pub(super) struct Layer {
    shape: [i64; 4],
    device: Device,
    held: Option<[Tensor; 2]>,
}

impl Cache {
    pub(super) fn new(config: &TransformerConfig, batch: i64, device: Device) -> Self {
        let shape = [batch, config.n_heads, config.context, config.d_model / config.n_heads];
        let layer = |_| Layer { shape, device, held: None };
        Self { layers: (0..config.n_layers).map(layer).collect(), len: 0 }
    }

    /// Tokens that it holds of each sequence.
    pub fn len(&self) -> i64 {
        self.len
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Forgets everything; the memory is kept.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    pub(super) fn layers(&mut self) -> impl Iterator<Item = &mut Layer> {
        self.layers.iter_mut()
    }

    pub(super) fn advance(&mut self, tokens: i64) {
        self.len += tokens;
    }
}

impl Layer {
    /// Puts `k` and `v`, each `[B, H, t, D]`, behind the first `past` tokens; returns the keys and values of
    /// all, `[B, H, past + t, D]` each.
    pub(super) fn append(&mut self, k: &Tensor, v: &Tensor, past: i64) -> (Tensor, Tensor) {
        let (shape, device) = (self.shape, self.device);
        let empty = |kind: Kind| Tensor::empty(shape, (kind, device));
        let held = self.held.get_or_insert_with(|| [empty(k.kind()), empty(v.kind())]);
        let t = k.size()[2];
        let [keys, values] = [(&held[0], k), (&held[1], v)].map(|(all, new)| {
            all.narrow(2, past, t).copy_(new);
            all.narrow(2, 0, past + t)
        });
        (keys, values)
    }
}
