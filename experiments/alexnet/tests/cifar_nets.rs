//! Scores, loss and gradients of two of the authors' CIFAR-10 nets against PyTorch
//! (`oracle/cifar_nets.py`), in float64: between them they have every kind of layer there is. Tolerance:
//! sums of at most 1,600 products in another order through six layers, 1e-9 of the value.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::BTreeMap;

use alexnet::cifar::layers::{Normalisation, Pooling};
use alexnet::cifar::net::CifarNet;
use alexnet::cifar::nets::Net;
use common::nn::probe::Probe;
use common::nn::to_channels_last;
use common::optim::named_params;
use serde::Deserialize;
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

#[derive(Deserialize)]
struct Case {
    scores: Vec<f64>,
    loss: f64,
    grad_norms: BTreeMap<String, f64>,
}

const SCALES: [(&str, f64); 6] = [
    ("conv1", 0.03),
    ("conv2", 0.05),
    ("conv3", 0.05),
    ("local3", 0.02),
    ("local4", 0.02),
    ("fc10", 0.03),
];

fn sines(shape: &[i64], scale: f64, frequency: f64) -> Tensor {
    let n = shape.iter().product::<i64>();
    let values: Vec<f64> = (0..n).map(|i| scale * (frequency * i as f64 + 0.3).sin()).collect();
    Tensor::from_slice(&values).reshape(shape)
}

/// The value of a variable. A locally connected layer's filters are `[position, taps · maps in, maps out]`
/// here and `[row, column, maps out, maps in, 3, 3]` there.
fn value(name: &str, variable: &Tensor) -> Tensor {
    let (layer, kind) = name.split_once('.').unwrap();
    let scale = SCALES.iter().find(|(known, _)| *known == layer).unwrap().1;
    let frequency = if kind == "weight" { 0.7 } else { 1.3 };
    let size = variable.size();
    if layer.starts_with("local") && kind == "weight" {
        let (positions, c_out) = (size[0], size[2]);
        let c_in = size[1] / 9;
        let filters = sines(&[positions, c_out, c_in, 3, 3], scale, frequency);
        return filters.permute([0, 3, 4, 2, 1]).reshape(&size);
    }
    sines(&size, scale, frequency)
}

fn net(net: Net, side: i64) -> (VarStore, CifarNet) {
    let mut vs = VarStore::new(Device::Cpu);
    let (normalisation, pooling) = (Normalisation::Published, Pooling::Overlapping);
    let net = CifarNet::new(&vs.root(), &net.table(), &normalisation, pooling, 3, side);
    vs.double();
    for (name, mut variable) in vs.variables() {
        let value = value(&name, &variable);
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
fn scores_loss_and_gradients_are_pytorchs() {
    let cases: BTreeMap<String, Case> =
        serde_json::from_str(include_str!("fixtures/cifar_nets.json")).unwrap();
    let ys = Tensor::from_slice(&[0_i64, 3, 6, 9]);
    for (name, of, side) in
        [("layers-18pct", Net::Pct18, 32), ("layers-conv-local-11pct", Net::Pct11, 24)]
    {
        let wanted = &cases[name];
        let (vs, net) = net(of, side);
        let scores = net.forward(&sines(&[4, 3, side, side], 100.0, 0.11), &Probe::off());
        let found = Vec::<f64>::try_from(scores.flatten(0, -1)).unwrap();
        assert_eq!(found.len(), wanted.scores.len());
        for (i, (found, wanted)) in found.iter().zip(&wanted.scores).enumerate() {
            close(&format!("{name}, score {i}"), *found, *wanted);
        }
        // `cross_entropy_for_logits` would go through fp32.
        let loss = scores.log_softmax(-1, Kind::Double).nll_loss(&ys);
        close(&format!("{name}, loss"), loss.double_value(&[]), wanted.loss);
        loss.backward();
        let params = named_params(&vs);
        assert_eq!(params.len(), wanted.grad_norms.len());
        for (param_name, param) in params {
            let what = format!("{name}, gradient of {param_name}");
            close(&what, param.grad().norm().double_value(&[]), wanted.grad_norms[&param_name]);
        }
    }
}
