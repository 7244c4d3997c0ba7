//! Names of ImageNet's classes, from the index that comes with its pictures.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};
use common::data::catalog::Catalog;
use common::data::lookup::Lookup;

/// Classes of ILSVRC 2012.
pub const CLASSES: i64 = 1000;

/// Id (that of the folder with its pictures) and name of each class, in the order of a network's outputs.
#[derive(Debug)]
pub struct ClassIndex(Vec<(String, String)>);

impl ClassIndex {
    /// The catalogue's index; none where it cannot be had.
    ///
    /// # Errors
    /// An index that lacks classes.
    pub fn find(lookup: &Lookup) -> anyhow::Result<Option<Self>> {
        const FILE: &str = "imagenet_class_index.json";
        let located = match Catalog::builtin().locate("imagenet-sample", lookup) {
            Ok(located) => located,
            Err(error) => {
                tracing::info!("classes have no names here: {FILE} cannot be had");
                tracing::debug!("{error}");
                return Ok(None);
            }
        };
        let file = located.files.iter().find(|file| file.name.ends_with(FILE));
        Self::read(&file.context("the catalogue lists the index with the pictures")?.path).map(Some)
    }

    /// Reads an index: `{"0": ["n01440764", "tench"], …}`.
    ///
    /// # Errors
    /// A file that is not such an index, or that lacks a class.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let place = || path.display().to_string();
        let text = fs::read_to_string(path).with_context(place)?;
        let mut index: BTreeMap<String, (String, String)> =
            serde_json::from_str(&text).with_context(place)?;
        let found = index.len();
        ensure!(found as i64 == CLASSES, "{}: found {found} classes, wanted {CLASSES}", place());
        let class = |i: i64| {
            let (id, name) = index.remove(&i.to_string())?;
            Some((id, name.replace('_', " ")))
        };
        let all: Option<Vec<_>> = (0..CLASSES).map(class).collect();
        let all =
            all.with_context(|| format!("{}: classes are not 0 to {}", place(), CLASSES - 1))?;
        Ok(Self(all))
    }

    /// The names in the order of a network's outputs.
    pub fn names(&self) -> Vec<String> {
        self.0.iter().map(|(_, name)| name.clone()).collect()
    }

    /// `classes` with ids replaced by names.
    pub fn readable(&self, classes: &[String]) -> Vec<String> {
        let name = |class: &String| {
            let known = self.0.iter().find(|(id, _)| id == class);
            known.map_or_else(|| class.clone(), |(_, name)| name.clone())
        };
        classes.iter().map(name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_their_underscores_and_an_index_that_lacks_a_class_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index.json");
        let write = |last: i64| {
            let entry = |i: i64| format!("\"{i}\": [\"n{i}\", \"a_class_{i}\"]");
            let entries: Vec<_> = (0..CLASSES - 1).chain([last]).map(entry).collect();
            fs::write(&path, format!("{{{}}}", entries.join(", "))).unwrap();
            ClassIndex::read(&path)
        };
        let index = write(CLASSES - 1).unwrap();
        assert_eq!(index.names()[10], "a class 10");
        let classes = ["n7", "horn"].map(str::to_owned);
        assert_eq!(index.readable(&classes), ["a class 7", "horn"]);
        let error = |index: anyhow::Result<ClassIndex>| format!("{:#}", index.unwrap_err());
        let said = error(write(0));
        assert!(said.contains("index.json: found 999 classes, wanted 1000"), "{said}");
        let said = error(write(CLASSES));
        assert!(said.contains("classes are not 0 to 999"), "{said}");
        fs::write(&path, "[]").unwrap();
        assert!(error(ClassIndex::read(&path)).contains("index.json"));
    }
}
