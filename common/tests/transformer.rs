//! Attention, perceptron, loss and log-probabilities as one operator each against finite differences, and against the same composed of
//! libtorch's operators.

use common::nn::transformer::parts::{
    attention, attention_composed, log_probs, log_probs_composed, mlp, mlp_composed, tied_loss,
    tied_loss_composed,
};
use common::shim::Autocast;
use tch::{Device, Kind, Tensor};

fn randn(shape: &[i64], scale: f64) -> Tensor {
    (Tensor::randn(shape, (Kind::Double, Device::Cpu)) * scale).to_kind(Kind::Float)
}

fn bf16() -> Autocast {
    Autocast::new(Device::Cpu, Some(Kind::BFloat16))
}

/// `f` of `inputs`, and the gradients of the sum of its output times `dys`.
fn with_gradients(f: &dyn Fn(&[Tensor]) -> Tensor, inputs: &[Tensor], dys: &Tensor) -> Vec<Tensor> {
    let inputs: Vec<Tensor> = inputs.iter().map(|x| x.detach().set_requires_grad(true)).collect();
    let ys = f(&inputs);
    let sum = (ys.to_kind(dys.kind()) * dys).sum(dys.kind());
    let mut all = vec![ys.detach()];
    all.extend(Tensor::run_backward(&[sum], &inputs, false, false));
    all
}

/// The largest difference, in units of the larger tensor's largest number.
fn apart(found: &Tensor, wanted: &Tensor) -> f64 {
    let (found, wanted) = (found.to_kind(Kind::Double), wanted.to_kind(Kind::Double));
    assert_eq!(found.size(), wanted.size());
    let scale = wanted.abs().max().double_value(&[]).max(1e-12);
    (found - wanted).abs().max().double_value(&[]) / scale
}

/// `fused` in fp32 equals `composed` in fp64 up to fp32's rounding, and in bf16 (`low` turns inputs into what a model
/// hands over) up to bf16's.
fn check(
    name: &str,
    fused: &dyn Fn(&[Tensor]) -> Tensor,
    composed: &dyn Fn(&[Tensor]) -> Tensor,
    inputs: &[Tensor],
    low: &dyn Fn(&[Tensor]) -> Vec<Tensor>,
) {
    let doubles: Vec<Tensor> = inputs.iter().map(|x| x.to_kind(Kind::Double)).collect();
    let dys = randn(&tch::no_grad(|| composed(&doubles)).size(), 1.0);
    let wanted = with_gradients(composed, &doubles, &dys.to_kind(Kind::Double));
    for (i, (found, wanted)) in with_gradients(fused, inputs, &dys).iter().zip(&wanted).enumerate()
    {
        let off = apart(found, wanted);
        assert!(off < 2e-5, "{name}, fp32, output or gradient {i}: off by {off}");
    }
    let under = |inputs: &[Tensor]| {
        let _autocast = bf16();
        fused(&low(inputs))
    };
    for (i, (found, wanted)) in with_gradients(&under, inputs, &dys).iter().zip(&wanted).enumerate()
    {
        let off = apart(found, wanted);
        assert!(off < 3e-2, "{name}, bf16, output or gradient {i}: off by {off}");
        assert!(off > 1e-6, "{name}, output or gradient {i}: autocast changed nothing");
    }
}

#[test]
fn attention_equals_the_composed_form() {
    tch::manual_seed(1);
    // Sequences, tokens, heads, channels of a head: whole blocks and such with a rest.
    for [b, t, heads, d] in [
        [2, 32, 1, 32],
        [1, 1, 2, 16],
        [3, 33, 2, 24],
        [2, 100, 3, 64],
        [1, 9, 2, 4],
        [1, 257, 1, 80],
    ] {
        let qkv = randn(&[b, t, 3 * heads * d], 1.5);
        check(
            &format!("{t} tokens, {heads} heads of {d}"),
            &|x| attention(&x[0], heads, 0.0),
            &|x| attention_composed(&x[0], heads, 0.0),
            &[qkv],
            &|x| vec![x[0].to_kind(Kind::BFloat16)],
        );
    }
}

#[test]
fn large_scores_neither_overflow_nor_lose_the_largest() {
    tch::manual_seed(2);
    let qkv = randn(&[1, 40, 3 * 16], 40.0);
    let doubles = qkv.to_kind(Kind::Double);
    let off = apart(&attention(&qkv, 1, 0.0), &attention_composed(&doubles, 1, 0.0));
    assert!(off < 1e-4, "{off}"); // scores of thousands have an absolute rounding of 1e-4
}

#[test]
fn the_perceptron_equals_the_composed_form() {
    tch::manual_seed(3);
    for (shape, inner, bias) in
        [(vec![2, 17, 24], 96, true), (vec![5, 7], 29, true), (vec![1, 3, 8], 32, false)]
    {
        let c = *shape.last().unwrap();
        let mut inputs = vec![randn(&shape, 1.0), randn(&[inner, c], 0.5), randn(&[c, inner], 0.5)];
        if bias {
            inputs.extend([randn(&[inner], 1.0), randn(&[c], 1.0)]);
        }
        check(
            &format!("{shape:?} by {inner}"),
            &|x| mlp(&x[0], (&x[1], x.get(3)), (&x[2], x.get(4))),
            &|x| mlp_composed(&x[0], (&x[1], x.get(3)), (&x[2], x.get(4))),
            &inputs,
            &|x| x.iter().map(Tensor::shallow_clone).collect(),
        );
    }
}

#[test]
fn the_loss_equals_the_composed_form_in_pieces_of_any_size() {
    tch::manual_seed(4);
    // The second is cut into three pieces, the last of them shorter.
    for [n, vocab, c] in [[5, 11, 8], [1100, 9000, 6], [1, 70, 3]] {
        let targets = Tensor::randint(vocab, [n], (Kind::Int64, Device::Cpu));
        let weights = Tensor::rand([n], (Kind::Float, Device::Cpu));
        let inputs = [randn(&[n, c], 1.0), randn(&[vocab, c], 1.0)];
        check(
            &format!("{n} rows, {vocab} tokens"),
            &|x| tied_loss(&x[0], &x[1], &targets, Some(&weights)),
            &|x| {
                let weights = weights.to_kind(x[0].kind());
                tied_loss_composed(&x[0], &x[1], &targets, Some(&weights))
            },
            &inputs,
            &|x| x.iter().map(Tensor::shallow_clone).collect(),
        );
        let mean = tied_loss(&inputs[0], &inputs[1], &targets, None);
        let wanted = tied_loss_composed(&inputs[0], &inputs[1], &targets, None);
        assert!(apart(&mean, &wanted) < 1e-6, "{mean:?}, wanted {wanted:?}");
        let unseen = tch::no_grad(|| tied_loss(&inputs[0], &inputs[1], &targets, None));
        assert!(apart(&unseen, &wanted) < 1e-6, "without gradients: {unseen:?}");
    }
}

#[test]
fn log_probabilities_equal_the_composed_form_in_pieces_of_any_size() {
    tch::manual_seed(6);
    for ([n, vocab, c], temperature) in
        [([5, 11, 8], 1.0), ([1100, 9000, 6], 0.7), ([1, 70, 3], 2.0)]
    {
        let name = format!("{n} rows, {vocab} tokens at {temperature}");
        let targets = Tensor::randint(vocab, [n], (Kind::Int64, Device::Cpu));
        let inputs = [randn(&[n, c], 1.0), randn(&[vocab, c], 1.0)];
        check(
            &name,
            &|x| log_probs(&x[0], &x[1], &targets, temperature).chosen,
            &|x| log_probs_composed(&x[0], &x[1], &targets, temperature).chosen,
            &inputs,
            &|x| x.iter().map(Tensor::shallow_clone).collect(),
        );
        let leaves = inputs.each_ref().map(|x| x.detach().set_requires_grad(true));
        let kept = log_probs(&leaves[0], &leaves[1], &targets, temperature);
        let unseen = log_probs(&inputs[0], &inputs[1], &targets, temperature);
        let doubles = inputs.each_ref().map(|x| x.to_kind(Kind::Double));
        let wanted = log_probs_composed(&doubles[0], &doubles[1], &targets, temperature);
        assert!(apart(&kept.entropy, &wanted.entropy) < 1e-5, "{name}: {:?}", kept.entropy);
        assert!(!kept.entropy.requires_grad() && kept.chosen.requires_grad(), "{name}");
        // A model that is only asked says the same bits.
        assert_eq!((kept.chosen.detach(), kept.entropy), (unseen.chosen, unseen.entropy), "{name}");
    }
}

#[test]
fn log_probabilities_of_scores_far_apart_stay_numbers() {
    // One token is certain, the other's probability is below any number's.
    let (states, table) = (Tensor::from_slice(&[1.0_f32]).view([1, 1]), [300.0_f32, -300.0]);
    let table = Tensor::from_slice(&table).view([2, 1]);
    for (target, wanted) in [(0_i64, 0.0), (1, -600.0)] {
        let said = log_probs(&states, &table, &Tensor::from_slice(&[target]), 1.0);
        assert!((said.chosen.double_value(&[0]) - wanted).abs() < 1e-3, "{said:?}");
        assert!(said.entropy.double_value(&[0]).abs() < 1e-6, "{said:?}");
    }
}

#[test]
fn slopes_are_those_of_finite_differences() {
    tch::manual_seed(5);
    let qkv = randn(&[1, 7, 3 * 8], 1.0);
    let (w1, w2) = (randn(&[32, 8], 0.5), randn(&[8, 32], 0.5));
    let table = randn(&[13, 8], 1.0);
    let targets = Tensor::randint(13, [7], (Kind::Int64, Device::Cpu));
    // All three in a row, as in a model.
    let f = |qkv: &Tensor| {
        let ys = mlp(&attention(qkv, 2, 0.0), (&w1, None), (&w2, None));
        tied_loss(&ys.view([7, 8]), &table, &targets, None)
    };
    let leaf = qkv.detach().set_requires_grad(true);
    f(&leaf).backward();
    let direction = randn(&[1, 7, 3 * 8], 1.0);
    let slope = (leaf.grad() * &direction).sum(Kind::Double).double_value(&[]);
    let h = 1e-2;
    let at = |h: f64| f(&(&qkv + &direction * h)).double_value(&[]);
    let difference = (at(h) - at(-h)) / (2.0 * h);
    // The error of the difference is of order h², its rounding 1e-7 / h.
    assert!((slope - difference).abs() < 2e-3 * slope.abs().max(0.1), "{slope}, {difference}");
}

#[test]
fn a_target_outside_of_the_vocabulary_is_refused() {
    let (states, table) = (randn(&[2, 3], 1.0), randn(&[5, 3], 1.0));
    for target in [5_i64, -1] {
        let targets = Tensor::from_slice(&[0, target]);
        let found = std::panic::catch_unwind(|| tied_loss(&states, &table, &targets, None));
        assert!(found.is_err(), "{target}");
        let found = std::panic::catch_unwind(|| log_probs(&states, &table, &targets, 1.0));
        assert!(found.is_err(), "{target}");
    }
}
