//! Times one layer, forward and backward, on random maps with the channels last. Prints one JSON
//! object. `bench/run` sets it beside PyTorch.
#![expect(clippy::print_stdout, reason = "the result is for a program")]

use clap::{Parser, ValueEnum};
use common::bench::{Timed, rate};
use common::device::Precision;
use common::nn::{LocallyConnected, LocallyConnectedConfig, ResponseNorm, channels_last};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

#[derive(Clone, Copy, ValueEnum)]
enum Layer {
    /// `AlexNet`'s first response normalisation, batch 64
    Lrn,
    /// The first locally connected layer of `layers-conv-local-11pct`, batch 128
    Local,
}

#[derive(Parser)]
struct Args {
    #[arg(long)]
    layer: Layer,
    #[command(flatten)]
    timed: Timed,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let precision = args.timed.begin();
    let vs = VarStore::new(Device::Cpu);
    let config =
        LocallyConnectedConfig { c_in: 64, c_out: 64, side: 6, kernel: 3, padding: 1, stdev: 0.04 };
    let local = LocallyConnected::new(&vs.root(), &config);
    let shape = match args.layer {
        Layer::Lrn => [64, 96, 55, 55],
        Layer::Local => [128, 64, 6, 6],
    };
    // What the layer before would put out.
    let kind = if precision == Precision::Bf16 { Kind::BFloat16 } else { Kind::Float };
    let xs = Tensor::randn(shape, (Kind::Float, Device::Cpu)).relu().to_kind(kind);
    let xs = channels_last(&xs).set_requires_grad(true);
    let inputs = match args.layer {
        Layer::Lrn => vec![&xs],
        Layer::Local => vec![&xs, &local.ws, &local.bs],
    };
    let pass = || {
        let autocast = precision.autocast(Device::Cpu);
        let ys = match args.layer {
            Layer::Lrn => ResponseNorm::PAPER.forward(&xs),
            Layer::Local => local.forward(&xs),
        };
        drop(autocast);
        Tensor::run_backward(&[ys.sum(Kind::Float)], &inputs, false, false)
    };

    let passes_per_s = rate(args.timed.seconds, || {
        drop(pass());
        anyhow::Ok(())
    })?;
    println!("{}", serde_json::json!({"ms": 1e3 / passes_per_s}));
    Ok(())
}
