//! A net built from its table. `N` pictures in a batch, `C` channels, `S` rows and columns of a view.

use common::nn::locally_connected::{LocallyConnected, LocallyConnectedConfig};
use common::nn::lrn::ResponseNorm;
use common::nn::probe::Probe;
use common::optim::{ParamGroup, Sgd, SgdConfig, SgdForm};
use tch::nn::{self, Init, Module as _};
use tch::{Kind, Tensor};

use super::layers::{Layer, Normalisation, Pooling, Table, Weights, pooled};

/// The net.
#[derive(Debug)]
pub struct CifarNet {
    /// Each operation with its name.
    steps: Vec<(String, Step)>,
}

#[derive(Debug)]
enum Step {
    Conv(nn::Conv2D),
    Local(LocallyConnected),
    Full(nn::Linear),
    Relu,
    MaxPool(Pooling),
    AvgPool(Pooling),
    Norm(ResponseNorm),
    Factor(f64),
}

impl CifarNet {
    /// The net of `table` for views of `channels × side × side`, with weights drawn from libtorch's
    /// generator.
    ///
    /// # Panics
    /// If there are fewer factors than normalisations.
    pub fn new(
        path: &nn::Path,
        table: &Table,
        normalisation: &Normalisation,
        pooling: Pooling,
        channels: i64,
        side: i64,
    ) -> Self {
        let mut steps = Vec::new();
        let (mut c, mut side) = (channels, side);
        let (mut pools, mut norms) = (0, 0);
        for layer in cheapest_order(table.layers) {
            let step = match layer {
                Layer::Conv(weights) => {
                    let conv = conv(path, weights, c);
                    c = weights.out;
                    (weights.name.to_owned(), Step::Conv(conv))
                }
                Layer::Local(weights) => {
                    let Weights { name, out, kernel, stdev, .. } = *weights;
                    let config = LocallyConnectedConfig {
                        c_in: c,
                        c_out: out,
                        side,
                        kernel,
                        padding: kernel / 2,
                        stdev,
                    };
                    c = out;
                    (name.to_owned(), Step::Local(LocallyConnected::new(&(path / name), &config)))
                }
                Layer::Full(weights) => {
                    let Weights { name, out, stdev, .. } = *weights;
                    let config = nn::LinearConfig {
                        ws_init: Init::Randn { mean: 0.0, stdev },
                        bs_init: Some(Init::Const(0.0)),
                        bias: true,
                    };
                    let full = nn::linear(path / name, c * side * side, out, config);
                    (c, side) = (out, 1);
                    (name.to_owned(), Step::Full(full))
                }
                Layer::Relu => ("relu".to_owned(), Step::Relu),
                Layer::MaxPool | Layer::AvgPool => {
                    side = pooled(side);
                    pools += 1;
                    let step = match layer {
                        Layer::MaxPool => Step::MaxPool(pooling),
                        _ => Step::AvgPool(pooling),
                    };
                    (format!("pool{pools}"), step)
                }
                Layer::Norm(norm) => {
                    norms += 1;
                    let step = match normalisation {
                        Normalisation::Published => Step::Norm(*norm),
                        Normalisation::None => continue,
                        Normalisation::Factors(factors) => Step::Factor(factors[norms - 1]),
                    };
                    (format!("norm{norms}"), step)
                }
            };
            steps.push(step);
        }
        Self { steps }
    }

    /// Scores `[N, classes]` of views `xs: [N, C, S, S]`.
    pub fn forward(&self, xs: &Tensor, probe: &Probe) -> Tensor {
        self.steps
            .iter()
            .fold(xs.shallow_clone(), |xs, (name, step)| probe.see(name, step.forward(&xs)))
    }

    /// What each normalisation multiplies by on views `xs: [N, C, S, S]`, on average over what it is given:
    /// the sum of what it puts out over that of what it takes in. Inputs follow a rectifier or a pool after
    /// one, so none is negative.
    pub fn norm_factors(&self, xs: &Tensor) -> Vec<(String, f64)> {
        let _no_grad = tch::no_grad_guard();
        let mut factors = Vec::new();
        let mut xs = xs.shallow_clone();
        for (name, step) in &self.steps {
            let ys = step.forward(&xs);
            if let Step::Norm(_) = step {
                let sum = |xs: &Tensor| xs.sum(Kind::Double).double_value(&[]);
                factors.push((name.clone(), sum(&ys) / sum(&xs)));
            }
            xs = ys;
        }
        factors
    }
}

impl Step {
    fn forward(&self, xs: &Tensor) -> Tensor {
        match self {
            Self::Conv(conv) => conv.forward(xs),
            Self::Local(local) => local.forward(xs),
            Self::Full(full) => full.forward(&xs.flatten(1, -1)),
            Self::Relu => xs.relu(),
            Self::MaxPool(Pooling::Overlapping) => {
                xs.max_pool2d([3, 3], [2, 2], [0, 0], [1, 1], true)
            }
            Self::MaxPool(Pooling::Disjoint) => {
                xs.max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false)
            }
            Self::AvgPool(Pooling::Overlapping) => {
                xs.avg_pool2d([3, 3], [2, 2], [0, 0], true, false, None::<i64>)
            }
            Self::AvgPool(Pooling::Disjoint) => {
                xs.avg_pool2d([2, 2], [2, 2], [0, 0], false, false, None::<i64>)
            }
            Self::Norm(norm) => norm.forward(xs),
            Self::Factor(factor) => xs * *factor,
        }
    }
}

/// The layers with each rectifier that stands before a max-pool moved behind it: both are monotonic, so the
/// order changes nothing but the cost.
fn cheapest_order(layers: &[Layer]) -> Vec<&Layer> {
    let mut order: Vec<&Layer> = layers.iter().collect();
    for i in 1..order.len() {
        if matches!((order[i - 1], order[i]), (Layer::Relu, Layer::MaxPool)) {
            order.swap(i - 1, i);
        }
    }
    order
}

fn conv(path: &nn::Path, weights: &Weights, c_in: i64) -> nn::Conv2D {
    let Weights { name, out, kernel, stdev, .. } = *weights;
    let config = nn::ConvConfig {
        padding: kernel / 2,
        ws_init: Init::Randn { mean: 0.0, stdev },
        bs_init: Init::Const(0.0),
        ..nn::ConvConfig::default()
    };
    nn::conv2d(path / name, c_in, out, kernel, config)
}

/// Momentum as the authors' program has it (the paper's form), with each layer's decay and the biases' own
/// learning rate. `decay` false leaves all decay away.
pub fn optimizer(
    params: &[(String, Tensor)],
    table: &Table,
    momentum: f64,
    bias_lr_scale: f64,
    decay: bool,
) -> Sgd {
    let strength = |decay_of_layer: f64| if decay { decay_of_layer } else { 0.0 };
    let mut groups = Vec::new();
    for weights in table.layers.iter().filter_map(Layer::weights) {
        for (kind, lr_scale, weight_decay) in [
            ("weight", 1.0, strength(weights.decay)),
            ("bias", bias_lr_scale, strength(table.bias_decay)),
        ] {
            let wanted = format!("{}.{kind}", weights.name);
            let of_layer = params.iter().filter(|(name, _)| *name == wanted);
            let params = of_layer.map(|(name, param)| (name.clone(), param.shallow_clone()));
            groups.push(ParamGroup { params: params.collect(), lr_scale, weight_decay });
        }
    }
    let config = SgdConfig { momentum, form: SgdForm::Paper, nesterov: false };
    Sgd::new(groups, config)
}

/// Multiply-adds of one forward pass of one view of `channels × side × side`.
pub fn multiply_adds(table: &Table, channels: i64, side: i64) -> i64 {
    let (mut total, mut c, mut side) = (0, channels, side);
    for layer in table.layers {
        match layer {
            Layer::Conv(Weights { out, kernel, .. })
            | Layer::Local(Weights { out, kernel, .. }) => {
                total += side * side * out * c * kernel * kernel;
                c = *out;
            }
            Layer::Full(Weights { out, .. }) => {
                total += c * side * side * out;
                (c, side) = (*out, 1);
            }
            Layer::MaxPool | Layer::AvgPool => side = pooled(side),
            Layer::Relu | Layer::Norm(_) => {}
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cifar::layers::norm;
    use crate::cifar::nets::Net;
    use common::nn::lrn::Region;
    use common::optim::{Optimizer as _, named_params};
    use tch::Device;
    use tch::nn::VarStore;

    const FLOAT: (Kind, Device) = (Kind::Float, Device::Cpu);

    fn build(
        net: Net,
        normalisation: &Normalisation,
        pooling: Pooling,
        side: i64,
    ) -> (VarStore, CifarNet) {
        let vs = VarStore::new(Device::Cpu);
        tch::manual_seed(1);
        let net = CifarNet::new(&vs.root(), &net.table(), normalisation, pooling, 3, side);
        (vs, net)
    }

    fn published(net: Net, side: i64) -> (VarStore, CifarNet) {
        build(net, &Normalisation::Published, Pooling::Overlapping, side)
    }

    /// Views as the nets see them: grey levels less their mean.
    fn views(n: i64, side: i64) -> Tensor {
        tch::manual_seed(2);
        Tensor::randint(256, [n, 3, side, side], FLOAT) - 127.5
    }

    #[test]
    fn the_nets_have_the_parameters_of_the_authors_tables() {
        for (net, side, wanted) in [
            (Net::Sec80, 32, 145_578),
            (Net::CaffeQuick, 32, 145_578),
            (Net::Pct19, 32, 89_578),
            (Net::Pct19, 24, 85_098),
            (Net::Pct18, 32, 89_578),
            (Net::Pct13, 24, 1_116_490),
            (Net::Pct11, 24, 2_112_970),
        ] {
            let (vs, _) = published(net, side);
            let found: usize = vs.variables().values().map(Tensor::numel).sum();
            assert_eq!(found, wanted, "{net:?} at {side}");
        }
    }

    #[test]
    fn maps_have_the_authors_sizes_with_either_kind_of_pool() {
        assert_eq!([32, 16, 8, 24, 12, 6].map(pooled), [16, 8, 4, 12, 6, 3]);
        for pooling in [Pooling::Overlapping, Pooling::Disjoint] {
            for side in 3..33 {
                let xs = Tensor::ones([1, 1, side, side], FLOAT);
                for pool in [Step::MaxPool(pooling), Step::AvgPool(pooling)] {
                    let ys = pool.forward(&xs);
                    assert_eq!(ys.size(), [1, 1, pooled(side), pooled(side)], "{pool:?}");
                    // The mean of what is in bounds is 1, and so is the largest.
                    assert!((ys - 1.0).abs().max().double_value(&[]) < 1e-6, "{pool:?} of {side}");
                }
            }
        }
        for net in Net::ALL {
            let (_, net) = build(net, &Normalisation::None, Pooling::Disjoint, 24);
            assert_eq!(net.forward(&views(2, 24), &Probe::off()).size(), [2, 10]);
        }
    }

    #[test]
    fn the_first_loss_is_that_of_ten_equally_likely_classes() {
        let labels = Tensor::from_slice(&(0..50).map(|i| i % 10).collect::<Vec<i64>>());
        for net in Net::ALL {
            let (_, built) = published(net, 24);
            let scores = built.forward(&views(50, 24), &Probe::off());
            let loss = scores.cross_entropy_for_logits(&labels).double_value(&[]);
            assert!((loss - 10_f64.ln()).abs() < 0.01, "{net:?}: {loss}");
        }
    }

    #[test]
    fn a_rectifier_behind_a_max_pool_is_one_before_it() {
        let moved = cheapest_order(Net::Pct13.table().layers);
        assert_eq!(moved[1..3], [&Layer::MaxPool, &Layer::Relu]);
        assert_eq!(
            cheapest_order(Net::Sec80.table().layers)[1..3],
            [&Layer::MaxPool, &Layer::Relu]
        );
        let xs = views(2, 7);
        let (pool, relu) = (Step::MaxPool(Pooling::Overlapping), Step::Relu);
        let (before, behind) = (pool.forward(&relu.forward(&xs)), relu.forward(&pool.forward(&xs)));
        assert!(before.min().double_value(&[]) >= 0.0 && before.equal(&behind));
    }

    #[test]
    fn first_weights_have_the_deviations_of_the_table_and_biases_are_zero() {
        for net in Net::ALL {
            let (vs, _) = published(net, 24);
            for Weights { name, stdev, .. } in net.table().layers.iter().filter_map(Layer::weights)
            {
                let variables = vs.variables();
                let found = variables[&format!("{name}.weight")].std(true).double_value(&[]);
                assert!((found / stdev - 1.0).abs() < 0.1, "{net:?} {name}: {found}");
                let bias = variables[&format!("{name}.bias")].abs().max().double_value(&[]);
                assert!(bias == 0.0, "{net:?} {name}: {bias}");
            }
        }
    }

    /// Without a gradient, momentum 0.9 and decay `wc` at rate `ε`: `v₁ = −wc·ε·w`, then
    /// `v₂ = 0.9·v₁ − wc·ε·(w + v₁)`.
    #[test]
    fn each_layer_decays_as_its_table_says() {
        let lr = 0.001;
        for (net, decay) in [
            (Net::Sec80, true),
            (Net::Pct19, true),
            (Net::Pct11, true),
            (Net::CaffeQuick, true),
            (Net::Pct19, false),
        ] {
            let (vs, _) = published(net, 24);
            let params = named_params(&vs);
            for (_, param) in &params {
                let _no_grad = tch::no_grad_guard();
                let _ones = param.shallow_clone().fill_(1.0);
            }
            let table = net.table();
            let mut opt = optimizer(&params, &table, 0.9, 2.0, decay);
            for _ in 0..2 {
                opt.zero_grad();
                let zero = params.iter().map(|(_, p)| (p * 0.0).sum(Kind::Float));
                zero.reduce(|a, b| a + b).unwrap().backward();
                opt.step(lr);
            }
            let wc = |name: &str| {
                let (layer, kind) = name.split_once('.').unwrap();
                let weights = table.layers.iter().filter_map(Layer::weights);
                let of_layer = weights.clone().find(|weights| weights.name == layer).unwrap();
                if !decay {
                    0.0
                } else if kind == "bias" {
                    2.0 * table.bias_decay // its rate is twice that of the weights
                } else {
                    of_layer.decay
                }
            };
            assert!(!params.is_empty());
            for (name, param) in &params {
                let shrink = wc(name) * lr;
                let v1 = -shrink;
                let wanted = 1.0 + v1 + 0.9 * v1 - shrink * (1.0 + v1);
                let found = param.mean(Kind::Double).double_value(&[]);
                assert!((found - wanted).abs() < 1e-6, "{net:?} {name}: {found}, wanted {wanted}");
            }
        }
        // The tables' own numbers, so that a slip in them shows.
        let decays = |net: Net| -> Vec<f64> {
            net.table().layers.iter().filter_map(Layer::weights).map(|w| w.decay).collect()
        };
        assert_eq!(decays(Net::Sec80), [0.004, 0.004, 0.004, 0.03, 0.03]);
        assert_eq!(decays(Net::Pct19), [0.004, 0.004, 0.004, 3.0]);
        assert_eq!(decays(Net::Pct18), [0.004, 0.004, 0.004, 1.0]);
        assert_eq!(decays(Net::Pct13), [0.0, 0.0, 0.004, 0.004, 0.004]);
        assert_eq!(decays(Net::Pct11), [0.0, 0.0, 0.004, 0.004, 0.01]);
    }

    #[test]
    fn a_normalisation_can_be_left_away_or_replaced_by_the_factor_it_has() {
        // Ones in 12 maps: 5 to 9 of them are in reach, each adds scale / 9.
        const ONE: Table = Table { layers: &[norm(Region::AcrossMaps, 9, 0.9)], bias_decay: 0.0 };
        let vs = VarStore::new(Device::Cpu);
        let net = |normalisation: &Normalisation| {
            CifarNet::new(&vs.root(), &ONE, normalisation, Pooling::Overlapping, 12, 4)
        };
        let xs = Tensor::ones([2, 12, 4, 4], FLOAT);
        let in_reach = [5, 6, 7, 8, 9, 9, 9, 9, 8, 7, 6, 5];
        let factor = |n: i32| (1.0 + 0.1 * f64::from(n)).powf(-0.75);
        let wanted = in_reach.map(factor).iter().sum::<f64>() / 12.0;
        let factors = net(&Normalisation::Published).norm_factors(&xs);
        assert_eq!(factors.len(), 1);
        assert_eq!(factors[0].0, "norm1");
        assert!((factors[0].1 - wanted).abs() < 1e-6, "{factors:?}, wanted {wanted}");
        let constant = net(&Normalisation::Factors(vec![0.25])).forward(&xs, &Probe::off());
        assert!(constant.equal(&(&xs * 0.25)));
        assert!(net(&Normalisation::None).forward(&xs, &Probe::off()).equal(&xs));
        assert!(net(&Normalisation::None).norm_factors(&xs).is_empty());
    }

    #[test]
    fn multiply_adds_are_those_counted_by_hand() {
        let wanted = 24 * 24 * 64 * 75
            + 12 * 12 * 64 * 1600
            + 6 * 6 * 32 * 576
            + 6 * 6 * 32 * 288
            + 1152 * 10;
        assert_eq!(multiply_adds(&Net::Pct13.table(), 3, 24), wanted);
    }
}
