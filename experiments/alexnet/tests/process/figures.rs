//! `figures`, `verify` and `compare`: what is computed from the files on disk.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use crate::place::{Place, fails, stdout, succeeds};

/// ReLU and tanh in both regimes.
const PAIRS: [&str; 6] = [
    "--seed",
    "0",
    "--set",
    "relu-vs-tanh.epochs={relu=4.0, tanh=4.0}",
    "--set",
    "relu-vs-tanh.authors.lr={relu=[0.002], tanh=[0.001]}",
];

/// A place with finished runs and their figures; made once and copied.
fn drawn() -> Place {
    static DRAWN: OnceLock<Place> = OnceLock::new();
    let drawn = DRAWN.get_or_init(|| {
        let place = Place::new();
        succeeds(place.run(&PAIRS));
        succeeds(place.alexnet(&["figures"]));
        place
    });
    let place = Place::new();
    for from in drawn.results() {
        let to = place.path("results").join(from.strip_prefix(drawn.path("results")).unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, to).unwrap();
    }
    place
}

/// `verify` finds a difference in the file called `name` after `change`, and none once it is undone.
fn notices(place: &Place, path: &Path, change: impl Fn(&str) -> String, named: &str) {
    let before = fs::read_to_string(path).unwrap();
    let after = change(&before);
    assert_ne!(before, after, "{}: nothing was changed", path.display());
    fs::write(path, after).unwrap();
    fails(place.alexnet(&["verify"]), 1, &["difference", named, "alexnet figures"]);
    fs::write(path, before).unwrap();
    succeeds(place.alexnet(&["verify"]));
}

#[test]
fn verify_passes_on_what_figures_wrote_and_notices_every_later_change() {
    let place = drawn();
    let study = place.study();
    for (name, head) in [
        ("figure-1-fashion-mnist.svg", b"<svg".as_slice()),
        ("figure-1-fashion-mnist.png", b"\x89PNG"),
        ("measured.csv", b"id,preset,data,value,low,high,n_seeds"),
    ] {
        let bytes = fs::read(study.join(name)).unwrap();
        assert!(bytes.starts_with(head) && bytes.len() > 100, "{name}");
    }
    let output = place.alexnet(&["verify"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(stdout(&output).contains("1 figures"), "{}", stdout(&output));

    let measured = study.join("measured.csv");
    let other_value = |text: &str| {
        let at = text.find("fashion-mnist,").unwrap() + "fashion-mnist,".len();
        format!("{}9{}", &text[..at], &text[at..])
    };
    notices(&place, &measured, other_value, "measured.csv");
    let one_row_less = |text: &str| text[..=text.trim_end().rfind('\n').unwrap()].to_owned();
    notices(&place, &measured, one_row_less, "measured.csv");

    let svg = study.join("figure-1-fashion-mnist.svg");
    notices(
        &place,
        &svg,
        |text| text.replacen("epochs", "months", 1),
        "figure-1-fashion-mnist.svg",
    );

    // The error of the second row, column 4 after step, elapsed_s, epoch and loss.
    let rows = place.run_folder("authors-relu", 0).join("metrics.csv");
    let other_error = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let mut cells: Vec<&str> = lines[2].split(',').collect();
        cells[4] = "0.123";
        lines[2] = cells.join(",");
        lines.join("\n") + "\n"
    };
    notices(&place, &rows, other_error, "figure-1-fashion-mnist.svg");
}

#[test]
fn a_damaged_row_is_named_and_not_drawn_over() {
    let place = drawn();
    let rows = place.run_folder("authors-relu", 0).join("metrics.csv");
    let text = fs::read_to_string(&rows).unwrap();
    fs::write(&rows, text.replacen("\n16,", "\nsixteen,", 1)).unwrap();
    for verb in ["verify", "figures"] {
        fails(place.alexnet(&[verb]), 1, &["metrics.csv, line 3", "sixteen"]);
    }
}

#[test]
fn figures_and_verify_without_finished_runs_are_errors_that_say_what_to_run() {
    let place = Place::new();
    for verb in ["figures", "verify"] {
        fails(place.alexnet(&[verb]), 1, &["results/alexnet", "alexnet run"]);
    }
    let place = drawn();
    for verb in ["figures", "verify"] {
        fails(place.alexnet(&[verb, "--preset", "smok"]), 1, &["smok"]);
    }
}

#[test]
fn compare_lays_one_run_over_another_and_asks_for_the_second_when_none_is_published() {
    let place = drawn();
    let [a, b] = ["authors-relu", "authors-tanh"]
        .map(|variant| place.run_folder(variant, 0).display().to_string());
    let output = place.alexnet(&["compare", &a, &b]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(stdout(&output).contains("train/error"), "{}", stdout(&output));
    fails(place.alexnet(&["compare", &a]), 1, &["seed-0", "name a second run"]);
    fails(place.alexnet(&["compare", "nowhere", &b]), 1, &["nowhere", "run.json"]);
}
