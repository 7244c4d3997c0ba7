//! Everything after training: run folders, statistics, plots, claims, verdicts, the results page.
//!
//! This crate does not link libtorch. What it computes is a pure function of files on disk.
#![warn(missing_docs)]

pub mod bench;
pub mod claims;
pub mod doctor;
pub mod metrics;
mod numbers;
pub mod plot;
pub mod publish;
pub mod report;
pub mod run;
pub mod stats;
pub mod tensorboard;
pub mod verify;
