//! Several processes that train together, started as `torchrun` starts them.

use std::fs;
use std::path::Path;
use std::process::Command;

use ledger::metrics;
use testing::{said, several, together};

use crate::place::{LONG, LONG_RUNS, Place, assert_code, fails, succeeds};

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
    succeeds(alone.run(&LONG));
    together(2, |_| pair.run(&LONG));
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
    together(2, |_| unbroken.run(&LONG));
    let mut running = several(2, |_| place.run(&LONG));
    place.wait_for_rows(LONG_RUNS[0], 3);
    running[1].signal("KILL");
    let first = running.remove(0).end();
    assert_code(&first, 1);
    assert!(said(&first).contains("process 1 has gone"), "{}", said(&first));
    assert!(place.checkpoints(LONG_RUNS[0]).join("LATEST").exists());
    drop(running);

    together(2, |_| place.resume(&LONG));
    for variant in LONG_RUNS {
        assert_eq!(losses(&place, variant), losses(&unbroken, variant));
        assert!(weights(&place, variant) == weights(&unbroken, variant), "{variant}");
    }
    assert_eq!(place.record(LONG_RUNS[0])["resumed"], 1);
}

#[test]
fn processes_with_other_flags_are_refused() {
    let place = Place::new();
    let other = ["--seed", "0", "--set", "relu-vs-tanh.batch=16"];
    for running in several(2, |rank| place.run(if rank == 1 { &other } else { &other[..2] })) {
        let output = running.end();
        assert_code(&output, 1);
        let said = testing::said(&output);
        assert!(
            said.contains("process 1 was not started like process 0: preset (smoke →"),
            "{said}"
        );
    }
}

#[test]
fn processes_of_another_build_are_refused() {
    let place = Place::new();
    let other = place.path("alexnet");
    // A byte behind the end of a program changes nothing but its hash. By another process: a program that this one
    // still holds open for writing does not start.
    let script = r#"cp "$0" "$1" && printf x >> "$1""#;
    let mut copy = Command::new("/bin/sh");
    copy.args(["-c", script, env!("CARGO_BIN_EXE_alexnet")]).arg(&other);
    assert!(copy.status().unwrap().success());
    let libtorch = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.libtorch/lib");
    let start = |rank| {
        let run = place.run(&["--seed", "0"]);
        if rank == 0 {
            return run;
        }
        let args: Vec<&str> = run.get_args().map(|arg| arg.to_str().unwrap()).collect();
        let mut run = place.command(&other, &args);
        run.env("LD_LIBRARY_PATH", libtorch); // its run path leads elsewhere
        run
    };
    for running in several(2, start) {
        let output = running.end();
        assert_code(&output, 1);
        let said = testing::said(&output);
        assert!(said.contains("process 1 was not started like process 0: program ("), "{said}");
    }
}

#[test]
fn processes_on_gpus_that_are_not_there_end_at_once() {
    if Path::new("/dev/nvidiactl").exists() {
        eprintln!("skipped: this machine has a GPU");
        return;
    }
    let place = Place::new();
    let args = ["run", "--preset", "smoke", "--data", "data", "--device", "cuda"];
    for running in several(2, |_| place.alexnet(&args)) {
        let output = running.end();
        assert_code(&output, 1);
        let said = testing::said(&output);
        assert!(said.contains("--device cuda: no NVIDIA driver"), "{said}");
    }
}

#[test]
fn a_batch_that_the_processes_cannot_share_is_refused() {
    let place = Place::new();
    for running in several(3, |_| place.run(&["--seed", "0"])) {
        let output = running.end();
        assert_code(&output, 1);
        let said = testing::said(&output);
        assert!(
            said.contains("a batch is ") && said.contains("3 processes cannot share"),
            "{said}"
        );
    }
}

#[test]
fn another_number_of_processes_goes_on_only_when_told_to() {
    let place = Place::new();
    let running = several(2, |_| place.run(&LONG));
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
    succeeds(inexact);
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
