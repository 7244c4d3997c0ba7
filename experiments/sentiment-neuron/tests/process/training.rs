//! Training, stopped and resumed.

use std::fs;

use testing::together;

use testing::said;

use crate::place::{Place, on_the_dump, rows, run_folder, stop_after, strs, weights};

#[test]
fn training_learns_and_a_stopped_one_ends_as_an_unbroken_one() {
    let (unbroken, stopped) = (Place::new(), Place::new());
    let args = on_the_dump(400);
    let whole = unbroken.run("language-model", "results", &strs(&args)).output().unwrap();
    assert!(whole.status.success(), "{}", said(&whole));

    let results = stopped.path("results");
    stop_after(stopped.run("language-model", "results", &strs(&args)), &results, 5);
    assert!(rows(&results).len() < 80, "it had ended before it was stopped");
    let mut again = strs(&args);
    again.push("--resume");
    let resumed = stopped.run("language-model", "results", &again).output().unwrap();
    assert!(resumed.status.success(), "{}", said(&resumed));

    let (a, b) = (rows(&unbroken.path("results")), rows(&results));
    assert_eq!(a.len(), 80);
    assert_eq!(a, b);
    let of = |place: &Place| weights(&place.path("cache"), &place.path("results"));
    assert_eq!(of(&unbroken).len(), 2);
    assert!(of(&unbroken) == of(&stopped), "the weights differ");
    // Ten words in a fixed pattern: well below the four bits of their letters.
    let last = a.last().unwrap();
    let bits: f64 = last.iter().rev().find_map(|cell| cell.parse().ok()).unwrap();
    assert!(bits < 2.5, "{last:?}");
}

#[test]
fn hidden_mood_runs_to_its_figure_without_any_data() {
    let place = Place::new();
    let made = place.run("hidden-mood", "results", &[]).output().unwrap();
    assert!(made.status.success(), "{}", said(&made));
    let drawn = place.command(&["figures", "--out", "results"]).output().unwrap();
    assert!(drawn.status.success(), "{}", said(&drawn));
    let study = place.path("results/sentiment-neuron/smoke/hidden-mood");
    assert!(study.join("units.svg").is_file());
    let measured = fs::read_to_string(study.join("measured.csv")).unwrap();
    for id in ["hidden-mood-unit", "hidden-mood-control", "hidden-mood-counting"] {
        assert!(measured.contains(id), "{measured}");
    }
}

#[test]
fn two_processes_learn_what_one_learns() {
    let (alone, pair) = (Place::new(), Place::new());
    let args = on_the_dump(50);
    let whole = alone.run("language-model", "results", &strs(&args)).output().unwrap();
    assert!(whole.status.success(), "{}", said(&whole));
    together(2, |_| pair.run("language-model", "results", &strs(&args)));
    let (one, two) = (rows(&alone.path("results")), rows(&pair.path("results")));
    assert_eq!((one.len(), two.len()), (10, 10));
    for (one, two) in one.iter().zip(&two) {
        // Step, bytes, epoch, rate, loss; the same sums in another order.
        let [wanted, found] = [one, two].map(|row| row[4].parse::<f64>().unwrap());
        assert!((found / wanted - 1.0).abs() < 1e-4, "{one:?}\n{two:?}");
    }
    let record = fs::read_to_string(run_folder(&pair.path("results")).unwrap().join("run.json"));
    assert!(record.unwrap().contains("\"world_size\": 2"));
}
