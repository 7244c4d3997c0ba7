//! Preparing, and preparing again.

use std::sync::Arc;

use super::*;
use crate::data::photos::layout::PIXELS_AT;
use crate::data::photos::{Part, Statistics};

const OPTIONS: PrepareOptions = PrepareOptions { side: 16, skip_corrupt: false, threads: 2 };

fn fixture(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/photos");
    fs::read(format!("{folder}/{name}")).unwrap()
}

fn write(folder: &Path, path: &str, bytes: &[u8]) {
    let path = folder.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Two classes with 80 and 3 pictures to learn from and one each for validation.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for i in 0..80 {
        let turn = fixture(&format!("turn-{}.jpg", i % 8 + 1));
        write(dir.path(), &format!("train/ant/{i:02}.JPEG"), &turn);
    }
    for (name, from) in [("a.jpg", "cmyk.jpg"), ("b.jpg", "disguised.jpg"), ("c.png", "alpha.png")]
    {
        write(dir.path(), &format!("train/bee/{name}"), &fixture(from));
    }
    write(dir.path(), "val/ant/x.jpg", &fixture("grey.jpg"));
    write(dir.path(), "val/bee/y.jpg", &fixture("progressive.jpg"));
    dir
}

fn pack(dir: &Path, options: &PrepareOptions) -> Result<PreparedSet, PhotosError> {
    prepare(&Source::new(dir, None), &dir.join("out.photos"), options)?;
    PreparedSet::open(&dir.join("out.photos"))
}

#[test]
fn a_prepared_file_holds_each_picture_as_decoded_with_its_label_name_and_split() {
    let dir = folder();
    let set = Arc::new(pack(dir.path(), &OPTIONS).unwrap());
    assert_eq!(set.classes(), ["ant", "bee"]);
    assert_eq!((set.split(SplitName::Train), set.split(SplitName::Val)), (0..83, 83..85));
    assert_eq!(
        (set.name(0), set.name(82), set.name(84)),
        ("ant/00.JPEG", "bee/c.png", "bee/y.jpg")
    );
    for i in 0..85 {
        let split = if i < 83 { "train" } else { "val" };
        let bytes = fs::read(dir.path().join(split).join(set.name(i))).unwrap();
        let mut expected = vec![0; 16 * 16 * 3];
        square(&decode(&bytes).unwrap(), 16, &mut expected);
        assert_eq!(set.picture(i), expected, "{}", set.name(i));
        assert_eq!(set.label(i), u32::from(set.name(i).starts_with("bee")));
    }
    let part = set.part(SplitName::Train).unwrap();
    let expected = Statistics::of(&part).unwrap();
    assert_eq!(set.mean(), expected.mean);
    assert_eq!(Some(set.pca()), expected.pca.as_ref());
    set.check().unwrap();
    let whole = Part::new(set.clone(), 0..85).unwrap();
    assert_ne!(Statistics::of(&whole).unwrap().mean, set.mean(), "val is not in the mean");
}

#[test]
fn the_file_is_the_same_whatever_the_threads_and_only_made_once() {
    let dir = folder();
    let source = Source::new(dir.path(), None);
    let made = [1, 3].map(|threads| {
        let out = dir.path().join(format!("{threads}.photos"));
        let report = prepare(&source, &out, &PrepareOptions { threads, ..OPTIONS }).unwrap();
        assert!(!report.was_there);
        fs::read(out).unwrap()
    });
    assert_eq!(made[0], made[1]);
    let again = prepare(&source, &dir.path().join("1.photos"), &OPTIONS).unwrap();
    assert_eq!((again.train, again.val, again.classes, again.was_there), (83, 2, 2, true));
    let names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 4, "nothing half-written stays: {names:?}");
}

#[test]
fn a_corrupt_picture_is_named_and_left_out_only_when_asked() {
    let dir = folder();
    write(dir.path(), "train/bee/bad.jpg", &fixture("baseline-444.jpg")[..900]);
    let error = pack(dir.path(), &OPTIONS).err().unwrap().to_string();
    let path = dir.path().join("train/bee/bad.jpg").display().to_string();
    assert!(error.starts_with(&path) && error.contains("--skip-corrupt"), "{error}");
    assert!(!dir.path().join("out.photos").exists());
    let set = pack(dir.path(), &PrepareOptions { skip_corrupt: true, ..OPTIONS }).unwrap();
    assert_eq!(set.skipped(), [path]);
    assert_eq!((set.split(SplitName::Train), set.name(82)), (0..83, "bee/c.png"));
}

#[test]
fn another_version_a_cut_file_and_a_changed_byte_are_refused_with_the_way_out() {
    let dir = folder();
    let set = pack(dir.path(), &OPTIONS).unwrap();
    let path = set.path().to_owned();
    drop(set);
    let good = fs::read(&path).unwrap();
    let refused = |bytes: &[u8], word: &str| {
        fs::write(&path, bytes).unwrap();
        let error = PreparedSet::open(&path).err().unwrap().to_string();
        assert!(error.contains(word) && error.contains("prepare the pictures again"), "{error}");
    };
    let changed = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    refused(&changed(8), "version 0 where this program reads 1");
    refused(&good[..good.len() - 1], "bytes where");
    refused(&good[..40], "cut short");
    refused(&changed(0), "not a prepared set");
    refused(b"", "not a prepared set");
    for at in [20, 40, good.len() - 1, good.len() - 3000] {
        assert!({
            fs::write(&path, changed(at)).unwrap();
            PreparedSet::open(&path).is_err()
        });
    }
    fs::write(&path, changed(PIXELS_AT + 5000)).unwrap();
    let error = PreparedSet::open(&path).unwrap().check().unwrap_err().to_string();
    assert!(error.contains("pixels with sha256"), "{error}");
    let error = prepare(&Source::new(dir.path(), None), &path, &OPTIONS).unwrap_err().to_string();
    assert!(error.contains("pixels with sha256"), "{error}");
}

#[test]
fn the_sum_changes_with_a_pixel_and_with_a_split_and_not_with_the_time() {
    let dir = folder();
    let of = |source: &Source, name: &str| {
        let out = dir.path().join(name);
        prepare(source, &out, &OPTIONS).unwrap();
        PreparedSet::open(&out).unwrap().sha256().to_owned()
    };
    let source = Source::new(dir.path(), None);
    let first = of(&source, "1");
    write(dir.path(), "val/ant/x.jpg", &fixture("grey.jpg"));
    assert_eq!(of(&source, "2"), first);
    fs::rename(dir.path().join("val/ant/x.jpg"), dir.path().join("train/ant/99.jpg")).unwrap();
    write(dir.path(), "val/ant/z.jpg", &fixture("grey.jpg"));
    assert_ne!(of(&source, "3"), first);
}

#[test]
fn a_set_in_the_cache_is_prepared_once_and_found_again() {
    let (dir, cache) = (folder(), tempfile::tempdir().unwrap());
    let lookup = Lookup::in_cache(cache.path().to_owned());
    let source = Source::new(dir.path(), None);
    let made = prepared(&source, &lookup, 16).unwrap();
    assert_eq!(made.path(), default_place(&source, &lookup, 16).unwrap());
    let time = |set: &PreparedSet| fs::metadata(set.path()).unwrap().modified().unwrap();
    let again = prepared(&source, &lookup, 16).unwrap();
    assert_eq!(time(&made), time(&again));
    assert_ne!(prepared(&source, &lookup, 8).unwrap().path(), made.path());
    write(dir.path(), "train/bee/new.png", &fixture("rgb.png"));
    assert_ne!(prepared(&source, &lookup, 16).unwrap().path(), made.path());
}
