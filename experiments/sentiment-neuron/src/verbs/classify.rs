//! `classify`: positive or negative, by the sentiment unit.

use common::cli::print;
use serde_json::json;

use super::{Weights, lossy, stdin};
use crate::features::features;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    weights: Weights,
    /// Texts; without any, the lines of stdin
    texts: Vec<String>,
    /// Print one JSON object a text
    #[arg(long)]
    json: bool,
}

/// Prints label and score of each text; scores are deviations from the threshold.
pub(super) fn classify(args: &Args) -> anyhow::Result<()> {
    let loaded = args.weights.load()?;
    let unit = loaded.unit()?;
    let mut texts = args.texts.clone();
    if texts.is_empty() {
        texts = lossy(&stdin()?).lines().map(str::to_owned).collect();
    }
    if texts.is_empty() {
        return Ok(()); // no lines, no answers
    }
    let values = features(&loaded.neuron, &texts)?.column(unit.index);
    let scale = unit.scale();
    for (score, text) in unit.threshold.scores(&values).into_iter().zip(&texts) {
        let label = if score > 0.0 { "positive" } else { "negative" };
        let score = score / scale;
        let line = if args.json {
            json!({"label": label, "score": score, "text": text}).to_string()
        } else {
            format!("{label}\t{score:+.2}\t{text}")
        };
        print(&(line + "\n"))?;
    }
    Ok(())
}
