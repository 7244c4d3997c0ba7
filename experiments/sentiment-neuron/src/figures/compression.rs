//! How small texts become.

use ledger::plot::{Axis, Figure, Panel, Series, Style};

use crate::studies::compression::{NAMES, Piece};

/// Bits per byte of each network and of the usual compressors on each text; means over seeds.
pub(crate) fn draw(pieces: &[Piece]) -> Figure {
    let mut texts: Vec<&str> = pieces.iter().map(|p| p.text.as_str()).collect();
    texts.dedup();
    let mut widths: Vec<i64> = pieces.iter().map(|p| p.hidden).collect();
    widths.sort_unstable();
    widths.dedup();
    let bars = |keep: &dyn Fn(&Piece) -> bool, bits: &dyn Fn(&Piece) -> f64| -> Vec<(f64, f64)> {
        let of_text = |text: &str| {
            let found: Vec<f64> =
                pieces.iter().filter(|p| p.text == text && keep(p)).map(bits).collect();
            found.iter().sum::<f64>() / found.len() as f64
        };
        texts.iter().enumerate().map(|(place, text)| (place as f64, of_text(text))).collect()
    };
    let networks = widths.iter().enumerate().map(|(slot, &width)| {
        let points = bars(&|p| p.hidden == width, &|p| p.network);
        Series::new(format!("{width} units"), Style::Bars, points).colour(slot)
    });
    let usual = NAMES.iter().enumerate().map(|(place, name)| {
        let points = bars(&|_| true, &|p| p.usual[place]);
        Series::new(*name, Style::Bars, points).colour(widths.len() + place)
    });
    let bytes = pieces.iter().map(|p| p.bytes as u64).max().unwrap_or_default();
    Figure {
        title: "Bits per byte of reviews and of other prose".into(),
        caption: format!(
            "Bits per byte that the finished networks need for a piece of each text (at most {bytes} bytes), beside gzip \
             -9, bzip2 -9, xz -9e and zstd --ultra -22 on the same bytes. The networks learned reviews and come with \
             their weights, which are not counted; the usual compressors know nothing before they begin."
        ),
        panels: vec![Panel {
            x: Axis::categories("text", texts.iter().copied()),
            y: Axis::linear("bits per byte"),
            series: networks.chain(usual).collect(),
            ..Panel::default()
        }],
        columns: 1,
    }
}
