//! The training of one model of a grid: a fixed number of tokens, warm-up and decay matched to it.
//!
//! `B` windows, `T` tokens.

use std::collections::BTreeMap;
use std::path::Path;

use common::device::{Precision, upload};
use common::distributed::Gradients;
use common::interrupt;
use common::nn::language_model::{Model, Shape};
use common::nn::probe::{Probe, check_gradients, non_finite_loss};
use common::optim::schedule::{warmup_constant, warmup_cosine};
use common::optim::{
    Adam, AdamConfig, Decay, Epsilon, Optimizer as _, ParamGroup, clip, named_params,
};
use common::rows::write_rows;
use common::shim::Autocast;
use common::training_run::TrainingRun;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::noise;
use crate::text::{Text, Tokens, file};

/// Everything that decides the numbers of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// The model.
    pub shape: Shape,
    /// Tokens that a window predicts.
    pub length: usize,
    /// Windows of an update.
    pub batch: usize,
    /// Updates in all.
    pub steps: u64,
    /// Different tokens there are, if fewer than are read.
    pub unique: Option<u64>,
    /// Adam's highest rate, reached after the warm-up.
    pub lr: f64,
    /// Updates over which the rate rises from 0.
    pub warmup: u64,
    /// Share of the highest rate left at the last update: 0 decays to nothing (Kaplan), 0.1 to a
    /// tenth (Hoffmann), 1 not at all.
    pub floor: f64,
    /// How rates go with width.
    pub rates: Rates,
    /// Adam's second decay rate. Source: Porian et al. 2024: at small batches above 0.95.
    pub beta2: f64,
    /// Decoupled decay of matrices and embeddings.
    pub weight_decay: f64,
    /// The largest norm of all gradients together.
    pub clip: f64,
    /// Updates between two rows, each with a look at the validation part.
    pub look_every: u64,
    /// Windows that such a look reads.
    pub val_windows: usize,
    /// Windows of the test part and of other texts, read at the end.
    pub test_windows: usize,
    /// Looks without a lower loss after which the run stops; 0: never.
    pub patience: u64,
    /// Micro-batches whose gradients are set beside their mean at each look; 0: none.
    pub noise: u64,
    /// sha256 over what decides the tokens.
    pub data_sha256: String,
}

/// How rates go with width.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rates {
    /// One rate for all variables.
    Same,
    /// The matrices of the blocks have `16/width` of it, embeddings and vectors all of it.
    ///
    /// Source: Yang et al. 2022 (Tensor Programs V), table 8, Adam. Differs: only the rates; the
    /// output and attention are not rescaled, since the embedding is the output layer too.
    Mup,
}

/// The width at which both kinds of [`Rates`] are the same.
const MUP_BASE: f64 = 16.0;

impl Config {
    /// Tokens read in all.
    pub fn tokens(&self) -> f64 {
        self.steps as f64 * self.tokens_per_step()
    }

    /// Tokens of an update.
    pub fn tokens_per_step(&self) -> f64 {
        (self.batch * self.length) as f64
    }

    /// The rate of update `step`.
    pub fn rate(&self, step: u64) -> f64 {
        warmup_cosine(step, self.warmup, self.steps, self.lr * (1.0 - self.floor))
            + warmup_constant(step, self.warmup, self.lr * self.floor)
    }
}

/// The columns of `metrics.csv` after step and time.
pub const COLUMNS: [&str; 7] =
    ["tokens", "lr", "train/loss", "train/grad_norm", "val/loss", "noise_scale", "tokens_per_s"];

/// Where the loop stands besides its step.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct At {
    /// Sums over the updates since the last row.
    updates: u64,
    loss: f64,
    grad_norm: f64,
    /// The lowest loss at a look, and looks since.
    best: Option<f64>,
    since_best: u64,
    /// What the run ends with.
    last: BTreeMap<String, f64>,
}

/// Loss at a place of the context, over the test windows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Position {
    /// Counted from 1.
    pub position: usize,
    /// Nats per token.
    pub loss: f64,
}

/// The file of [`Position`]s in a run's folder, without ending.
pub const POSITIONS: &str = "positions";

/// Trains to the last update from wherever `run` stopped; returns the numbers it ended with.
///
/// # Errors
/// A text too short for a batch, a loss or gradient that is not finite, an interrupt, a file that
/// cannot be read or written.
pub fn train(
    seed: u64,
    cfg: &Config,
    mut text: Text,
    others: &[(String, Tokens)],
    run: &mut TrainingRun,
) -> anyhow::Result<BTreeMap<String, f64>> {
    if let Some(n) = cfg.unique {
        text.train = text.train.first(n as usize);
    }
    text.check(cfg.batch, cfg.length)?;
    let sampler = text.train.sampler(seed, cfg.length, cfg.batch);
    let batch = |step: u64| {
        let indices = sampler.batch_of(step).indices;
        text.train.at(indices.into_iter().map(|i| i as usize), cfg.length)
    };
    let val = text.val.spread(cfg.val_windows, cfg.length, cfg.batch);
    let per_step = cfg.tokens_per_step();

    let model = Model::new(&cfg.shape, seed, run.device());
    let params = named_params(&model.vs);
    let mut opt = optimizer(&model, cfg);
    let (mut step, mut at) = run.resume_or_start::<At>(&model.vs, &mut opt, &COLUMNS)?;
    let grads = Gradients::new(run.world(), &params)?;
    let autocast = run.autocast();
    let (mut seen, mut since) = (step, run.elapsed_s());

    let stopped = |at: &At| cfg.patience > 0 && at.since_best >= cfg.patience;
    while step < cfg.steps && !stopped(&at) {
        // 1. One update.
        let lr = cfg.rate(step);
        run.world().seed_torch(seed, "dropout", step);
        opt.zero_grad();
        let ids = upload(&run.world().rows("a batch", &batch(step))?, run.device()); // [B, T + 1]
        let loss = {
            let _autocast = autocast();
            model.loss(&ids, true, &Probe::off())
        };
        let value = run.world().mean(loss.double_value(&[]))?;
        if !value.is_finite() {
            run.world().seed_torch(seed, "dropout", step);
            let why = non_finite_loss(value, step, &params, |probe| {
                drop(model.loss(&ids, true, probe));
            });
            return Err(why.into());
        }
        grads.backward(&loss, true)?;
        let norm = clip::clip_grad_norm(&params, cfg.clip);
        check_gradients(norm, step, &params)?;
        opt.step(lr);
        step += 1;

        // 2. Everything that only looks.
        at.updates += 1;
        at.loss += value;
        at.grad_norm += norm;
        run.tick(step, cfg.steps, per_step, "tokens/s", value);
        let done = step == cfg.steps;
        if step.is_multiple_of(cfg.look_every) || done {
            let now = run.elapsed_s();
            let val_loss = mean(&by_position(&model, &val, &autocast)?);
            let updates = at.updates as f64;
            let mut row = vec![
                ("tokens", step as f64 * per_step),
                ("lr", lr),
                ("train/loss", at.loss / updates),
                ("train/grad_norm", at.grad_norm / updates),
                ("val/loss", val_loss),
                ("tokens_per_s", (step - seen) as f64 * per_step / (now - since)),
            ];
            if cfg.noise > 0 {
                let gradients = |i: u64| {
                    opt.zero_grad();
                    let ids = batch(step + 1 + i).to_device(run.device());
                    model.loss(&ids, false, &Probe::off()).backward();
                };
                let scale = noise::scale(cfg.noise, cfg.batch, &params, gradients)?;
                row.extend(scale.map(|windows| ("noise_scale", windows * cfg.length as f64)));
            }
            let lower = at.best.is_none_or(|best| val_loss < best);
            at.best = Some(at.best.map_or(val_loss, |best| best.min(val_loss)));
            at.since_best = if lower { 0 } else { at.since_best + 1 };
            (at.updates, at.loss, at.grad_norm) = (0, 0.0, 0.0);
            (seen, since) = (step, run.elapsed_s());
            run.log(step, &row)?;
            at.last = row.iter().map(|&(name, value)| (name.to_owned(), value)).collect();
            at.last.remove("tokens_per_s");
        }
        let stop = run.world().interrupted();
        // Runs last minutes: a checkpoint at each look costs nothing against it.
        if step.is_multiple_of(cfg.look_every) || done || stop.is_err() {
            run.save(step, &model.vs, &opt, &at)?;
        }
        if !done {
            stop?;
        }
    }
    // The test part is read once, by the finished model.
    judge(&model, cfg, &text, others, run.path(), &autocast, &mut at.last)?;
    at.last.insert("val/lowest".to_owned(), at.best.unwrap_or(f64::NAN));
    Ok(at.last)
}

/// Losses on the test part, place by place, and on other texts.
fn judge(
    model: &Model,
    cfg: &Config,
    text: &Text,
    others: &[(String, Tokens)],
    folder: &Path,
    autocast: &dyn Fn() -> Autocast,
    last: &mut BTreeMap<String, f64>,
) -> anyhow::Result<()> {
    let windows = |tokens: &Tokens| tokens.spread(cfg.test_windows, cfg.length, cfg.batch);
    let places = by_position(model, &windows(&text.test), autocast)?;
    let loss = mean(&places);
    let rows: Vec<Position> =
        places.iter().enumerate().map(|(i, &loss)| Position { position: i + 1, loss }).collect();
    write_rows(&file(folder, POSITIONS), &rows)?;
    last.insert("test/loss".to_owned(), loss);
    let bits = loss / std::f64::consts::LN_2 / text.bytes_per_token;
    last.insert("test/bits_per_byte".to_owned(), bits);
    for (name, tokens) in others {
        let loss = mean(&by_position(model, &windows(tokens), autocast)?);
        last.insert(format!("transfer/{name}"), loss);
    }
    Ok(())
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Mean loss in nats at each of the `T` places, over all windows of `batches` of ids `[B, T + 1]`.
fn by_position(
    model: &Model,
    batches: &[Tensor],
    autocast: &dyn Fn() -> Autocast,
) -> anyhow::Result<Vec<f64>> {
    let _no_grad = tch::no_grad_guard();
    let mut sum: Option<Tensor> = None;
    let mut n = 0;
    for ids in batches {
        interrupt::check()?;
        let _autocast = autocast();
        let ids = ids.to_device(model.device());
        let (b, t) = (ids.size()[0], ids.size()[1] - 1);
        let states = model.body.states(&ids.narrow(1, 0, t), false, &Probe::off()); // [B, T, C]
        let logits = model.body.logits(&states).to_kind(Kind::Float); // [B, T, V]
        let targets = ids.narrow(1, 1, t).unsqueeze(-1); // [B, T, 1]
        let losses = -logits.log_softmax(-1, Kind::Float).gather(-1, &targets, false); // [B, T, 1]
        let losses = losses.squeeze_dim(-1).sum_dim_intlist(0, false, Kind::Double); // [T]
        sum = Some(sum.map_or_else(|| losses.shallow_clone(), |sum| sum + &losses));
        n += b;
    }
    let sum = sum.expect("there is a window to judge");
    Ok((sum / n as f64).to_device(tch::Device::Cpu).try_into()?)
}

/// Adam over all variables: decay for matrices and embeddings only.
pub fn optimizer(model: &Model, cfg: &Config) -> Adam {
    let config = AdamConfig {
        beta1: 0.9,
        beta2: cfg.beta2,
        eps: 1e-8,
        epsilon: Epsilon::PyTorch,
        decay: Decay::Decoupled,
    };
    let width = cfg.shape.d_model() as f64;
    let hidden = match cfg.rates {
        Rates::Same => 1.0,
        Rates::Mup => MUP_BASE / width,
    };
    let outside = |name: &str| name.starts_with("tokens") || name.starts_with("positions");
    let (matrices, vectors): (Vec<_>, Vec<_>) =
        named_params(&model.vs).into_iter().partition(|(_, param)| param.dim() > 1);
    let (embeddings, matrices): (Vec<_>, Vec<_>) =
        matrices.into_iter().partition(|(name, _)| outside(name));
    let group = |params, lr_scale, weight_decay| ParamGroup { params, lr_scale, weight_decay };
    let groups = vec![
        group(matrices, hidden, cfg.weight_decay),
        group(embeddings, 1.0, cfg.weight_decay),
        group(vectors, 1.0, 0.0),
    ];
    Adam::new(groups, config)
}

/// Seconds that one update takes here, from `timed` of them on tokens that mean nothing.
pub fn seconds_per_step(
    cfg: &Config,
    precision: Precision,
    device: tch::Device,
    timed: u32,
) -> f64 {
    let model = Model::new(&cfg.shape, 0, device);
    let mut opt = optimizer(&model, cfg);
    let size = [cfg.batch as i64, cfg.length as i64 + 1];
    let ids = Tensor::randint(cfg.shape.vocab(), size, (Kind::Int64, device));
    let mut begun = std::time::Instant::now();
    for step in 0..2 * timed {
        if step == timed {
            begun = std::time::Instant::now(); // the first ones warm up
        }
        opt.zero_grad();
        let loss = {
            let _autocast = precision.autocast(device);
            model.loss(&ids, true, &Probe::off())
        };
        loss.backward();
        opt.step(1e-4);
        let _ = loss.double_value(&[]);
    }
    begun.elapsed().as_secs_f64() / f64::from(timed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::nn::transformer::{NormPlace, TransformerConfig};

    pub(crate) fn config(d_model: i64) -> Config {
        Config {
            shape: Shape::Transformer(TransformerConfig {
                vocab: 11,
                context: 6,
                n_layers: 1,
                n_heads: 1,
                d_model,
                norm: NormPlace::Pre,
                bias: true,
                residual_dropout: 0.0,
                embedding_dropout: 0.0,
                attention_dropout: 0.0,
                init_std: 0.3,
            }),
            length: 6,
            batch: 2,
            steps: 100,
            unique: None,
            lr: 0.1,
            warmup: 10,
            floor: 0.0,
            rates: Rates::Same,
            beta2: 0.99,
            weight_decay: 0.0,
            clip: 1.0,
            look_every: 10,
            val_windows: 2,
            test_windows: 2,
            patience: 0,
            noise: 0,
            data_sha256: String::new(),
        }
    }

    #[test]
    fn rates_rise_over_the_warm_up_and_fall_to_the_floor() {
        for (floor, end) in [(0.0, 0.0), (0.1, 0.01), (1.0, 0.1)] {
            let cfg = Config { floor, ..config(8) };
            let wanted = [(0, 0.0), (5, 0.05), (10, 0.1), (100, end)];
            for (step, wanted) in wanted {
                assert!(
                    (cfg.rate(step) - wanted).abs() < 1e-12,
                    "{floor}, {step}: {}",
                    cfg.rate(step)
                );
            }
        }
    }

    #[test]
    fn losses_by_place_have_the_mean_that_the_training_loss_has() {
        let model = Model::new(&config(8).shape, 1, tch::Device::Cpu);
        let ids = Tensor::randint(11, [4, 7], (Kind::Int64, tch::Device::Cpu));
        let halves = [ids.narrow(0, 0, 3), ids.narrow(0, 3, 1)];
        let autocast = || Precision::Fp32.autocast(tch::Device::Cpu);
        let places = by_position(&model, &halves, &autocast).unwrap();
        assert_eq!(places.len(), 6);
        let wanted = model.loss(&ids, false, &Probe::off()).double_value(&[]);
        assert!((mean(&places) - wanted).abs() < 1e-6, "expected {wanted}, got {}", mean(&places));
    }

    #[test]
    fn with_mup_the_blocks_matrices_move_less_and_the_embedding_as_before() {
        let moved = |rates: Rates| -> BTreeMap<String, f64> {
            let cfg = Config { rates, ..config(32) };
            let model = Model::new(&cfg.shape, 1, tch::Device::Cpu);
            let before: Vec<_> =
                named_params(&model.vs).into_iter().map(|(name, x)| (name, x.copy())).collect();
            let ids = Tensor::randint(11, [4, 7], (Kind::Int64, tch::Device::Cpu));
            model.loss(&ids, false, &Probe::off()).backward();
            optimizer(&model, &cfg).step(0.1);
            let after = named_params(&model.vs);
            let apart = |(a, b): (&(String, Tensor), &(String, Tensor))| {
                (a.0.clone(), (&a.1 - &b.1).abs().max().double_value(&[]))
            };
            before.iter().zip(&after).map(apart).collect()
        };
        tch::manual_seed(1);
        let same = moved(Rates::Same);
        tch::manual_seed(1);
        let mup = moved(Rates::Mup);
        for (name, by) in &same {
            // Adam's first step is the rate itself.
            let factor = if name.contains("weight") && !name.contains("norm") { 0.5 } else { 1.0 };
            assert!((mup[name] - by * factor).abs() < 1e-3 * by, "{name}: {by}, {}", mup[name]);
        }
    }
}
