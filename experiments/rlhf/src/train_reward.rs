//! Learning a reward from human judgements.
//!
//! `K` texts of an element, `T` tokens.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use common::data::sampler::epoch_order;
use common::distributed::Gradients;
use common::nn::probe::check_gradients;
use common::optim::schedule::{warmup_cosine, warmup_linear};
use common::optim::{
    Adam, AdamConfig, Decay, Epsilon, Optimizer as _, ParamGroup, clip, named_params,
};
use common::training_run::TrainingRun;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::reward::{RewardModel, best_of_loss, check_rewards, pairs_loss, pairs_of};
use crate::tokens::{Side, batch};

/// How judgements become a loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// Bradley and Terry, over all pairs of an element: Stiennon et al. 2020, Ouyang et al. 2022.
    Pairs,
    /// A softmax over an element's texts, of which one was chosen: Ziegler et al. 2019 (four).
    BestOf,
}

/// How the rate falls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// A line to 0: Ziegler et al. 2019.
    Linear,
    /// Half a cosine to 0: Stiennon et al. 2020.
    Cosine,
}

/// Which form Adam's ε has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AdamForm {
    /// TensorFlow 1's: smaller first steps.
    Tf1,
    /// PyTorch's.
    Pytorch,
}

impl AdamForm {
    /// Adam's settings with the published β of .9 and .999.
    pub fn config(self, eps: f64) -> AdamConfig {
        let epsilon = match self {
            Self::Tf1 => Epsilon::Tf1,
            Self::Pytorch => Epsilon::PyTorch,
        };
        AdamConfig { beta1: 0.9, beta2: 0.999, eps, epsilon, decay: Decay::Decoupled }
    }
}

/// How a reward model is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The loss.
    pub loss: Loss,
    /// Passes over the comparisons; published: one.
    pub epochs: u64,
    /// Elements of an update; published: 32 (style), 16 (summaries), 64 (Stiennon et al., Ouyang et al.).
    pub batch: usize,
    /// Adam's highest rate; published: 5e-5 (124M, style).
    pub lr: f64,
    /// Updates over which the rate rises from 0; published: none.
    pub warmup: u64,
    /// How it falls.
    pub schedule: Schedule,
    /// Which Adam; the released code: TensorFlow 1's.
    pub adam: AdamForm,
    /// Adam's ε; published: 1e-5.
    pub eps: f64,
    /// The largest norm of all gradients together; published: no limit.
    pub clip: Option<f64>,
    /// Whether rewards are normalised on samples of the reference policy before training, and after; published: both.
    pub normalise: [bool; 2],
    /// Updates between two rows.
    pub row_every: u64,
    /// Updates between two checkpoints.
    pub save_every: u64,
}

/// Texts judged together, in ids.
#[derive(Debug, Clone)]
pub struct Element {
    /// Prompt and answer, each.
    pub texts: Vec<Vec<i64>>,
    /// How good each is.
    pub goodness: Vec<f64>,
}

/// What a reward is multiplied by to be on the scale that the loss was learned on, where a difference is the logarithm
/// of odds: normalising changes it.
pub const LEARNED_SCALE: &str = "learned_scale";

/// The columns of `metrics.csv` after step and time.
const COLUMNS: [&str; 7] =
    ["comparisons", "lr", "train/loss", "train/acc", "train/grad_norm", "val/loss", "val/acc"];

/// Where the loop stands besides its step.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct At {
    updates: u64,
    loss: f64,
    acc: f64,
    grad_norm: f64,
    comparisons: u64,
    last: BTreeMap<String, f64>,
}

/// Trains to the end from wherever `run` stopped; returns the numbers it ended with. `samples` are texts of the
/// reference policy, `[N, T]`, on which rewards are normalised.
///
/// # Errors
/// No comparison to learn from; a loss, gradient or reward that is not finite; a constant reward; an interrupt; a file
/// that cannot be read or written.
pub fn train(
    seed: u64,
    cfg: &Config,
    model: &mut RewardModel,
    elements: &[Element],
    val: &[Element],
    samples: &Tensor,
    run: &mut TrainingRun,
) -> anyhow::Result<BTreeMap<String, f64>> {
    let batches = elements.len().div_ceil(cfg.batch) as u64;
    let steps = cfg.epochs * batches;
    ensure!(steps > 0, "no comparison to train on: the preset leaves none, or the files have none");
    let params = named_params(&model.vs);
    let group = ParamGroup { params: named_params(&model.vs), lr_scale: 1.0, weight_decay: 0.0 };
    let mut opt = Adam::new(vec![group], cfg.adam.config(cfg.eps));
    if cfg.normalise[0] {
        let rewards = scores(model, samples, 64);
        model.normalise(&rewards)?;
    }
    let (mut step, mut at) = run.resume_or_start::<At>(&model.vs, &mut opt, &COLUMNS)?;
    let grads = Gradients::new(run.world(), &params)?;
    let share = run.world().own();
    share.divides("a batch", cfg.batch)?;
    share.reaches("an epoch's last batch", elements.len() % cfg.batch)?;
    let autocast = run.autocast();
    while step < steps {
        // 1. One update.
        let (epoch, place) = (step / batches, (step % batches) as usize);
        let order = epoch_order(seed, epoch, elements.len());
        let chosen: Vec<&Element> = order[place * cfg.batch..]
            .iter()
            .take(cfg.batch)
            .map(|&i| &elements[i as usize])
            .collect();
        let lr = match cfg.schedule {
            Schedule::Linear => warmup_linear(step, cfg.warmup, steps, cfg.lr),
            Schedule::Cosine => warmup_cosine(step, cfg.warmup, steps, cfg.lr),
        };
        let own = &chosen[share.of(chosen.len())];
        opt.zero_grad();
        let (loss, acc, n) = {
            let _autocast = autocast();
            loss_of(model, cfg.loss, own).context("ties only: an element to train on has none")?
        };
        let ([value], weight) = run.world().pool([loss.double_value(&[])], own.len())?;
        let ([acc], _) = run.world().pool([acc], n as usize)?;
        let [n] = run.world().sum([n as f64])?;
        ensure!(
            value.is_finite(),
            "the reward model's loss is {value} at step {step}: lower its lr ({})",
            cfg.lr
        );
        grads.backward(&(loss * weight), true)?;
        let norm = clip::clip_grad_norm(&params, cfg.clip.unwrap_or(f64::INFINITY));
        check_gradients(norm, step, &params)?;
        opt.step(lr);
        step += 1;

        // 2. Everything that only looks.
        at.updates += 1;
        at.loss += value;
        at.acc += acc;
        at.grad_norm += norm;
        at.comparisons += n as u64;
        run.tick(step, steps, chosen.len() as f64, "elements/s", value);
        let done = step == steps;
        if step.is_multiple_of(cfg.row_every) || done {
            let n = at.updates as f64;
            let mut row = vec![
                ("comparisons", at.comparisons as f64),
                ("lr", lr),
                ("train/loss", at.loss / n),
                ("train/acc", at.acc / n),
                ("train/grad_norm", at.grad_norm / n),
            ];
            if done && !val.is_empty() {
                let (loss, acc) = judge(model, cfg.loss, val, cfg.batch);
                row.extend([("val/loss", loss), ("val/acc", acc)]);
            }
            run.log(step, &row)?;
            let last = row.iter().map(|&(name, value)| (name.to_owned(), value)).collect();
            at = At { last, comparisons: at.comparisons, ..At::default() };
        }
        let stop = run.world().interrupted();
        if step.is_multiple_of(cfg.save_every) || done || stop.is_err() {
            run.save(step, &model.vs, &opt, &at)?;
        }
        if !done {
            stop?;
        }
    }
    let rewards = scores(model, samples, 64);
    check_rewards(&rewards, "samples of the reference policy")?;
    let gain = model.gain();
    if cfg.normalise[1] {
        model.normalise(&rewards)?;
    }
    at.last.insert(LEARNED_SCALE.to_owned(), gain / model.gain());
    Ok(at.last)
}

/// Loss, share of the pairs that are right and number of pairs of some elements; none if they are ties only.
fn loss_of(model: &RewardModel, form: Loss, elements: &[&Element]) -> Option<(Tensor, f64, u64)> {
    let texts: Vec<&Vec<i64>> = elements.iter().flat_map(|element| &element.texts).collect();
    let ids = batch(&texts, Side::Right).to_device(model.vs.device());
    let rewards = model.score(&ids); // [all texts]
    let (mut losses, mut right, mut n) = (Vec::new(), 0.0, 0_u64);
    let values = Vec::<f64>::try_from(rewards.to_kind(Kind::Double)).expect("a vector");
    let mut from = 0;
    for element in elements {
        let k = element.texts.len();
        let own = rewards.narrow(0, from as i64, k as i64);
        let (better, worse) = pairs_of(&element.goodness);
        right += better
            .iter()
            .zip(&worse)
            .filter(|(b, w)| values[from + **b as usize] > values[from + **w as usize])
            .count() as f64;
        n += better.len() as u64;
        match form {
            Loss::Pairs => losses.extend(pairs_loss(&own, &element.goodness)),
            Loss::BestOf => {
                let best =
                    (0..k).max_by(|&a, &b| element.goodness[a].total_cmp(&element.goodness[b]));
                let chosen = best.expect("an element has texts") as i64;
                let chosen = Tensor::from_slice(&[chosen]).to_device(own.device());
                losses.push(best_of_loss(&own.unsqueeze(0), &chosen));
            }
        }
        from += k;
    }
    (!losses.is_empty())
        .then(|| (Tensor::stack(&losses, 0).mean(Kind::Float), right / (n as f64).max(1.0), n))
}

/// Mean loss and accuracy over elements, without a gradient.
fn judge(model: &RewardModel, form: Loss, elements: &[Element], batch: usize) -> (f64, f64) {
    let _no_grad = tch::no_grad_guard();
    let (mut loss, mut right, mut pairs, mut n) = (0.0, 0.0, 0.0, 0.0);
    let all: Vec<&Element> = elements.iter().collect();
    for some in all.chunks(batch) {
        if let Some((of, acc, count)) = loss_of(model, form, some) {
            loss += of.double_value(&[]) * some.len() as f64;
            n += some.len() as f64;
            right += acc * count as f64;
            pairs += count as f64;
        }
    }
    (loss / f64::max(n, 1.0), right / f64::max(pairs, 1.0))
}

/// Rewards `[N]` of texts `[N, T]`, `batch` at a time, without a gradient.
pub fn scores(model: &RewardModel, ids: &Tensor, batch: i64) -> Tensor {
    let _no_grad = tch::no_grad_guard();
    let pieces: Vec<Tensor> = ids
        .split(batch, 0)
        .iter()
        .map(|some| model.score(&some.to_device(model.vs.device())))
        .collect();
    Tensor::cat(&pieces, 0)
}

/// Rewards of texts of any lengths, in their order. Texts of about one length are read together, and equal ones once:
/// in a test of pairs each text stands in several.
pub fn scores_of<S: AsRef<[i64]>>(model: &RewardModel, texts: &[S]) -> Vec<f64> {
    let mut places: BTreeMap<(usize, &[i64]), Vec<usize>> = BTreeMap::new();
    for (i, text) in texts.iter().enumerate() {
        let text = text.as_ref();
        places.entry((text.len(), text)).or_default().push(i);
    }
    let different: Vec<&[i64]> = places.keys().map(|&(_, text)| text).collect();
    let mut found = Vec::with_capacity(different.len());
    for some in different.chunks(64) {
        let of = scores(model, &batch(some, Side::Right), 64).to_kind(Kind::Double);
        found.extend(Vec::<f64>::try_from(of).expect("a vector"));
    }
    let mut rewards = vec![0.0; texts.len()];
    for (reward, places) in found.into_iter().zip(places.values()) {
        for &i in places {
            rewards[i] = reward;
        }
    }
    rewards
}
