//! Sequences of different lengths in one batch.

use std::ops::Range;

use tch::{Kind, Tensor};

/// Which tokens of a batch are there; the others only fill it up. A token's position counts those that are there
/// before it, so that a sequence has the same positions wherever its padding stands.
///
/// Source: openai/lm-human-preferences, `lm_human_preferences/language/sample.py` and `model.py`: positions are an
/// exclusive cumulative sum over what is no padding, and padding is masked as a key.
#[derive(Debug)]
pub struct Padding {
    /// `[B, T]`
    present: Tensor,
    /// `[B, T]`
    positions: Tensor,
    /// Whether there is any padding.
    any: bool,
}

impl Padding {
    /// The padding of a batch whose tokens are there where `present: [B, T]` is true.
    pub fn new(present: &Tensor) -> Self {
        let present = present.to_kind(Kind::Bool);
        let ones = present.to_kind(Kind::Int64);
        let positions = ones.cumsum(1, Kind::Int64) - &ones;
        let any = present.all().int64_value(&[]) == 0;
        Self { present, positions, any }
    }

    /// Whether each token is there: `[B, T]`.
    pub fn present(&self) -> &Tensor {
        &self.present
    }

    /// Whether every token is there.
    pub fn is_none(&self) -> bool {
        !self.any
    }

    /// The place of each sequence's last token `[B]`; 0 for a sequence without any.
    pub fn last(&self) -> Tensor {
        let t = self.present.size()[1];
        let places = Tensor::arange(t, (Kind::Int64, self.present.device()));
        (self.present.to_kind(Kind::Int64) * places).amax([1], false)
    }

    /// The positions `[B, t]` of the tokens of a span.
    pub(super) fn positions(&self, span: Range<i64>) -> Tensor {
        self.positions.narrow(1, span.start, span.end - span.start)
    }

    /// Which tokens `[B, 1, t, end]` those of a span see; none where all see all before them. Padding sees itself, so
    /// that no row is empty.
    pub(super) fn mask(&self, span: Range<i64>) -> Option<Tensor> {
        let (t, end) = (span.end - span.start, span.end);
        self.any.then(|| {
            let square = Tensor::ones([t, end], (Kind::Bool, self.present.device()));
            let (before, own) = (square.tril(span.start), square.tril(span.start).triu(span.start));
            let keys = self.present.narrow(1, 0, end).unsqueeze(1); // [B, 1, end]
            keys.logical_and(&before).logical_or(&own).unsqueeze(1)
        })
    }
}
