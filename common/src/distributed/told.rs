//! What processes tell each other through the store: what only the first one does, whether all were started alike, and
//! why one stops.

use std::fmt::Write as _;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tch::Tensor;

use super::world::Several;
use super::{Place, World, WorldError, watch};
use crate::checkpoint::{Loaded, Tensors, parse_safetensors, to_safetensors};

impl World {
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
}

fn word(rank: usize) -> String {
    format!("word/{rank}")
}

impl Several {
    /// A key for what is told next.
    fn next(&self, what: &str) -> String {
        self.told.set(self.told.get() + 1);
        format!("{what}/{}", self.told.get())
    }

    /// Which processes have gone, in words.
    pub(super) fn who(&self) -> String {
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
