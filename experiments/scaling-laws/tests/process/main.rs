//! The binary as a process: fits of a user's table, sweeps from their plan to one table, bad input.
//!
//! Every test has its own results folder, cache and text that it makes itself, and needs no network.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod fit;
mod place;
mod refits;
mod sweep;
