//! Where photographs come from: a folder or an archive of class folders, and its splits.

use std::borrow::Cow;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::PhotosError;
use crate::data::error::DataError;
use crate::data::image_folder::{ImageFolder, is_picture};
use crate::data::lookup::Located;
use crate::data::sampler::epoch_order;
use crate::data::verify::sha256_text;

/// A split of a prepared set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SplitName {
    /// To learn from.
    Train,
    /// To choose and to measure by.
    Val,
}

/// Class folders of photographs.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// A folder, or a `.tar.gz` of at most 4 GB: it is held in memory while it is read.
    pub path: PathBuf,
    /// `None`: there are `train/<class>/` and `val/<class>/`; the latter may be missing. `Some(share)`:
    /// this share of the pictures of each class becomes `val`, from `train/<class>/` or `<class>/`.
    pub val_share: Option<f64>,
    /// Known sum over the content, of a set of the catalogue.
    sha256: Option<String>,
}

/// An archive is held in memory.
const LARGEST_ARCHIVE: u64 = 4 << 30;

/// The same pictures are held out each time.
const HOLDOUT_SEED: u64 = 0;

impl Source {
    /// A user's folder or archive.
    pub fn new(path: &Path, val_share: Option<f64>) -> Self {
        Self { path: path.to_owned(), val_share, sha256: None }
    }

    /// A set of the catalogue that is one archive of class folders, e.g. `imagenette-128`.
    ///
    /// # Errors
    /// A set that has no such archive.
    pub fn located(located: &Located) -> Result<Self, PhotosError> {
        let archive =
            located.files.iter().find(|f| f.name.ends_with(".tar.gz")).ok_or_else(|| {
                PhotosError::misfit(
                    &located.name,
                    "no .tar.gz",
                    "a set of photographs in class folders",
                )
            })?;
        let sha256 = Some(archive.sha256.clone());
        Ok(Self { path: archive.path.clone(), val_share: None, sha256 })
    }

    /// Lists the pictures; decodes none.
    ///
    /// # Errors
    /// No class with a picture; a class folder without one; a class of `val` that `train` lacks; a share
    /// that is not between 0 and 1 or contradicts a `val` folder.
    pub(super) fn list(&self) -> Result<Listed, PhotosError> {
        if let Some(share) = self.val_share
            && !(share > 0.0 && share < 1.0)
        {
            let wanted = "a share above 0 and below 1, e.g. 0.1";
            return Err(PhotosError::misfit("--val-share", share.to_string(), wanted));
        }
        let is_folder = self.path.is_dir();
        let has = |split: &str| is_folder && self.path.join(split).is_dir();
        if self.val_share.is_some() && has("val") {
            let wanted = "no val folder: leave the flag out, or move the folder away";
            return Err(PhotosError::misfit("--val-share", "a folder val beside train", wanted));
        }
        let train = match self.val_share {
            Some(_) if is_folder && !has("train") => self.open("")?,
            _ => self.open("train")?,
        };
        let train = train.ok_or_else(|| {
            let wanted = "train/<class>/<picture>; for one folder of classes pass --val-share 0.1";
            PhotosError::misfit(self.path.display().to_string(), "no folder train", wanted)
        })?;
        let val = if self.val_share.is_none() { self.open("val")? } else { None };
        let classes = train.classes.clone();
        let mut pictures = Vec::new();
        for (i, (label, _)) in train.pictures.iter().enumerate() {
            pictures.push(Entry { from: SplitName::Train, at: i, label: *label });
        }
        let mut n_train = pictures.len();
        if let Some(val) = &val {
            for (i, (label, _)) in val.pictures.iter().enumerate() {
                let class = &val.classes[*label as usize];
                let label = classes.binary_search(class).map_err(|_| {
                    let wanted = "a class of train: each split has the same class folders";
                    PhotosError::misfit(
                        format!("{}", self.path.display()),
                        format!("val/{class}"),
                        wanted,
                    )
                })?;
                pictures.push(Entry { from: SplitName::Val, at: i, label: label as u32 });
            }
        } else if let Some(share) = self.val_share {
            n_train = hold_out(&mut pictures, classes.len(), share);
        }
        if n_train == pictures.len() {
            tracing::warn!("{}: no folder val, so no validation pictures", self.path.display());
        }
        Ok(Listed { classes, train, val, pictures, n_train })
    }

    /// The class folders below `split`; `None` if there is no such folder.
    fn open(&self, split: &str) -> Result<Option<ImageFolder>, PhotosError> {
        if self.path.is_dir() {
            let root = self.path.join(split);
            if !root.is_dir() {
                return Ok(None);
            }
            let folder = ImageFolder::open(&root).map_err(|error| explain_flat(error, &root))?;
            for class in ImageFolder::list(&root)? {
                if root.join(&class).is_dir()
                    && !class.starts_with('.')
                    && folder.classes.binary_search(&class).is_err()
                {
                    return Err(PhotosError::EmptyClass { path: root.join(class) });
                }
            }
            return Ok(Some(folder));
        }
        let meta = fs::metadata(&self.path).map_err(DataError::io(&self.path, "open"))?;
        if meta.len() > LARGEST_ARCHIVE {
            let found = format!("an archive of {} MB", meta.len() / 1_000_000);
            let wanted = "at most 4 GB: unpack it and name the folder";
            return Err(PhotosError::misfit(self.path.display().to_string(), found, wanted));
        }
        match ImageFolder::open_tar_gz(&self.path, split) {
            Ok(folder) => Ok(Some(folder)),
            Err(DataError::Malformed { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// What tells these pictures from others without reading them: the known sum, or names, sizes and
    /// times of change.
    pub(super) fn key(&self, listed: &Listed) -> Result<String, PhotosError> {
        let mut text = format!("{:?}\n", self.val_share);
        match &self.sha256 {
            Some(sum) => text += sum,
            None if self.path.is_dir() => {
                for i in 0..listed.pictures.len() {
                    text += &stamp(&listed.path(i))?;
                }
            }
            None => text += &stamp(&self.path)?,
        }
        Ok(sha256_text(&text))
    }
}

/// Name, size and time of change.
fn stamp(path: &Path) -> Result<String, DataError> {
    let meta = fs::metadata(path).map_err(DataError::io(path, "read"))?;
    let modified = meta.modified().map_err(DataError::io(path, "read"))?;
    let ns = modified.duration_since(UNIX_EPOCH).map_or(0, |t| t.as_nanos());
    Ok(format!("{}\n{}\n{ns}\n", path.display(), meta.len()))
}

/// The official validation archive has no class folders: that is a common way to get here.
fn explain_flat(error: DataError, root: &Path) -> PhotosError {
    let flat = ImageFolder::list(root).is_ok_and(|names| names.iter().any(|n| is_picture(n)));
    if !flat {
        return error.into();
    }
    PhotosError::misfit(
        root.display().to_string(),
        "pictures that are not in class folders",
        "<class>/<picture>: sort them into one folder a class first",
    )
}

/// Moves a share of each class to the end, in the order of before; returns how many stay.
fn hold_out(pictures: &mut Vec<Entry>, classes: usize, share: f64) -> usize {
    let mut held = vec![false; pictures.len()];
    let mut start = 0;
    for class in 0..classes {
        let n = pictures[start..].iter().take_while(|p| p.label as usize == class).count();
        let take = ((n as f64 * share).round() as usize).clamp(usize::from(n > 1), n.max(1) - 1);
        for &i in &epoch_order(HOLDOUT_SEED, class as u64, n)[..take] {
            held[start + i as usize] = true;
        }
        start += n;
    }
    let pick = |wanted: bool| {
        pictures.iter().zip(&held).filter(move |(_, held)| **held == wanted).map(|(p, _)| *p)
    };
    let (train, val): (Vec<_>, Vec<_>) = (pick(false).collect(), pick(true).collect());
    let n_train = train.len();
    *pictures = [train, val].concat();
    n_train
}

/// The pictures of a source, `train` first.
pub(super) struct Listed {
    pub(super) classes: Vec<String>,
    train: ImageFolder,
    val: Option<ImageFolder>,
    pub(super) pictures: Vec<Entry>,
    pub(super) n_train: usize,
}

/// One picture: where it is listed, and its class.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    from: SplitName,
    at: usize,
    pub(super) label: u32,
}

impl Listed {
    fn folder(&self, i: usize) -> (&ImageFolder, usize) {
        let entry = self.pictures[i];
        match (entry.from, &self.val) {
            (SplitName::Val, Some(val)) => (val, entry.at),
            _ => (&self.train, entry.at),
        }
    }

    /// Its path below the source, `<class>/<picture>`.
    pub(super) fn name(&self, i: usize) -> &str {
        let (folder, at) = self.folder(i);
        &folder.pictures[at].1
    }

    /// Where it lies, for messages; inside an archive, behind the archive's path.
    pub(super) fn path(&self, i: usize) -> PathBuf {
        let (folder, at) = self.folder(i);
        folder.root().join(&folder.pictures[at].1)
    }

    /// The file as it is.
    pub(super) fn read(&self, i: usize) -> Result<Cow<'_, [u8]>, DataError> {
        let (folder, at) = self.folder(i);
        folder.read(at)
    }
}

impl fmt::Display for SplitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Train => "train",
            Self::Val => "val",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(pictures: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for picture in pictures {
            let path = dir.path().join(picture);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, picture).unwrap();
        }
        dir
    }

    fn list(dir: &Path, val_share: Option<f64>) -> Result<Listed, String> {
        Source::new(dir, val_share).list().map_err(|e| e.to_string())
    }

    /// Names of `train` and of `val`.
    fn names(listed: &Listed) -> [Vec<&str>; 2] {
        let all: Vec<&str> = (0..listed.pictures.len()).map(|i| listed.name(i)).collect();
        let (train, val) = all.split_at(listed.n_train);
        [train.to_vec(), val.to_vec()]
    }

    #[test]
    fn labels_of_val_are_those_of_train_also_when_it_lacks_a_class() {
        let dir = folder(&["train/a/1.jpg", "train/b/2.jpg", "train/c/3.jpg", "val/c/4.jpg"]);
        let listed = list(dir.path(), None).unwrap();
        assert_eq!(listed.classes, ["a", "b", "c"]);
        assert_eq!(names(&listed), [vec!["a/1.jpg", "b/2.jpg", "c/3.jpg"], vec!["c/4.jpg"]]);
        assert_eq!(listed.pictures.iter().map(|p| p.label).collect::<Vec<_>>(), [0, 1, 2, 2]);
        assert_eq!(listed.read(3).unwrap().as_ref(), b"val/c/4.jpg");
    }

    #[test]
    fn an_archive_lists_and_reads_as_the_folder_does() {
        let dir = folder(&["train/a/1.jpg", "train/b/2.jpg", "val/b/3.jpg"]);
        let path = dir.path().join("set.tar.gz");
        let file = fs::File::create(&path).unwrap();
        let mut tar =
            tar::Builder::new(flate2::write::GzEncoder::new(file, flate2::Compression::fast()));
        for split in ["train", "val"] {
            tar.append_dir_all(split, dir.path().join(split)).unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap();
        let (folder, archive) = (list(dir.path(), None).unwrap(), list(&path, None).unwrap());
        assert_eq!(names(&archive), names(&folder));
        for i in 0..3 {
            assert_eq!(archive.read(i).unwrap(), folder.read(i).unwrap());
        }
    }

    #[test]
    fn a_share_of_each_class_is_held_out_the_same_each_time() {
        let pictures: Vec<String> = (0..30).map(|i| format!("{}/{i:02}.jpg", i % 2)).collect();
        let mut all: Vec<&str> = pictures.iter().map(String::as_str).collect();
        all.push("2/only.jpg");
        for prefix in ["", "train/"] {
            let with: Vec<String> = all.iter().map(|p| format!("{prefix}{p}")).collect();
            let dir = folder(&with.iter().map(String::as_str).collect::<Vec<_>>());
            let listed = list(dir.path(), Some(0.2)).unwrap();
            let [train, val] = names(&listed);
            assert_eq!(val.iter().filter(|n| n.starts_with("0/")).count(), 3);
            assert_eq!(val.iter().filter(|n| n.starts_with("1/")).count(), 3);
            assert!(train.contains(&"2/only.jpg"), "the last of a class is not held out");
            let mut found = [train, val.clone()].concat();
            found.sort_unstable();
            all.sort_unstable();
            assert_eq!(found, all);
            assert_eq!(names(&list(dir.path(), Some(0.2)).unwrap())[1], val);
        }
    }

    #[test]
    fn what_a_folder_lacks_is_said_with_the_way_out() {
        let said = |pictures: &[&str], share: Option<f64>| {
            list(folder(pictures).path(), share).err().unwrap()
        };
        assert!(said(&["a/1.jpg"], None).contains("pass --val-share"));
        assert!(said(&["train/a/1.jpg", "val/1.jpg"], None).contains("sort them into one folder"));
        assert!(said(&["train/a/1.jpg", "val/b/1.jpg"], None).contains("val/b"));
        assert!(said(&["train/a/1.jpg", "val/a/1.jpg"], Some(0.1)).contains("--val-share"));
        assert!(said(&["train/a/1.jpg"], Some(1.0)).contains("below 1"));
        let empty = said(&["train/a/1.jpg", "train/b/notes.txt", "val/a/1.jpg"], None);
        assert!(empty.contains("train/b: found no .jpg, .jpeg or .png"), "{empty}");
    }
}
