//! The plain baseline beside the fine-tuned models: logistic regression on a bag of words and pairs of words.
//!
//! Of a pair the two texts are one; of a choice each answer is judged by itself, without its context, and the best is
//! taken.

use common::linear::bag::Bag;
use common::linear::logistic::{LinearError, Penalty};
use common::linear::search::{Examples, choose_c};

use crate::tasks::{Example, Form, Task, TaskData};

/// Words and pairs of words.
const LONGEST: usize = 2;
/// A pair that is in one training text only says nothing about others.
const MIN_TEXTS: usize = 2;

/// Whether the baseline can do a task: two classes, or answers to choose from.
pub fn can_do(task: &Task) -> bool {
    let two = task.classes == 2 && !task.is_regression() && task.form != Form::Gap;
    task.form == Form::Choice || two
}

/// Predicted classes or answers of the test part, in its order; the penalty is chosen on the validation part.
///
/// # Errors
/// Labels of one class only.
pub fn predict(data: &TaskData) -> Result<Vec<f64>, LinearError> {
    let form = data.task.form;
    let (train, labels) = judged(form, &data.train);
    let (val, val_labels) = judged(form, &data.val);
    let (test, _) = judged(form, &data.test);
    let bag = Bag::new(&train, LONGEST, MIN_TEXTS);
    let (train, val) = (bag.features(&train), bag.features(&val));
    let chosen = choose_c(
        Examples { features: &train, labels: &labels },
        Examples { features: &val, labels: &val_labels },
        Penalty::L2,
    )?;
    let scores = chosen.linear.scores(&bag.features(&test));
    if form != Form::Choice {
        return Ok(scores.iter().map(|&score| f64::from(u8::from(score > 0.0))).collect());
    }
    let answers = data.task.classes;
    let best = |scores: &[f64]| -> f64 {
        let best = scores.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
        best.expect("a choice has answers").0 as f64
    };
    Ok(scores.chunks(answers).map(best).collect())
}

/// The texts that are judged, and whether each is positive.
fn judged(form: Form, examples: &[Example]) -> (Vec<String>, Vec<bool>) {
    let mut texts = Vec::new();
    let mut labels = Vec::new();
    for example in examples {
        let label = example.label.round() as usize;
        if form == Form::Choice {
            for (place, answer) in example.texts[1..].iter().enumerate() {
                texts.push(answer.clone());
                labels.push(place == label);
            }
        } else {
            texts.push(example.texts.join("\n"));
            labels.push(label == 1);
        }
    }
    (texts, labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(task: &str, example: impl Fn(usize) -> Example) -> TaskData {
        let part = |from: usize| (from..from + 40).map(&example).collect();
        let task = Task::get(task).unwrap();
        TaskData { task, train: part(0), val: part(40), test: part(80), sha256: String::new() }
    }

    #[test]
    fn a_word_that_tells_is_found_in_texts_and_in_answers() {
        let said = ["dull", "bright"];
        let single = data("sst-2", |i| Example {
            texts: vec![format!("film {} was {} w{}", i % 7, said[i % 2], i % 5)],
            label: (i % 2) as f64,
        });
        let wanted: Vec<f64> = single.test.iter().map(|e| e.label).collect();
        assert_eq!(predict(&single).unwrap(), wanted);
        let choice = data("story-cloze", |i| {
            let mut texts = vec!["a story".to_owned(), "a bright end".into(), "a dull end".into()];
            let label = i % 3 % 2;
            if label == 1 {
                texts.swap(1, 2);
            }
            Example { texts, label: label as f64 }
        });
        let wanted: Vec<f64> = choice.test.iter().map(|e| e.label).collect();
        assert_eq!(predict(&choice).unwrap(), wanted);
    }
}
