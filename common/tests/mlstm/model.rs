//! Segments, texts of different length, the start and the size of a model, and that it learns.

use common::nn::mlstm::{Mlstm, MlstmConfig, State};
use tch::nn::OptimizerConfig;
use tch::{Device, Kind, Tensor};

use super::{Case, assert_close, doubles};

#[test]
fn a_state_carried_over_equals_one_long_segment() {
    let case = Case::drawn(256, 8, 70);
    let xs = Tensor::randint(256, [3, 10], (Kind::Int64, Device::Cpu));
    let start = State::zeros(3, 70, Device::Cpu);
    let whole = case.model.forward(&xs, &start);
    let first = case.model.forward(&xs.narrow(1, 0, 4), &start);
    let second = case.model.forward(&xs.narrow(1, 4, 6), &first.state);
    let joined = Tensor::cat(&[&first.hidden, &second.hidden], 0);
    assert_eq!(doubles(&joined), doubles(&whole.hidden));
    assert_eq!(doubles(&second.state.c), doubles(&whole.state.c));
    assert!(!second.state.detach().h.requires_grad() && second.state.h.requires_grad());
}

#[test]
fn texts_of_different_length_end_in_the_states_of_each_alone() {
    let case = Case::drawn(256, 8, 20);
    let lengths = [0_i64, 1, 64, 65, 130];
    let xs = Tensor::randint(256, [5, 130], (Kind::Int64, Device::Cpu));
    let states = case.model.last_states(&xs, &Tensor::from_slice(&lengths));
    for (row, &length) in lengths.iter().enumerate() {
        let row = row as i64;
        let start = State::zeros(1, 20, Device::Cpu);
        let alone = if length == 0 {
            start
        } else {
            case.model.forward(&xs.narrow(0, row, 1).narrow(1, 0, length), &start).state
        };
        assert_close("c", &doubles(&states.c.get(row)), &doubles(&alone.c), 1e-6);
        assert_close("h", &doubles(&states.h.get(row)), &doubles(&alone.h), 1e-6);
    }
}

#[test]
fn columns_have_the_norms_of_their_gains_and_gates_start_orthogonal() {
    tch::manual_seed(3);
    let case = Case::new(256, 16, 32);
    for (name, rows, blocks) in [("wx", 16, 4), ("wh", 32, 4), ("wmx", 16, 1), ("wmh", 32, 1)] {
        for block in case.vs.variables()[name].chunk(blocks, 1) {
            let off = (block.matmul(&block.tr()) - Tensor::eye(rows, (Kind::Float, Device::Cpu)))
                .abs()
                .max()
                .double_value(&[]);
            assert!(off < 1e-5, "{name}: {off}");
        }
    }
    for name in ["embedding", "output.weight"] {
        let std = case.vs.variables()[name].std(true).double_value(&[]);
        assert!((std / 0.02 - 1.0).abs() < 0.05, "{name}: {std}");
    }
    // Scaling a column changes nothing, its gain is all that counts.
    let xs = Tensor::randint(256, [2, 5], (Kind::Int64, Device::Cpu));
    let start = State::zeros(2, 32, Device::Cpu);
    let before = doubles(&case.model.forward(&xs, &start).hidden);
    let wh = doubles(&case.vs.variables()["wh"]);
    case.set(
        "wh",
        &wh.iter().enumerate().map(|(i, w)| w * (1 + i % 128) as f64).collect::<Vec<_>>(),
    );
    assert_close(
        "scaled columns",
        &doubles(&case.model.forward(&xs, &start).hidden),
        &before,
        1e-5,
    );
}

#[test]
fn a_new_model_predicts_every_symbol_alike_and_learns() {
    tch::manual_seed(4);
    let case = Case::new(256, 16, 32);
    let xs = Tensor::randint(256, [4, 20], (Kind::Int64, Device::Cpu));
    let start = State::zeros(4, 32, Device::Cpu);
    let loss = |model: &Mlstm| model.loss(&xs, &xs, &start).0; // repeat what was just read
    let first = loss(&case.model).double_value(&[]);
    assert!((first - 256.0_f64.ln()).abs() < 0.01, "{first}");
    let mut opt = tch::nn::Adam::default().build(&case.vs, 0.02).unwrap();
    for _ in 0..60 {
        opt.backward_step(&loss(&case.model));
    }
    let last = loss(&case.model).double_value(&[]);
    assert!(last < 0.1, "{last} nats after 60 steps");
}

#[test]
fn the_published_model_has_its_parameters() {
    let published = MlstmConfig { vocab: 256, embedding: 64, hidden: 4096 };
    assert_eq!(published.parameters(), 86_319_360);
    let case = Case::new(50, 6, 10);
    let n: usize = case.vs.variables().values().map(Tensor::numel).sum();
    assert_eq!(case.model.config().parameters(), n as i64);
}

#[test]
#[should_panic(expected = "outside of the vocabulary")]
fn a_symbol_outside_of_the_vocabulary_is_refused() {
    let case = Case::new(10, 3, 4);
    case.model
        .forward(&Tensor::from_slice(&[3_i64, 10]).view([1, 2]), &State::zeros(1, 4, Device::Cpu));
}
