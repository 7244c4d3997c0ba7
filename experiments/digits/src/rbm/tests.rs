//! Machines so small that every state can be enumerated.

use super::*;
use tch::nn::VarStore;
use tch::{Device, IndexOp as _};

/// A machine of 4 visible and 3 hidden units with weights and biases that matter, in 64 bits.
fn tiny() -> (VarStore, Rbm) {
    let vs = VarStore::new(Device::Cpu);
    tch::manual_seed(3);
    let mut rbm = Rbm::new(&vs.root(), 4, 0, 3, Units::Logistic, 1.0);
    rbm.weight = rbm.weight.to_kind(Kind::Double);
    rbm.visible = Tensor::from_slice(&[0.3, -0.5, 0.1, 0.7]);
    rbm.hidden = Tensor::from_slice(&[-0.2, 0.4, 0.6]);
    (vs, rbm)
}

/// All 2^n states of n binary units, `[2^n, n]`.
fn states(n: usize) -> Tensor {
    let bits = (0..1_usize << n).flat_map(|s| (0..n).map(move |i| (s >> i & 1) as f64));
    Tensor::from_slice(&bits.collect::<Vec<_>>()).view([1 << n, n as i64])
}

/// Probability of each joint state `[16, 8]` by the energies of all of them.
fn joint(rbm: &Rbm) -> Tensor {
    let (v, h) = (states(4), states(3));
    let minus_energy = v.mm(&rbm.weight).mm(&h.tr())
        + v.mv(&rbm.visible).unsqueeze(1)
        + h.mv(&rbm.hidden).unsqueeze(0);
    minus_energy.flatten(0, -1).softmax(0, None::<Kind>).view([16, 8])
}

fn close(a: &Tensor, b: &Tensor, tolerance: f64) {
    let apart = (a - b).abs().max().double_value(&[]);
    assert!(apart < tolerance, "apart by {apart}:\n{a:?}\n{b:?}");
}

#[test]
fn free_energies_and_conditionals_are_those_of_the_enumerated_distribution() {
    let (_vs, rbm) = tiny();
    let joint = joint(&rbm);
    let of_v = joint.sum_dim_intlist(1, false, None::<Kind>);
    close(&(-rbm.free_energy(&states(4))).softmax(0, None::<Kind>), &of_v, 1e-12);
    let of_h_given_v = joint.mm(&states(3)) / of_v.unsqueeze(1);
    close(&rbm.up(&states(4)), &of_h_given_v, 1e-12);
    let of_h = joint.sum_dim_intlist(0, false, None::<Kind>);
    close(&rbm.down(&states(3)), &(joint.tr().mm(&states(4)) / of_h.unsqueeze(1)), 1e-12);
}

/// The gradient of the mean log-likelihood of `data`, from the enumerated distribution.
fn exact(rbm: &Rbm, data: &Tensor) -> Direction {
    let joint = joint(rbm);
    let (v, h) = (states(4), states(3));
    let weight = v.tr().mm(&joint).mm(&h);
    let visible = v.tr().mv(&joint.sum_dim_intlist(1, false, None::<Kind>));
    let hidden = h.tr().mv(&joint.sum_dim_intlist(0, false, None::<Kind>));
    let (n, hs) = (data.size()[0] as f64, rbm.up(data));
    Direction {
        weight: data.tr().mm(&hs) / n - weight,
        visible: data.mean_dim(0, false, None::<Kind>) - visible,
        hidden: hs.mean_dim(0, false, None::<Kind>) - hidden,
    }
}

#[test]
fn the_exact_gradient_is_that_of_the_log_likelihood() {
    // The oracle of the next test, against finite differences of Σ −F(v) − log Σ exp(−F).
    let (_vs, rbm) = tiny();
    let data = states(4).i(3..9);
    let log_likelihood = || {
        let z = (-rbm.free_energy(&states(4))).logsumexp(0, false);
        (-rbm.free_energy(&data)).mean(None::<Kind>).double_value(&[]) - z.double_value(&[])
    };
    let wanted = exact(&rbm, &data).weight.double_value(&[1, 2]);
    let at = |shift: f64| {
        let mut entry = rbm.weight.i((1, 2)); // a view
        entry += shift;
        let value = log_likelihood();
        entry -= shift;
        value
    };
    let found = (at(1e-5) - at(-1e-5)) / 2e-5;
    assert!((found - wanted).abs() < 1e-9, "found {found}, wanted {wanted}");
}

#[test]
fn long_contrastive_divergence_is_the_exact_gradient() {
    let (_vs, rbm) = tiny();
    let data = states(4).i(3..9).repeat([3000, 1]);
    tch::manual_seed(5);
    let found = rbm.contrast(&data, 40, Visible::Samples).direction;
    let wanted = exact(&rbm, &data);
    // 18,000 chains: a mean of numbers in 0..1 has a standard error of 0.004 at the most.
    for (found, wanted) in [
        (found.weight, wanted.weight),
        (found.visible, wanted.visible),
        (found.hidden, wanted.hidden),
    ] {
        close(&found, &wanted, 0.016);
    }
}

#[test]
fn one_step_is_short_of_the_exact_gradient_and_points_its_way() {
    let (_vs, rbm) = tiny();
    let data = states(4).i(3..9).repeat([3000, 1]);
    tch::manual_seed(5);
    let found = rbm.contrast(&data, 1, Visible::Probabilities).direction.weight.flatten(0, -1);
    let wanted = exact(&rbm, &data).weight.flatten(0, -1);
    let norm = |x: &Tensor| x.dot(x).double_value(&[]).sqrt();
    let cosine = found.dot(&wanted).double_value(&[]) / norm(&found) / norm(&wanted);
    assert!(cosine > 0.5 && norm(&found) < norm(&wanted), "{cosine}");
}

#[test]
fn class_scores_are_the_enumerated_log_probabilities_of_the_classes() {
    let vs = VarStore::new(Device::Cpu);
    tch::manual_seed(4);
    let mut rbm = Rbm::new(&vs.root(), 2, 3, 3, Units::Logistic, 1.0);
    let _ = rbm.visible.normal_(0.0, 1.0);
    let features = states(2).to_kind(Kind::Float); // [4, 2]
    let found = rbm.class_scores(&features).softmax(-1, None::<Kind>);
    let hs = states(3).to_kind(Kind::Float); // [8, 3]
    for (case, features) in features.unbind(0).into_iter().enumerate() {
        let weights = (0..3).map(|class| {
            let class = Tensor::from(i64::from(class)).one_hot(3).to_kind(Kind::Float);
            let v = Tensor::cat(&[&features, &class], 0);
            let minus_energy = hs.mm(&rbm.weight.tr()).mv(&v) + hs.mv(&rbm.hidden);
            (minus_energy + v.dot(&rbm.visible)).exp().sum(Kind::Double).double_value(&[])
        });
        let weights: Vec<f64> = weights.collect();
        for (class, weight) in weights.iter().enumerate() {
            let wanted = weight / weights.iter().sum::<f64>();
            let found = found.double_value(&[case as i64, class as i64]);
            assert!((found - wanted).abs() < 1e-5, "{found}, wanted {wanted}");
        }
    }
}

#[test]
fn exactly_one_class_is_drawn_and_as_often_as_its_probability_says() {
    let vs = VarStore::new(Device::Cpu);
    let rbm = Rbm::new(&vs.root(), 2, 3, 1, Units::Logistic, 0.0);
    let of = Tensor::from_slice(&[0.25_f32, 0.75, 0.2, 0.5, 0.3]).repeat([20_000, 1]);
    tch::manual_seed(6);
    let drawn = rbm.sample_visible(&of);
    let (_, classes) = rbm.split(&drawn);
    close(&classes.sum_dim_intlist(1, false, None::<Kind>), &Tensor::from(1.0_f32), 1e-6);
    close(&drawn.mean_dim(0, false, None::<Kind>), &of.get(0), 0.02);
}

#[test]
fn linear_hidden_units_are_their_input_with_unit_noise() {
    let vs = VarStore::new(Device::Cpu);
    let rbm = Rbm::new(&vs.root(), 4, 0, 1, Units::Linear, 1.0);
    let xs = Tensor::rand([1, 4], (Kind::Float, Device::Cpu));
    close(&rbm.up(&xs), &xs.mm(&rbm.weight), 1e-6);
    let drawn = rbm.sample(&Tensor::full([40_000, 1], 2.0, (Kind::Float, Device::Cpu)));
    assert!((drawn.mean(None::<Kind>).double_value(&[]) - 2.0).abs() < 0.03);
    assert!((drawn.std(true).double_value(&[]) - 1.0).abs() < 0.03);
}

#[test]
fn momentum_keeps_its_share_and_only_weights_decay() {
    let vs = VarStore::new(Device::Cpu);
    let mut rbm = Rbm::new(&(vs.root() / "rbm"), 1, 0, 1, Units::Logistic, 0.0);
    let _ = rbm.weight.fill_(2.0);
    let _ = rbm.visible.fill_(2.0);
    let mut velocity = Velocity::new(&(vs.root() / "velocity"), &rbm);
    let one = |shape: &[i64]| Tensor::ones(shape, (Kind::Float, Device::Cpu));
    let up = Direction { weight: one(&[1, 1]), visible: one(&[1]), hidden: one(&[1]) };
    velocity.step(&mut rbm, &up, 0.1, 0.5, 0.25);
    velocity.step(&mut rbm, &up, 0.1, 0.5, 0.25);
    // v = 0.1·(1 − 0.25·2) = 0.05; then 0.5·0.05 + 0.1·(1 − 0.25·2.05) = 0.07375
    assert!((rbm.weight.double_value(&[0, 0]) - 2.12375).abs() < 1e-6);
    assert!((rbm.visible.double_value(&[0]) - 2.25).abs() < 1e-6);
}
