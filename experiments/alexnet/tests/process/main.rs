//! The binary as a process: what it says, what it leaves on the disk, and how it goes on.
//!
//! Every test has its own results folder, cache and a data set that it makes itself, starts the binary
//! with an empty environment but for `PATH`, and needs no network.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod cifar;
mod damage;
mod data;
mod disk;
mod evaluate;
mod exhibits;
mod figures;
mod locks;
mod outcome;
mod pictures;
mod place;
mod predict;
mod prepare;
mod processes;
mod recipes;
mod resume;
mod smoke;
mod usage;
