//! What a place that needs no network holds of a data set.

use std::fs;
use std::path::PathBuf;

use super::{Layout, Located, LocatedFile, Lookup, Source};
use crate::data::catalog::{DataSet, FileEntry};
use crate::data::error::DataError;
use crate::data::obtain::offers;
use crate::data::verify::verify;

/// What one place holds of a set.
pub(crate) enum Found {
    /// All of it.
    Complete(Located),
    /// Why not, in words; empty if there is no such place.
    Missing(String),
}

/// The cache, then the mirror.
pub(crate) fn stored(name: &str, set: &DataSet, lookup: &Lookup) -> Result<Found, DataError> {
    let dir = lookup.cache_for(name);
    let source = Source::Cache(dir.clone());
    let places = |file: &FileEntry| vec![dir.join(&file.path)];
    let cached = match complete_form(name, set, lookup, &source, &places, "delete it") {
        // What was fetched once can be fetched again; never from under another process.
        Err(DataError::WrongFile { path, found, .. })
            if !lookup.offline && !offers(set).is_empty() =>
        {
            tracing::warn!("{}: damaged (found {found}), deleting it", path.display());
            let deleted =
                if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            deleted.map_err(DataError::io(&path, "delete"))?;
            Found::Missing(format!("damaged in {source}"))
        }
        other => other?,
    };
    let (Found::Missing(not_cached), Some(mirror)) = (&cached, &lookup.mirror) else {
        return Ok(cached);
    };
    let source = Source::Mirror(mirror.clone());
    let places = |file: &FileEntry| file.mirror.iter().map(|m| mirror.join(m)).collect();
    let restore = "restore the mirror's file, or leave LANDMARKS_MIRROR out";
    Ok(match complete_form(name, set, lookup, &source, &places, restore)? {
        Found::Missing(why) => Found::Missing(format!("{not_cached}; {why}")),
        complete @ Found::Complete(_) => complete,
    })
}

/// The first form of the set all of whose files are at their places.
pub(crate) fn complete_form(
    name: &str,
    set: &DataSet,
    lookup: &Lookup,
    source: &Source,
    places: &dyn Fn(&FileEntry) -> Vec<PathBuf>,
    way_out: &str,
) -> Result<Found, DataError> {
    let mut missing = Vec::new();
    for (form, entries) in set.forms() {
        let found: Vec<(&FileEntry, Option<PathBuf>)> = entries
            .iter()
            .map(|entry| (*entry, places(entry).into_iter().find(|p| p.exists())))
            .collect();
        if let Some((entry, _)) = found.iter().find(|(_, path)| path.is_none()) {
            missing.push(entry.path.clone());
            continue;
        }
        let mut files = Vec::with_capacity(found.len());
        for (entry, path) in found {
            let path = path.expect("the missing ones were sorted out above");
            let sha256 = verify(&path, entry, &lookup.memory(), way_out)?;
            files.push(LocatedFile { name: entry.path.clone(), path, sha256 });
        }
        return Ok(Found::Complete(Located {
            name: name.to_owned(),
            layout: Layout::Files(form.to_owned()),
            files,
            source: source.clone(),
        }));
    }
    Ok(Found::Missing(format!("not in {source} (no {})", missing.join(", no "))))
}
