//! Ten updates of every optimiser against PyTorch and numpy (`oracle/optim.py`), kernels against
//! the plain formulas, and stopping in the middle against not stopping.

use std::collections::{BTreeMap, HashMap};

use common::optim::clip::clip_grad_norm;
use common::optim::{
    Adam, AdamConfig, Decay, Epsilon, OptimError, Optimizer, ParamGroup, Sgd, SgdConfig, SgdForm,
};
use serde::Deserialize;
use tch::{Device, Kind, Tensor};

type Numbers = BTreeMap<String, Option<Vec<f64>>>;

#[derive(Deserialize)]
struct Fixture {
    lrs: Vec<f64>,
    groups: Vec<GroupOf>,
    initial: Numbers,
    grads: Vec<Numbers>,
    /// By case and step.
    after: BTreeMap<String, Vec<Numbers>>,
    clip: Vec<Clip>,
}

#[derive(Deserialize)]
struct GroupOf {
    lr_scale: f64,
    weight_decay: f64,
    params: BTreeMap<String, Vec<i64>>,
}

#[derive(Deserialize)]
struct Clip {
    max_norm: f64,
    norm: f64,
    grads: Numbers,
}

impl Fixture {
    fn read() -> Self {
        serde_json::from_str(include_str!("fixtures/optim.json")).expect("the script's format")
    }

    /// Fresh parameters with the initial values, in their groups.
    fn groups(&self, kind: Kind) -> Vec<ParamGroup> {
        let group = |of: &GroupOf| ParamGroup {
            params: of.params.iter().map(|(name, shape)| self.param(name, shape, kind)).collect(),
            lr_scale: of.lr_scale,
            weight_decay: of.weight_decay,
        };
        self.groups.iter().map(group).collect()
    }

    fn param(&self, name: &str, shape: &[i64], kind: Kind) -> (String, Tensor) {
        let values = self.initial[name].as_ref().expect("only gradients can be null");
        let param = Tensor::from_slice(values).to_kind(kind).reshape(shape);
        (name.to_owned(), param.set_requires_grad(true))
    }
}

/// Other handles on the same parameters.
fn handles(groups: &[ParamGroup]) -> Vec<(String, Tensor)> {
    let all = groups.iter().flat_map(|group| &group.params);
    all.map(|(name, param)| (name.clone(), param.shallow_clone())).collect()
}

/// Gives each parameter its gradient, by the derivative of Σ w·g.
fn set_grads(params: &[(String, Tensor)], grads: &Numbers) {
    for (name, param) in params {
        if let Some(grad) = &grads[name] {
            let grad = Tensor::from_slice(grad).to_kind(param.kind()).view_as(param);
            (param * grad).sum(param.kind()).backward();
        }
    }
}

/// Parameters on which `make` builds an optimiser, and that optimiser.
struct Trained<O> {
    params: Vec<(String, Tensor)>,
    opt: O,
}

impl<O: Optimizer> Trained<O> {
    fn new(fixture: &Fixture, kind: Kind, make: impl Fn(Vec<ParamGroup>) -> O) -> Self {
        let groups = fixture.groups(kind);
        Self { params: handles(&groups), opt: make(groups) }
    }

    /// Makes updates `from..to` with `step`.
    fn run(&mut self, fixture: &Fixture, from: usize, to: usize, step: impl Fn(&mut O, f64)) {
        for at in from..to {
            self.opt.zero_grad();
            set_grads(&self.params, &fixture.grads[at]);
            step(&mut self.opt, fixture.lrs[at]);
        }
    }

    fn values(&self) -> Vec<(String, Vec<f64>)> {
        let values = |(name, param): &(String, Tensor)| {
            let flat = param.detach().flatten(0, -1).to_kind(Kind::Double);
            (name.clone(), Vec::try_from(flat).expect("one dimension of doubles"))
        };
        self.params.iter().map(values).collect()
    }

    fn assert_close(&self, wanted: &Numbers, tolerance: f64, what: &str) {
        for (name, found) in self.values() {
            let wanted = wanted[&name].as_ref().expect("only gradients can be null");
            let worst = found.iter().zip(wanted).map(|(f, w)| (f - w).abs()).fold(0.0, f64::max);
            assert!(
                worst <= tolerance,
                "{what}, {name}: off by {worst}\n   found {found:?}\n  wanted {wanted:?}"
            );
        }
    }
}

fn sgd(momentum: f64, form: SgdForm, nesterov: bool) -> impl Fn(Vec<ParamGroup>) -> Sgd {
    move |groups| Sgd::new(groups, SgdConfig { momentum, form, nesterov })
}

fn adam(epsilon: Epsilon, decay: Decay) -> impl Fn(Vec<ParamGroup>) -> Adam {
    let config = AdamConfig { beta1: 0.9, beta2: 0.98, eps: 1e-3, epsilon, decay };
    move |groups| Adam::new(groups, config)
}

/// Checks ten updates, made by the kernels and by the plain formulas, after each one.
fn check<O: Optimizer>(
    case: &str,
    make: impl Fn(Vec<ParamGroup>) -> O,
    step_plain: impl Fn(&mut O, f64),
    kind: Kind,
) {
    let fixture = Fixture::read();
    // Float: values near 1, ten updates of a few roundings of 6e-8 each. Double: 1e-16 each.
    let tolerance = if kind == Kind::Float { 1e-6 } else { 1e-14 };
    let mut fused = Trained::new(&fixture, kind, &make);
    let mut plain = Trained::new(&fixture, kind, &make);
    for (at, wanted) in fixture.after[case].iter().enumerate() {
        fused.run(&fixture, at, at + 1, O::step);
        plain.run(&fixture, at, at + 1, &step_plain);
        fused.assert_close(wanted, tolerance, &format!("{case}, kernel, update {at}"));
        plain.assert_close(wanted, tolerance, &format!("{case}, plain, update {at}"));
    }
    assert_eq!((fused.opt.steps(), plain.opt.steps()), (10, 10));
}

#[test]
fn sgd_equals_pytorchs() {
    check("sgd", sgd(0.0, SgdForm::PyTorch, false), Sgd::step_plain, Kind::Float);
    check("sgd momentum", sgd(0.9, SgdForm::PyTorch, false), Sgd::step_plain, Kind::Float);
    check("sgd nesterov", sgd(0.9, SgdForm::PyTorch, true), Sgd::step_plain, Kind::Float);
}

#[test]
fn the_papers_sgd_equals_its_formula_in_numpy() {
    check("sgd paper", sgd(0.9, SgdForm::Paper, false), Sgd::step_plain, Kind::Double);
    check("sgd paper", sgd(0.9, SgdForm::Paper, false), Sgd::step_plain, Kind::Float);
}

#[test]
fn adam_and_adamw_equal_pytorchs() {
    check("adam", adam(Epsilon::PyTorch, Decay::L2), Adam::step_plain, Kind::Float);
    check("adamw", adam(Epsilon::PyTorch, Decay::Decoupled), Adam::step_plain, Kind::Float);
}

#[test]
fn tf1s_adam_equals_its_formula_in_numpy() {
    for kind in [Kind::Double, Kind::Float] {
        check("adam tf1", adam(Epsilon::Tf1, Decay::L2), Adam::step_plain, kind);
        check("adamw tf1", adam(Epsilon::Tf1, Decay::Decoupled), Adam::step_plain, kind);
    }
}

/// The two forms agree while the rate stands and part when it changes: a test that the fixture
/// tells them apart.
#[test]
fn the_two_forms_of_sgd_part_at_the_first_change_of_the_rate() {
    let after = Fixture::read().after;
    let gap = |at: usize| {
        let of = |case: &str| after[case][at]["conv.weight"].clone().unwrap();
        (of("sgd paper")[0] - of("sgd momentum")[0]).abs()
    };
    assert!(gap(3) < 1e-6, "{}", gap(3));
    assert!(gap(4) > 1e-2, "{}", gap(4));
}

#[test]
fn the_kernels_reach_every_element_of_large_tensors_on_several_threads() {
    tch::set_num_threads(2);
    tch::manual_seed(1);
    let shape = [37, 2111]; // several chunks per thread, no multiple of a vector
    let start = Tensor::randn(shape, (Kind::Float, Device::Cpu));
    let grad = Tensor::randn(shape, (Kind::Float, Device::Cpu));
    let param = || {
        let param = start.copy().set_requires_grad(true);
        (&param * &grad).sum(Kind::Float).backward();
        let group = ParamGroup {
            params: vec![("w".to_owned(), param.shallow_clone())],
            lr_scale: 1.0,
            weight_decay: 0.1,
        };
        (param, vec![group])
    };
    let close = |a: &Tensor, b: &Tensor| (a - b).abs().max().double_value(&[]) <= 1e-6;
    for form in [SgdForm::Paper, SgdForm::PyTorch] {
        let ((a, fused), (b, plain)) = (param(), param());
        let make = sgd(0.9, form, false);
        let (mut fused, mut plain) = (make(fused), make(plain));
        for _ in 0..2 {
            fused.step(0.1);
            plain.step_plain(0.1);
        }
        assert!(close(&a, &b), "{form:?}");
    }
    let ((a, fused), (b, plain)) = (param(), param());
    let make = adam(Epsilon::Tf1, Decay::Decoupled);
    let (mut fused, mut plain) = (make(fused), make(plain));
    for _ in 0..2 {
        fused.step(0.1);
        plain.step_plain(0.1);
    }
    assert!(close(&a, &b), "adam");
}

#[test]
fn a_channels_last_parameter_is_updated_as_a_contiguous_one() {
    let start = Tensor::arange(2 * 3 * 4 * 4, (Kind::Float, Device::Cpu)).reshape([2, 3, 4, 4]);
    let xs = Tensor::ones([1, 3, 8, 8], (Kind::Float, Device::Cpu)).cumsum(3, Kind::Float);
    let updated = |w: Tensor| {
        let w = w.set_requires_grad(true);
        let none: Option<Tensor> = None;
        xs.conv2d(&w, none, 1, 0, 1, 1).square().sum(Kind::Float).backward();
        let params = vec![("w".to_owned(), w.shallow_clone())];
        let group = ParamGroup { params, lr_scale: 1.0, weight_decay: 0.0 };
        sgd(0.9, SgdForm::Paper, false)(vec![group]).step(1e-6);
        w
    };
    let contiguous = updated(start.copy());
    let last = common::nn::channels_last(&start);
    assert_ne!(last.stride(), start.stride());
    let apart = (updated(last) - &contiguous).abs().max().double_value(&[]);
    assert!((&contiguous - &start).abs().max().double_value(&[]) > 0.1);
    assert!(apart < 1e-4, "{apart}");
}

#[test]
fn clipping_equals_pytorchs() {
    let fixture = Fixture::read();
    for clip in &fixture.clip {
        let params = handles(&fixture.groups(Kind::Float));
        set_grads(&params, &fixture.grads[1]);
        let norm = clip_grad_norm(&params, clip.max_norm);
        assert!((norm - clip.norm).abs() < 1e-6, "found {norm}, wanted {}", clip.norm);
        for (name, param) in &params {
            let found: Vec<f64> =
                Vec::try_from(param.grad().flatten(0, -1).to_kind(Kind::Double)).unwrap();
            for (found, wanted) in found.iter().zip(clip.grads[name].as_ref().unwrap()) {
                assert!((found - wanted).abs() < 1e-7, "{name}: found {found}, wanted {wanted}");
            }
        }
    }
}

/// Stops after `at` updates, carries the state over to a fresh optimiser on copies of the
/// parameters, goes on, and compares bits with a run that never stopped.
fn check_resume<O: Optimizer>(make: impl Fn(Vec<ParamGroup>) -> O) {
    let fixture = Fixture::read();
    let mut straight = Trained::new(&fixture, Kind::Float, &make);
    straight.run(&fixture, 0, 10, O::step);
    for at in [0, 1, 5, 9] {
        let mut first = Trained::new(&fixture, Kind::Float, &make);
        first.run(&fixture, 0, at, O::step);
        let mut second = Trained::new(&fixture, Kind::Float, &make);
        for ((_, to), (_, from)) in second.params.iter().zip(&first.params) {
            to.data().copy_(from);
        }
        let state: HashMap<_, _> =
            first.opt.state().into_iter().map(|(name, tensor)| (name, tensor.copy())).collect();
        second.opt.load_state(&state).expect("its own state fits");
        assert_eq!(second.opt.steps(), at as i64);
        second.run(&fixture, at, 10, O::step);
        assert_eq!(second.values(), straight.values(), "stopped after {at}");
        for ((name, found), (_, wanted)) in second.opt.state().iter().zip(straight.opt.state()) {
            assert_eq!(*found, wanted, "{name}, stopped after {at}");
        }
    }
}

#[test]
fn a_restored_optimiser_goes_on_bit_for_bit() {
    check_resume(sgd(0.9, SgdForm::Paper, false));
    check_resume(sgd(0.9, SgdForm::PyTorch, true));
    check_resume(adam(Epsilon::PyTorch, Decay::L2));
    check_resume(adam(Epsilon::Tf1, Decay::Decoupled));
}

#[test]
fn a_state_of_another_model_is_refused_by_name_and_changes_nothing() {
    let fixture = Fixture::read();
    let make = adam(Epsilon::PyTorch, Decay::L2);
    let mut trained = Trained::new(&fixture, Kind::Float, &make);
    trained.run(&fixture, 0, 3, Adam::step);
    let saved = || -> HashMap<String, Tensor> {
        trained.opt.state().into_iter().map(|(name, tensor)| (name, tensor.copy())).collect()
    };
    let mut other = Trained::new(&fixture, Kind::Float, &make);

    let mut state = saved();
    state.remove("late.weight.exp_avg_sq");
    let err = other.opt.load_state(&state).unwrap_err();
    assert!(matches!(&err, OptimError::Missing { name } if name == "late.weight.exp_avg_sq"));

    let mut state = saved();
    state.insert("fc.weight.exp_avg".to_owned(), Tensor::zeros([1], (Kind::Float, Device::Cpu)));
    let err = other.opt.load_state(&state).unwrap_err();
    assert!(matches!(&err, OptimError::Unknown { name } if name == "fc.weight.exp_avg"));

    let mut state = saved();
    state.insert("conv.bias.exp_avg".to_owned(), Tensor::zeros([4], (Kind::Float, Device::Cpu)));
    let err = other.opt.load_state(&state).unwrap_err();
    assert!(err.to_string().contains("conv.bias.exp_avg has shape [4], wanted [3]"), "{err}");

    let mut state = saved();
    state.insert("conv.bias.exp_avg".to_owned(), Tensor::zeros([3], (Kind::Half, Device::Cpu)));
    let err = other.opt.load_state(&state).unwrap_err();
    assert!(matches!(err, OptimError::Kind { .. }), "{err}");

    assert_eq!(other.opt.steps(), 0);
    for (name, tensor) in other.opt.state() {
        assert!(tensor.abs().max().double_value(&[]) == 0.0, "{name}");
    }
}
