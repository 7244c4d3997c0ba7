//! The written-out gradient, squared gradients and Gauss–Newton products against what libtorch's graph says of the same net,
//! in 64 bits, and the matrix itself on a tiny one.

use digits::net::Net;
use tch::{Device, Kind, Reduction, Tensor};

const DOUBLE: (Kind, Device) = (Kind::Double, Device::Cpu);

/// Nets with both kinds of output, with their parameters, cases and targets.
fn nets() -> Vec<(Net, Tensor, Tensor, Tensor)> {
    tch::manual_seed(1);
    let xs = Tensor::rand([7, 5], DOUBLE);
    let classes = Tensor::from_slice(&[0_i64, 2, 1, 1, 0, 2, 2]).one_hot(3).to_kind(Kind::Double);
    let theta = |net: &Net| Tensor::randn([net.n_params()], DOUBLE);
    let (coder, classifier) = (Net::autoencoder(&[5, 4, 2]), Net::classifier(&[5, 4, 3]));
    let (a, b) = (theta(&coder), theta(&classifier));
    vec![(coder, a, xs.copy(), xs.copy()), (classifier, b, xs, classes)]
}

/// The output units' inputs `[N, out]` and the mean loss, layer by layer as the formulas stand, with a graph.
fn plain(net: &Net, theta: &Tensor, xs: &Tensor, targets: &Tensor) -> (Tensor, Tensor) {
    let widths = net.widths();
    let last = widths.len() - 2;
    let mirrored = widths.first() == widths.last();
    let (mut at, mut out, mut logits) = (0, xs.shallow_clone(), Tensor::new());
    for (i, pair) in widths.windows(2).enumerate() {
        let weight = theta.narrow(0, at, pair[0] * pair[1]).view([pair[0], pair[1]]);
        let bias = theta.narrow(0, at + pair[0] * pair[1], pair[1]);
        at += (pair[0] + 1) * pair[1];
        logits = out.matmul(&weight) + bias;
        let code = mirrored && 2 * (i + 1) == widths.len() - 1;
        out = if code { logits.shallow_clone() } else { logits.sigmoid() };
        if i == last && !mirrored {
            out = logits.log_softmax(-1, None::<Kind>);
        }
    }
    assert_eq!(at, net.n_params());
    let n = xs.size()[0] as f64;
    let loss = if mirrored {
        out.binary_cross_entropy::<&Tensor>(targets, None, Reduction::Sum) / n
    } else {
        -(targets * out).sum(None::<Kind>) / n
    };
    (logits, loss)
}

fn close(found: &Tensor, wanted: &Tensor, tolerance: f64) {
    let apart = (found - wanted).abs().max().double_value(&[]);
    assert!(apart < tolerance, "apart by {apart}:\nfound  {found:?}\nwanted {wanted:?}");
}

/// The gradient of a number with respect to `theta`.
fn graph_gradient(of: &Tensor, theta: &Tensor) -> Tensor {
    Tensor::run_backward(&[of], &[theta], true, false).remove(0)
}

#[test]
fn loss_and_gradient_are_those_of_the_graph() {
    for (net, theta, xs, targets) in nets() {
        let leaf = theta.copy().set_requires_grad(true);
        let (_, loss) = plain(&net, &leaf, &xs, &targets);
        let (found, gradient) = net.gradient(&theta, &xs, &targets);
        assert!((found - loss.double_value(&[])).abs() < 1e-10, "{found}, wanted {loss:?}");
        close(&gradient, &graph_gradient(&loss, &leaf), 1e-10);
    }
}

#[test]
fn squared_gradients_are_the_sum_of_each_case_s_own() {
    for (net, theta, xs, targets) in nets() {
        let pass = net.forward(&theta, &xs);
        let found = net.squared_gradients(&theta, &pass, &targets);
        let case = |i| {
            let leaf = theta.copy().set_requires_grad(true);
            let (_, loss) = plain(&net, &leaf, &xs.narrow(0, i, 1), &targets.narrow(0, i, 1));
            graph_gradient(&loss, &leaf).square()
        };
        let wanted = (0..xs.size()[0]).map(case).fold(theta.zeros_like(), |sum, x| sum + x);
        close(&found, &wanted, 1e-10);
    }
}

#[test]
fn gauss_newton_products_are_those_of_the_explicit_matrix() {
    for (net, theta, xs, targets) in nets() {
        let leaf = theta.copy().set_requires_grad(true);
        let (logits, _) = plain(&net, &leaf, &xs, &targets);
        let (n, out) = logits.size2().unwrap();
        let flat = logits.flatten(0, -1);
        let rows: Vec<Tensor> = (0..n * out).map(|i| graph_gradient(&flat.get(i), &leaf)).collect();
        let jacobian = Tensor::stack(&rows, 0); // [N·out, P]
        // Second derivatives of the mean loss by the output units' inputs, a block for each case.
        let curvature = Tensor::zeros([n * out, n * out], DOUBLE);
        for case in 0..n {
            let logits = logits.get(case).detach();
            let block = if targets.size()[1] == 5 {
                let ys = logits.sigmoid();
                Tensor::diag(&(&ys * (1.0 - &ys)), 0)
            } else {
                let ys = logits.softmax(-1, None::<Kind>);
                Tensor::diag(&ys, 0) - ys.outer(&ys)
            };
            let mut place = curvature.narrow(0, case * out, out).narrow(1, case * out, out);
            place.copy_(&(block / n as f64));
        }
        let matrix = jacobian.tr().mm(&curvature).mm(&jacobian); // [P, P]
        let pass = net.forward(&theta, &xs);
        for _ in 0..5 {
            let v = Tensor::randn([net.n_params()], DOUBLE);
            close(&net.gauss_newton(&theta, &pass, &v), &matrix.mv(&v), 1e-9);
        }
    }
}

#[test]
fn the_published_autoencoder_has_its_parameters() {
    let net = Net::autoencoder(&[784, 1000, 500, 250, 30]);
    assert_eq!(net.n_params(), 2_837_314);
    assert_eq!(net.multiply_adds(), 2 * (784_000 + 500_000 + 125_000 + 7_500));
}

#[test]
fn sparse_weights_are_few_and_drawn_from_a_unit_normal() {
    tch::manual_seed(3);
    let net = Net::autoencoder(&[784, 100, 20]);
    let theta = net.sparse(15, Device::Cpu);
    let layers = net.layers(&theta);
    for (layer, (fan_in, _)) in layers.iter().zip(net.fans()) {
        let incoming = layer.weight.not_equal(0.0).sum_dim_intlist(0, false, Kind::Int64);
        let most = incoming.max().int64_value(&[]);
        assert!(most <= 15 && incoming.min().int64_value(&[]) > 4, "{incoming:?}");
        // With replacement 15 draws from 784 rarely meet, from 20 they do.
        assert!(fan_in < 100 || most == 15, "{fan_in}: {most}");
        assert!(layer.bias.abs().max().double_value(&[]) == 0.0);
    }
    let drawn = layers[0].weight.masked_select(&layers[0].weight.not_equal(0.0));
    assert!(drawn.mean(None::<Kind>).double_value(&[]).abs() < 0.1, "{drawn:?}");
    assert!((drawn.std(true).double_value(&[]) - 1.0).abs() < 0.07, "{drawn:?}");
}
