//! Training with several processes, each on its share of every batch: data parallel over PyTorch's c10d, with gloo on
//! CPUs and NCCL on GPUs.
//!
//! `torchrun --no-python` or Slurm's `srun` starts the processes; [`World::join`] finds the others. A batch is the same
//! set of samples however many there are: each process takes its [`World::share`], [`Gradients`] averages what comes of
//! it, and every process makes the same update. The first one, rank 0, writes what is written. A process that is alone
//! has a world too, in which nothing is sent.
//!
//! All processes call the functions of a [`World`] in the same order.

use std::cell::Cell;
use std::fmt::Write as _;
use std::ops::Range;
use std::rc::Rc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tch::{Device, Tensor};

mod gradients;
mod place;
mod watch;

pub use gradients::Gradients;
pub use place::{Place, PlaceError};

use crate::checkpoint::{Loaded, Tensors, parse_safetensors, to_safetensors};
use crate::interrupt::{self, Interrupted};
use crate::rng;
use crate::shim::ShimError;
use crate::shim::distributed::{Group, Nccl, Store, gloo_built};
use watch::Watch;

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

/// The exit codes of processes asked to stop by Ctrl-C and by SIGTERM; where some were asked by one and some by the
/// other, all end with the last.
const STOPS: [u8; 2] = [130, 143];

/// The processes that train together. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct World(Option<Rc<Several>>);

/// In the order in which it is let go.
#[derive(Debug)]
struct Several {
    _watch: Watch,
    group: Group,
    store: Store,
    place: Place,
    /// Counts what was told through the store.
    told: Cell<u64>,
    /// What the processes last agreed on.
    stop: Cell<Option<Interrupted>>,
}

/// One process's share of what all share out; another thread may have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    rank: usize,
    size: usize,
}

impl Share {
    /// That of a process that is alone.
    pub const ALL: Self = Self { rank: 0, size: 1 };

    /// Its part of `n` things: one more in some processes than in others where they cannot be shared evenly, as an
    /// epoch's last, shorter batch.
    pub fn of(self, n: usize) -> Range<usize> {
        n * self.rank / self.size..n * (self.rank + 1) / self.size
    }

    /// Refuses `n` things, called `what`, that cannot be shared evenly.
    ///
    /// # Errors
    /// When the number of processes does not divide `n`.
    pub fn divides(self, what: &str, n: usize) -> Result<(), WorldError> {
        if n.is_multiple_of(self.size) {
            return Ok(());
        }
        Err(WorldError::Share { what: what.to_owned(), n, size: self.size })
    }

    /// Refuses `n` things, called `what`, of which a process would get none.
    ///
    /// # Errors
    /// When there are fewer than processes, but not none at all.
    pub fn reaches(self, what: &str, n: usize) -> Result<(), WorldError> {
        if n == 0 || n >= self.size {
            return Ok(());
        }
        Err(WorldError::Share { what: what.to_owned(), n, size: self.size })
    }
}

/// Which part of an update's samples a process takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Division {
    /// Its micro-batches.
    pub micro: Vec<u64>,
    /// Its rows of each of them.
    pub rows: Range<usize>,
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

    fn group(&self) -> Option<&Group> {
        self.0.as_ref().map(|several| &several.group)
    }

    /// This process's part of `n` things that are shared evenly; `what` is what an error calls them.
    ///
    /// # Errors
    /// When the number of processes does not divide `n`.
    pub fn share(&self, what: &str, n: usize) -> Result<Range<usize>, WorldError> {
        self.own().divides(what, n)?;
        Ok(self.own().of(n))
    }

    /// Which share of a batch is this process's own.
    pub fn own(&self) -> Share {
        Share { rank: self.rank(), size: self.size() }
    }

    /// This process's part of an update of `accumulate` micro-batches of `batch` rows: whole micro-batches as far as
    /// their number can be shared, rows of them beyond that.
    ///
    /// # Errors
    /// When neither can be shared evenly.
    pub fn divide(&self, batch: usize, accumulate: u64) -> Result<Division, WorldError> {
        let groups = gcd(accumulate, self.size() as u64);
        let within = self.size() / groups as usize;
        if !batch.is_multiple_of(within) {
            let (what, n) = (format!("a batch of {accumulate} times {batch}"), batch);
            return Err(WorldError::Share { what, n: n * accumulate as usize, size: self.size() });
        }
        let (group, part) = (self.rank() as u64 % groups, self.rank() / groups as usize);
        let own = batch / within;
        Ok(Division {
            micro: (group..accumulate).step_by(groups as usize).collect(),
            rows: part * own..(part + 1) * own,
        })
    }

    /// Seeds libtorch for `purpose` at `step`: in each process with another seed, since each sees other samples, and
    /// in the first with that of a process that is alone.
    pub fn seed_torch(&self, seed: u64, purpose: &str, step: u64) {
        match self.rank() {
            0 => rng::seed_torch(seed, purpose, step),
            rank => rng::seed_torch(seed, &format!("{purpose} of process {rank}"), step),
        }
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

    /// This process's share of the rows `[n, …]`, which `what` is an error's name for.
    ///
    /// # Errors
    /// When the number of processes does not divide `n`.
    pub fn rows(&self, what: &str, all: &Tensor) -> Result<Tensor, WorldError> {
        let own = self.share(what, all.size()[0] as usize)?;
        Ok(all.narrow(0, own.start as i64, own.len() as i64))
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

    /// What `make` returns in the first process, in all of them; the others do not call it.
    ///
    /// # Errors
    /// Those of `make`; a process that has gone.
    pub fn told_by_first<T: Serialize + DeserializeOwned>(
        &self,
        make: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let Some(several) = &self.0 else { return make() };
        let key = several.next("told");
        if self.is_first() {
            let made = make();
            let told = made.as_ref().map_err(crate::cli::chain);
            let told = serde_json::to_vec(&told).expect("what is told is plain data");
            several.store.set(&key, &told).map_err(|error| self.failed(error))?;
            return made;
        }
        let told = several.store.get(&key, several.place.timeout);
        let told = told.map_err(|error| self.failed(error))?;
        let told: Result<T, String> = serde_json::from_slice(&told)?;
        Ok(told.map_err(WorldError::First)?)
    }

    /// The bytes that `make` returns in the first process, in all of them.
    ///
    /// # Errors
    /// Those of `make`; a process that has gone.
    pub(crate) fn bytes_of_first(
        &self,
        make: impl FnOnce() -> anyhow::Result<Vec<u8>>,
    ) -> anyhow::Result<Vec<u8>> {
        if self.0.is_none() {
            return make();
        }
        let mut bytes = Vec::new();
        let n = self.told_by_first(|| {
            bytes = make()?;
            Ok(bytes.len())
        })?;
        bytes.resize(n, 0);
        let sent = Tensor::from_slice(&bytes);
        self.broadcast([&sent])?;
        sent.copy_data_u8(&mut bytes, n);
        Ok(bytes)
    }

    /// The checkpoint that `load` returns in the first process, in all of them.
    ///
    /// # Errors
    /// Those of `load`; a process that has gone.
    pub(crate) fn loaded<S: Serialize + DeserializeOwned>(
        &self,
        load: impl FnOnce() -> anyhow::Result<Option<Loaded<S>>>,
    ) -> anyhow::Result<Option<Loaded<S>>> {
        if self.0.is_none() {
            return load();
        }
        let mut tensors = [Tensors::new(), Tensors::new()];
        let state = self.told_by_first(|| {
            Ok(load()?.map(|Loaded { model, optim, state }| {
                tensors = [model, optim];
                state
            }))
        })?;
        let Some(state) = state else { return Ok(None) };
        let [model, optim] = tensors.map(|own| -> anyhow::Result<Tensors> {
            let bytes = self.bytes_of_first(|| {
                let mut own: Vec<_> = own.into_iter().collect();
                own.sort_by(|a, b| a.0.cmp(&b.0));
                Ok(to_safetensors(&own))
            })?;
            parse_safetensors(&bytes).map_err(anyhow::Error::msg)
        });
        Ok(Some(Loaded { model: model?, optim: optim?, state }))
    }

    /// Makes sure that all processes mean the same by `named` values.
    ///
    /// # Errors
    /// What differs, and where; a process that has gone.
    pub fn agree(&self, named: &[(&str, String)]) -> Result<(), WorldError> {
        let Some(several) = &self.0 else { return Ok(()) };
        let key = several.next("agree");
        let of = |rank: usize| format!("{key}/{rank}");
        let own = serde_json::to_vec(named).expect("names and texts are plain data");
        several.store.set(&of(self.rank()), &own).map_err(|error| self.failed(error))?;
        let read = |rank| -> Result<Vec<(String, String)>, WorldError> {
            let bytes = several.store.get(&of(rank), several.place.timeout);
            let bytes = bytes.map_err(|error| self.failed(error))?;
            Ok(serde_json::from_slice(&bytes).expect("what `agree` wrote"))
        };
        let first = read(0)?;
        for rank in 1..self.size() {
            let other = read(rank)?;
            let mut differences = String::new();
            for ((name, wanted), (_, found)) in first.iter().zip(&other) {
                if wanted != found {
                    let comma = if differences.is_empty() { "" } else { ", " };
                    write!(differences, "{comma}{name} ({wanted} → {found})")
                        .expect("writing to a String does not fail");
                }
            }
            if !differences.is_empty() {
                return Err(WorldError::Differ { rank, differences });
            }
        }
        Ok(())
    }

    /// Leaves word for the others why this process stops.
    pub(crate) fn leave_word(&self, error: &anyhow::Error) {
        if let Some(several) = &self.0 {
            // Best effort: whoever does not find it says that this process has gone.
            let said = crate::cli::chain(error);
            let _ = several.store.set(&word(self.rank()), said.as_bytes());
        }
    }

    /// What a failed call means: an interrupt, or a process that has gone, by its number.
    fn failed(&self, source: ShimError) -> WorldError {
        if let Err(stopped) = interrupt::check() {
            return stopped.into();
        }
        let several = self.0.as_ref().expect("a process that is alone sends nothing");
        WorldError::Lost { rank: self.rank(), who: several.who(), source }
    }
}

fn word(rank: usize) -> String {
    format!("word/{rank}")
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

impl Several {
    /// A key for what is told next.
    fn next(&self, what: &str) -> String {
        self.told.set(self.told.get() + 1);
        format!("{what}/{}", self.told.get())
    }

    /// Which processes have gone, in words.
    fn who(&self) -> String {
        let Place { rank, size, .. } = self.place;
        let Ok(silent) = watch::silent(&self.store, rank, size) else {
            return "process 0, or the torchrun that keeps the store, has gone".to_owned();
        };
        let said: Vec<String> = (0..size)
            .filter(|&other| other != rank)
            .filter_map(|other| {
                let has = self.store.has(&word(other)).unwrap_or(false);
                let word = has.then(|| self.store.get(&word(other), self.place.timeout).ok());
                match (word.flatten(), silent.contains(&other)) {
                    (Some(why), _) => {
                        Some(format!("process {other} stopped: {}", String::from_utf8_lossy(&why)))
                    }
                    (None, true) => {
                        Some(format!("process {other} has gone without a word (killed?)"))
                    }
                    (None, false) => None,
                }
            })
            .collect();
        if said.is_empty() {
            "all processes are alive, but one of them does not take part".to_owned()
        } else {
            said.join("; ")
        }
    }
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn shares_cover_everything_once() {
        for (n, size) in [(8, 2), (7, 3), (3, 3), (80, 7)] {
            let shares = (0..size).map(|rank| Share { rank, size }.of(n));
            let all: Vec<usize> = shares.flatten().collect();
            assert_eq!(all, (0..n).collect::<Vec<_>>());
        }
        let four = Share { rank: 0, size: 4 };
        assert!(four.divides("a batch", 8).is_ok() && four.divides("a batch", 6).is_err());
        assert!(four.reaches("the last batch", 0).is_ok() && four.reaches("it", 3).is_err());
    }

    #[test]
    fn the_greatest_common_divisor_is_that_of_euclid() {
        for (a, b, wanted) in [(8, 12, 4), (1, 5, 1), (6, 6, 6), (9, 4, 1)] {
            assert_eq!(gcd(a, b), wanted);
        }
    }
}
