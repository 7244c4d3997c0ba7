//! The studies on a network that was not trained, over pictures made here.

use common::data::lookup::Lookup;
use common::data::photos::{MeanAt, PrepareOptions, Source, prepare};
use common::device::{DeviceChoice, Precision};
use common::distributed::World;
use common::training_run::{Show, Start};
use image::{Rgb, RgbImage};
use ledger::metrics;
use ledger::run::Existing;
use tch::Device;

use super::*;
use crate::loss::Loss;
use crate::network::NetworkConfig;
use crate::photographs::data::Augment;
use crate::photographs::schedule::Schedule;
use crate::predict::Predictor;

const SIDE: usize = 72;
const CLASSES: [&str; 3] = ["horn", "saw", "tench"];
/// Pictures of a class to train on and to test with.
const N: [usize; 2] = [12, 9];

/// Pictures of a class have its colour, each in a shade of its own.
fn picture(class: usize, i: usize) -> RgbImage {
    RgbImage::from_fn(SIDE as u32, SIDE as u32, |x, y| {
        let mut pixel = [(x * 2) as u8 / 4, (y * 2) as u8 / 4, 20];
        pixel[class] += 120 + 5 * i as u8;
        Rgb(pixel)
    })
}

fn prepared(folder: &Path) -> Arc<PreparedSet> {
    for (split, n) in ["train", "val"].into_iter().zip(N) {
        for (class, name) in CLASSES.iter().enumerate() {
            let of_class = folder.join("photographs").join(split).join(name);
            std::fs::create_dir_all(&of_class).unwrap();
            for i in 0..n {
                picture(class, i).save(of_class.join(format!("{i:02}.png"))).unwrap();
            }
        }
    }
    let (source, out) = (Source::new(&folder.join("photographs"), None), folder.join("prepared"));
    prepare(&source, &out, &PrepareOptions { side: SIDE, skip_corrupt: false, threads: 1 })
        .unwrap();
    Arc::new(PreparedSet::open(&out).unwrap())
}

fn recipe() -> Recipe {
    Recipe {
        network: NetworkConfig {
            width: 1.0 / 16.0,
            crop: 64,
            classes: CLASSES.len() as i64,
            ..NetworkConfig::paper()
        },
        loss: Loss::Softmax,
        augment: Augment { crops: true, mirror: true, colour: None, mean: MeanAt::Position },
        input_scale: 0.5,
        pictures: 1000,
        held_out: 3,
        batch: 5,
        epochs: 1.0,
        lr: 0.01,
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

pub(in crate::studies) fn spec(folder: &Path, study: &str) -> Spec {
    Spec {
        key: RunKey {
            experiment: "alexnet".into(),
            preset: "test".into(),
            study: study.into(),
            data: "photographs".into(),
            variant: "base".into(),
            seed: 0,
        },
        config: serde_json::json!({}),
        results: folder.join("results"),
        lookup: Lookup::in_cache(folder.join("cache")),
        device: DeviceChoice::of(Device::Cpu),
        precision: Precision::Fp32,
        threads: 1,
        world_size: 1,
        existing: Existing::Keep,
        resume_command: String::new(),
    }
}

fn trained(folder: &Path) -> Trained {
    let (set, recipe) = (prepared(folder), recipe());
    let vs = VarStore::new(Device::Cpu);
    tch::manual_seed(3);
    let net = AlexNet::new(&vs.root(), &recipe.network);
    let photographs = Photographs::new(&set, &recipe, Device::Cpu).unwrap();
    let base = spec(folder, ImageNet::NAME);
    Trained {
        vs,
        net,
        recipe,
        set,
        photographs,
        classes: CLASSES.map(str::to_owned).to_vec(),
        record: base.record(("commit", false)).unwrap(),
        cache: base.checkpoints(),
    }
}

/// What the study finds, and its run's folder.
fn look<E: Exhibit>(folder: &Path, trained: &Trained) -> (Vec<f64>, PathBuf) {
    let opened = TrainingRun::open(
        &spec(folder, E::NAME),
        ("commit", false),
        &World::alone(),
        Show::nothing(),
    )
    .unwrap();
    let Start::Ready(mut run) = opened else { panic!("nothing was there before") };
    let numbers = looked::<E>(trained, &mut run).unwrap();
    let rows = metrics::read(run.path().join(common::training_run::METRICS)).unwrap();
    assert_eq!(rows.columns, E::COLUMNS);
    (numbers.into_values().collect(), run.path().to_owned())
}

#[test]
fn the_weights_that_predictions_leaves_give_the_guesses_of_its_table() {
    let folder = tempfile::tempdir().unwrap();
    let trained = trained(folder.path());
    let (errors, run) = look::<Predictions>(folder.path(), &trained);
    let predictions::Errors { top1, top5 } = predictions::errors(&run).unwrap();
    assert!((errors[0] - top1).abs() < 1e-12 && (errors[1] - top5).abs() < 1e-12, "{errors:?}");
    assert!((0.3..=1.0).contains(&top1) && top5 == 0.0, "three classes: {top1}, {top5}");
    let predictor = Predictor::open(&run.join(weights::TENSORS), || Ok(None)).unwrap();
    let test = trained.photographs.test().unwrap();
    let shown = predictions::shown(&run).unwrap();
    let labels = trained.labels(&test.indices);
    assert_eq!(shown.len(), 8);
    for (one, i) in shown.iter().zip(crate::exhibits::drawn(&labels, 8)) {
        let levels = trained.set.picture(test.indices[i] as usize).to_vec();
        let picture = RgbImage::from_raw(SIDE as u32, SIDE as u32, levels).unwrap();
        assert_eq!(one.class, CLASSES[labels[i] as usize]);
        for (guess, (class, p)) in predictor.guesses(&picture, 5).iter().zip(&one.guesses) {
            assert_eq!(guess.class.as_ref(), Some(class), "picture {i}");
            let apart = (guess.probability - p).abs();
            assert!(apart < 2e-3, "{p}, from weights in halves {}", guess.probability);
        }
    }
    Predictions::figure("photographs", &run, Layout::TwoTowers).unwrap().to_svg().unwrap();
}

#[test]
fn pictures_of_one_colour_are_each_others_nearest() {
    let folder = tempfile::tempdir().unwrap();
    let trained = trained(folder.path());
    let (precision, run) = look::<Retrieval>(folder.path(), &trained);
    // By pixels a class lies apart from the others; the features of a network of chance still tell them
    // apart better than guessing among three.
    assert!(precision[1] > 0.99, "by pixels: {precision:?}");
    assert!(precision[0] > 0.5, "by features: {precision:?}");
    let found = Retrieval::measure(&[&run]).unwrap();
    assert!((found[0].1.value - 100.0 * precision[0]).abs() < 1e-9, "{found:?}");
    assert!((found[1].1.value - 100.0 * (precision[0] - precision[1])).abs() < 1e-9, "{found:?}");
    let figure = Retrieval::figure("photographs", &run, Layout::TwoTowers).unwrap();
    assert_eq!(figure.to_svg().unwrap().matches("<image ").count(), 5 * 7);
}

#[test]
fn the_kernels_drawn_are_those_of_the_network_in_their_towers() {
    let folder = tempfile::tempdir().unwrap();
    let trained = trained(folder.path());
    let (kernels, run) = look::<Filters>(folder.path(), &trained);
    assert_eq!(kernels, [6.0]);
    let figure = Filters::figure("photographs", &run, Layout::TwoTowers).unwrap();
    assert_eq!(figure.panels.len(), 2);
    let weights = &trained.vs.variables()["conv1.weight"].get(4); // [3, 11, 11]
    let at = |c: i64, y: i64, x: i64| weights.double_value(&[c, y, x]);
    let largest = weights.abs().max().double_value(&[]);
    let tile = &figure.panels[1].gallery.as_ref().unwrap().tiles[1];
    for (c, y, x) in [(0, 0, 0), (1, 3, 7), (2, 10, 10)] {
        let wanted = (127.5 + 127.5 * at(c, y, x) / largest).round();
        let found = f64::from(tile.picture.rgb()[((y * 11 + x) * 3 + c) as usize]);
        assert!((found - wanted).abs() <= 1.0, "{c} at {y}, {x}: {found}, wanted {wanted}");
    }
}

#[test]
fn a_network_whose_checkpoint_is_gone_is_asked_for_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut spec = spec(folder.path(), Filters::NAME);
    let config = RunConfig {
        trained: "base".into(),
        digest: "0".into(),
        side: SIDE,
        data_sha256: "0".into(),
        recipe: recipe(),
    };
    spec.config = serde_json::to_value(config).unwrap();
    let opened =
        TrainingRun::open(&spec, ("commit", false), &World::alone(), Show::nothing()).unwrap();
    let Start::Ready(mut run) = opened else { panic!("nothing was there before") };
    let error = format!("{:#}", train::<Filters>(&spec, &mut run).unwrap_err());
    assert!(error.contains("imagenet/photographs/base/seed-0: changed since"), "{error}");
}
