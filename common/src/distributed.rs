//! Training with several processes, each on its share of every batch: data parallel over PyTorch's c10d, with gloo on
//! CPUs and NCCL on GPUs.
//!
//! `torchrun --no-python` or Slurm's `srun` starts the processes; [`World::join`] finds the others. A batch is the same
//! set of samples however many there are: each process takes its [`World::share`], [`Gradients`] averages what comes of
//! it, and every process makes the same update. The first one, rank 0, writes what is written. A process that is alone
//! has a world too, in which nothing is sent.
//!
//! All processes call the functions of a [`World`] in the same order.

mod error;
mod gradients;
mod place;
mod share;
mod told;
mod watch;
mod world;

pub use error::WorldError;
pub use gradients::Gradients;
pub use place::{Place, PlaceError};
pub use share::{Division, Share};
pub use world::World;
