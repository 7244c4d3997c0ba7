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

#[cfg(test)]
mod tests {
    use std::fs;

    use image::{ImageBuffer, Rgb};

    use super::*;

    /// `n` pictures of 32x32 in each class; red is the label, green the number.
    fn folders(n: usize) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (label, class) in CLASSES.iter().enumerate() {
            fs::create_dir(dir.path().join(class)).unwrap();
            for i in 0..n {
                let picture = ImageBuffer::from_pixel(32, 32, Rgb([label as u8, i as u8, 7]));
                picture.save(dir.path().join(class).join(format!("{i}.png"))).unwrap();
            }
        }
        dir
    }

    #[test]
    fn pictures_come_by_class_and_name_with_the_official_labels() {
        let set = read(folders(2).path(), 2).unwrap();
        let labels: Vec<u8> = (0..10).flat_map(|label| [label, label]).collect();
        assert_eq!((set.n, &set.labels), (20, &labels));
        for (i, label) in labels.iter().enumerate() {
            let planes = [[*label; 1024], [(i % 2) as u8; 1024], [7; 1024]].concat();
            assert_eq!(set.picture(i), planes);
        }
    }

    #[test]
    fn part_of_the_set_and_another_class_are_refused() {
        let dir = folders(2);
        fs::remove_file(dir.path().join("cat/0.png")).unwrap();
        let error = read(dir.path(), 2).unwrap_err().to_string();
        assert!(error.contains("cat: found 1 pictures, wanted 2"), "{error}");
        fs::rename(dir.path().join("cat"), dir.path().join("cow")).unwrap();
        let error = read(dir.path(), 2).unwrap_err().to_string();
        assert!(error.contains("cow") && error.contains("wanted airplane"), "{error}");
    }
}
