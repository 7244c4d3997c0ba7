//! A multi-threaded loader: batches are made ahead of time by a few threads and handed over in the
//! order of steps, whatever the number of threads.

use std::any::Any;
use std::collections::BTreeMap;
use std::error::Error;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Why a batch could not be made.
#[derive(Debug, thiserror::Error)]
pub enum LoaderError {
    /// Making it failed.
    #[error("batch of step {step}: {source}")]
    Failed {
        /// The step the batch was for.
        step: u64,
        /// What was wrong.
        source: Box<dyn Error + Send + Sync>,
    },
    /// Making it panicked: a defect of this program.
    #[error("batch of step {step}: loader worker {worker} panicked: {message}")]
    Panicked {
        /// The step the batch was for.
        step: u64,
        /// Which thread.
        worker: usize,
        /// What the panic said.
        message: String,
    },
}

/// Hands over `make(step)` for each step of a range, in order, made ahead by worker threads.
///
/// At most `ahead` batches are finished or in the making beside the one the consumer holds. After an
/// error nothing follows. Dropping the loader stops the workers and waits for them.
pub struct Loader<B> {
    shared: Arc<Shared<B>>,
    workers: Vec<JoinHandle<()>>,
    waited: Duration,
}

struct Shared<B> {
    state: Mutex<State<B>>,
    /// Signalled when a batch is finished.
    finished: Condvar,
    /// Signalled when a worker may start another batch, or must stop.
    room: Condvar,
    end: u64,
    ahead: u64,
}

struct State<B> {
    /// The next step a worker takes.
    claim: u64,
    /// The next step the consumer gets.
    next: u64,
    done: BTreeMap<u64, Result<B, LoaderError>>,
    stop: bool,
}

impl<B> Shared<B> {
    fn lock(&self) -> MutexGuard<'_, State<B>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a step to work on; `None` when there is nothing more to do.
    fn claim(&self) -> Option<u64> {
        let may_not =
            |s: &mut State<B>| !s.stop && s.claim < self.end && s.claim - s.next >= self.ahead;
        let mut state =
            self.room.wait_while(self.lock(), may_not).unwrap_or_else(PoisonError::into_inner);
        if state.stop || state.claim >= self.end {
            return None;
        }
        state.claim += 1;
        Some(state.claim - 1)
    }
}

impl<B: Send + 'static> Loader<B> {
    /// Starts `workers` threads (at least one) on the batches of `steps`, at most `ahead` (at least
    /// one) in front of the consumer. `make` must depend on the step alone.
    ///
    /// # Panics
    /// If the system refuses to start a thread.
    pub fn new<E: Into<Box<dyn Error + Send + Sync>>>(
        steps: Range<u64>,
        workers: usize,
        ahead: usize,
        make: impl Fn(u64) -> Result<B, E> + Send + Sync + 'static,
    ) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                claim: steps.start,
                next: steps.start,
                done: BTreeMap::new(),
                stop: false,
            }),
            finished: Condvar::new(),
            room: Condvar::new(),
            end: steps.end,
            ahead: ahead.max(1) as u64,
        });
        let make = Arc::new(make);
        let workers = (0..workers.max(1))
            .map(|worker| {
                let (shared, make) = (Arc::clone(&shared), Arc::clone(&make));
                std::thread::Builder::new()
                    .name(format!("loader-{worker}"))
                    .spawn(move || work(&shared, worker, &*make))
                    .expect("the system starts a thread")
            })
            .collect();
        Self { shared, workers, waited: Duration::ZERO }
    }
}

impl<B> Loader<B> {
    /// How long the consumer has waited for batches so far.
    pub fn waited(&self) -> Duration {
        self.waited
    }
}

fn work<B, E: Into<Box<dyn Error + Send + Sync>>>(
    shared: &Shared<B>,
    worker: usize,
    make: &(impl Fn(u64) -> Result<B, E> + ?Sized),
) {
    while let Some(step) = shared.claim() {
        let result = match catch_unwind(AssertUnwindSafe(|| make(step))) {
            Ok(made) => made.map_err(|e| LoaderError::Failed { step, source: e.into() }),
            Err(panic) => {
                Err(LoaderError::Panicked { step, worker, message: panic_message(&*panic) })
            }
        };
        shared.lock().done.insert(step, result);
        shared.finished.notify_one();
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|s| (*s).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

impl<B> Iterator for Loader<B> {
    type Item = Result<B, LoaderError>;

    fn next(&mut self) -> Option<Self::Item> {
        let start = Instant::now();
        let mut state = self.shared.lock();
        if state.stop || state.next >= self.shared.end {
            return None;
        }
        let missing = |s: &mut State<B>| !s.done.contains_key(&s.next);
        state =
            self.shared.finished.wait_while(state, missing).unwrap_or_else(PoisonError::into_inner);
        let step = state.next;
        let batch = state.done.remove(&step).expect("waited until it was there");
        state.next += 1;
        state.stop = batch.is_err();
        drop(state);
        self.shared.room.notify_all();
        self.waited += start.elapsed();
        Some(batch)
    }
}

impl<B> Drop for Loader<B> {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.room.notify_all();
        for worker in self.workers.drain(..) {
            // A worker's panic was caught and handed over as an error.
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use rand_chacha::rand_core::Rng;

    use super::*;
    use crate::data::sampler::{LastBatch, Sampler, sample_rng};

    /// Batches of augmented items, slower at some steps than at others.
    fn batches(workers: usize, ahead: usize) -> Vec<Vec<(u32, u64)>> {
        let sampler = Sampler::new(3, 50, 8, LastBatch::Keep);
        let loader = Loader::new(5..40, workers, ahead, move |step| {
            std::thread::sleep(Duration::from_micros(step * 7 % 5 * 300));
            let batch = sampler.batch_of(step);
            let draw = |i: &u32| (*i, sample_rng(3, batch.epoch, u64::from(*i)).next_u64());
            Ok::<_, Infallible>(batch.indices.iter().map(draw).collect())
        });
        loader.map(Result::unwrap).collect()
    }

    #[test]
    fn batches_do_not_depend_on_the_number_of_workers() {
        let one = batches(1, 1);
        assert_eq!(one.len(), 35);
        for (workers, ahead) in [(2, 2), (5, 3), (5, 16)] {
            assert_eq!(batches(workers, ahead), one, "{workers} workers, {ahead} ahead");
        }
    }

    /// Counts how many of itself are alive.
    struct Live(Arc<AtomicUsize>);

    impl Drop for Live {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_slow_consumer_never_has_more_than_ahead_batches_waiting() {
        for (workers, ahead) in [(1, 1), (4, 3), (2, 8)] {
            let (live, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let (live2, most2) = (Arc::clone(&live), Arc::clone(&most));
            let loader = Loader::new(0..40, workers, ahead, move |_| {
                let now = live2.fetch_add(1, Ordering::SeqCst) + 1;
                most2.fetch_max(now, Ordering::SeqCst);
                Ok::<_, Infallible>(Live(Arc::clone(&live2)))
            });
            for batch in loader {
                std::thread::sleep(Duration::from_millis(1));
                drop(batch);
            }
            let most = most.load(Ordering::SeqCst);
            assert!(most <= ahead + 1, "{most} alive with {ahead} ahead and one held");
            assert!(most >= ahead.min(2), "the loader did not work ahead: {most} of {ahead}");
            assert_eq!(live.load(Ordering::SeqCst), 0);
        }
    }

    #[test]
    fn dropping_a_loader_early_stops_its_workers() {
        let made = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&made);
        let mut loader = Loader::new(0..u64::MAX, 3, 4, move |step| {
            counter.fetch_add(1, Ordering::SeqCst);
            Ok::<_, Infallible>(step)
        });
        assert_eq!(loader.next().unwrap().unwrap(), 0);
        drop(loader);
        let after = made.load(Ordering::SeqCst);
        assert!(after <= 5, "{after} batches made, 1 taken, 4 ahead");
        assert_eq!(Arc::strong_count(&made), 1, "a worker is still alive");
    }

    #[test]
    fn a_panic_and_an_error_name_the_step_and_end_the_batches() {
        let mut loader = Loader::new(0..10, 2, 4, |step| {
            assert!(step != 2, "step two is cursed");
            Ok::<_, Infallible>(step)
        });
        assert_eq!(loader.next().unwrap().unwrap(), 0);
        assert_eq!(loader.next().unwrap().unwrap(), 1);
        let error = loader.next().unwrap().unwrap_err().to_string();
        assert!(error.contains("step 2") && error.contains("cursed"), "{error}");
        assert!(error.contains("loader worker "), "{error}");
        assert!(loader.next().is_none());

        let mut loader = Loader::new(7..9, 1, 1, |_| Err::<u8, _>("no such picture"));
        let error = loader.next().unwrap().unwrap_err().to_string();
        assert_eq!(error, "batch of step 7: no such picture");
        assert!(loader.next().is_none());
    }

    #[test]
    fn waiting_for_a_slow_worker_is_counted() {
        let mut loader = Loader::new(0..3, 1, 1, |step| {
            std::thread::sleep(Duration::from_millis(20));
            Ok::<_, Infallible>(step)
        });
        while loader.next().is_some() {}
        assert!(loader.waited() >= Duration::from_millis(50), "waited {:?}", loader.waited());
    }
}
