//! Optimisers with state that can be saved, learning-rate schedules, clipping.
//!
//! One update is `zero_grad`, `backward`, [`clip::clip_grad_norm`] if wanted, `step(lr)`. The
//! learning rate is given to each step: a [`schedule`] is a function of the step, not a thing with
//! state.

use std::collections::{BTreeSet, HashMap};

use tch::{Kind, Tensor, nn::VarStore};

use crate::shim;

pub mod adam;
pub mod clip;
pub mod schedule;
pub mod sgd;

pub use adam::{Adam, AdamConfig, Decay, Epsilon};
pub use sgd::{Sgd, SgdConfig, SgdForm};

/// Optimiser state that does not belong to these parameters.
#[derive(Debug, thiserror::Error)]
pub enum OptimError {
    /// A tensor that this optimiser needs is not there.
    #[error(
        "optimiser state: {name} is missing; the state is of another model or another optimiser"
    )]
    Missing {
        /// The tensor's name.
        name: String,
    },
    /// A tensor is there that this optimiser does not know.
    #[error(
        "optimiser state: {name} is not known; the state is of another model or another optimiser"
    )]
    Unknown {
        /// The tensor's name.
        name: String,
    },
    /// A tensor has another shape.
    #[error(
        "optimiser state: {name} has shape {found:?}, wanted {wanted:?}; the state is of another model"
    )]
    Shape {
        /// The tensor's name.
        name: String,
        /// Its shape.
        found: Vec<i64>,
        /// The parameter's shape.
        wanted: Vec<i64>,
    },
    /// A tensor has another kind of element.
    #[error("optimiser state: {name} holds {found:?}, wanted {wanted:?}")]
    Kind {
        /// The tensor's name.
        name: String,
        /// Its kind.
        found: Kind,
        /// The kind wanted.
        wanted: Kind,
    },
}

/// Parameters that share their settings.
#[derive(Debug)]
pub struct ParamGroup {
    /// The parameters by name. State is saved under these names.
    pub params: Vec<(String, Tensor)>,
    /// The step's learning rate is multiplied by this.
    pub lr_scale: f64,
    /// The strength of decay; what it does is the optimiser's choice.
    pub weight_decay: f64,
}

/// The trainable parameters of `vs`, sorted by name (its own order differs from run to run).
pub fn named_params(vs: &VarStore) -> Vec<(String, Tensor)> {
    let mut params: Vec<_> =
        vs.variables().into_iter().filter(|(_, param)| param.requires_grad()).collect();
    params.sort_by(|(a, _), (b, _)| a.cmp(b));
    params
}

/// What training loops and checkpoints need of every optimiser.
pub trait Optimizer {
    /// Drops all gradients.
    fn zero_grad(&mut self);

    /// One update with learning rate `lr`; a parameter without a gradient is left alone, and so is
    /// its state.
    fn step(&mut self, lr: f64);

    /// How many updates were made.
    fn steps(&self) -> i64;

    /// Everything that the next update depends on besides parameters and gradients. The tensors
    /// are the optimiser's own: write them out before the next step.
    fn state(&self) -> Vec<(String, Tensor)>;

    /// Takes over a state that [`Optimizer::state`] returned. Nothing changes if it does not fit.
    ///
    /// # Errors
    /// If a tensor is missing, unknown, or of another shape or kind: its name.
    fn load_state(&mut self, state: &HashMap<String, Tensor>) -> Result<(), OptimError>;
}

/// A group split into what the kernels take.
#[derive(Debug)]
struct Group {
    names: Vec<String>,
    params: Vec<Tensor>,
    lr_scale: f64,
    weight_decay: f64,
}

impl Group {
    /// Splits `groups`, checking that each parameter is there once and can be trained.
    fn split(groups: Vec<ParamGroup>) -> Vec<Self> {
        let mut seen = BTreeSet::new();
        groups
            .into_iter()
            .map(|group| {
                for (name, param) in &group.params {
                    assert!(seen.insert(name.clone()), "parameter {name} is given twice");
                    assert!(param.requires_grad(), "parameter {name} does not require a gradient");
                }
                let (names, params) = group.params.into_iter().unzip();
                let (lr_scale, weight_decay) = (group.lr_scale, group.weight_decay);
                Self { names, params, lr_scale, weight_decay }
            })
            .collect()
    }

    /// One tensor of zeros per parameter, laid out as it is.
    fn zeros(&self) -> Vec<Tensor> {
        let _no_grad = tch::no_grad_guard();
        self.params.iter().map(Tensor::zeros_like).collect()
    }

    fn zero_grad(&self) {
        shim::clear_grads(&self.params).expect("dropping a gradient cannot fail");
    }
}

/// Copies `saved` into `own`, name by name, after checking that they fit each other.
fn load_into(own: &[(String, Tensor)], saved: &HashMap<String, Tensor>) -> Result<(), OptimError> {
    for (name, wanted) in own {
        let found = saved.get(name).ok_or_else(|| OptimError::Missing { name: name.clone() })?;
        if found.size() != wanted.size() {
            let (found, wanted) = (found.size(), wanted.size());
            return Err(OptimError::Shape { name: name.clone(), found, wanted });
        }
        if found.kind() != wanted.kind() {
            let (found, wanted) = (found.kind(), wanted.kind());
            return Err(OptimError::Kind { name: name.clone(), found, wanted });
        }
    }
    let known: BTreeSet<&str> = own.iter().map(|(name, _)| name.as_str()).collect();
    let unknown = saved.keys().filter(|name| !known.contains(name.as_str())).min();
    if let Some(name) = unknown {
        return Err(OptimError::Unknown { name: name.clone() });
    }
    let _no_grad = tch::no_grad_guard();
    for (name, own) in own {
        own.shallow_clone().copy_(&saved[name]);
    }
    Ok(())
}
