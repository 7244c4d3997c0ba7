//! Figure 2: accuracy against labelled examples.

use ledger::plot::{Axis, Figure, Panel, Reference, Series, Style};

use crate::studies::data_efficiency::{BAG, CNN, CT_LSTM, Curves, PROBE};

/// Mean test accuracy of the probe of each network and of the bag against labelled examples, with the 10th to 90th
/// percentile over draws, as published.
pub(crate) fn draw(set: &str, curves: &[&Curves]) -> Figure {
    let mut widths: Vec<i64> = curves.iter().map(|c| c.model.hidden).collect();
    widths.dedup();
    let line = |c: &Curves, reader: usize| -> Vec<(f64, f64)> {
        c.means(reader).into_iter().map(|(n, acc)| (n, 100.0 * acc)).collect()
    };
    let spread = |c: &Curves, reader: usize| -> Vec<(f64, f64, f64)> {
        let percentiles = |(&n, accs): (&usize, &[Vec<f64>; 2])| {
            let mut sorted = accs[reader].clone();
            sorted.sort_by(f64::total_cmp);
            let at =
                |share: f64| 100.0 * sorted[((sorted.len() - 1) as f64 * share).round() as usize];
            (n as f64, at(0.1), at(0.9))
        };
        c.fits.iter().map(percentiles).collect()
    };
    let probes = curves.iter().map(|c| {
        let slot = widths.iter().position(|&width| width == c.model.hidden).unwrap_or_default();
        Series::new(
            format!("probe on {} units", c.model.hidden),
            Style::LineAndMarkers,
            line(c, PROBE),
        )
        .band(spread(c, PROBE))
        .colour(slot)
    });
    // The bag does not depend on the network.
    let bag = Series::new("bag of 1- and 2-grams", Style::LineAndMarkers, line(curves[0], BAG))
        .band(spread(curves[0], BAG))
        .colour(widths.len());
    let mut references = vec![Reference::horizontal("chance", 50.0)];
    if set == "sst" {
        references.push(Reference::horizontal("published: multichannel CNN, all labels", CNN));
        references.push(Reference::horizontal("published: CT-LSTM ensemble, all labels", CT_LSTM));
    }
    let draws = curves[0].fits.values().map(|accs| accs[PROBE].len()).max().unwrap_or_default();
    Figure {
        title: format!("Figure 2: labels that readers need on {set}"),
        caption: format!(
            "Test accuracy on {set} of L1 logistic regression on all units and of L2 logistic regression on a bag of 1- \
             and 2-grams, against the number of labelled examples they were fitted on: mean and 10th to 90th percentile \
             over {draws} random subsets; the last point is the whole training part."
        ),
        panels: vec![Panel {
            x: Axis::log("labelled examples"),
            y: Axis::linear("test accuracy (%)").range(45.0, 95.0),
            series: probes.chain([bag]).collect(),
            references,
            ..Panel::default()
        }],
        columns: 1,
    }
}
