//! Times updates of one small model of a sweep on tokens that mean nothing, on one thread, as runs of a grid have it.
//! Prints one JSON object; `bench/small_models` sets PyTorch beside it.
#![expect(clippy::print_stdout, reason = "the result is for a program")]

use clap::Parser;
use common::bench::{rate, share_of_gemm};
use common::device::{Precision, configure_threads};
use common::nn::language_model::{Model, Shape};
use common::nn::probe::{Probe, check_gradients};
use common::nn::transformer::{NormPlace, TransformerConfig};
use common::optim::{Optimizer as _, clip, named_params};
use common::shim;
use scaling_laws::counts;
use scaling_laws::train::{Config, Rates, optimizer};
use tch::{Device, Kind, Tensor};

#[derive(Parser)]
struct Args {
    /// Blocks
    #[arg(long)]
    layers: i64,
    /// Channels
    #[arg(long)]
    width: i64,
    /// Channels of an attention head
    #[arg(long, default_value_t = 16)]
    head: i64,
    #[arg(long, default_value_t = 256)]
    vocab: i64,
    /// Tokens of a window
    #[arg(long, default_value_t = 64)]
    time: usize,
    /// Windows of an update
    #[arg(long, default_value_t = 16)]
    batch: usize,
    /// Seconds to time, after half as many to warm up
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// `cargo bench` passes this
    #[arg(long, hide = true)]
    bench: bool,
}

impl Args {
    fn config(&self) -> Config {
        let shape = Shape::Transformer(TransformerConfig {
            vocab: self.vocab,
            context: self.time as i64,
            n_layers: self.layers,
            n_heads: self.width / self.head,
            d_model: self.width,
            norm: NormPlace::Pre,
            bias: true,
            residual_dropout: 0.0,
            embedding_dropout: 0.0,
            attention_dropout: 0.0,
            init_std: 0.02,
        });
        Config {
            shape,
            length: self.time,
            batch: self.batch,
            steps: 1,
            unique: None,
            lr: 1e-4,
            warmup: 0,
            floor: 1.0,
            rates: Rates::Same,
            beta2: 0.99,
            weight_decay: 0.0,
            clip: 1.0,
            look_every: 1,
            val_windows: 1,
            test_windows: 1,
            patience: 0,
            noise: 0,
            data_sha256: String::new(),
        }
    }
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    configure_threads(1);
    shim::keep_memory();
    let cfg = args.config();
    let model = Model::new(&cfg.shape, 0, Device::Cpu);
    let params = named_params(&model.vs);
    let mut opt = optimizer(&model, &cfg);
    let size = [args.batch as i64, args.time as i64 + 1];
    let texts: Vec<Tensor> =
        (0..8).map(|_| Tensor::randint(args.vocab, size, (Kind::Int64, Device::Cpu))).collect();
    let mut step = 0;
    let updates_per_s = rate(args.seconds, || {
        // The update of `train::train`.
        opt.zero_grad();
        let loss = model.loss(&texts[step % texts.len()], true, &Probe::off());
        anyhow::ensure!(loss.double_value(&[]).is_finite(), "the loss is not finite");
        loss.backward();
        let norm = clip::clip_grad_norm(&params, cfg.clip);
        check_gradients(norm, step as u64, &params)?;
        opt.step(cfg.lr);
        step += 1;
        Ok(())
    })?;
    let params = counts::Shape::of(&cfg.shape).kaplan_params();
    let tokens_per_s = updates_per_s * cfg.tokens_per_step();
    let share =
        share_of_gemm(tokens_per_s, cfg.shape.multiply_adds(), args.seconds, Precision::Fp32)?;
    let json = serde_json::json!({
        "params": params,
        "tokens_per_s": tokens_per_s,
        "share_of_gemm": share,
    });
    println!("{json}");
    Ok(())
}
