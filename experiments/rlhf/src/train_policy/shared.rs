//! Which rows of a batch each process computes.

use common::distributed::{World, WorldError};
use tch::{Device, IndexOp as _, Tensor};

use super::Config;

/// The rows of a batch that a process writes: its share of each minibatch of the first inner epoch.
#[derive(Debug)]
pub struct Shared<'a> {
    pub(super) world: &'a World,
    /// Its places in the batch.
    own: Tensor,
    /// Where each place of the batch is when the rows of all processes follow one another.
    order: Tensor,
    /// Its rows of a minibatch.
    pub(super) rows: usize,
}

impl<'a> Shared<'a> {
    /// For this process of `world`; `device` is the batches'.
    ///
    /// # Errors
    /// Minibatches that the processes cannot share evenly.
    pub fn new(world: &'a World, cfg: &Config, device: Device) -> Result<Self, WorldError> {
        let size = cfg.batch / cfg.minibatches;
        let rows = world.share("a minibatch", size)?.len();
        let of = |rank: usize| {
            let firsts = (0..cfg.minibatches).map(move |m| m * size + rank * rows);
            firsts.flat_map(move |first| first..first + rows).map(|place| place as i64)
        };
        let places = |all: Vec<i64>| Tensor::from_slice(&all).to_device(device);
        Ok(Self {
            world,
            own: places(of(world.rank()).collect()),
            order: places((0..world.size()).flat_map(of).collect()).argsort(0, false),
            rows,
        })
    }

    /// This process's rows of `all: [B, …]`.
    pub(super) fn own(&self, all: &Tensor) -> Tensor {
        if self.world.size() == 1 { all.shallow_clone() } else { all.i(&self.own) }
    }

    /// The rows of all processes, in the batch's order.
    pub(super) fn all(&self, own: &Tensor) -> Result<Tensor, WorldError> {
        let all = self.world.gather(own)?;
        Ok(if self.world.size() == 1 { all } else { all.i(&self.order) })
    }
}
