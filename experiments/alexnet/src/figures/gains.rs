//! What ingredients gain, beside what was published of them.

use ledger::plot::{Axis, Panel, Reference, Series, Style};
use ledger::stats::Estimate;

use super::GAP;

/// A gain, in points of test error.
#[derive(Debug)]
pub(crate) struct Gain {
    /// Its name on the axis.
    pub(crate) label: &'static str,
    /// Ours.
    pub(crate) estimate: Estimate,
    /// The published one.
    pub(crate) published: Option<f64>,
}

/// Each gain with its interval; dashed the published ones.
pub(crate) fn panel(gains: &[Gain]) -> Panel {
    let (mut points, mut band, mut lines) = (Vec::new(), Vec::new(), Vec::new());
    for (i, Gain { estimate, published, .. }) in gains.iter().enumerate() {
        let x = i as f64;
        points.push((x, estimate.value));
        band.extend(estimate.low.zip(estimate.high).map(|(low, high)| (x, low, high)));
        if let Some(value) = *published {
            lines.extend([(x - 0.35, value), (x + 0.35, value), GAP]);
        }
    }
    let mut references = vec![Reference::horizontal("no gain", 0.0)];
    if !lines.is_empty() {
        references.push(Reference::curve("published", lines).colour(1));
    }
    let series = Series::new("gain, 95 % interval", Style::Intervals, points).band(band);
    Panel {
        title: "gain".into(),
        x: Axis::categories("", gains.iter().map(|gain| gain.label)),
        y: Axis::linear("points of test error won"),
        series: vec![series.colour(2)],
        references,
        ..Panel::default()
    }
}
