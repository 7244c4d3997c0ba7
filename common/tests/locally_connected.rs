//! The locally connected layer against PyTorch (`oracle/locally_connected.py`), finite differences,
//! a convolution, and its own plain form, in every layout and precision.

use common::nn::channels_last;
use common::nn::locally_connected::{LocallyConnected, LocallyConnectedConfig};
use common::shim::Autocast;
use serde::Deserialize;
use tch::nn::{Init, VarStore};
use tch::{Device, Kind, Tensor};

const SMALL: LocallyConnectedConfig =
    LocallyConnectedConfig { c_in: 3, c_out: 5, side: 4, kernel: 3, padding: 1, stdev: 0.3 };
/// The first local layer of `layers-conv-local-11pct`.
const LARGE: LocallyConnectedConfig =
    LocallyConnectedConfig { c_in: 64, c_out: 64, side: 6, kernel: 3, padding: 1, stdev: 0.04 };

fn randn(shape: &[i64], kind: Kind) -> Tensor {
    Tensor::randn(shape, (Kind::Double, Device::Cpu)).to_kind(kind)
}

/// A layer with biases that are not zero, and its variables.
fn layer(config: &LocallyConnectedConfig, kind: Kind) -> (VarStore, LocallyConnected) {
    tch::manual_seed(1);
    let mut vs = VarStore::new(Device::Cpu);
    vs.set_kind(kind);
    let layer = LocallyConnected::new(&vs.root(), config);
    tch::no_grad(|| layer.bs.shallow_clone().init(Init::Randn { mean: 0.0, stdev: 1.0 }));
    (vs, layer)
}

fn maps(n: i64, config: &LocallyConnectedConfig, kind: Kind) -> Tensor {
    randn(&[n, config.c_in, config.side, config.side], kind)
}

/// The output, and the gradients of maps, weights and biases of the sum of output · `dys`.
fn with_gradients(
    forward: impl Fn(&Tensor) -> Tensor,
    layer: &LocallyConnected,
    xs: &Tensor,
    dys: &Tensor,
) -> [Tensor; 4] {
    let xs = xs.detach().set_requires_grad(true);
    let ys = forward(&xs);
    let sum = (&ys * dys).sum(Kind::Double);
    let [dxs, dws, dbs] = Tensor::run_backward(&[sum], &[&xs, &layer.ws, &layer.bs], false, false)
        .try_into()
        .expect("one for each input");
    [ys.detach(), dxs, dws, dbs]
}

fn apart(a: &Tensor, b: &Tensor) -> f64 {
    (a.to_kind(Kind::Double) - b.to_kind(Kind::Double)).abs().max().double_value(&[])
}

#[derive(Deserialize)]
struct Case {
    n: i64,
    c_in: i64,
    c_out: i64,
    side: i64,
    kernel: i64,
    padding: i64,
    xs: Vec<f64>,
    weight: Vec<f64>,
    bias: Vec<f64>,
    dys: Vec<f64>,
    ys: Vec<f64>,
    dxs: Vec<f64>,
    dweight: Vec<f64>,
    dbias: Vec<f64>,
}

#[test]
fn values_and_gradients_are_those_of_pytorch() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("fixtures/locally_connected.json"))
        .expect("the script's format");
    for case in &cases {
        let Case { n, c_in, c_out, side, kernel, padding, .. } = *case;
        let config = LocallyConnectedConfig { c_in, c_out, side, kernel, padding, stdev: 1.0 };
        let out = [n, c_out, config.out_side(), config.out_side()];
        // The file has ten digits; fp32 has seven, and adds up to 36 products of numbers up to 3.
        for (kind, tolerance) in [(Kind::Double, 1e-7), (Kind::Float, 1e-5)] {
            let (_vs, layer) = layer(&config, kind);
            let tensor = |values: &[f64]| Tensor::from_slice(values).to_kind(kind);
            tch::no_grad(|| {
                layer.ws.shallow_clone().copy_(&tensor(&case.weight).view_as(&layer.ws));
                layer.bs.shallow_clone().copy_(&tensor(&case.bias).view_as(&layer.bs));
            });
            let xs = tensor(&case.xs).reshape([n, c_in, side, side]);
            let dys = tensor(&case.dys).reshape(out);
            for xs in [xs.shallow_clone(), channels_last(&xs)] {
                let found = with_gradients(|xs| layer.forward(xs), &layer, &xs, &dys);
                let wanted = [&case.ys, &case.dxs, &case.dweight, &case.dbias];
                for (what, (found, wanted)) in
                    ["ys", "dxs", "dweight", "dbias"].into_iter().zip(found.iter().zip(wanted))
                {
                    let off = apart(&found.reshape([-1]), &tensor(wanted));
                    assert!(off < tolerance, "{what}, {kind:?}, side {side}: {off}");
                }
            }
        }
    }
}

#[test]
fn gradients_are_those_of_finite_differences() {
    let (_vs, layer) = layer(&SMALL, Kind::Double);
    let xs = maps(2, &SMALL, Kind::Double);
    let dys = randn(&[2, 5, 4, 4], Kind::Double);
    let [_, dxs, dws, dbs] = with_gradients(|xs| layer.forward(xs), &layer, &xs, &dys);
    let loss = || tch::no_grad(|| (layer.forward(&xs) * &dys).sum(Kind::Double).double_value(&[]));
    for (name, of, gradient) in
        [("xs", &xs, dxs), ("weight", &layer.ws, dws), ("bias", &layer.bs, dbs)]
    {
        let flat = of.detach().view([-1]);
        for i in 0..flat.numel() as i64 {
            let mut number = flat.get(i);
            let before = number.double_value(&[]);
            let _ = number.fill_(before + 0.5);
            let above = loss();
            let _ = number.fill_(before - 0.5);
            let wanted = above - loss();
            let _ = number.fill_(before);
            // The layer is linear in each of the three: the difference is exact but for rounding.
            let found = gradient.reshape([-1]).double_value(&[i]);
            assert!((found - wanted).abs() < 1e-11, "{name} {i}: {found}, wanted {wanted}");
        }
    }
}

#[test]
fn the_fused_form_is_the_plain_one_in_every_layout_and_precision() {
    let no_padding = LocallyConnectedConfig { padding: 0, kernel: 2, c_out: 1, ..SMALL };
    let wide_padding = LocallyConnectedConfig { padding: 4, c_in: 1, ..SMALL };
    let whole = LocallyConnectedConfig { padding: 0, kernel: 4, ..SMALL };
    for config in [SMALL, no_padding, wide_padding, whole, LARGE] {
        let (_vs, layer) = layer(&config, Kind::Float);
        let (n, out) = (7, config.out_side());
        let xs = maps(n, &config, Kind::Float);
        let dys = randn(&[n, config.c_out, out, out], Kind::Float);
        let plain = with_gradients(|xs| layer.composed(xs), &layer, &xs, &dys);
        for xs in [xs.shallow_clone(), channels_last(&xs)] {
            let fused = with_gradients(|xs| layer.forward(xs), &layer, &xs, &dys);
            let off: Vec<f64> = fused.iter().zip(&plain).map(|(a, b)| apart(a, b)).collect();
            // Sums of up to 576 products in another order.
            assert!(off.iter().all(|&off| off < 1e-4), "{config:?}: {off:?}");
            let stride = [out * out * config.c_out, 1, out * config.c_out, config.c_out];
            assert_eq!(fused[0].stride(), stride);
        }

        // Under autocast products are in bf16 and parameters stay in fp32.
        let autocast = |forward: fn(&LocallyConnected, &Tensor) -> Tensor, xs: &Tensor| {
            let _autocast = Autocast::new(Device::Cpu, Some(Kind::BFloat16));
            forward(&layer, xs)
        };
        let plain = with_gradients(
            |xs| autocast(LocallyConnected::composed, xs).to_kind(Kind::Float),
            &layer,
            &xs,
            &dys,
        );
        for given in [Kind::Float, Kind::BFloat16] {
            let xs = channels_last(&xs.to_kind(given));
            assert_eq!(autocast(LocallyConnected::forward, &xs).kind(), Kind::BFloat16);
            let forward = |xs: &Tensor| autocast(LocallyConnected::forward, xs);
            let fused = with_gradients(|xs| forward(xs).to_kind(Kind::Float), &layer, &xs, &dys);
            assert_eq!(
                [&fused[1], &fused[2], &fused[3]].map(Tensor::kind),
                [given, Kind::Float, Kind::Float]
            );
            for (fused, plain) in fused.iter().zip(&plain) {
                // Each side rounds to 8 bits, twice on the way through a sum of taps.
                let size = plain.abs().max().double_value(&[]);
                let off = apart(fused, plain) / size;
                assert!(off < 0.02, "{config:?} from {given:?}: {off} of {size}");
            }
        }
    }
}

#[test]
fn the_same_filters_at_each_position_are_a_convolution() {
    let (_vs, layer) = layer(&SMALL, Kind::Double);
    tch::no_grad(|| {
        layer.ws.shallow_clone().copy_(&layer.ws.get(0).expand_as(&layer.ws));
        let _ = layer.bs.shallow_clone().zero_();
    });
    let filters = layer.ws.get(0).view([3, 3, 3, 5]).permute([3, 2, 0, 1]); // [c_out, c_in, k, k]
    let xs = maps(2, &SMALL, Kind::Double);
    let wanted = xs.conv2d(&filters, None::<&Tensor>, [1, 1], [1, 1], [1, 1], 1);
    assert!(apart(&layer.forward(&xs), &wanted) < 1e-12);
}

#[test]
fn the_weights_of_one_position_touch_only_its_output() {
    let (_vs, layer) = layer(&SMALL, Kind::Float);
    let xs = maps(2, &SMALL, Kind::Float);
    let before = layer.forward(&xs);
    let position = 6; // row 1, column 2
    let _ = tch::no_grad(|| layer.ws.get(position).fill_(3.0));
    let changed = (layer.forward(&xs) - before).abs().amax([0, 1].as_slice(), false); // [S', S']
    let touched: Vec<bool> = (0..16).map(|i| changed.double_value(&[i / 4, i % 4]) > 0.0).collect();
    assert_eq!(touched, (0..16).map(|i| i == position).collect::<Vec<_>>());
}

#[test]
fn the_local_layers_of_the_published_nets_have_their_parameters() {
    let count = |config: &LocallyConnectedConfig| {
        let (vs, _layer) = layer(config, Kind::Float);
        vs.variables().values().map(Tensor::numel).sum::<usize>()
    };
    let (a, b) = (
        LocallyConnectedConfig { c_out: 32, ..LARGE },
        LocallyConnectedConfig { c_in: 32, c_out: 32, ..LARGE },
    );
    let convolutions = 64 * (75 + 1) + 64 * (64 * 25 + 1);
    let classes = (36 * 32 + 1) * 10;
    assert_eq!(convolutions + count(&a) + count(&b) + classes, 1_116_490); // 13 %
    assert_eq!(convolutions + count(&LARGE) + count(&a) + classes, 2_112_970); // 11 %
}

#[test]
fn it_begins_with_the_deviation_asked_for_and_biases_of_zero() {
    let vs = VarStore::new(Device::Cpu);
    tch::manual_seed(1);
    let layer = LocallyConnected::new(&vs.root(), &LARGE);
    let found = layer.ws.std(true).double_value(&[]);
    assert!((found / 0.04 - 1.0).abs() < 0.01, "{found}"); // 1.3 million draws
    assert_eq!(layer.bs.abs().max().double_value(&[]).to_bits(), 0);
    let mut names: Vec<_> = vs.variables().into_keys().collect();
    names.sort();
    assert_eq!(names, ["bias", "weight"]);
}

#[test]
fn one_thread_and_several_give_the_same_bits() {
    let (_vs, layer) = layer(&LARGE, Kind::Float);
    let xs = maps(33, &LARGE, Kind::Float);
    let dys = randn(&[33, 64, 6, 6], Kind::Float);
    let results = [1, 2, 3].map(|threads| {
        tch::set_num_threads(threads);
        with_gradients(|xs| layer.forward(xs), &layer, &xs, &dys)
    });
    for other in &results[1..] {
        assert!(results[0].iter().zip(other).all(|(a, b)| a.equal(b)));
    }
}

#[test]
#[should_panic(expected = "wanted filters")]
fn maps_of_another_size_are_refused() {
    let (_vs, layer) = layer(&SMALL, Kind::Float);
    let _ = layer.forward(&randn(&[2, 3, 5, 5], Kind::Float));
}
