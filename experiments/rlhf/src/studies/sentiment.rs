//! Ziegler et al. 2019, section 3.1: go on from a sentence's beginning so that it is positive; the reward is learned from
//! human judgements. Reward against divergence for several penalties, and against best-of-n sampling.

use std::collections::BTreeMap;
use std::path::PathBuf;

use common::experiment::{Drawings, Finished};
use common::rows::read_rows;
use common::session::Session;
use common::training_run::METRICS;
use ledger::claims::Measured;
use ledger::metrics;
use ledger::run::RunRecord;
use ledger::stats::{Scale, mean_over_seeds, paired_difference};
use serde::Deserialize as _;

use super::pipeline::{Pipeline, make};
use super::{by_seed, data_of, paired};
use crate::figures;
use crate::policy::ValueNet;
use crate::ppo::kl::{KlConfig, kl_best_of};
use crate::stages::best_of::curve;
use crate::stages::{BEST_OF, BestOfRow, Kind, RunConfig, SAMPLES, Sampling};
use crate::train_policy::{Config, Sample};

/// Its name.
pub const STUDY: &str = "sentiment";
/// What it learns from.
pub const DATASETS: [&str; 1] = ["human-sentiment"];
/// The variant with the preset's own penalty: what the published numbers stand beside.
const ADAPTIVE: &str = "adaptive";
const SEPARATE: &str = "separate-value";

/// Makes every run that is not done yet.
///
/// # Errors
/// A base or data that cannot be had; a run that fails.
pub fn run(session: &Session) -> anyhow::Result<()> {
    let pipeline = Pipeline::open(session)?;
    let texts = pipeline.style_texts()?;
    let start = pipeline.finetuned(&texts)?;
    let preset = &pipeline.preset.sentiment;
    let seeds = pipeline.session().seeds_or(preset.seeds);
    let rewards = pipeline.rewards(&texts, &start, &seeds)?;
    let judge = pipeline.judge(&texts, &start)?;
    let mut all = Vec::new();
    for (seed, reward) in seeds.iter().zip(&rewards) {
        let policy = |train: Config, publish: bool| Kind::Policy {
            task: pipeline.preset.sft.task.clone(),
            reward: reward.clone(),
            gold: Some(judge.clone()),
            books: None,
            train,
            publish,
        };
        let mut add = |variant: &str, kind: Kind| {
            all.push(pipeline.wanted(&texts, variant, *seed, &start, kind));
        };
        add(ADAPTIVE, policy(preset.train.clone(), preset.publish && *seed == 0));
        for &coefficient in &preset.coefficients {
            let kl = KlConfig { coefficient, adaptive: None, ..preset.train.kl };
            let train = Config { kl, ..preset.train.clone() };
            add(&format!("beta-{coefficient}"), policy(train, false));
        }
        if preset.train.value == ValueNet::Shared {
            let train = Config { value: ValueNet::Separate, ..preset.train.clone() };
            add(SEPARATE, policy(train, false));
        }
        let best_of = Kind::BestOf {
            task: pipeline.preset.sft.task.clone(),
            reward: reward.clone(),
            gold: Some(judge.clone()),
            answers: preset.answers,
            sampling: Sampling::of(&preset.train),
        };
        add("best-of-n", best_of);
    }
    make(session, STUDY, all)?;
    Ok(())
}

/// A training's rows, or the best of n.
#[derive(Debug, Clone)]
pub(crate) struct Trace {
    pub(crate) variant: String,
    pub(crate) seed: u64,
    /// `(nats per response, score)`
    pub(crate) score: Vec<(f64, f64)>,
    /// `(nats per response, the judge's score)`
    pub(crate) gold: Vec<(f64, f64)>,
    /// `(episodes, nats per response)`
    pub(crate) kl: Vec<(f64, f64)>,
    /// `(episodes, β)`
    pub(crate) beta: Vec<(f64, f64)>,
}

/// What a finished run says of reward and divergence.
pub(crate) fn trace(folder: &std::path::Path, record: &RunRecord) -> anyhow::Result<Option<Trace>> {
    let RunConfig { kind, .. } = RunConfig::deserialize(&record.config)?;
    let (variant, seed) = (record.key.variant.clone(), record.key.seed);
    let blank = Trace { variant, seed, score: vec![], gold: vec![], kl: vec![], beta: vec![] };
    match kind {
        Kind::Policy { .. } => {
            let rows = metrics::read(folder.join(METRICS))?;
            let column = |name: &str| -> anyhow::Result<BTreeMap<u64, f64>> {
                Ok(rows.column(name)?.into_iter().collect())
            };
            let (kl, episodes) = (column("objective/kl")?, column("episodes")?);
            let against =
                |xs: &BTreeMap<u64, f64>, name: &str| -> anyhow::Result<Vec<(f64, f64)>> {
                    let ys = rows.column(name).unwrap_or_default();
                    Ok(ys.into_iter().filter_map(|(step, y)| Some((*xs.get(&step)?, y))).collect())
                };
            Ok(Some(Trace {
                score: against(&kl, "objective/score")?,
                gold: against(&kl, "objective/gold")?,
                kl: against(&episodes, "objective/kl")?,
                beta: against(&episodes, "objective/kl_coef")?,
                ..blank
            }))
        }
        Kind::BestOf { .. } => {
            let found: Vec<BestOfRow> = read_rows(&folder.join(BEST_OF))?;
            let of = |curve: Vec<f64>| -> Vec<(f64, f64)> {
                curve.into_iter().zip(1..).map(|(y, n)| (kl_best_of(f64::from(n)), y)).collect()
            };
            let score = of(curve(&found, |row| row.proxy));
            let gold = of(curve(&found, |row| row.gold));
            Ok(Some(Trace { score, gold, ..blank }))
        }
        _ => Ok(None),
    }
}

/// The traces of all finished runs on some data.
pub(crate) fn traces(finished: &Finished, data: &str) -> anyhow::Result<Vec<Trace>> {
    let of = finished.runs.iter().filter(|(_, record)| record.key.data == data);
    let all: Vec<Option<Trace>> =
        of.map(|(folder, record)| trace(folder, record)).collect::<Result<_, _>>()?;
    Ok(all.into_iter().flatten().collect())
}

/// The square of the correlation of the score with the root of the divergence.
fn linearity(trace: &Trace) -> Option<f64> {
    let points: Vec<(f64, f64)> =
        trace.score.iter().filter(|(kl, _)| *kl > 0.0).map(|(kl, y)| (kl.sqrt(), *y)).collect();
    let n = points.len() as f64;
    let (mx, my) =
        (points.iter().map(|p| p.0).sum::<f64>() / n, points.iter().map(|p| p.1).sum::<f64>() / n);
    let sum =
        |of: &dyn Fn(f64, f64) -> f64| points.iter().map(|p| of(p.0 - mx, p.1 - my)).sum::<f64>();
    let (xx, yy, xy) = (sum(&|x, _| x * x), sum(&|_, y| y * y), sum(&|x, y| x * y));
    (points.len() > 2 && xx > 0.0 && yy > 0.0).then(|| xy * xy / (xx * yy))
}

/// Win rates by the judge, what a separate value network is worth, PPO beside the best of n.
///
/// # Errors
/// Files that cannot be read.
pub fn measure(finished: &Finished) -> anyhow::Result<Vec<Measured>> {
    let mut rows = Vec::new();
    for data in data_of(finished) {
        let of = |variant: &str, name: &str| by_seed(finished, &data, variant, name);
        let values =
            |found: Vec<(u64, f64)>| found.into_iter().map(|(_, x)| x).collect::<Vec<f64>>();
        let wins: Vec<f64> =
            values(of(ADAPTIVE, "test/gold_win_rate")?).into_iter().map(|x| 100.0 * x).collect();
        let mut add = |id: &str, values: &[f64]| -> anyhow::Result<()> {
            if !values.is_empty() {
                let estimate = mean_over_seeds(values, Scale::Natural)?;
                rows.push(finished.measured(id, &data, estimate));
            }
            Ok(())
        };
        add("zie-01", &wins)?;
        add("sentiment-kl", &values(of(ADAPTIVE, "test/kl")?))?;
        let traces = traces(finished, &data)?;
        let adaptive = traces.iter().filter(|trace| trace.variant == ADAPTIVE);
        add("hh-06", &adaptive.filter_map(linearity).collect::<Vec<_>>())?;
        let difference = |left: &str, right: &str, a: (&str, &str)| {
            anyhow::Ok(paired(&of(left, a.0)?, &of(right, a.1)?))
        };
        for (id, (left, right)) in [
            ("sti-17", difference(SEPARATE, ADAPTIVE, ("test/score", "test/score"))?),
            (
                "sentiment-gain",
                difference(ADAPTIVE, ADAPTIVE, ("test/score", "test/score_before"))?,
            ),
            (
                "sentiment-gold-gain",
                difference(ADAPTIVE, ADAPTIVE, ("test/gold", "test/gold_before"))?,
            ),
            ("ppo-over-best-of-n", difference(ADAPTIVE, "best-of-n", ("test/score", "proxy/n"))?),
        ] {
            if !left.is_empty() {
                rows.push(finished.measured(id, &data, paired_difference(&left, &right)?));
            }
        }
    }
    Ok(rows)
}

/// Reward against divergence, and the same prompts before and after.
///
/// # Errors
/// Files that cannot be read.
pub fn figures(finished: &Finished) -> anyhow::Result<Drawings> {
    let mut drawings = Drawings::new();
    for data in data_of(finished) {
        let traces = traces(finished, &data)?;
        drawings.push((format!("frontier-{data}"), figures::frontier(&data, &traces)));
        drawings.push((format!("training-{data}"), figures::training(&data, &traces)));
    }
    let shown = |(_, record): &&(PathBuf, RunRecord)| record.key.variant == ADAPTIVE;
    if let Some((folder, record)) = finished.runs.iter().find(shown) {
        let samples: Vec<Sample> = read_rows(&folder.join(SAMPLES))?;
        let title = format!("Before and after: {}, seed {}", record.key.data, record.key.seed);
        drawings.push(("samples".to_owned(), figures::samples(&title, &samples)));
    }
    Ok(drawings)
}
