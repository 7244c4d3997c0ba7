//! A task's examples, and which part each belongs to.
//!
//! Where test labels are not public, the official development part is the test here, and one training example in ten,
//! chosen by the sum of its texts, is for validation.

use std::path::{Path, PathBuf};

use common::data::catalog::Catalog;
use common::data::error::DataError;
use common::data::lookup::Lookup;
use common::data::text::labelled;
use ledger::run::hex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::readers::{self, Reader};
use super::{TableError, Task};

/// An example.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// One text, two texts, a context and its answers, or what is before a gap, fillings and what is after.
    pub texts: Vec<String>,
    /// The class, the right answer from 0, or the number.
    pub label: f64,
}

/// A task's examples.
#[derive(Debug)]
pub struct TaskData {
    /// The task.
    pub task: &'static Task,
    /// To learn from.
    pub train: Vec<Example>,
    /// To choose by.
    pub val: Vec<Example>,
    /// Predicted once.
    pub test: Vec<Example>,
    /// Over all examples and their parts, in hex.
    pub sha256: String,
}

/// Which part an example is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Train,
    Val,
    Test,
}

/// A task whose data cannot be had or read.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// An unknown name.
    #[error("{name}: no such task; there are {known}")]
    Unknown {
        /// The name.
        name: String,
        /// All names.
        known: String,
    },
    /// Only the user can bring it.
    #[error(
        "{name}: the data are not here and cannot be fetched; put {wanted} in a folder and name it with --data DIR"
    )]
    Bring {
        /// The task.
        name: &'static str,
        /// Its files.
        wanted: String,
    },
    /// Data that cannot be found, fetched or read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A file whose inside is wrong.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A part without examples.
    #[error("{name}: the {part} part has no examples; are these the files of this task?")]
    Empty {
        /// The task.
        name: &'static str,
        /// The part.
        part: &'static str,
    },
}

impl Task {
    /// Reads the task's examples: from the user's own folder if its files are there, else as the catalogue has them.
    ///
    /// # Errors
    /// Data that cannot be had; a file that breaks its format, with the line; a part without examples.
    pub fn read(&'static self, lookup: &Lookup) -> Result<TaskData, TaskError> {
        let examples = match (self.own_files(lookup), self.set) {
            (Some(files), _) => self.reader.read(&files)?,
            (None, Some(set)) => {
                let located = Catalog::builtin().locate(set, lookup)?;
                if matches!(self.reader, Reader::Labelled) {
                    readers::labelled(labelled::read(&located)?)
                } else {
                    let files: Vec<PathBuf> =
                        located.files.into_iter().map(|file| file.path).collect();
                    self.reader.read(&files)?
                }
            }
            (None, None) => {
                let wanted = self.reader.files().join(", ");
                return Err(TaskError::Bring { name: self.name, wanted });
            }
        };
        self.part(examples)
    }

    /// The task's official files in the user's folder, if the first ones are all there.
    fn own_files(&self, lookup: &Lookup) -> Option<Vec<PathBuf>> {
        let dir = lookup.data_dir.as_ref()?;
        let roots = [dir.clone(), dir.join(self.folder), dir.join(self.name)];
        let names = self.reader.files();
        if names.is_empty() {
            return None;
        }
        let find = |root: &Path, name: &str| {
            let paths = [root.join(name), root.join(format!("{name}.gz"))];
            paths.into_iter().find(|path| path.exists())
        };
        roots.iter().find_map(|root| {
            names.iter().map(|name| find(root, name)).collect::<Option<Vec<PathBuf>>>()
        })
    }

    fn part(&'static self, examples: Vec<(Example, Part)>) -> Result<TaskData, TaskError> {
        let mut hash = Sha256::new();
        let (mut train, mut val, mut test) = (Vec::new(), Vec::new(), Vec::new());
        let has_val = examples.iter().any(|(_, part)| *part == Part::Val);
        for (example, part) in examples {
            let part = match part {
                Part::Train if !has_val && is_held_out(&example) => Part::Val,
                part => part,
            };
            for text in &example.texts {
                hash.update((text.len() as u64).to_le_bytes());
                hash.update(text);
            }
            hash.update(example.label.to_le_bytes());
            hash.update([part as u8]);
            match part {
                Part::Train => train.push(example),
                Part::Val => val.push(example),
                Part::Test => test.push(example),
            }
        }
        let name = self.name;
        for (part, examples) in [("training", &train), ("validation", &val), ("test", &test)] {
            if examples.is_empty() {
                return Err(TaskError::Empty { name, part });
            }
        }
        Ok(TaskData { task: self, train, val, test, sha256: hex(&hash.finalize()) })
    }
}

/// One training example in ten, by the sum of its first text: examples of one premise or story stay together.
fn is_held_out(example: &Example) -> bool {
    u32::from(Sha256::digest(&example.texts[0])[0]) * 10 / 256 == 0
}
