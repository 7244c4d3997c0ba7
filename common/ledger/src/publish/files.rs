//! Files of run folders: listed, compared, copied whole.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{PublishError, io_error};
use crate::tensorboard;

pub(super) use crate::report::relative;

/// Every file below `folder` that is published, sorted; none when there is no such folder. Left out: hidden ones (locks,
/// files being written), what lies in hidden folders, and TensorBoard's events, as `metrics.csv` says the same.
pub(super) fn below(folder: &Path) -> Result<Vec<PathBuf>, PublishError> {
    let mut found = Vec::new();
    let mut pending = vec![folder.to_owned()];
    while let Some(folder) = pending.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(io_error(&folder)(error)),
        };
        for entry in entries {
            let entry = entry.map_err(io_error(&folder))?;
            let path = entry.path();
            let name = entry.file_name();
            if name.as_encoded_bytes().starts_with(b".") || name == tensorboard::FILE_NAME {
                continue;
            }
            if path.is_dir() {
                pending.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Whether two folders hold the same published files with the same content.
pub(super) fn same(a: &Path, b: &Path) -> Result<bool, PublishError> {
    let (left, right) = (below(a)?, below(b)?);
    let names =
        |files: &[PathBuf], base| files.iter().map(|f| relative(f, base)).collect::<Vec<_>>();
    if names(&left, a) != names(&right, b) {
        return Ok(false);
    }
    for (x, y) in left.iter().zip(&right) {
        if fs::read(x).map_err(io_error(x))? != fs::read(y).map_err(io_error(y))? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Copies a folder to `target` under a temporary name beside it, then renames it; what was there before
/// is moved away first and comes back should the renaming fail.
pub(super) fn copy_whole(source: &Path, target: &Path) -> Result<(), PublishError> {
    let parent = target.parent().expect("a run folder lies in the results folder");
    fs::create_dir_all(parent).map_err(io_error(parent))?;
    let beside = tempfile::Builder::new()
        .prefix(".publishing-")
        .tempdir_in(parent)
        .map_err(io_error(parent))?;
    let (new, old) = (beside.path().join("new"), beside.path().join("old"));
    fs::create_dir(&new).map_err(io_error(&new))?;
    for file in below(source)? {
        let copy = new.join(file.strip_prefix(source).expect("it was listed below the source"));
        let folder = copy.parent().expect("it lies in the new folder");
        fs::create_dir_all(folder).map_err(io_error(folder))?;
        fs::copy(&file, &copy).map_err(io_error(&file))?;
    }
    let replaces = target.exists();
    if replaces {
        fs::rename(target, &old).map_err(io_error(target))?;
    }
    if let Err(error) = fs::rename(&new, target) {
        if replaces {
            fs::rename(&old, target).map_err(io_error(target))?;
        }
        return Err(io_error(target)(error));
    }
    Ok(())
}
