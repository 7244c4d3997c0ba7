//! Several processes that train together, started as `torchrun` starts them.

use std::fs;
use std::net::TcpListener;

use ledger::metrics;

use crate::place::{LONG, LONG_RUNS, Place, Running, assert_code, fails, stderr};

/// Starts `run` with `args` as several processes; `also` has what one of them gets besides.
fn start(
    place: &Place,
    size: usize,
    args: &[&str],
    also: impl Fn(usize) -> Vec<&'static str>,
) -> Vec<Running> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    drop(listener);
    let one = |rank: usize| {
        let mut command = place.run(args);
        command.args(also(rank));
        for (name, value) in [("RANK", rank), ("WORLD_SIZE", size), ("LOCAL_RANK", rank)] {
            command.env(name, value.to_string());
        }
        command.env("MASTER_ADDR", "127.0.0.1").env("MASTER_PORT", &port);
        command.env("LANDMARKS_TIMEOUT_S", "60");
        Running::start(command)
    };
    (0..size).map(one).collect()
}

/// As [`start`] without anything besides; all must end well.
fn together(place: &Place, size: usize, args: &[&str]) {
    for running in start(place, size, args, |_| Vec::new()) {
        assert_code(&running.end(), 0);
    }
}

/// Losses of a run by step.
fn losses(place: &Place, variant: &str) -> Vec<(u64, f64)> {
    let rows = metrics::read(place.run_folder(variant, 0).join("metrics.csv")).unwrap();
    rows.column("train/loss").unwrap()
}

/// The weights that a finished run of [`LONG`] ended with.
fn weights(place: &Place, variant: &str) -> Vec<u8> {
    fs::read(place.checkpoints(variant).join("step-160/model.safetensors")).unwrap()
}

#[test]
fn two_processes_lose_what_one_loses() {
    let (alone, pair) = (Place::new(), Place::new());
    crate::place::succeeds(alone.run(&LONG));
    together(&pair, 2, &LONG);
    for variant in LONG_RUNS {
        let (one, two) = (losses(&alone, variant), losses(&pair, variant));
        assert_eq!(one.len(), two.len());
        for ((step, wanted), (_, found)) in one.into_iter().zip(two).filter(|(a, _)| a.0 <= 50) {
            // The same sums in another order.
            assert!(
                (found / wanted - 1.0).abs() < 1e-4,
                "{variant}, step {step}: {wanted} {found}"
            );
        }
        let record = pair.record(variant);
        assert_eq!(record["status"], "complete");
        assert_eq!(record["config"]["conditions"]["world_size"], 2);
    }
    for rank in 0..2 {
        assert!(pair.path(&format!("results/alexnet/rank-{rank}.log")).is_file());
    }
}

#[test]
fn when_one_process_is_killed_the_other_names_it_and_both_go_on_exactly() {
    let (unbroken, place) = (Place::new(), Place::new());
    together(&unbroken, 2, &LONG);
    let mut running = start(&place, 2, &LONG, |_| Vec::new());
    place.wait_for_rows(LONG_RUNS[0], 3);
    running[1].signal("KILL");
    let first = running.remove(0).end();
    assert_code(&first, 1);
    assert!(stderr(&first).contains("process 1 has gone"), "{}", stderr(&first));
    assert!(place.checkpoints(LONG_RUNS[0]).join("LATEST").exists());
    drop(running);

    together(&place, 2, &[LONG.as_slice(), &["--resume"]].concat());
    for variant in LONG_RUNS {
        assert_eq!(losses(&place, variant), losses(&unbroken, variant));
        assert!(weights(&place, variant) == weights(&unbroken, variant), "{variant}");
    }
    assert_eq!(place.record(LONG_RUNS[0])["resumed"], 1);
}

#[test]
fn processes_with_other_flags_are_refused() {
    let place = Place::new();
    let also = |rank| if rank == 1 { vec!["--set", "relu-vs-tanh.batch=16"] } else { Vec::new() };
    for running in start(&place, 2, &["--seed", "0"], also) {
        let output = running.end();
        assert_code(&output, 1);
        let said = stderr(&output);
        assert!(
            said.contains("process 1 was not started like process 0: preset (smoke →"),
            "{said}"
        );
    }
}

#[test]
fn a_batch_that_the_processes_cannot_share_is_refused() {
    let place = Place::new();
    for running in start(&place, 3, &["--seed", "0"], |_| Vec::new()) {
        let output = running.end();
        assert_code(&output, 1);
        let said = stderr(&output);
        assert!(
            said.contains("a batch is ") && said.contains("3 processes cannot share"),
            "{said}"
        );
    }
}

#[test]
fn another_number_of_processes_goes_on_only_when_told_to() {
    let place = Place::new();
    let running = start(&place, 2, &LONG, |_| Vec::new());
    place.wait_for_rows(LONG_RUNS[0], 3);
    for one in &running {
        one.signal("TERM");
    }
    for one in running {
        assert_code(&one.end(), 143);
    }
    assert_eq!(place.record(LONG_RUNS[0])["status"], "interrupted");
    fails(place.resume(&LONG), 1, &["world_size", "--allow-inexact"]);
    let mut inexact = place.resume(&LONG);
    inexact.arg("--allow-inexact");
    crate::place::succeeds(inexact);
    let record = place.record(LONG_RUNS[0]);
    assert_eq!((&record["status"], &record["inexact"]), (&"complete".into(), &true.into()));
}

#[test]
fn a_world_without_an_address_is_refused() {
    let place = Place::new();
    let mut command = place.run(&["--seed", "0"]);
    command.env("WORLD_SIZE", "2").env("RANK", "0");
    fails(command, 1, &["MASTER_ADDR is not set", "torchrun"]);
}
