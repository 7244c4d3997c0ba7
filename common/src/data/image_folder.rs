//! Class folders of pictures, in a directory or in a tar archive: `<class>/<picture>`. Classes are
//! sorted by name and numbered in that order; pictures are sorted within a class.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use image::{DynamicImage, ImageFormat};

use super::error::DataError;

/// A format of pictures, told by the first bytes of a file, not by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Lossy.
    Jpeg,
    /// Lossless.
    Png,
}

impl Format {
    /// The format of a file with these first bytes.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        if bytes.starts_with(b"\xff\xd8\xff") {
            Some(Self::Jpeg)
        } else if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
            Some(Self::Png)
        } else {
            None
        }
    }

    pub(crate) fn of_file(path: &Path) -> Result<Option<Self>, DataError> {
        let mut head = Vec::new();
        let file = File::open(path).map_err(DataError::io(path, "open"))?;
        file.take(8).read_to_end(&mut head).map_err(DataError::io(path, "read"))?;
        Ok(Self::of(&head))
    }
}

/// Whether a file's name is that of a picture; others, and hidden files, are passed over.
pub(crate) fn is_picture(name: &str) -> bool {
    let extension = name.rsplit_once('.').map(|(_, e)| e.to_ascii_lowercase());
    !name.starts_with('.') && matches!(extension.as_deref(), Some("jpg" | "jpeg" | "png"))
}

/// Pictures in class folders.
#[derive(Debug)]
pub struct ImageFolder {
    /// Names of the classes, sorted.
    pub classes: Vec<String>,
    /// Class index and path (below the root, with `/`) of each picture, sorted.
    pub pictures: Vec<(u32, String)>,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Folder(PathBuf),
    Archive { path: PathBuf, bytes: Vec<u8>, ranges: Vec<Range<usize>> },
}

impl ImageFolder {
    /// The pictures below the directory `root`.
    ///
    /// # Errors
    /// A folder that cannot be read or has no class with a picture.
    pub fn open(root: &Path) -> Result<Self, DataError> {
        let mut found = BTreeMap::new();
        for class in Self::list(root)? {
            if !root.join(&class).is_dir() {
                continue;
            }
            for name in Self::list(&root.join(&class))?.into_iter().filter(|n| is_picture(n)) {
                found.insert((class.clone(), name), 0..0);
            }
        }
        Self::new(found, root, |_| Source::Folder(root.to_owned()))
    }

    /// The pictures below the folder `root` of a tar archive, compressed by gzip; the compressed
    /// pictures are kept in memory. `root` is e.g. `train`, or empty.
    ///
    /// # Errors
    /// A damaged archive; one that has no class with a picture below `root`.
    pub fn open_tar_gz(path: &Path, root: &str) -> Result<Self, DataError> {
        let mut bytes = Vec::new();
        let mut found = BTreeMap::new();
        for_each_file(path, |name, entry| {
            let below = name.strip_prefix(root).map(|n| n.trim_start_matches('/'));
            if let Some((class, file)) = below.and_then(|n| n.split_once('/'))
                && !file.contains('/')
                && is_picture(file)
            {
                let start = bytes.len();
                entry.read_to_end(&mut bytes)?;
                found.insert((class.to_owned(), file.to_owned()), start..bytes.len());
            }
            Ok(())
        })?;
        Self::new(found, path, |ranges| Source::Archive { path: path.to_owned(), bytes, ranges })
    }

    fn new(
        found: BTreeMap<(String, String), Range<usize>>,
        root: &Path,
        source: impl FnOnce(Vec<Range<usize>>) -> Source,
    ) -> Result<Self, DataError> {
        let mut classes: Vec<String> = found.keys().map(|(class, _)| class.clone()).collect();
        classes.dedup();
        if classes.is_empty() {
            let wanted = "class folders with JPEG or PNG pictures";
            return Err(DataError::malformed(root, "folder", "no picture", wanted));
        }
        let mut pictures = Vec::with_capacity(found.len());
        let mut ranges = Vec::with_capacity(found.len());
        for ((class, name), range) in found {
            let label = classes.binary_search(&class).expect("the class was taken from here");
            pictures.push((label as u32, format!("{class}/{name}")));
            ranges.push(range);
        }
        Ok(Self { classes, pictures, source: source(ranges) })
    }

    /// Names in `folder`, sorted.
    pub(crate) fn list(folder: &Path) -> Result<Vec<String>, DataError> {
        let mut names = fs::read_dir(folder)
            .map_err(DataError::io(folder, "list"))?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<std::io::Result<Vec<_>>>()
            .map_err(DataError::io(folder, "list"))?;
        names.sort();
        Ok(names)
    }

    /// Where the pictures come from.
    pub fn root(&self) -> &Path {
        match &self.source {
            Source::Folder(root) => root,
            Source::Archive { path, .. } => path,
        }
    }

    /// The file of picture `i`, as it is.
    ///
    /// # Errors
    /// A file that cannot be read any more.
    pub fn read(&self, i: usize) -> Result<Cow<'_, [u8]>, DataError> {
        match &self.source {
            Source::Folder(root) => {
                let path = root.join(&self.pictures[i].1);
                fs::read(&path).map(Cow::Owned).map_err(DataError::io(&path, "read"))
            }
            Source::Archive { bytes, ranges, .. } => Ok(Cow::Borrowed(&bytes[ranges[i].clone()])),
        }
    }

    /// Picture `i`, decoded.
    ///
    /// # Errors
    /// A file that is neither JPEG nor PNG, or damaged.
    pub fn decode(&self, i: usize) -> Result<DynamicImage, DataError> {
        decode(self.root(), &self.pictures[i].1, &self.read(i)?)
    }
}

/// Calls `keep` with name and content of each plain file of a gzipped tar archive, in its order.
pub(crate) fn for_each_file(
    path: &Path,
    mut keep: impl FnMut(&str, &mut dyn Read) -> std::io::Result<()>,
) -> Result<(), DataError> {
    let file = File::open(path).map_err(DataError::io(path, "open"))?;
    let mut archive = tar::Archive::new(GzDecoder::new(file));
    for entry in archive.entries().map_err(DataError::io(path, "unpack"))? {
        let mut entry = entry.map_err(DataError::io(path, "unpack"))?;
        if entry.header().entry_type().is_file() {
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            keep(&name, &mut entry).map_err(DataError::io(path, "unpack"))?;
        }
    }
    Ok(())
}

/// Decodes one picture; `place` says where in `path` it stands, for the error.
pub(crate) fn decode(path: &Path, place: &str, bytes: &[u8]) -> Result<DynamicImage, DataError> {
    let bad = |found: String| DataError::malformed(path, place, found, "a JPEG or PNG picture");
    let format = match Format::of(bytes) {
        Some(Format::Jpeg) => ImageFormat::Jpeg,
        Some(Format::Png) => ImageFormat::Png,
        None => return Err(bad("another format".to_owned())),
    };
    image::load_from_memory_with_format(bytes, format).map_err(|e| bad(e.to_string()))
}

/// Decodes one picture of `(height, width)` into `out: [3, height, width]`.
pub(crate) fn decode_rgb(
    path: &Path,
    place: &str,
    bytes: &[u8],
    (height, width): (usize, usize),
    out: &mut [u8],
) -> Result<(), DataError> {
    let picture = decode(path, place, bytes)?.into_rgb8();
    if (picture.height() as usize, picture.width() as usize) != (height, width) {
        let found = format!("{}x{} pixels", picture.width(), picture.height());
        return Err(DataError::malformed(path, place, found, format!("{width}x{height}")));
    }
    let plane = height * width;
    for (i, pixel) in picture.as_raw().chunks_exact(3).enumerate() {
        for (channel, level) in pixel.iter().enumerate() {
            out[channel * plane + i] = *level; // [height, width, 3] to [3, height, width]
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use image::{ImageBuffer, Rgb};

    use super::*;

    /// A picture of one colour, as a file.
    fn picture(format: ImageFormat, colour: [u8; 3]) -> Vec<u8> {
        let mut bytes = std::io::Cursor::new(Vec::new());
        let picture = ImageBuffer::from_pixel(4, 2, Rgb(colour));
        DynamicImage::ImageRgb8(picture).write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    fn folder() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let png = picture(ImageFormat::Png, [1, 2, 3]);
        let jpeg = picture(ImageFormat::Jpeg, [200, 200, 200]);
        for (path, bytes) in [
            ("train/zebra/b.png", &png),
            ("train/zebra/a.JPEG", &jpeg),
            ("train/ant/x.png", &png),
            ("train/ant/.hidden.png", &png),
            ("train/ant/notes.txt", &png),
            ("train/readme.png", &png),
        ] {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        fs::create_dir_all(dir.path().join("train/empty")).unwrap();
        dir
    }

    #[test]
    fn classes_and_pictures_are_sorted_and_other_files_passed_over() {
        let dir = folder();
        let folder = ImageFolder::open(&dir.path().join("train")).unwrap();
        assert_eq!(folder.classes, ["ant", "zebra"]);
        let expected = [(0, "ant/x.png"), (1, "zebra/a.JPEG"), (1, "zebra/b.png")];
        assert_eq!(folder.pictures, expected.map(|(l, p)| (l, p.to_owned())));
        assert_eq!(folder.decode(2).unwrap().into_rgb8().get_pixel(3, 1), &Rgb([1, 2, 3]));
    }

    #[test]
    fn an_archive_of_the_folder_reads_the_same() {
        let dir = folder();
        let path = dir.path().join("pictures.tar.gz");
        let gz = flate2::write::GzEncoder::new(
            File::create(&path).unwrap(),
            flate2::Compression::fast(),
        );
        let mut tar = tar::Builder::new(gz);
        tar.append_dir_all("train", dir.path().join("train")).unwrap();
        tar.into_inner().unwrap().finish().unwrap();
        let archive = ImageFolder::open_tar_gz(&path, "train").unwrap();
        let folder = ImageFolder::open(&dir.path().join("train")).unwrap();
        assert_eq!(archive.classes, folder.classes);
        assert_eq!(archive.pictures, folder.pictures);
        for i in 0..3 {
            assert_eq!(archive.read(i).unwrap(), folder.read(i).unwrap());
        }
    }

    #[test]
    fn a_picture_under_the_wrong_extension_is_told_by_its_bytes() {
        let png = picture(ImageFormat::Png, [9, 8, 7]);
        let mut out = [0; 24];
        decode_rgb(Path::new("p"), "x.jpg", &png, (2, 4), &mut out).unwrap();
        assert_eq!(out[..8], [9; 8]);
        assert_eq!(out[16..], [7; 8]);
    }

    #[test]
    fn damaged_pictures_and_wrong_sizes_name_the_file_and_the_place() {
        let png = picture(ImageFormat::Png, [9, 8, 7]);
        let at = |bytes: &[u8], size| {
            let mut out = vec![0; 3 * 32 * 32];
            decode_rgb(Path::new("pictures.tar"), "cat/1.png", bytes, size, &mut out)
                .unwrap_err()
                .to_string()
        };
        for error in [at(&png[..png.len() / 2], (2, 4)), at(b"GIF89a", (2, 4)), at(b"", (2, 4))] {
            assert!(error.starts_with("pictures.tar: cat/1.png: found "), "{error}");
        }
        assert!(at(&png, (32, 32)).ends_with("found 4x2 pixels, wanted 32x32"));
    }

    #[test]
    fn a_folder_without_pictures_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let error = ImageFolder::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("no picture"), "{error}");
    }
}
