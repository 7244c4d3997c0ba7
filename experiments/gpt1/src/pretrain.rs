//! Section 3.1's training: a language model of long contiguous stretches of books.
//!
//! `B` sequences, `T` tokens.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::data::text::books::Part;
use common::data::token_corpus::{TokenCorpus, Windows};
use common::device::upload;
use common::distributed::Gradients;
use common::interrupt;
use common::nn::probe::{Probe, check_gradients, non_finite_loss};
use common::optim::schedule::warmup_cosine;
use common::optim::{
    Adam, AdamConfig, Decay, Epsilon, Optimizer as _, ParamGroup, clip, named_params,
};
use common::shim::Autocast;
use common::stations;
use common::training_run::TrainingRun;
use common::window::{Means, Window};
use serde::{Deserialize, Serialize};
use tch::IndexOp as _;
use tch::nn::VarStore;

use crate::model::{Model, Shape};
use crate::weights;

/// Everything that decides the numbers of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// The model.
    pub shape: Shape,
    /// Tokens that a window predicts; published: 512.
    pub length: usize,
    /// Windows of a micro-batch.
    pub batch: usize,
    /// Micro-batches of an update; published: 64 windows in all.
    pub accumulate: u64,
    /// Whether blocks are computed again for the gradient: less memory, a third more work.
    pub recompute: bool,
    /// Updates in all; published: 100 epochs.
    pub steps: u64,
    /// Adam's highest rate, reached after the warm-up; published: 2.5e-4.
    pub lr: f64,
    /// Updates over which the rate rises from 0; published: 2,000.
    pub warmup: u64,
    /// Decoupled decay of matrices and embeddings; published: 0.01.
    pub weight_decay: f64,
    /// The largest norm of all gradients together. Not published for pre-training; the released fine-tuning has 1.
    pub clip: f64,
    /// Updates between two rows of `metrics.csv`; each row's loss is over these.
    pub row_every: u64,
    /// Updates between two looks at the validation books; a multiple of `row_every`.
    pub val_every: u64,
    /// Windows that such a look reads, spread over all; the last one reads as many of the test books.
    pub val_windows: usize,
    /// Updates between two checkpoints.
    pub save_every: u64,
    /// How many times the weights are kept on the way: after all updates, half of them, a quarter, …
    pub stations: u32,
    /// Whether the finished model reads the test books: not where it only helps to choose a setting.
    pub test: bool,
    /// sha256 over books, text mode and vocabulary.
    pub data_sha256: String,
}

/// The constants of the released fine-tuning; those of pre-training are not published.
///
/// Source: openai/finetune-transformer-lm, `train.py` and `opt.py`.
pub const ADAM: AdamConfig = AdamConfig {
    beta1: 0.9,
    beta2: 0.999,
    eps: 1e-8,
    epsilon: Epsilon::Tf1,
    decay: Decay::Decoupled,
};

/// The columns of `metrics.csv` after step and time.
pub const COLUMNS: [&str; 8] = [
    "tokens",
    "epoch",
    "lr",
    "train/loss",
    "train/grad_norm",
    "val/loss",
    "val/perplexity",
    "tokens_per_s",
];

/// Where the loop stands besides its step.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct At {
    window: Window,
    /// What the run ends with.
    last: BTreeMap<String, f64>,
}

/// Trains to the last update from wherever `run` stopped; returns the numbers it ended with. The weights of each
/// station are written to a folder of `kept`.
///
/// # Errors
/// Books too short or too few for a batch, a loss or gradient that is not finite, an interrupt, a file that cannot be
/// read or written.
pub fn train(
    seed: u64,
    cfg: &Config,
    corpus: &Arc<TokenCorpus>,
    kept: &Path,
    run: &mut TrainingRun,
) -> anyhow::Result<BTreeMap<String, f64>> {
    let windows = windows(corpus, Part::Train, cfg.length, cfg.batch)?;
    let val = windows_to_judge(corpus, Part::Val, cfg)?;
    let sampler = windows.sampler(seed, cfg.batch);
    let micro_per_epoch = sampler.steps_per_epoch();
    let tokens_per_step = (cfg.batch * cfg.length) as f64 * cfg.accumulate as f64;

    let mut model = Model::new(&cfg.shape, seed, run.device());
    model.body.set_recompute(cfg.recompute);
    let params = named_params(&model.vs);
    let mut opt = optimizer(&model.vs, cfg.weight_decay);
    let own = run.world().divide(cfg.batch, cfg.accumulate)?;
    let share = own.micro.len() as f64;
    let (mut step, mut at) = run.resume_or_start::<At>(&model.vs, &mut opt, &COLUMNS)?;
    let grads = Gradients::new(run.world(), &params)?;
    let autocast = run.autocast();
    let (mut seen, mut since) = (step, run.elapsed_s());

    while step < cfg.steps {
        // 1. One update over `accumulate` micro-batches; those of this process.
        let lr = warmup_cosine(step, cfg.warmup, cfg.steps, cfg.lr);
        opt.zero_grad();
        let mut loss = 0.0;
        for &micro in &own.micro {
            let draw = step * cfg.accumulate + micro;
            run.world().seed_torch(seed, "dropout", draw);
            let ids = windows.batch(seed, &sampler, draw); // [B, T + 1]
            let ids = ids.i(own.rows.start as i64..own.rows.end as i64);
            let ids = upload(&ids, run.device());
            let of_micro = {
                let _autocast = autocast();
                model.loss(&ids, true, &Probe::off()) / share
            };
            let value = of_micro.double_value(&[]);
            if !value.is_finite() {
                run.world().seed_torch(seed, "dropout", draw);
                let why = non_finite_loss(value, step, &params, |probe| {
                    drop(model.loss(&ids, true, probe));
                });
                return Err(why.into());
            }
            grads.backward(&of_micro, Some(&micro) == own.micro.last())?;
            loss += value;
        }
        let loss = run.world().mean(loss)?;
        let norm = clip::clip_grad_norm(&params, cfg.clip);
        check_gradients(norm, step, &params)?;
        opt.step(lr);
        step += 1;

        // 2. Everything that only looks.
        at.window.add(loss, norm);
        run.tick(step, cfg.steps, tokens_per_step, "tokens/s", loss);
        let done = step == cfg.steps;
        if step.is_multiple_of(cfg.row_every) || done {
            let Means { loss, grad_norm } = at.window.take();
            let now = run.elapsed_s();
            let mut row = vec![
                ("tokens", step as f64 * tokens_per_step),
                ("epoch", (step * cfg.accumulate) as f64 / micro_per_epoch as f64),
                ("lr", lr),
                ("train/loss", loss),
                ("train/grad_norm", grad_norm),
                ("tokens_per_s", (step - seen) as f64 * tokens_per_step / (now - since)),
            ];
            if step.is_multiple_of(cfg.val_every) || done {
                let loss = mean_loss(&model, &val, cfg, &autocast)?;
                row.extend([("val/loss", loss), ("val/perplexity", loss.exp())]);
            }
            (seen, since) = (step, run.elapsed_s());
            run.log(step, &row)?;
            at.last = row.iter().map(|&(name, value)| (name.to_owned(), value)).collect();
            at.last.remove("tokens_per_s");
        }
        let station_due = stations::stations(cfg.steps, cfg.stations).contains(&step);
        if station_due && run.world().is_first() {
            weights::write(&station(kept, step), &model, Some(&corpus.tokenizer), false)?;
        }
        let stop = run.world().interrupted();
        if step.is_multiple_of(cfg.save_every) || done || stop.is_err() {
            run.save(step, &model.vs, &opt, &at)?;
        }
        if !done {
            stop?;
        }
    }
    // The test books are read once, by the finished model.
    if cfg.test {
        let test = windows_to_judge(corpus, Part::Test, cfg)?;
        let loss = mean_loss(&model, &test, cfg, &autocast)?;
        at.last.insert("test/loss".to_owned(), loss);
        at.last.insert("test/perplexity".to_owned(), loss.exp());
    }
    at.last.insert("parameters".to_owned(), cfg.shape.parameters() as f64);
    Ok(at.last)
}

/// The released optimiser over all variables: decay for matrices and embeddings only.
///
/// Source: Radford et al. 2018, section 4.1: "all non bias or gain weights".
pub fn optimizer(vs: &VarStore, weight_decay: f64) -> Adam {
    let (matrices, vectors): (Vec<_>, Vec<_>) =
        named_params(vs).into_iter().partition(|(_, param)| param.dim() > 1);
    let group = |params, weight_decay| ParamGroup { params, lr_scale: 1.0, weight_decay };
    Adam::new(vec![group(matrices, weight_decay), group(vectors, 0.0)], ADAM)
}

/// The folder of a station's weights.
pub fn station(folder: &Path, step: u64) -> PathBuf {
    folder.join(format!("step-{step}"))
}

/// The windows of a part, enough of them for a batch.
fn windows(
    corpus: &Arc<TokenCorpus>,
    part: Part,
    length: usize,
    least: usize,
) -> anyhow::Result<Windows> {
    let windows = Windows::new(Arc::clone(corpus), part, length);
    anyhow::ensure!(
        windows.len() >= least,
        "the {part:?} books make {} windows of {length} tokens, {least} are needed: more or longer books, shorter \
         windows or a smaller batch",
        windows.len()
    );
    if windows.left_out() > 0 {
        tracing::warn!(
            "{} {part:?} books are shorter than a window of {length} tokens and left out",
            windows.left_out()
        );
    }
    Ok(windows)
}

/// As many windows of a part as a look reads, evenly spread, as batches of ids `[B, T + 1]`.
fn windows_to_judge(
    corpus: &Arc<TokenCorpus>,
    part: Part,
    cfg: &Config,
) -> anyhow::Result<Vec<tch::Tensor>> {
    let windows = windows(corpus, part, cfg.length, 1)?;
    let n = cfg.val_windows.min(windows.len());
    let indices: Vec<usize> = (0..n).map(|i| i * windows.len() / n).collect();
    Ok(indices.chunks(cfg.batch).map(|some| windows.at(some)).collect())
}

/// Mean loss in nats a token over all windows of `batches`.
fn mean_loss(
    model: &Model,
    batches: &[tch::Tensor],
    cfg: &Config,
    autocast: &dyn Fn() -> Autocast,
) -> anyhow::Result<f64> {
    let _no_grad = tch::no_grad_guard();
    let (mut sum, mut n) = (0.0, 0.0);
    for ids in batches {
        interrupt::check()?;
        let _autocast = autocast();
        let loss = model.loss(&ids.to_device(model.device()), false, &Probe::off());
        let tokens = (ids.size()[0] * cfg.length as i64) as f64;
        sum += loss.double_value(&[]) * tokens;
        n += tokens;
    }
    Ok(sum / n)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    use crate::lstm::LstmConfig;

    #[test]
    fn biases_and_gains_do_not_decay_and_matrices_do() {
        let shape = Shape::Lstm(LstmConfig {
            vocab: 7,
            context: 8,
            d_model: 4,
            hidden: 5,
            dropout: 0.0,
            init_std: 0.1,
        });
        let model = Model::new(&shape, 0, Device::Cpu);
        let before: BTreeMap<_, _> =
            named_params(&model.vs).into_iter().map(|(name, x)| (name, x.copy())).collect();
        for (_, param) in named_params(&model.vs) {
            (&param * 0.0).sum(tch::Kind::Float).backward(); // a gradient of zeros
        }
        optimizer(&model.vs, 0.5).step(0.1);
        for (name, after) in named_params(&model.vs) {
            let factor = if after.dim() > 1 { 1.0 - 0.1 * 0.5 } else { 1.0 };
            let apart = (&before[&name] * factor - &after).abs().max().double_value(&[]);
            assert!(apart < 1e-7, "{name}: {apart}");
        }
    }
}
