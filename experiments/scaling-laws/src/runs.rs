//! A grid of trainings: sizes, tokens, batches, rates and seeds, and what each run costs.

use common::nn::language_model::Shape;
use common::nn::lstm::LstmConfig;
use common::nn::transformer::{NormPlace, TransformerConfig};
use common::preset::PresetError;
use common::session::Plan;
use serde::{Deserialize, Serialize};

use crate::counts;
use crate::text::TextConfig;
use crate::train::{Config, Rates};

/// `[training]` of a preset: what all its runs share.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// Tokens that a window predicts: the models' context.
    pub context: usize,
    /// Windows of an update.
    pub batch: usize,
    /// The highest rate: `lr · (N/at)^-power` for `N` non-embedding parameters.
    pub lr: f64,
    /// Size at which the rate is `lr`.
    pub lr_at: f64,
    /// How fast the rate falls with size.
    pub lr_power: f64,
    /// Share of the updates over which the rate rises.
    pub warmup: f64,
    /// Share of the highest rate that is left at the last update.
    pub floor: f64,
    /// Adam's second decay rate.
    pub beta2: f64,
    /// Decoupled decay of matrices.
    pub weight_decay: f64,
    /// The largest norm of all gradients.
    pub clip: f64,
    /// Channels of an attention head, where they divide the width.
    pub head: i64,
    /// Standard deviation of initial weights.
    pub init_std: f64,
    /// Looks at the validation part in a run.
    pub looks: u64,
    /// Windows that such a look reads.
    pub val_windows: usize,
    /// Windows of the test part, and of other texts, that are read at the end.
    pub test_windows: usize,
}

/// A grid of runs: every model with every number of tokens, batch, rate and seed.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grid {
    /// Blocks and width of the transformers.
    #[serde(default)]
    pub transformers: Vec<(i64, i64)>,
    /// Width of the embedding and units of the LSTMs.
    #[serde(default)]
    pub lstms: Vec<(i64, i64)>,
    /// Tokens read.
    pub tokens: Vec<f64>,
    /// Different tokens there are; more are read by repeating them. Empty: as many as are read.
    #[serde(default)]
    pub unique: Vec<f64>,
    /// Windows of an update, in place of the preset's.
    #[serde(default)]
    pub batch: Vec<usize>,
    /// Factors of the preset's rate.
    #[serde(default)]
    pub lr_factors: Vec<f64>,
    /// The rate goes with this power of the batch over the preset's.
    #[serde(default)]
    pub lr_batch_power: f64,
    /// Context in place of the preset's.
    pub context: Option<usize>,
    /// Seeds, from 0.
    pub seeds: u64,
    /// Non-embedding parameters from which on one seed is run.
    #[serde(default = "f64_max")]
    pub one_seed_from: f64,
    /// What is dropped of embeddings, sub-layers and attention.
    #[serde(default)]
    pub dropout: f64,
    /// Looks without a lower loss after which a run stops; 0: never.
    #[serde(default)]
    pub patience: u64,
    /// Share of the highest rate that is left at the last update, in place of the preset's.
    pub floor: Option<f64>,
    /// Micro-batches whose gradients are set beside their mean, for the noise scale; 0: none.
    #[serde(default)]
    pub noise: u64,
    /// How rates go with width.
    #[serde(default)]
    pub rates: Vec<Rates>,
}

fn f64_max() -> f64 {
    f64::MAX
}

/// One run's configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunConfig {
    /// What is read.
    pub text: TextConfig,
    /// Other texts that are judged at the end.
    pub transfer: Vec<String>,
    /// The training.
    pub train: Config,
    /// What was predicted of it before it began, if anything was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub predicted: Vec<Predicted>,
}

/// A loss predicted before the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Predicted {
    /// Nats per token.
    pub loss: f64,
    /// Its 95 % interval.
    pub interval: [f64; 2],
    /// The law it comes from.
    pub form: String,
    /// Digests of the runs it was fitted to.
    pub from: Vec<String>,
}

impl Grid {
    /// Every run on a text of `vocab` tokens with this sum; `preset` is what messages call it.
    ///
    /// # Errors
    /// A value that no run can use.
    pub fn runs(
        &self,
        training: &Training,
        seeds: Option<&[u64]>,
        preset: &str,
        text: &Read,
    ) -> Result<Vec<Planned>, PresetError> {
        let context = self.context.unwrap_or(training.context);
        let mut runs = Vec::new();
        for shape in self.shapes(training, context, text.vocab) {
            if let Some((key, found, _)) = shape.wrong() {
                let wanted =
                    "whole numbers from 1, heads that divide the channels, dropout below 1";
                let (preset, key) = (preset.to_owned(), key.to_owned());
                return Err(PresetError::Value { preset, key, found, wanted });
            }
            let n = counts::Shape::of(&shape).kaplan_params() as f64;
            let own = if n < self.one_seed_from { self.seeds } else { 1 };
            let seeds = seeds.map_or_else(|| (0..own).collect(), <[u64]>::to_vec);
            for asked in self.asked(training, n) {
                let config = self.config(training, preset, &shape, context, asked, text)?;
                let variant = self.variant(&shape, asked);
                runs.extend(seeds.iter().map(|&seed| Planned {
                    data: text.data.clone(),
                    variant: variant.clone(),
                    seed,
                    config: config.clone(),
                }));
            }
        }
        Ok(runs)
    }

    /// Every combination of what is varied besides model and seed, for a model of `n` parameters.
    fn asked(&self, training: &Training, n: f64) -> Vec<Asked> {
        fn or<T: Copy>(some: &[T], other: T) -> Vec<T> {
            if some.is_empty() { vec![other] } else { some.to_vec() }
        }
        let mut all = Vec::new();
        for &tokens in &self.tokens {
            for unique in or(&self.unique, 0.0) {
                for batch in or(&self.batch, training.batch) {
                    let (factor, rates, lr) = (1.0, Rates::Same, 0.0);
                    all.push(Asked { tokens, unique, batch, factor, rates, lr });
                }
            }
        }
        let by_factor = |asked: Asked| {
            or(&self.lr_factors, 1.0).into_iter().map(move |factor| Asked { factor, ..asked })
        };
        let by_rates = |asked: Asked| {
            or(&self.rates, Rates::Same).into_iter().map(move |rates| Asked { rates, ..asked })
        };
        let with_lr = |asked: Asked| {
            // µP's own claim is that one rate does for all sizes.
            let power = if asked.rates == Rates::Mup { 0.0 } else { training.lr_power };
            let of_size = training.lr * (n / training.lr_at).powf(-power);
            let of_batch = (asked.batch as f64 / training.batch as f64).powf(self.lr_batch_power);
            Asked { lr: asked.factor * of_size * of_batch, ..asked }
        };
        all.into_iter().flat_map(by_factor).flat_map(by_rates).map(with_lr).collect()
    }

    /// `l4-d64-t5M-b16`, and behind it what else is varied.
    fn variant(&self, shape: &Shape, asked: Asked) -> String {
        let mut name = name(shape, asked.tokens, asked.batch);
        if asked.unique > 0.0 {
            name = format!("{name}-u{}", short(asked.unique));
        }
        if !self.lr_factors.is_empty() {
            name = format!("{name}-lr{}", asked.factor);
        }
        if asked.rates == Rates::Mup {
            name += "-mup";
        }
        name
    }

    fn shapes(&self, training: &Training, context: usize, vocab: i64) -> Vec<Shape> {
        let (context, dropout) = (context as i64, self.dropout);
        let transformers = self.transformers.iter().map(|&(n_layers, d_model)| {
            let fits = d_model >= training.head && d_model % training.head == 0;
            Shape::Transformer(TransformerConfig {
                vocab,
                context,
                n_layers,
                n_heads: if fits { d_model / training.head } else { 1 },
                d_model,
                norm: NormPlace::Pre,
                bias: true,
                residual_dropout: dropout,
                embedding_dropout: dropout,
                attention_dropout: dropout,
                init_std: training.init_std,
            })
        });
        let lstms = self.lstms.iter().map(|&(d_model, hidden)| {
            let init_std = training.init_std;
            Shape::Lstm(LstmConfig { vocab, context, d_model, hidden, dropout, init_std })
        });
        transformers.chain(lstms).collect()
    }

    fn config(
        &self,
        training: &Training,
        preset: &str,
        shape: &Shape,
        context: usize,
        asked: Asked,
        text: &Read,
    ) -> Result<RunConfig, PresetError> {
        let refuse = |key: &str, found: String, wanted| {
            let (preset, key) = (preset.to_owned(), key.to_owned());
            Err(PresetError::Value { preset, key, found, wanted })
        };
        let Asked { tokens, unique, batch, lr, rates, .. } = asked;
        let per_step = (batch * context) as f64;
        let steps = (tokens / per_step).round() as u64;
        if steps == 0 || !tokens.is_finite() {
            return refuse("tokens", tokens.to_string(), "tokens for at least one update");
        }
        if !(0.0..1.0).contains(&training.warmup) {
            return refuse("training.warmup", training.warmup.to_string(), "a share below 1");
        }
        for (key, x) in [("training.lr", lr), ("training.clip", training.clip)] {
            if !(x > 0.0 && x.is_finite()) {
                return refuse(key, x.to_string(), "a number above 0");
            }
        }
        let counts = [training.looks, training.val_windows as u64, training.test_windows as u64];
        if counts.contains(&0) {
            return refuse("training", format!("{counts:?}"), "looks and windows from 1");
        }
        let every = (steps / training.looks).max(1);
        let train = Config {
            shape: shape.clone(),
            length: context,
            batch,
            steps,
            unique: (unique > 0.0).then_some(unique as u64),
            lr,
            warmup: (training.warmup * steps as f64).round() as u64,
            floor: self.floor.unwrap_or(training.floor),
            rates,
            beta2: training.beta2,
            weight_decay: training.weight_decay,
            clip: training.clip,
            look_every: every,
            val_windows: training.val_windows,
            test_windows: training.test_windows,
            patience: self.patience,
            noise: self.noise,
            data_sha256: text.sha256.clone(),
        };
        let (text, transfer) = (text.config.clone(), text.transfer.clone());
        Ok(RunConfig { text, transfer, train, predicted: Vec::new() })
    }
}

/// One point of a grid, besides model and seed.
#[derive(Debug, Clone, Copy)]
struct Asked {
    tokens: f64,
    /// 0: as many as are read.
    unique: f64,
    batch: usize,
    factor: f64,
    rates: Rates,
    /// The rate that follows from the preset's rule.
    lr: f64,
}

/// What a grid's runs read.
#[derive(Debug, Clone)]
pub struct Read {
    /// The text's name in paths of results.
    pub data: String,
    /// The text.
    pub config: TextConfig,
    /// Other texts that can be had.
    pub transfer: Vec<String>,
    /// Tokens in its vocabulary.
    pub vocab: i64,
    /// Over what decides its tokens.
    pub sha256: String,
}

/// A run of a grid.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The text's name in paths of results.
    pub data: String,
    /// What is varied.
    pub variant: String,
    /// The seed.
    pub seed: u64,
    /// Everything that decides its numbers.
    pub config: RunConfig,
}

impl Planned {
    /// The run as the session takes it.
    ///
    /// # Errors
    /// Never, for configurations of this kind.
    pub fn plan(&self) -> anyhow::Result<Plan> {
        let config = serde_json::to_value(&self.config)?;
        Ok(Plan { data: self.data.clone(), variant: self.variant.clone(), seed: self.seed, config })
    }

    /// Training FLOPs as Kaplan counts them.
    pub fn flops(&self) -> f64 {
        let train = &self.config.train;
        counts::Shape::of(&train.shape).kaplan_flops(train.tokens())
    }
}

/// `l4-d64-t5M-b16`.
fn name(shape: &Shape, tokens: f64, batch: usize) -> String {
    let size = match shape {
        Shape::Transformer(config) => format!("l{}-d{}", config.n_layers, config.d_model),
        Shape::Lstm(config) => format!("lstm{}-d{}", config.hidden, config.d_model),
    };
    format!("{size}-t{}-b{batch}", short(tokens))
}

/// `2.5M` for 2,500,000.
fn short(n: f64) -> String {
    let (n, unit) = if n >= 1e6 {
        (n / 1e6, "M")
    } else if n >= 1e3 {
        (n / 1e3, "k")
    } else {
        (n, "")
    };
    format!("{}{unit}", (n * 100.0).round() / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Vocabulary;

    pub(crate) fn training() -> Training {
        Training {
            context: 64,
            batch: 16,
            lr: 0.01,
            lr_at: 6144.0,
            lr_power: 0.5,
            warmup: 0.05,
            floor: 0.0,
            beta2: 0.99,
            weight_decay: 0.0,
            clip: 1.0,
            head: 16,
            init_std: 0.02,
            looks: 10,
            val_windows: 8,
            test_windows: 8,
        }
    }

    fn read() -> Read {
        let config = TextConfig {
            name: "enwik8".into(),
            own: None,
            bytes: 0,
            vocabulary: Vocabulary::Bytes,
        };
        let (data, sha256) = ("enwik8".to_owned(), "0".to_owned());
        Read { data, config, transfer: vec![], vocab: 256, sha256 }
    }

    #[test]
    fn a_grid_is_every_combination_and_large_models_have_one_seed() {
        let text = "transformers = [[2, 16], [4, 64]]\ntokens = [1e6, 2.5e6]\nseeds = 3\n\
                    one_seed_from = 1e5\nlr_factors = [0.5, 1.0]";
        let grid: Grid = toml::from_str(text).unwrap();
        let runs = grid.runs(&training(), None, "smoke", &read()).unwrap();
        // (3 + 1 seeds) · 2 tokens · 2 rates
        assert_eq!(runs.len(), 16);
        assert_eq!(runs[0].variant, "l2-d16-t1M-b16-lr0.5");
        let large = runs.iter().find(|run| run.variant == "l4-d64-t2.5M-b16-lr1").unwrap();
        let train = &large.config.train;
        assert_eq!(train.steps, 2441); // 2.5e6 / (16 · 64)
        assert_eq!(train.warmup, 122);
        // N = 12·4·64² = 196,608 is 32 times 6,144: the rate falls by its root.
        assert!((train.lr - 0.01 / 32_f64.sqrt()).abs() < 1e-12, "{}", train.lr);
        let mut names: Vec<_> = runs.iter().map(|run| (&run.variant, run.seed)).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 16);
    }

    #[test]
    fn what_no_run_can_use_is_named() {
        for (grid, wanted) in [
            ("transformers = [[2, 16]]\ntokens = [1]\nseeds = 1", "tokens is 1"),
            ("transformers = [[0, 16]]\ntokens = [1e6]\nseeds = 1", "n_layers is 0"),
        ] {
            let grid: Grid = toml::from_str(grid).unwrap();
            let error = grid.runs(&training(), None, "smoke", &read()).unwrap_err().to_string();
            assert!(error.contains(wanted), "expected {wanted}\ngot {error}");
        }
        assert!(toml::from_str::<Grid>("tokens = [1e6]\nseeds = 1\nwidth = 3").is_err());
    }
}
