//! Section 5's heuristics: tasks answered by the language model's probabilities, without fine-tuning.
//!
//! Source: Radford et al. 2018, section 5, "Zero-shot behaviors". Acceptability is the mean log-probability of a
//! sentence's tokens against a threshold; sentiment compares "positive" and "negative" after the sentence and "very";
//! a choice takes the answer whose tokens have the highest mean log-probability, and a gap the filling after which the
//! rest of the text has it.
//! Differs: the paper does not say where the threshold comes from; here it is the best on the validation part. A word
//! of several tokens counts with the sum of their log-probabilities.

use std::cell::Cell;

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
#[derive(Debug, PartialEq)]
struct Judged {
    ids: Vec<i64>,
    from: usize,
    /// Tokens that did not fit into the context.
    lost: usize,
}

impl Judged {
    /// `before` and `more`, which is judged, in at most `context` tokens: `before` loses its beginning, and where that
    /// is not enough `more` its end.
    fn new(mut before: Vec<i64>, more: &[i64], context: usize) -> Self {
        let all = before.len() + more.len();
        before.drain(..before.len().min(all.saturating_sub(context)));
        let from = before.len().max(1);
        before.extend(&more[..more.len().min(context)]);
        Self { lost: all - before.len(), ids: before, from }
    }
}

/// Predictions, and what did not fit.
#[derive(Debug)]
pub struct Found {
    /// For the test part, in its order.
    pub predictions: Vec<f64>,
    /// Sequences of the test part that were longer than the context.
    pub cut: usize,
}

/// Predictions for the test part of a task; none for a task that the paper has no heuristic for.
///
/// # Errors
/// Ctrl-C.
pub fn predict(
    model: &Model,
    tokenizer: &Tokenizer,
    data: &TaskData,
    autocast: &dyn Fn() -> Autocast,
) -> anyhow::Result<Option<Found>> {
    let context = model.shape().context() as usize;
    let cut = Cell::new(0);
    let judge = |judged: &[Judged]| {
        cut.set(cut.get() + judged.iter().filter(|one| one.lost > 0).count());
        log_probabilities(model, judged, autocast)
    };
    let predictions = match (data.task.name, data.task.form) {
        ("cola", _) => {
            let val = judge(&sentences(tokenizer, &data.val, context))?;
            cut.set(0);
            let test = judge(&sentences(tokenizer, &data.test, context))?;
            let mean = |scores: Vec<(f64, usize)>| -> Vec<f64> {
                scores.into_iter().map(|(sum, n)| sum / n.max(1) as f64).collect()
            };
            let labels: Vec<f64> = data.val.iter().map(|example| example.label).collect();
            let threshold = best_threshold(&mean(val), &labels, data);
            mean(test).into_iter().map(|x| f64::from(u8::from(x > threshold))).collect()
        }
        ("sst-2" | "rotten-tomatoes", _) => {
            let judged = |word: &str| -> Vec<Judged> {
                let after = |example: &Example| {
                    continued(
                        tokenizer,
                        &format!("{} very", example.texts[0].trim()),
                        word,
                        context,
                    )
                };
                data.test.iter().map(after).collect()
            };
            let positive = judge(&judged("positive"))?;
            let negative = judge(&judged("negative"))?;
            let pairs = positive.iter().zip(&negative);
            pairs.map(|(p, n)| f64::from(u8::from(p.0 > n.0))).collect()
        }
        (_, Form::Choice) => {
            let answers = |example: &Example| -> Vec<Judged> {
                let answers = example.texts[1..].iter();
                answers
                    .map(|answer| continued(tokenizer, &example.texts[0], answer, context))
                    .collect()
            };
            let judged: Vec<Judged> = data.test.iter().flat_map(answers).collect();
            likeliest(&judge(&judged)?, data.task.classes)
        }
        (_, Form::Gap) => {
            let filled = |example: &Example| gap(tokenizer, example, context);
            let judged: Vec<Judged> = data.test.iter().flat_map(filled).collect();
            likeliest(&judge(&judged)?, data.task.classes)
        }
        _ => return Ok(None),
    };
    let cut = cut.get();
    if cut > 0 {
        tracing::warn!(
            "{}: {cut} sequences are longer than the context of {context} tokens and were cut",
            data.task.name
        );
    }
    Ok(Some(Found { predictions, cut }))
}

/// Of each example's sequences the one with the highest mean log-probability.
fn likeliest(scores: &[(f64, usize)], each: usize) -> Vec<f64> {
    let mean = |&(sum, n): &(f64, usize)| sum / n.max(1) as f64;
    let best = |scores: &[(f64, usize)]| {
        let best = scores.iter().enumerate().max_by(|a, b| mean(a.1).total_cmp(&mean(b.1)));
        best.expect("an example has sequences to choose from").0 as f64
    };
    scores.chunks(each).map(best).collect()
}

/// A text with each of its fillings; what follows the gap is judged.
fn gap(tokenizer: &Tokenizer, example: &Example, context: usize) -> Vec<Judged> {
    let [before, fillings @ .., after] = &example.texts[..] else {
        unreachable!("a gap has a text before and one after it");
    };
    let filled = |filling: &String| {
        continued(tokenizer, format!("{before} {filling}").trim(), after, context)
    };
    fillings.iter().map(filled).collect()
}

fn encode(tokenizer: &Tokenizer, text: &str) -> Vec<i64> {
    tokenizer.encode(text).into_iter().map(i64::from).collect()
}

/// Whole sentences: every token but the first is judged, since nothing predicts that.
fn sentences(tokenizer: &Tokenizer, examples: &[Example], context: usize) -> Vec<Judged> {
    let judged =
        |example: &Example| Judged::new(vec![], &encode(tokenizer, &example.texts[0]), context);
    examples.iter().map(judged).collect()
}

/// A text and what follows it, which is judged.
fn continued(tokenizer: &Tokenizer, text: &str, more: &str, context: usize) -> Judged {
    Judged::new(encode(tokenizer, text), &encode(tokenizer, more), context)
}

/// Sum of the log-probabilities of each sequence's judged tokens, in nats, and how many they are.
fn log_probabilities(
    model: &Model,
    judged: &[Judged],
    autocast: &dyn Fn() -> Autocast,
) -> anyhow::Result<Vec<(f64, usize)>> {
    let _no_grad = tch::no_grad_guard();
    let length = |one: &Judged| one.ids.len();
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
            Judged::new(vec![1, 2, 3], &[4, 5], 6),
            Judged::new(vec![], &[7, 8], 6),
            Judged::new(vec![9], &[], 6),
            Judged::new(vec![1, 2, 3, 4], &[5, 6, 7, 8], 6),
        ];
        // What does not fit is cut from the front of what is not judged, then from the end of what is.
        assert_eq!(judged[3], Judged { ids: vec![3, 4, 5, 6, 7, 8], from: 2, lost: 2 });
        let long = Judged::new(vec![1], &[2, 3, 4, 5, 6, 7, 8, 9], 6);
        assert_eq!(long, Judged { ids: vec![2, 3, 4, 5, 6, 7], from: 1, lost: 3 });
        let found = log_probabilities(&model, &judged, &autocast).unwrap();
        let _no_grad = tch::no_grad_guard();
        for (one, (sum, n)) in judged.iter().zip(found) {
            let ids = &one.ids[..];
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
    fn of_answers_the_one_with_the_likeliest_tokens_is_taken_whatever_its_length() {
        let scores = [(-4.0, 2), (-9.0, 6), (-1.0, 1), (-0.5, 1)];
        assert_eq!(likeliest(&scores, 2), [1.0, 1.0]);
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
