//! The binary as a process: training on a dump of reviews, stopping and going on, bad input, the studies that read
//! finished networks, the verbs.
//!
//! Every test has its own results folder, cache and reviews that it makes itself, and needs no network.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod bad_input;
mod place;
mod studies;
mod training;
mod verbs;
