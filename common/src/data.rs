//! Data sets: where they come from and how they are read.
//!
//! `Catalog::builtin().locate(name, &lookup)` finds or fetches a set, [`load_images`] reads it,
//! [`sampler::Sampler`] says which pictures a step sees, [`loader::Loader`] makes batches ahead of time.
//! [`tokenizer::Tokenizer`] turns text into ids and keeps those of a corpus on disk;
//! [`token_corpus`] are books as tokens, and the windows that a language model is trained on.

use std::fmt::Write as _;

use self::catalog::{Catalog, DataSet, Reader};
use self::error::DataError;
use self::images::Splits;
use self::lookup::{Layout, Located, Lookup};

pub mod catalog;
pub mod cifar10;
mod decoded;
pub mod digits_json;
pub mod error;
mod fetch;
pub mod idx;
pub mod image_folder;
pub mod images;
pub mod loader;
pub mod lookup;
mod obtain;
mod own;
mod packages;
pub mod photos;
pub mod pickle;
pub mod sampler;
#[cfg(test)]
mod test_server;
pub mod text;
pub mod token_corpus;
pub mod tokenizer;
mod unpack;
mod verify;

pub use self::verify::sha256_file;

/// Reads the pictures of a located set; the decoded form is kept in the cache.
///
/// # Errors
/// Files that break their format; a set that holds no pictures.
///
/// # Panics
/// Never: the files of a located set are those of the catalogue.
pub fn load_images(located: &Located, lookup: &Lookup) -> Result<Splits, DataError> {
    let set = Catalog::builtin().get(&located.name)?;
    let Some(reader) = set.reader else {
        return Err(DataError::Catalog(format!("`{}` holds no pictures", located.name)));
    };
    let mut key = located.name.clone();
    for file in &located.files {
        write!(key, "\n{} {}", file.name, file.sha256).expect("writing to a string");
    }
    decoded::cached(&lookup.cache_for(&located.name), &key, || {
        let files = &located.files;
        let file = |i: usize| files[i].path.as_path();
        let (train, test) = match (reader, &located.layout) {
            (Reader::Cifar10 | Reader::Cifar10Jpeg, Layout::ClassFolders) => {
                (cifar10::folders::read(file(0), 5000)?, cifar10::folders::read(file(1), 1000)?)
            }
            (Reader::Cifar10, Layout::Files(form)) if form == "binary" => {
                cifar10::binary::read_archive(file(0))?
            }
            (Reader::Cifar10, Layout::Files(_)) => cifar10::python::read_archive(file(0))?,
            (Reader::Cifar10, Layout::Unpacked)
                if files[0].name == cifar10::binary::BATCH_FILES[0] =>
            {
                cifar10::binary::read_files(files)?
            }
            (Reader::Cifar10, Layout::Unpacked) => cifar10::python::read_files(files)?,
            (Reader::Cifar10Jpeg, _) => cifar10::jpeg::read(file(0), file(1))?,
            (Reader::Cifar10Strips, _) => cifar10::strips::read(files)?,
            (Reader::DigitsJson, _) => digits_json::read(files)?,
            (Reader::Idx, _) => (
                idx::read(file(0), file(1), &set.classes)?,
                idx::read(file(2), file(3), &set.classes)?,
            ),
        };
        Ok(Splits::new(&located.name, train, test))
    })
}

/// From where a set would be fetched first, with size and time; none if no registry and no official
/// address has it.
pub fn where_from(set: &DataSet) -> Option<String> {
    let offer = obtain::offers(set).into_iter().next()?;
    Some(format!("{}, {}", offer.from, fetch::how_long(offer.size_bytes)))
}
