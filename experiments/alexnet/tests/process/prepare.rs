//! `prepare`: folders as users have them, and what is said about each bad picture.

use std::fs;
use std::path::{Path, PathBuf};

use common::data::photos::{PreparedSet, SplitName};
use testing::said;

use crate::place::{Place, assert_code, fails, stdout, succeeds};

/// A picture that the library's tests made with Pillow.
fn picture(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../common/tests/fixtures/photos");
    fs::read(Path::new(folder).join(name)).unwrap()
}

fn write(place: &Place, path: &str, bytes: &[u8]) -> PathBuf {
    let path = place.path(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, bytes).unwrap();
    path
}

/// A folder `photos` with every kind of picture that ImageNet holds.
fn photos() -> Place {
    let place = Place::new();
    for (path, from) in [
        ("train/cat/plain.JPEG", "baseline-420.jpg"),
        ("train/cat/grey.JPEG", "grey.jpg"),
        ("train/cat/cmyk.JPEG", "cmyk.jpg"),
        ("train/cat/ycck.JPEG", "ycck.jpg"),
        ("train/dog/png.JPEG", "disguised.jpg"),
        ("train/dog/turned.JPEG", "turn-6.jpg"),
        ("train/dog/upright.JPEG", "turn-1.jpg"),
        ("val/cat/1.JPEG", "progressive.jpg"),
        ("val/dog/2.png", "alpha.png"),
    ] {
        write(&place, &format!("photos/{path}"), &picture(from));
    }
    place
}

const PREPARE: [&str; 6] = ["prepare", "photos", "--out", "out.photos", "--side", "16"];

#[test]
fn every_kind_of_picture_is_prepared_and_the_path_printed() {
    let place = photos();
    let output = place.alexnet(&PREPARE).output().unwrap();
    assert_code(&output, 0);
    assert_eq!(stdout(&output), "out.photos\n");
    let told = "7 training and 2 validation pictures in 2 classes";
    assert!(said(&output).contains(told), "{}", said(&output));
    let set = PreparedSet::open(&place.path("out.photos")).unwrap();
    set.check().unwrap();
    let of = |name: &str| {
        let i = (0..9).find(|&i| set.name(i) == name).unwrap();
        set.picture(i).to_vec()
    };
    let mean_apart = |a: &[u8], b: &[u8]| {
        a.iter().zip(b).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / a.len() as f64
    };
    // The same scene each time: inverted or swapped colours would be dozens of levels away.
    let plain = of("cat/plain.JPEG");
    for name in ["cat/cmyk.JPEG", "cat/ycck.JPEG", "dog/png.JPEG"] {
        let apart = mean_apart(&of(name), &plain);
        assert!(apart < 6.0, "{name}: {apart} levels from the plain picture on average");
    }
    assert!(of("cat/grey.JPEG").chunks_exact(3).all(|p| p[0] == p[1] && p[1] == p[2]));
    // Orientation 6: the camera lay on its left side, so the picture is turned a quarter to the right.
    let (turned, upright) = (of("dog/turned.JPEG"), of("dog/upright.JPEG"));
    let quarter: Vec<u8> = (0..256)
        .flat_map(|at| {
            let from = ((15 - at % 16) * 16 + at / 16) * 3;
            upright[from..from + 3].to_vec()
        })
        .collect();
    assert!(mean_apart(&turned, &quarter) < 1.0, "{}", mean_apart(&turned, &quarter));
}

#[test]
fn a_corrupt_picture_is_named_and_with_the_flag_named_and_counted() {
    let place = photos();
    write(&place, "photos/train/cat/cut.JPEG", &picture("baseline-444.jpg")[..700]);
    write(&place, "photos/val/dog/text.JPEG", b"not a picture");
    let words = ["photos/train/cat/cut.JPEG", "cut short", "--skip-corrupt"];
    fails(place.alexnet(&PREPARE), 1, &words);
    assert!(!place.path("out.photos").exists());
    let left = fs::read_dir(place.path("")).unwrap().map(|e| e.unwrap().file_name());
    let part: Vec<_> = left.filter(|n| n.to_string_lossy().starts_with(".part")).collect();
    assert!(part.is_empty(), "{part:?}");
    let said = succeeds(place.alexnet(&[PREPARE.as_slice(), &["--skip-corrupt"]].concat()));
    for word in [
        "skipped photos/train/cat/cut.JPEG: damaged JPEG",
        "skipped photos/val/dog/text.JPEG: neither JPEG nor PNG",
        "7 training and 2 validation pictures",
        "2 that could not be decoded left out",
    ] {
        assert!(said.contains(word), "expected: {word}\n     got: {said}");
    }
}

#[test]
fn an_empty_class_folder_is_named() {
    let place = photos();
    fs::create_dir(place.path("photos/train/emu")).unwrap();
    fails(place.alexnet(&PREPARE), 1, &["photos/train/emu", "no .jpg", "delete the folder"]);
}

#[test]
fn a_file_of_another_version_or_other_pictures_is_refused_with_the_way_out() {
    let place = photos();
    succeeds(place.alexnet(&PREPARE));
    let said = succeeds(place.alexnet(&PREPARE));
    assert!(said.contains("was there already, whole"), "{said}");
    let path = place.path("out.photos");
    let good = fs::read(&path).unwrap();
    let mut other = good.clone();
    other[8] = 9;
    fs::write(&path, &other).unwrap();
    let words = ["out.photos: found version 9 where this program reads 1", "delete it"];
    fails(place.alexnet(&PREPARE), 1, &words);
    fs::write(&path, &good[..good.len() / 2]).unwrap();
    fails(place.alexnet(&PREPARE), 1, &["out.photos", "bytes where", "prepare the pictures again"]);
    fs::write(&path, &good).unwrap();
    write(&place, "photos/train/dog/new.png", &picture("rgb.png"));
    fails(place.alexnet(&PREPARE), 1, &["out.photos", "other pictures", "delete it"]);
}

#[test]
fn one_folder_of_classes_is_split_by_the_flag_and_without_it_the_flag_is_named() {
    let place = photos();
    let args = ["prepare", "photos/train", "--out", "out.photos", "--side", "16"];
    fails(place.alexnet(&args), 1, &["photos/train", "--val-share 0.1"]);
    fails(place.alexnet(&[&args[..], &["--val-share", "1.5"]].concat()), 2, &["--val-share"]);
    succeeds(place.alexnet(&[&args[..], &["--val-share", "0.25"]].concat()));
    let set = PreparedSet::open(&place.path("out.photos")).unwrap();
    assert_eq!((set.split(SplitName::Train), set.split(SplitName::Val)), (0..5, 5..7));
}

#[test]
fn a_name_that_is_neither_folder_nor_data_set_is_an_error() {
    let place = Place::new();
    fails(place.alexnet(&["prepare", "no/such/folder"]), 1, &["no/such/folder: no such folder"]);
    fails(place.alexnet(&["prepare", "imagenete-128"]), 2, &["did you mean `imagenette-128`"]);
}
