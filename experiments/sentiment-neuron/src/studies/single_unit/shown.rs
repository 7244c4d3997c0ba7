//! Test texts with the unit's value after each byte: what the heat-map shows.

use std::ops::RangeInclusive;
use std::path::Path;

use common::data::text::labelled::LabelledSet;
use common::nn::mlstm::FixedMlstm;
use common::rows::{read_rows, write_rows};
use ledger::plot::Coloured;
use serde::{Deserialize, Serialize};

use crate::features::prepared;
use crate::heatmap;
use crate::model::Neuron;
use crate::single::Prediction;
use crate::weights::ChosenUnit;

/// The file of the unit's way through some test texts.
const HEATMAP: &str = "heatmap.csv.gz";
/// Test texts of each class in it: the first that are neither short nor long.
const SHOWN: usize = 3;
/// Bytes of such a text.
const SHOWN_BYTES: RangeInclusive<usize> = 80..=240;

/// A byte of a shown text and the unit's value after it.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Shown {
    /// The text, by its place in the set.
    index: usize,
    label: bool,
    byte: u8,
    /// As a colour takes it, from -1 to 1.
    value: f64,
}

/// The unit's way through the first test texts of each class that are neither short nor long; how well it does on them
/// plays no part.
pub(super) fn write(
    folder: &Path,
    neuron: &Neuron,
    unit: &ChosenUnit,
    set: &LabelledSet,
    predictions: &[Prediction],
) -> anyhow::Result<()> {
    let net = FixedMlstm::new(&neuron.net);
    let mut rows = Vec::new();
    for wanted in [true, false] {
        let of_class = predictions.iter().filter(|p| p.label == wanted);
        let texts = of_class.map(|p| (p.index, prepared(&set.texts[p.index])));
        let texts = texts.filter(|(_, bytes)| SHOWN_BYTES.contains(&bytes.len()));
        for (index, bytes) in texts.take(SHOWN) {
            let values = heatmap::of_chosen(&net, unit, &bytes);
            rows.extend(bytes.iter().zip(values).map(|(&byte, value)| Shown {
                index,
                label: wanted,
                byte,
                value: (value * 1e4).round() / 1e4,
            }));
        }
    }
    write_rows(&folder.join(HEATMAP), &rows)
}

/// The texts that a run's folder shows, with their labels.
pub(super) fn read(folder: &Path) -> anyhow::Result<Vec<(bool, Coloured)>> {
    let rows: Vec<Shown> = read_rows(&folder.join(HEATMAP))?;
    let texts = rows.chunk_by(|a, b| a.index == b.index).map(|text| {
        let (bytes, values): (Vec<u8>, Vec<f64>) =
            text.iter().map(|row| (row.byte, row.value)).unzip();
        (text[0].label, heatmap::coloured(&bytes, &values))
    });
    Ok(texts.collect())
}
