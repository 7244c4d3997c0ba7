//! What a user's own folder may hold: the catalogue's files, the same files unpacked, or class
//! folders of pictures.

use std::path::{Path, PathBuf};

use super::catalog::{DataSet, FileEntry, Reader};
use super::cifar10::CLASSES;
use super::cifar10::binary::BATCH_FILES as BINARY_FILES;
use super::cifar10::python::BATCH_FILES as PYTHON_FILES;
use super::error::DataError;
use super::image_folder::{Format, ImageFolder};
use super::lookup::{Found, Layout, Located, LocatedFile, Lookup, Source, complete_form};
use super::verify::{sum_of_file, sum_of_folder};

/// The set `name` in the user's folder, in any of the accepted forms.
pub(crate) fn find(name: &str, set: &DataSet, lookup: &Lookup) -> Result<Found, DataError> {
    let Some(dir) = &lookup.data_dir else { return Ok(Found::Missing(String::new())) };
    let roots = [dir.clone(), dir.join(name)];
    let source = Source::Own(dir.clone());
    let places = |file: &FileEntry| -> Vec<PathBuf> {
        let mirror = file.mirror.iter().map(|m| dir.join(m));
        roots.iter().map(|root| root.join(&file.path)).chain(mirror).collect()
    };
    let way_out = "copy or download it again";
    let found = complete_form(name, set, lookup, &source, &places, way_out)?;
    let Found::Missing(why) = found else { return Ok(found) };
    for root in &roots {
        if let Some((layout, files)) = unpacked(name, set, root, lookup)? {
            let name = name.to_owned();
            return Ok(Found::Complete(Located { name, layout, files, source }));
        }
    }
    Ok(Found::Missing(why))
}

fn unpacked(
    name: &str,
    set: &DataSet,
    root: &Path,
    lookup: &Lookup,
) -> Result<Option<(Layout, Vec<LocatedFile>)>, DataError> {
    match set.reader {
        Some(Reader::Cifar10) => {
            for (folder, names) in
                [("cifar-10-batches-bin", BINARY_FILES), ("cifar-10-batches-py", PYTHON_FILES)]
            {
                for folder in [root.join(folder), root.to_owned()] {
                    if let Some(files) = all_files(&folder, &names, lookup)? {
                        return Ok(Some((Layout::Unpacked, files)));
                    }
                }
            }
            class_folders(root, Format::Png, lookup)
        }
        Some(Reader::Cifar10Jpeg) => class_folders(root, Format::Jpeg, lookup),
        Some(Reader::Idx) => {
            let names: Vec<&str> =
                set.files.iter().map(|f| f.path.trim_end_matches(".gz")).collect();
            let files = all_files(root, &names, lookup)?;
            tell_of_others(name, set, files.as_deref().unwrap_or_default());
            Ok(files.map(|files| (Layout::Unpacked, files)))
        }
        Some(Reader::Cifar10Strips | Reader::DigitsJson) | None => Ok(None),
    }
}

/// Says so where user's files are not what is in the published ones: several sets have files of these
/// names, and a part of a set is at times kept under them. They are taken all the same.
fn tell_of_others(name: &str, set: &DataSet, files: &[LocatedFile]) {
    let other = |entry: &FileEntry, file: &LocatedFile| {
        entry.unpacked.as_ref().is_some_and(|version| version.sha256 != file.sha256)
    };
    let others: Vec<String> = set
        .files
        .iter()
        .zip(files)
        .filter(|(entry, file)| other(entry, file))
        .map(|(_, file)| file.path.display().to_string())
        .collect();
    if !others.is_empty() {
        tracing::warn!(
            "{}: not what is in the published files of {name}; results on it are of other pictures",
            others.join(", ")
        );
    }
}

/// The files called `names` in `folder`, if all are there.
fn all_files(
    folder: &Path,
    names: &[&str],
    lookup: &Lookup,
) -> Result<Option<Vec<LocatedFile>>, DataError> {
    if !names.iter().all(|name| folder.join(name).is_file()) {
        return Ok(None);
    }
    names
        .iter()
        .map(|name| {
            let path = folder.join(name);
            let sha256 = sum_of_file(&path, &lookup.memory())?;
            Ok(LocatedFile { name: (*name).to_owned(), path, sha256 })
        })
        .collect::<Result<_, _>>()
        .map(Some)
}

/// `train` and `test` below `root`, if they are class folders of CIFAR-10 in this format. Lossless
/// pictures are CIFAR-10 itself, JPEG is another set: they never stand for each other.
fn class_folders(
    root: &Path,
    format: Format,
    lookup: &Lookup,
) -> Result<Option<(Layout, Vec<LocatedFile>)>, DataError> {
    let mut files = Vec::with_capacity(2);
    for split in ["train", "test"] {
        let path = root.join(split);
        if !CLASSES.iter().all(|class| path.join(class).is_dir()) {
            return Ok(None);
        }
        let first = ImageFolder::list(&path.join(CLASSES[0]))?.into_iter().next();
        let Some(first) = first else { return Ok(None) };
        if Format::of_file(&path.join(CLASSES[0]).join(first))? != Some(format) {
            return Ok(None);
        }
        let sha256 = sum_of_folder(&path, &super::image_folder::is_picture, &lookup.memory())?;
        files.push(LocatedFile { name: split.to_owned(), path, sha256 });
    }
    Ok(Some((Layout::ClassFolders, files)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::data::catalog::Catalog;

    fn find_in(dir: &Path, name: &str) -> Option<(Layout, Vec<String>)> {
        let cache = tempfile::tempdir().unwrap();
        let lookup = Lookup {
            data_dir: Some(dir.to_owned()),
            data_dir_is_flag: true,
            ..Lookup::in_cache(cache.path().to_owned())
        };
        let found = find(name, Catalog::builtin().get(name).unwrap(), &lookup).unwrap();
        match found {
            Found::Complete(located) => {
                Some((located.layout, located.files.into_iter().map(|f| f.name).collect()))
            }
            Found::Missing(_) => None,
        }
    }

    fn write(dir: &Path, path: &str, bytes: &[u8]) {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    #[test]
    fn unpacked_batches_are_found_in_their_folder_or_in_the_folder_itself() {
        for (names, folder) in
            [(BINARY_FILES, "cifar-10-batches-bin/"), (PYTHON_FILES, "cifar-10-batches-py/")]
        {
            for prefix in [folder, "", "cifar10/"] {
                let dir = tempfile::tempdir().unwrap();
                for name in &names[..5] {
                    write(dir.path(), &format!("{prefix}{name}"), b"x");
                }
                assert_eq!(find_in(dir.path(), "cifar10"), None, "a batch is missing");
                write(dir.path(), &format!("{prefix}{}", names[5]), b"x");
                let found = find_in(dir.path(), "cifar10").unwrap();
                assert_eq!(found, (Layout::Unpacked, names.map(str::to_owned).to_vec()));
            }
        }
    }

    #[test]
    fn class_folders_are_cifar10_if_lossless_and_cifar10_jpeg_otherwise() {
        for (head, this, other) in [
            (b"\x89PNG\r\n\x1a\n".as_slice(), "cifar10", "cifar10-jpeg"),
            (b"\xff\xd8\xff\xe0".as_slice(), "cifar10-jpeg", "cifar10"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            for class in CLASSES {
                write(dir.path(), &format!("train/{class}/1.png"), head);
                write(dir.path(), &format!("test/{class}/1.png"), head);
            }
            let files = vec!["train".to_owned(), "test".to_owned()];
            assert_eq!(find_in(dir.path(), this), Some((Layout::ClassFolders, files)));
            assert_eq!(find_in(dir.path(), other), None);
            fs::remove_dir_all(dir.path().join("test/truck")).unwrap();
            assert_eq!(find_in(dir.path(), this), None, "a class is missing");
        }
    }

    #[test]
    fn idx_files_may_be_unpacked() {
        let dir = tempfile::tempdir().unwrap();
        for file in
            ["train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"]
        {
            assert_eq!(find_in(dir.path(), "mnist"), None);
            write(dir.path(), &format!("{file}-ubyte"), b"x");
        }
        assert_eq!(find_in(dir.path(), "mnist").unwrap().0, Layout::Unpacked);
    }
}
