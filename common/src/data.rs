//! Data sets: where they come from and how they are read.

use std::fmt::Write as _;

use self::catalog::{Catalog, Reader};
use self::error::DataError;
use self::images::Splits;
use self::lookup::{Located, Lookup};

pub mod catalog;
pub mod cifar10;
mod decoded;
pub mod error;
pub mod fetch;
pub mod idx;
pub mod image_folder;
pub mod images;
pub mod loader;
pub mod lookup;
pub mod packages;
pub mod pickle;
pub mod sampler;
mod verify;

/// Reads the pictures of a located set; the decoded form is kept in the cache.
///
/// # Errors
/// Files that break their format; a set that holds no pictures.
///
/// # Panics
/// Never: the files of a located set are those of the catalogue.
pub fn load_images(located: &Located, lookup: &Lookup) -> Result<Splits, DataError> {
    let set = Catalog::builtin().get(&located.name)?;
    let mut key = located.name.clone();
    for file in &located.files {
        write!(key, "\n{} {}", file.name, file.sha256).expect("writing to a string");
    }
    decoded::cached(&lookup.cache_for(&located.name), &key, || {
        let file = |i: usize| located.files[i].path.as_path();
        if set.reader != Some(Reader::Cifar10Jpeg) {
            let reason = format!("`{}` holds no pictures this program reads", located.name);
            return Err(DataError::Catalog(reason));
        }
        let (train, test) = cifar10::jpeg::read(file(0), file(1))?;
        Ok(Splits::new(&located.name, train, test))
    })
}
