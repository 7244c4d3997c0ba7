//! Against numbers from elsewhere: a numpy version with central differences (`oracle/mlstm.py`), and
//! a case computed by hand.

use std::collections::{BTreeMap, HashMap};

use common::nn::mlstm::{FixedMlstm, State};
use serde::Deserialize;
use tch::{Device, Kind, Tensor};

use super::{Case, FORMS, assert_close, doubles};

#[derive(Deserialize)]
struct Fixture {
    sizes: Sizes,
    values: BTreeMap<String, Vec<f64>>,
    xs: Vec<i64>,
    ys: Vec<i64>,
    hidden: Vec<f64>,
    cell: Vec<f64>,
    loss: f64,
    grads: BTreeMap<String, Vec<f64>>,
}

#[derive(Deserialize)]
struct Sizes {
    vocab: i64,
    embedding: i64,
    hidden: i64,
    batch: i64,
    time: i64,
}

#[test]
fn states_loss_and_all_gradients_are_those_of_the_numpy_version() {
    let fixture: Fixture = serde_json::from_str(include_str!("../fixtures/mlstm.json")).unwrap();
    let Sizes { vocab, embedding, hidden, batch, time } = fixture.sizes;
    for (form, forward) in FORMS {
        let case = Case::new(vocab, embedding, hidden);
        for name in case.vs.variables().keys() {
            case.set(name, &fixture.values[name]);
        }
        let start = |name: &str| {
            let values = Tensor::from_slice(&fixture.values[name]).to_kind(Kind::Float);
            values.reshape([batch, hidden]).set_requires_grad(true)
        };
        let state = State { h: start("h"), c: start("c") };
        let xs = Tensor::from_slice(&fixture.xs).view([batch, time]);
        let ys = Tensor::from_slice(&fixture.ys).view([batch, time]);

        let segment = forward(&case.model, &xs, &state);
        let logits = case.model.logits(&segment.hidden).flatten(0, 1);
        let loss = logits.cross_entropy_for_logits(&ys.transpose(0, 1).reshape([-1]));
        loss.backward();

        // fp32 against float64; numbers of the order of 1.
        assert_close(form, &doubles(&segment.hidden), &fixture.hidden, 1e-6);
        assert_close(form, &doubles(&segment.cell), &fixture.cell, 1e-6);
        assert_close(
            form,
            &doubles(&segment.state.h),
            &fixture.hidden[((time - 1) * batch * hidden) as usize..],
            1e-6,
        );
        assert_close(
            form,
            &doubles(&segment.state.c),
            &fixture.cell[((time - 1) * batch * hidden) as usize..],
            1e-6,
        );
        assert_close(form, &doubles(&loss), &[fixture.loss], 1e-6);
        let mut params: HashMap<String, Tensor> = case.vs.variables();
        params.extend([("h".to_owned(), state.h), ("c".to_owned(), state.c)]);
        assert_eq!(params.len(), fixture.grads.len());
        for (name, param) in &params {
            let what = format!("{form}, gradient of {name}");
            assert_close(&what, &doubles(&param.grad()), &fixture.grads[name], 3e-6);
        }
        let (by_loss, _) =
            case.model.loss(&xs, &ys, &State { h: params["h"].detach(), c: params["c"].detach() });
        assert_close("loss()", &doubles(&by_loss), &[fixture.loss], 1e-6);
    }
}

#[test]
fn the_case_computed_by_hand_comes_out() {
    let case = Case::new(4, 2, 2);
    let matrix = |rows: i32, columns: i32, scale: f64| -> Vec<f64> {
        let entry = |i: i32, j: i32| scale * (0.3 * f64::from(i) - 0.1 * f64::from(j));
        (1..=rows).flat_map(|i| (1..=columns).map(move |j| entry(i, j))).collect()
    };
    let embedding: Vec<f64> = (1..=4).flat_map(|v| [0.1, -0.1].map(|s| s * f64::from(v))).collect();
    case.set("embedding", &embedding);
    case.set("wx", &matrix(2, 8, 1.0));
    case.set("wh", &matrix(2, 8, -1.0));
    case.set("wmx", &matrix(2, 2, 2.0));
    case.set("wmh", &matrix(2, 2, 1.5));
    case.set("b", &(1..=8).map(|j| 0.01 * f64::from(j)).collect::<Vec<_>>());
    let cell = [
        -0.001_348_799_03,
        0.011_823_040_47,
        -0.098_517_422_48,
        -0.057_670_153_03,
        -0.078_263_012_41,
        -0.037_640_425_01,
    ];
    let hidden = [
        -0.000_646_035_76,
        0.005_793_035_67,
        -0.037_375_654_50,
        -0.023_937_225_07,
        -0.034_834_490_97,
        -0.017_534_340_83,
    ];
    let symbols = [0, 3, 1];
    for (form, forward) in FORMS {
        let xs = Tensor::from_slice(&symbols).view([1, 3]);
        let segment = forward(&case.model, &xs, &State::zeros(1, 2, Device::Cpu));
        assert_close(form, &doubles(&segment.cell), &cell, 2e-6); // fp32
        assert_close(form, &doubles(&segment.hidden), &hidden, 2e-6);
    }
    let fixed = FixedMlstm::new(&case.model);
    let mut state = fixed.start();
    for (step, &symbol) in symbols.iter().enumerate() {
        fixed.step(&mut state, symbol as usize);
        let found: Vec<f64> = state.c.iter().chain(&state.h).map(|&x| f64::from(x)).collect();
        let wanted = [&cell[2 * step..][..2], &hidden[2 * step..][..2]].concat();
        assert_close("fixed", &found, &wanted, 2e-6);
    }
}
