//! The fused operator against the step-by-step form, with every instruction set, and its functions.

use std::process::Command;

use common::nn::mlstm::{Mlstm, MlstmConfig, State};
use common::shim::{self, Autocast};
use tch::{Device, Kind, Tensor};

use super::{Case, Forward, apart, assert_close, doubles};

/// Outputs and gradients of `forward` for drawn inputs, with names.
fn everything(case: &Case, batch: i64, time: i64, forward: Forward) -> Vec<(String, Vec<f64>)> {
    let MlstmConfig { vocab, hidden, .. } = *case.model.config();
    tch::manual_seed(8);
    let kind = (Kind::Float, Device::Cpu);
    let state = || Tensor::randn([batch, hidden], kind).set_requires_grad(true);
    let start = State { h: state(), c: state() };
    let xs = Tensor::randint(vocab, [batch, time], (Kind::Int64, Device::Cpu));
    let weights = Tensor::randn([time, batch, hidden], kind);
    let (last_h, last_c) =
        (Tensor::randn([batch, hidden], kind), Tensor::randn([batch, hidden], kind));
    case.vs.variables().values_mut().for_each(Tensor::zero_grad);

    let segment = forward(&case.model, &xs, &start);
    let sum = |a: &Tensor, b: &Tensor| (a.to_kind(Kind::Float) * b).sum(Kind::Float);
    let loss = sum(&segment.hidden, &weights)
        + sum(&segment.state.h, &last_h)
        + sum(&segment.state.c, &last_c);
    loss.backward();
    let mut all = vec![
        ("hidden".to_owned(), doubles(&segment.hidden)),
        ("cell".to_owned(), doubles(&segment.cell)),
        ("last h".to_owned(), doubles(&segment.state.h)),
        ("last c".to_owned(), doubles(&segment.state.c)),
        ("gradient of h".to_owned(), doubles(&start.h.grad())),
        ("gradient of c".to_owned(), doubles(&start.c.grad())),
    ];
    for (name, param) in case.sorted() {
        if !name.starts_with("output") {
            all.push((format!("gradient of {name}"), doubles(&param.grad())));
        }
    }
    all
}

/// Widths that fill panels and rows of tiles, and such that do not; one symbol, one text.
const SIZES: [[i64; 5]; 5] = [
    [20, 7, 11, 3, 5],
    [30, 16, 64, 4, 7],
    [40, 8, 70, 140, 3],
    [256, 33, 192, 64, 9],
    [9, 3, 17, 1, 1],
];

#[test]
fn the_fused_operator_equals_the_step_by_step_form() {
    for [vocab, embedding, hidden, batch, time] in SIZES {
        let case = Case::drawn(vocab, embedding, hidden);
        let wanted = everything(&case, batch, time, Mlstm::composed);
        let found = everything(&case, batch, time, Mlstm::forward);
        for ((name, wanted), (_, found)) in wanted.iter().zip(&found) {
            // Both sum in fp32, in other orders: weight gradients over up to 600 rows.
            assert_close(&format!("{name} of {hidden} units"), found, wanted, 5e-6);
        }
        // bf16 has 8 bits: 2⁻⁹ per rounding, over a few steps.
        let found = {
            let forward: Forward = |model, xs, state| {
                let _autocast = Autocast::new(Device::Cpu, Some(Kind::BFloat16));
                model.forward(xs, state)
            };
            everything(&case, batch, time, forward)
        };
        for ((name, wanted), (_, found)) in wanted.iter().zip(&found) {
            let off = apart(found, wanted);
            assert!(off < 2e-2, "bf16, {name} of {hidden} units: off by {off}");
        }
        assert!(found != wanted, "autocast changed nothing");
    }
}

#[test]
fn every_instruction_set_computes_the_same() {
    for capability in ["default", "avx2"] {
        let out = Command::new(std::env::current_exe().unwrap())
            .env("ATEN_CPU_CAPABILITY", capability)
            .args(["--exact", "fused::the_fused_operator_equals_the_step_by_step_form"])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&out.stdout);
        assert!(out.status.success() && text.contains("1 passed"), "{capability}: {text}");
    }
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    let case = Case::drawn(50, 16, 256);
    for kind in [None, Some(Kind::BFloat16)] {
        let run = |threads| {
            tch::set_num_threads(threads);
            assert_eq!(shim::parallel_threads().unwrap(), threads as usize);
            let _autocast = Autocast::new(Device::Cpu, kind);
            // The loop itself: products around it are libtorch's.
            let _no_grad = tch::no_grad_guard();
            let xs = Tensor::arange(60, (Kind::Int64, Device::Cpu)).remainder(50).view([6, 10]);
            case.model.forward(&xs, &State::zeros(6, 256, Device::Cpu))
        };
        let (one, two) = (run(1), run(2));
        assert_eq!(doubles(&one.hidden), doubles(&two.hidden));
        assert_eq!(doubles(&one.cell), doubles(&two.cell));
    }
    let gradients = |threads| {
        tch::set_num_threads(threads);
        everything(&case, 6, 10, Mlstm::forward)
    };
    let (one, again, two) = (gradients(1), gradients(1), gradients(2));
    assert!(one == again, "two runs on one thread differ");
    for ((name, one), (_, two)) in one.iter().zip(&two) {
        // Around the loop stand libtorch's sums, which may split by thread.
        assert_close(name, two, one, 1e-6);
    }
}

#[test]
fn gates_keep_their_relative_error_over_the_whole_range() {
    // One unit and one step; each symbol's vector is one number z, which only one gate sees, the
    // others are open: c = tanh(z), or h = σ(z)·tanh(1).
    let z: Vec<f64> = (-4000..=4000).map(|i| f64::from(i) * 0.005 + 0.001).collect();
    let n = z.len() as i64;
    let case = Case::new(n, 1, 1);
    case.set("embedding", &z);
    case.set("wx", &[1.0; 4]);
    let exact: Vec<f64> = z.iter().map(|&z| f64::from(z as f32)).collect();
    let run = |gains: [f64; 4], b: [f64; 4]| {
        case.set("gx", &gains);
        case.set("b", &b);
        let xs = Tensor::arange(n, (Kind::Int64, Device::Cpu)).view([n, 1]);
        case.model.forward(&xs, &State::zeros(n, 1, Device::Cpu)).state
    };
    let worst = |found: &[f64], f: &dyn Fn(f64) -> f64| {
        found.iter().zip(&exact).map(|(y, &z)| (y / f(z) - 1.0).abs()).fold(0.0, f64::max)
    };
    let tanh = worst(&doubles(&run([0.0, 0.0, 0.0, 1.0], [100.0, 0.0, 0.0, 0.0]).c), &f64::tanh);
    assert!(tanh < 5e-7, "{tanh}");
    let h = doubles(&run([0.0, 0.0, 1.0, 0.0], [100.0, 0.0, 0.0, 100.0]).h);
    let sigmoid = worst(&h, &|z| 1.0_f64.tanh() / (1.0 + (-z).exp()));
    assert!(sigmoid < 5e-7, "{sigmoid}");
}
