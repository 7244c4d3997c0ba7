use super::*;
use common::nn::to_channels_last;
use tch::nn::VarStore;
use tch::{Device, Kind};

/// The paper's network at a sixteenth of its width, for quick tests.
fn narrow() -> NetworkConfig {
    NetworkConfig { width: 1.0 / 16.0, crop: 64, classes: 7, ..NetworkConfig::paper() }
}

fn build(cfg: &NetworkConfig) -> (VarStore, AlexNet) {
    let vs = VarStore::new(Device::Cpu);
    let net = AlexNet::new(&vs.root(), cfg);
    to_channels_last(&vs);
    (vs, net)
}

/// Sines: numbers that do not depend on chance.
fn sines(shape: &[i64], scale: f64) -> Tensor {
    let n = shape.iter().product::<i64>();
    let values: Vec<f32> = (0..n).map(|i| (scale * (0.7 * i as f64).sin()) as f32).collect();
    Tensor::from_slice(&values).reshape(shape)
}

fn pictures(cfg: &NetworkConfig) -> Tensor {
    sines(&[3, 3, cfg.crop, cfg.crop], 90.0)
}

/// Scores with weights that do not depend on chance.
fn scores(cfg: &NetworkConfig) -> Tensor {
    let (vs, net) = build(cfg);
    let _no_grad = tch::no_grad_guard();
    for (name, mut variable) in vs.variables() {
        if name.ends_with("weight") {
            variable.copy_(&sines(&variable.size(), 0.05));
        }
    }
    net.forward(&pictures(cfg), false, &Probe::off())
}

#[test]
fn every_configuration_has_the_parameters_and_shapes_it_counts() {
    let mut cases = vec![NetworkConfig { crop: 112, classes: 10, ..narrow() }];
    for layout in [Layout::TwoTowers, Layout::OneTower, Layout::HalfTower] {
        for edge in [Edge::RoundUp, Edge::Two] {
            for pool in [Pool::Overlapping, Pool::Disjoint] {
                cases.push(NetworkConfig { layout, pool, edge, ..narrow() });
            }
        }
    }
    cases.extend(Middle::ALL.map(|out| NetworkConfig { without: vec![out], ..narrow() }));
    cases.push(NetworkConfig { without: Middle::ALL.into(), ..narrow() });
    cases.push(NetworkConfig { sixth: true, ..narrow() });
    cases.push(NetworkConfig { sixth: true, without: vec![Middle::Conv5], ..narrow() });
    for cfg in cases {
        let (vs, net) = build(&cfg);
        let found: usize = vs.variables().values().map(Tensor::numel).sum();
        assert_eq!(found as i64, cfg.parameters(), "{cfg:?}");
        let xs = pictures(&cfg);
        assert_eq!(net.forward(&xs, true, &Probe::off()).size(), [3, cfg.classes], "{cfg:?}");
        assert_eq!(net.features(&xs).size(), [3, 256], "{cfg:?}");
    }
}

#[test]
fn parameters_are_called_by_layer_and_begin_as_the_paper_says() {
    let (vs, _) = build(&NetworkConfig { width: 0.25, ..NetworkConfig::paper() });
    let variables = vs.variables();
    for (name, bias) in [
        ("conv1", 0.0),
        ("conv2", 1.0),
        ("conv3", 0.0),
        ("conv4", 1.0),
        ("conv5", 1.0),
        ("fc6", 1.0),
        ("fc7", 1.0),
        ("fc8", 0.0),
    ] {
        let found = &variables[&format!("{name}.bias")];
        let apart = (found - bias).abs().max().double_value(&[]);
        assert!(apart == 0.0, "{name}: biases begin at {bias}");
        // A quarter of the inputs, but for the first layer, whose inputs are the colours.
        let wanted = if name == "conv1" { 0.01 } else { 0.02 };
        let found = variables[&format!("{name}.weight")].std(true).double_value(&[]);
        assert!((found / wanted - 1.0).abs() < 0.05, "{name}: {found}, wanted {wanted}");
    }
    assert_eq!(variables.len(), 16);

    let (vs, _) = build(&NetworkConfig { sixth: true, last_bias: -7.0, ..narrow() });
    let variables = vs.variables();
    for (name, bias) in [("conv6", 1.0), ("fc8", -7.0)] {
        let apart = (&variables[&format!("{name}.bias")] - bias).abs().max().double_value(&[]);
        assert!(apart == 0.0, "{name}: biases begin at {bias}");
    }
    let [fifth, sixth] = ["conv5", "conv6"]
        .map(|name| variables[&format!("{name}.weight")].std(true).double_value(&[]));
    // Both see a sixteenth of the maps that they see at full width.
    assert!((sixth / fifth - 1.0).abs() < 0.15, "{fifth}, {sixth}");
}

#[test]
fn scaled_weights_have_the_variance_of_two_over_fan_in() {
    let (vs, _) = build(&NetworkConfig { init: Init::Scaled, ..narrow() });
    // conv2 sees 3 of 6 maps with 5×5 kernels.
    for (name, fan_in) in [("conv1", 363.0), ("conv2", 75.0), ("fc7", 256.0)] {
        let wanted = f64::sqrt(2.0 / fan_in);
        let found = vs.variables()[&format!("{name}.weight")].std(true).double_value(&[]);
        assert!((found / wanted - 1.0).abs() < 0.1, "{name}: {found}, wanted {wanted}");
    }
}

#[test]
fn the_first_loss_is_near_that_of_guessing() {
    let cfg = NetworkConfig { width: 0.25, crop: 112, classes: 10, ..NetworkConfig::paper() };
    let (_vs, net) = build(&cfg);
    // Over all ten labels: at least ln 10, and more by half the variance of the scores.
    let scores = net.forward(&pictures(&cfg), true, &Probe::off());
    let found = -scores.log_softmax(-1, Kind::Float).mean(Kind::Double).double_value(&[]);
    let guessing = 10_f64.ln();
    assert!((guessing..guessing + 0.5).contains(&found), "{found}, wanted about {guessing}");
}

#[test]
fn dropout_leaves_out_half_in_training_and_halves_all_at_test() {
    let (_vs, net) = build(&narrow());
    let xs = Tensor::ones([100, 100], (Kind::Float, Device::Cpu));
    tch::manual_seed(3);
    let trained = net.dropout(xs.shallow_clone(), true);
    let ones = trained.eq(1.0).sum(Kind::Int64).int64_value(&[]);
    let zeros = trained.eq(0.0).sum(Kind::Int64).int64_value(&[]);
    assert_eq!(ones + zeros, 10_000);
    assert!((ones - 5_000).abs() < 200, "{ones} of 10,000 units stay; 200 are four deviations");
    let tested = net.dropout(xs, false);
    assert!((tested - 0.5).abs().max().double_value(&[]) < 1e-6);

    let (_vs, inverted) = build(&NetworkConfig { dropout_form: DropoutForm::Inverted, ..narrow() });
    let xs = Tensor::ones([100, 100], (Kind::Float, Device::Cpu));
    tch::manual_seed(3);
    assert_eq!(inverted.dropout(xs.shallow_clone(), true), &trained * 2.0);
    assert_eq!(inverted.dropout(xs.shallow_clone(), false), xs);

    let (_vs, without) = build(&NetworkConfig { dropout: 0.0, ..narrow() });
    let xs = pictures(&narrow());
    let [a, b] = [true, false].map(|train| without.forward(&xs, train, &Probe::off()));
    assert_eq!(a, b);
}

#[test]
fn every_switch_changes_the_scores() {
    let base = scores(&narrow());
    let others = [
        NetworkConfig { order: Order::Released, ..narrow() },
        NetworkConfig { norm: Norm::MeanAlpha, ..narrow() },
        NetworkConfig { norm: Norm::Caffe, ..narrow() },
        NetworkConfig { sixth: true, ..narrow() },
        NetworkConfig { dropout_form: DropoutForm::Inverted, ..narrow() },
        NetworkConfig { last_bias: -7.0, ..narrow() },
        NetworkConfig { norm: Norm::Constant, ..narrow() },
        NetworkConfig { norm: Norm::None, ..narrow() },
        NetworkConfig { pool: Pool::Disjoint, ..narrow() },
        NetworkConfig { edge: Edge::Two, ..narrow() },
        NetworkConfig { dropout: 0.25, ..narrow() },
        NetworkConfig { bias: 0.1, ..narrow() },
    ];
    for cfg in others {
        assert!(scores(&cfg) != base, "{cfg:?}");
    }
    assert_eq!(scores(&narrow()), base);
}

#[test]
fn the_released_order_is_the_papers_without_normalisation() {
    // ReLU and max-pool can change places; what differs is what the normalisation sees.
    let [paper, released] = [Order::Paper, Order::Released]
        .map(|order| scores(&NetworkConfig { order, norm: Norm::None, ..narrow() }));
    assert_eq!(paper, released);
}

#[test]
fn caffes_normalisation_leaves_small_activations_as_they_are_and_the_papers_does_not() {
    let xs = sines(&[1, 8, 3, 3], 1e-3) + 2e-3;
    let of = |norm| {
        let normed = build(&NetworkConfig { norm, ..narrow() }).1.norm(xs.shallow_clone());
        (normed / &xs).mean(Kind::Double).double_value(&[])
    };
    for (norm, wanted) in [(Norm::Caffe, 1.0), (Norm::MeanAlpha, 2_f64.powf(-0.75))] {
        assert!((of(norm) - wanted).abs() < 1e-5, "{norm:?}: {}", of(norm));
    }
}

#[test]
fn a_configuration_from_before_a_switch_is_read_and_written_as_it_was() {
    let written = serde_json::to_string(&NetworkConfig::paper()).unwrap();
    for switch in ["sixth", "dropout_form", "last_bias"] {
        assert!(!written.contains(switch), "{written}");
    }
    assert_eq!(serde_json::from_str::<NetworkConfig>(&written).unwrap(), NetworkConfig::paper());
    let with = NetworkConfig { sixth: true, last_bias: -7.0, ..NetworkConfig::torchvision() };
    let again = serde_json::from_str(&serde_json::to_string(&with).unwrap()).unwrap();
    assert_eq!(with, again);
}
