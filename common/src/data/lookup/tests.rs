//! Which place is taken, and what is said of the others.

use std::fs;

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
            mirror: Some(self.0.path().join("mirror")),
            ..Lookup::in_cache(self.0.path().join("cache"))
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
    let places = Places::with(&["cache/data/second/x", "cache/data/second/y", "mirror/m/first-a"]);
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
        assert!(error.starts_with(&format!("{place}: found 5 bytes, wanted 7 bytes")), "{error}");
    }
}

#[test]
fn with_the_flag_nothing_outside_the_named_folder_is_taken() {
    let places = Places::with(&["mirror/m/first-a"]);
    let lookup = Lookup { data_dir_is_flag: true, ..places.lookup() };
    let error = catalog().locate("first", &lookup).unwrap_err().to_string();
    assert!(error.contains("not in your folder") && error.contains("leave --data out"), "{error}");
    let status = Catalog::builtin().check("fashion-mnist", &lookup).unwrap();
    assert!(matches!(status, Status::Missing { fetch: None, .. }), "{status:?}");
    let places = Places::with(&["cache/data/first/first-a"]);
    let lookup = Lookup { data_dir_is_flag: true, ..places.lookup() };
    let status = catalog().check("first", &lookup).unwrap();
    assert!(matches!(status, Status::Missing { .. }), "{status:?}");
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
