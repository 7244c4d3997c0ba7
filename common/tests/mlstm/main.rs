//! The multiplicative LSTM and its fused time loop.

mod exact;
mod fixed;
mod fused;
mod model;

use common::nn::mlstm::{Mlstm, MlstmConfig, Segment, State};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

/// A model whose parameters are all drawn anew, so that gains and biases differ too.
struct Case {
    vs: VarStore,
    model: Mlstm,
}

impl Case {
    fn new(vocab: i64, embedding: i64, hidden: i64) -> Self {
        let vs = VarStore::new(Device::Cpu);
        let model = Mlstm::new(&vs.root(), &MlstmConfig { vocab, embedding, hidden });
        Self { vs, model }
    }

    fn drawn(vocab: i64, embedding: i64, hidden: i64) -> Self {
        tch::manual_seed(7);
        let case = Self::new(vocab, embedding, hidden);
        let _no_grad = tch::no_grad_guard();
        for (name, mut param) in case.sorted() {
            match name.as_str() {
                "gx" | "gh" | "gmx" | "gmh" => _ = param.uniform_(0.5, 1.5),
                "b" | "embedding" => _ = param.normal_(0.0, 1.0),
                _ => {}
            }
        }
        case
    }

    /// In the order of names: `variables` has none, and draws would differ from run to run.
    fn sorted(&self) -> Vec<(String, Tensor)> {
        let mut all: Vec<_> = self.vs.variables().into_iter().collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }

    fn set(&self, name: &str, values: &[f64]) {
        let _no_grad = tch::no_grad_guard();
        let mut param = self.vs.variables().remove(name).expect("a parameter of that name");
        let shape = param.size();
        param.copy_(&Tensor::from_slice(values).reshape(shape.as_slice()));
    }
}

fn doubles(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.detach().to_kind(Kind::Double).contiguous().flatten(0, -1))
        .expect("one dimension of doubles")
}

/// The largest difference, in units of the largest number wanted.
fn apart(found: &[f64], wanted: &[f64]) -> f64 {
    assert_eq!(found.len(), wanted.len());
    let scale = wanted.iter().fold(1e-30_f64, |top, x| top.max(x.abs()));
    found.iter().zip(wanted).map(|(f, w)| (f - w).abs()).fold(0.0, f64::max) / scale
}

fn assert_close(what: &str, found: &[f64], wanted: &[f64], tolerance: f64) {
    let off = apart(found, wanted);
    assert!(off <= tolerance, "{what}: off by {off}\n  found {found:?}\n wanted {wanted:?}");
}

type Forward = fn(&Mlstm, &Tensor, &State) -> Segment;
const FORMS: [(&str, Forward); 2] = [("fused", Mlstm::forward), ("composed", Mlstm::composed)];
