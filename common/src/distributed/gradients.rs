//! The gradients of one update, averaged over all processes.

use tch::Tensor;

use super::{World, WorldError};
use crate::shim::distributed::Reducer;
use crate::shim::{self, ShimError};

/// Backward passes that leave every process with the gradients of all.
///
/// Gradients travel in buckets while backward still computes others (c10d's reducer, as in PyTorch's
/// `DistributedDataParallel`). A process that is alone only computes its own.
#[derive(Debug)]
pub struct Gradients {
    reducer: Option<Reducer>,
    world: World,
    params: Vec<(String, Tensor)>,
}

impl Gradients {
    /// For an optimiser over `params`, each of which gets a gradient in every update. All processes call it at the same
    /// place, with the same names and shapes.
    ///
    /// # Errors
    /// Other parameters in another process; a process that has gone.
    pub fn new(world: &World, params: &[(String, Tensor)]) -> Result<Self, WorldError> {
        let reducer = match world.group() {
            None => None,
            Some(group) => Some(Reducer::open(group, params).map_err(|error| world.failed(error))?),
        };
        let params = params.iter().map(|(name, x)| (name.clone(), x.shallow_clone())).collect();
        Ok(Self { reducer, world: world.clone(), params })
    }

    /// For a process that is alone.
    pub fn alone() -> Self {
        Self { reducer: None, world: World::alone(), params: Vec::new() }
    }

    /// The processes that they are averaged over.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// Adds the gradients of `loss`. After the `last` backward pass of an update they are the mean over all processes of
    /// what each has summed; before it (in gradient accumulation) nothing is sent.
    ///
    /// # Errors
    /// A process that has gone; a parameter without a gradient, among several processes.
    ///
    /// # Panics
    /// If libtorch cannot compute the gradients of a process that is alone.
    pub fn backward(&self, loss: &Tensor, last: bool) -> Result<(), WorldError> {
        match &self.reducer {
            None => loss.backward(),
            Some(reducer) => reducer.backward(loss, last).map_err(|error| self.failed(error))?,
        }
        Ok(())
    }

    /// What a failed backward pass means.
    fn failed(&self, error: ShimError) -> WorldError {
        let (names, params): (Vec<_>, Vec<_>) =
            self.params.iter().map(|(name, x)| (name.clone(), x.shallow_clone())).unzip();
        let has = shim::has_grad(&params);
        let without = names.into_iter().zip(has).filter(|(_, has)| !has);
        let names: Vec<String> = without.map(|(name, _)| name).collect();
        // c10d's words for a reduction that still waits; a lost process leaves gradients out too.
        if names.is_empty() || !error.message.contains("finished reduction") {
            return self.world.failed(error);
        }
        WorldError::NoGradient { rank: self.world.rank(), names }
    }
}
