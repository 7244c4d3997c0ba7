//! A model with a linear layer on its state at the extract token, and the losses that section 3.2 adds up.
//!
//! `N` examples, `K` sequences of each (two orders, or the answers), `L` tokens of the longest, `C` channels.

use common::interrupt;
use common::nn::probe::Probe;
use common::nn::transformer::parts::tied_loss;
use common::rng;
use common::shim::Autocast;
use tch::nn::{self, Init, Module as _};
use tch::{Kind, Tensor};

use crate::forms::Encoded;
use crate::model::Model;
use crate::tasks::{Form, Task};

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
pub(super) struct Batch {
    /// `[N·K, L]`, padded with the first token of the vocabulary.
    ids: Tensor,
    /// 1 where a token is the sequence's own: `[N·K, L]`.
    mask: Tensor,
    /// Where each sequence ends: `[N·K]`.
    ends: Tensor,
    /// `[N]`
    pub(super) labels: Vec<f64>,
    /// Sequences of an example.
    k: i64,
}

impl Batch {
    pub(super) fn new(examples: &[&Encoded], device: tch::Device) -> Self {
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
pub(super) struct Outputs {
    /// `[N, outputs]`; of a choice `[N, K]`.
    pub(super) scores: Tensor,
    /// Mean over sequences of the language model's loss, in nats a token, if it was asked for.
    pub(super) lm: Option<Tensor>,
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
    pub(super) fn forward(
        &self,
        batch: &Batch,
        train: bool,
        with_lm: bool,
        probe: &Probe,
    ) -> Outputs {
        let body = &self.model.body;
        let states = body.states(&batch.ids, train, probe); // [N·K, L, C]
        let c = states.size()[2];
        let index = batch.ends.view([-1, 1, 1]).expand([-1, 1, c], false);
        let ends = states.gather(1, &index, false).squeeze_dim(1); // [N·K, C]
        let ends = ends.view([-1, batch.k, c]); // [N, K, C]
        let ends = match self.task.form {
            Form::Similarity => ends.sum_dim_intlist([1_i64].as_slice(), false, Kind::Float), // [N, C]
            Form::Single | Form::Entailment => ends.squeeze_dim(1),
            Form::Choice | Form::Gap => ends,
        };
        // The answers of an example share one mask.
        //
        // Source: openai/finetune-transformer-lm, `train.py`, `clf_pdrop`.
        let mask = match self.task.form {
            Form::Choice | Form::Gap => {
                ends.narrow(1, 0, 1).ones_like().dropout(self.dropout, train)
            }
            _ => ends.ones_like().dropout(self.dropout, train),
        };
        let scores = self.head.forward(&(ends * mask)).to_kind(Kind::Float);
        let scores = match self.task.form {
            Form::Choice | Form::Gap => scores.squeeze_dim(2), // [N, K]
            _ => scores,                                       // [N, outputs]
        };
        let lm = with_lm.then(|| self.lm_loss(&states, batch));
        Outputs { scores: probe.see("classifier", scores), lm }
    }

    /// The language model's loss, averaged over each sequence's own tokens and then over sequences.
    ///
    /// Source: openai/finetune-transformer-lm, `train.py`, `lm_losses`.
    fn lm_loss(&self, states: &Tensor, batch: &Batch) -> Tensor {
        let (n, l) = batch.ids.size2().expect("ids are [N·K, L]");
        let c = states.size()[2];
        let states = states.narrow(1, 0, l - 1).reshape([-1, c]); // [N·K·(L − 1), C]
        let targets = batch.ids.narrow(1, 1, l - 1).flatten(0, 1);
        let mask = batch.mask.narrow(1, 1, l - 1); // [N·K, L − 1]
        let own = mask.sum_dim_intlist([1_i64].as_slice(), true, Kind::Float); // [N·K, 1]
        let weights = (mask / own / n as f64).flatten(0, 1);
        // Padding has no weight and needs no scores.
        let kept = weights.nonzero().squeeze_dim(1);
        let of = |xs: &Tensor| xs.index_select(0, &kept);
        let table = self.model.body.tokens();
        tied_loss(&of(&states), table, &of(&targets), Some(&of(&weights)))
    }

    /// The classifier's loss: cross-entropy, or the squared error of a number.
    pub(super) fn loss(&self, scores: &Tensor, labels: &[f64]) -> Tensor {
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

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use common::nn::transformer::TransformerConfig;
    use tch::Device;

    use crate::model::Shape;

    pub(in crate::finetune) fn classifier(task: &str, dropout: f64) -> Classifier {
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

    pub(in crate::finetune) fn example(sequences: &[&[i64]], label: f64) -> Encoded {
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
}
