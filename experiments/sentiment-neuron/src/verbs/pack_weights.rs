//! `pack-weights`: a network and its sentiment unit, in a folder that the other verbs take.

use std::path::PathBuf;

use common::cli::Places;
use common::data::catalog::Catalog;
use common::data::text::labelled;

use super::Weights;
use crate::single::choose_unit;
use crate::weights::{Card, packed, write};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    weights: Weights,
    /// The labelled set whose training part chooses the unit
    #[arg(long, default_value = "sst")]
    set: String,
    /// The folder to make
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    #[command(flatten)]
    places: Places,
}

/// The unit is chosen as the study `single-unit` does it, and the weights are packed as it packs them.
pub(super) fn pack_weights(args: &Args) -> anyhow::Result<()> {
    let loaded = args.weights.load()?;
    let set = labelled::read(&Catalog::builtin().locate(&args.set, &args.places.lookup()?)?)?;
    let (unit, ..) = choose_unit(&loaded.neuron, &set)?;
    tracing::info!(
        "unit {} alone is right on {:.1} % of {}'s training part",
        unit.index,
        100.0 * unit.train_acc,
        args.set
    );
    let (tensors, _) = packed(&loaded.neuron);
    let origin = loaded.path.display().to_string();
    let path = write(&args.to, &tensors, Card::new(origin, None, unit))?;
    tracing::info!("written: {}", path.display());
    Ok(())
}
