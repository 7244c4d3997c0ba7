//! Section 3.2's training: a classifier on the state at the extract token, with the language model's own loss beside.
//!
//! `N` examples, `K` sequences of each (two orders, or the answers), `L` tokens of the longest, `C` channels.

use std::collections::BTreeMap;

use common::checkpoint;
use common::data::sampler::{LastBatch, Sampler, epoch_order};
use common::interrupt;
use common::nn::probe::{Probe, check_gradients, non_finite_loss};
use common::optim::schedule::warmup_linear;
use common::optim::{Optimizer as _, clip, named_params};
use common::rng;
use common::shim::Autocast;
use serde::{Deserialize, Serialize};
use tch::nn::{self, Init, Module as _};
use tch::{Kind, Tensor};

use crate::forms::Encoded;
use crate::model::Model;
use crate::pretrain::optimizer;
use crate::tasks::{Form, Task};

/// Everything besides the task and the start that decides the numbers of one fine-tuning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Passes over the training examples; published: 3.
    pub epochs: u64,
    /// Examples of an update; published: 32.
    pub batch: usize,
    /// The highest rate; where there are several, each is tried and the one best on the validation part is taken.
    /// Published: 6.25e-5.
    pub lr: Vec<f64>,
    /// Share of the updates over which the rate rises; published: 0.002.
    pub warmup: f64,
    /// Decoupled decay of matrices and embeddings; published: 0.01.
    pub weight_decay: f64,
    /// The largest norm of all gradients together; released: 1.
    pub clip: f64,
    /// Weight of the language model's loss; published: 0.5, and 0 in the ablation.
    pub lm_weight: f64,
    /// Share of the classifier's inputs that is dropped; published: 0.1.
    pub classifier_dropout: f64,
    /// What is dropped in the model; published: 0.1 everywhere.
    pub dropout: crate::model::Dropout,
}

/// A model with a classifier on top.
#[derive(Debug)]
pub struct Classifier {
    /// The model, its vocabulary extended by the special tokens; the classifier's variables are `classifier.*`.
    pub model: Model,
    head: nn::Linear,
    task: &'static Task,
    dropout: f64,
}

/// Sequences side by side.
struct Batch {
    /// `[N·K, L]`, padded with the first token of the vocabulary.
    ids: Tensor,
    /// 1 where a token is the sequence's own: `[N·K, L]`.
    mask: Tensor,
    /// Where each sequence ends: `[N·K]`.
    ends: Tensor,
    /// `[N]`
    labels: Vec<f64>,
    /// Sequences of an example.
    k: i64,
}

impl Batch {
    fn new(examples: &[&Encoded], device: tch::Device) -> Self {
        let k = examples[0].sequences.len();
        let sequences: Vec<&Vec<i64>> = examples.iter().flat_map(|e| &e.sequences).collect();
        let longest = sequences.iter().map(|sequence| sequence.len()).max().expect("some examples");
        let (mut ids, mut mask, mut ends) = (Vec::new(), Vec::new(), Vec::new());
        for sequence in &sequences {
            ids.extend_from_slice(sequence);
            ids.resize(ids.len() + longest - sequence.len(), 0);
            mask.extend((0..longest).map(|i| if i < sequence.len() { 1.0_f32 } else { 0.0 }));
            ends.push(sequence.len() as i64 - 1);
        }
        let shape = [sequences.len() as i64, longest as i64];
        Self {
            ids: Tensor::from_slice(&ids).view(shape).to_device(device),
            mask: Tensor::from_slice(&mask).view(shape).to_device(device),
            ends: Tensor::from_slice(&ends).to_device(device),
            labels: examples.iter().map(|example| example.label).collect(),
            k: k as i64,
        }
    }
}

/// What a forward pass gives.
struct Outputs {
    /// `[N, outputs]`; of a choice `[N, K]`.
    scores: Tensor,
    /// Mean over sequences of the language model's loss, in nats a token, if it was asked for.
    lm: Option<Tensor>,
}

impl Classifier {
    /// Puts a new classifier on `model`, whose vocabulary already has the special tokens.
    pub fn new(model: Model, task: &'static Task, dropout: f64, seed: u64) -> Self {
        rng::seed_torch(seed, "classifier", 0);
        let init = nn::LinearConfig {
            ws_init: Init::Randn { mean: 0.0, stdev: 0.02 },
            bs_init: Some(Init::Const(0.0)),
            bias: true,
        };
        let path = model.vs.root() / "classifier";
        let head = nn::linear(path, model.shape().d_model(), task.outputs(), init);
        Self { model, head, task, dropout }
    }

    /// The task.
    pub fn task(&self) -> &'static Task {
        self.task
    }

    /// With `with_lm`, the language model's loss too.
    fn forward(&self, batch: &Batch, train: bool, with_lm: bool, probe: &Probe) -> Outputs {
        let body = &self.model.body;
        let states = body.states(&batch.ids, train, probe); // [N·K, L, C]
        let c = states.size()[2];
        let index = batch.ends.view([-1, 1, 1]).expand([-1, 1, c], false);
        let ends = states.gather(1, &index, false).squeeze_dim(1); // [N·K, C]
        let ends = ends.view([-1, batch.k, c]); // [N, K, C]
        let ends = match self.task.form {
            Form::Similarity => ends.sum_dim_intlist([1_i64].as_slice(), false, Kind::Float), // [N, C]
            Form::Single | Form::Entailment => ends.squeeze_dim(1),
            Form::Choice => ends,
        };
        // The answers of an example share one mask.
        //
        // Source: openai/finetune-transformer-lm, `train.py`, `clf_pdrop`.
        let mask = match self.task.form {
            Form::Choice => ends.narrow(1, 0, 1).ones_like().dropout(self.dropout, train),
            _ => ends.ones_like().dropout(self.dropout, train),
        };
        let scores = self.head.forward(&(ends * mask)).to_kind(Kind::Float);
        let scores = match self.task.form {
            Form::Choice => scores.squeeze_dim(2), // [N, K]
            _ => scores,                           // [N, outputs]
        };
        let lm = with_lm.then(|| self.lm_loss(&states, batch));
        Outputs { scores: probe.see("classifier", scores), lm }
    }

    /// The language model's loss, averaged over each sequence's own tokens and then over sequences.
    ///
    /// Source: openai/finetune-transformer-lm, `train.py`, `lm_losses`.
    fn lm_loss(&self, states: &Tensor, batch: &Batch) -> Tensor {
        let (n, l) = batch.ids.size2().expect("ids are [N·K, L]");
        let logits = self.model.body.logits(&states.narrow(1, 0, l - 1)); // [N·K, L − 1, V]
        let logits = logits.flatten(0, 1).to_kind(Kind::Float);
        let targets = batch.ids.narrow(1, 1, l - 1).flatten(0, 1);
        let none = tch::Reduction::None;
        let losses = logits.cross_entropy_loss::<Tensor>(&targets, None, none, -100, 0.0);
        let losses = losses.view([n, l - 1]);
        let mask = batch.mask.narrow(1, 1, l - 1);
        let sum = |xs: &Tensor| xs.sum_dim_intlist([1_i64].as_slice(), false, Kind::Float); // [N·K]
        (sum(&(losses * &mask)) / sum(&mask)).mean(Kind::Float)
    }

    /// The classifier's loss: cross-entropy, or the squared error of a number.
    fn loss(&self, scores: &Tensor, labels: &[f64]) -> Tensor {
        if self.task.is_regression() {
            let labels = Tensor::from_slice(labels).to_kind(Kind::Float).to_device(scores.device());
            return scores.squeeze_dim(1).mse_loss(&labels, tch::Reduction::Mean);
        }
        let labels: Vec<i64> = labels.iter().map(|label| label.round() as i64).collect();
        scores.cross_entropy_for_logits(&Tensor::from_slice(&labels).to_device(scores.device()))
    }

    /// Predicted classes, answers or numbers of `examples`, in their order.
    ///
    /// # Errors
    /// Ctrl-C.
    pub fn predict(
        &self,
        examples: &[Encoded],
        batch: usize,
        autocast: &dyn Fn() -> Autocast,
    ) -> anyhow::Result<Vec<f64>> {
        let _no_grad = tch::no_grad_guard();
        // Examples of about one length together: little padding. The order is put right afterwards.
        let longest = |e: &Encoded| e.sequences.iter().map(Vec::len).max().unwrap_or_default();
        let mut order: Vec<usize> = (0..examples.len()).collect();
        order.sort_by_key(|&i| (longest(&examples[i]), i));
        let mut predictions = vec![0.0; examples.len()];
        for some in order.chunks(batch) {
            interrupt::check()?;
            let chosen: Vec<&Encoded> = some.iter().map(|&i| &examples[i]).collect();
            let scores = {
                let _autocast = autocast();
                let examples = Batch::new(&chosen, self.model.device());
                self.forward(&examples, false, false, &Probe::off()).scores
            };
            let found = if self.task.is_regression() {
                scores.squeeze_dim(1)
            } else {
                scores.argmax(1, false)
            };
            let found = Vec::<f64>::try_from(found.to_kind(Kind::Double))?;
            for (&i, prediction) in some.iter().zip(found) {
                predictions[i] = prediction;
            }
        }
        Ok(predictions)
    }

    /// The score of `examples`, times 100.
    ///
    /// # Errors
    /// As [`Classifier::predict`].
    pub fn score(
        &self,
        examples: &[Encoded],
        batch: usize,
        autocast: &dyn Fn() -> Autocast,
    ) -> anyhow::Result<f64> {
        let labels: Vec<f64> = examples.iter().map(|example| example.label).collect();
        Ok(self.task.metric.of(&self.predict(examples, batch, autocast)?, &labels))
    }
}

/// What the loop tells after each epoch: updates so far, the rate, and the means over the epoch.
#[derive(Debug, Clone, Copy)]
pub struct Epoch {
    /// Updates made.
    pub step: u64,
    /// The classifier's loss.
    pub loss: f64,
    /// The language model's loss, in nats a token; 0 where it was not asked for.
    pub lm_loss: f64,
    /// The gradients' norm before clipping.
    pub grad_norm: f64,
    /// Score on the validation part, times 100.
    pub val: f64,
}

/// Fine-tunes with the rate `lr` and leaves the weights of the epoch that is best on the validation part, the later of
/// equals; returns the best score. `seen` hears of each update and epoch.
///
/// # Errors
/// A loss or gradient that is not finite, Ctrl-C.
pub fn tune(
    classifier: &Classifier,
    cfg: &Config,
    lr: f64,
    seed: u64,
    [train, val]: [&[Encoded]; 2],
    autocast: &dyn Fn() -> Autocast,
    seen: &mut dyn FnMut(u64, u64, Option<Epoch>, f64) -> anyhow::Result<()>,
) -> anyhow::Result<f64> {
    let vs = &classifier.model.vs;
    let params = named_params(vs);
    let mut opt = optimizer(vs, cfg.weight_decay);
    let batch = cfg.batch.min(train.len());
    let sampler = Sampler::new(seed, train.len(), batch, LastBatch::Drop);
    let per_epoch = sampler.steps_per_epoch();
    // As in the released code: whole batches times epochs, so that the rate falls to zero.
    let steps = per_epoch * cfg.epochs;
    let warmup = (cfg.warmup * steps as f64).round() as u64;
    let mut best: Option<(f64, BTreeMap<String, Tensor>)> = None;
    let mut sums = [0.0; 3];
    for step in 0..steps {
        // 1. One update.
        let chosen = sampler.batch_of(step).indices;
        let chosen: Vec<&Encoded> = chosen.into_iter().map(|i| &train[i as usize]).collect();
        let examples = Batch::new(&chosen, classifier.model.device());
        rng::seed_torch(seed, "dropout", step);
        let with_lm = cfg.lm_weight > 0.0;
        let (loss, lm) = {
            let _autocast = autocast();
            let outputs = classifier.forward(&examples, true, with_lm, &Probe::off());
            (classifier.loss(&outputs.scores, &examples.labels), outputs.lm)
        };
        // L3 of section 3.2.
        let total = match &lm {
            Some(lm) => &loss + lm * cfg.lm_weight,
            None => loss.shallow_clone(),
        };
        let value = total.double_value(&[]);
        if !value.is_finite() {
            rng::seed_torch(seed, "dropout", step);
            let why = non_finite_loss(value, step, &params, |probe| {
                classifier.forward(&examples, true, with_lm, probe);
            });
            return Err(why.into());
        }
        opt.zero_grad();
        total.backward();
        let norm = clip::clip_grad_norm(&params, cfg.clip);
        check_gradients(norm, step, &params)?;
        opt.step(warmup_linear(step, warmup, steps, lr));

        // 2. Everything that only looks.
        let lm = lm.map_or(0.0, |lm| lm.double_value(&[]));
        for (sum, x) in sums.iter_mut().zip([loss.double_value(&[]), lm, norm]) {
            *sum += x / per_epoch as f64;
        }
        interrupt::check()?;
        let step = step + 1;
        if !step.is_multiple_of(per_epoch) {
            seen(step, steps, None, value)?;
            continue;
        }
        let [loss, lm_loss, grad_norm] = std::mem::take(&mut sums);
        let val = classifier.score(val, 2 * cfg.batch, autocast)?;
        seen(step, steps, Some(Epoch { step, loss, lm_loss, grad_norm, val }), value)?;
        if best.as_ref().is_none_or(|(score, _)| val >= *score) {
            best = Some((val, copy(vs)));
        }
    }
    let (score, weights) = best.expect("there is an epoch");
    restore(vs, &weights);
    Ok(score)
}

/// The first `n` examples of an order drawn from `seed`: what a run with few labels learns from. A larger number
/// holds the smaller one's examples.
pub fn subset<T: Clone>(examples: &[T], n: usize, seed: u64) -> Vec<T> {
    let order = epoch_order(seed, u64::MAX, examples.len());
    order.into_iter().take(n).map(|i| examples[i as usize].clone()).collect()
}

/// The weights as they are now.
pub fn copy(vs: &nn::VarStore) -> BTreeMap<String, Tensor> {
    let _no_grad = tch::no_grad_guard();
    checkpoint::variables(vs).into_iter().map(|(name, x)| (name, x.copy())).collect()
}

/// Puts weights back that [`copy`] took from the same variables.
pub fn restore(vs: &nn::VarStore, weights: &BTreeMap<String, Tensor>) {
    let _no_grad = tch::no_grad_guard();
    for (name, variable) in checkpoint::variables(vs) {
        variable.shallow_clone().copy_(&weights[&name]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::device::Precision;
    use common::nn::transformer::TransformerConfig;
    use tch::Device;

    use crate::model::{Dropout, Shape};

    fn classifier(task: &str, dropout: f64) -> Classifier {
        let config = TransformerConfig {
            vocab: 20,
            context: 12,
            n_layers: 2,
            n_heads: 2,
            d_model: 8,
            residual_dropout: 0.0,
            embedding_dropout: 0.0,
            attention_dropout: 0.0,
            init_std: 0.4,
            ..TransformerConfig::GPT1
        };
        let model = Model::new(&Shape::Transformer(config), 1, Device::Cpu);
        Classifier::new(model, Task::get(task).unwrap(), dropout, 2)
    }

    fn example(sequences: &[&[i64]], label: f64) -> Encoded {
        let sequences = sequences.iter().map(|sequence| sequence.to_vec()).collect();
        Encoded { sequences, label }
    }

    fn near(found: &Tensor, wanted: &Tensor) {
        let apart = (found - wanted).abs().max().double_value(&[]);
        assert!(apart < 1e-5, "{found:?}\n{wanted:?}\n{apart}");
    }

    #[test]
    fn an_example_is_judged_the_same_alone_and_beside_longer_ones() {
        let classifier = classifier("sst-2", 0.0);
        let examples = [
            example(&[&[17, 3, 19]], 0.0),
            example(&[&[17, 4, 5, 6, 7, 8, 9, 19]], 1.0),
            example(&[&[17, 1, 2, 3, 19]], 1.0),
        ];
        let _no_grad = tch::no_grad_guard();
        let forward = |examples: &[&Encoded]| {
            classifier.forward(&Batch::new(examples, Device::Cpu), false, true, &Probe::off())
        };
        let together = forward(&examples.iter().collect::<Vec<_>>());
        let alone: Vec<Outputs> = examples.iter().map(|one| forward(&[one])).collect();
        let scores: Vec<&Tensor> = alone.iter().map(|one| &one.scores).collect();
        near(&together.scores, &Tensor::cat(&scores, 0));
        // A short sequence counts as much as a long one: the mean of means.
        let losses: Vec<Tensor> =
            alone.iter().filter_map(|one| one.lm.as_ref()).map(Tensor::copy).collect();
        near(&together.lm.unwrap(), &Tensor::stack(&losses, 0).mean(Kind::Float));
        // And the language model's loss of one sequence is that of pre-training.
        let ids = Tensor::from_slice(&[17_i64, 4, 5, 6, 7, 8, 9, 19]).unsqueeze(0);
        near(&losses[1], &classifier.model.loss(&ids, false, &Probe::off()));
    }

    #[test]
    fn the_order_of_a_similar_pair_does_not_matter() {
        let classifier = classifier("mrpc", 0.0);
        let (a, b): (&[i64], &[i64]) = (&[17, 1, 2, 18, 3, 19], &[17, 3, 18, 1, 2, 19]);
        let scores = |example: Encoded| {
            let batch = Batch::new(&[&example], Device::Cpu);
            classifier.forward(&batch, false, false, &Probe::off()).scores
        };
        near(&scores(example(&[a, b], 1.0)), &scores(example(&[b, a], 1.0)));
        assert_eq!(scores(example(&[a, b], 1.0)).size(), [1, 2]);
    }

    #[test]
    fn the_answers_of_an_example_share_a_dropout_mask() {
        let classifier = classifier("story-cloze", 0.5);
        let answer: &[i64] = &[17, 1, 2, 18, 3, 19];
        let examples: Vec<Encoded> = (0..8).map(|_| example(&[answer, answer], 0.0)).collect();
        tch::manual_seed(0);
        let batch = Batch::new(&examples.iter().collect::<Vec<_>>(), Device::Cpu);
        let scores = classifier.forward(&batch, true, false, &Probe::off()).scores; // [8, 2]
        near(&scores.select(1, 0), &scores.select(1, 1));
        let first = Vec::<f64>::try_from(scores.select(1, 0).to_kind(Kind::Double)).unwrap();
        assert!(first.iter().any(|x| (x - first[0]).abs() > 1e-6), "{first:?}");
    }

    #[test]
    fn a_classifier_learns_which_token_tells_and_keeps_the_best_epoch() {
        tch::set_num_threads(1); // the tensors are tiny, and threads wait for each other
        let classifier = classifier("sst-2", 0.1);
        let examples: Vec<Encoded> = (0..64_i64)
            .map(|i| example(&[&[17, 1 + i % 7, 10 + i % 2, 1 + i % 5, 19]], (i % 2) as f64))
            .collect();
        let cfg = Config {
            epochs: 10,
            batch: 8,
            lr: vec![1e-2],
            warmup: 0.1,
            weight_decay: 0.01,
            clip: 1.0,
            lm_weight: 0.5,
            classifier_dropout: 0.1,
            dropout: Dropout::NONE,
        };
        let autocast = || Precision::Fp32.autocast(Device::Cpu);
        let mut vals = Vec::new();
        let mut seen = |_, _, epoch: Option<Epoch>, _| {
            vals.extend(epoch.map(|epoch| epoch.val));
            Ok(())
        };
        let sets = [&examples[..48], &examples[48..]];
        let best = tune(&classifier, &cfg, 1e-2, 0, sets, &autocast, &mut seen).unwrap();
        assert_eq!(vals.len(), 10);
        let highest = vals.iter().copied().fold(0.0, f64::max);
        assert!((best - highest).abs() < 1e-9 && best > 99.0, "{vals:?}");
        let again = classifier.score(sets[1], 5, &autocast).unwrap();
        assert!((again - best).abs() < 1e-9, "{again}");
    }

    #[test]
    fn more_labels_hold_the_fewer_and_another_seed_draws_others() {
        let all: Vec<u32> = (0..100).collect();
        let (few, more) = (subset(&all, 5, 1), subset(&all, 20, 1));
        assert_eq!(few, more[..5]);
        assert_ne!(few, subset(&all, 5, 2));
        assert_eq!(subset(&all, 200, 1).len(), 100);
    }
}
