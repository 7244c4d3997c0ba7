//! Ctrl-C and SIGTERM: the first asks the training loop to write a checkpoint and end, the second
//! ends the process at once.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};

/// Asked to stop before the end; a checkpoint is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted {
    /// The exit code by convention: 128 and the signal's number.
    pub exit_code: u8,
}

struct State {
    signal: Arc<AtomicUsize>,
    armed: Arc<AtomicBool>,
}

fn state() -> &'static State {
    static STATE: OnceLock<State> = OnceLock::new();
    STATE.get_or_init(|| State {
        signal: Arc::new(AtomicUsize::new(0)),
        armed: Arc::new(AtomicBool::new(false)),
    })
}

/// Catches SIGINT and SIGTERM from here on. A write past the file-size limit becomes an error of
/// that write instead of the end of the process.
///
/// # Errors
/// When the system refuses a handler.
pub fn install() -> std::io::Result<()> {
    let State { signal, armed } = state();
    for number in [SIGINT, SIGTERM] {
        // The order matters: the second signal finds the flag that the first has set.
        let code = 128 + number;
        signal_hook::flag::register_conditional_shutdown(number, code, armed.clone())?;
        signal_hook::flag::register(number, armed.clone())?;
        signal_hook::flag::register_usize(number, signal.clone(), number as usize)?;
    }
    signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)))?;
    Ok(())
}

/// Asks as SIGTERM does; for a process whose parent has gone.
pub fn request() {
    let _ =
        state().signal.compare_exchange(0, SIGTERM as usize, Ordering::SeqCst, Ordering::SeqCst);
}

/// Whether the process was asked to stop.
///
/// # Errors
/// [`Interrupted`] when it was, so that a loop can use `?`.
pub fn check() -> Result<(), Interrupted> {
    match state().signal.load(Ordering::SeqCst) {
        0 => Ok(()),
        signal => Err(Interrupted { exit_code: (128 + signal) as u8 }),
    }
}

/// The interrupt that an error comes from, where it comes from one.
pub fn cause(error: &anyhow::Error) -> Option<Interrupted> {
    error.chain().find_map(|cause| cause.downcast_ref::<Interrupted>()).copied()
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn an_interrupt_is_found_below_what_was_said_about_it() {
        #[derive(Debug, thiserror::Error)]
        #[error("{0} while fitting")]
        struct Fit(#[source] Interrupted);
        let stopped = Interrupted { exit_code: 130 };
        let error = Err::<(), _>(Fit(stopped)).context("probes").unwrap_err();
        assert_eq!(cause(&error), Some(stopped));
        assert_eq!(cause(&anyhow::anyhow!("interrupted")), None);
    }
}
