//! Several processes that train together, on this machine: each test starts this program again, once for each of them.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use common::checkpoint::{read_safetensors, write_safetensors};
use common::distributed::{Gradients, World, WorldError};
use common::interrupt;
use common::optim::{Optimizer as _, ParamGroup, Sgd, SgdConfig, SgdForm, named_params};
use common::rng;
use tch::nn::{self, Module as _, VarStore};
use tch::{Device, Kind, Tensor};
use testing::{Running, free_port, place, several, together};

/// Says to a process what it is to do; without it, the test of that name does nothing.
const ROLE: &str = "LANDMARKS_TEST_ROLE";
/// Where it leaves what it found.
const FOLDER: &str = "LANDMARKS_TEST_FOLDER";

/// This program as a process that does what `role` says.
fn command(role: &str, folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["one_of_several_processes", "--exact", "--nocapture", "--test-threads=1"]);
    command.env(ROLE, role).env(FOLDER, folder).env("OMP_NUM_THREADS", "1");
    command
}

/// Runs `role` in `size` processes, to their good end.
fn all(role: &str, size: usize, folder: &Path) {
    together(size, |_| command(role, folder));
}

#[test]
fn one_of_several_processes() {
    let Ok(role) = std::env::var(ROLE) else { return };
    match role.as_str() {
        "train" => train(),
        "talk" => talk(),
        "unused" => unused_parameter(),
        "lose" => lose(),
        "missing" => {
            let error = World::join(Device::Cpu).unwrap_err().to_string();
            let [host, port] = ["MASTER_ADDR", "MASTER_PORT"].map(|n| std::env::var(n).unwrap());
            let address = format!("{host}:{port} (MASTER_ADDR:MASTER_PORT)");
            assert!(error.contains(&address), "{error}");
        }
        other => panic!("{other}"),
    }
}

const BATCH: usize = 8;
const STEPS: u64 = 50;

/// Trains a small convolutional net for some updates of two micro-batches each, with its share of every batch; leaves
/// the first gradients, the losses and the last weights.
fn train() {
    let world = World::join(Device::Cpu).unwrap();
    let vs = VarStore::new(Device::Cpu);
    rng::seed_torch(0, "init", 0);
    let root = vs.root();
    let net = nn::seq()
        .add(nn::conv2d(&root / "conv", 3, 8, 3, nn::ConvConfig::default()))
        .add_fn(|xs| xs.relu().flatten(1, -1))
        .add(nn::linear(&root / "fc1", 8 * 16, 32, nn::LinearConfig::default()))
        .add_fn(Tensor::tanh)
        .add(nn::linear(&root / "fc2", 32, 5, nn::LinearConfig::default()));
    common::nn::to_channels_last(&vs); // gradients in another layout than that of a list
    let params = named_params(&vs);
    let config = SgdConfig { momentum: 0.9, form: SgdForm::PyTorch, nesterov: false };
    let group = ParamGroup { params: named_params(&vs), lr_scale: 1.0, weight_decay: 0.0 };
    let mut opt = Sgd::new(vec![group], config);
    let grads = Gradients::new(&world, &params).unwrap();
    let rows = world.share("a batch", BATCH).unwrap();
    let (mut losses, mut left) = (Vec::new(), Vec::new());
    for step in 0..STEPS {
        opt.zero_grad();
        let mut loss = 0.0;
        for micro in 0..2 {
            rng::seed_torch(1, "data", 2 * step + micro);
            let (xs, ys) = (
                Tensor::randn([BATCH as i64, 3, 6, 6], (Kind::Float, Device::Cpu)),
                Tensor::randint(5, [BATCH as i64], (Kind::Int64, Device::Cpu)),
            );
            let own = |all: &Tensor| all.narrow(0, rows.start as i64, rows.len() as i64);
            let of_micro = net.forward(&own(&xs)).cross_entropy_for_logits(&own(&ys)) / 2.0;
            grads.backward(&of_micro, micro == 1).unwrap();
            loss += of_micro.double_value(&[]);
        }
        losses.push(world.mean(loss).unwrap());
        if step == 0 {
            let grad =
                |(name, param): &(String, Tensor)| (format!("grad/{name}"), param.grad().copy());
            left.extend(params.iter().map(grad));
        }
        opt.step(0.05);
    }
    left.extend(params.into_iter().map(|(name, param)| (name, param.detach())));
    left.push(("losses".to_owned(), Tensor::from_slice(&losses)));
    let name = format!("{}-of-{}.safetensors", world.rank(), world.size());
    let folder = std::env::var(FOLDER).unwrap();
    write_safetensors(&Path::new(&folder).join(name), &left).unwrap();
}

#[test]
fn two_and_four_processes_train_as_one_does() {
    let folder = tempfile::tempdir().unwrap();
    for size in [1, 2, 4] {
        all("train", size, folder.path());
    }
    let read = |rank: usize, size: usize| {
        read_safetensors(&folder.path().join(format!("{rank}-of-{size}.safetensors"))).unwrap()
    };
    let alone = read(0, 1);
    for size in [2, 4] {
        let first = read(0, size);
        for (name, wanted) in &alone {
            let (found, wanted) = (first[name].to_kind(Kind::Double), wanted.to_kind(Kind::Double));
            let apart = ((&found - &wanted).norm() / wanted.norm()).double_value(&[]);
            // The same sums in another order; what 50 updates make of that.
            let near = if name.starts_with("grad/") { 1e-6 } else { 1e-5 };
            assert!(apart < near, "{name} of {size} processes: {apart:e}");
        }
        for rank in 1..size {
            for (name, other) in read(rank, size) {
                assert!(other == first[&name], "{name} of process {rank} of {size} differs");
            }
        }
    }
    let losses = Vec::<f64>::try_from(&alone["losses"]).unwrap();
    assert!(losses.iter().all(|loss| loss.is_finite()) && losses.len() == STEPS as usize);
}

/// What processes tell each other.
fn talk() {
    let world = World::join(Device::Cpu).unwrap();
    let rank = world.rank();
    assert_eq!(world.size(), 3);
    let sums = world.sum([1.0, rank as f64]).unwrap();
    assert!(sums.iter().all(|sum| (sum - 3.0).abs() < 1e-12), "{sums:?}");
    assert!((world.mean(rank as f64).unwrap() - 1.0).abs() < 1e-12);

    let of = |x: f64| Tensor::full([2, 2], x, (Kind::Float, Device::Cpu));
    let own = of(rank as f64);
    world.broadcast([&own]).unwrap();
    assert!(own == of(0.0));
    let rows = world.gather(&of(rank as f64)).unwrap();
    assert!(rows == Tensor::cat(&[of(0.0), of(1.0), of(2.0)], 0));

    let told = world.told_by_first(|| Ok(vec![rank, 7])).unwrap();
    assert_eq!(told, [0, 7]);
    let refused = world.told_by_first(|| anyhow::bail!("the disk is full") as anyhow::Result<u8>);
    let refused = refused.unwrap_err().to_string();
    assert!(refused.ends_with("the disk is full"), "{refused}");
    assert_eq!(refused.starts_with("process 0: "), rank > 0);

    assert_eq!(world.share("a batch", 9).unwrap(), 3 * rank..3 * rank + 3);
    let uneven = world.share("a batch", 8).unwrap_err().to_string();
    assert!(uneven.contains("a batch is 8, which 3 processes cannot share"), "{uneven}");
    assert_eq!(world.own().of(8), [0..2, 2..5, 5..8][rank]);
    let division = world.divide(4, 6).unwrap();
    assert_eq!((division.micro, division.rows), (vec![rank as u64, rank as u64 + 3], 0..4));
    let division = world.divide(6, 2).unwrap();
    assert_eq!((division.micro, division.rows), (vec![0, 1], 2 * rank..2 * rank + 2));
    assert!(world.divide(4, 2).is_err());

    let draw = || {
        world.seed_torch(5, "dropout", 0);
        Tensor::rand([4], (Kind::Float, Device::Cpu))
    };
    assert!(draw() == draw());
    let drawn = world.gather(&draw().unsqueeze(0)).unwrap();
    assert!(drawn.get(0) != drawn.get(1) && drawn.get(1) != drawn.get(2));

    world.agree(&[("preset", "smoke".to_owned())]).unwrap();
    let preset = if rank == 2 { "laptop" } else { "smoke" };
    let error = world.agree(&[("preset", preset.to_owned())]).unwrap_err().to_string();
    assert!(error.contains("process 2") && error.contains("preset (smoke → laptop)"), "{error}");

    // A wish to stop in one process stops all of them at the same place.
    world.barrier().unwrap();
    assert!(world.interrupted().is_ok());
    if rank == 1 {
        interrupt::request();
        assert!(world.interrupted().is_ok(), "not yet agreed");
    }
    world.barrier().unwrap();
    assert_eq!(world.interrupted().unwrap_err().exit_code, 143);
}

#[test]
fn processes_tell_each_other_what_they_need_to_know() {
    let folder = tempfile::tempdir().unwrap();
    all("talk", 3, folder.path());
}

fn unused_parameter() {
    let world = World::join(Device::Cpu).unwrap();
    let vs = VarStore::new(Device::Cpu);
    let used = vs.root().zeros("used", &[3]);
    let _unused = vs.root().zeros("unused", &[3]);
    let grads = Gradients::new(&world, &named_params(&vs)).unwrap();
    let error = grads.backward(&used.sum(Kind::Float), true).unwrap_err().to_string();
    assert!(error.contains(": unused got no gradient"), "{error}");
}

#[test]
fn a_parameter_without_a_gradient_is_named() {
    let folder = tempfile::tempdir().unwrap();
    all("unused", 2, folder.path());
}

/// Process 1 of three dies in the middle of it; the others say so.
fn lose() {
    let world = World::join(Device::Cpu).unwrap();
    for step in 0.. {
        if world.rank() == 1 && step == 5 {
            signal_hook::low_level::raise(signal_hook::consts::SIGKILL).unwrap();
        }
        match world.mean(1.0) {
            Ok(_) => {}
            Err(error @ WorldError::Lost { .. }) => {
                let error = error.to_string();
                assert!(error.contains("process 1 has gone"), "{error}");
                assert!(!error.contains("process 0 has") && !error.contains("process 2 has"));
                return;
            }
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn a_process_that_was_killed_is_named_by_the_others() {
    let (folder, begun) = (tempfile::tempdir().unwrap(), Instant::now());
    let started = several(3, |_| command("lose", folder.path()));
    let outputs: Vec<Output> = started.into_iter().map(Running::end).collect();
    assert!(!outputs[1].status.success());
    // The first keeps the store: whoever looks after it has left says that it has.
    assert!(outputs[0].status.success(), "{:?}", outputs[0]);
    assert!(begun.elapsed() < Duration::from_secs(90), "took {:?}", begun.elapsed());
}

#[test]
fn an_address_where_nobody_is_a_wrong_host_and_a_port_in_use_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let start = |rank: usize, host: &str, port: u16| {
        let mut command = command("missing", folder.path());
        place(&mut command, rank, 2, port);
        command.env("MASTER_ADDR", host).env("LANDMARKS_TIMEOUT_S", "2");
        Running::start(command)
    };
    let started = [
        start(1, "127.0.0.1", free_port()),
        start(1, "nowhere.invalid", free_port()),
        start(0, "127.0.0.1", listener.local_addr().unwrap().port()),
    ];
    for one in started {
        let output = one.end();
        assert!(output.status.success(), "{output:?}");
    }
}
