//! `ports` and `pre-trained` from start to end, on photographs made here.

use std::fs;

use image::{Rgb, RgbImage};

use crate::exhibits::photographs;
use crate::place::{Place, read_json, succeeds};

/// The smoke preset on the user's photographs, with one run of one epoch. Caffe's views have 67 pixels here.
const FLAGS: [&str; 16] = [
    "--preset",
    "smoke",
    "--threads",
    "1",
    "--device",
    "cpu",
    "--seed",
    "0",
    "--set",
    "photographs.data=[\"imagenet\"]",
    "--set",
    "photographs.side=72",
    "--set",
    "photographs.recipe.epochs=1.0",
    "--set",
    "photographs.recipe.held_out=10",
];

fn run(place: &Place, study: &str, more: &[&str]) -> String {
    let places = ["run", study, "--data", "photos", "--out", "results"];
    succeeds(place.alexnet(&[&places[..], &FLAGS, more].concat()))
}

#[test]
fn the_recipes_of_others_are_trained_beside_the_papers() {
    let place = Place::of("ports");
    photographs(&place.path("photos"));
    let said = run(&place, "ports", &[]);
    assert!(said.contains("torchvision's weights are not tested"), "{said}");
    let folder = |variant: &str| place.study().join("imagenet").join(variant).join("seed-0");
    for (variant, loss) in
        [("cuda-convnet2", None), ("cuda-convnet2-logistic", Some("logistic")), ("caffe", None)]
    {
        let record = read_json(&folder(variant).join("run.json"));
        assert_eq!(record["status"], "complete", "{variant}");
        assert_eq!(record["config"]["recipe"]["loss"].as_str(), loss, "{variant}");
        let error = record["metrics"]["test/ten_views_top1_error"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&error), "{variant}: {error}");
    }
    // A thousand logistic regressions whose biases begin at −7 lose 7.911 at the least where nothing is known.
    let loss = |variant: &str| {
        let record = read_json(&folder(variant).join("run.json"));
        record["metrics"]["test/loss"].as_f64().unwrap()
    };
    assert!(loss("cuda-convnet2-logistic") > loss("cuda-convnet2") + 0.5);
    succeeds(place.alexnet(&["figures"]));
    let measured = fs::read_to_string(place.study().join("measured.csv")).unwrap();
    for id in ["ports-caffe", "ports-logistic", "alexnet-ref-01", "alexnet-ref-06"] {
        assert!(measured.contains(&format!("{id},")), "{id} is not in\n{measured}");
    }
    succeeds(place.alexnet(&["verify"]));
}

/// `classes` folders of `n` pictures each below `photos/<name>`.
fn folders(place: &Place, name: &str, classes: usize, n: usize) {
    for class in 0..classes {
        let folder = place.path(&format!("photos/{name}/k{class:02}"));
        fs::create_dir_all(&folder).unwrap();
        for i in 0..n {
            let level = |x: u32, y: u32| (x * (class as u32 + 1) + 7 * y + 40 * i as u32) as u8;
            let picture = RgbImage::from_fn(24, 24, |x, y| Rgb([level(x, y), level(y, x), 90]));
            picture.save(folder.join(format!("{i}.png"))).unwrap();
        }
    }
}

#[test]
fn a_network_is_pre_trained_on_other_classes_fine_tuned_and_averaged_with_the_others() {
    let place = Place::of("pre-trained");
    photographs(&place.path("photos"));
    folders(&place, "fall-2011", 12, 5);
    folders(&place, "fall-2009", 6, 8);
    let sets = [
        "--set",
        "photographs.pre_trained.data=[\"imagenet-fall-2011\"]",
        "--set",
        "photographs.pre_trained.half=[\"imagenet-fall-2009\"]",
        "--set",
        "photographs.pre_trained.held_out=4",
    ];
    run(&place, "pre-trained", &sets);
    let of = |data: &str, variant: &str| {
        let folder = place.study().join(data).join(variant).join("seed-0");
        let record = read_json(&folder.join("run.json"));
        assert_eq!(record["status"], "complete", "{variant}");
        record
    };
    let network = |data, variant| of(data, variant)["config"]["recipe"]["network"].clone();
    for (data, variant, classes) in [
        ("imagenet-fall-2011", "pre-training", 12),
        ("imagenet", "sixth", 1000),
        ("imagenet", "fine-tuned", 1000),
        ("imagenet-fall-2009", "half", 6),
    ] {
        let network = network(data, variant);
        assert_eq!((&network["classes"], &network["sixth"]), (&classes.into(), &true.into()));
    }
    let digest = of("imagenet-fall-2011", "pre-training")["digest"].clone();
    assert_eq!(of("imagenet", "fine-tuned")["config"]["pre_trained_digest"], digest);
    let averaged = of("imagenet", "averaged");
    assert_eq!(averaged["metrics"]["networks"], 2.0, "one with five convolutions, one with six");
    assert_eq!(averaged["config"]["members"][1]["study"], "pre-trained");
    // Of 24 pictures to learn from it cannot be worse than all wrong, and it was tested.
    let half = of("imagenet-fall-2009", "half")["metrics"]["test/ten_views_top1_error"].clone();
    assert!((0.0..=1.0).contains(&half.as_f64().unwrap()), "{half}");

    succeeds(place.alexnet(&["figures"]));
    let measured = fs::read_to_string(place.study().join("measured.csv")).unwrap();
    let ids = ["sixth-convolution", "pre-training", "alexnet-14", "alexnet-17", "alexnet-20"];
    for id in ids {
        assert!(measured.contains(&format!("{id},")), "{id} is not in\n{measured}");
    }
    succeeds(place.alexnet(&["verify"]));
}
