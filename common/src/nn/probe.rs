//! Names the first layer whose output is not finite.
//!
//! A model's forward pass takes a probe and shows it what each layer puts out:
//! ```ignore
//! fn forward(&self, xs: &Tensor, probe: &Probe) -> Tensor {
//!     let xs = probe.see("conv1", xs.apply(&self.conv1).relu());
//!     let xs = probe.see("pool1", xs.max_pool2d(…));
//!     probe.see("fc", xs.flatten(1, -1).apply(&self.fc))
//! }
//! ```
//! Training passes [`Probe::off`]. When a loss is not finite, and before any update,
//! [`non_finite_loss`] runs the same batch once more with the probe on.

use std::cell::RefCell;
use std::fmt::{self, Display};

use tch::{Kind, Tensor};

/// Looks at each layer's output, or at nothing when off.
#[derive(Debug)]
pub struct Probe {
    on: bool,
    first: RefCell<Option<NonFinite>>,
}

/// A tensor that is not finite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NonFinite {
    /// The layer or parameter.
    pub name: String,
    /// How many elements are NaN.
    pub nan: i64,
    /// How many elements are infinite.
    pub infinite: i64,
    /// How many elements there are.
    pub elements: i64,
}

impl Display for NonFinite {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, nan, infinite, elements } = self;
        write!(out, "{name} ({nan} NaN and {infinite} infinite of {elements} values)")
    }
}

impl Probe {
    /// A probe that looks at nothing.
    pub fn off() -> Self {
        Self { on: false, first: RefCell::new(None) }
    }

    /// A probe that remembers the first layer with a NaN or an infinity in its output.
    pub fn on() -> Self {
        Self { on: true, first: RefCell::new(None) }
    }

    /// Looks at `xs`, the output of `layer`, and hands it on.
    pub fn see(&self, layer: impl Display, xs: Tensor) -> Tensor {
        if self.on && self.first.borrow().is_none() {
            *self.first.borrow_mut() = non_finite(layer, &xs);
        }
        xs
    }

    /// The first layer with a NaN or an infinity in its output.
    pub fn into_first(self) -> Option<NonFinite> {
        self.first.into_inner()
    }
}

/// Counts what is not finite in `xs`; `None` if all is, or `xs` holds whole numbers.
fn non_finite(name: impl Display, xs: &Tensor) -> Option<NonFinite> {
    let _no_grad = tch::no_grad_guard();
    if !xs.is_floating_point() || xs.isfinite().all().int64_value(&[]) != 0 {
        return None;
    }
    let count = |mask: Tensor| mask.sum(Kind::Int64).int64_value(&[]);
    Some(NonFinite {
        name: name.to_string(),
        nan: count(xs.isnan()),
        infinite: count(xs.isinf()),
        elements: xs.numel() as i64,
    })
}

/// Why a training stopped before an update that would have spoiled its parameters.
#[derive(Debug, thiserror::Error)]
pub enum NonFiniteError {
    /// The loss, because of a layer's output.
    #[error(
        "the loss is {loss} at step {step}; first non-finite output: {first}; \
         the update was not made: try a lower learning rate or fp32"
    )]
    Output {
        /// The loss.
        loss: f64,
        /// Updates made so far.
        step: u64,
        /// The first layer.
        first: NonFinite,
    },
    /// The loss, because of a parameter.
    #[error(
        "the loss is {loss} at step {step}; the parameters were not finite before: {first}; \
         go back to a checkpoint before it, with a lower learning rate"
    )]
    Parameter {
        /// The loss.
        loss: f64,
        /// Updates made so far.
        step: u64,
        /// The first parameter, in the optimiser's order.
        first: NonFinite,
    },
    /// The loss alone: every layer that the probe saw was finite.
    #[error(
        "the loss is {loss} at step {step} while every layer's output is finite: \
         it arises in the loss itself; the update was not made"
    )]
    Loss {
        /// The loss.
        loss: f64,
        /// Updates made so far.
        step: u64,
    },
    /// A gradient, while the loss was finite.
    #[error(
        "non-finite gradient at step {step}, the loss is finite; first parameter: {first}; \
         the update was not made: try a lower learning rate, clipping or fp32"
    )]
    Gradient {
        /// Updates made so far.
        step: u64,
        /// The first parameter, in the order given.
        first: NonFinite,
    },
}

/// Explains a loss that is not finite: looks at `params`, then runs `forward` on the same batch
/// with the probe on. Draw the same random numbers again before, if the model uses any.
pub fn non_finite_loss<T>(
    loss: f64,
    step: u64,
    params: &[(String, Tensor)],
    forward: impl FnOnce(&Probe) -> T,
) -> NonFiniteError {
    if let Some(first) = params.iter().find_map(|(name, param)| non_finite(name, param)) {
        return NonFiniteError::Parameter { loss, step, first };
    }
    let _no_grad = tch::no_grad_guard();
    let probe = Probe::on();
    forward(&probe);
    match probe.into_first() {
        Some(first) => NonFiniteError::Output { loss, step, first },
        None => NonFiniteError::Loss { loss, step },
    }
}

/// Checks that all gradients are finite, given their global norm `grad_norm` (which any NaN or
/// infinity among them makes non-finite, so a sound step costs one comparison).
///
/// # Errors
/// Names the first parameter whose gradient is not.
pub fn check_gradients(
    grad_norm: f64,
    step: u64,
    params: &[(String, Tensor)],
) -> Result<(), NonFiniteError> {
    if grad_norm.is_finite() {
        return Ok(());
    }
    let grads = params.iter().map(|(name, param)| (name, param.grad()));
    let mut with_grads = grads.filter(|(_, grad)| grad.defined());
    match with_grads.find_map(|(name, grad)| non_finite(name, &grad)) {
        Some(first) => Err(NonFiniteError::Gradient { step, first }),
        // The squares overflow though each element is finite: clipping deals with that.
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    fn ones(n: i64) -> Tensor {
        Tensor::ones([n], (Kind::Float, Device::Cpu))
    }

    /// Two layers that are finite, one that divides by zero, and one after it.
    fn forward(probe: &Probe) -> Tensor {
        let xs = probe.see("conv1", ones(4));
        let xs = probe.see(format_args!("block{}", 2), xs * 2.0);
        let xs = probe.see("conv2", xs / Tensor::from_slice(&[1.0_f32, 0.0, 1.0, 0.0]));
        probe.see("fc", &xs - 1.0)
    }

    #[test]
    fn the_first_layer_with_a_non_finite_output_is_named() {
        let err = non_finite_loss(f64::NAN, 7, &[("w".to_owned(), ones(3))], forward);
        let NonFiniteError::Output { first, .. } = &err else { panic!("{err}") };
        let wanted = NonFinite { name: "conv2".to_owned(), nan: 0, infinite: 2, elements: 4 };
        assert_eq!(*first, wanted);
        let text = err.to_string();
        assert!(text.contains("NaN at step 7; first non-finite output: conv2"), "{text}");
    }

    #[test]
    fn a_probe_that_is_off_sees_nothing() {
        let probe = Probe::off();
        let _ = forward(&probe);
        assert_eq!(probe.into_first(), None);
    }

    #[test]
    fn a_parameter_that_is_already_bad_is_named_before_any_layer() {
        let params = [("good".to_owned(), ones(2)), ("bad".to_owned(), ones(2) * f64::NAN)];
        let err = non_finite_loss(f64::NAN, 7, &params, forward);
        assert!(matches!(&err, NonFiniteError::Parameter { first, .. } if first.name == "bad"));
    }

    #[test]
    fn finite_layers_leave_the_blame_with_the_loss() {
        let err = non_finite_loss(f64::INFINITY, 7, &[], |probe| probe.see("fc", ones(2)));
        assert!(matches!(err, NonFiniteError::Loss { .. }), "{err}");
    }

    #[test]
    fn the_first_parameter_with_a_non_finite_gradient_is_named() {
        let named = |name: &str| (name.to_owned(), ones(2).set_requires_grad(true));
        let params = [named("unused"), named("good"), named("bad")];
        (&params[1].1 + params[2].1.log() * f64::INFINITY).sum(Kind::Float).backward();
        let norm = crate::optim::clip::grad_norm(&params);
        assert!(!norm.is_finite());
        let err = check_gradients(norm, 7, &params).unwrap_err();
        assert!(matches!(&err, NonFiniteError::Gradient { first, .. } if first.name == "bad"));
        assert!(check_gradients(1.0, 7, &params).is_ok());
    }
}
