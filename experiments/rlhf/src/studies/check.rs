//! Values of a preset that no run can use, refused before anything is fetched.

use common::preset::PresetError;

use super::Preset;
use crate::{language, train_policy, train_reward};

/// What is wrong: a key, what it holds, what it should hold.
type Wrong = (String, String, &'static str);

/// Refuses a preset that no run can use.
///
/// # Errors
/// The first such value.
pub(super) fn check(name: &str, preset: &Preset) -> Result<(), PresetError> {
    let wrong = language("base.train", &preset.base.train)
        .or_else(|| shape(preset))
        .or_else(|| language("sft.train", &preset.sft.train))
        .or_else(|| reward("reward-model.train", &preset.reward_model.train))
        .or_else(|| policy("sentiment.train", &preset.sentiment.train))
        .or_else(|| reward("overoptimisation.reward", &preset.overoptimisation.reward))
        .or_else(|| policy("overoptimisation.train", &preset.overoptimisation.train))
        .or_else(|| language("instruct.sft", &preset.instruct.sft))
        .or_else(|| reward("instruct.reward", &preset.instruct.reward))
        .or_else(|| policy("instruct.train", &preset.instruct.train))
        .or_else(|| lists(preset));
    match wrong {
        None => Ok(()),
        Some((key, found, wanted)) => {
            Err(PresetError::Value { preset: name.to_owned(), key, found, wanted })
        }
    }
}

/// The first count that is no whole number from 1. A negative one arrives as a huge one.
fn counts(table: &str, counts: &[(&str, u64)]) -> Option<Wrong> {
    let (key, found) = counts.iter().find(|(_, n)| *n == 0 || *n > 1 << 40)?;
    Some((format!("{table}.{key}"), (*found as i64).to_string(), "a whole number from 1"))
}

/// The first number that is not above 0.
fn positive(table: &str, numbers: &[(&str, f64)]) -> Option<Wrong> {
    let (key, found) = numbers.iter().find(|(_, x)| !(*x > 0.0 && x.is_finite()))?;
    Some((format!("{table}.{key}"), found.to_string(), "a number above 0"))
}

fn language(table: &str, cfg: &language::Config) -> Option<Wrong> {
    let whole = [
        ("length", cfg.length as u64),
        ("batch", cfg.batch as u64),
        ("steps", cfg.steps),
        ("row_every", cfg.row_every),
        ("val_every", cfg.val_every),
        ("save_every", cfg.save_every),
        ("val_windows", cfg.val_windows as u64),
    ];
    counts(table, &whole)
        .or_else(|| positive(table, &[("lr", cfg.lr), ("clip", cfg.clip)]))
        .or_else(|| {
            let fits = cfg.val_every.is_multiple_of(cfg.row_every);
            let key = format!("{table}.val_every");
            (!fits).then(|| (key, cfg.val_every.to_string(), "a multiple of row_every"))
        })
}

fn shape(preset: &Preset) -> Option<Wrong> {
    let shape = &preset.base.shape;
    let whole = [
        ("n_layers", shape.n_layers as u64),
        ("n_heads", shape.n_heads as u64),
        ("d_model", shape.d_model as u64),
        ("context", shape.context as u64),
    ];
    counts("base.shape", &whole).or_else(|| {
        let fits = shape.d_model % shape.n_heads == 0;
        let key = "base.shape.d_model".to_owned();
        (!fits).then(|| (key, shape.d_model.to_string(), "a multiple of n_heads"))
    })
}

fn reward(table: &str, cfg: &train_reward::Config) -> Option<Wrong> {
    let whole = [
        ("epochs", cfg.epochs),
        ("batch", cfg.batch as u64),
        ("row_every", cfg.row_every),
        ("save_every", cfg.save_every),
    ];
    counts(table, &whole).or_else(|| {
        positive(table, &[("lr", cfg.lr), ("eps", cfg.eps), ("clip", cfg.clip.unwrap_or(1.0))])
    })
}

fn policy(table: &str, cfg: &train_policy::Config) -> Option<Wrong> {
    let whole = [
        ("episodes", cfg.episodes),
        ("batch", cfg.batch as u64),
        ("minibatches", cfg.minibatches as u64),
        ("inner_epochs", cfg.inner_epochs),
        ("response", cfg.response as u64),
        ("row_every", cfg.row_every),
        ("save_every", cfg.save_every),
    ];
    let numbers = [
        ("lr", cfg.lr),
        ("eps", cfg.eps),
        ("clip_ratio", cfg.clip_ratio),
        ("clip_value", cfg.clip_value),
        ("temperature", cfg.temperature),
        ("kl.stop", cfg.kl.stop),
        ("clip", cfg.clip.unwrap_or(1.0)),
    ];
    let key = |name: &str| format!("{table}.{name}");
    counts(table, &whole)
        .or_else(|| positive(table, &numbers))
        .or_else(|| {
            let fits = cfg.batch.is_multiple_of(cfg.minibatches);
            let found = cfg.minibatches.to_string();
            (!fits).then(|| (key("minibatches"), found, "a divisor of batch"))
        })
        .or_else(|| {
            let few = cfg.steps() == 0;
            few.then(|| (key("episodes"), cfg.episodes.to_string(), "at least one batch"))
        })
        .or_else(|| {
            let fits = cfg.kl.coefficient >= 0.0 && cfg.kl.coefficient.is_finite();
            (!fits).then(|| (key("kl.coefficient"), cfg.kl.coefficient.to_string(), "0 or more"))
        })
        .or_else(|| {
            let fits = cfg.ema.is_none_or(|kept| (0.0..1.0).contains(&kept));
            (!fits).then(|| (key("ema"), format!("{:?}", cfg.ema), "from 0 to below 1"))
        })
}

fn lists(preset: &Preset) -> Option<Wrong> {
    let reward = &preset.reward_model;
    let over = &preset.overoptimisation;
    let wrong = |key: &str, found: String| {
        Some((key.to_owned(), found, "whole numbers from 1, at least one"))
    };
    let bad = |list: &[usize]| list.is_empty() || list.contains(&0);
    let bad_layers = |list: &[i64]| list.is_empty() || list.iter().any(|n| *n < 1);
    if bad(&reward.comparisons) {
        return wrong("reward-model.comparisons", format!("{:?}", reward.comparisons));
    }
    if bad(&over.comparisons) {
        return wrong("overoptimisation.comparisons", format!("{:?}", over.comparisons));
    }
    if bad_layers(&reward.layers) {
        return wrong("reward-model.layers", format!("{:?}", reward.layers));
    }
    if bad_layers(&over.layers) {
        return wrong("overoptimisation.layers", format!("{:?}", over.layers));
    }
    let answers =
        [("answers", preset.sentiment.answers as u64), ("judge", preset.sentiment.judge as u64)];
    counts("sentiment", &answers)
        .or_else(|| counts("overoptimisation", &[("answers", over.answers as u64)]))
        .or_else(|| counts("sft.task", &[("query", preset.sft.task.query as u64)]))
        .or_else(|| counts("instruct.task", &[("query", preset.instruct.task.query as u64)]))
}
