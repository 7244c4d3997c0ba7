//! A run stopped at any moment and resumed ends as one that was never stopped.

use std::fs;
use std::process::Output;
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use testing::{Running, files, said, wait_until};

use crate::outcome::assert_as_unbroken;
use crate::place::{LONG, LONG_RUNS, Place, assert_code, fails, succeeds};

/// What a stopped command told the user to type.
fn told(output: &Output) -> String {
    let said = testing::said(output);
    let (_, command) = said.split_once("Go on with: ").unwrap_or_else(|| panic!("{said}"));
    command.lines().next().unwrap().to_owned()
}

/// Stops the command by `stop`, checks what it leaves, and goes on by the command that it printed.
fn stop_and_go_on(code: i32, stop: impl Fn(&Running)) {
    let place = Place::new();
    let running = Running::start(place.run(&LONG));
    place.wait_for_rows(LONG_RUNS[0], 3);
    stop(&running);
    let output = running.end();
    assert_code(&output, code);
    let command = told(&output);
    assert!(command.ends_with(" --resume"), "{command}");
    assert_eq!(place.record(LONG_RUNS[0])["status"], "interrupted");
    assert!(place.checkpoints(LONG_RUNS[0]).join("LATEST").exists());

    // Without --resume it is refused, and nothing of it is touched.
    let metrics = place.run_folder(LONG_RUNS[0], 0).join("metrics.csv");
    let before = fs::read(&metrics).unwrap();
    fails(place.run(&LONG), 1, &["stopped before its end", &command]);
    assert_eq!(fs::read(&metrics).unwrap(), before);
    assert_eq!(place.record(LONG_RUNS[0])["status"], "interrupted");

    succeeds(place.command("/bin/sh", &["-c", &command]));
    assert_eq!(place.record(LONG_RUNS[0])["resumed"], 1);
    assert_as_unbroken(&place);
}

#[test]
fn sigterm_writes_a_checkpoint_and_the_printed_command_goes_on_exactly() {
    stop_and_go_on(143, |running| running.signal("TERM"));
}

#[test]
fn ctrl_c_reaches_all_processes_and_the_printed_command_goes_on_exactly() {
    stop_and_go_on(130, |running| running.signal_all("INT"));
}

#[test]
fn killed_again_and_again_at_any_moment_it_still_ends_as_an_unbroken_run() {
    let place = Place::new();
    let mut running = Running::start(place.run(&LONG));
    let mut waited = Vec::new();
    // The first moment has to leave something to resume.
    place.wait_for_rows(LONG_RUNS[0], 1);
    for _ in 0..5 {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let moment = Duration::from_micros(u64::from(now.subsec_nanos()) % 700_000);
        waited.push(moment);
        sleep(moment);
        running.signal_all("KILL");
        running.end();
        running = Running::start(place.resume(&LONG));
    }
    let output = running.end();
    assert!(output.status.success(), "killed after {waited:?}: {}", said(&output));
    assert_as_unbroken(&place);
}

#[test]
fn a_run_killed_before_its_first_checkpoint_can_be_resumed() {
    let place = Place::new();
    // The only checkpoint is that of the end.
    let rare = ["--set", "relu-vs-tanh.save_every=1000000"];
    let args = [LONG.as_slice(), &rare].concat();
    let running = Running::start(place.run(&args));
    place.wait_for_rows(LONG_RUNS[0], 3);
    running.signal_all("KILL");
    running.end();
    succeeds(place.resume(&args));
    assert_eq!(place.record(LONG_RUNS[0])["status"], "complete");
}

#[test]
fn a_run_whose_parent_is_killed_writes_a_checkpoint_and_ends() {
    let place = Place::new();
    let running = Running::start(place.run(&LONG));
    place.wait_for_rows(LONG_RUNS[0], 3);
    running.signal("KILL");
    running.end();
    wait_until("the run to end", || place.record(LONG_RUNS[0])["status"] == "interrupted");
    succeeds(place.resume(&LONG));
    assert_as_unbroken(&place);
}

#[test]
fn resume_with_nothing_to_resume_is_an_error_and_creates_nothing() {
    let place = Place::new();
    let words = ["--resume", "results/alexnet/smoke", "without --resume"];
    fails(place.resume(&LONG), 1, &words);
    assert!(!place.path("results").exists());
    assert!(files(&place.path("cache/checkpoints")).is_empty());
}

#[test]
fn resume_never_starts_afresh_where_only_other_runs_were_begun() {
    let place = Place::new();
    place.half_done();
    // Another seed of the same study.
    let other_seed = [&["--seed", "5"], &LONG[2..]].concat();
    fails(place.resume(&other_seed), 1, &["--resume", "without --resume"]);
    assert!(!place.run_folder(LONG_RUNS[0], 5).exists());
    // Another data set: as if the first choice could not be had any more.
    let sets = place.study();
    fs::rename(sets.join("fashion-mnist"), sets.join("cifar10")).unwrap();
    fails(place.resume(&LONG), 1, &["--resume", "without --resume"]);
    assert!(!sets.join("fashion-mnist").exists());
}
