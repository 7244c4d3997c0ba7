//! Pieces beside bytes.

use ledger::plot::{Axis, Figure, Panel, Series, Style};

use crate::studies::word_pieces::Way;

/// Bits per byte of the validation shard against bytes seen and against the work of the training; a line a run.
pub(crate) fn draw(data: &str, ways: &[Way]) -> Figure {
    let lines = |of: fn(&Way) -> &Vec<(f64, f64)>| -> Vec<Series> {
        let line = |way: &Way| {
            let label = if way.pieces { "pieces of a BPE vocabulary" } else { "bytes" };
            Series::new(label, Style::Line, of(way).clone()).colour(usize::from(!way.pieces))
        };
        ways.iter().map(line).collect()
    };
    let panel =
        |x: Axis, series| Panel { x, y: Axis::linear("bits per byte"), series, ..Panel::default() };
    Figure {
        title: format!("Predicting pieces or bytes of {data}"),
        caption: format!(
            "Bits per byte of the validation shard of two multiplicative LSTMs of the same width on the same text ({data} \
             in small letters), one predicting pieces of a BPE vocabulary, the other bytes, against the bytes of text \
             seen and against the multiply-adds of the training."
        ),
        panels: vec![
            panel(Axis::log("bytes seen"), lines(|way| &way.by_bytes)),
            panel(Axis::log("multiply-adds"), lines(|way| &way.by_work)),
        ],
        columns: 2,
    }
}
