//! Writing on: one token at a time, from the scores of the last.

use common::nn::probe::Probe;
use common::nn::transformer::Cache;
use common::rng;
use rand_chacha::rand_core::Rng as _;
use tch::{Kind, Tensor};

use crate::model::{Body, Model};

/// How a token is drawn from scores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// Scores are divided by it; 0 always takes the likeliest token.
    pub temperature: f64,
    /// Only so many of the likeliest tokens; 0: all.
    pub top_k: usize,
    /// Only the likeliest tokens that together have this probability; 1: all.
    pub top_p: f64,
    /// The draw.
    pub seed: u64,
}

/// Reads tokens and scores the next one: with a cache for the transformer, over the whole sequence for the LSTM.
#[derive(Debug)]
pub struct Reader<'a> {
    model: &'a Model,
    cache: Option<Cache>,
    /// What was read and still counts.
    ids: Vec<i64>,
    /// Tokens that fell off the front of the context.
    dropped: usize,
}

impl<'a> Reader<'a> {
    /// A reader that has read nothing.
    pub fn new(model: &'a Model) -> Self {
        let cache = match &model.body {
            Body::Transformer(net) => Some(net.cache(1)),
            Body::Lstm(_) => None,
        };
        Self { model, cache, ids: Vec::new(), dropped: 0 }
    }

    /// Reads `ids`, at least one; returns the scores `[vocab]` of the token after them.
    ///
    /// A sequence that outgrows the context goes on from its later half: the first tokens are forgotten, and
    /// [`Reader::dropped`] counts them.
    pub fn read(&mut self, ids: &[i64]) -> Vec<f32> {
        let _no_grad = tch::no_grad_guard();
        let context = self.model.shape().context() as usize;
        let mut fresh = ids;
        self.ids.extend_from_slice(ids);
        if self.ids.len() > context {
            let forgotten = self.ids.len() - (context / 2).max(1);
            self.ids.drain(..forgotten);
            self.dropped += forgotten;
            if let Some(cache) = &mut self.cache {
                cache.clear();
            }
            fresh = &self.ids;
        }
        let states = match (&self.model.body, &mut self.cache) {
            (Body::Transformer(net), Some(cache)) => {
                let xs = Tensor::from_slice(fresh).unsqueeze(0).to_device(self.model.device());
                net.forward_cached(&xs, cache) // [1, t, C]
            }
            (body, _) => {
                let xs = Tensor::from_slice(&self.ids).unsqueeze(0).to_device(self.model.device());
                body.states(&xs, false, &Probe::off())
            }
        };
        let last = states.select(1, -1); // [1, C]
        let logits = self.model.body.logits(&last).squeeze_dim(0).to_kind(Kind::Float);
        Vec::try_from(logits).expect("scores are a vector of numbers")
    }

    /// Tokens that fell off the front of the context so far.
    pub fn dropped(&self) -> usize {
        self.dropped
    }
}

/// A token by its score, for draw number `step`.
///
/// # Panics
/// Without scores.
pub fn draw(logits: &[f32], sampling: &Sampling, step: u64) -> usize {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    // The likeliest first; of equals the lower id.
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
    if sampling.temperature <= 0.0 {
        return order[0];
    }
    if sampling.top_k > 0 {
        order.truncate(sampling.top_k);
    }
    let top = f64::from(logits[order[0]]);
    let weight = |id: usize| ((f64::from(logits[id]) - top) / sampling.temperature).exp();
    let mut weights: Vec<f64> = order.iter().map(|&id| weight(id)).collect();
    let total: f64 = weights.iter().sum();
    // The token that reaches the share is kept, so that one always is.
    let mut before = 0.0;
    let kept = weights.iter().take_while(|&&weight| {
        let keep = before < sampling.top_p * total;
        before += weight;
        keep
    });
    let kept = kept.count().max(1);
    weights.truncate(kept);
    let bits = rng::chacha(sampling.seed, "generate", step).next_u64() >> 11;
    let uniform = bits as f64 / (1_u64 << 53) as f64;
    let mut left = uniform * weights.iter().sum::<f64>();
    for (place, weight) in weights.iter().enumerate() {
        left -= weight;
        if left < 0.0 {
            return order[place];
        }
    }
    order[kept - 1]
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::nn::transformer::TransformerConfig;
    use tch::Device;

    use crate::model::Shape;

    const PLAIN: Sampling = Sampling { temperature: 1.0, top_k: 0, top_p: 1.0, seed: 7 };

    fn shares(logits: &[f32], sampling: &Sampling) -> Vec<f64> {
        const DRAWS: u64 = 20_000;
        let mut counts = vec![0.0; logits.len()];
        for step in 0..DRAWS {
            counts[draw(logits, sampling, step)] += 1.0 / DRAWS as f64;
        }
        counts
    }

    #[test]
    fn tokens_come_as_often_as_their_probability_says() {
        let logits = [1.0_f32, 0.0, 2.0, -1.0];
        let weights = logits.map(|logit| f64::from(logit / 0.5).exp());
        let found = shares(&logits, &Sampling { temperature: 0.5, ..PLAIN });
        for (found, weight) in found.iter().zip(weights) {
            let wanted = weight / weights.iter().sum::<f64>();
            // 20,000 draws: a standard deviation is at most 0.0035.
            assert!((found - wanted).abs() < 0.015, "{found}, wanted {wanted}");
        }
    }

    #[test]
    fn unlikely_tokens_are_left_out_by_count_or_by_share() {
        let logits = [1.0_f32, 0.0, 2.0, -1.0]; // probabilities .237 .087 .644 .032
        let found = |sampling: Sampling| shares(&logits, &sampling).map_nonzero();
        assert_eq!(found(Sampling { top_k: 2, ..PLAIN }), [0, 2]);
        assert_eq!(found(Sampling { top_p: 0.6, ..PLAIN }), [2]);
        assert_eq!(found(Sampling { top_p: 0.7, ..PLAIN }), [0, 2]);
        assert_eq!(found(Sampling { top_p: 0.0, ..PLAIN }), [2]);
        assert_eq!(found(Sampling { temperature: 0.0, ..PLAIN }), [2]);
        assert_eq!(draw(&[3.0, 3.0, 3.0], &Sampling { temperature: 0.0, ..PLAIN }, 0), 0);
    }

    trait NonZero {
        fn map_nonzero(&self) -> Vec<usize>;
    }

    impl NonZero for Vec<f64> {
        fn map_nonzero(&self) -> Vec<usize> {
            (0..self.len()).filter(|&i| self[i] > 0.0).collect()
        }
    }

    #[test]
    fn scores_do_not_depend_on_how_the_tokens_came_and_outgrowing_the_context_is_counted() {
        let config = TransformerConfig {
            vocab: 13,
            context: 8,
            n_layers: 2,
            n_heads: 2,
            d_model: 8,
            init_std: 0.3,
            ..TransformerConfig::GPT1
        };
        let model = Model::new(&Shape::Transformer(config), 1, Device::Cpu);
        let ids = [3_i64, 1, 4, 1, 5, 9, 2];
        let at_once = Reader::new(&model).read(&ids);
        let mut reader = Reader::new(&model);
        let mut one_by_one = Vec::new();
        for id in ids {
            one_by_one = reader.read(&[id]);
        }
        let apart = at_once.iter().zip(&one_by_one).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart < 1e-5, "{apart}");
        reader.read(&[6]);
        assert_eq!(reader.dropped(), 0);
        let after = reader.read(&[5]); // the ninth: the last four go on
        assert_eq!(reader.dropped(), 5);
        let wanted = Reader::new(&model).read(&[9, 2, 6, 5]);
        let apart = after.iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart < 1e-5, "{apart}");
    }
}
