//! Class folders of photographs as they are: each picture is decoded when it is asked for, and nothing is
//! prepared before. For pictures that are seen once.

use image::RgbImage;

use super::{PhotosError, Pictures, decode};
use crate::data::image_folder::ImageFolder;

/// Writes a picture of any size to `side × side × 3` levels, as [`square`](super::square()) does.
pub type Square = fn(&RgbImage, usize, &mut [u8]);

/// Pictures that are decoded and brought to `side × side` when they are asked for.
#[derive(Debug)]
pub struct FolderPictures {
    folder: ImageFolder,
    side: usize,
    square: Square,
}

impl FolderPictures {
    /// The pictures of `folder`, brought to `side` by `square`.
    pub fn new(folder: ImageFolder, side: usize, square: Square) -> Self {
        Self { folder, side, square }
    }

    /// Names of the classes, sorted.
    pub fn classes(&self) -> &[String] {
        &self.folder.classes
    }
}

impl Pictures for FolderPictures {
    fn n(&self) -> usize {
        self.folder.pictures.len()
    }

    fn side(&self) -> usize {
        self.side
    }

    fn channels(&self) -> usize {
        3
    }

    fn label(&self, i: usize) -> u32 {
        self.folder.pictures[i].0
    }

    fn picture<'a>(&'a self, i: usize, room: &'a mut Vec<u8>) -> Result<&'a [u8], PhotosError> {
        let path = || self.folder.root().join(&self.folder.pictures[i].1);
        let picture = decode(&self.folder.read(i)?)
            .map_err(|reason| PhotosError::Corrupt { path: path(), reason })?;
        room.resize(self.side * self.side * 3, 0);
        (self.square)(&picture, self.side, room);
        Ok(room)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use image::{Rgb, RgbImage};

    use super::*;
    use crate::data::photos::{PrepareOptions, PreparedSet, Source, SplitName, prepare, square};

    #[test]
    fn pictures_are_those_that_preparing_the_folder_makes_and_a_bad_one_is_named() {
        let dir = tempfile::tempdir().unwrap();
        for (at, split) in ["train", "val"].into_iter().enumerate() {
            for (class, n) in [("a", 2), ("b", 1)] {
                let of_class = dir.path().join(split).join(class);
                fs::create_dir_all(&of_class).unwrap();
                for i in 0..n {
                    let level = |x: u32, y: u32| ((x * 5 + y * 3) as usize + 40 * (i + at)) as u8;
                    let picture = RgbImage::from_fn(31, 20, |x, y| Rgb([level(x, y), 7, y as u8]));
                    picture.save(of_class.join(format!("{i}.png"))).unwrap();
                }
            }
        }
        let out = dir.path().join("out");
        let options = PrepareOptions { side: 12, skip_corrupt: false, threads: 1 };
        prepare(&Source::new(dir.path(), None), &out, &options).unwrap();
        let prepared = PreparedSet::open(&out).unwrap();
        let folder = || ImageFolder::open(&dir.path().join("val")).unwrap();
        let pictures = FolderPictures::new(folder(), 12, square);
        let first = prepared.split(SplitName::Val).start;
        assert_eq!((pictures.n(), pictures.classes()), (3, prepared.classes()));
        let mut room = Vec::new();
        for i in 0..3 {
            assert_eq!(pictures.picture(i, &mut room).unwrap(), prepared.picture(first + i));
            assert_eq!(pictures.label(i), prepared.label(first + i));
        }
        fs::write(dir.path().join("val/b/0.png"), "a text").unwrap();
        let error = FolderPictures::new(folder(), 12, square).picture(2, &mut room).unwrap_err();
        assert!(error.to_string().contains("b/0.png: neither JPEG nor PNG"), "{error}");
    }
}
