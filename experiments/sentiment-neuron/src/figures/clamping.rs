//! What holding a unit does to what a network writes.

use ledger::plot::{Axis, Figure, Panel, Reference, Series, Style};

use crate::studies::clamping::Texts;

/// Texts judged positive in each condition, a series for each width; means over seeds.
pub(crate) fn draw(texts: &[&Texts]) -> Figure {
    let mut widths: Vec<i64> = texts.iter().map(|t| t.model.hidden).collect();
    widths.sort_unstable();
    widths.dedup();
    let series = widths.iter().enumerate().map(|(slot, &width)| {
        let shares: Vec<[f64; 5]> =
            texts.iter().filter(|t| t.model.hidden == width).map(|t| t.shares()).collect();
        let mean =
            |place: usize| shares.iter().map(|s| s[place]).sum::<f64>() / shares.len() as f64;
        let points = (0..5).map(|place| (place as f64, mean(place))).collect();
        Series::new(format!("{width} units"), Style::Bars, points).colour(slot)
    });
    let conditions = ["nothing held", "unit +", "unit −", "control +", "control −"];
    let (set, judge) = (&texts[0].set, &texts[0].judge);
    Figure {
        title: "Reviews written with a unit held".into(),
        caption: format!(
            "Share of the texts that networks write which a bag of n-grams, fitted on {judge}, calls positive: with no unit \
             held, with the unit that an L1 probe on {set} leans on most held on either side of its threshold, and with \
             the unit in the middle by area under the curve (control) held likewise."
        ),
        panels: vec![Panel {
            x: Axis::categories("held while writing", conditions),
            y: Axis::linear("texts judged positive (%)").range(0.0, 100.0),
            series: series.collect(),
            references: vec![Reference::horizontal("half", 50.0)],
            ..Panel::default()
        }],
        columns: 1,
    }
}
