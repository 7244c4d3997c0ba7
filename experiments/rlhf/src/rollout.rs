//! Responses to a batch of queries, token by token, with a cache of keys and values.
//!
//! A response has a fixed length: generation goes on behind whatever ends a text, and what follows is cut afterwards
//! (lm-human-preferences). `B` queries of `P` tokens, `R` tokens of each response.

use common::nn::transformer::{Padding, Transformer};
use tch::{Kind, Tensor};

use crate::tokens::readable;

/// Responses and what the model thought of them while it wrote.
#[derive(Debug)]
pub struct Rollout {
    /// `[B, R]`
    pub responses: Tensor,
    /// Log-probability of each token at the temperature: `[B, R]`.
    pub log_probs: Tensor,
}

/// Writes `length` tokens after each of `queries: [B, P]`, whose padding stands before them, by draws of libtorch's
/// generator: seed it first. A temperature of 0 takes the likeliest token always; log-probabilities are then those at 1.
///
/// # Panics
/// If query and response together are longer than the context by more than the last token.
pub fn respond(net: &Transformer, queries: &Tensor, length: i64, temperature: f64) -> Rollout {
    let _no_grad = tch::no_grad_guard();
    let (query, padding) = readable(queries);
    let b = query.size()[0];
    // What is written is always there.
    let later = Tensor::ones([b, length], (Kind::Bool, query.device()));
    let whole = Padding::new(&Tensor::cat(&[padding.present(), &later], 1));
    let mut cache = net.cache(b);
    let mut read = query;
    let (mut ids, mut log_probs) = (Vec::new(), Vec::new());
    for _ in 0..length {
        let states = if whole.is_none() {
            net.forward_cached(&read, &mut cache)
        } else {
            net.forward_cached_padded(&read, &whole, &mut cache)
        };
        let divisor = if temperature > 0.0 { temperature } else { 1.0 };
        let scores = net.logits(&states.select(1, -1)).to_kind(Kind::Float) / divisor;
        let log_p = scores.log_softmax(-1, Kind::Float); // [B, V]
        let next = if temperature > 0.0 { draw(&log_p) } else { log_p.argmax(-1, false) }; // [B]
        let next = next.unsqueeze(1);
        log_probs.push(log_p.gather(1, &next, false));
        read = next.shallow_clone();
        ids.push(next);
    }
    Rollout { responses: Tensor::cat(&ids, 1), log_probs: Tensor::cat(&log_probs, 1) }
}

/// One token of each row of log-probabilities `[B, V]`: the first at which the sum of probabilities exceeds a uniform
/// number.
fn draw(log_p: &Tensor) -> Tensor {
    let sums = log_p.exp().cumsum(-1, Kind::Double);
    let (n, vocab) = log_p.size2().expect("log_p is [B, V]");
    let total = sums.narrow(1, vocab - 1, 1);
    let at = Tensor::rand([n, 1], (Kind::Double, log_p.device())) * total;
    let found = at.searchsorted(&sums, false, true, "right", None::<&Tensor>);
    // A product that was rounded up to the total is the last token's.
    found.squeeze_dim(1).clamp_max(vocab - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::nn::transformer::{NormPlace, TransformerConfig};
    use common::weights::decoder::Decoder;
    use tch::nn::VarStore;
    use tch::{Device, Kind};

    use crate::policy::{self, Policy};
    use crate::tokens::{Side, batch};

    fn decoder(norm: NormPlace) -> Decoder {
        tch::manual_seed(3);
        let config = TransformerConfig {
            vocab: 40,
            context: 20,
            n_layers: 2,
            n_heads: 2,
            d_model: 16,
            norm,
            init_std: 0.3,
            ..TransformerConfig::GPT1
        };
        let vs = VarStore::new(Device::Cpu);
        let _net = Transformer::new(&vs.root(), &config);
        Decoder::of(&vs, "", &config)
    }

    #[test]
    fn log_probabilities_of_generation_and_of_training_agree() {
        for norm in [NormPlace::Post, NormPlace::Pre] {
            let policy = Policy::new(&decoder(norm), None, false, Device::Cpu);
            let queries = [vec![5_i64, 7, 1, 30, 2, 9], vec![4], vec![11, 12, 13]];
            for queries in [batch(&queries, Side::Left), batch(&queries[..1], Side::Left)] {
                for temperature in [1.0, 0.7] {
                    tch::manual_seed(9);
                    let made = respond(&policy.net, &queries, 12, temperature);
                    let seen = policy.see(&queries, &made.responses, temperature);
                    let apart = (&seen.log_probs - &made.log_probs).abs().max().double_value(&[]);
                    assert!(apart < 1e-4, "{norm:?} at {temperature}: {apart}");
                    let reference =
                        policy::log_probs(&policy.net, &queries, &made.responses, temperature);
                    let kl = (seen.log_probs - reference).abs().max().double_value(&[]);
                    assert!(kl == 0.0, "a reference that is the policy itself: {kl}");
                }
            }
        }
    }

    #[test]
    fn padding_before_a_query_changes_nothing() {
        let policy = Policy::new(&decoder(NormPlace::Post), None, false, Device::Cpu);
        let short = vec![4_i64, 9];
        let alone = respond(&policy.net, &batch(&[&short], Side::Left), 8, 0.0);
        let beside = vec![1_i64, 2, 3, 4, 5, 6];
        let both = respond(&policy.net, &batch(&[short, beside], Side::Left), 8, 0.0);
        let first = both.responses.narrow(0, 0, 1);
        assert_eq!(alone.responses, first);
        let apart = (alone.log_probs - both.log_probs.narrow(0, 0, 1)).abs().max();
        assert!(apart.double_value(&[]) < 1e-5);
    }

    #[test]
    fn tokens_come_as_often_as_their_probability_says() {
        tch::manual_seed(1);
        let p = Tensor::from_slice(&[0.1_f32, 0.2, 0.3, 0.4]);
        let drawn = draw(&p.log().unsqueeze(0).expand([40_000, 4], false));
        for (id, wanted) in [0.1, 0.2, 0.3, 0.4].into_iter().enumerate() {
            let found = drawn.eq(id as i64).to_kind(Kind::Double).mean(Kind::Double);
            // 40,000 draws: a standard deviation is at most 0.0025.
            assert!((found.double_value(&[]) - wanted).abs() < 0.012, "{id}: {found:?}");
        }
    }
}
