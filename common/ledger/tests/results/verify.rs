use std::fs;

use ledger::report::write;
use ledger::verify::{Verified, verify};
use predicates::prelude::*;

use crate::tree::Tree;

const RUN: &str = "results/reference/demo/overnight/speed/cifar10/fast/seed-0";

/// A published folder that is as its files give.
fn published() -> Tree {
    let tree = Tree::new();
    tree.run("results/reference", |_| {});
    tree.run("results/reference", |record| record.key.seed = 1);
    tree.measured("results/reference", "overnight", 5.0);
    tree.figure("results/reference", "overnight");
    write(tree.root(), &tree.reference(), &tree.reference()).unwrap();
    tree
}

fn found(tree: &Tree) -> Verified {
    verify(tree.root(), &tree.reference()).unwrap()
}

/// Asserts that each of `wanted` is in some difference.
fn differs(tree: &Tree, wanted: &[&str]) {
    let differences = found(tree).differences;
    for wanted in wanted {
        let there = differences.iter().any(|difference| difference.contains(wanted));
        assert!(there, "wanted {wanted}\nfound  {differences:#?}");
    }
}

#[test]
fn what_was_just_written_has_no_difference() {
    assert_eq!(found(&published()), Verified { rows: 3, runs: 2, differences: vec![] });
}

#[test]
fn an_edited_ledger_is_noticed() {
    let tree = published();
    tree.edit("results/reference/ledger.csv", "reproduced", "exceeds");
    differs(&tree, &["ledger.csv: demo factor overnight cifar10: verdict: stored \"exceeds\""]);
    let tree = published();
    let text = tree.read("results/reference/ledger.csv");
    tree.write("results/reference/ledger.csv", text + "other,x,y,,,,,,,,,extra,,,\n");
    differs(&tree, &["ledger.csv: rows in another order, or of an experiment without claims"]);
    fs::remove_file(tree.path("results/reference/ledger.csv")).unwrap();
    differs(&tree, &["ledger.csv: missing"]);
}

#[test]
fn an_edited_measurement_is_noticed_in_the_ledger_and_the_pages() {
    let tree = published();
    let file = "results/reference/demo/overnight/speed/measured.csv";
    tree.edit(file, "factor,overnight,cifar10,5,", "factor,overnight,cifar10,5.5,");
    differs(&tree, &["measured: stored \"5\", computed \"5.5\"", "index.html: ", "README.md: "]);
}

#[test]
fn a_stale_page_is_noticed_with_the_line() {
    for page in ["index.html", "README.md"] {
        let tree = published();
        let file = format!("results/reference/{page}");
        let text = tree.read(&file);
        let line = text.lines().position(|line| line.contains("reproduced")).unwrap() + 1;
        tree.edit(&file, "reproduced", "confirmed");
        let differences = found(&tree).differences;
        assert_eq!(differences.len(), 1, "{differences:?}");
        let start = format!("{page}: stale from line {line};");
        assert!(differences[0].starts_with(&start), "wanted {start}\nfound  {differences:?}");
        fs::remove_file(tree.path(&file)).unwrap();
        assert_eq!(found(&tree).differences, [format!("{page}: missing")]);
    }
}

#[test]
fn an_edited_record_is_noticed() {
    for (from, to, said) in [
        ("\"lr\": 0.1", "\"lr\": 0.2", "seed-0/run.json: its configuration has the digest"),
        ("\"complete\"", "\"failed\"", "seed-0/run.json: it failed"),
        (
            "\"dirty\": false",
            "\"dirty\": true",
            "seed-0/run.json: built from 0123456789abcdef with",
        ),
        (
            "\"seed\": 0",
            "\"seed\": 5",
            "seed-0/run.json: its run.json says that it is demo/overnight",
        ),
        ("\"schema\"", "\"scheme\"", "seed-0/run.json: not a run record"),
    ] {
        let tree = published();
        tree.edit(&format!("{RUN}/run.json"), from, to);
        differs(&tree, &[said]);
    }
}

#[test]
fn a_file_over_its_limit_and_a_missing_figure_are_noticed() {
    let tree = published();
    tree.write(&format!("{RUN}/raw.csv"), vec![b'x'; 1_000_001]);
    differs(&tree, &["seed-0/raw.csv: "]);
    let tree = published();
    fs::remove_file(tree.path("results/reference/demo/overnight/speed/error.svg")).unwrap();
    differs(&tree, &["index.html: stale"]);
}

#[test]
fn an_absent_or_empty_folder_is_fine() {
    let tree = Tree::new();
    let line = "results/reference: nothing is published\n";
    tree.ledger(&["verify"]).assert().success().stdout(line);
    tree.write("results/reference/.gitkeep", "");
    tree.ledger(&["verify"]).assert().success().stdout(line);
    assert_eq!(tree.files("results/reference"), [".gitkeep"]);
}

#[test]
fn the_program_prints_each_difference_and_fails() {
    let tree = published();
    let line = "3 ledger rows, 2 runs: all as the files give\n";
    tree.ledger(&["verify"]).assert().success().stdout(line);
    // The way a user would publish again: verify holds right after report, from any folder.
    let (root, reference) = (tree.root().to_owned(), tree.reference());
    let from = ["--root", root.to_str().unwrap(), "--results", reference.to_str().unwrap()];
    let mut report = tree.ledger(&["report", "--reference", reference.to_str().unwrap()]);
    report.args(from).current_dir("/").assert().success();
    tree.ledger(&["verify"]).args(from).current_dir("/").assert().success().stdout(line);
    tree.edit(&format!("{RUN}/run.json"), "\"complete\"", "\"failed\"");
    let said = predicate::str::contains("seed-0/run.json: it failed\n");
    tree.ledger(&["verify"]).assert().code(1).stdout(said);
}
