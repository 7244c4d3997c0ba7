//! What the experiments share, and nothing that only one of them needs.
#![warn(missing_docs)]

pub mod bench;
pub mod checkpoint;
pub mod cli;
pub mod data;
pub mod device;
pub mod distributed;
pub mod experiment;
pub mod grid;
pub mod interrupt;
pub mod linear;
pub mod nn;
pub mod optim;
pub mod preset;
pub mod progress;
pub mod rng;
pub mod rows;
pub mod session;
pub mod shim;
pub mod stations;
pub mod training_run;
pub mod weights;
pub mod window;
