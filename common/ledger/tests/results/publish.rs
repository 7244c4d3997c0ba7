use std::fs;

use ledger::publish::{Action, Published, publish};
use ledger::run::{RunRecord, Status};
use predicates::prelude::*;

use crate::tree::Tree;

fn published(tree: &Tree) -> Vec<Published> {
    publish(&tree.results(), &tree.reference()).unwrap()
}

#[test]
fn a_finished_clean_run_is_copied_without_lock_events_figures_and_measured_values() {
    let tree = Tree::new();
    let run = tree.run("results", |_| {});
    tree.write(&format!("results/{run}/raw/predictions.csv.gz"), [0, 255, 10, 13]);
    tree.write(&format!("results/{run}/events.out.tfevents.run"), [0, 1, 2, 3]);
    tree.measured("results", "overnight", 5.0);
    tree.figure("results", "overnight");
    assert_eq!(published(&tree), [Published { run: run.clone(), action: Action::Copied }]);
    let files = ["metrics.csv", "raw/predictions.csv.gz", "run.json"].map(|f| format!("{run}/{f}"));
    assert_eq!(tree.files("results/reference"), files);
    for file in files {
        let (from, to) = (tree.path("results").join(&file), tree.reference().join(&file));
        assert_eq!(fs::read(from).unwrap(), fs::read(to).unwrap(), "{file}");
    }
    assert_eq!(published(&tree), [Published { run, action: Action::Kept }]);
}

#[test]
fn a_run_that_cannot_be_repeated_as_it_is_stays_behind_and_the_reason_is_said() {
    type Edit = fn(&mut RunRecord);
    let edits: [(&str, Edit); 10] = [
        ("it is not finished", |r| r.status = Status::Running),
        ("it was interrupted", |r| r.status = Status::Interrupted),
        ("it failed", |r| r.status = Status::Failed),
        ("smoke only checks", |r| r.key.preset = "smoke".into()),
        ("smoke only checks", |r| r.key.preset = "smoke+1a2b3c4d".into()),
        ("was changed on the command line", |r| r.key.preset = "laptop+1a2b3c4d".into()),
        ("uncommitted changes", |r| r.build.dirty = true),
        ("unknown commit", |r| r.build.commit = "unknown".into()),
        ("--allow-inexact", |r| r.inexact = true),
        ("has the digest", |r| r.digest = "0".repeat(64)),
    ];
    for (reason, edit) in edits {
        let tree = Tree::new();
        let run = tree.run("results", edit);
        let line = format!("{run}: not published: ");
        let found = published(&tree).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert!(found.len() == 1 && found[0].starts_with(&line), "{found:?}");
        assert!(found[0].contains(reason), "wanted {reason}, found {found:?}");
        assert!(!tree.reference().exists(), "{reason}");
    }
}

#[test]
fn a_run_in_another_place_than_its_record_says_stays_behind() {
    let tree = Tree::new();
    let run = tree.run("results", |_| {});
    let moved = run.replace("/fast/", "/slow/");
    fs::create_dir_all(tree.path("results").join(&moved).parent().unwrap()).unwrap();
    fs::rename(tree.path("results").join(&run), tree.path("results").join(&moved)).unwrap();
    let reason = Action::Refused(format!("its run.json says that it is {run}"));
    assert_eq!(published(&tree), [Published { run: moved, action: reason }]);
}

#[test]
fn another_run_of_the_same_place_replaces_the_whole_folder_and_says_in_what_it_differs() {
    let tree = Tree::new();
    let run = tree.run("results", |_| {});
    tree.write(&format!("results/{run}/old.csv"), "x\n");
    published(&tree);
    fs::remove_file(tree.path(&format!("results/{run}/old.csv"))).unwrap();
    let action = |tree: &Tree| published(tree)[0].action.clone();
    let again = "the same configuration and commit, run again";
    assert_eq!(action(&tree), Action::Replaced(again.into()));
    assert_eq!(tree.files(&format!("results/reference/{run}")), ["metrics.csv", "run.json"]);
    tree.run("results", |record| record.config = serde_json::json!({"lr": 0.2}));
    assert_eq!(action(&tree), Action::Replaced("lr (0.1 → 0.2)".into()));
    tree.run("results", |record| {
        record.config = serde_json::json!({"lr": 0.2});
        record.build.commit = "fedcba".into();
    });
    let commit = "the same configuration, commit 0123456789abcdef → fedcba";
    assert_eq!(action(&tree), Action::Replaced(commit.into()));
    assert_eq!(action(&tree), Action::Kept);
}

#[test]
fn a_file_over_its_limit_is_named_with_both_sizes_and_nothing_is_copied() {
    for (file, size, said) in [
        ("predictions.csv", 1_234_567, "predictions.csv: 1.2 MB, at most 1.0 MB"),
        ("drawing.svg", 345_678, "drawing.svg: 346 kB, at most 300 kB"),
        ("a.safetensors", 10_600_000, "a.safetensors, 10.6 MB): 10.6 MB, at most 10.0 MB"),
    ] {
        let tree = Tree::new();
        tree.run("results", |_| {});
        let large = tree.run("results", |record| record.key.seed = 1);
        tree.write(&format!("results/{large}/{file}"), vec![b'x'; size]);
        let error = publish(&tree.results(), &tree.reference()).unwrap_err().to_string();
        let error = error.replace('\u{a0}', " ");
        assert!(error.contains(said), "wanted {said}\nfound  {error}");
        assert!(!tree.reference().exists());
        // A run that stays behind anyway does not count.
        tree.edit(&format!("results/{large}/run.json"), "\"complete\"", "\"failed\"");
        assert_eq!(published(&tree)[0].action, Action::Copied);
    }
}

#[test]
fn the_whole_may_not_grow_beyond_its_limit() {
    let tree = Tree::new();
    for i in 0..80 {
        tree.write(&format!("results/reference/old/{i}.csv"), vec![b'x'; 999_999]);
    }
    let before = tree.files("results/reference");
    tree.run("results", |_| {});
    let error = publish(&tree.results(), &tree.reference()).unwrap_err().to_string();
    assert!(error.contains("all published files"), "{error}");
    assert_eq!(tree.files("results/reference"), before);
}

#[test]
fn a_copy_that_fails_leaves_nothing_half_written() {
    let tree = Tree::new();
    tree.run("results", |_| {});
    tree.write("results/reference/demo", "a file where the experiment's folder belongs");
    let error = publish(&tree.results(), &tree.reference()).unwrap_err().to_string();
    assert!(error.contains("results/reference/demo"), "{error}");
    assert_eq!(tree.files("results/reference"), ["demo"]);
}

#[test]
fn the_program_says_what_it_did_with_each_run() {
    let tree = Tree::new();
    tree.ledger(&["publish"]).assert().success().stdout("results: no runs to publish\n");
    let good = tree.run("results", |_| {});
    let bad = tree.run("results", |record| {
        record.key.seed = 1;
        record.build.dirty = true;
    });
    let built = "built from 0123456789abcdef with uncommitted changes";
    let lines = |what: &str| format!("{good}: {what}\n{bad}: not published: {built}\n");
    tree.ledger(&["publish"]).assert().success().stdout(lines("copied"));
    tree.ledger(&["publish"]).assert().success().stdout(lines("published already"));
    tree.write(&format!("results/{good}/large.csv"), vec![b'x'; 1_000_001]);
    let error = predicate::str::contains(format!("{good}/large.csv"));
    tree.ledger(&["publish"]).assert().code(1).stdout("").stderr(error);
}
