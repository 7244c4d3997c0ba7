//! Signs of life: each process counts in the store, so that others can say which one has gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::shim::ShimError;
use crate::shim::distributed::Store;

/// How often a process shows that it is alive.
const BEAT: Duration = Duration::from_millis(500);
/// Longer without a sign is not alive, once something has failed.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often a process looks at the others' signs while nothing has failed.
const LOOK: Duration = Duration::from_secs(5);

fn key(rank: usize) -> String {
    format!("alive/{rank}")
}

/// Counts for this process as long as it lives, in a thread of its own, and ends the process when another has been
/// silent for too long: a GPU would wait for it without end.
#[derive(Debug)]
pub(super) struct Watch {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    pub(super) fn start(store: Store, rank: usize, size: usize, timeout: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let stop = Arc::clone(&stop);
            move || {
                let Some(why) = watch(&store, rank, size, timeout, &stop) else { return };
                tracing::error!("{why}");
                eprintln!("error: {why}");
                // The main thread waits inside libtorch, which no destructor can end.
                signal_hook::low_level::exit(1);
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

/// Counts until `stop`; returns why the process cannot go on.
fn watch(
    store: &Store,
    rank: usize,
    size: usize,
    timeout: Duration,
    stop: &AtomicBool,
) -> Option<String> {
    let mut seen = vec![(0, Instant::now()); size];
    let mut looked = Instant::now();
    while !stop.load(Ordering::SeqCst) {
        let due = looked.elapsed() >= LOOK.min(timeout);
        if due {
            looked = Instant::now();
        }
        let counted = (0..size).filter(|&r| r == rank || due).try_for_each(|r| {
            let now = store.add(&key(r), i64::from(r == rank))?;
            if now != seen[r].0 {
                seen[r] = (now, Instant::now());
            }
            Ok::<_, ShimError>(())
        });
        if counted.is_err() {
            // At the end of a job the process that keeps the store may be the first to leave.
            let gone = Instant::now();
            while gone.elapsed() < 2 * PATIENCE {
                if stop.load(Ordering::SeqCst) {
                    return None;
                }
                std::thread::park_timeout(BEAT);
            }
            return Some(format!(
                "process {rank}: the store where the processes meet has gone, and with it process 0 or torchrun"
            ));
        }
        let silent = seen.iter().position(|(_, since)| since.elapsed() > timeout + LOOK);
        if let Some(silent) = silent {
            return Some(format!(
                "process {rank}: no sign of life from process {silent} for {} s",
                timeout.as_secs()
            ));
        }
        std::thread::park_timeout(BEAT);
    }
    None
}

/// The processes that show no sign of life, found in a few seconds.
pub(super) fn silent(store: &Store, rank: usize, size: usize) -> Result<Vec<usize>, ShimError> {
    let counts =
        || -> Result<Vec<i64>, ShimError> { (0..size).map(|r| store.add(&key(r), 0)).collect() };
    let before = counts()?;
    std::thread::sleep(PATIENCE);
    let after = counts()?;
    Ok((0..size).filter(|&r| r != rank && before[r] == after[r]).collect())
}
