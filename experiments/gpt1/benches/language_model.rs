//! Times pre-training updates and cached generation of the 6-layer model on tokens that mean nothing. Prints one JSON
//! object; `bench/gpt1.py` prints PyTorch's and Hugging Face's side, `bench/language_model` sets them beside each other.
#![expect(clippy::print_stdout, reason = "the result is for a program")]

use std::collections::BTreeMap;

use anyhow::Context as _;
use clap::Parser;
use common::bench::{Timed, rate, share_of_gemm};
use common::device::peak_memory;
use common::nn::probe::Probe;
use common::nn::transformer::TransformerConfig;
use common::optim::{Optimizer as _, clip, named_params};
use gpt1::model::{Body, Model, Shape};
use gpt1::pretrain::optimizer;
use tch::{Device, Kind, Tensor};

#[derive(Parser)]
struct Args {
    #[arg(long, default_value_t = 6)]
    layers: i64,
    #[arg(long, default_value_t = 256)]
    width: i64,
    #[arg(long, default_value_t = 8192)]
    vocab: i64,
    /// Tokens of a sequence
    #[arg(long, default_value_t = 256)]
    time: i64,
    #[arg(long, default_value_t = 16)]
    batch: i64,
    /// Texts at once x tokens to write of each, as in 64x48
    #[arg(long, num_args = 0.., value_parser = parse_asked)]
    generate: Vec<(i64, i64)>,
    #[command(flatten)]
    timed: Timed,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let precision = args.timed.begin();
    let config = TransformerConfig {
        vocab: args.vocab,
        context: args.time,
        n_layers: args.layers,
        n_heads: args.width / 64,
        d_model: args.width,
        residual_dropout: 0.0,
        embedding_dropout: 0.0,
        attention_dropout: 0.0,
        ..TransformerConfig::GPT1
    };
    let shape = Shape::Transformer(config);
    let model = Model::new(&shape, 0, Device::Cpu);

    let params = named_params(&model.vs);
    let mut opt = optimizer(&model.vs, 0.01);
    let size = [args.batch, args.time + 1];
    let texts: Vec<Tensor> =
        (0..8).map(|_| Tensor::randint(args.vocab, size, (Kind::Int64, Device::Cpu))).collect();
    let mut step = 0;
    let updates_per_s = rate(args.timed.seconds, || {
        opt.zero_grad();
        let loss = {
            let _autocast = precision.autocast(Device::Cpu);
            model.loss(&texts[step % texts.len()], true, &Probe::off())
        };
        loss.backward();
        clip::clip_grad_norm(&params, 1.0);
        opt.step(1e-4);
        anyhow::ensure!(loss.double_value(&[]).is_finite(), "the loss is not finite");
        step += 1;
        Ok(())
    })?;
    let peak = peak_memory(Device::Cpu).host.unwrap_or_default();
    let tokens_per_s = updates_per_s * (args.batch * args.time) as f64;
    let mut generations = BTreeMap::new();
    for &(batch, new) in &args.generate {
        generations.insert(format!("{batch}x{new}"), generation(&args, &model, batch, new)?);
    }
    let share = share_of_gemm(tokens_per_s, shape.multiply_adds(), args.timed.seconds, precision)?;
    let json = serde_json::json!({
        "tokens_per_s": tokens_per_s,
        "share_of_gemm": share,
        "peak_memory_bytes": peak,
        "generated_tokens_per_s": generations,
    });
    println!("{json}");
    Ok(())
}

fn parse_asked(text: &str) -> anyhow::Result<(i64, i64)> {
    let (batch, new) = text.split_once('x').context("not TEXTSxTOKENS")?;
    Ok((batch.parse()?, new.parse()?))
}

/// Tokens per second of `batch` texts that are begun with 16 tokens and continued by `new`, always with the likeliest token.
fn generation(args: &Args, model: &Model, batch: i64, new: i64) -> anyhow::Result<f64> {
    const BEGUN: i64 = 16;
    let _no_grad = tch::no_grad_guard();
    let Body::Transformer(net) = &model.body else { unreachable!("it was made as one") };
    let begin = Tensor::randint(args.vocab, [batch, BEGUN], (Kind::Int64, Device::Cpu));
    let texts_per_s = rate(args.timed.seconds, || {
        let mut cache = net.cache(batch);
        let mut ids = begin.shallow_clone();
        for _ in 0..new {
            let states = net.forward_cached(&ids, &mut cache);
            ids = net.logits(&states.narrow(1, -1, 1)).argmax(-1, false); // [B, 1]
        }
        anyhow::Ok(())
    })?;
    Ok(texts_per_s * (batch * new) as f64)
}
