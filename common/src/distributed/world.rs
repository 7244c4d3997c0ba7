//! The processes as one group: meeting, sums, copies, and what it means when that fails.

use std::cell::Cell;
use std::rc::Rc;

use tch::{Device, Tensor};

use super::watch::Watch;
use super::{Place, WorldError};
use crate::interrupt::{self, Interrupted};
use crate::shim::ShimError;
use crate::shim::distributed::{Group, Nccl, Store, gloo_built};

/// The exit codes of processes asked to stop by Ctrl-C and by SIGTERM; where some were asked by one and some by the
/// other, all end with the last.
const STOPS: [u8; 2] = [130, 143];

/// The processes that train together. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct World(pub(super) Option<Rc<Several>>);

/// In the order in which it is let go.
#[derive(Debug)]
pub(super) struct Several {
    _watch: Watch,
    pub(super) group: Group,
    pub(super) store: Store,
    pub(super) place: Place,
    /// Counts what was told through the store.
    pub(super) told: Cell<u64>,
    /// What the processes last agreed on.
    stop: Cell<Option<Interrupted>>,
}

impl World {
    /// A process that is alone.
    pub fn alone() -> Self {
        Self(None)
    }

    /// Meets the other processes, if the environment names any; gradients will be on `device`.
    ///
    /// # Errors
    /// An environment that does not add up, processes that do not meet in time, a program built without gloo or NCCL.
    pub fn join(device: Device) -> Result<Self, WorldError> {
        let Some(place) = Place::from_env()? else { return Ok(Self::alone()) };
        if !gloo_built() {
            return Err(WorldError::NoGloo);
        }
        let (rank, size, timeout) = (place.rank, place.size, place.timeout);
        let address = format!("{}:{}", place.host, place.port);
        let seconds = timeout.as_secs();
        let meeting =
            |source| WorldError::Meeting { rank, size, address: address.clone(), seconds, source };
        let nccl = match device {
            Device::Cuda(_) => Some(Nccl::load().map_err(meeting)?.ok_or(WorldError::NoNccl)?),
            _ => None,
        };
        let prefix = format!("landmarks/{}", place.attempt);
        let store = Store::open(&place.host, place.port, place.serves, &prefix, timeout);
        let store = store.map_err(meeting)?;
        let watch = Watch::start(store.another().map_err(meeting)?, rank, size, timeout);
        let group = Group::open(&store, rank, size, timeout, nccl).map_err(meeting)?;
        tracing::info!("process {rank} of {size}, met at {address}");
        let (told, stop) = (Cell::new(0), Cell::new(None));
        Ok(Self(Some(Rc::new(Several { _watch: watch, group, store, place, told, stop }))))
    }

    /// Which process this is, from 0.
    pub fn rank(&self) -> usize {
        self.0.as_ref().map_or(0, |several| several.place.rank)
    }

    /// How many there are.
    pub fn size(&self) -> usize {
        self.0.as_ref().map_or(1, |several| several.place.size)
    }

    /// Whether this is the process that writes results.
    pub fn is_first(&self) -> bool {
        self.rank() == 0
    }

    pub(super) fn group(&self) -> Option<&Group> {
        self.0.as_ref().map(|several| &several.group)
    }

    /// The sums over all processes. Every such call also carries whether a process was asked to stop; see
    /// [`World::interrupted`].
    ///
    /// # Errors
    /// A process that has gone.
    pub fn sum<const N: usize>(&self, xs: [f64; N]) -> Result<[f64; N], WorldError> {
        let Some(several) = &self.0 else { return Ok(xs) };
        let asked = interrupt::check().err();
        let asked = STOPS.map(|code| u8::from(asked.is_some_and(|stop| stop.exit_code == code)));
        let all = Tensor::from_slice(&[xs.as_slice(), &asked.map(f64::from)].concat());
        several.group.sum(&all).map_err(|error| self.failed(error))?;
        let all = Vec::<f64>::try_from(all).expect("a row of numbers on the CPU");
        if let Some((_, exit_code)) = all[N..].iter().zip(STOPS).rfind(|&(&n, _)| n > 0.0) {
            several.stop.set(Some(Interrupted { exit_code }));
        }
        Ok(std::array::from_fn(|i| all[i]))
    }

    /// The mean over all processes.
    ///
    /// # Errors
    /// A process that has gone.
    pub fn mean(&self, x: f64) -> Result<f64, WorldError> {
        self.means([x]).map(|[mean]| mean)
    }

    /// The means over all processes.
    ///
    /// # Errors
    /// A process that has gone.
    pub fn means<const N: usize>(&self, xs: [f64; N]) -> Result<[f64; N], WorldError> {
        Ok(self.sum(xs)?.map(|sum| sum / self.size() as f64))
    }

    /// Whether any process was asked to stop before the last [`World::sum`]; the same answer in all of them.
    ///
    /// # Errors
    /// [`Interrupted`] when one was.
    pub fn interrupted(&self) -> Result<(), Interrupted> {
        match &self.0 {
            None => interrupt::check(),
            Some(several) => several.stop.get().map_or(Ok(()), Err),
        }
    }

    /// Waits until every process is here.
    ///
    /// # Errors
    /// A process that has gone.
    pub fn barrier(&self) -> Result<(), WorldError> {
        self.sum([]).map(|[]| ())
    }

    /// Makes `tensors` those of the first process.
    ///
    /// # Errors
    /// A process that has gone.
    pub fn broadcast<'a>(
        &self,
        tensors: impl IntoIterator<Item = &'a Tensor>,
    ) -> Result<(), WorldError> {
        let Some(several) = &self.0 else { return Ok(()) };
        let tensors: Vec<&Tensor> = tensors.into_iter().collect();
        several.group.broadcast(&tensors).map_err(|error| self.failed(error))
    }

    /// The means over everything that all processes have seen, of which `n` here have these `means`; and what a process
    /// multiplies a mean over its own by, so that the mean over processes is that over everything.
    ///
    /// # Errors
    /// A process that has gone.
    pub fn pool<const N: usize>(
        &self,
        means: [f64; N],
        n: usize,
    ) -> Result<([f64; N], f64), WorldError> {
        if self.size() == 1 {
            return Ok((means, 1.0));
        }
        let n = n as f64;
        let [all] = self.sum([n])?;
        let sums = self.sum(means.map(|mean| mean * n))?;
        Ok((sums.map(|sum| sum / all), n * self.size() as f64 / all))
    }

    /// The rows `[n, …]` of every process, in their order: `[n × processes, …]`.
    ///
    /// # Errors
    /// A process that has gone.
    pub fn gather(&self, rows: &Tensor) -> Result<Tensor, WorldError> {
        match &self.0 {
            None => Ok(rows.shallow_clone()),
            Some(several) => several.group.gather(rows).map_err(|error| self.failed(error)),
        }
    }

    /// What a failed call means: an interrupt, or a process that has gone, by its number.
    pub(super) fn failed(&self, source: ShimError) -> WorldError {
        if let Err(stopped) = interrupt::check() {
            return stopped.into();
        }
        let several = self.0.as_ref().expect("a process that is alone sends nothing");
        WorldError::Lost { rank: self.rank(), who: several.who(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Division, Share};
    use super::*;

    #[test]
    fn a_process_that_is_alone_has_everything_to_itself() {
        let world = World::alone();
        assert_eq!((world.rank(), world.size(), world.is_first()), (0, 1, true));
        assert_eq!(world.share("a batch", 7).unwrap(), 0..7);
        assert_eq!(world.own(), Share::ALL);
        let division = world.divide(3, 5).unwrap();
        assert_eq!(division, Division { micro: (0..5).collect(), rows: 0..3 });
        let [sum] = world.sum([2.5]).unwrap();
        assert!((sum - 2.5).abs() < 1e-15);
        world.barrier().unwrap();
        assert_eq!(world.told_by_first(|| Ok(3)).unwrap(), 3);
    }
}
