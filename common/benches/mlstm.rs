//! Times the multiplicative LSTM: training steps on random bytes, their share of the rate of plain matrix products in
//! the same run, and generation. Prints one JSON object. `bench/run` sets it beside PyTorch.
#![expect(clippy::print_stdout, reason = "the result is for a program")]

use clap::Parser;
use common::bench::{Timed, rate, share_of_gemm};
use common::device::Precision;
use common::nn::mlstm::{FixedMlstm, Mlstm, MlstmConfig, State};
use common::optim::clip::clip_grad_norm;
use common::optim::{Adam, AdamConfig, Decay, Epsilon, Optimizer, ParamGroup, named_params};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

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
    #[command(flatten)]
    timed: Timed,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let precision = args.timed.begin();
    tch::manual_seed(0);
    let vs = VarStore::new(Device::Cpu);
    let config = MlstmConfig { vocab: 256, embedding: 64, hidden: args.hidden };
    let model = Mlstm::new(&vs.root(), &config);

    let per_s = training(&args, &vs, &model, precision)?;
    let share = share_of_gemm(per_s, config.multiply_adds(), args.timed.seconds, precision)?;
    let json = serde_json::json!({
        "bytes_per_s": per_s,
        "share_of_gemm": share,
        "generated_bytes_per_s": generation(&args, &model)?,
    });
    println!("{json}");
    Ok(())
}

/// Bytes per second of whole updates: loss, gradients, clipping, Adam, the state carried on.
fn training(
    args: &Args,
    vs: &VarStore,
    model: &Mlstm,
    precision: Precision,
) -> anyhow::Result<f64> {
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
    let updates_per_s = rate(args.timed.seconds, || {
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
        anyhow::ensure!(loss.double_value(&[]).is_finite(), "the loss is not finite");
        state = after.detach();
        step += 1;
        Ok(())
    })?;
    Ok(updates_per_s * (args.batch * args.time) as f64)
}

/// Bytes per second, one text, the next byte always the likeliest.
fn generation(args: &Args, model: &Mlstm) -> anyhow::Result<f64> {
    let model = FixedMlstm::new(model);
    let mut state = model.start();
    let mut byte = 0;
    rate(args.timed.seconds, || {
        model.step(&mut state, byte);
        let ps = model.probabilities(&state);
        byte = (0..ps.len()).max_by(|&a, &b| ps[a].total_cmp(&ps[b])).expect("256 bytes");
        Ok(())
    })
}
