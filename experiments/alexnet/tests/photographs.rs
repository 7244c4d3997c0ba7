//! Training on a handful of pictures made here: it learns them by heart, it stops where it stands still,
//! and a broken run ends as an unbroken one.
//!
//! libtorch has one generator for a process: whoever trains here holds a lock.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use alexnet::loss::Loss;
use alexnet::network::{AlexNet, Init, NetworkConfig};
use alexnet::photographs::data::{Augment, Photographs};
use alexnet::photographs::schedule::Schedule;
use alexnet::photographs::train::{FIRST_LOSS, FlatLossError, Recipe, optimizer, take_over, train};
use common::checkpoint::{Store, Tensors, variables};
use common::data::images::ImageSet;
use common::data::lookup::Lookup;
use common::data::photos::{
    ColourNoise, MeanAt, MemoryPictures, NoiseForm, Part, PhotosError, Pictures, Statistics,
    TestView,
};
use common::device::{DeviceChoice, Precision, configure_threads};
use common::distributed::{Share, World};
use common::training_run::{METRICS, Show, Spec, Start, TrainingRun};
use ledger::metrics;
use ledger::run::{Existing, RunKey};
use tch::Device;

const SIDE: usize = 72;
const CLASSES: usize = 3;
/// Training and test pictures.
const N: [usize; 2] = [40, 12];

/// Noise over stripes whose width tells the class.
fn pictures() -> ImageSet {
    let n = N[0] + N[1];
    let level = |i: usize| {
        let (picture, at) = (i / (3 * SIDE * SIDE), i % (SIDE * SIDE));
        let width = [3, 6, 12][picture % CLASSES];
        let noise = (i.wrapping_mul(2_654_435_761) >> 13) as u8 % 64;
        noise + if (at % SIDE / width).is_multiple_of(2) { 150 } else { 20 }
    };
    ImageSet {
        images: (0..n * 3 * SIDE * SIDE).map(level).collect(),
        labels: (0..n).map(|i| (i % CLASSES) as u8).collect(),
        n,
        channels: 3,
        height: SIDE,
        width: SIDE,
        classes: (0..CLASSES).map(|i| i.to_string()).collect(),
    }
}

/// Pictures on a disk that fails after so many were read.
struct Failing {
    pictures: MemoryPictures,
    left: AtomicUsize,
}

impl Pictures for Failing {
    fn n(&self) -> usize {
        self.pictures.n()
    }

    fn side(&self) -> usize {
        SIDE
    }

    fn channels(&self) -> usize {
        3
    }

    fn label(&self, i: usize) -> u32 {
        self.pictures.label(i)
    }

    fn picture<'a>(&'a self, i: usize, room: &'a mut Vec<u8>) -> Result<&'a [u8], PhotosError> {
        let spent = self.left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_err();
        if spent {
            let what = "the disk".to_owned();
            let (found, wanted) = ("nothing".to_owned(), "a picture".to_owned());
            return Err(PhotosError::Misfit { what, found, wanted });
        }
        self.pictures.picture(i, room)
    }
}

fn photographs(cfg: &Recipe, reads: usize) -> Photographs {
    let pictures = MemoryPictures::new(&pictures()).unwrap();
    let whole: Arc<dyn Pictures> = Arc::new(pictures.clone());
    let statistics = Statistics::of(&Part::new(whole, 0..N[0]).unwrap()).unwrap();
    let (train, test) = (0..N[0], N[0]..N[0] + N[1]);
    let failing: Arc<dyn Pictures> = Arc::new(Failing { pictures, left: AtomicUsize::new(reads) });
    Photographs::of(&failing, train, test, statistics, cfg, Device::Cpu).unwrap()
}

fn recipe() -> Recipe {
    let colour = Some(ColourNoise { sigma: 0.1, form: NoiseForm::Eigenvalues });
    Recipe {
        network: NetworkConfig {
            width: 1.0 / 16.0,
            init: Init::Gaussian([0.01, 0.01, 0.03, 0.03, 0.03, 0.01, 0.01, 0.01]),
            bias: 0.1,
            dropout: 0.2,
            crop: 64,
            classes: CLASSES as i64,
            ..NetworkConfig::paper()
        },
        loss: Loss::Softmax,
        augment: Augment { crops: true, mirror: true, colour, mean: MeanAt::Position },
        input_scale: 1.0,
        pictures: 1000,
        held_out: 8,
        batch: 16,
        epochs: 160.0,
        lr: 0.005,
        schedule: Schedule::Steps { at: vec![0.75], divisor: 10.0 },
        bias_schedule: None,
        momentum: 0.9,
        weight_decay: 5e-4,
        bias_decay: 5e-4,
        bias_lr_scale: 1.0,
        flat_after: 0,
        row_every: 32,
        eval_every: 32,
        save_every: 64,
    }
}

fn spec(folder: &Path, existing: Existing) -> Spec {
    Spec {
        key: RunKey {
            experiment: "alexnet".into(),
            preset: "test".into(),
            study: "imagenet".into(),
            data: "stripes".into(),
            variant: "base".into(),
            seed: 3,
        },
        config: serde_json::json!({}),
        results: folder.join("results"),
        lookup: Lookup::in_cache(folder.join("cache")),
        device: DeviceChoice::of(Device::Cpu),
        precision: Precision::Fp32,
        threads: 1,
        world_size: 1,
        existing,
        resume_command: String::new(),
    }
}

fn open(folder: &Path, existing: Existing) -> (Spec, Box<TrainingRun>) {
    let spec = spec(folder, existing);
    match TrainingRun::open(&spec, ("none", false), &World::alone(), Show::nothing()).unwrap() {
        Start::Ready(run) => (spec, run),
        Start::Complete(_) => panic!("the run is not finished"),
    }
}

fn rows(folder: &Path) -> Vec<Vec<Option<f64>>> {
    let path: PathBuf =
        folder.join("results").join(spec(folder, Existing::Keep).key.relative()).join(METRICS);
    let read = metrics::read(path).unwrap();
    let timed = read.columns.iter().position(|column| column == "loader/wait").unwrap();
    let values = |row: &metrics::Row| {
        let mut values = row.values.clone();
        values[timed] = None;
        values
    };
    read.rows.iter().map(values).collect()
}

#[test]
fn it_learns_and_a_broken_run_ends_as_an_unbroken_one() {
    configure_threads(1); // as runs of a grid have
    let [unbroken, broken] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let cfg = recipe();
    let (spec, mut run) = open(unbroken.path(), Existing::Keep);
    let wanted = train(&spec.key, &cfg, &photographs(&cfg, usize::MAX), None, &mut run).unwrap();
    // Guessing is wrong two times of three.
    for name in ["test/top1_error", "test/ten_views_top1_error", "val/top1_error"] {
        assert!(wanted[name] < 0.3, "{name} is {}: {wanted:?}", wanted[name]);
    }
    assert!(wanted["test/top5_error"] < 1e-9, "three classes are always among five: {wanted:?}");

    for reads in [700, 1400] {
        let existing = Existing::Resume { allow_inexact: false };
        let (spec, mut run) =
            open(broken.path(), if reads == 700 { Existing::Keep } else { existing });
        let error = train(&spec.key, &cfg, &photographs(&cfg, reads), None, &mut run).unwrap_err();
        assert!(format!("{error:#}").contains("the disk"), "{error:#}");
    }
    let (spec, mut run) = open(broken.path(), Existing::Resume { allow_inexact: false });
    let found = train(&spec.key, &cfg, &photographs(&cfg, usize::MAX), None, &mut run).unwrap();
    assert_eq!(found, wanted);
    assert_eq!(rows(broken.path()), rows(unbroken.path()));
}

#[test]
fn a_loss_that_is_still_that_of_guessing_ends_the_run_and_names_the_way_out() {
    configure_threads(1); // as runs of a grid have
    let folder = tempfile::tempdir().unwrap();
    // First scores near 0, so that the first loss is that of guessing, and no step to leave it by.
    let init = Init::Gaussian([0.01, 0.01, 0.03, 0.03, 0.03, 0.01, 0.01, 1e-5]);
    let network = NetworkConfig { init, ..recipe().network };
    let cfg = Recipe { network, lr: 1e-9, flat_after: 6, ..recipe() };
    let (spec, mut run) = open(folder.path(), Existing::Keep);
    let error = train(&spec.key, &cfg, &photographs(&cfg, usize::MAX), None, &mut run).unwrap_err();
    let flat = error.downcast_ref::<FlatLossError>().unwrap();
    assert_eq!((flat.step, flat.classes), (6, 3));
    let said = error.to_string();
    for word in ["after 6 updates", "1.0986", "photographs.recipe.network.bias=0.1"] {
        assert!(said.contains(word), "{word} is not in: {said}");
    }
    // As long as nothing is asked for, it goes on.
    let folder = tempfile::tempdir().unwrap();
    let cfg = Recipe { flat_after: 0, epochs: 4.0, ..cfg };
    let (spec, mut run) = open(folder.path(), Existing::Keep);
    assert!(train(&spec.key, &cfg, &photographs(&cfg, usize::MAX), None, &mut run).is_ok());
}

#[test]
fn a_plateau_divides_the_rate_three_times_and_ends_the_training() {
    configure_threads(1); // as runs of a grid have
    let folder = tempfile::tempdir().unwrap();
    let schedule = Schedule::Plateau { patience: 2, reductions: 3, divisor: 10.0 };
    let cfg = Recipe { schedule, epochs: 1000.0, ..recipe() };
    let (spec, mut run) = open(folder.path(), Existing::Keep);
    let ended = train(&spec.key, &cfg, &photographs(&cfg, usize::MAX), None, &mut run).unwrap();
    assert!((ended["lr"] / (recipe().lr / 1000.0) - 1.0).abs() < 1e-9, "{ended:?}");
    assert!(ended["epoch"] < 500.0, "{ended:?}");
}

#[test]
fn held_out_pictures_are_never_trained_on_and_every_other_one_is() {
    let cfg = Recipe { batch: 5, held_out: 8, ..recipe() };
    let set = photographs(&cfg, usize::MAX);
    let labels = |batches: common::data::loader::Loader<common::data::photos::Batch>| {
        let mut counts = BTreeMap::new();
        for batch in batches {
            batch.unwrap().ys().iter().for_each(|&label| *counts.entry(label).or_insert(0) += 1);
        }
        counts
    };
    let steps = set.steps_per_epoch(cfg.batch);
    assert_eq!(steps, 7); // 32 pictures
    let trained = labels(set.train_batches(&cfg, 0, 0..steps, Share::ALL).unwrap());
    let held = labels(set.held_out_batches(&cfg).unwrap());
    let all = |counts: &BTreeMap<i64, i32>| counts.values().sum::<i32>();
    assert_eq!((all(&trained), all(&held)), (32, 8));
    for label in 0..CLASSES as i64 {
        let there = (0..N[0] as i64).filter(|i| i % CLASSES as i64 == label).count();
        assert_eq!((trained[&label] + held[&label]) as usize, there, "class {label}");
    }
    let tested = labels(set.test_batches(&cfg, TestView::Ten).unwrap().unwrap());
    assert_eq!(all(&tested), N[1] as i32);
}

#[test]
fn biases_have_a_rate_and_a_decay_of_their_own() {
    let cfg = Recipe { bias_lr_scale: 2.0, bias_decay: 0.0, momentum: 0.0, ..recipe() };
    let vs = tch::nn::VarStore::new(Device::Cpu);
    let path = vs.root() / "conv1";
    let [weight, bias] = ["weight", "bias"].map(|n| path.var(n, &[1], tch::nn::Init::Const(1.0)));
    let mut opt = optimizer(&common::optim::named_params(&vs), &cfg);
    (&weight + &bias).sum(tch::Kind::Float).backward();
    common::optim::Optimizer::step(&mut opt, 0.1);
    // 1 − lr·(1 + decay·1), 1 − 2·lr·1
    let (weight, bias) = (weight.double_value(&[0]), bias.double_value(&[0]));
    assert!((weight - (1.0 - 0.1 * 1.0005)).abs() < 1e-6, "{weight}");
    assert!((bias - 0.8).abs() < 1e-6, "{bias}");
}

#[test]
fn biases_with_a_schedule_of_their_own_follow_that() {
    configure_threads(1); // as runs of a grid have
    let folder = tempfile::tempdir().unwrap();
    // From the first update on their rate is so small that single precision does not see it.
    let still = Schedule::Steps { at: vec![0.0], divisor: 1e30 };
    let cfg = Recipe { bias_schedule: Some(still), bias_decay: 0.0, epochs: 2.0, ..recipe() };
    let (spec, mut run) = open(folder.path(), Existing::Keep);
    train(&spec.key, &cfg, &photographs(&cfg, usize::MAX), None, &mut run).unwrap();
    let left = Store::new(spec.checkpoints()).load::<serde_json::Value>().unwrap().unwrap().model;
    let moved = |name: &str, from: f64| (&left[name] - from).abs().max().double_value(&[]);
    // 0.1 in single precision.
    let begun = f64::from(0.1_f32);
    assert!(moved("conv2.bias", begun) == 0.0 && moved("fc8.bias", 0.0) < 1e-25);
    assert!(moved("fc8.weight", 0.0) > 0.0);

    let folder = tempfile::tempdir().unwrap();
    let cfg = Recipe { bias_schedule: None, ..cfg };
    let (spec, mut run) = open(folder.path(), Existing::Keep);
    train(&spec.key, &cfg, &photographs(&cfg, usize::MAX), None, &mut run).unwrap();
    let left = Store::new(spec.checkpoints()).load::<serde_json::Value>().unwrap().unwrap().model;
    assert!(left["fc8.bias"].abs().max().double_value(&[]) > 1e-4);
}

#[test]
fn the_loss_of_the_first_3072_pictures_is_the_mean_of_its_rows() {
    configure_threads(1); // as runs of a grid have
    let folder = tempfile::tempdir().unwrap();
    // 32 pictures an epoch, a row for each.
    let cfg = Recipe { epochs: 97.0, ..recipe() };
    let (spec, mut run) = open(folder.path(), Existing::Keep);
    let ended = train(&spec.key, &cfg, &photographs(&cfg, usize::MAX), None, &mut run).unwrap();
    drop(run);
    let rows = metrics::read(spec.folder().join(METRICS)).unwrap();
    let losses = rows.column("train/loss").unwrap();
    let wanted = losses[..96].iter().map(|(_, loss)| loss).sum::<f64>() / 96.0;
    assert!((ended[FIRST_LOSS] - wanted).abs() < 1e-9, "{}, wanted {wanted}", ended[FIRST_LOSS]);
}

#[test]
fn a_run_that_starts_from_weights_takes_all_but_the_last_layer() {
    let build = |cfg: &NetworkConfig| {
        let vs = tch::nn::VarStore::new(Device::Cpu);
        let _net = AlexNet::new(&vs.root(), cfg);
        vs
    };
    let sixth = NetworkConfig { sixth: true, ..recipe().network };
    let (from, to) = (build(&NetworkConfig { classes: 5, ..sixth.clone() }), build(&sixth));
    let tensors = |vs: &tch::nn::VarStore| -> Tensors {
        variables(vs).into_iter().map(|(name, tensor)| (name, tensor.detach().copy())).collect()
    };
    let (given, before) = (tensors(&from), tensors(&to));
    take_over(&to, &given).unwrap();
    for (name, after) in tensors(&to) {
        let wanted = if name.starts_with("fc8") { &before[&name] } else { &given[&name] };
        assert_eq!(&after, wanted, "{name}");
    }
    assert_ne!(before["conv6.weight"], given["conv6.weight"]);
    let error = take_over(&build(&recipe().network), &given).unwrap_err().to_string();
    assert!(error.contains("weights to start from") && error.contains("conv6"), "{error}");
}

#[test]
fn a_logistic_loss_learns_too_and_guessing_is_its_own() {
    configure_threads(1); // as runs of a grid have
    let folder = tempfile::tempdir().unwrap();
    let cfg = Recipe { loss: Loss::Logistic, ..recipe() };
    let (spec, mut run) = open(folder.path(), Existing::Keep);
    let ended = train(&spec.key, &cfg, &photographs(&cfg, usize::MAX), None, &mut run).unwrap();
    assert!(ended["test/top1_error"] < 0.3, "{ended:?}");
    // ln 3 + 2 ln 1.5
    assert!(ended["test/loss"] < 1.909, "{ended:?}");
}
