//! `generate`: the network writes on.

use std::io::{ErrorKind, Write as _};

use anyhow::ensure;
use common::cli::print;
use common::nn::mlstm::FixedMlstm;

use super::Weights;
use crate::generate::{Settings, Writer};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    weights: Weights,
    /// What the text begins with
    #[arg(long, default_value = "")]
    prefix: String,
    /// Bytes to write
    #[arg(long, default_value_t = 400)]
    bytes: usize,
    /// Below 1 plainer, above 1 wilder; 0 always takes the likeliest byte
    #[arg(long, default_value_t = 1.0)]
    temperature: f64,
    /// The draw
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Hold a unit's cell at a value after each byte; may be given more than once
    #[arg(long, value_name = "UNIT=VALUE", value_parser = clamp, conflicts_with = "sentiment")]
    clamp: Vec<(usize, f32)>,
    /// Hold the sentiment unit so many deviations on its positive side; below zero on its negative
    #[arg(long, value_name = "DEVIATIONS", allow_negative_numbers = true)]
    sentiment: Option<f64>,
}

fn clamp(text: &str) -> Result<(usize, f32), String> {
    let wanted = || format!("found {text}, wanted UNIT=VALUE such as 12=1.5");
    let (unit, value) = text.split_once('=').ok_or_else(wanted)?;
    let value: f32 = value.parse().map_err(|_| wanted())?;
    if !value.is_finite() {
        return Err(wanted());
    }
    Ok((unit.parse().map_err(|_| wanted())?, value))
}

pub(super) fn generate(args: &Args) -> anyhow::Result<()> {
    ensure!(
        args.temperature >= 0.0 && args.temperature.is_finite(),
        "--temperature {}: found that, wanted 0 or more",
        args.temperature
    );
    let loaded = args.weights.load()?;
    let mut clamps = args.clamp.clone();
    for &(unit, _) in &clamps {
        loaded.check(unit, "--clamp")?;
    }
    if let Some(deviations) = args.sentiment {
        ensure!(
            deviations.is_finite(),
            "--sentiment {deviations}: wanted a number such as 2 or -2"
        );
        let unit = loaded.unit()?;
        clamps.push((unit.index, unit.value(deviations)));
    }
    let net = FixedMlstm::new(&loaded.neuron.net);
    let settings = Settings { temperature: args.temperature, seed: args.seed, clamps };
    print(&args.prefix)?;
    // Bytes and not characters: a character may be cut by where the text ends.
    let mut out = std::io::stdout().lock();
    for byte in Writer::new(&net, &settings, &args.prefix, 0).take(args.bytes) {
        match out.write_all(&[byte]).and_then(|()| out.flush()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()), // as `print`
            other => other?,
        }
    }
    Ok(out.write_all(b"\n")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clamp_is_a_unit_and_a_finite_value() {
        assert_eq!(clamp("12=-1.5"), Ok((12, -1.5)));
        for wrong in ["12", "x=1", "1=x", "1=NaN", "-1=2"] {
            assert!(clamp(wrong).unwrap_err().contains("UNIT=VALUE"), "{wrong}");
        }
    }
}
