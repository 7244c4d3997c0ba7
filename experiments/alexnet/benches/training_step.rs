//! Times the training step of Figure 1's net on random pictures of CIFAR-10's size: the real loader, update
//! and layout, in one process or, where the environment says so, in several. Prints one JSON object. `bench/run` and
//! `bench/data_parallel` set it beside PyTorch.
#![expect(clippy::print_stdout, reason = "the result is for a program")]

use std::sync::Arc;
use std::time::Instant;

use alexnet::data::{Inputs, TrainingSet};
use alexnet::loss::Loss;
use alexnet::model::{Activation, Init};
use alexnet::train::{Config, build, optimizer, update};
use clap::Parser;
use common::bench::Timed;
use common::distributed::{Gradients, World};
use common::nn::probe::Probe;
use common::optim::named_params;
use tch::nn::VarStore;
use tch::{Device, Tensor};

mod noise;

use noise::noise;

#[derive(Parser)]
struct Args {
    #[arg(long, default_value_t = 128)]
    batch: usize,
    #[command(flatten)]
    timed: Timed,
}

/// Pictures: enough that they do not stay in the processor's cache.
const PICTURES: usize = 10_000;
/// Steps between two looks at the clock.
const LOOK: u64 = 8;

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let precision = args.timed.begin();
    let cfg = Config {
        activation: Activation::Relu,
        inputs: Inputs::RawMinusMean,
        init: Init::Gaussian([1e-4, 0.01, 0.01, 0.1]),
        lr: 1e-4,
        bias_lr_scale: 2.0,
        batch: args.batch,
        momentum: 0.9,
        pictures: PICTURES,
        epochs: 1.0,
        target: 0.0,
        row_every: PICTURES,
        save_every: PICTURES,
        data_sha256: String::new(),
    };
    let set = Arc::new(TrainingSet::new(&noise(PICTURES), PICTURES, cfg.inputs));
    let mut vs = VarStore::new(Device::Cpu);
    let model = build(&mut vs, &cfg, 0, &set);
    let params = named_params(&vs);
    let world = World::join(Device::Cpu)?;
    let grads = Gradients::new(&world, &params)?;
    let mut opt = optimizer(&params, &cfg);
    let forward = |xs: &Tensor, probe: &Probe| model.forward(xs, probe);
    let autocast = || precision.autocast(Device::Cpu);

    let sampler = set.sampler(0, cfg.batch).shared(world.own())?;
    let mut loader = set.loader(sampler, 0..u64::MAX);
    let (mut begun, mut timed, mut pictures, mut waited) = (Instant::now(), false, 0, 0.0);
    for step in 0.. {
        // All processes stop at the same step, by the same clock.
        if step % LOOK == 0 {
            let elapsed = world.mean(begun.elapsed().as_secs_f64())?;
            if timed && elapsed > args.timed.seconds {
                break;
            }
            if !timed && elapsed > args.timed.seconds / 2.0 {
                (timed, begun, pictures, waited) =
                    (true, Instant::now(), 0, loader.waited().as_secs_f64());
            }
        }
        let batch = loader.next().expect("the range does not end")?;
        let (xs, ys) = batch.tensors(Device::Cpu);
        let by = Loss::Softmax;
        let seen =
            update(forward, by, &mut opt, &grads, &params, &xs, &ys, cfg.lr, step, &autocast)?;
        pictures += seen.pictures;
    }
    let elapsed = begun.elapsed().as_secs_f64();
    let wait = (loader.waited().as_secs_f64() - waited) / elapsed;
    let images_per_s = pictures as f64 / elapsed;
    if !world.is_first() {
        return Ok(());
    }
    println!("{}", serde_json::json!({"images_per_s": images_per_s, "loader_wait": wait}));
    Ok(())
}
