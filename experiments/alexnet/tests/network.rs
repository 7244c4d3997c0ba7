//! Scores, gradients and updates of AlexNet against PyTorch (`oracle/network.py`), in float64: the layers of
//! torchvision's network, the paper's, and the released order. Tolerance: sums of at most 1,200 products in
//! another order, over three updates.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::BTreeMap;

use alexnet::network::{AlexNet, NetworkConfig, Norm, Order};
use common::nn::probe::Probe;
use common::nn::to_channels_last;
use common::optim::{Optimizer as _, ParamGroup, Sgd, SgdConfig, SgdForm, named_params};
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

const SCALES: [f64; 8] = [0.02, 0.03, 0.04, 0.04, 0.04, 0.05, 0.05, 0.1];
const LR: f64 = 0.001;

fn sines(shape: &[i64], scale: f64, frequency: f64) -> Tensor {
    let n = shape.iter().product::<i64>();
    let values: Vec<f64> = (0..n).map(|i| scale * (frequency * i as f64 + 0.3).sin()).collect();
    Tensor::from_slice(&values).reshape(shape)
}

fn narrow(cfg: NetworkConfig) -> NetworkConfig {
    NetworkConfig { width: 0.125, dropout: 0.0, classes: 10, ..cfg }
}

/// A network with the oracle's weights.
fn net(cfg: &NetworkConfig) -> (VarStore, AlexNet) {
    let mut vs = VarStore::new(Device::Cpu);
    let net = AlexNet::new(&vs.root(), cfg);
    vs.double();
    for (name, mut variable) in vs.variables() {
        let (layer, kind) = name.split_once('.').unwrap();
        let place = layer[layer.len() - 1..].parse::<usize>().unwrap() - 1;
        let frequency = if kind == "weight" { 0.7 } else { 1.3 };
        let value = sines(&variable.size(), SCALES[place], frequency);
        tch::no_grad(|| variable.copy_(&value));
    }
    to_channels_last(&vs);
    (vs, net)
}

fn close(what: &str, found: f64, wanted: f64) {
    let apart = (found - wanted).abs();
    assert!(apart <= 1e-8 * wanted.abs().max(1e-3), "{what}\nfound  {found}\nwanted {wanted}");
}

#[test]
fn scores_gradients_and_updates_are_pytorchs() {
    let mut cases: BTreeMap<String, Case> =
        serde_json::from_str(include_str!("fixtures/network.json")).unwrap();
    let released =
        NetworkConfig { order: Order::Released, norm: Norm::MeanAlpha, ..NetworkConfig::paper() };
    let xs = sines(&[2, 3, 224, 224], 100.0, 0.11);
    let ys = Tensor::from_slice(&[3_i64, 8]);
    for (name, cfg) in [
        ("torchvision", NetworkConfig::torchvision()),
        ("paper", NetworkConfig::paper()),
        ("released", released),
    ] {
        let wanted = cases.remove(name).unwrap();
        let (vs, net) = net(&narrow(cfg));
        let params = named_params(&vs);
        let group = ParamGroup {
            params: params.iter().map(|(n, p)| (n.clone(), p.shallow_clone())).collect(),
            lr_scale: 1.0,
            weight_decay: 5e-4,
        };
        let form = SgdConfig { momentum: 0.9, form: SgdForm::Paper, nesterov: false };
        let mut opt = Sgd::new(vec![group], form);
        for (step, &loss_wanted) in wanted.losses.iter().enumerate() {
            let logits = net.forward(&xs, true, &Probe::off());
            // `cross_entropy_for_logits` would go through fp32.
            let loss = logits.log_softmax(-1, Kind::Double).nll_loss(&ys);
            close(&format!("{name}, loss {step}"), loss.double_value(&[]), loss_wanted);
            opt.zero_grad();
            loss.backward();
            if step == 0 {
                let found = Vec::<f64>::try_from(logits.flatten(0, -1)).unwrap();
                assert_eq!(found.len(), wanted.logits.len());
                for (found, wanted) in found.iter().zip(&wanted.logits) {
                    close(&format!("{name}, score"), *found, *wanted);
                }
                for (param_name, param) in &params {
                    let what = format!("{name}, gradient of {param_name}");
                    let found = param.grad().norm().double_value(&[]);
                    close(&what, found, wanted.grad_norms[param_name]);
                }
            }
            opt.step(LR);
        }
        for (param_name, param) in &params {
            let what = format!("{name}, {param_name} after the updates");
            close(&what, param.norm().double_value(&[]), wanted.after[param_name]);
        }
    }
    assert!(cases.is_empty());
}
