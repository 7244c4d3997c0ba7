//! Times the training step of the paper's network on random pictures that lie ready in memory: the real update
//! and layout. Prints one JSON object. `bench/run` sets it beside PyTorch.
#![expect(clippy::print_stdout, reason = "the result is for a program")]

use alexnet::loss::Loss;
use alexnet::network::NetworkConfig;
use alexnet::photographs::train::build;
use alexnet::train::update;
use clap::Parser;
use common::bench::{Timed, rate, share_of_gemm};
use common::distributed::Gradients;
use common::nn::channels_last;
use common::nn::probe::Probe;
use common::optim::{ParamGroup, Sgd, SgdConfig, SgdForm, named_params};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

#[derive(Parser)]
struct Args {
    #[arg(long, default_value_t = 64)]
    batch: i64,
    #[command(flatten)]
    timed: Timed,
}

/// Rows and columns of a picture. With 227 the first convolution ends at the edge, so that no program has to say
/// what it sees beyond it.
const CROP: i64 = 227;
/// Batches that take turns.
const BATCHES: i64 = 2;

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let precision = args.timed.begin();
    let cfg = NetworkConfig { crop: CROP, bias: 0.0, ..NetworkConfig::paper() };
    let mut vs = VarStore::new(Device::Cpu);
    let net = build(&mut vs, &cfg, 0);
    let params = named_params(&vs);
    let group = ParamGroup {
        params: params.iter().map(|(name, p)| (name.clone(), p.shallow_clone())).collect(),
        lr_scale: 1.0,
        weight_decay: 5e-4,
    };
    let grads = Gradients::alone();
    let mut opt =
        Sgd::new(vec![group], SgdConfig { momentum: 0.9, form: SgdForm::Paper, nesterov: false });
    let forward = |xs: &Tensor, probe: &Probe| net.forward(xs, true, probe);
    let autocast = || precision.autocast(Device::Cpu);
    let batches: Vec<(Tensor, Tensor)> = (0..BATCHES)
        .map(|_| {
            let size = [args.batch, 3, CROP, CROP];
            let xs = Tensor::rand(size, (Kind::Float, Device::Cpu)) * 255.0 - 127.0;
            let ys = Tensor::randint(cfg.classes, [args.batch], (Kind::Int64, Device::Cpu));
            (channels_last(&xs), ys)
        })
        .collect();

    let mut step = 0;
    let steps_per_s = rate(args.timed.seconds, || {
        let (xs, ys) = &batches[step as usize % batches.len()];
        let _scores = update(
            forward,
            Loss::Softmax,
            &mut opt,
            &grads,
            &params,
            xs,
            ys,
            1e-4,
            step,
            &autocast,
        )?;
        step += 1;
        anyhow::Ok(())
    })?;
    let images_per_s = steps_per_s * args.batch as f64;
    let share = share_of_gemm(images_per_s, cfg.multiply_adds(), args.timed.seconds, precision)?;
    println!("{}", serde_json::json!({"images_per_s": images_per_s, "share_of_gemm": share}));
    Ok(())
}
