//! Weights that come with the repository.

use std::fs;
use std::path::{Path, PathBuf};

/// Where published runs are, from the repository's root.
pub const REFERENCE: &str = "results/reference";
/// Presets that are published, the largest first.
const PRESETS: [&str; 3] = ["paper", "overnight", "laptop"];

/// The file called `name` that a published run of `study` left: that of the largest preset below
/// `reference`/`experiment`, and of its runs the first by data set, variant and seed.
pub fn published(reference: &Path, experiment: &str, study: &str, name: &str) -> Option<PathBuf> {
    let experiment = reference.join(experiment);
    PRESETS.iter().find_map(|preset| first(&experiment.join(preset).join(study), name))
}

/// The first file called `name` below `folder`, in the order of paths.
fn first(folder: &Path, name: &str) -> Option<PathBuf> {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    entries.sort();
    entries.into_iter().find_map(|path| {
        let found = path.file_name().is_some_and(|found| found == name);
        if path.is_dir() { first(&path, name) } else { Some(path).filter(|_| found) }
    })
}
