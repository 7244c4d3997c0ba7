//! The run folders below a folder.

use std::path::{Path, PathBuf};
use std::{fs, io};

use super::{RECORD, RunError, RunRecord, Status, io_error};

/// Every finished run below `<results>/<experiment>/<preset>/<study>`, sorted by path.
///
/// # Errors
/// When a folder cannot be listed or a record cannot be read.
pub fn finished_runs(study_folder: &Path) -> Result<Vec<(PathBuf, RunRecord)>, RunError> {
    let mut found = Vec::new();
    for folder in run_folders(study_folder, None)? {
        if let Some(record) = RunRecord::read(&folder)?.filter(|r| r.status == Status::Complete) {
            found.push((folder, record));
        }
    }
    found.sort_by(|a, b| a.1.key.cmp(&b.1.key));
    Ok(found)
}

/// Every folder below `root` that holds a `run.json`, sorted; the folder `skip` and what is below it
/// are left out. None where `root` does not exist.
///
/// # Errors
/// When a folder cannot be listed.
pub fn run_folders(root: &Path, skip: Option<&Path>) -> Result<Vec<PathBuf>, RunError> {
    let skip = skip.and_then(|path| path.canonicalize().ok());
    let mut found = Vec::new();
    let mut pending = vec![root.to_owned()];
    while let Some(folder) = pending.pop() {
        if skip.is_some() && folder.canonicalize().ok() == skip {
            continue;
        }
        if folder.join(RECORD).is_file() {
            found.push(folder);
            continue;
        }
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(io_error(&folder)(error)),
        };
        for entry in entries {
            let path = entry.map_err(io_error(&folder))?.path();
            if path.is_dir() {
                pending.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}
