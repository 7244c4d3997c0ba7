//! The laws that are fitted to tables of runs.

mod form;

pub use form::{Form, Point};
