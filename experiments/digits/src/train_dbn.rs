//! One deep belief net: machine after machine, then the up-down algorithm.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::ensure;
use common::data::sampler::{LastBatch, Sampler};
use common::rng;
use common::rows::{read_rows, write_rows};
use common::training_run::TrainingRun;
use ledger::run::RunKey;
use serde::{Deserialize, Serialize};
use tch::nn::VarStore;
use tch::{Kind, Tensor};

use crate::data::{Cases, batch, one_hot};
use crate::dbn::Dbn;
use crate::pictures::{self, GENERATED};
use crate::pretrain::{self, Stack, Top};
use crate::steps::Steps;

/// Everything that decides the numbers of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// Units from the pixels to the features below the associative memory.
    pub widths: Vec<i64>,
    /// Hidden units of the associative memory.
    pub top: i64,
    /// Kinds of pictures.
    pub classes: i64,
    /// How the machines are trained.
    pub pre_training: pretrain::Config,
    /// How the net is tuned then.
    pub up_down: UpDown,
    /// Training pictures; fewer than the set has are a fixed random subset.
    pub cases: usize,
    /// Pictures beside them that only validate.
    pub val_cases: usize,
    /// Pictures generated for each class, …
    pub generated: usize,
    /// … after so many steps of Gibbs sampling.
    pub generated_gibbs: usize,
    /// sha256 over the data set's labels and pixels.
    pub data_sha256: String,
}

impl Config {
    /// Parameters, both ways counted, and about how many multiply-adds a run takes.
    pub fn size(&self) -> (i64, f64) {
        let layers: i64 = self.widths.windows(2).map(|pair| pair[0] * pair[1]).sum();
        let features = self.widths[self.widths.len() - 1] + self.classes;
        let memory = features * self.top;
        let biases = 2 * self.widths.iter().sum::<i64>() - self.widths[0] + self.classes + self.top;
        let machines = 5 * (layers + memory) * self.pre_training.epochs as i64;
        let gibbs = self.up_down.gibbs.iter().sum::<usize>() as i64 / 3;
        // Up, the way down's guess and correction; down, the way up's; up and down again in the memory.
        let tuning = (6 * layers + (2 * gibbs + 3) * memory) * self.up_down.epochs as i64;
        let work = self.cases as f64 * (machines + tuning) as f64;
        (2 * layers + memory + biases, work)
    }
}

/// The settings of the up-down algorithm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpDown {
    /// Passes over the cases.
    pub epochs: u64,
    /// Cases in a batch.
    pub batch: usize,
    /// Learning rate.
    pub lr: f64,
    /// Steps of Gibbs sampling in the associative memory, in each third of the epochs.
    pub gibbs: [usize; 3],
    /// Passes over training and validation pictures together after that, with the last of `gibbs`.
    pub all_epochs: u64,
}

/// The columns of `metrics.csv` after step and time. `val/error` is a fraction.
pub const COLUMNS: [&str; 4] = ["layer", "rbm/error", "epoch", "val/error"];
/// The file of [`Prediction`]s in a run's folder.
pub const PREDICTIONS: &str = "predictions.csv.gz";

/// What was said of one test picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prediction {
    /// Its class.
    pub label: i64,
    /// The class that the net found before the up-down algorithm.
    pub greedy: i64,
    /// The class that it finds after it.
    pub tuned: i64,
    /// The class that it finds at the end, when it was tuned on the validation pictures, too.
    pub all: i64,
}

/// A part of the tuning.
struct Part<'a> {
    cases: &'a Cases,
    epochs: u64,
    sampler: Sampler,
}

impl<'a> Part<'a> {
    fn new(cases: &'a Cases, epochs: u64, seed: u64, batch: usize) -> Self {
        Self { cases, epochs, sampler: Sampler::new(seed, cases.len(), batch, LastBatch::Drop) }
    }

    fn steps(&self) -> u64 {
        self.epochs * self.sampler.steps_per_epoch()
    }
}

/// Trains from wherever `run` stopped; returns the numbers it ended with. The test pictures are looked at once, at the end.
///
/// # Errors
/// A reconstruction that is not finite, an interrupt, a file that cannot be written.
pub fn train(
    key: &RunKey,
    cfg: &Config,
    train: &Cases,
    val: &Cases,
    test: &Cases,
    run: &mut TrainingRun,
) -> anyhow::Result<BTreeMap<String, f64>> {
    let _no_grad = tch::no_grad_guard();
    let store = VarStore::new(run.device());
    let root = store.root();
    rng::seed_torch(key.seed, "init", 0);
    let widths = [&cfg.widths[..], &[cfg.top]].concat();
    let (pre, up_down) = (&cfg.pre_training, &cfg.up_down);
    let mut stack = Stack::new(&(&root / "stack"), &widths, Top::Labelled(cfg.classes), pre.std);
    let mut dbn = Dbn::new(&(&root / "dbn"), &cfg.widths, cfg.classes, cfg.top);
    // The classes of the test pictures after the first part of the tuning.
    let mut tuned = root.zeros_no_train("tuned", &[test.len() as i64]);
    let all = train.and(val);
    let part = |cases, epochs| Part::new(cases, epochs, key.seed, up_down.batch);
    let parts = [part(train, up_down.epochs), part(&all, up_down.all_epochs)];
    let pre_steps = pre.steps(stack.rbms.len(), train.len());
    let tuned_steps = pre_steps + parts[0].steps();
    let n_steps = tuned_steps + parts[1].steps();
    let mut steps = Steps::resume_or_start(run, store, key.seed, n_steps, &COLUMNS)?;
    let ys = one_hot(&train.labels, cfg.classes);

    // 1. Machine after machine; the topmost sees the labels, too.
    let sees = |stack: &Stack, layer: usize| {
        let features = stack.inputs(&train.xs, layer);
        let topmost = layer + 1 == stack.rbms.len();
        if topmost { Tensor::cat(&[&features, &ys], 1) } else { features }
    };
    pretrain::train(&mut steps, pre, &mut stack, train.len(), sees)?;
    if steps.step == pre_steps {
        dbn.take(&stack);
    }

    // 2. All of it, up and down: on the training pictures, and then on those that validated, too.
    for (part, begin) in parts.iter().zip([pre_steps, tuned_steps]) {
        if steps.step == tuned_steps {
            tuned.copy_(&dbn.classify(&test.xs));
        }
        while steps.step < begin + part.steps() {
            let t = steps.step - begin;
            let chosen = part.sampler.batch_of(t);
            let first = begin == pre_steps;
            let third = if first { (3 * chosen.epoch / part.epochs) as usize } else { 2 };
            rng::seed_torch(key.seed, "up-down", steps.step);
            let xs = batch(&part.cases.xs, &chosen.indices);
            let ys = one_hot(&batch(&part.cases.labels, &chosen.indices), cfg.classes);
            let error = dbn.up_down(&xs, &ys, up_down.gibbs[third], up_down.lr);
            ensure!(
                error.is_finite(),
                "the error of the memory's reconstructions is {error} at step {}; try a lower learning rate",
                steps.step
            );
            steps.step += 1;
            if first && (t + 1).is_multiple_of(part.sampler.steps_per_epoch()) {
                let row = [
                    ("epoch", (chosen.epoch + 1) as f64),
                    ("val/error", val.error(&dbn.classify(&val.xs))),
                ];
                steps.run.log(steps.step, &row)?;
            }
            steps.end_step(up_down.batch, error)?;
        }
    }

    // 3. What it knows, and what it makes. The machines are as they were before the up-down algorithm.
    rng::seed_torch(key.seed, "generate", 0);
    let each = Tensor::arange(cfg.classes, (Kind::Int64, train.xs.device()));
    let labels = each.repeat_interleave_self_int(cfg.generated as i64, None::<i64>, None::<i64>);
    let digits = dbn.generate(&one_hot(&labels, cfg.classes), cfg.generated_gibbs);
    pictures::write(&steps.run.path().join(GENERATED), &digits, cfg.generated)?;
    let all = dbn.classify(&test.xs);
    dbn.take(&stack);
    let columns = [&test.labels, &dbn.classify(&test.xs), &tuned, &all].map(whole);
    let predictions: Vec<Prediction> = (0..test.len())
        .map(|i| {
            let [label, greedy, tuned, all] = columns.each_ref().map(|column| column[i]);
            Prediction { label, greedy, tuned, all }
        })
        .collect();
    write_rows(&steps.run.path().join(PREDICTIONS), &predictions)?;
    let numbers = [
        ("greedy/val/error", val.error(&dbn.classify(&val.xs))),
        ("greedy/test/error", error(&predictions, |p| p.greedy)),
        ("tuned/test/error", error(&predictions, |p| p.tuned)),
        ("test/error", error(&predictions, |p| p.all)),
    ];
    Ok(numbers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// Share of the predictions whose class, as `of` finds it, is not the label.
pub fn error(predictions: &[Prediction], of: impl Fn(&Prediction) -> i64) -> f64 {
    let wrong = predictions.iter().filter(|p| of(p) != p.label).count();
    wrong as f64 / predictions.len() as f64
}

/// The predictions in a run's folder.
///
/// # Errors
/// A file that cannot be read or holds other rows.
pub fn predictions(folder: &Path) -> anyhow::Result<Vec<Prediction>> {
    read_rows(&folder.join(PREDICTIONS))
}

/// Classes as numbers.
fn whole(classes: &Tensor) -> Vec<i64> {
    Vec::try_from(classes.to_kind(Kind::Int64)).expect("they are whole numbers in a row")
}
