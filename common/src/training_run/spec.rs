//! What a run is to be: everything that a process has to know to make it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::SystemTime;

use ledger::run::{Build, Existing, Host, RunKey, RunRecord, SCHEMA, Status, digest, hex};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tch::Device;

use crate::data::error::DataError;
use crate::data::lookup::Lookup;
use crate::data::sha256_file;
use crate::device::{self, DeviceChoice, Precision};
use crate::{grid, shim};

/// Everything a process needs to know to make one run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Spec {
    /// Where the run belongs.
    pub key: RunKey,
    /// The study's configuration of this run, and the data's hash.
    pub config: Value,
    /// The results folder.
    pub results: PathBuf,
    /// Where data sets are looked for; also names the cache.
    pub lookup: Lookup,
    /// The device.
    pub device: DeviceChoice,
    /// The precision of matrix products and convolutions.
    pub precision: Precision,
    /// Threads inside an operation.
    pub threads: usize,
    /// Processes that make the run together.
    pub world_size: usize,
    /// What to do with what the folder holds.
    pub existing: Existing,
    /// What the error for a half-done run tells the user to type.
    pub resume_command: String,
}

impl Spec {
    /// The study's configuration as the type that its training takes.
    ///
    /// # Errors
    /// When it is of another type.
    pub fn config<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        T::deserialize(&self.config)
    }

    /// The record of a run that has not begun.
    ///
    /// # Errors
    /// When the binary cannot read itself.
    pub fn record(&self, built_from: (&str, bool)) -> Result<RunRecord, DataError> {
        let mut config = self.config.clone();
        config["conditions"] = json!({
            "device": self.device.kind(), "precision": self.precision, "threads": self.threads,
            "world_size": self.world_size,
        });
        let gpu = match self.device.resolve() {
            Ok(Device::Cuda(index)) => shim::cuda_name(index).ok(),
            _ => None,
        };
        let info = device::DeviceInfo::new(Device::Cpu);
        Ok(RunRecord {
            schema: SCHEMA,
            key: self.key.clone(),
            status: Status::Running,
            digest: digest(&config),
            config,
            build: Build {
                commit: built_from.0.to_owned(),
                dirty: built_from.1,
                binary_sha256: binary_sha256()?.to_owned(),
                versions: versions(),
            },
            host: Host {
                system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
                cpu: info.name,
                cpu_capability: info.cpu_capability,
                cores: device::cores(),
                gpu,
            },
            started: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            elapsed_s: 0.0,
            peak_memory_bytes: 0,
            resumed: 0,
            inexact: false,
            metrics: BTreeMap::new(),
        })
    }

    /// Where this run's checkpoints lie: below the cache, apart for each results folder, since two
    /// clones of the project share a cache.
    pub fn checkpoints(&self) -> PathBuf {
        let results = std::path::absolute(&self.results).unwrap_or_else(|_| self.results.clone());
        let place = hex(&Sha256::digest(results.as_os_str().as_encoded_bytes())[..4]);
        self.lookup.cache.join("checkpoints").join(place).join(self.key.relative())
    }

    /// The run's folder.
    pub fn folder(&self) -> PathBuf {
        self.results.join(self.key.relative())
    }
}

fn versions() -> BTreeMap<String, String> {
    let own = (env!("CARGO_PKG_NAME").to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    BTreeMap::from([own, ("libtorch".to_owned(), shim::libtorch_version())])
}

/// sha256 of the running executable; read once.
fn binary_sha256() -> Result<&'static str, DataError> {
    static SUM: OnceLock<String> = OnceLock::new();
    if let Some(sum) = SUM.get() {
        return Ok(sum);
    }
    let path = grid::this_program().map_err(DataError::io(Path::new("/proc/self/exe"), "find"))?;
    let sum = sha256_file(&path)?;
    Ok(SUM.get_or_init(|| sum))
}
