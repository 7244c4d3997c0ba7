//! torchvision's AlexNet at full size against PyTorch: `tests/oracle/torchvision_net.py` wrote the weights, as
//! `torch.save` does, and the scores.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use alexnet::evaluate::Model;
use alexnet::predict::Predictor;
use common::checkpoint::write_safetensors;
use common::data::lookup::Lookup;
use common::data::photos::Part;
use common::device::Precision;
use common::weights::StateDict;
use serde_json::Value;
use tch::{Device, Kind, Tensor};

fn fixture(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures")).join(name)
}

fn numbers(name: &str) -> Vec<f32> {
    let text = fs::read_to_string(fixture("torchvision_net.json")).unwrap();
    let all: Value = serde_json::from_str(&text).unwrap();
    all[name].as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect()
}

#[track_caller]
fn near(what: &str, found: &Tensor, wanted: &[f32], tolerance: f64) {
    let found = found.flatten(0, -1);
    assert_eq!(found.size(), [wanted.len() as i64], "{what}");
    let apart = (&found - Tensor::from_slice(wanted)).abs();
    let (most, at) = (apart.max().double_value(&[]), apart.argmax(0, false).int64_value(&[]));
    assert!(
        most <= tolerance,
        "{what}, number {at}\nexpected {}\n     got {}",
        wanted[at as usize],
        found.double_value(&[at])
    );
}

/// One test for both formats: the file unpacks to 244 MB.
#[test]
fn torchvisions_weights_give_pytorchs_scores_from_either_format() {
    let folder = tempfile::tempdir().unwrap();
    let pth = folder.path().join("alexnet.pth");
    let mut packed =
        xz2::read::XzDecoder::new(File::open(fixture("torchvision_net.pth.xz")).unwrap());
    io::copy(&mut packed, &mut File::create(&pth).unwrap()).unwrap();
    let predictor = Predictor::open(&pth, || Ok(None)).unwrap();
    let n = 3 * 224 * 224;
    let sines: Vec<f32> = (0..n).map(|i| (2.0 * (0.37 * f64::from(i)).sin()) as f32).collect();
    let xs = Tensor::from_slice(&sines).reshape([1, 3, 224, 224]);
    // Scores reach 20; sums over 9,216 products in another order differ by some 1e-5.
    near("scores of a closed form", &predictor.scores(&xs), &numbers("logits"), 1e-4);

    let bytes = fs::read(fixture("torchvision_input.png")).unwrap();
    let picture = common::data::photos::decode(&bytes).unwrap();
    let input = predictor.input(&picture);
    assert_eq!(input.size(), [1, 3, 224, 224]);
    let every_997th = input.flatten(0, -1).slice(0, None, None, 997);
    // Pillow and fast_image_resize weigh in integers of their own: a level of 255, over 0.225, is 0.0175.
    near("the prepared picture", &every_997th, &numbers("inputs"), 0.018);
    // What a level here and there does to the scores.
    near("scores of a picture", &predictor.scores(&input), &numbers("picture_logits"), 0.05);
    let best = predictor.guesses(&picture, 5);
    assert_eq!(best.iter().map(|g| g.index).collect::<Vec<_>>(), [162, 735, 194, 386, 580]);
    assert!(best.iter().all(|g| g.class.is_none()), "no index, no names: {best:?}");

    // With its deviations in the first layer's weights.
    let class = folder.path().join("val/class");
    fs::create_dir_all(&class).unwrap();
    fs::copy(fixture("torchvision_input.png"), class.join("1.png")).unwrap();
    let model = Model::open(&pth, Device::Cpu).unwrap();
    let lookup = Lookup {
        data_dir: Some(folder.path().to_owned()),
        data_dir_is_flag: true,
        ..Lookup::in_cache(folder.path().join("cache"))
    };
    let refused = model.pictures(&lookup).unwrap_err().to_string();
    assert!(refused.contains("val: found 1 class folders, wanted 1000"), "{refused}");
    for class in 1..1000 {
        let class = folder.path().join(format!("val/other-{class:03}"));
        fs::create_dir_all(&class).unwrap();
        fs::write(class.join("1.png"), "").unwrap();
    }
    let Part { pictures, indices } = model.pictures(&lookup).unwrap();
    let first = Part { pictures, indices: indices[..1].into() };
    let autocast = || Precision::Fp32.autocast(Device::Cpu);
    let found = model.judge(&first, 1, &autocast).unwrap().one.loss;
    let wanted = Tensor::from_slice(&numbers("picture_logits")).log_softmax(-1, Kind::Double);
    let wanted = -wanted.double_value(&[0]);
    assert!((found - wanted).abs() < 0.1, "expected {wanted}\n     got {found}");

    let state = StateDict::read(&pth).unwrap();
    let names = state.names().map(str::to_owned).collect::<Vec<_>>();
    let tensors: Vec<(String, Tensor)> = names
        .into_iter()
        .map(|name| (name.clone(), state.get(&name).unwrap().shallow_clone()))
        .collect();
    assert_eq!(tensors.len(), 16);
    let safetensors = folder.path().join("alexnet.safetensors");
    write_safetensors(&safetensors, &tensors).unwrap();
    let again = Predictor::open(&safetensors, || Ok(None)).unwrap();
    assert_eq!(again.scores(&xs), predictor.scores(&xs));

    wrong_files(folder.path(), tensors);
}

/// What does not fit is refused by the tensor's name and both shapes.
fn wrong_files(folder: &Path, mut tensors: Vec<(String, Tensor)>) {
    let path = folder.join("other.safetensors");
    let refused = |tensors: &[(String, Tensor)]| {
        write_safetensors(&path, tensors).unwrap();
        format!("{:#}", Predictor::open(&path, || Ok(None)).unwrap_err())
    };
    let at = tensors.iter().position(|(name, _)| name == "features.3.weight").unwrap();
    let narrow = Tensor::zeros([192, 64, 3, 3], (Kind::Float, Device::Cpu));
    let right = std::mem::replace(&mut tensors[at].1, narrow);
    let said = refused(&tensors);
    let words = "other.safetensors: the tensor features.3.weight is [192, 64, 3, 3], wanted [192, 64, 5, 5]";
    assert!(said.contains(words), "expected: {words}\n     got: {said}");
    tensors[at] = ("features.4.weight".into(), right);
    let said = refused(&tensors);
    let words = "lacks the tensor features.3.weight [192, 64, 5, 5]";
    assert!(said.contains(words), "expected: {words}\n     got: {said}");
}
