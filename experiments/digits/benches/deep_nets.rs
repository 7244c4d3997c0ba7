//! Times what the training of the published autoencoder consists of, on pictures that mean nothing: an update of its first
//! machine by contrastive divergence, an update with Nesterov's momentum, and a product with the Gauss–Newton matrix.
//! Prints one JSON object; `bench/deep_nets` sets PyTorch beside it.
#![expect(clippy::print_stdout, reason = "the result is for a program")]

use std::convert::Infallible;

use clap::Parser;
use common::bench::{Timed, rate, share_of_gemm};
use digits::momentum::{self, Form};
use digits::net::Net;
use digits::pretrain::{Config, Stack, Top};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

/// Source: Hinton & Salakhutdinov 2006, the autoencoder of MNIST.
const WIDTHS: [i64; 5] = [784, 1000, 500, 250, 30];
/// Pictures of an update by contrastive divergence.
const MACHINE_BATCH: i64 = 100;
/// Pictures of an update with momentum.
const MOMENTUM_BATCH: i64 = 200;
/// Pictures of a product with the Gauss–Newton matrix.
const CHUNK: i64 = 2500;

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    timed: Timed,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let precision = args.timed.begin();
    let seconds = args.timed.seconds;
    let pictures = |n: i64| Tensor::rand([n, WIDTHS[0]], (Kind::Float, Device::Cpu));
    tch::manual_seed(0);

    let vs = VarStore::new(Device::Cpu);
    let mut stack = Stack::new(&vs.root(), &WIDTHS, Top::Code, 0.01);
    let cfg = Config {
        epochs: 10,
        batch: MACHINE_BATCH as usize,
        lr: 0.1,
        linear_lr: 0.001,
        momentum: 0.9,
        first_momentum: 0.5,
        first_epochs: 5,
        weight_decay: 2e-4,
        std: 0.01,
    };
    let xs = pictures(MACHINE_BATCH);
    let contrasts_per_s = rate(seconds, || {
        let error = stack.update(0, &xs, &cfg, cfg.first_epochs);
        anyhow::ensure!(error.is_finite(), "the error is not finite");
        Ok(())
    })?;

    let net = Net::autoencoder(&WIDTHS);
    let (mut theta, xs) = (net.sparse(15, Device::Cpu), pictures(MOMENTUM_BATCH));
    let mut velocity = theta.zeros_like();
    let updates_per_s = rate(seconds, || {
        let gradient = |theta: &Tensor| net.gradient(theta, &xs, &xs);
        let loss = momentum::update(Form::Nag, 0.9, 1e-3, &mut theta, &mut velocity, gradient);
        anyhow::ensure!(loss.is_finite(), "the loss is not finite");
        Ok(())
    })?;
    let share = share_of_gemm(
        updates_per_s * MOMENTUM_BATCH as f64,
        net.multiply_adds(),
        seconds,
        precision,
    )?;

    // As in a search by conjugate gradients: one pass of the chunk, then product after product.
    let pass = net.forward(&theta, &pictures(CHUNK));
    let direction = theta.randn_like();
    let products_per_s = rate(seconds, || -> Result<(), Infallible> {
        drop(net.gauss_newton(&theta, &pass, &direction));
        Ok(())
    })?;

    let json = serde_json::json!({
        "contrasts_per_s": contrasts_per_s,
        "updates_per_s": updates_per_s,
        "share_of_gemm": share,
        "products_per_s": products_per_s,
    });
    println!("{json}");
    Ok(())
}
