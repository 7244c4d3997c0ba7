//! Test error against the number of networks averaged.

use ledger::metrics::{self, Metrics};
use ledger::plot::{Axis, Figure, Panel, Series, Style};

/// Errors of the first k networks averaged, and of each alone.
pub(crate) fn figure(data: &str, rows: &Metrics) -> Result<Figure, metrics::Error> {
    let points = |column: &str| -> Result<Vec<(f64, f64)>, metrics::Error> {
        let errors = rows.column(column)?.into_iter().map(|(_, error)| 100.0 * error);
        Ok(errors.enumerate().map(|(k, error)| (k as f64, error)).collect())
    };
    let n = rows.column("networks")?.len();
    let ks = || (1..=n).map(|k| k.to_string());
    let mut panels = Vec::new();
    for (title, single, averaged) in [
        ("top-1", "single/top1_error", "averaged/top1_error"),
        ("top-5", "single/top5_error", "averaged/top5_error"),
    ] {
        let alone = Series::new("one network", Style::Markers, points(single)?).colour(0);
        let together = Series::new("the first k averaged", Style::Line, points(averaged)?);
        panels.push(Panel {
            title: title.into(),
            x: Axis::categories("networks, k", ks()),
            y: Axis::linear("test error (%)"),
            series: vec![alone, together.colour(1)],
            ..Panel::default()
        });
    }
    Ok(Figure {
        title: format!("Table 2: {n} networks averaged, on {data}"),
        caption: format!(
            "Test error on {data}, mean of ten views, of {n} networks that differ in their seed, each alone, \
             and of the first k of them with their probabilities averaged. One set of networks."
        ),
        columns: panels.len(),
        panels,
    })
}
