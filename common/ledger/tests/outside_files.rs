//! Records, rows and claims, damaged: no reader panics or takes memory for what a file only claims to hold.

use std::fs;
use std::path::Path;

use ledger::claims::parse_claims;
use ledger::metrics;
use ledger::run::RunRecord;
use testing::damage::{survives, survives_file};

/// A published run, and the claims of its experiment.
const RUN: &str = "results/reference/scaling-laws/overnight/refits/gemstones-hot/refit/seed-0";
const CLAIMS: &str = "experiments/scaling-laws/claims.csv";

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

#[test]
fn records_and_rows_survive() {
    let folder = tempfile::tempdir().unwrap();
    let record = fs::read(root().join(RUN).join("run.json")).unwrap();
    survives_file(folder.path(), "run.json", &[record], |_| drop(RunRecord::read(folder.path())));
    let rows = b"step,elapsed_s,loss\n1,0.5,2.25\n2,1.0,\n3,1.5,NaN\n".to_vec();
    survives_file(folder.path(), "metrics.csv", &[rows], |path| drop(metrics::read(path)));
}

#[test]
fn claims_survive() {
    let claims = fs::read(root().join(CLAIMS)).unwrap();
    let first = claims.split_inclusive(|&byte| byte == b'\n').take(6).collect::<Vec<_>>().concat();
    survives(&[first], |bytes| {
        drop(parse_claims(Path::new("claims.csv"), &String::from_utf8_lossy(bytes)));
    });
}
