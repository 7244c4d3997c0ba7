//! Figure 2: accuracy against the number of labelled examples, of the probe on the finished networks' units and of a
//! bag of n-grams beside it.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use common::experiment::{Drawings, Finished};
use common::session::{Plan, Session};
use common::training_run::{Spec, TrainingRun};
use ledger::claims::Measured;
use ledger::run::write_atomic;
use ledger::stats::{Bound, Estimate, Scale, mean_over_seeds, paired_difference};
use serde::{Deserialize, Serialize};

use super::networks::{Model, load, look, networks, only_row, planned_set, sets};
use crate::efficiency::{Fit, examples_to, fits};
use crate::features::features;
use crate::figures;

/// Its name.
pub const STUDY: &str = "data-efficiency";
/// The published set, and one that every machine can have.
pub const DATASETS: [&str; 2] = ["sst", "rotten-tomatoes"];
/// The file of accuracies in a run's folder.
const FITS: &str = "fits.csv";
/// Test accuracy on SST of the multichannel CNN, in per cent.
///
/// Source: Kim 2014, Convolutional neural networks for sentence classification, Table 2.
pub(crate) const CNN: f64 = 88.1;
/// The same of the ensemble of CT-LSTMs (row `sn-03` of the claims).
pub(crate) const CT_LSTM: f64 = 90.2;

/// `[data-efficiency]` of a preset.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// Labelled sets; the first that can be had is read.
    pub sets: Vec<String>,
    /// Numbers of labelled examples; the whole training part comes last by itself.
    pub examples: Vec<usize>,
    /// Random subsets of each number; published: 100.
    pub draws: u64,
}

/// One run's configuration.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct RunConfig {
    model: Model,
    /// Of the labelled set.
    data_sha256: String,
    examples: Vec<usize>,
    draws: u64,
}

/// Fits the readers of every finished network on few labels.
///
/// # Errors
/// A network that is not trained; a set that cannot be had; a run that fails.
pub fn run(session: &Session) -> anyhow::Result<()> {
    let Preset { sets: names, examples, draws } =
        session.preset::<super::Preset>()?.data_efficiency;
    let fewest = examples.iter().min();
    anyhow::ensure!(
        fewest.is_some_and(|&n| n >= 2) && draws > 0,
        "preset {}: data-efficiency wants at least 2 examples and 1 draw; found examples = {examples:?}, draws = {draws}",
        session.preset
    );
    let sets = sets(session, &names)?;
    let set = &sets[0];
    let mut plans = Vec::new();
    for (model, _) in networks(session)? {
        let (variant, seed) = (model.name(), model.seed);
        let data_sha256 = set.sha256.clone();
        let config = RunConfig { model, data_sha256, examples: examples.clone(), draws };
        let config = serde_json::to_value(config)?;
        plans.push(Plan { data: set.name.clone(), variant, seed, config });
    }
    look(session, STUDY, plans)
}

/// One network, in a process of its own.
///
/// # Errors
/// Data or weights that cannot be read; a file that cannot be written.
pub fn train(spec: &Spec, run: &mut TrainingRun) -> anyhow::Result<BTreeMap<String, f64>> {
    let RunConfig { model, data_sha256, mut examples, draws } = spec.config()?;
    let set = planned_set(spec, &spec.key.data, &data_sha256)?;
    let neuron = load(spec, &model, run)?;
    let features = features(&neuron, &set.texts)?;
    let round = set.rounds().swap_remove(0);
    examples.push(round.train.len());
    let fits = fits(&set, &round, &features, &examples, draws)?;
    write_fits(&run.path().join(FITS), &fits)?;
    let all = fits.iter().max_by_key(|fit| fit.examples).context("all examples were fitted")?;
    let ended = BTreeMap::from([
        ("examples".to_owned(), all.examples as f64),
        ("probe/acc".to_owned(), all.probe),
        ("bag/acc".to_owned(), all.bag),
    ]);
    only_row(run, ended)
}

fn write_fits(path: &Path, fits: &[Fit]) -> anyhow::Result<()> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    csv.write_record(["draw", "examples", "probe", "bag"])?;
    for Fit { draw, examples, probe, bag } in fits {
        csv.write_record([
            draw.to_string(),
            examples.to_string(),
            format!("{probe:.6}"),
            format!("{bag:.6}"),
        ])?;
    }
    Ok(write_atomic(path, &csv.into_inner()?)?)
}

fn read_fits(path: &Path) -> anyhow::Result<Vec<Fit>> {
    let rows = csv::Reader::from_path(path)?.into_deserialize::<(u64, usize, f64, f64)>();
    rows.map(|row| {
        let (draw, examples, probe, bag) = row?;
        Ok(Fit { draw, examples, probe, bag })
    })
    .collect()
}

/// The readers' places in [`Curves::fits`].
pub(crate) const PROBE: usize = 0;
pub(crate) const BAG: usize = 1;

/// A finished network's fits.
#[derive(Debug)]
pub(crate) struct Curves {
    pub(crate) set: String,
    pub(crate) model: Model,
    /// By labelled examples: accuracies of [`PROBE`] and [`BAG`], fractions, in the order of draws.
    pub(crate) fits: BTreeMap<usize, [Vec<f64>; 2]>,
}

impl Curves {
    /// Mean accuracies `(examples, fraction)` of a reader.
    pub(crate) fn means(&self, reader: usize) -> Vec<(f64, f64)> {
        let mean = |xs: &[f64]| xs.iter().sum::<f64>() / xs.len() as f64;
        self.fits.iter().map(|(&n, accs)| (n as f64, mean(&accs[reader]))).collect()
    }
}

fn curves(finished: &Finished) -> anyhow::Result<Vec<Curves>> {
    let mut all = Vec::new();
    for (folder, record) in &finished.runs {
        let RunConfig { model, .. } = RunConfig::deserialize(&record.config)?;
        let mut fits: BTreeMap<usize, [Vec<f64>; 2]> = BTreeMap::new();
        for Fit { examples, probe, bag, .. } in read_fits(&folder.join(FITS))? {
            let accs = fits.entry(examples).or_default();
            accs[PROBE].push(probe);
            accs[BAG].push(bag);
        }
        all.push(Curves { set: record.key.data.clone(), model, fits });
    }
    all.sort_by_key(|c| (c.set.clone(), c.model.hidden, c.model.seed));
    Ok(all)
}

/// The labels that the widest network's probe needs for a published accuracy and for that of the bag with all labels,
/// and its lead over the bag at each number of labels.
///
/// # Errors
/// Files that cannot be read.
pub fn measure(finished: &Finished) -> anyhow::Result<Vec<Measured>> {
    let curves = curves(finished)?;
    let mut rows = Vec::new();
    for set in DATASETS {
        let of_set = curves.iter().filter(|c| c.set == set);
        let Some(widest) = of_set.clone().map(|c| c.model.hidden).max() else { continue };
        let of_set: Vec<&Curves> = of_set.filter(|c| c.model.hidden == widest).collect();
        let mut row = |id: &str, estimate| rows.push(finished.measured(id, set, estimate));
        if set == "sst" {
            row("sn-04", needed(&of_set, |_| CNN / 100.0, |examples, _| examples)?);
            row("sn-05", needed(&of_set, |_| CT_LSTM / 100.0, |examples, _| examples)?);
            let bag_at_end = |c: &Curves| c.means(BAG).last().map_or(1.0, |&(_, acc)| acc);
            // Fewer labels are more times fewer: what was a lower bound of one is an upper bound of the other.
            let fewer = needed(&of_set, bag_at_end, |examples, all| all / examples)?;
            let turned = if fewer.bound == Bound::AtLeast { Bound::AtMost } else { fewer.bound };
            row("sn-06", Estimate { bound: turned, ..fewer });
        }
        // At a number of labels, pairs are draws: of all seeds of the network together.
        for (&examples, accs) in of_set[0].fits.iter().filter(|(_, accs)| accs[PROBE].len() > 1) {
            let percent = |reader: usize| -> Vec<f64> {
                let of_seed = of_set.iter().flat_map(|c| &c.fits[&examples][reader]);
                of_seed.map(|acc| 100.0 * acc).collect()
            };
            let (probe, bag) = (percent(PROBE), percent(BAG));
            let first = &accs[PROBE];
            let lead = paired_difference(&probe, &bag)?;
            let lead = Estimate { n_seeds: of_set.len(), n: of_set.len() * first.len(), ..lead };
            if LEADS.contains(&examples) {
                row(&format!("probe-minus-bag-{set}-{examples}"), lead);
            }
        }
    }
    Ok(rows)
}

/// Numbers of labels at which the lead is a row of the claims.
const LEADS: [usize; 3] = [10, 100, 1000];

/// What `value(examples to the target, all examples)` is over seeds. Where the probe never gets to the target in some
/// seed, all examples stand for that seed, and the estimate is a bound.
fn needed(
    curves: &[&Curves],
    target: impl Fn(&Curves) -> f64,
    value: impl Fn(f64, f64) -> f64,
) -> anyhow::Result<Estimate> {
    let mut bound = Bound::Exact;
    let mut values = Vec::new();
    for c in curves {
        let probe = c.means(PROBE);
        let all = probe.last().map_or(0.0, |&(examples, _)| examples);
        let examples = examples_to(&probe, target(c)).unwrap_or_else(|| {
            bound = Bound::AtLeast;
            all
        });
        values.push(value(examples, all));
    }
    Ok(Estimate { bound, ..mean_over_seeds(&values, Scale::Log)? })
}

/// Figure 2, for each set.
///
/// # Errors
/// Files that cannot be read.
pub fn figures(finished: &Finished) -> anyhow::Result<Drawings> {
    let curves = curves(finished)?;
    let mut drawings = Vec::new();
    for set in DATASETS {
        let of_set: Vec<&Curves> = curves.iter().filter(|c| c.set == set).collect();
        if !of_set.is_empty() {
            drawings
                .push((format!("figure-2-{set}"), figures::data_efficiency::draw(set, &of_set)));
        }
    }
    Ok(drawings)
}
