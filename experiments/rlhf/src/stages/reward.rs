//! Reward models of people's judgements and of another reward model's.

use std::collections::BTreeMap;

use common::nn::transformer::Transformer;
use common::rng;
use common::rows::write_rows;
use common::training_run::{Spec, TrainingRun};
use common::weights::decoder::Stored;
use serde::{Deserialize, Serialize};
use tch::Tensor;
use tch::nn::VarStore;

use super::texts::{Tested, Texts, elements};
use super::{JUDGEMENTS, Labels, RunConfig, Sampling, Task};
use crate::data::Part;
use crate::reward::{RewardModel, pairs_of};
use crate::rollout::respond;
use crate::tokens::{Side, batch, rows, truncate};
use crate::train_policy::queries_of;
use crate::train_reward::{self, Element, LEARNED_SCALE, scores_of};
use crate::weights::{Origin, kept, write_reward};
use crate::words::Words;

/// A held-out pair as a model judges it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// The reward of the text that people prefer less that of the other, as the logarithm of odds.
    pub margin: f64,
    /// How far apart the raters' means are, where there are raters.
    pub gap: Option<f64>,
}

/// Samples of the reference policy that rewards are normalised on; published: 256.
const NORMALISED_ON: usize = 256;

#[expect(clippy::too_many_arguments, reason = "the fields of one kind of run")]
pub(super) fn train(
    spec: &Spec,
    config: &RunConfig,
    task: &Task,
    labels: &Labels,
    layers: i64,
    sampling: &Sampling,
    cfg: &train_reward::Config,
    run: &mut TrainingRun,
) -> anyhow::Result<BTreeMap<String, f64>> {
    let seed = spec.key.seed;
    let (start, words) = config.start().decoder(spec)?;
    let texts = Texts::same(task, &spec.lookup, &config.data_sha256)?;
    let (learned, tested) = texts.labelled(labels, seed)?;
    let context = start.config.context as usize;
    let (learned, cut) = elements(&learned, &words, context);
    let (held_out, _) = elements(&tested.comparisons, &words, context);
    if cut > 0 {
        tracing::warn!("{cut} texts are longer than {context} tokens and lose their beginning");
    }
    // Rewards are normalised on what the reference writes: a policy begins with it.
    let held = VarStore::new(run.device());
    let reference = start.model(&held.root(), start.config.n_layers);
    let samples = written(&reference, &texts, task, &words, sampling, NORMALISED_ON, seed)?;
    let samples = batch(&samples, Side::Right);
    rng::seed_torch(seed, "reward head", 0);
    let mut model = RewardModel::new(&start, layers, run.device());
    let mut ended = train_reward::train(seed, cfg, &mut model, &learned, &[], &samples, run)?;
    write_reward(&kept(spec), &model, &words, Stored::Full)?;
    let scale = ended.get(LEARNED_SCALE).copied().unwrap_or(1.0);
    let judgements = judge(&model, &held_out, &tested, scale);
    ended.extend(summary(&judgements, &tested));
    let pairs: usize = learned.iter().map(|element| pairs_of(&element.goodness).0.len()).sum();
    ended.insert("n_comparisons".to_owned(), pairs as f64);
    ended.insert("parameters".to_owned(), model.body.config().non_embedding_parameters() as f64);
    ended.insert("texts_cut".to_owned(), cut as f64);
    write_rows(&run.path().join(JUDGEMENTS), &judgements)?;
    Ok(ended)
}

#[expect(clippy::too_many_arguments, reason = "the fields of one kind of run")]
pub(super) fn proxy(
    spec: &Spec,
    config: &RunConfig,
    task: &Task,
    gold: &Origin,
    comparisons: usize,
    layers: i64,
    sampling: &Sampling,
    cfg: &train_reward::Config,
    run: &mut TrainingRun,
) -> anyhow::Result<BTreeMap<String, f64>> {
    let seed = spec.key.seed;
    let (start, words) = config.start().decoder(spec)?;
    let texts = Texts::same(task, &spec.lookup, &config.data_sha256)?;
    let gold = gold.reward(spec, run.device())?;
    let held = VarStore::new(run.device());
    let reference = start.model(&held.root(), start.config.n_layers);
    // Two answers to each query, and a tenth more of them held out.
    let held_out = (comparisons / 10).max(32);
    let n = 2 * (comparisons + held_out);
    let written = written(&reference, &texts, task, &words, sampling, n, seed)?;
    let golden = scores_of(&gold, &written);
    let mut all: Vec<Element> = written
        .chunks_exact(2)
        .zip(golden.chunks_exact(2))
        .filter(|(_, score)| score[0].total_cmp(&score[1]).is_ne())
        .map(|(pair, score)| Element { texts: pair.to_vec(), goodness: score.to_vec() })
        .collect();
    let val = all.split_off(all.len().saturating_sub(held_out));
    let samples: Vec<&Vec<i64>> = written.iter().take(NORMALISED_ON).collect();
    let samples = batch(&samples, Side::Right);
    rng::seed_torch(seed, "reward head", layers as u64);
    let mut model = RewardModel::new(&start, layers, run.device());
    let mut ended = train_reward::train(seed, cfg, &mut model, &all, &val, &samples, run)?;
    write_reward(&kept(spec), &model, &words, Stored::Full)?;
    ended.insert("n_comparisons".to_owned(), all.len() as f64);
    ended.insert("parameters".to_owned(), model.body.config().non_embedding_parameters() as f64);
    Ok(ended)
}

/// `n` texts of a policy, each a query and its cut response: the first two answer the first query, and so on.
fn written(
    net: &Transformer,
    texts: &Texts,
    task: &Task,
    words: &Words,
    sampling: &Sampling,
    n: usize,
    seed: u64,
) -> anyhow::Result<Vec<Vec<i64>>> {
    const QUERIES: usize = 32;
    let queries = texts.queries(Part::Train, task.queries, task, words)?;
    let mut all = Vec::with_capacity(n);
    for step in 0..n.div_ceil(2 * QUERIES) as u64 {
        common::interrupt::check()?;
        let asked = queries_of(&queries, seed, step, QUERIES).to_device(net.tokens().device());
        let asked = asked.repeat_interleave_self_int(2, 0, None); // [2·QUERIES, P]
        rng::seed_torch(seed, "texts to be judged", step);
        all.extend(rows(&answered(net, &asked, words, sampling)?));
    }
    all.truncate(n);
    Ok(all)
}

/// Texts `[B, P + R]`: queries `[B, P]` with cut responses, by draws of libtorch's generator.
pub(super) fn answered(
    net: &Transformer,
    queries: &Tensor,
    words: &Words,
    sampling: &Sampling,
) -> anyhow::Result<Tensor> {
    let made = respond(net, queries, sampling.response, sampling.temperature);
    let cut = match &sampling.ending {
        Some(ending) => truncate(&made.responses, words.token(&ending.token)?, ending.from).0,
        None => made.responses,
    };
    Ok(Tensor::cat(&[queries, &cut], 1))
}

/// Each held-out pair's margin on the scale that the model learned on.
fn judge(model: &RewardModel, held_out: &[Element], tested: &Tested, scale: f64) -> Vec<Judgement> {
    let texts: Vec<&Vec<i64>> = held_out.iter().flat_map(|element| &element.texts).collect();
    let scores = scores_of(model, &texts);
    let margins = scores.chunks_exact(2).map(|pair| scale * (pair[0] - pair[1]));
    judgements(margins, tested)
}

/// Margins beside how far apart the raters have them.
pub(super) fn judgements(margins: impl Iterator<Item = f64>, tested: &Tested) -> Vec<Judgement> {
    let gap = |i: usize| tested.gaps.as_ref().map(|gaps| gaps[i]);
    margins.enumerate().map(|(i, margin)| Judgement { margin, gap: gap(i) }).collect()
}

/// The numbers that a test ends with.
pub(super) fn summary(judgements: &[Judgement], tested: &Tested) -> Vec<(String, f64)> {
    let n = judgements.len() as f64;
    let right = judgements.iter().filter(|judgement| judgement.margin > 0.0).count() as f64;
    let mut numbers = vec![("test/acc".to_owned(), right / n.max(1.0)), ("n_test".to_owned(), n)];
    if let Some(agree) = tested.people_agree {
        numbers.push(("people/acc".to_owned(), agree));
    }
    numbers
}
