//! Sequences of ids as batches. Ids below 0 are padding.

use common::nn::transformer::Padding;
use tch::{Device, Kind, Tensor};

/// What stands where no token is.
///
/// Source: openai/lm-human-preferences pads with an id outside the vocabulary, puts id 0 in its place before the
/// embedding is looked up, and masks it as a key.
pub const PAD: i64 = -1;

/// Which end of a row is filled up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Before the text: queries, so that all responses begin at one place.
    Left,
    /// Behind it: texts to be scored.
    Right,
}

/// Sequences as one matrix `[B, T]`, `T` the longest's length, at least 1.
pub fn batch<S: AsRef<[i64]>>(sequences: &[S], side: Side) -> Tensor {
    let longest = sequences.iter().map(|ids| ids.as_ref().len()).max().unwrap_or(0).max(1);
    let mut flat = Vec::with_capacity(sequences.len() * longest);
    for ids in sequences {
        let ids = ids.as_ref();
        let padding = std::iter::repeat_n(PAD, longest - ids.len());
        match side {
            Side::Left => {
                flat.extend(padding);
                flat.extend_from_slice(ids);
            }
            Side::Right => {
                flat.extend_from_slice(ids);
                flat.extend(padding);
            }
        }
    }
    Tensor::from_slice(&flat).view([sequences.len() as i64, longest as i64])
}

/// What a model reads of `ids: [B, T]`: ids with 0 where there is padding, and where that is.
pub fn readable(ids: &Tensor) -> (Tensor, Padding) {
    (ids.clamp_min(0), Padding::new(&ids.ge(0)))
}

/// The ids of each row of `ids: [B, T]` that are there.
///
/// # Panics
/// If `ids` are no matrix of whole numbers.
pub fn rows(ids: &Tensor) -> Vec<Vec<i64>> {
    let all = Vec::<Vec<i64>>::try_from(ids.to_device(Device::Cpu)).expect("a matrix of ids");
    all.into_iter().map(|row| row.into_iter().filter(|&id| id >= 0).collect()).collect()
}

/// Responses `[B, R]` with padding behind the first `end` at or after token `from`, and which have one `[B]`.
///
/// Source: Ziegler et al. 2019, section 3; openai/lm-human-preferences, `train_policy.py`, `make_postprocess_fn`.
pub fn truncate(responses: &Tensor, end: i64, from: i64) -> (Tensor, Tensor) {
    let r = responses.size()[1];
    let places = Tensor::arange(r, (Kind::Int64, responses.device()));
    let ends = responses.eq(end).logical_and(&places.ge(from)); // [B, R]
    let before = ends.to_kind(Kind::Int64).cumsum(1, Kind::Int64) - ends.to_kind(Kind::Int64);
    let ended = ends.any_dim(1, false);
    (responses.masked_fill(&before.gt(0), PAD), ended)
}

/// Of states `[B, P + R − 1, C]` over a query of `P` tokens and its response without the last token, those `[B, R, C]`
/// that predict the response: token `t` comes from the state at `t − 1`.
pub fn predicting(states: &Tensor, query: i64) -> Tensor {
    states.narrow(1, query - 1, states.size()[1] - query + 1)
}

/// How many of a response's tokens count, and the share of its pairs of neighbours that came before in it.
pub fn length_and_repetition(response: &[i64]) -> (usize, f64) {
    let mut seen = std::collections::BTreeSet::new();
    let pairs = response.windows(2);
    let n = pairs.len();
    let repeated = pairs.filter(|pair| !seen.insert((pair[0], pair[1]))).count();
    (response.len(), if n == 0 { 0.0 } else { repeated as f64 / n as f64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_side_is_filled_up() {
        let sequences = [vec![5_i64, 6, 7], vec![8]];
        let left = Vec::<Vec<i64>>::try_from(batch(&sequences, Side::Left)).unwrap();
        assert_eq!(left, [[5, 6, 7], [PAD, PAD, 8]]);
        let right = batch(&sequences, Side::Right);
        assert_eq!(rows(&right), sequences);
        let (ids, padding) = readable(&right);
        assert_eq!(Vec::<Vec<i64>>::try_from(ids).unwrap(), [[5, 6, 7], [8, 0, 0]]);
        assert_eq!(Vec::<i64>::try_from(padding.last()).unwrap(), [2, 0]);
    }

    #[test]
    fn a_response_ends_with_its_first_stop_that_is_late_enough() {
        let responses =
            Tensor::from_slice(&[13_i64, 2, 13, 3, 13, 1, 2, 3, 4, 5, 13, 1, 2, 3, 4]).view([3, 5]);
        let (cut, ended) = truncate(&responses, 13, 1);
        assert_eq!(rows(&cut), [vec![13, 2, 13], vec![1, 2, 3, 4, 5], vec![13, 1, 2, 3, 4]]);
        assert_eq!(Vec::<bool>::try_from(ended).unwrap(), [true, false, false]);
    }

    #[test]
    fn a_token_is_predicted_by_the_state_before_it() {
        // States that are their places; a query of 3 tokens, a response of 2.
        let states = Tensor::arange(4, (Kind::Int64, Device::Cpu)).view([1, 4, 1]);
        let found = Vec::<i64>::try_from(predicting(&states, 3).view([-1])).unwrap();
        assert_eq!(found, [2, 3]);
    }

    #[test]
    fn repetition_is_the_share_of_pairs_seen_before() {
        assert_eq!(length_and_repetition(&[1, 2, 1, 2, 1]), (5, 0.5));
        assert_eq!(length_and_repetition(&[1]), (1, 0.0));
    }
}
