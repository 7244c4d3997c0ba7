//! Files from outside, damaged: no reader panics or takes memory for what a file only claims to hold. 256 damaged files a
//! reader here; `PROPTEST_CASES=100000` is the long form.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use common::checkpoint::Store;
use common::data::cifar10;
use common::data::digits_json;
use common::data::idx;
use common::data::image_folder::ImageFolder;
use common::data::lookup::{Layout, Located, LocatedFile, Source};
use common::data::photos::decode;
use common::data::pickle::Pickle;
use common::data::text::input::each_file;
use common::data::text::labelled;
use common::data::text::reviews::{Format, each_review};
use common::data::tokenizer::{ByteLevelTokenizer, Document, Mode, TokenFile, Tokenizer};
use common::weights::StateDict;
use flate2::Compression;
use flate2::write::GzEncoder;
use tch::{Device, Kind, Tensor};
use testing::damage::{survives, survives_file, survives_within};

/// A vocabulary of seven tokens, and its merges.
const VOCAB: &str = r#"{"<unk>":0,"a":1,"b":2,"a</w>":3,"b</w>":4,"ab</w>":5,"\n</w>":6}"#;
const MERGES: &str = "#version: 0.2\na b</w>\n";

fn tensors() -> [(String, Tensor); 1] {
    [("a.weight".to_owned(), Tensor::ones([2, 3], (Kind::Float, Device::Cpu)))]
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, *bytes).unwrap();
    }
    archive.into_inner().unwrap()
}

fn fixture(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)).unwrap()
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn located_file(path: &Path) -> LocatedFile {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    LocatedFile { name, path: path.to_owned(), sha256: String::new() }
}

#[test]
fn idx_survives() {
    let folder = folder();
    let labels = folder.path().join("labels");
    fs::write(&labels, [0, 0, 8, 1, 0, 0, 0, 3, 0, 1, 2]).unwrap();
    let mut pictures = vec![0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 2];
    pictures.extend([7; 12]);
    let classes: Vec<String> = (0..3).map(|i| i.to_string()).collect();
    let whole = [gz(&pictures), pictures];
    survives_file(folder.path(), "pictures", &whole, |path| {
        drop(idx::read(path, &labels, &classes));
    });
}

#[test]
fn archives_of_cifar_survive() {
    let folder = folder();
    let binary = tar(&[("cifar-10-batches-bin/data_batch_1.bin", &[3; 3073])]);
    let pickled = tar(&[("cifar-10-batches-py/data_batch_1", &fixture("cifar10_batch.pickle"))]);
    survives_file(folder.path(), "binary.tar.gz", &[gz(&binary), binary], |path| {
        drop(cifar10::binary::read_archive(path));
        drop(cifar10::python::read_archive(path));
    });
    survives_file(folder.path(), "python.tar.gz", &[gz(&pickled), pickled], |path| {
        drop(cifar10::python::read_archive(path));
        drop(cifar10::jpeg::read(path, path));
    });
}

#[test]
fn pickles_survive() {
    survives(&[fixture("cifar10_batch.pickle")], |bytes| {
        let Ok(pickle) = Pickle::parse(bytes) else { return };
        for key in ["data", "labels"] {
            let Some(id) = pickle.get(key) else { continue };
            drop((pickle.bytes(id), pickle.ints(id), pickle.bytes_array(id), pickle.entries()));
            let _ = (pickle.tensor(id), pickle.what(id));
        }
    });
}

#[test]
fn digits_in_json_survive() {
    let numbers = vec!["0.125"; 2 * 784].join(",");
    let folder = folder();
    let whole = [format!("{{\"data\":[{numbers}]}}").into_bytes()];
    survives_file(folder.path(), "0.json", &whole, |path| {
        drop(digits_json::read(&[located_file(path)]));
    });
}

#[test]
fn pictures_survive() {
    let names = ["baseline-420.jpg", "cmyk.jpg", "alpha.png", "grey-16.png", "palette.png"];
    let whole = names.map(|name| fixture(&format!("photos/{name}")));
    // A header may claim up to 100 million pixels.
    survives_within(1 << 30, &whole, |bytes| drop(decode(bytes)));
}

#[test]
fn archives_of_pictures_survive() {
    let folder = folder();
    let (cat, dog) = (fixture("photos/grey.jpg"), fixture("photos/palette.png"));
    let archive = tar(&[("train/cat/1.jpg", &cat), ("train/dog/1.png", &dog)]);
    survives_file(folder.path(), "photos.tar.gz", &[gz(&archive), archive], |path| {
        let Ok(pictures) = ImageFolder::open_tar_gz(path, "train") else { return };
        drop((pictures.read(0), pictures.decode(0)));
    });
}

#[test]
fn weights_survive() {
    let folder = folder();
    let tensors = tensors();
    let path = folder.path().join("weights.safetensors");
    Tensor::write_safetensors(&tensors, &path).unwrap();
    let mut whole = vec![fs::read(&path).unwrap()];
    let names = [
        "state_dict.pth",
        "module_state.pth",
        "checkpoint.pth",
        "whole_module.pth",
        "script.pth",
        "before_1_6.pth",
    ];
    whole.extend(names.map(fixture));
    survives_file(folder.path(), "weights", &whole, |path| {
        let Ok(weights) = StateDict::read(path) else { return };
        let most = fs::metadata(path).unwrap().len() as usize * 64;
        for name in weights.names() {
            let tensor = weights.get(name).unwrap();
            assert!(tensor.numel() <= most, "{name}: {:?} out of {most} bytes", tensor.size());
        }
    });
}

#[test]
fn checkpoints_survive() {
    let folder = folder();
    let store = Store::new(folder.path().join("checkpoints"));
    let tensors = tensors();
    store.save(7, &tensors, &tensors, &vec![1.5, 2.5], false).unwrap();
    let step = store.folder().join("step-7");
    for name in ["model.safetensors", "optim.safetensors", "state.json"] {
        let whole = fs::read(step.join(name)).unwrap();
        survives_file(&step, name, std::slice::from_ref(&whole), |path| {
            let loaded = store.load::<Vec<f64>>();
            let same = fs::read(path).unwrap() == whole;
            assert!(
                same || name == "state.json" || loaded.is_err(),
                "{name} was changed, and loaded"
            );
        });
        fs::write(step.join(name), whole).unwrap();
    }
    assert!(store.load::<Vec<f64>>().unwrap().is_some());
}

#[test]
fn vocabularies_survive() {
    let folder = folder();
    let [vocab_path, merges_path] =
        ["vocab.json", "merges.txt"].map(|name| folder.path().join(name));
    let read = |_: &Path| {
        if let Ok(tokenizer) = Tokenizer::open(Mode::Hf, folder.path()) {
            drop(tokenizer.decode(&tokenizer.encode("ab a\u{1f600} b\n")));
        }
        if let Ok(tokenizer) = ByteLevelTokenizer::open(folder.path()) {
            drop(format!("{tokenizer:?}"));
        }
    };
    fs::write(&vocab_path, VOCAB).unwrap();
    survives_file(folder.path(), "merges.txt", &[MERGES.as_bytes().to_vec()], read);
    fs::write(&merges_path, MERGES).unwrap();
    survives_file(folder.path(), "vocab.json", &[VOCAB.as_bytes().to_vec()], read);
}

#[test]
fn files_of_tokens_survive() {
    let folder = folder();
    fs::write(folder.path().join("vocab.json"), VOCAB).unwrap();
    fs::write(folder.path().join("merges.txt"), MERGES).unwrap();
    let tokenizer = Tokenizer::open(Mode::Hf, folder.path()).unwrap();
    let path = folder.path().join("tokens.bin");
    let document = |name: &str| Ok(Document { name: name.into(), text: "ab ab b\na ab".into() });
    tokenizer.encode_corpus("two", [document("one"), document("two")], &path).unwrap();
    let whole = fs::read(&path).unwrap();
    survives_file(folder.path(), "tokens.bin", std::slice::from_ref(&whole), |path| {
        if let Ok(file) = TokenFile::open(path) {
            assert_eq!(fs::read(path).unwrap(), whole, "a changed file was taken");
            assert_eq!(file.tokens(0..file.len()).len(), file.len());
        }
    });
}

#[test]
fn reviews_survive() {
    let folder = folder();
    let json =
        b"{\"reviewText\":\"good \\u00e9\",\"overall\":5.0}\n{\"reviewText\":\"bad\"}\n".to_vec();
    let blitzer = b"<review>\n<review_text>\ngood\n</review_text>\n</review>\n".to_vec();
    let columns = b"pos_1\t9\tgood<br />film\nneg_1\t1\tbad\n".to_vec();
    let archive = gz(&tar(&[("reviews/a.txt", &columns)]));
    let mut xz = xz2::write::XzEncoder::new(Vec::new(), 1);
    xz.write_all(&columns).unwrap();
    let mut bz2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bz2.write_all(&json).unwrap();
    let whole = [
        ("plain", vec![json.clone(), blitzer, columns]),
        ("reviews.json.gz", vec![gz(&json)]),
        ("reviews.tar.gz", vec![archive]),
        ("reviews.xz", vec![xz.finish().unwrap()]),
        ("reviews.bz2", vec![bz2.finish().unwrap()]),
    ];
    let formats =
        [Format::Whole, Format::Lines, Format::AmazonJson, Format::Blitzer, Format::ThirdColumn];
    for (name, whole) in whole {
        survives_file(folder.path(), name, &whole, |path| {
            for format in formats {
                drop(each_file(path, &|_| true, &mut |lines| {
                    each_review(lines, format, &mut |_| Ok(()))
                }));
            }
        });
    }
}

#[test]
fn labelled_texts_survive() {
    let folder = folder();
    let sets = [
        ("sst", "label,sentence\n1,good\n0,\"bad, worse\"\n"),
        ("mr", "good\nbad \u{e9}\n"),
        ("rotten-tomatoes", "category,text,movie_name\nfresh,good,one\nrotten,bad,two\n"),
        ("human-sentiment", "1_1\t2.5\tgood\n2_1\t-1.5\tbad\n"),
        ("imdb", "pos_1\t9\tgood<br />film\nneg_1\t1\tbad\n"),
    ];
    for (name, text) in sets {
        survives_file(folder.path(), "file", &[text.as_bytes().to_vec()], |path: &Path| {
            let (layout, source) = (Layout::Unpacked, Source::Own(PathBuf::new()));
            let files = vec![located_file(path); 3];
            drop(labelled::read(&Located { name: name.to_owned(), layout, files, source }));
        });
    }
}
