//! Times the training step of each of the authors' CIFAR-10 nets on random pictures of CIFAR-10's size: the
//! real loader, update and layout. Prints one JSON object a net.
//!
//! `images_per_cpu_s` is over the processor time of all threads, the loader's too: it says what a step costs
//! on a machine that does other things as well.
#![expect(clippy::print_stdout, reason = "the result is for a program")]

use std::sync::Arc;
use std::time::Instant;

use alexnet::cifar::data::{Pictures, Views};
use alexnet::cifar::layers::{Normalisation, Pooling};
use alexnet::cifar::net::{CifarNet, optimizer};
use alexnet::cifar::nets::Net;
use alexnet::cifar::schedule::{Schedule, Stage};
use alexnet::loss::Loss;
use alexnet::train::update;
use anyhow::Context as _;
use clap::Parser;
use common::device::{Precision, configure_threads};
use common::distributed::Gradients;
use common::nn::probe::Probe;
use common::nn::to_channels_last;
use common::optim::named_params;
use common::shim;
use tch::nn::VarStore;
use tch::{Device, Tensor};

mod noise;
mod processor;

use noise::noise;
use processor::processor_s;

#[derive(Parser)]
struct Args {
    /// As the authors' file is called, e.g. `layers-19pct`; all nets by default
    #[arg(long)]
    net: Option<String>,
    #[arg(long, default_value_t = 128)]
    batch: usize,
    #[arg(long, default_value = "bf16")]
    precision: String,
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Updates timed, after a quarter of them to warm up
    #[arg(long, default_value_t = 40)]
    steps: u64,
    /// `cargo bench` passes this
    #[arg(long, hide = true)]
    bench: bool,
}

/// Pictures: enough that they do not stay in the processor's cache.
const PICTURES: usize = 10_000;

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    configure_threads(args.threads);
    shim::keep_memory();
    for net in Net::ALL {
        let name = serde_json::to_value(net)?;
        if args.net.as_deref().is_none_or(|wanted| name == wanted) {
            let (wall, processor) = time(&args, net)?;
            println!(
                "{}",
                serde_json::json!({
                    "net": name, "images_per_s": wall.round(), "images_per_cpu_s": processor.round(),
                })
            );
        }
    }
    Ok(())
}

/// Pictures a second, and pictures a second of processor time.
fn time(args: &Args, net: Net) -> anyhow::Result<(f64, f64)> {
    let precision: Precision = args.precision.parse()?;
    let views = match net {
        Net::Pct13 | Net::Pct11 => Views::Crops { border: 4 },
        _ => Views::Whole,
    };
    let set = Arc::new(Pictures::new(&noise(PICTURES), PICTURES));
    let (mean, side) = (set.mean_view(views), views.side(set.size) as i64);
    let vs = VarStore::new(Device::Cpu);
    let table = net.table();
    let (normalisation, pooling) = (Normalisation::Published, Pooling::Overlapping);
    let built = CifarNet::new(&vs.root(), &table, &normalisation, pooling, 3, side);
    to_channels_last(&vs);
    let params = named_params(&vs);
    let grads = Gradients::alone();
    let mut opt = optimizer(&params, &table, 0.9, 2.0, true);
    let autocast = || precision.autocast(Device::Cpu);
    let stages = [Stage { share: 1.0, epochs: 1e4, divisor: 1.0 }];
    let schedule = Arc::new(Schedule::new(&stages, 1.0, set.n, args.batch, 0));
    let forward = |xs: &Tensor, probe: &Probe| built.forward(xs, probe);

    let warm_up = args.steps / 4;
    let mut loader = set.loader(views, &mean, &schedule, 0..warm_up + args.steps);
    let (mut begun, mut used, mut pictures) = (Instant::now(), 0.0, 0.0);
    for step in 0..warm_up + args.steps {
        if step == warm_up {
            (begun, used, pictures) = (Instant::now(), processor_s()?, 0.0);
        }
        let batch = loader.next().context("the loader has a batch for every step")??;
        let (xs, ys) = batch.tensors(Device::Cpu);
        let _scores = update(
            forward,
            Loss::Softmax,
            &mut opt,
            &grads,
            &params,
            &xs,
            &ys,
            1e-4,
            step,
            &autocast,
        )?;
        pictures += batch.len() as f64;
    }
    Ok((pictures / begun.elapsed().as_secs_f64(), pictures / (processor_s()? - used)))
}
