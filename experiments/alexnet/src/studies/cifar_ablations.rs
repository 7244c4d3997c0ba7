//! The authors' CIFAR-10 nets with one ingredient taken out: response normalisation (section 3.3) and pools
//! that overlap (section 3.4).
//!
//! The nets behind the paper's 13 and 11 %, and those behind the authors' 19 and 18 %, differ in more than
//! the normalisation. Here a net is set against itself without it, seed by seed: runs of one seed share
//! their first weights, the order of pictures and their views. All pools of a net become disjoint at once;
//! the maps keep their sizes, and so do the layers behind them.
//!
//! Differs: schedules are shortened, to a share that the preset gives.
//!
//! With `k = 1`, as in all these nets, a normalisation passes small activations on as they are, so that
//! taking it out changes nothing when training starts. Activations grow, and then it also makes them
//! smaller. The control has a constant factor in its place: what the normalisation multiplies by on average
//! in the net that was trained with it and the same seed.

use std::collections::BTreeMap;

use anyhow::Context as _;
use common::data::catalog::Catalog;
use common::data::load_images;
use common::preset::PresetError;
use common::session::{Plan, Session};
use ledger::run::RunRecord;
use serde::Deserialize;

use super::Preset;
use super::cifar_nets::{DATASETS, RunConfig, Variant, cost, describe, fits};
use crate::ALEXNET;
use crate::cifar::layers::{Layer, Normalisation, Pooling};
use crate::cifar::nets::Net;
use crate::cifar::train::Config;

mod measure;

pub(crate) use measure::{EFFECTS, errors, gain};
pub use measure::{figures, measure};

/// `[cifar-ablations]` of a preset.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudyPreset {
    /// Seeds, from 0.
    pub seeds: u64,
    /// What share of its schedule each net is trained for, by the name that its variant has in
    /// `[cifar-nets]`; in all else it is trained as that one.
    pub scales: BTreeMap<String, f64>,
}

/// What the name of a run's variant adds to the net's without its normalisations.
const NO_NORM: &str = "-no-norm";
/// With constant factors in their place.
const FACTORS: &str = "-factors";
/// With pools that do not overlap.
const DISJOINT: &str = "-disjoint";

/// Refuses what no run can use, before anything is fetched or started.
fn check(preset: &Preset, name: &str) -> Result<(), PresetError> {
    let refuse = |key: &str, found: String, wanted| {
        let (preset, key) = (name.to_owned(), format!("cifar-ablations.{key}"));
        Err(PresetError::Value { preset, key, found, wanted })
    };
    let StudyPreset { seeds, scales } = &preset.cifar_ablations;
    if *seeds == 0 {
        return refuse("seeds", "0".into(), "a whole number from 1");
    }
    for (net, scale) in scales {
        let variant = preset.cifar_nets.variants.get(net);
        if variant.is_none_or(|variant| norms(variant.net) == 0) {
            let wanted = "variants of cifar-nets whose nets have a normalisation";
            return refuse("scales", net.clone(), wanted);
        }
        if !(*scale > 0.0 && scale.is_finite()) {
            return refuse(&format!("scales.{net}"), scale.to_string(), "a number above 0");
        }
    }
    Ok(())
}

/// How many response normalisations a net has.
fn norms(net: Net) -> usize {
    net.table().layers.iter().filter(|layer| matches!(layer, Layer::Norm(_))).count()
}

/// Makes the runs: all of a seed before any of the next, the cheapest net first.
///
/// # Errors
/// A preset that does not fit, data that cannot be had, a run that fails.
pub fn run(session: &Session) -> anyhow::Result<()> {
    let study = ALEXNET.study("cifar-ablations")?;
    let preset = session.preset::<Preset>()?;
    preset.cifar_nets.check(&session.preset)?;
    check(&preset, &session.preset)?;
    let located = Catalog::builtin().first_available(&DATASETS, &session.lookup)?;
    let splits = load_images(&located, &session.lookup)?;
    let data = &splits.data_name;

    let mut nets = Vec::new();
    for (name, &scale) in &preset.cifar_ablations.scales {
        let variant = Variant { scale, ..preset.cifar_nets.variants[name].clone() };
        let sha256 = splits.sha256.clone();
        let config = preset.cifar_nets.config(&variant, &splits.train, splits.test.n, sha256);
        fits("cifar-ablations", name, data, splits.train.height, config.views)?;
        nets.push((name.as_str(), config));
    }
    nets.sort_by_key(|(_, config)| cost(config, &splits.train));

    let all: Vec<u64> = (0..preset.cifar_ablations.seeds).collect();
    let mut planned = Vec::new();
    for &seed in session.seeds.as_ref().unwrap_or(&all) {
        let plan = |name: &str, change: &str, train: Config| -> anyhow::Result<Plan> {
            let config = serde_json::to_value(RunConfig { copy: None, train })?;
            Ok(Plan { data: data.clone(), variant: format!("{name}{change}"), seed, config })
        };
        let mut plans = Vec::new();
        for (name, with) in &nets {
            let no_norm = Config { normalisation: Normalisation::None, ..with.clone() };
            let disjoint = Config { pooling: Pooling::Disjoint, ..with.clone() };
            plans.push(plan(name, "", with.clone())?);
            plans.push(plan(name, NO_NORM, no_norm)?);
            plans.push(plan(name, DISJOINT, disjoint)?);
        }
        let made = if session.dry_run {
            planned.extend(plans);
            Vec::new()
        } else {
            session.grid(study, plans)?
        };
        let mut controls = Vec::new();
        for (name, with) in &nets {
            let found = made.iter().find(|record| record.key.variant == *name);
            let factor = |i| match found {
                Some(record) => norm_factor(record, i),
                None => Ok(1.0),
            };
            let factors = (1..=norms(with.net)).map(factor).collect::<anyhow::Result<_>>()?;
            let normalisation = Normalisation::Factors(factors);
            controls.push(plan(name, FACTORS, Config { normalisation, ..with.clone() })?);
        }
        if session.dry_run {
            planned.extend(controls);
        } else {
            session.grid(study, controls)?;
        }
    }
    if session.dry_run {
        tracing::info!("the factors are those that the runs with normalisation end with; here 1");
        describe(session, study, &splits.train, &planned)?;
    }
    Ok(())
}

/// What normalisation `i` of a finished run, counted from 1, multiplies by on average.
fn norm_factor(record: &RunRecord, i: usize) -> anyhow::Result<f64> {
    let name = format!("norm{i}/factor");
    let factor = record.metrics.get(&name).copied();
    factor.with_context(|| format!("{}: its record has no {name}", record.key.variant))
}

/// One training, in a process of its own: as of any of these nets.
pub use super::cifar_nets::train;
