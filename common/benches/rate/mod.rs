//! How fast something repeats.

use std::time::Instant;

/// How often `f` runs in a second, over at least `seconds`, after half as many to warm up.
pub(crate) fn rate(seconds: f64, mut f: impl FnMut()) -> f64 {
    let warm_up = Instant::now();
    while warm_up.elapsed().as_secs_f64() < seconds / 2.0 {
        f();
    }
    let (begun, mut n) = (Instant::now(), 0);
    loop {
        f();
        n += 1;
        let elapsed = begun.elapsed().as_secs_f64();
        if elapsed > seconds {
            return f64::from(n) / elapsed;
        }
    }
}
