//! Ours: does one unit find the only thing that reaches further than a word in a made-up language?
//!
//! The mechanism of the publication where two cores reach it in minutes. A small network learns documents of
//! [`crate::mood`] byte by byte; then its units are read at the ends of documents it has never seen, of which the
//! mood is known. The unit is chosen on one half of these and judged on the other. The control is the same language
//! without a mood: what a search over as many units finds by chance.

use std::collections::BTreeMap;
use std::sync::Arc;

use common::data::lookup::Lookup;
use common::data::text::shards::Shards;
use common::experiment::{Drawings, Finished};
use common::linear::features::Features;
use common::linear::metrics::{accuracy, auc};
use common::linear::threshold::Threshold;
use common::session::{Plan, Session};
use common::training_run::{Spec, TrainingRun};
use ledger::claims::Measured;
use ledger::run::{RunError, write_atomic};
use ledger::stats::{Scale, mean_over_seeds};
use serde::{Deserialize, Serialize};

use super::{Training, describe, stations_of};
use crate::SENTIMENT_NEURON;
use crate::features::features;
use crate::figures;
use crate::model::Neuron;
use crate::mood::{Language, document};
use crate::readout::{areas, median};
use crate::train::{Config, station};

/// Its name.
pub const STUDY: &str = "hidden-mood";
/// What stands for the data in paths: the texts are made here.
const DATA: &str = "made-up-language";
/// Raised when the language changes.
const LANGUAGE_VERSION: u32 = 1;
/// Documents that units are read at are numbered from here on.
const HELD_OUT_FROM: u64 = 1 << 32;
/// The file of units in a run's folder.
const UNITS: &str = "units.csv";

/// `[hidden-mood]` of a preset.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// Seeds, from 0.
    pub seeds: u64,
    /// Documents to learn from.
    pub documents: u64,
    /// Training shards that they are cut into.
    pub shards: usize,
    /// Documents that units are chosen on, and as many that they are judged on.
    pub held_out: u64,
    /// The network.
    pub model: Training,
}

/// One run's configuration.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct RunConfig {
    language: Language,
    documents: u64,
    shards: usize,
    held_out: u64,
    #[serde(flatten)]
    train: Config,
}

/// The documents of a language, in shards.
fn shards(language: Language, documents: u64, n: usize, lookup: &Lookup) -> anyhow::Result<Shards> {
    let key = format!("{LANGUAGE_VERSION} {language:?} {documents}");
    let folder = lookup.cache_for(DATA);
    Ok(Shards::open_or_make(&folder, &key, n, &lookup.memory(), |sharder| {
        (0..documents).try_for_each(|i| sharder.review(document(language, i).text.as_bytes()))
    })?)
}

/// Trains the network on both languages and reads its units.
///
/// # Errors
/// A preset that does not fit, a run that fails.
pub fn run(session: &Session) -> anyhow::Result<()> {
    let study = SENTIMENT_NEURON.study(STUDY)?;
    let preset = session.preset::<super::Preset>()?.hidden_mood;
    let seeds = session.seeds_or(preset.seeds);
    let mut plans = Vec::new();
    for language in [Language::Mood, Language::Control] {
        let Preset { documents, shards: n, held_out, .. } = preset;
        let text = shards(language, documents, n, &session.lookup)?;
        let train = preset.model.config(&session.preset, "hidden-mood.model", &text.sha256)?;
        for &seed in &seeds {
            let config =
                RunConfig { language, documents, shards: n, held_out, train: train.clone() };
            let config = serde_json::to_value(config)?;
            let variant = name(language).to_owned();
            plans.push((Plan { data: DATA.to_owned(), variant, seed, config }, train.clone()));
        }
    }
    if session.dry_run {
        return describe(session, study, &plans);
    }
    session.grid(study, plans.into_iter().map(|(plan, _)| plan).collect())?;
    Ok(())
}

fn name(language: Language) -> &'static str {
    match language {
        Language::Mood => "mood",
        Language::Control => "control",
    }
}

/// One training and the reading of its units, in a process of its own.
///
/// # Errors
/// What the training says; a file that cannot be written.
pub fn train(spec: &Spec, run: &mut TrainingRun) -> anyhow::Result<BTreeMap<String, f64>> {
    let RunConfig { language, documents, shards: n, held_out, train } = spec.config()?;
    let text = Arc::new(shards(language, documents, n, &spec.lookup)?);
    anyhow::ensure!(
        text.sha256 == train.data_sha256,
        "the made-up language changed since the run was planned"
    );
    let folder = stations_of(spec);
    let mut ended = crate::train::train(spec.key.seed, &train, &text, &folder, run)?;

    let neuron = Neuron::read(&station(&folder, train.updates), run.device())?;
    let read = |from: u64| -> anyhow::Result<(Features, Vec<bool>, Vec<f64>)> {
        let documents: Vec<_> =
            (0..held_out).map(|i| document(language, HELD_OUT_FROM + from + i)).collect();
        let texts: Vec<&str> = documents.iter().map(|d| d.text.as_str()).collect();
        let labels = documents.iter().map(|d| d.bright).collect();
        let balances = documents.iter().map(|d| f64::from(d.balance)).collect();
        Ok((features(&neuron, &texts)?, labels, balances))
    };
    let (choose, choose_ys, _) = read(0)?;
    let (judge, judge_ys, balances) = read(held_out)?;
    let chosen_areas = areas(&choose, &choose_ys);
    let best = (0..choose.d())
        .max_by(|&a, &b| chosen_areas[a].total_cmp(&chosen_areas[b]))
        .unwrap_or_default();
    let threshold = Threshold::fit(&choose.column(best), &choose_ys)?;
    let scores = threshold.scores(&judge.column(best));
    let judged_areas = areas(&judge, &judge_ys);
    let mut csv = csv::Writer::from_writer(Vec::new());
    csv.write_record(["unit", "area_chosen_on", "area_judged_on"])?;
    for (unit, (a, b)) in chosen_areas.iter().zip(&judged_areas).enumerate() {
        csv.write_record([unit.to_string(), a.to_string(), b.to_string()])?;
    }
    write_atomic(&run.path().join(UNITS), &csv.into_inner()?)?;
    for (key, value) in [
        ("unit", best as f64),
        ("unit/acc", accuracy(&scores, &judge_ys)),
        ("unit/auc", auc(&scores, &judge_ys)),
        ("median_unit/auc", median(&judged_areas)),
        // Who counts the mood words knows all there is to know.
        ("counting/auc", auc(&balances, &judge_ys)),
    ] {
        ended.insert(key.to_owned(), value);
    }
    Ok(ended)
}

/// The chosen unit's area under the curve in both languages, and the bits that remembering the mood saves.
///
/// # Errors
/// Files that cannot be read.
pub fn measure(finished: &Finished) -> anyhow::Result<Vec<Measured>> {
    let of = |language, metric| -> Result<Vec<f64>, RunError> {
        let runs = finished.runs.iter().filter(|(_, record)| record.key.variant == name(language));
        runs.map(|(_, record)| record.ended_with(metric)).collect()
    };
    let mut rows = Vec::new();
    for (id, language, metric) in [
        ("hidden-mood-unit", Language::Mood, "unit/auc"),
        ("hidden-mood-median-unit", Language::Mood, "median_unit/auc"),
        ("hidden-mood-counting", Language::Mood, "counting/auc"),
        ("hidden-mood-control", Language::Control, "unit/auc"),
    ] {
        let values = of(language, metric)?;
        if !values.is_empty() {
            let estimate = mean_over_seeds(&values, Scale::Natural)?;
            rows.push(finished.measured(id, DATA, estimate));
        }
    }
    Ok(rows)
}

/// All units' areas under the curve, sorted, in both languages.
///
/// # Errors
/// Files that cannot be read.
pub fn figures(finished: &Finished) -> anyhow::Result<Drawings> {
    let mut areas: BTreeMap<(String, u64), Vec<f64>> = BTreeMap::new();
    for (folder, record) in &finished.runs {
        let mut csv = csv::Reader::from_path(folder.join(UNITS))?;
        let mut of_run = Vec::new();
        for row in csv.deserialize::<(usize, f64, f64)>() {
            of_run.push(row?.2);
        }
        areas.insert((record.key.variant.clone(), record.key.seed), of_run);
    }
    Ok(vec![("units".to_owned(), figures::mood_units(&areas))])
}
