//! Many answers to each query with their scores: what best-of-n sampling is computed from.

use std::collections::BTreeMap;

use common::rng;
use common::rows::write_rows;
use common::training_run::{Spec, TrainingRun};
use serde::{Deserialize, Serialize};
use tch::nn::VarStore;

use super::reward::answered;
use super::texts::Texts;
use super::{BEST_OF, RunConfig, Sampling, Task};
use crate::best_of::best_of;
use crate::data::Part;
use crate::tokens::rows;
use crate::train_reward::scores_of;
use crate::weights::Origin;

/// One answer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BestOfRow {
    /// Which query it answers.
    pub query: usize,
    /// The score by which the best is chosen.
    pub proxy: f64,
    /// The score that judges.
    pub gold: f64,
}

#[expect(clippy::too_many_arguments, reason = "the fields of one kind of run")]
pub(super) fn make(
    spec: &Spec,
    config: &RunConfig,
    task: &Task,
    reward: &Origin,
    gold: Option<&Origin>,
    answers: usize,
    sampling: &Sampling,
    run: &mut TrainingRun,
) -> anyhow::Result<BTreeMap<String, f64>> {
    run.start(&[])?;
    let (start, words) = config.start().decoder(spec)?;
    let texts = Texts::same(task, &spec.lookup, &config.data_sha256)?;
    let reward = reward.reward(spec, run.device())?;
    let gold = gold.map(|gold| gold.reward(spec, run.device())).transpose()?;
    let held = VarStore::new(run.device());
    let net = start.model(&held.root(), start.config.n_layers);
    let queries = texts.queries(Part::Test, task.test_queries, task, &words)?;
    let n = queries.size()[0];
    let mut found: Vec<BestOfRow> = Vec::new();
    for query in 0..n {
        common::interrupt::check()?;
        let asked = queries.narrow(0, query, 1).expand([answers as i64, -1], false);
        rng::seed_torch(spec.key.seed, "best of n", query as u64);
        let ids = rows(&answered(&net, &asked.to_device(run.device()), &words, sampling)?);
        let proxy = scores_of(&reward, &ids);
        let judged = gold.as_ref().map_or_else(|| proxy.clone(), |gold| scores_of(gold, &ids));
        let row = |(proxy, gold)| BestOfRow { query: query as usize, proxy, gold };
        found.extend(proxy.into_iter().zip(judged).map(row));
        run.tick(query as u64 + 1, n as u64, answers as f64, "answers/s", 0.0);
    }
    write_rows(&run.path().join(BEST_OF), &found)?;
    let (first, last) = (curve(&found, |row| row.gold), curve(&found, |row| row.proxy));
    let ends = |of: &[f64]| (of[0], of[of.len() - 1]);
    let ((gold_1, gold_n), (proxy_1, proxy_n)) = (ends(&first), ends(&last));
    Ok([("gold/1", gold_1), ("gold/n", gold_n), ("proxy/1", proxy_1), ("proxy/n", proxy_n)]
        .map(|(name, x)| (name.to_owned(), x))
        .into_iter()
        .collect())
}

/// The mean over queries of what the best of 1, 2, … answers scores by `of`.
pub(crate) fn curve(found: &[BestOfRow], of: fn(&BestOfRow) -> f64) -> Vec<f64> {
    let mut by_query: BTreeMap<usize, Vec<&BestOfRow>> = BTreeMap::new();
    for row in found {
        by_query.entry(row.query).or_default().push(row);
    }
    let curves: Vec<Vec<f64>> = by_query
        .values()
        .map(|rows| {
            let proxy: Vec<f64> = rows.iter().map(|row| row.proxy).collect();
            let judged: Vec<f64> = rows.iter().map(|row| of(row)).collect();
            best_of(&proxy, &judged)
        })
        .collect();
    let n = curves.iter().map(Vec::len).min().unwrap_or_default();
    let mean = |i: usize| curves.iter().map(|curve| curve[i]).sum::<f64>() / curves.len() as f64;
    (0..n).map(mean).collect()
}
