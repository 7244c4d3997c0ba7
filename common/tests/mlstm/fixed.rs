//! The fixed arithmetic against the step-by-step form in float64.

use common::nn::mlstm::{FixedMlstm, Mlstm, State};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use super::{Case, assert_close, doubles};

#[test]
fn fixed_arithmetic_agrees_with_float64_and_repeats_its_bits() {
    let case = Case::drawn(100, 16, 150);
    let symbols: Vec<usize> = (0..200).map(|i| i * 37 % 100).collect();
    let run = || {
        let fixed = FixedMlstm::new(&case.model);
        let mut state = fixed.start();
        let mut all = Vec::new();
        for &symbol in &symbols {
            fixed.step(&mut state, symbol);
            all.extend(fixed.probabilities(&state));
        }
        (all, state)
    };
    let (ps, state) = run();
    assert!(ps.iter().zip(run().0).all(|(a, b)| a.to_bits() == b.to_bits()));
    assert!(ps.chunks(100).all(|ps| (ps.iter().sum::<f32>() - 1.0).abs() < 1e-5));

    let mut vs = VarStore::new(Device::Cpu);
    let exact = Mlstm::new(&vs.root(), case.model.config());
    vs.double();
    {
        let _no_grad = tch::no_grad_guard();
        let mut to = vs.variables();
        for (name, param) in case.vs.variables() {
            to.get_mut(&name).unwrap().copy_(&param);
        }
    }
    let symbols: Vec<i64> = symbols.iter().map(|&symbol| symbol as i64).collect();
    let xs = Tensor::from_slice(&symbols).view([1, 200]);
    let zeros = || Tensor::zeros([1, 150], (Kind::Double, Device::Cpu));
    let segment = exact.composed(&xs, &State { h: zeros(), c: zeros() });
    let wanted = exact.logits(&segment.hidden).softmax(-1, Kind::Double);
    let found: Vec<f64> = ps.iter().map(|&p| f64::from(p)).collect();
    let worst =
        found.iter().zip(doubles(&wanted)).map(|(f, w)| (f / w - 1.0).abs()).fold(0.0, f64::max);
    assert!(worst < 1e-5, "probabilities off by a factor of 1 + {worst}");
    let c: Vec<f64> = state.c.iter().map(|&x| f64::from(x)).collect();
    assert_close("cell", &c, &doubles(&segment.state.c), 1e-5);
}
