//! `--precision`, and what a preset's precision becomes on this machine.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tch::{Device, Kind};

use super::DeviceError;
use crate::shim;

/// What `--precision` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Everything in 32-bit floats.
    #[default]
    Fp32,
    /// 32-bit floats whose products a GPU rounds to 10 bits of mantissa (TF32): several times as fast.
    Tf32,
    /// Matrix products and convolutions in bfloat16 by autocast; parameters, optimiser state and
    /// sums stay in 32-bit floats.
    Bf16,
}

impl FromStr for Precision {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        match text {
            "fp32" => Ok(Self::Fp32),
            "tf32" => Ok(Self::Tf32),
            "bf16" => Ok(Self::Bf16),
            _ => Err(DeviceError::UnknownPrecision(text.to_owned())),
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Fp32 => "fp32",
            Self::Tf32 => "tf32",
            Self::Bf16 => "bf16",
        })
    }
}

impl Precision {
    /// Sets libtorch up for this precision on `device`.
    ///
    /// # Errors
    /// TF32 without a GPU.
    pub fn prepare(self, device: Device) -> Result<(), DeviceError> {
        if !device.is_cuda() {
            return if self == Self::Tf32 { Err(DeviceError::Tf32OnCpu) } else { Ok(()) };
        }
        // What a product computes is the run's choice, not libtorch's default.
        shim::set_tf32(self == Self::Tf32).map_err(DeviceError::CpuOnlyLibtorch)
    }

    /// What a preset's precision is computed in where nobody asked for it: fp32 stands in for bf16 on a processor
    /// without instructions for it, which takes forty times as long over the same products (libtorch 2.13 on an AMD EPYC with AVX2).
    #[must_use]
    pub fn of_preset(self, device: Device) -> Self {
        if self == Self::Bf16 && !device.is_cuda() && !cpu_has_bf16() { Self::Fp32 } else { self }
    }

    /// Autocast for the forward pass and the loss, for as long as the guard lives.
    pub fn autocast(self, device: Device) -> shim::Autocast {
        let kind = match self {
            Self::Fp32 | Self::Tf32 => None,
            Self::Bf16 => Some(Kind::BFloat16),
        };
        shim::Autocast::new(device, kind)
    }
}

/// Whether this processor multiplies matrices of bf16 with instructions of its own.
pub fn cpu_has_bf16() -> bool {
    #[cfg(target_arch = "x86_64")]
    let found = std::arch::is_x86_feature_detected!("avx512bf16");
    #[cfg(target_arch = "aarch64")]
    let found = std::arch::is_aarch64_feature_detected!("bf16");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let found = false;
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_precision_lists_the_known_ones() {
        let err = "fp16".parse::<Precision>().unwrap_err().to_string();
        assert!(err.contains("fp16") && err.contains("fp32, tf32 or bf16"), "{err}");
    }

    #[test]
    fn a_preset_s_bf16_is_computed_in_where_it_is_fast_and_nothing_else_is_changed() {
        let wanted = if cpu_has_bf16() { Precision::Bf16 } else { Precision::Fp32 };
        assert_eq!(Precision::Bf16.of_preset(Device::Cpu), wanted);
        assert_eq!(Precision::Bf16.of_preset(Device::Cuda(0)), Precision::Bf16);
        assert_eq!(Precision::Fp32.of_preset(Device::Cpu), Precision::Fp32);
        if cfg!(target_os = "linux") && cfg!(target_arch = "x86_64") {
            // The kernel's word for it, where there is one.
            let known = std::fs::read_to_string("/proc/cpuinfo").unwrap();
            assert_eq!(cpu_has_bf16(), known.split_whitespace().any(|flag| flag == "avx512_bf16"));
        }
    }

    #[test]
    fn tf32_is_for_gpus() {
        let err = Precision::Tf32.prepare(Device::Cpu).unwrap_err().to_string();
        assert!(err.contains("--precision tf32: only GPUs"), "{err}");
        assert!(Precision::Bf16.prepare(Device::Cpu).is_ok());
    }
}
