//! Figure 3: the single unit.

use ledger::plot::{Axis, ColouredTexts, Figure, Panel, Reference, Series, Style};

use crate::studies::single_unit::Singled;

/// Bars of the histogram.
const BINS: usize = 40;

/// The unit's values on the test texts by class, and the sizes of all units' weights in the probe.
pub(crate) fn draw(singled: &Singled) -> Figure {
    let (set, hidden) = (&singled.set, singled.model.hidden);
    Figure {
        title: format!("Figure 3: the probe's largest of {hidden} units on {set}"),
        caption: format!(
            "Left: histogram of the final cell value, on the test texts of {set} by class, of the unit with the largest \
             weight in an L1 probe of {hidden} units, as distance from its threshold; unit and threshold come from the \
             training part, the outer hundredths are left out. Right: the size of each unit's weight in that probe, \
             sorted; units with weight zero are left out."
        ),
        panels: vec![histogram(singled), weights(singled)],
        columns: 2,
    }
}

/// Test texts on the colours of the unit.
pub(crate) fn heatmap(singled: &Singled) -> Figure {
    let panel = |title: &str, label| {
        let of_class = singled.shown.iter().filter(|(of, _)| *of == label);
        let texts = of_class.map(|(_, text)| text.clone()).collect();
        let coloured = Some(ColouredTexts { texts });
        Panel { title: title.into(), coloured, ..Panel::default() }
    };
    let (set, hidden) = (&singled.set, singled.model.hidden);
    Figure {
        title: format!("What the sentiment unit of {hidden} says of texts of {set}"),
        caption: format!(
            "The first test texts of {set} of either class that are neither short nor long, each character on the colour of \
             the unit's value after it: green on the positive side of the threshold, red on the negative, full at two \
             deviations over the training texts."
        ),
        panels: vec![panel("labelled positive", true), panel("labelled negative", false)],
        columns: 2,
    }
}

fn histogram(singled: &Singled) -> Panel {
    let mut all: Vec<f64> = singled.predictions.iter().map(|p| p.unit).collect();
    all.sort_by(f64::total_cmp);
    // Without the outermost hundredths, which would squeeze the rest.
    let at = |share: f64| all[((all.len() - 1) as f64 * share) as usize];
    let (low, high) = (at(0.01), at(0.99).max(at(0.01) + 1e-6));
    let bars = |label: bool| -> Vec<(f64, f64)> {
        let mut counts = [0.0; BINS];
        let of_class = singled.predictions.iter().filter(|p| p.label == label).map(|p| p.unit);
        for x in of_class.filter(|x| (low..high).contains(x)) {
            counts[(((x - low) / (high - low)) * BINS as f64) as usize] += 1.0;
        }
        let left = |bin: usize| low + (high - low) * bin as f64 / BINS as f64;
        let bins = counts.iter().enumerate().map(|(bin, &n)| (left(bin), n));
        bins.chain([(high, 0.0)]).collect()
    };
    Panel {
        title: "the unit on test texts".into(),
        x: Axis::linear("cell value beyond the threshold"),
        y: Axis::linear("texts"),
        series: vec![
            Series::new("positive", Style::Histogram, bars(true)).colour(0),
            Series::new("negative", Style::Histogram, bars(false)).colour(1),
        ],
        references: vec![Reference::vertical("threshold", 0.0)],
        ..Panel::default()
    }
}

fn weights(singled: &Singled) -> Panel {
    let mut sizes: Vec<f64> =
        singled.weights.iter().map(|weight| weight.abs()).filter(|&size| size > 0.0).collect();
    sizes.sort_by(|a, b| b.total_cmp(a));
    let points = sizes.into_iter().zip(1..).map(|(size, place)| (f64::from(place), size)).collect();
    Panel {
        title: "weights of the probe".into(),
        x: Axis::log("place of the unit"),
        y: Axis::linear("size of its weight"),
        series: vec![Series::new("units", Style::LineAndMarkers, points).colour(2)],
        ..Panel::default()
    }
}
