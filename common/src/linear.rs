//! Linear classifiers of two classes: logistic regression with either penalty, bags of n-grams, single thresholds.
//!
//! What they are for: reading out what a trained network's features know, and the plain baseline beside it.
//! [`logistic::fit`] is one fit, [`search::choose_c`] the published choice of its strength on a validation part.

pub mod bag;
pub mod features;
pub mod logistic;
pub mod metrics;
pub mod ridge;
pub mod search;
pub mod threshold;
