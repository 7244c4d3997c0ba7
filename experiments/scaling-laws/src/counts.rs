//! Parameters and training FLOPs of a language model, as Kaplan and as Hoffmann count them.

use common::nn::language_model;

/// The shape of a decoder transformer, or of an LSTM between embedding and output.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Units of an LSTM; 0 for a transformer.
    pub lstm: u64,
    /// Blocks.
    pub n_layers: u64,
    /// Width of the residual stream.
    pub d_model: u64,
    /// Width of all heads together.
    pub d_attn: u64,
    /// Width of the feed-forward layer.
    pub d_ff: u64,
    /// Tokens of context.
    pub n_ctx: u64,
    /// Size of the vocabulary.
    pub vocab: u64,
    /// Attention heads.
    pub n_heads: u64,
}

impl Shape {
    /// The shape of one of our models.
    pub fn of(shape: &language_model::Shape) -> Self {
        match shape {
            language_model::Shape::Transformer(config) => {
                let [d_model, n_layers, n_ctx, vocab, n_heads] =
                    [config.d_model, config.n_layers, config.context, config.vocab, config.n_heads]
                        .map(|n| n as u64);
                let (d_attn, d_ff) = (d_model, 4 * d_model);
                Self { lstm: 0, n_layers, d_model, d_attn, d_ff, n_ctx, vocab, n_heads }
            }
            language_model::Shape::Lstm(config) => {
                let [lstm, d_model, n_ctx, vocab] =
                    [config.hidden, config.d_model, config.context, config.vocab].map(|n| n as u64);
                let (d_attn, d_ff, n_heads) = (0, 0, 0);
                Self { lstm, n_layers: 1, d_model, d_attn, d_ff, n_ctx, vocab, n_heads }
            }
        }
    }

    /// Non-embedding parameters `2·d_model·n_layers·(2·d_attn + d_ff)`; biases, norms, embeddings
    /// and positions are left out. Of an LSTM its four gates' matrices and the one back to the
    /// embedding's width.
    ///
    /// Source: Kaplan et al. 2020, eq. 2.1.
    pub fn kaplan_params(&self) -> u64 {
        if self.lstm > 0 {
            return self.lstm * (4 * (self.d_model + self.lstm) + self.d_model);
        }
        2 * self.d_model * self.n_layers * (2 * self.d_attn + self.d_ff)
    }

    /// Training FLOPs on `tokens`: `6·N·tokens`, the context term left out.
    ///
    /// Source: Kaplan et al. 2020, section 2.1.
    pub fn kaplan_flops(&self, tokens: f64) -> f64 {
        6.0 * self.kaplan_params() as f64 * tokens
    }

    /// Parameters with the embedding, which the head shares.
    ///
    /// Source: Hoffmann et al. 2022, whose totals include embeddings.
    pub fn hoffmann_params(&self) -> u64 {
        self.kaplan_params() + self.vocab * self.d_model
    }

    /// Training FLOPs on `tokens`: embedding, attention, feed-forward and logits; the backward pass
    /// counts twice the forward pass.
    ///
    /// Source: Hoffmann et al. 2022, appendix F. Differs: of an LSTM six for each weight.
    pub fn hoffmann_flops(&self, tokens: f64) -> f64 {
        if self.lstm > 0 {
            let embeddings = 2 * self.vocab * self.d_model;
            return 6.0 * (self.kaplan_params() + embeddings) as f64 * tokens;
        }
        let [l, d, a, f, t, v, h] = [
            self.n_layers,
            self.d_model,
            self.d_attn,
            self.d_ff,
            self.n_ctx,
            self.vocab,
            self.n_heads,
        ]
        .map(|n| n as f64);
        let embedding = 2.0 * t * v * d;
        let projections = 2.0 * 3.0 * t * d * a;
        let scores = 2.0 * t * t * a;
        let softmax = 3.0 * h * t * t;
        let reduction = 2.0 * t * t * a;
        let output = 2.0 * t * a * d;
        let dense = 2.0 * t * (d * f + d * f);
        let logits = 2.0 * t * d * v;
        let block = projections + scores + softmax + reduction + output + dense;
        3.0 * (embedding + l * block + logits) * tokens / t
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TINY: Shape = Shape {
        lstm: 0,
        n_layers: 1,
        d_model: 2,
        d_attn: 2,
        d_ff: 8,
        n_ctx: 4,
        vocab: 10,
        n_heads: 1,
    };

    #[test]
    fn kaplans_counts_are_those_of_his_shapes() {
        // 12·n_layers·d_model² at (36, 1280) and (6, 4288).
        let at = |n_layers, d_model| {
            Shape { n_layers, d_model, d_attn: d_model, d_ff: 4 * d_model, ..TINY }.kaplan_params()
        };
        assert_eq!(at(36, 1280), 707_788_800);
        assert_eq!(at(6, 4288), 1_323_859_968);
        // 6 · 48 · 100.
        assert!((TINY.kaplan_flops(100.0) - 28_800.0).abs() < 1e-9);
    }

    #[test]
    fn an_lstm_has_four_gates_and_the_way_back() {
        let lstm = Shape { lstm: 3, d_attn: 0, d_ff: 0, n_heads: 0, ..TINY };
        // Gates 4 · 3 · (2 + 3), back 3 · 2.
        assert_eq!(lstm.kaplan_params(), 66);
        // 6 · (66 + 2 · 20) · 10.
        assert!((lstm.hoffmann_flops(10.0) - 6360.0).abs() < 1e-9);
    }

    #[test]
    fn hoffmanns_counts_are_those_worked_by_hand() {
        assert_eq!(TINY.hoffmann_params(), 48 + 20);
        // One window of 4 tokens: embedding 160, projections 96, scores 64, softmax 48,
        // reduction 64, output 32, dense 256, logits 160: 880 forward, 2,640 with backward.
        assert!((TINY.hoffmann_flops(4.0) - 2640.0).abs() < 1e-9);
    }
}
