//! Times the multiplicative LSTM: training steps on random bytes, the rate of plain matrix products in
//! the same run, and generation. Prints one JSON object. `bench/run` sets it beside PyTorch.
#![expect(clippy::print_stdout, reason = "the result is for a program")]

use clap::Parser;
use common::device::{Precision, configure_threads};
use common::nn::mlstm::{FixedMlstm, Mlstm, MlstmConfig, State};
use common::optim::clip::clip_grad_norm;
use common::optim::{Adam, AdamConfig, Decay, Epsilon, Optimizer, ParamGroup, named_params};
use common::shim;
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

mod rate;

use rate::rate;

#[derive(Parser)]
struct Args {
    #[arg(long, default_value_t = 512)]
    hidden: i64,
    /// Texts side by side
    #[arg(long, default_value_t = 64)]
    batch: i64,
    /// Bytes of each text per update
    #[arg(long, default_value_t = 128)]
    time: i64,
    #[arg(long, default_value = "fp32")]
    precision: String,
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Seconds to time each part, after half as many to warm up
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// `cargo bench` passes this
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    configure_threads(args.threads);
    shim::keep_memory();
    let precision: Precision = args.precision.parse()?;
    tch::manual_seed(0);
    let vs = VarStore::new(Device::Cpu);
    let config = MlstmConfig { vocab: 256, embedding: 64, hidden: args.hidden };
    let model = Mlstm::new(&vs.root(), &config);

    let per_s = training(&args, &vs, &model, precision);
    // Forwards once, backwards twice as much; two operations per multiply-add.
    let flops_per_s = per_s * 6.0 * config.multiply_adds() as f64;
    let gemm_flops_per_s = products(&args, precision);
    let json = serde_json::json!({
        "bytes_per_s": per_s,
        "flops_per_s": flops_per_s,
        "gemm_flops_per_s": gemm_flops_per_s,
        "share_of_gemm": flops_per_s / gemm_flops_per_s,
        "generated_bytes_per_s": generation(&args, &model),
    });
    println!("{json}");
    Ok(())
}

/// Bytes per second of whole updates: loss, gradients, clipping, Adam, the state carried on.
fn training(args: &Args, vs: &VarStore, model: &Mlstm, precision: Precision) -> f64 {
    let params = named_params(vs);
    let group = ParamGroup { params: named_params(vs), lr_scale: 1.0, weight_decay: 0.0 };
    let config = AdamConfig {
        beta1: 0.9,
        beta2: 0.999,
        eps: 1e-8,
        epsilon: Epsilon::PyTorch,
        decay: Decay::L2,
    };
    let mut opt = Adam::new(vec![group], config);
    let draw = || Tensor::randint(256, [args.batch, args.time + 1], (Kind::Int64, Device::Cpu));
    let texts: Vec<Tensor> = (0..8).map(|_| draw()).collect();
    let mut state = State::zeros(args.batch, args.hidden, Device::Cpu);
    let mut step = 0;
    let updates_per_s = rate(args.seconds, || {
        let text = &texts[step % texts.len()];
        let (xs, ys) = (text.narrow(1, 0, args.time), text.narrow(1, 1, args.time));
        let (loss, after) = {
            let _autocast = precision.autocast(Device::Cpu);
            model.loss(&xs, &ys, &state)
        };
        opt.zero_grad();
        loss.backward();
        clip_grad_norm(&params, 1.0);
        opt.step(5e-4);
        assert!(loss.double_value(&[]).is_finite());
        state = after.detach();
        step += 1;
    });
    updates_per_s * (args.batch * args.time) as f64
}

/// Operations per second of libtorch's product of two square matrices as wide as the model.
fn products(args: &Args, precision: Precision) -> f64 {
    let n = args.hidden;
    let kind = if precision == Precision::Bf16 { Kind::BFloat16 } else { Kind::Float };
    let draw = || Tensor::randn([n, n], (kind, Device::Cpu));
    let (a, b) = (draw(), draw());
    rate(args.seconds, || _ = a.mm(&b)) * 2.0 * (n as f64).powi(3)
}

/// Bytes per second, one text, the next byte always the likeliest.
fn generation(args: &Args, model: &Mlstm) -> f64 {
    let model = FixedMlstm::new(model);
    let mut state = model.start();
    let mut byte = 0;
    rate(args.seconds, || {
        model.step(&mut state, byte);
        let ps = model.probabilities(&state);
        byte = (0..ps.len()).max_by(|&a, &b| ps[a].total_cmp(&ps[b])).expect("256 bytes");
    })
}
