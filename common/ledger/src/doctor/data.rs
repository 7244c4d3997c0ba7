//! Which data sets are at hand, by the names and sizes of their files; `data --check` of an
//! experiment reads their sums.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Check;
use super::system::System;

/// What this report needs of `datasets.toml`; the head of that file describes it in full.
#[derive(Deserialize)]
struct Set {
    files: Vec<File>,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    form: String,
    path: PathBuf,
    mirror: Option<PathBuf>,
    size_bytes: u64,
    #[serde(default)]
    also: Vec<Version>,
}

/// The same content in other bytes, e.g. compressed again.
#[derive(Deserialize)]
struct Version {
    size_bytes: u64,
}

/// A line for each place that is named or there.
pub(super) fn checks(system: &System) -> Vec<Check> {
    let catalog = system.tree.join("common/datasets.toml");
    let sets: BTreeMap<String, Set> = match read(&catalog) {
        Ok(sets) => sets,
        Err(why) => {
            let found = format!("{}: {why}", catalog.display());
            return vec![Check::warn("data", found, "start doctor in the work tree")];
        }
    };
    let mut checks = Vec::new();
    for (name, in_place) in [
        ("LANDMARKS_DATA", own as fn(&Path, &str, &File) -> Vec<PathBuf>),
        ("LANDMARKS_MIRROR", mirrored),
    ] {
        let Some(folder) = system.var(name) else { continue };
        let what = format!("data, {}", name.trim_start_matches("LANDMARKS_").to_lowercase());
        let path = system.tree.join(folder);
        if !path.is_dir() {
            let found = format!("{name} names {folder}, which is no folder");
            checks.push(Check::fail(&what, found, format!("mend or unset {name}")));
            continue;
        }
        let names = at_hand(&sets, &|set, file| in_place(&path, set, file));
        checks.push(if names.is_empty() {
            let found = format!("{folder} holds no file of a known set");
            Check::warn(&what, found, "compare its files with docs/data.md")
        } else {
            Check::ok(&what, format!("{} in {folder}", names.join(", ")))
        });
    }
    if let Some(cache) = system.cache() {
        let folder = cache.join("data");
        let names = at_hand(&sets, &|set, file| vec![folder.join(set).join(&file.path)]);
        let found = if names.is_empty() {
            "none yet: a run fetches what it needs".to_owned()
        } else {
            format!("{} in {}", names.join(", "), folder.display())
        };
        checks.push(Check::ok("data, cache", found));
    }
    checks
}

fn read(catalog: &Path) -> Result<BTreeMap<String, Set>, String> {
    let text = fs::read_to_string(catalog).map_err(|e| e.to_string())?;
    toml::from_str(&text).map_err(|e| e.message().to_owned())
}

/// Where a file may lie in a user's own folder.
fn own(folder: &Path, set: &str, file: &File) -> Vec<PathBuf> {
    let mut places = vec![folder.join(&file.path), folder.join(set).join(&file.path)];
    places.extend(mirrored(folder, set, file));
    places
}

/// Where a file lies in a mirror folder.
fn mirrored(folder: &Path, _set: &str, file: &File) -> Vec<PathBuf> {
    file.mirror.iter().map(|m| folder.join(m)).collect()
}

/// The names of the sets of which one form is complete at its places.
fn at_hand<'a>(
    sets: &'a BTreeMap<String, Set>,
    places: &dyn Fn(&str, &File) -> Vec<PathBuf>,
) -> Vec<&'a str> {
    let there = |set: &str, file: &File| {
        let sizes = [file.size_bytes].into_iter().chain(file.also.iter().map(|v| v.size_bytes));
        let sizes: Vec<u64> = sizes.collect();
        places(set, file)
            .iter()
            .any(|p| fs::metadata(p).is_ok_and(|m| m.is_file() && sizes.contains(&m.len())))
    };
    let complete = |(name, set): (&'a String, &'a Set)| {
        let mut forms: BTreeMap<&str, bool> = BTreeMap::new();
        for file in &set.files {
            *forms.entry(&file.form).or_insert(true) &= there(name, file);
        }
        forms.values().any(|&whole| whole).then_some(name.as_str())
    };
    sets.iter().filter_map(complete).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;

    const CATALOG: &str = r#"
[two]
title = "two forms"
[[two.files]]
form = "a"
path = "one.gz"
mirror = "m/one.gz"
size_bytes = 3
[[two.files]]
form = "a"
path = "other.gz"
size_bytes = 3
[[two.files]]
form = "b"
path = "all.gz"
mirror = "m/all.gz"
size_bytes = 4
also = [{ sha256 = "00", size_bytes = 5 }]
"#;

    fn tree() -> (tempfile::TempDir, System) {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["common", "mine", "cache/data/two", "mirror/m"] {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        fs::write(dir.path().join("common/datasets.toml"), CATALOG).unwrap();
        let var =
            |name: &str, folder: &str| (name.into(), dir.path().join(folder).display().to_string());
        let vars = [
            var("LANDMARKS_DATA", "mine"),
            var("LANDMARKS_CACHE", "cache"),
            var("LANDMARKS_MIRROR", "mirror"),
        ];
        let root = dir.path().to_owned();
        let system = System { tree: root.clone(), root, vars: vars.into() };
        (dir, system)
    }

    fn found(system: &System, what: &str) -> Check {
        checks(system).into_iter().find(|c| c.what == what).unwrap()
    }

    #[test]
    fn a_set_is_at_hand_when_one_form_is_complete_and_of_the_right_size() {
        let (dir, system) = tree();
        assert_eq!(found(&system, "data, data").status, Status::Warn);
        assert!(found(&system, "data, cache").found.starts_with("none yet"));
        fs::write(dir.path().join("mine/one.gz"), "123").unwrap();
        assert_eq!(found(&system, "data, data").status, Status::Warn, "half a form");
        fs::write(dir.path().join("mine/other.gz"), "123").unwrap();
        assert!(found(&system, "data, data").found.starts_with("two in "));
        fs::write(dir.path().join("cache/data/two/all.gz"), "123").unwrap();
        assert!(found(&system, "data, cache").found.starts_with("none yet"), "too short");
        fs::write(dir.path().join("cache/data/two/all.gz"), "12345").unwrap();
        assert!(found(&system, "data, cache").found.starts_with("two in "), "the other version");
        fs::write(dir.path().join("mirror/m/all.gz"), "1234").unwrap();
        assert!(found(&system, "data, mirror").found.starts_with("two in "));
    }

    #[test]
    fn a_named_folder_that_is_not_there_fails() {
        let (_dir, mut system) = tree();
        system.vars.insert("LANDMARKS_MIRROR".into(), "/nonexistent".into());
        let check = found(&system, "data, mirror");
        assert_eq!(check.status, Status::Fail);
        assert!(check.fix.unwrap().contains("LANDMARKS_MIRROR"));
    }

    #[test]
    fn the_real_catalogue_reads() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../datasets.toml");
        let sets = read(&path).unwrap();
        assert!(sets.contains_key("cifar10"), "{:?}", sets.keys());
    }
}
