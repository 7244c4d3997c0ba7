//! What the programs of `benches/` share: how often something repeats, and how fast this machine multiplies matrices.

use std::time::Instant;

use clap::Args;
use tch::{Device, Kind, Tensor};

use crate::device::{Precision, configure_threads};
use crate::shim;

/// Rows and columns of the matrices by which the machine's rate is measured: large enough that only products count.
const SIDE: i64 = 1024;

/// What every program that times a training step is asked.
#[derive(Debug, Args)]
pub struct Timed {
    /// `fp32` or `bf16`
    #[arg(long, default_value = "fp32")]
    precision: Precision,
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Seconds to time each part, after half as many to warm up
    #[arg(long, default_value_t = 2.0)]
    pub seconds: f64,
    /// `cargo bench` passes this
    #[arg(long, hide = true)]
    bench: bool,
}

impl Timed {
    /// Takes threads and memory as a training does; the precision to compute in.
    pub fn begin(&self) -> Precision {
        configure_threads(self.threads);
        shim::keep_memory();
        self.precision
    }
}

/// How often `f` runs in a second, over at least `seconds`, after half as many to warm up.
///
/// # Errors
/// What `f` says.
pub fn rate<E>(seconds: f64, mut f: impl FnMut() -> Result<(), E>) -> Result<f64, E> {
    let warm_up = Instant::now();
    while warm_up.elapsed().as_secs_f64() < seconds / 2.0 {
        f()?;
    }
    let (begun, mut n) = (Instant::now(), 0);
    loop {
        f()?;
        n += 1;
        let elapsed = begun.elapsed().as_secs_f64();
        if elapsed > seconds {
            return Ok(f64::from(n) / elapsed);
        }
    }
}

/// Operations per second, two a multiply-add, of libtorch's product of two square matrices.
///
/// # Errors
/// libtorch's.
pub fn gemm_flops_per_s(seconds: f64, precision: Precision) -> Result<f64, tch::TchError> {
    let kind = if precision == Precision::Bf16 { Kind::BFloat16 } else { Kind::Float };
    let [a, b] = [(); 2].map(|()| Tensor::randn([SIDE, SIDE], (kind, Device::Cpu)));
    let products_per_s = rate(seconds, || a.f_mm(&b).map(drop))?;
    Ok(products_per_s * 2.0 * (SIDE as f64).powi(3))
}

/// The share of that rate at which something trains that takes `multiply_adds` forwards and repeats `per_s` times a
/// second: backwards takes twice as many.
///
/// # Errors
/// As [`gemm_flops_per_s`].
pub fn share_of_gemm(
    per_s: f64,
    multiply_adds: i64,
    seconds: f64,
    precision: Precision,
) -> Result<f64, tch::TchError> {
    Ok(per_s * 6.0 * multiply_adds as f64 / gemm_flops_per_s(seconds, precision)?)
}
