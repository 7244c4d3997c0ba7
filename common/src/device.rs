//! Device, threads and precision: from flags and environment to what libtorch is set to.

use std::env;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tch::{Cuda, Device, Tensor};

pub use precision::{Precision, cpu_has_bf16};
use threads::env_number;
pub use threads::{configure_threads, cores, threads};

use crate::shim::{self, ShimError};

mod precision;
mod threads;

/// A device, precision or number of threads that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// `--device` is none of those known.
    #[error("--device {0}: not a device; use auto, cpu, cuda or cuda:<index>, e.g. cuda:0")]
    UnknownDevice(String),
    /// `--precision` is none of those known.
    #[error("--precision {0}: not a precision; use fp32, tf32 or bf16")]
    UnknownPrecision(String),
    /// TF32 is a format of GPUs.
    #[error("--precision tf32: only GPUs compute in TF32; use fp32 or bf16 on the CPU")]
    Tf32OnCpu,
    /// More processes on this machine than GPUs.
    #[error(
        "process {local_rank} of this machine (LOCAL_RANK, from 0) has no GPU: there are {count}; start at most \
         {count} processes here (torchrun --nproc-per-node {count}), or use --device cpu"
    )]
    NoGpuForProcess {
        /// Which process of this machine.
        local_rank: usize,
        /// How many GPUs there are.
        count: usize,
    },
    /// No NVIDIA driver is loaded.
    #[error(
        "--device cuda: no NVIDIA driver on this machine (`nvidia-smi` would fail too); \
         install the driver, or use --device cpu"
    )]
    NoDriver,
    /// The installed libtorch lacks what its CUDA part needs.
    #[error(
        "--device cuda: there is a driver, but this libtorch was set up for the CPU only \
         ({0}); run `make setup` again on this machine, or use --device cpu"
    )]
    CpuOnlyLibtorch(#[source] ShimError),
    /// CUDA loads and finds no GPU.
    #[error(
        "--device cuda: libtorch finds no GPU (CUDA_VISIBLE_DEVICES is {visible}); \
         see `make doctor`, or use --device cpu"
    )]
    NoGpu {
        /// The variable's value, or `unset`.
        visible: String,
    },
    /// The index is beyond the last GPU.
    #[error("--device cuda:{index}: this machine has {count} GPU(s), the last is cuda:{}", count - 1)]
    NoSuchGpu {
        /// The index asked for.
        index: usize,
        /// How many there are.
        count: usize,
    },
    /// An environment variable or flag that should be a number is not.
    #[error("{name}={value}: want a whole number{at_least}; unset it or give one")]
    NotANumber {
        /// The variable or flag.
        name: &'static str,
        /// What it holds.
        value: String,
        /// A bound, if there is one.
        at_least: &'static str,
    },
}

/// What `--device` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum DeviceChoice {
    /// The GPU if one can be used, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// A GPU: the one given, else that of this process (`LOCAL_RANK`), else the first.
    Cuda(Option<usize>),
}

impl FromStr for DeviceChoice {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        let unknown = || DeviceError::UnknownDevice(text.to_owned());
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(None)),
            _ => {
                let index = text.strip_prefix("cuda:").ok_or_else(unknown)?;
                Ok(Self::Cuda(Some(index.parse().map_err(|_| unknown())?)))
            }
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => write!(out, "auto"),
            Self::Cpu => write!(out, "cpu"),
            Self::Cuda(None) => write!(out, "cuda"),
            Self::Cuda(Some(index)) => write!(out, "cuda:{index}"),
        }
    }
}

impl DeviceChoice {
    /// The choice of this device and no other.
    pub fn of(device: Device) -> Self {
        match device {
            Device::Cuda(index) => Self::Cuda(Some(index)),
            _ => Self::Cpu,
        }
    }

    /// `auto`, `cpu` or `cuda`: which GPU it is changes no number.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Cpu => "cpu",
            Self::Cuda(_) => "cuda",
        }
    }

    /// The device to train on.
    ///
    /// # Errors
    /// For `cuda`: what is missing. `auto` never fails: it says why and takes the CPU.
    pub fn resolve(self) -> Result<Device, DeviceError> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Cuda(index) => cuda_device(index),
            Self::Auto => Ok(cuda_device(None).unwrap_or_else(|why| {
                if !matches!(why, DeviceError::NoDriver) {
                    tracing::warn!("running on the CPU: {why}");
                }
                Device::Cpu
            })),
        }
    }
}

fn cuda_device(index: Option<usize>) -> Result<Device, DeviceError> {
    // Asked first, since opening libtorch's CUDA part takes a while.
    if !Path::new("/dev/nvidiactl").exists() && !Path::new("/dev/dxg").exists() {
        return Err(DeviceError::NoDriver);
    }
    shim::cuda_open().map_err(DeviceError::CpuOnlyLibtorch)?;
    let count = Cuda::device_count().max(0) as usize;
    if count == 0 {
        let visible = env::var("CUDA_VISIBLE_DEVICES").unwrap_or_else(|_| "unset".to_owned());
        return Err(DeviceError::NoGpu { visible });
    }
    let local_rank = match env_number("LOCAL_RANK")? {
        None => env_number("SLURM_LOCALID")?,
        found => found,
    };
    // Slurm may show each process its own GPU only.
    let local_rank = if count == 1 && slurm_shows_one() { Some(0) } else { local_rank };
    let index = match (index, local_rank) {
        (Some(index), _) if index >= count => return Err(DeviceError::NoSuchGpu { index, count }),
        (None, Some(local_rank)) if local_rank >= count => {
            return Err(DeviceError::NoGpuForProcess { local_rank, count });
        }
        (index, local_rank) => index.or(local_rank).unwrap_or(0),
    };
    Ok(Device::Cuda(index))
}

/// Whether `srun` gave this process one GPU and hides the others (`--gpus-per-task=1`).
fn slurm_shows_one() -> bool {
    env::var_os("SLURM_STEP_NUM_TASKS").is_some()
        && env::var("CUDA_VISIBLE_DEVICES").is_ok_and(|shown| !shown.contains(','))
}

/// A copy of `xs` on `device`. From the CPU to a GPU it goes through pinned memory, and nobody waits for it: what
/// is computed with it on the GPU comes behind it.
pub fn upload(xs: &Tensor, device: Device) -> Tensor {
    match (xs.device(), device) {
        (Device::Cpu, Device::Cuda(_)) => {
            xs.pin_memory(device).to_device_(device, xs.kind(), true, false)
        }
        _ => xs.to_device(device),
    }
}

/// What computed a run, for its `run.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceInfo {
    /// `cpu` or `cuda`.
    pub kind: String,
    /// The model of the processor or GPU.
    pub name: String,
    /// The instruction set of libtorch's CPU kernels.
    pub cpu_capability: String,
    /// Threads inside an operation.
    pub threads: usize,
}

impl DeviceInfo {
    /// Describes `device` as libtorch is set now.
    pub fn new(device: Device) -> Self {
        let (kind, name) = match device {
            Device::Cuda(index) => ("cuda", gpu_name(index)),
            _ => ("cpu", cpu_name()),
        };
        Self {
            kind: kind.to_owned(),
            name: name.unwrap_or_else(|| "unknown".to_owned()),
            cpu_capability: shim::cpu_capability(),
            threads: tch::get_num_threads().max(1) as usize,
        }
    }
}

fn cpu_name() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn gpu_name(index: usize) -> Option<String> {
    shim::cuda_name(index).ok()
}

/// The most memory this process has held so far, in bytes: resident memory (Linux), and of the
/// GPU what libtorch reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeakMemory {
    /// Resident memory; `None` where the system does not say.
    pub host: Option<u64>,
    /// GPU memory; `None` on the CPU.
    pub gpu: Option<u64>,
}

/// The most memory held so far.
pub fn peak_memory(device: Device) -> PeakMemory {
    let gpu = match device {
        Device::Cuda(index) => shim::cuda_peak_memory(index).ok().map(|(_, reserved)| reserved),
        _ => None,
    };
    PeakMemory { host: peak_resident(), gpu }
}

fn peak_resident() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_device_reads_back_as_it_is_written() {
        for text in ["auto", "cpu", "cuda", "cuda:0", "cuda:3"] {
            assert_eq!(text.parse::<DeviceChoice>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn an_unknown_device_lists_the_known_ones() {
        for text in ["gpu", "cuda:", "cuda:x", "CPU", "cuda:-1", ""] {
            let err = text.parse::<DeviceChoice>().unwrap_err().to_string();
            assert!(err.contains("auto, cpu, cuda"), "{text}: {err}");
        }
    }

    #[test]
    fn auto_finds_a_device_on_every_machine() {
        let device = DeviceChoice::Auto.resolve().unwrap();
        let info = DeviceInfo::new(device);
        assert_eq!(info.kind == "cuda", device.is_cuda());
        assert!(info.threads >= 1);
    }

    #[test]
    fn cuda_without_a_driver_says_so() {
        if Path::new("/dev/nvidiactl").exists() || Path::new("/dev/dxg").exists() {
            return;
        }
        let err = DeviceChoice::Cuda(None).resolve().unwrap_err();
        assert!(matches!(err, DeviceError::NoDriver));
        assert!(err.to_string().contains("driver"), "{err}");
    }

    #[test]
    fn peak_memory_is_at_least_what_a_tensor_took() {
        let xs = Tensor::ones([16 << 20], (tch::Kind::Float, Device::Cpu)); // 64 MiB
        assert!(peak_memory(Device::Cpu).host.unwrap() >= 64 << 20);
        drop(xs);
    }
}
