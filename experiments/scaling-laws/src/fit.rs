//! Fits of a law to a table of runs: Huber loss on the log of the loss, summed over the points.

mod bootstrap;
mod form;
mod search;
mod solve;
#[cfg(test)]
mod synthetic;

pub use bootstrap::{Draws, bootstrap, bootstrap_runs, without_largest};
pub use form::{Centre, Form, Point};
pub use solve::{Fit, FitError, fit};
