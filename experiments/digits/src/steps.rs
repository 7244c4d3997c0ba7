//! What the loops of this experiment have in common: where a run stands, and what follows every update.
//!
//! No gradient here comes from libtorch's graph. Everything that is carried from step to step, parameters and velocities,
//! is a variable of the store, so that a checkpoint is the store.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use common::optim::{OptimError, Optimizer};
use common::training_run::TrainingRun;
use common::window::Window;
use serde::{Deserialize, Serialize};
use tch::Tensor;
use tch::nn::VarStore;

/// A checkpoint is written so often, and at the end and at a stop. What the run computes does not depend on it.
const SAVE_EVERY: Duration = Duration::from_mins(1);

/// Where a run stands besides its step.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct At {
    /// Reconstruction errors of a machine since the last row.
    pub(crate) window: Window,
    /// Work since the start.
    pub(crate) multiply_adds: f64,
    /// λ of Hessian-free optimisation; none before its first update.
    pub(crate) damping: Option<f64>,
}

/// A run and its place in it.
#[derive(Debug)]
pub(crate) struct Steps<'a> {
    pub(crate) seed: u64,
    /// Updates made.
    pub(crate) step: u64,
    /// Updates wanted.
    last: u64,
    pub(crate) at: At,
    store: VarStore,
    saved: Instant,
    pub(crate) run: &'a mut TrainingRun,
}

impl<'a> Steps<'a> {
    /// From wherever `run` stopped, with all variables of `store` as they were then, to `steps` updates.
    ///
    /// # Errors
    /// A checkpoint that cannot be used, a file that cannot be written.
    pub(crate) fn resume_or_start(
        run: &'a mut TrainingRun,
        store: VarStore,
        seed: u64,
        steps: u64,
        columns: &[&str],
    ) -> anyhow::Result<Self> {
        let (step, at) = run.resume_or_start(&store, &mut InStore, columns)?;
        Ok(Self { seed, step, last: steps, at, store, saved: Instant::now(), run })
    }

    /// Whether all updates are made.
    pub(crate) fn done(&self) -> bool {
        self.step >= self.last
    }

    /// What follows every update of so many `cases`: says where the run is, saves when it is time, stops when asked to.
    ///
    /// # Errors
    /// An interrupt, after a checkpoint; a file that cannot be written.
    pub(crate) fn end_step(&mut self, cases: usize, loss: f64) -> anyhow::Result<()> {
        self.run.tick(self.step, self.last, cases as f64, "images/s", loss);
        let stop = self.run.world().interrupted();
        if self.done() || stop.is_err() || self.saved.elapsed() > SAVE_EVERY {
            self.run.save(self.step, &self.store, &InStore, &self.at)?;
            self.saved = Instant::now();
        }
        if !self.done() {
            stop?;
        }
        Ok(())
    }
}

/// The optimiser that checkpoints are told of: all that ours carry is in the store.
#[derive(Debug)]
struct InStore;

impl Optimizer for InStore {
    fn zero_grad(&mut self) {}

    fn step(&mut self, _lr: f64) {}

    fn steps(&self) -> i64 {
        0
    }

    fn state(&self) -> Vec<(String, Tensor)> {
        Vec::new()
    }

    fn load_state(&mut self, _state: &HashMap<String, Tensor>) -> Result<(), OptimError> {
        Ok(())
    }
}
