//! The fixed arithmetic against the step-by-step form in float64, and bit by bit against numpy
//! (`oracle/mlstm_fixed.py`).

use common::nn::mlstm::{FixedMlstm, MlstmConfig, State};
use tch::{Device, Kind, Tensor};

use super::{Case, assert_close, doubles};

/// A copy of `case` in float64 whose matrices, normalised, are those of `case` rounded to bf16, as
/// the fixed arithmetic keeps them.
fn with_rounded_matrices(case: &Case) -> Case {
    let MlstmConfig { vocab, embedding, hidden } = *case.model.config();
    let mut copy = Case::new(vocab, embedding, hidden);
    copy.vs.double();
    let _no_grad = tch::no_grad_guard();
    let from = case.vs.variables();
    let mut to = copy.vs.variables();
    let rounded = |xs: &Tensor| xs.to_kind(Kind::BFloat16).to_kind(Kind::Double);
    let norm =
        |xs: &Tensor| xs.square().sum_dim_intlist([0i64].as_slice(), false, xs.kind()).sqrt();
    for (name, param) in &from {
        let value = match name.as_str() {
            "output.weight" => rounded(param),
            "wx" | "wh" | "wmx" | "wmh" => {
                let gains = &from[&name.replacen('w', "g", 1)];
                let matrix = rounded(&(param * (gains / norm(param))));
                to.get_mut(&name.replacen('w', "g", 1)).expect("its gains").copy_(&norm(&matrix));
                matrix
            }
            "gx" | "gh" | "gmx" | "gmh" => continue,
            _ => param.shallow_clone(),
        };
        to.get_mut(name).expect("the same names").copy_(&value);
    }
    copy
}

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

    let exact = with_rounded_matrices(&case);
    let symbols: Vec<i64> = symbols.iter().map(|&symbol| symbol as i64).collect();
    let xs = Tensor::from_slice(&symbols).view([1, 200]);
    let zeros = || Tensor::zeros([1, 150], (Kind::Double, Device::Cpu));
    let segment = exact.model.composed(&xs, &State { h: zeros(), c: zeros() });
    let wanted = exact.model.logits(&segment.hidden).softmax(-1, Kind::Double);
    let found: Vec<f64> = ps.iter().map(|&p| f64::from(p)).collect();
    let worst =
        found.iter().zip(doubles(&wanted)).map(|(f, w)| (f / w - 1.0).abs()).fold(0.0, f64::max);
    // fp32, and a few numbers out of 90,000 that its rounding of the norms puts on the other side of
    // a tie in bf16.
    assert!(worst < 1e-3, "probabilities off by a factor of 1 + {worst}");
    let c: Vec<f64> = state.c.iter().map(|&x| f64::from(x)).collect();
    assert_close("cell", &c, &doubles(&segment.state.c), 1e-3);
}

#[test]
fn fixed_arithmetic_has_the_bits_that_every_processor_must_have() {
    let case = Case::new(10, 8, 70);
    for (name, param) in case.vs.variables() {
        let number = |i: usize| ((i * 7919 + name.len() * 131) % 1009) as f64 / 1009.0 - 0.3;
        case.set(&name, &(0..param.numel()).map(number).collect::<Vec<_>>());
    }
    let fixed = FixedMlstm::new(&case.model);
    let mut state = fixed.start();
    let mut digest = 0xcbf2_9ce4_8422_2325_u64; // FNV-1a
    for symbol in (0..100).map(|i| i * i % 10) {
        fixed.step(&mut state, symbol);
        for p in fixed.probabilities(&state) {
            digest = (digest ^ u64::from(p.to_bits())).wrapping_mul(0x100_0000_01b3);
        }
    }
    // From oracle/mlstm_fixed.py. Another number means that files compressed before cannot be read.
    assert_eq!(format!("{digest:016x}"), "6d1b056a92b38bb1");
}
