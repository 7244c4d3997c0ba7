//! The loss that was predicted, and the run.

use ledger::plot::{Axis, Figure, Panel, Reference, Series, Style};

use super::between;
use crate::fit::Form;
use crate::frontier::ends;
use crate::studies::loss_vs_compute::PF_DAY;
use crate::studies::predict_ahead::{Outcome, Prediction};

/// Small runs against compute, the law of compute up to the large run, both predictions and the run.
pub(crate) fn prediction(outcome: &Outcome, laws: &[Prediction]) -> Figure {
    let compute = |flops: f64| flops / PF_DAY;
    let at = compute(outcome.row.flops);
    let small: Vec<(f64, f64)> =
        outcome.small.iter().map(|row| (compute(row.flops), row.loss)).collect();
    let (low, _) = ends(small.iter().map(|p| p.0));
    let mut series = vec![Series::new("small runs", Style::Markers, small)];
    for law in laws.iter().filter(|law| law.best.form == Form::Power) {
        let curve = between(low, at).into_iter().map(|x| (x, law.best.loss(x, 1.0))).collect();
        let label = format!("a·Cᵇ + c fitted to {} runs", law.points.len());
        series.push(Series::new(label, Style::Line, curve));
    }
    // Beside each other, so that both intervals are seen.
    for (prediction, aside) in outcome.predicted.iter().zip([0.85, 1.2]) {
        let power = prediction.form == Form::Power.name();
        let label = if power { "predicted by a·Cᵇ + c" } else { "predicted by L(N, D)" };
        let [low, high] = prediction.interval;
        let point = vec![(at * aside, prediction.loss)];
        let series_of = Series::new(label, Style::Intervals, point);
        series.push(series_of.band(vec![(at * aside, low, high)]));
    }
    series.push(Series::new("the large run", Style::Markers, vec![(at, outcome.row.loss)]));
    Figure {
        title: format!("Predicted before the run: {} on {}", outcome.row.variant, outcome.data),
        caption: format!(
            "Test loss against training compute: {} small runs, the laws fitted to them, what they \
             said of the large run before it began, with 95 % intervals, and its loss.",
            outcome.small.len()
        ),
        panels: vec![Panel {
            x: Axis::log("compute (PF-days)"),
            y: Axis::linear("loss (nats per token)"),
            series,
            references: vec![Reference::horizontal("its loss", outcome.row.loss)],
            ..Panel::default()
        }],
        columns: 1,
    }
}
