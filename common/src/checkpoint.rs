//! Checkpoints: model, optimiser and loop state, written whole or not at all.
//!
//! A checkpoint is a folder `step-<n>` with `model.safetensors`, `optim.safetensors` and
//! `state.json`. It is written under a temporary name, synced and renamed; `LATEST` then names it.
//! The last two and the best are kept. The tensors open in PyTorch with `safetensors.torch`.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use ledger::run::{WRITING, hex, write_atomic};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tch::{Device, Kind, Tensor, nn};

const MODEL: &str = "model.safetensors";
const OPTIM: &str = "optim.safetensors";
const STATE: &str = "state.json";
const LATEST: &str = "LATEST";
const BEST: &str = "BEST";
const KEPT: usize = 2;

/// A checkpoint that cannot be written, read or used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// A file could not be written or read.
    #[error("{path}: {source}; the checkpoint before it is untouched")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is not what was written.
    #[error("{path}: damaged ({what}); delete {} to go on from the one before", path.parent().unwrap_or(path).display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// The tensors are those of another model.
    #[error(
        "{what}: a checkpoint of another model: {why}; delete that folder to go on from the one before, or \
         start the run over with --overwrite"
    )]
    OtherModel {
        /// Whose tensors, e.g. the file.
        what: String,
        /// Which tensor is missing, left over, or of another shape.
        why: String,
    },
    /// libtorch refused an operation.
    #[error("{0}")]
    Torch(#[from] tch::TchError),
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> CheckpointError + '_ {
    |source| CheckpointError::Io { path: path.to_owned(), source }
}

/// Tensors by name.
pub type Tensors = HashMap<String, Tensor>;

/// What a checkpoint held.
#[derive(Debug)]
pub struct Loaded<S> {
    /// The model's variables.
    pub model: Tensors,
    /// The optimiser's buffers.
    pub optim: Tensors,
    /// The loop's own state.
    pub state: S,
}

#[derive(Serialize, Deserialize)]
struct StateFile<S> {
    /// sha256 of each tensor file.
    sha256: BTreeMap<String, String>,
    state: S,
}

/// The checkpoints of one run.
#[derive(Debug, Clone)]
pub struct Store {
    folder: PathBuf,
}

impl Store {
    /// The store in `folder`, which need not exist.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Where the checkpoints lie.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Removes every checkpoint.
    ///
    /// # Errors
    /// When a file cannot be removed.
    pub fn clear(&self) -> Result<(), CheckpointError> {
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(io_error(&self.folder)(error))
            }
            _ => Ok(()),
        }
    }

    /// Writes the checkpoint of `step`, then forgets all but the last two and the best.
    ///
    /// # Errors
    /// When a file cannot be written, e.g. because the disk is full; earlier checkpoints are then
    /// untouched.
    pub fn save<S: Serialize>(
        &self,
        step: u64,
        model: &[(String, Tensor)],
        optim: &[(String, Tensor)],
        state: &S,
        best: bool,
    ) -> Result<(), CheckpointError> {
        fs::create_dir_all(&self.folder).map_err(io_error(&self.folder))?;
        let writing = tempfile::Builder::new()
            .prefix(WRITING)
            .tempdir_in(&self.folder)
            .map_err(io_error(&self.folder))?;
        let mut sha256 = BTreeMap::new();
        for (name, tensors) in [(MODEL, model), (OPTIM, optim)] {
            let bytes = to_safetensors(tensors);
            sha256.insert(name.to_owned(), hex(&Sha256::digest(&bytes)));
            write_synced(&writing.path().join(name), &bytes)?;
        }
        let state = serde_json::to_vec_pretty(&StateFile { sha256, state })
            .expect("the loop's state is plain data");
        write_synced(&writing.path().join(STATE), &state)?;

        let name = step_name(step);
        let folder = self.folder.join(&name);
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(io_error(&folder))?;
        }
        let written = writing.keep();
        fs::rename(&written, &folder).map_err(io_error(&folder))?;
        sync_folder(&self.folder)?;
        self.point(LATEST, &name)?;
        if best {
            self.point(BEST, &name)?;
        }
        self.prune()
    }

    /// The last whole checkpoint, its tensors on the CPU; `None` where there is none.
    ///
    /// # Errors
    /// When a file cannot be read or its sum does not match.
    pub fn load<S: DeserializeOwned>(&self) -> Result<Option<Loaded<S>>, CheckpointError> {
        match self.steps()?.last() {
            None => Ok(None),
            Some(step) => read_checkpoint(&self.folder.join(step_name(*step))).map(Some),
        }
    }

    fn point(&self, pointer: &str, name: &str) -> Result<(), CheckpointError> {
        let path = self.folder.join(pointer);
        write_atomic(&path, format!("{name}\n").as_bytes()).map_err(|error| match error {
            ledger::run::RunError::Io { path, source } => CheckpointError::Io { path, source },
            other => CheckpointError::Io { path, source: io::Error::other(other.to_string()) },
        })
    }

    /// The steps that have a checkpoint, ascending. A folder is only ever renamed into place
    /// whole, so its name is enough.
    fn steps(&self) -> Result<Vec<u64>, CheckpointError> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(io_error(&self.folder))?,
        };
        let mut steps = Vec::new();
        for entry in entries {
            let name = entry.map_err(io_error(&self.folder))?.file_name();
            let step = name.to_string_lossy().strip_prefix("step-").map(str::parse::<u64>);
            steps.extend(step.and_then(Result::ok));
        }
        steps.sort_unstable();
        Ok(steps)
    }

    fn prune(&self) -> Result<(), CheckpointError> {
        let best = fs::read_to_string(self.folder.join(BEST)).unwrap_or_default();
        let steps = self.steps()?;
        for step in &steps[..steps.len().saturating_sub(KEPT)] {
            let name = step_name(*step);
            if name != best.trim() {
                let folder = self.folder.join(name);
                fs::remove_dir_all(&folder).map_err(io_error(&folder))?;
            }
        }
        // What a killed process left behind.
        for entry in fs::read_dir(&self.folder).map_err(io_error(&self.folder))? {
            let path = entry.map_err(io_error(&self.folder))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(WRITING) && path.is_dir() {
                fs::remove_dir_all(&path).map_err(io_error(&path))?;
            }
        }
        Ok(())
    }
}

fn step_name(step: u64) -> String {
    format!("step-{step}")
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), CheckpointError> {
    let mut file = File::create(path).map_err(io_error(path))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(io_error(path))
}

fn sync_folder(folder: &Path) -> Result<(), CheckpointError> {
    File::open(folder).and_then(|file| file.sync_all()).map_err(io_error(folder))
}

fn read_checkpoint<S: DeserializeOwned>(folder: &Path) -> Result<Loaded<S>, CheckpointError> {
    let path = folder.join(STATE);
    let damaged = |path: &Path, what: String| CheckpointError::Damaged { path: path.into(), what };
    // A checkpoint is renamed into place whole, so a file that cannot be read was lost since.
    let bytes_of = |path: &Path| fs::read(path).map_err(|error| damaged(path, error.to_string()));
    let text = bytes_of(&path)?;
    let file: StateFile<S> =
        serde_json::from_slice(&text).map_err(|error| damaged(&path, error.to_string()))?;
    let read = |name: &str| {
        let path = folder.join(name);
        let bytes = bytes_of(&path)?;
        let found = hex(&Sha256::digest(&bytes));
        match file.sha256.get(name) {
            Some(wanted) if *wanted == found => from_safetensors(&path, &bytes),
            wanted => Err(damaged(
                &path,
                format!("sha256 {found}, wanted {}", wanted.map_or("none", String::as_str)),
            )),
        }
    };
    Ok(Loaded { model: read(MODEL)?, optim: read(OPTIM)?, state: file.state })
}

/// Tensors by name from a safetensors file, on the CPU.
///
/// # Errors
/// When the file cannot be read or is damaged.
pub fn read_safetensors(path: &Path) -> Result<Tensors, CheckpointError> {
    from_safetensors(path, &fs::read(path).map_err(io_error(path))?)
}

/// Writes tensors as a safetensors file, whole or not at all.
///
/// # Errors
/// When the file cannot be written.
pub fn write_safetensors(
    path: &Path,
    tensors: &[(String, Tensor)],
) -> Result<(), ledger::run::RunError> {
    write_atomic(path, &to_safetensors(tensors))
}

pub(crate) fn to_safetensors(tensors: &[(String, Tensor)]) -> Vec<u8> {
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, tensor)| {
            let tensor = tensor.detach().to_device(Device::Cpu).contiguous();
            let mut bytes = vec![0; tensor.numel() * tensor.kind().elt_size_in_bytes()];
            tensor.copy_data_u8(&mut bytes, tensor.numel());
            bytes
        })
        .collect();
    let views = tensors.iter().zip(&bytes).map(|((name, tensor), bytes)| {
        let shape = tensor.size().iter().map(|&size| size as usize).collect();
        let view = TensorView::new(dtype(tensor.kind()), shape, bytes)
            .expect("the bytes are the tensor's own");
        (name.as_str(), view)
    });
    safetensors::serialize(views, None).expect("the tensors' names are unique")
}

fn from_safetensors(path: &Path, bytes: &[u8]) -> Result<Tensors, CheckpointError> {
    parse_safetensors(bytes).map_err(|what| CheckpointError::Damaged { path: path.into(), what })
}

/// Tensors by name from the bytes of a safetensors file, on the CPU; else what is wrong with them.
pub(crate) fn parse_safetensors(bytes: &[u8]) -> Result<Tensors, String> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
    let mut tensors = Tensors::new();
    for (name, view) in file.tensors() {
        let kind = kind(view.dtype())
            .ok_or_else(|| format!("tensor {name} is of kind {:?}", view.dtype()))?;
        let shape: Vec<i64> = view.shape().iter().map(|&size| size as i64).collect();
        let tensor = Tensor::f_from_data_size(view.data(), &shape, kind)
            .map_err(|error| format!("tensor {name}: {error}"))?;
        tensors.insert(name, tensor);
    }
    Ok(tensors)
}

const KINDS: [(Kind, Dtype); 8] = [
    (Kind::Double, Dtype::F64),
    (Kind::Float, Dtype::F32),
    (Kind::BFloat16, Dtype::BF16),
    (Kind::Half, Dtype::F16),
    (Kind::Int64, Dtype::I64),
    (Kind::Int, Dtype::I32),
    (Kind::Uint8, Dtype::U8),
    (Kind::Int8, Dtype::I8),
];

fn dtype(kind: Kind) -> Dtype {
    let pair = KINDS.iter().find(|pair| pair.0 == kind);
    pair.expect("parameters and buffers are of a storable kind").1
}

fn kind(dtype: Dtype) -> Option<Kind> {
    KINDS.iter().find(|pair| pair.1 == dtype).map(|pair| pair.0)
}

/// The variables of `vs` by name, sorted.
pub fn variables(vs: &nn::VarStore) -> Vec<(String, Tensor)> {
    let mut variables: Vec<_> = vs.variables().into_iter().collect();
    variables.sort_by(|a, b| a.0.cmp(&b.0));
    variables
}

/// Copies `tensors` into the variables of `vs`; `what` names their origin in the error.
///
/// # Errors
/// When a tensor is missing, left over, or of another shape.
pub fn restore_variables(
    vs: &nn::VarStore,
    tensors: &Tensors,
    what: &str,
) -> Result<(), CheckpointError> {
    let other = |why: String| CheckpointError::OtherModel { what: what.into(), why };
    let variables = variables(vs);
    for (name, variable) in &variables {
        let Some(tensor) = tensors.get(name) else {
            return Err(other(format!("it lacks {name} {:?}", variable.size())));
        };
        if tensor.size() != variable.size() {
            let (found, wanted) = (tensor.size(), variable.size());
            return Err(other(format!("{name} is {found:?}, wanted {wanted:?}")));
        }
    }
    let known: std::collections::HashSet<_> = variables.iter().map(|(name, _)| name).collect();
    let mut left_over: Vec<_> = tensors.keys().filter(|name| !known.contains(name)).collect();
    left_over.sort();
    if let Some(name) = left_over.first() {
        return Err(other(format!("it holds {name}, which this model does not have")));
    }
    for (name, mut variable) in variables {
        tch::no_grad(|| variable.f_copy_(&tensors[&name]))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensors(value: f64) -> Vec<(String, Tensor)> {
        let full = Tensor::full([2, 3], value, (Kind::Float, Device::Cpu));
        let bf16 = Tensor::arange(5, (Kind::Float, Device::Cpu)).to_kind(Kind::BFloat16);
        vec![("conv1.weight".into(), full), ("half".into(), bf16)]
    }

    fn store() -> (tempfile::TempDir, Store) {
        let root = tempfile::tempdir().unwrap();
        let store = Store::new(root.path().join("run"));
        (root, store)
    }

    fn save(store: &Store, step: u64, best: bool) {
        store.save(step, &tensors(step as f64), &tensors(-1.0), &step, best).unwrap();
    }

    fn names(store: &Store) -> Vec<String> {
        let entries = fs::read_dir(store.folder()).unwrap();
        let mut names: Vec<_> =
            entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_was_saved_is_loaded_bit_for_bit() {
        let (_root, store) = store();
        assert!(store.load::<u64>().unwrap().is_none());
        save(&store, 7, false);
        let loaded = store.load::<u64>().unwrap().unwrap();
        assert_eq!(loaded.state, 7);
        for (name, tensor) in tensors(7.0) {
            assert_eq!(loaded.model[&name], tensor, "{name}");
            assert_eq!(loaded.model[&name].kind(), tensor.kind());
        }
    }

    #[test]
    fn the_last_two_and_the_best_are_kept() {
        let (_root, store) = store();
        for step in [9, 10, 11, 12, 100] {
            save(&store, step, step == 9);
        }
        assert_eq!(names(&store), ["BEST", "LATEST", "step-100", "step-12", "step-9"]);
        assert_eq!(store.load::<u64>().unwrap().unwrap().state, 100);
    }

    #[test]
    fn a_killed_write_leaves_the_checkpoint_before_it_in_place() {
        let (_root, store) = store();
        save(&store, 1, false);
        let half = store.folder().join(".writing-abc");
        fs::create_dir(&half).unwrap();
        fs::write(half.join(MODEL), b"half").unwrap();
        assert_eq!(store.load::<u64>().unwrap().unwrap().state, 1);
        save(&store, 2, false);
        assert!(!half.exists());
    }

    #[test]
    fn damage_is_named_with_the_way_out() {
        let (_root, store) = store();
        save(&store, 1, false);
        save(&store, 2, false);
        let path = store.folder().join("step-2").join(MODEL);
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&path, bytes).unwrap();
        let error = store.load::<u64>().unwrap_err().to_string();
        assert!(error.contains(MODEL) && error.contains("delete"), "{error}");
        fs::remove_dir_all(store.folder().join("step-2")).unwrap();
        assert_eq!(store.load::<u64>().unwrap().unwrap().state, 1);
    }

    #[test]
    fn a_checkpoint_of_another_model_is_refused_naming_the_tensor() {
        let vs = nn::VarStore::new(Device::Cpu);
        let _ = vs.root().sub("conv1").zeros("weight", &[2, 3]);
        let full = |size: &[i64]| Tensor::full(size, 4.0, (Kind::Float, Device::Cpu));
        let restore = |tensors: &[(&str, Tensor)]| {
            let tensors = tensors.iter().map(|(n, t)| ((*n).into(), t.copy())).collect();
            restore_variables(&vs, &tensors, "x.safetensors").map_err(|error| error.to_string())
        };
        assert!(restore(&[("conv1.weight", full(&[2, 2]))]).unwrap_err().contains("[2, 2]"));
        assert!(restore(&[]).unwrap_err().contains("lacks conv1.weight"));
        let both = [("conv1.weight", full(&[2, 3])), ("fc.bias", full(&[1]))];
        assert!(restore(&both).unwrap_err().contains("holds fc.bias"));
        assert!((variables(&vs)[0].1.double_value(&[1, 2]) - 0.0).abs() < 1e-12);
        assert_eq!(restore(&both[..1]), Ok(()));
        assert!((variables(&vs)[0].1.double_value(&[1, 2]) - 4.0).abs() < 1e-12);
    }
}
