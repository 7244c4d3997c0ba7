//! CIFAR-10 as class folders of pictures, `train/<class>/` and `test/<class>/`: what many tools make
//! of it. The order is by class and name, not the official one.

use std::path::Path;

use super::{CLASSES, PICTURE_BYTES, SIDE, image_set};
use crate::data::error::DataError;
use crate::data::image_folder::{ImageFolder, decode_rgb};
use crate::data::images::{ImageSet, fill_parallel};

/// Reads one split, which must be whole: `per_class` pictures in each of the ten classes.
///
/// # Errors
/// Another class, another number of pictures, a picture that does not decode or is not 32x32.
pub fn read(root: &Path, per_class: usize) -> Result<ImageSet, DataError> {
    let folder = ImageFolder::open(root)?;
    if folder.classes != CLASSES {
        let found = format!("classes {}", folder.classes.join(", "));
        return Err(DataError::malformed(root, "folders", found, CLASSES.join(", ")));
    }
    for (label, class) in CLASSES.iter().enumerate() {
        let n = folder.pictures.iter().filter(|(l, _)| *l as usize == label).count();
        if n != per_class {
            let wanted = format!("{per_class}: part of a data set is not taken for the whole");
            return Err(DataError::malformed(root, *class, format!("{n} pictures"), wanted));
        }
    }
    let mut images = vec![0; folder.pictures.len() * PICTURE_BYTES];
    fill_parallel(&mut images, PICTURE_BYTES, |i, out| {
        decode_rgb(root, &folder.pictures[i].1, &folder.read(i)?, (SIDE, SIDE), out)
    })?;
    // The official labels are in the alphabetical order of the classes.
    Ok(image_set(images, folder.pictures.iter().map(|(label, _)| *label as u8).collect()))
}
