//! Fits of a law to a table of runs: Huber loss on the log of the loss, summed over the points.

mod form;
mod solve;

pub use form::{Form, Point};
pub use solve::{Fit, FitError, bootstrap, fit, without_largest};
