//! Times steps of PPO, rollout, scoring and update, of the small model of `overnight` on queries that mean nothing. Prints
//! one JSON object; `bench/rlhf` sets a PyTorch loop with Hugging Face's `generate` beside it.
#![expect(clippy::print_stdout, reason = "the result is for a program")]

use clap::Parser;
use common::bench::rate;
use common::device::{Precision, configure_threads, peak_memory};
use common::distributed::{Gradients, World};
use common::nn::transformer::{NormPlace, Transformer, TransformerConfig};
use common::shim;
use common::weights::decoder::Decoder;
use rlhf::policy::{Policy, ValueNet};
use rlhf::ppo::advantage::Variance;
use rlhf::ppo::kl::KlConfig;
use rlhf::reward::RewardModel;
use rlhf::train_policy::{
    Config, Log, LrSchedule, Setting, Shared, Turn, gather, optimizer, update,
};
use rlhf::train_reward::{AdamForm, scores};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

#[derive(Parser)]
struct Args {
    #[arg(long, default_value_t = 4)]
    layers: i64,
    #[arg(long, default_value_t = 192)]
    width: i64,
    #[arg(long, default_value_t = 6)]
    heads: i64,
    #[arg(long, default_value_t = 4096)]
    vocab: i64,
    /// Tokens of a query
    #[arg(long, default_value_t = 8)]
    query: i64,
    /// Tokens of a response
    #[arg(long, default_value_t = 24)]
    response: i64,
    /// Responses of a step
    #[arg(long, default_value_t = 64)]
    batch: usize,
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Seconds to time, after half as many to warm up
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// `cargo bench` passes this
    #[arg(long, hide = true)]
    bench: bool,
}

impl Args {
    fn decoder(&self) -> Decoder {
        let config = TransformerConfig {
            vocab: self.vocab,
            context: self.query + self.response,
            n_layers: self.layers,
            n_heads: self.heads,
            d_model: self.width,
            norm: NormPlace::Pre,
            ..TransformerConfig::GPT1
        };
        let vs = VarStore::new(Device::Cpu);
        drop(Transformer::new(&vs.root(), &config));
        Decoder::of(&vs, "", &config)
    }

    /// The published style task but for its size.
    fn config(&self) -> Config {
        Config {
            episodes: u64::MAX,
            batch: self.batch,
            minibatches: 1,
            inner_epochs: 4,
            lr: 1e-5,
            schedule: LrSchedule::Constant,
            warmup: 0,
            adam: AdamForm::Pytorch,
            eps: 1e-5,
            clip: None,
            clip_ratio: 0.2,
            clip_value: 0.2,
            value_coefficient: 0.1,
            value: ValueNet::Shared,
            value_lr_scale: 1.0,
            gamma: 1.0,
            lambda: 0.95,
            whiten_rewards: true,
            variance: Variance::Biased,
            kl: KlConfig { coefficient: 0.15, adaptive: None, stop: f64::INFINITY },
            temperature: 0.7,
            response: self.response,
            ending: None,
            ptx: None,
            ema: None,
            row_every: 1,
            save_every: 1,
        }
    }
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    configure_threads(args.threads);
    shim::keep_memory();
    let (cfg, start) = (args.config(), args.decoder());
    let policy = Policy::new(&start, None, false, Device::Cpu);
    let held = VarStore::new(Device::Cpu);
    let reference = start.model(&held.root(), args.layers);
    let reward = RewardModel::new(&start, args.layers, Device::Cpu);
    let queries = Tensor::randint(args.vocab, [1024, args.query], (Kind::Int64, Device::Cpu));
    let score = |ids: &Tensor| scores(&reward, ids, args.batch as i64);
    let setting = Setting {
        queries: &queries,
        reference: &reference,
        reward: &score,
        gold: None,
        ptx: None,
        end: None,
    };
    let autocast = || Precision::Fp32.autocast(Device::Cpu);
    let mut opt = optimizer(&policy, &cfg);
    let (world, grads) = (World::alone(), Gradients::alone());
    let shared = Shared::new(&world, &cfg, Device::Cpu)?;
    let mut step = 0;
    let steps_per_s = rate(args.seconds, || {
        let mut log = Log::new();
        let turn = Turn {
            cfg: &cfg,
            policy: &policy,
            seed: 0,
            step,
            autocast: &autocast,
            shared: &shared,
            grads: &grads,
        };
        let made = gather(&turn, &setting, cfg.kl.coefficient, &mut log)?;
        update(&turn, made.batch, None, &mut opt, &mut log)?;
        step += 1;
        anyhow::Ok(())
    })?;
    println!(
        "{}",
        serde_json::json!({
            "samples_per_s": steps_per_s * args.batch as f64,
            "peak_memory_bytes": peak_memory(Device::Cpu).host.unwrap_or_default(),
        })
    );
    Ok(())
}
