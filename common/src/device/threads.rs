//! How many threads a process computes with.

use std::env;
use std::sync::Once;

use super::DeviceError;

/// How many threads libtorch shall compute with: `--threads`, else `OMP_NUM_THREADS`, else the
/// cores this process may use, divided by the processes on this machine (`LOCAL_WORLD_SIZE`).
///
/// # Errors
/// If one of these is not a whole number from 1.
pub fn threads(flag: Option<usize>) -> Result<usize, DeviceError> {
    if flag == Some(0) {
        return Err(not_a_number("--threads", "0", " from 1"));
    }
    if let Some(n) = flag {
        return Ok(n);
    }
    if let Some(n) = env_number("OMP_NUM_THREADS")? {
        return if n > 0 { Ok(n) } else { Err(not_a_number("OMP_NUM_THREADS", "0", " from 1")) };
    }
    let processes = env_number("LOCAL_WORLD_SIZE")?.unwrap_or(1).max(1);
    Ok((cores() / processes).max(1))
}

/// The cores that this process may use (its affinity and its control group's quota).
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, Into::into)
}

/// Sets libtorch to `n` threads inside an operation and one between operations. Call it before
/// the first tensor: libtorch starts its thread pools with the first parallel work.
pub fn configure_threads(n: usize) {
    static INTER_OP: Once = Once::new();
    if n > cores() {
        tracing::warn!(
            "{n} threads on {} core(s): OpenMP's waiting threads take the cores from the working \
             ones and training can get several times slower; use --threads {}",
            cores(),
            cores()
        );
    }
    INTER_OP.call_once(|| tch::set_num_interop_threads(1)); // libtorch allows it once
    tch::set_num_threads(n as i32);
}

/// The number in an environment variable; `None` if it is unset or empty.
pub(super) fn env_number(name: &'static str) -> Result<Option<usize>, DeviceError> {
    match env::var(name) {
        Ok(text) if !text.trim().is_empty() => {
            // OpenMP allows a list, one number per level of nesting.
            let first = text.split(',').next().unwrap_or_default().trim();
            first.parse().map(Some).map_err(|_| not_a_number(name, &text, ""))
        }
        _ => Ok(None),
    }
}

fn not_a_number(name: &'static str, value: &str, at_least: &'static str) -> DeviceError {
    DeviceError::NotANumber { name, value: value.to_owned(), at_least }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_threads_are_refused_and_a_flag_wins() {
        assert!(threads(Some(0)).is_err());
        assert_eq!(threads(Some(3)).unwrap(), 3);
    }
}
