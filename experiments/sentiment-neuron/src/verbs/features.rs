//! `features`: cell and hidden state at the end of a text.

use common::cli::print;
use common::nn::mlstm::FixedMlstm;
use serde_json::json;

use super::{Text, Weights, lossy};
use crate::features::prepared;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    weights: Weights,
    #[command(flatten)]
    text: Text,
    /// Read exactly these bytes: no cleaning, no prefix, no suffix
    #[arg(long)]
    raw: bool,
    /// Print one JSON object with `cell` and `hidden`
    #[arg(long)]
    json: bool,
}

pub(super) fn print_features(args: &Args) -> anyhow::Result<()> {
    let bytes = args.text.read()?;
    let bytes = if args.raw { bytes } else { prepared(&lossy(&bytes)) };
    let net = FixedMlstm::new(&args.weights.load()?.neuron.net);
    let mut state = net.start();
    for byte in bytes {
        net.step(&mut state, usize::from(byte));
    }
    if args.json {
        return Ok(print(&format!("{}\n", json!({"cell": state.c, "hidden": state.h})))?);
    }
    let lines = state.c.iter().zip(&state.h).enumerate();
    let lines: Vec<String> = lines.map(|(unit, (c, h))| format!("{unit}\t{c}\t{h}\n")).collect();
    Ok(print(&("unit\tcell\thidden\n".to_owned() + &lines.concat()))?)
}
