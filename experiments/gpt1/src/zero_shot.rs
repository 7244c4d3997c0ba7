//! Section 5's heuristics: tasks answered by the language model's probabilities, without fine-tuning.
//!
//! Source: Radford et al. 2018, section 5, "Zero-shot behaviors". Acceptability is the mean log-probability of a
//! sentence's tokens against a threshold; sentiment compares "positive" and "negative" after the sentence and "very";
//! a choice takes the answer whose tokens have the highest mean log-probability.
//! Differs: the paper does not say where the threshold comes from; here it is the best on the validation part. A word
//! of several tokens counts with the sum of their log-probabilities.

use common::data::tokenizer::Tokenizer;
use common::interrupt;
use common::nn::probe::Probe;
use common::shim::Autocast;
use tch::{Kind, Tensor};

use crate::model::Model;
use crate::tasks::{Example, Form, TaskData};

/// Sequences that are read side by side.
const BATCH: usize = 32;

/// Tokens, of which those from `from` on are judged.
struct Judged {
    ids: Vec<i64>,
    from: usize,
}

/// Predictions for the test part of a task, in its order; none for a task that the paper has no heuristic for.
///
/// # Errors
/// Ctrl-C.
pub fn predict(
    model: &Model,
    tokenizer: &Tokenizer,
    data: &TaskData,
    autocast: &dyn Fn() -> Autocast,
) -> anyhow::Result<Option<Vec<f64>>> {
    let judge = |judged: &[Judged]| log_probabilities(model, judged, autocast);
    Ok(match (data.task.name, data.task.form) {
        ("cola", _) => {
            let val = judge(&sentences(tokenizer, &data.val))?;
            let test = judge(&sentences(tokenizer, &data.test))?;
            let mean = |scores: Vec<(f64, usize)>| -> Vec<f64> {
                scores.into_iter().map(|(sum, n)| sum / n.max(1) as f64).collect()
            };
            let labels: Vec<f64> = data.val.iter().map(|example| example.label).collect();
            let threshold = best_threshold(&mean(val), &labels, data);
            Some(mean(test).into_iter().map(|x| f64::from(u8::from(x > threshold))).collect())
        }
        ("sst-2" | "rotten-tomatoes", _) => {
            let judged = |word: &str| -> Vec<Judged> {
                let after = |example: &Example| {
                    continued(tokenizer, &format!("{} very", example.texts[0].trim()), word, model)
                };
                data.test.iter().map(after).collect()
            };
            let positive = judge(&judged("positive"))?;
            let negative = judge(&judged("negative"))?;
            let pairs = positive.iter().zip(&negative);
            Some(pairs.map(|(p, n)| f64::from(u8::from(p.0 > n.0))).collect())
        }
        (_, Form::Choice) => {
            let answers = |example: &Example| -> Vec<Judged> {
                let answers = example.texts[1..].iter();
                answers
                    .map(|answer| continued(tokenizer, &example.texts[0], answer, model))
                    .collect()
            };
            let judged: Vec<Judged> = data.test.iter().flat_map(answers).collect();
            let scores: Vec<f64> =
                judge(&judged)?.into_iter().map(|(sum, n)| sum / n.max(1) as f64).collect();
            let best = |scores: &[f64]| {
                let best = scores.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
                best.expect("a choice has answers").0 as f64
            };
            Some(scores.chunks(data.task.classes).map(best).collect())
        }
        _ => None,
    })
}

fn encode(tokenizer: &Tokenizer, text: &str) -> Vec<i64> {
    tokenizer.encode(text).into_iter().map(i64::from).collect()
}

/// Whole sentences: every token but the first is judged, since nothing predicts that.
fn sentences(tokenizer: &Tokenizer, examples: &[Example]) -> Vec<Judged> {
    let judged = |example: &Example| Judged { ids: encode(tokenizer, &example.texts[0]), from: 1 };
    examples.iter().map(judged).collect()
}

/// A text and what follows it, which is judged. Of a text that is too long the end is kept.
fn continued(tokenizer: &Tokenizer, text: &str, more: &str, model: &Model) -> Judged {
    let (mut ids, more) = (encode(tokenizer, text), encode(tokenizer, more));
    let context = model.shape().context() as usize;
    let room = context.saturating_sub(more.len());
    ids.drain(..ids.len().saturating_sub(room));
    let from = ids.len().max(1);
    ids.extend(more);
    Judged { ids, from }
}

/// Sum of the log-probabilities of each sequence's judged tokens, in nats, and how many they are. What is longer than
/// the context loses its end.
fn log_probabilities(
    model: &Model,
    judged: &[Judged],
    autocast: &dyn Fn() -> Autocast,
) -> anyhow::Result<Vec<(f64, usize)>> {
    let _no_grad = tch::no_grad_guard();
    let context = model.shape().context() as usize;
    let length = |one: &Judged| one.ids.len().min(context);
    let mut order: Vec<usize> = (0..judged.len()).collect();
    order.sort_by_key(|&i| (length(&judged[i]), i));
    let mut scores = vec![(0.0, 0); judged.len()];
    for some in order.chunks(BATCH) {
        interrupt::check()?;
        let longest = some.iter().map(|&i| length(&judged[i])).max().unwrap_or_default();
        if longest < 2 {
            continue; // nothing predicts a first token
        }
        let (mut ids, mut mask) = (Vec::new(), Vec::new());
        for &i in some {
            let n = length(&judged[i]);
            ids.extend_from_slice(&judged[i].ids[..n]);
            ids.resize(ids.len() + longest - n, 0);
            let own = |at: usize| (judged[i].from..n).contains(&at);
            mask.extend((1..longest).map(|at| if own(at) { 1.0_f32 } else { 0.0 }));
            scores[i].1 = n.saturating_sub(judged[i].from);
        }
        let (b, l) = (some.len() as i64, longest as i64);
        let ids = Tensor::from_slice(&ids).view([b, l]).to_device(model.device());
        let mask = Tensor::from_slice(&mask).view([b, l - 1]).to_device(model.device());
        let logits = {
            let _autocast = autocast();
            model.body.logits(&model.body.states(&ids.narrow(1, 0, l - 1), false, &Probe::off()))
        };
        let logs = logits.log_softmax(-1, Kind::Float); // [B, L − 1, V]
        let chosen = logs.gather(2, &ids.narrow(1, 1, l - 1).unsqueeze(2), false).squeeze_dim(2);
        let sums = (chosen * mask).sum_dim_intlist([1_i64].as_slice(), false, Kind::Double); // [B]
        for (&i, sum) in some.iter().zip(Vec::<f64>::try_from(sums)?) {
            scores[i].0 = sum;
        }
    }
    Ok(scores)
}

/// The threshold above which predicting 1 scores best.
fn best_threshold(scores: &[f64], labels: &[f64], data: &TaskData) -> f64 {
    let mut candidates = scores.to_vec();
    candidates.push(f64::NEG_INFINITY);
    let of = |threshold: f64| {
        let predicted: Vec<f64> =
            scores.iter().map(|&score| f64::from(u8::from(score > threshold))).collect();
        data.task.metric.of(&predicted, labels)
    };
    let best = candidates.into_iter().max_by(|a, b| of(*a).total_cmp(&of(*b)).then(b.total_cmp(a)));
    best.expect("there is at least one candidate")
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::device::Precision;
    use common::nn::transformer::TransformerConfig;
    use tch::Device;

    use crate::model::Shape;

    #[test]
    fn sums_of_log_probabilities_are_those_of_one_sequence_at_a_time() {
        let config = TransformerConfig {
            vocab: 13,
            context: 6,
            n_layers: 1,
            n_heads: 2,
            d_model: 8,
            init_std: 0.5,
            ..TransformerConfig::GPT1
        };
        let model = Model::new(&Shape::Transformer(config), 1, Device::Cpu);
        let autocast = || Precision::Fp32.autocast(Device::Cpu);
        let judged = [
            Judged { ids: vec![1, 2, 3, 4, 5], from: 3 },
            Judged { ids: vec![7, 8], from: 1 },
            Judged { ids: vec![9], from: 1 },
            Judged { ids: vec![1, 2, 3, 4, 5, 6, 7, 8], from: 4 },
        ];
        let found = log_probabilities(&model, &judged, &autocast).unwrap();
        let _no_grad = tch::no_grad_guard();
        for (one, (sum, n)) in judged.iter().zip(found) {
            let ids = &one.ids[..one.ids.len().min(6)];
            let states =
                model.body.states(&Tensor::from_slice(ids).unsqueeze(0), false, &Probe::off());
            let logs = model.body.logits(&states).log_softmax(-1, Kind::Double).squeeze_dim(0);
            let wanted: f64 =
                (one.from..ids.len()).map(|at| logs.double_value(&[at as i64 - 1, ids[at]])).sum();
            assert!((sum - wanted).abs() < 1e-5, "{sum}, wanted {wanted}");
            assert_eq!(n, ids.len() - one.from);
        }
    }

    #[test]
    fn the_threshold_is_the_best_on_what_it_is_chosen_by() {
        let task = crate::tasks::Task::get("cola").unwrap();
        let data = TaskData {
            task,
            train: Vec::new(),
            val: Vec::new(),
            test: Vec::new(),
            sha256: String::new(),
        };
        let threshold = best_threshold(&[-4.0, -3.0, -2.0, -1.0], &[0.0, 0.0, 1.0, 1.0], &data);
        assert!((-3.0..-2.0).contains(&threshold), "{threshold}");
    }
}
