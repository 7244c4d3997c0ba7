//! What the network is made of.

use ledger::plot::{Axis, Figure, Panel, Series, Style};

use crate::network::Layer;

/// Parameters and multiply-adds of each layer, a mark for each of `nets`. On a linear axis the convolutions'
/// parameters could not be seen.
pub(crate) fn figure(nets: &[(String, Vec<Layer>)]) -> Figure {
    let names = ["conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8"];
    let panel = |title: &str, axis: &str, count: fn(&Layer) -> i64| Panel {
        title: title.into(),
        x: Axis::categories("", names),
        y: Axis::log(axis),
        series: nets
            .iter()
            .enumerate()
            .map(|(slot, (net, layers))| {
                let at = |layer: &Layer| names.iter().position(|name| *name == layer.name);
                let points = layers
                    .iter()
                    .filter_map(|layer| Some((at(layer)? as f64, count(layer) as f64)))
                    .collect();
                Series::new(net, Style::Markers, points).colour(slot)
            })
            .collect(),
        ..Panel::default()
    };
    let total = |count: fn(&Layer) -> i64| -> Vec<String> {
        nets.iter()
            .map(|(net, layers)| format!("{net} {}", layers.iter().map(count).sum::<i64>()))
            .collect()
    };
    Figure {
        title: "Where AlexNet keeps its parameters and spends its time".into(),
        caption: format!(
            "Parameters and multiply-adds of one picture by layer, counted. Parameters: {}. Multiply-adds: {}.",
            total(Layer::parameters).join(", "),
            total(Layer::multiply_adds).join(", ")
        ),
        panels: vec![
            panel("parameters", "parameters", Layer::parameters),
            panel("multiply-adds", "multiply-adds of a picture", Layer::multiply_adds),
        ],
        columns: 2,
    }
}
