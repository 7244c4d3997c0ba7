//! Two processes on one run folder.

use std::fs::{self, File};

use testing::Running;

use crate::outcome::assert_as_unbroken;
use crate::place::{LONG, LONG_RUNS, Place, assert_code, fails, succeeds};

#[test]
fn a_folder_that_another_process_holds_is_left_alone() {
    let place = Place::new();
    place.half_done();
    let folder = place.run_folder(LONG_RUNS[0], 0);
    let lock = File::options().write(true).open(folder.join(".lock")).unwrap();
    lock.try_lock().unwrap();
    let before = fs::read(folder.join("run.json")).unwrap();
    for flag in ["--resume", "--overwrite"] {
        let words = ["seed-0: another process is writing this run", "wait for it or stop it"];
        fails(place.run(&[LONG.as_slice(), &[flag]].concat()), 1, &words);
        assert_eq!(fs::read(folder.join("run.json")).unwrap(), before);
    }
    drop(lock);
    succeeds(place.resume(&LONG));
}

#[test]
fn a_second_command_beside_a_running_one_says_so_and_does_it_no_harm() {
    let place = Place::new();
    let first = Running::start(place.run(&LONG));
    place.wait_for_rows(LONG_RUNS[0], 2);
    fails(place.run(&LONG), 1, &["another process is writing this run"]);
    assert_code(&first.end(), 0);
    assert_as_unbroken(&place);
}
