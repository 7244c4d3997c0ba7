//! Scores, gradients and ten updates of Figure 1's net against PyTorch (`oracle/figure_1_net.py`), in
//! float64. Tolerance: sums of at most 800 products in another order, 1e-9 of the value after ten updates.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::BTreeMap;

use alexnet::data::Inputs;
use alexnet::model::{Activation, Figure1Net, Init};
use alexnet::train::{Config, optimizer};
use common::nn::probe::Probe;
use common::nn::to_channels_last;
use common::optim::{Optimizer as _, named_params};
use serde::Deserialize;
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

#[derive(Deserialize)]
struct Case {
    losses: Vec<f64>,
    logits: Vec<f64>,
    grad_norms: BTreeMap<String, f64>,
    after: BTreeMap<String, f64>,
}

const SCALES: [(&str, f64); 4] = [("conv1", 0.01), ("conv2", 0.03), ("conv3", 0.03), ("fc", 0.1)];

fn sines(shape: &[i64], scale: f64, frequency: f64) -> Tensor {
    let n = shape.iter().product::<i64>();
    let values: Vec<f64> = (0..n).map(|i| scale * (frequency * i as f64 + 0.3).sin()).collect();
    Tensor::from_slice(&values).reshape(shape)
}

fn config(activation: Activation) -> Config {
    Config {
        activation,
        inputs: Inputs::RawMinusMean,
        init: Init::Scaled,
        lr: 0.001,
        bias_lr_scale: 2.0,
        batch: 8,
        momentum: 0.9,
        pictures: 8,
        epochs: 10.0,
        target: 0.0,
        row_every: 8,
        save_every: 8,
        data_sha256: String::new(),
    }
}

fn net(cfg: &Config) -> (VarStore, Figure1Net) {
    let mut vs = VarStore::new(Device::Cpu);
    let net = Figure1Net::new(&vs.root(), cfg.activation, &cfg.init, 3, 32, 10);
    vs.double();
    for (name, mut variable) in vs.variables() {
        let (layer, kind) = name.split_once('.').unwrap();
        let scale = SCALES.iter().find(|(known, _)| *known == layer).unwrap().1;
        let frequency = if kind == "weight" { 0.7 } else { 1.3 };
        let value = sines(&variable.size(), scale, frequency);
        tch::no_grad(|| variable.copy_(&value));
    }
    to_channels_last(&vs);
    (vs, net)
}

fn close(what: &str, found: f64, wanted: f64) {
    let apart = (found - wanted).abs();
    assert!(apart <= 1e-9 * wanted.abs().max(1e-3), "{what}\nfound  {found}\nwanted {wanted}");
}

#[test]
fn scores_gradients_and_ten_updates_are_pytorchs() {
    let cases: BTreeMap<Activation, Case> =
        serde_json::from_str(include_str!("fixtures/figure_1_net.json")).unwrap();
    assert_eq!(cases.len(), Activation::ALL.len());
    let xs = sines(&[8, 3, 32, 32], 100.0, 0.11);
    let ys = Tensor::from_slice(&[0_i64, 3, 6, 9, 2, 5, 8, 1]);
    for (activation, wanted) in cases {
        let cfg = config(activation);
        let (vs, net) = net(&cfg);
        let params = named_params(&vs);
        let mut opt = optimizer(&params, &cfg);
        for (step, &loss_wanted) in wanted.losses.iter().enumerate() {
            let logits = net.forward(&xs, &Probe::off());
            // `cross_entropy_for_logits` would go through fp32.
            let loss = logits.log_softmax(-1, Kind::Double).nll_loss(&ys);
            close(&format!("{activation:?} loss {step}"), loss.double_value(&[]), loss_wanted);
            opt.zero_grad();
            loss.backward();
            if step == 0 {
                let found = Vec::<f64>::try_from(logits.flatten(0, -1)).unwrap();
                assert_eq!(found.len(), wanted.logits.len());
                for (found, wanted) in found.iter().zip(&wanted.logits) {
                    close(&format!("{activation:?} score"), *found, *wanted);
                }
                for (name, param) in &params {
                    let what = format!("{activation:?} gradient of {name}");
                    close(&what, param.grad().norm().double_value(&[]), wanted.grad_norms[name]);
                }
            }
            opt.step(cfg.lr);
        }
        for (name, param) in &params {
            let what = format!("{activation:?} {name} after ten updates");
            close(&what, param.norm().double_value(&[]), wanted.after[name]);
        }
    }
}
