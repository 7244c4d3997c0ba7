//! Why several processes cannot train together.

use super::PlaceError;
use crate::interrupt::Interrupted;
use crate::shim::ShimError;

/// Several processes that cannot train together.
#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    /// The environment does not say who they are.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The program was built without gloo.
    #[error(
        "this program was built for one process: install gloo's headers (apt install libgloo-dev, or name their \
         folder in GLOO_INCLUDE) and build it again"
    )]
    NoGloo,
    /// The program was built without NCCL.
    #[error(
        "this program was built without NCCL: run `make setup KIND=gpu`, which brings the headers of NCCL and CUDA, \
         and build it again; or train with --device cpu"
    )]
    NoNccl,
    /// They do not meet.
    #[error(
        "process {rank} of {size} cannot meet the others at {address} (MASTER_ADDR:MASTER_PORT), {seconds} s at the most: {source}"
    )]
    Meeting {
        /// This process.
        rank: usize,
        /// How many there should be.
        size: usize,
        /// Where.
        address: String,
        /// How long a process waits, seconds.
        seconds: u64,
        /// What libtorch said.
        source: ShimError,
    },
    /// One has gone, or does something else.
    #[error("process {rank} cannot go on: {who} ({source}). Start all of them again with --resume")]
    Lost {
        /// This process.
        rank: usize,
        /// Which one, as far as is known.
        who: String,
        /// What libtorch said.
        source: ShimError,
    },
    /// Something is trained that the loss does not depend on.
    #[error(
        "process {rank}: {} got no gradient in this update, and the processes wait for one: leave out of training what \
         the loss does not depend on", names.join(", ")
    )]
    NoGradient {
        /// This process.
        rank: usize,
        /// The parameters.
        names: Vec<String>,
    },
    /// They were started with other programs, presets or flags.
    #[error(
        "process {rank} was not started like process 0: {differences}; start all of them with one command"
    )]
    Differ {
        /// Another process.
        rank: usize,
        /// `what (that of 0 → its own)` for each difference.
        differences: String,
    },
    /// What only the first process does has failed there.
    #[error("process 0: {0}")]
    First(String),
    /// Something cannot be shared out evenly.
    #[error(
        "{what} is {n}, which {size} processes cannot share evenly: start as many as divide it, or change it"
    )]
    Share {
        /// What, e.g. `a batch`.
        what: String,
        /// How many.
        n: usize,
        /// Processes.
        size: usize,
    },
    /// Ctrl-C or SIGTERM, here or in another process.
    #[error("{0}")]
    Interrupted(#[from] Interrupted),
}
