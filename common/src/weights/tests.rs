//! Against files that PyTorch wrote: `tests/oracle/state_dict.py`.

use tch::Device;

use super::*;

fn fixture(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures")).join(name)
}

/// The numbers that the script makes.
fn x(shape: &[i64]) -> Tensor {
    let n: i64 = shape.iter().product();
    let numbers: Vec<f32> = (0..n).map(|i| (i * 37 % 101 - 50) as f32 / 8.0).collect();
    Tensor::from_slice(&numbers).reshape(shape)
}

fn read(name: &str) -> StateDict {
    StateDict::read(&fixture(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[track_caller]
fn refused(path: &Path, words: &[&str]) {
    let said = StateDict::read(path).unwrap_err().to_string();
    for word in words.iter().copied().chain([path.file_name().unwrap().to_str().unwrap()]) {
        assert!(said.contains(word), "expected: {word}\n     got: {said}");
    }
}

#[test]
fn tensors_are_those_that_pytorch_saved() {
    let state = read("state_dict.pth");
    let whole = x(&[4, 6]);
    let wanted = [
        ("plain.weight", x(&[3, 2, 5])),
        ("plain.bias", x(&[7])),
        ("half", x(&[9]).to_kind(Kind::Half)),
        ("brain", x(&[9]).to_kind(Kind::BFloat16)),
        ("double", x(&[9]).to_kind(Kind::Double)),
        ("transposed", whole.tr()),
        ("row", whole.get(2)),
        ("last", x(&[2, 3, 4, 5])),
        ("scalar", Tensor::from(-1.25_f32)),
        ("none", Tensor::zeros([0, 3], (Kind::Float, Device::Cpu))),
        ("count", Tensor::from_slice(&[1_i64 << 40, -1])),
        ("flags", Tensor::from_slice(&[true, false])),
    ];
    assert_eq!(state.tensors.len(), wanted.len());
    for (name, wanted) in wanted {
        let found = state.get(name).unwrap_or_else(|| panic!("{name}"));
        assert_eq!((found.kind(), found.size()), (wanted.kind(), wanted.size()), "{name}");
        assert!(found.equal(&wanted), "{name}\nexpected {wanted:?}\n     got {found:?}");
        assert!(found.is_contiguous(), "{name}");
    }
}

#[test]
fn what_a_module_saves_is_read_and_so_is_the_same_as_safetensors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("by-another-name.pth");
    let tensors = [("weight".to_owned(), x(&[2, 3])), ("bias".to_owned(), x(&[2]))];
    checkpoint::write_safetensors(&path, &tensors).unwrap();
    for state in [read("module_state.pth"), StateDict::read(&path).unwrap()] {
        for (name, wanted) in &tensors {
            assert!(state.get(name).unwrap().equal(wanted), "{}: {name}", state.path().display());
        }
        assert_eq!(state.tensors.len(), 2);
    }
}

#[test]
fn what_is_no_state_dictionary_is_refused_with_the_way_out() {
    refused(&fixture("before_1_6.pth"), &["before PyTorch 1.6", "torch.load(", ".zip.pth"]);
    refused(&fixture("whole_module.pth"), &["`torch.nn.modules.linear Linear`", "state_dict()"]);
    refused(&fixture("checkpoint.pth"), &["entry epoch", "found a number", "model.state_dict()"]);
    refused(&fixture("script.pth"), &["TorchScript", "torch.jit.load("]);
    let folder = tempfile::tempdir().unwrap();
    for (bytes, words) in [
        (&b""[..], &["it is empty"][..]),
        (b"\xff\xd8\xff\xe0 JFIF", &["begins with \"\\xff\\xd8\\xff\\xe0", "wanted .safetensors"]),
        (b"PK\x03\x04 nothing", &["zip archive"]),
        (b"\x10\0\0\0\0\0\0\0{\"half\": ", &["safetensors"]),
    ] {
        let path = folder.path().join("x.pth");
        fs::write(&path, bytes).unwrap();
        refused(&path, words);
    }
    refused(&folder.path().join("nowhere.pth"), &["cannot read"]);
}

#[test]
fn every_damaged_byte_gives_an_error_or_a_tensor_but_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.pth");
    let whole = fs::read(fixture("module_state.pth")).unwrap();
    for n in (0..whole.len()).step_by(7) {
        fs::write(&path, &whole[..n]).unwrap();
        assert!(StateDict::read(&path).is_err(), "the first {n} bytes");
    }
    for at in (0..whole.len()).step_by(3) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x55;
        fs::write(&path, &bytes).unwrap();
        drop(StateDict::read(&path));
    }
}

#[test]
fn a_tensor_that_reaches_beyond_its_storage_does_not_fit() {
    let stored = |offset, shape, strides| crate::data::pickle::StoredTensor {
        element: crate::data::pickle::Element::F32,
        storage: "0",
        len: 12,
        offset,
        shape,
        strides,
    };
    assert!(stored(0, &[3, 4], &[4, 1]).fits());
    assert!(stored(11, &[], &[]).fits());
    assert!(stored(50, &[0, 4], &[4, 1]).fits(), "nothing is read");
    for (offset, shape, strides) in [
        (1, &[3, 4][..], &[4, 1][..]),
        (12, &[], &[]),
        (0, &[13], &[1]),
        (0, &[1 << 40], &[0]),
        (0, &[2], &[usize::MAX]),
        (0, &[usize::MAX, usize::MAX], &[0, 0]),
    ] {
        assert!(!stored(offset, shape, strides).fits(), "{offset} {shape:?} {strides:?}");
    }
}

#[test]
fn a_model_takes_only_what_fits_it_name_by_name() {
    let vs = VarStore::new(Device::Cpu);
    let _ = vs.root().sub("fc").zeros("weight", &[2, 3]);
    let _ = vs.root().sub("fc").zeros("bias", &[2]);
    let in_file = |name: &str| name.trim_start_matches("fc.").to_owned();
    let state = read("module_state.pth");
    state.load_into(&vs, in_file).unwrap();
    assert!(vs.variables()["fc.weight"].equal(&x(&[2, 3])));
    assert!(vs.variables()["fc.bias"].equal(&x(&[2])));

    let said = state.load_into(&vs, str::to_owned).unwrap_err().to_string();
    assert!(said.contains("lacks the tensor fc.bias [2]"), "{said}");
    let said = |more: &[(&str, Tensor)]| {
        let tensors = more.iter().map(|(name, t)| ((*name).to_owned(), t.shallow_clone()));
        let state = StateDict { path: "x.pth".into(), tensors: tensors.collect() };
        state.load_into(&vs, in_file).unwrap_err().to_string()
    };
    let bias = || ("bias", x(&[2]));
    let shape = said(&[bias(), ("weight", x(&[3, 2]))]);
    assert!(shape.contains("x.pth: the tensor weight is [3, 2], wanted [2, 3]"), "{shape}");
    let near = said(&[bias(), ("weights", x(&[2, 3]))]);
    assert!(
        near.contains("lacks the tensor weight [2, 3]; the nearest name there is weights"),
        "{near}"
    );
    let more = said(&[bias(), ("weight", x(&[2, 3])), ("scale", x(&[1]))]);
    assert!(more.contains("holds scale, which this model does not have"), "{more}");
    let counts = said(&[("bias", Tensor::from_slice(&[1_i64, 2])), ("weight", x(&[2, 3]))]);
    assert!(counts.contains("tensor bias: found Int64, wanted floating-point"), "{counts}");
    assert!(vs.variables()["fc.bias"].equal(&x(&[2])), "an error changes nothing");
}
