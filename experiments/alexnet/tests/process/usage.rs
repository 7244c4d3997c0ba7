//! Wrong usage: what it says, and that nothing is written then.

use std::process::Command;

use crate::place::{LONG, Place, fails, stdout, succeeds};

/// The binary with nothing in its environment at all.
fn bare(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_alexnet"));
    command.env_clear().args(args);
    command
}

/// `run` with `args` ends with 2, says `words`, and leaves no results.
#[track_caller]
fn wrong_usage(args: &[&str], words: &[&str]) {
    let place = Place::new();
    fails(place.run(args), 2, words);
    assert!(place.results().is_empty(), "{:?}", place.results());
}

#[test]
fn help_and_list_work_with_an_empty_environment() {
    let help = bare(&["--help"]).output().unwrap();
    assert!(help.status.success(), "{help:?}");
    for verb in
        ["list", "run", "figures", "verify", "compare", "data", "predict", "evaluate", "prepare"]
    {
        assert!(stdout(&help).contains(verb), "{verb} is not in\n{}", stdout(&help));
    }
    let run = bare(&["run", "--help"]).output().unwrap();
    for flag in ["--preset", "--seeds", "--set", "--resume", "--overwrite", "--data", "--json"] {
        assert!(stdout(&run).contains(flag), "{flag} is not in\n{}", stdout(&run));
    }
    let list = bare(&["list"]).output().unwrap();
    assert!(list.status.success(), "{list:?}");
    for word in ["relu-vs-tanh", "smoke", "laptop", "overnight", "paper", "fashion-mnist", "MB"] {
        assert!(stdout(&list).contains(word), "{word} is not in\n{}", stdout(&list));
    }
}

#[test]
fn no_place_for_the_cache_is_an_error_that_names_the_variable_to_set() {
    fails(bare(&["run", "--preset", "smoke"]), 1, &["LANDMARKS_CACHE", "HOME"]);
}

#[test]
fn an_unknown_study_names_those_there_are_and_the_nearest() {
    let words = ["relu-vs-tahn: no such study", "did you mean `relu-vs-tanh`"];
    wrong_usage(&["relu-vs-tahn"], &words);
    let place = Place::new();
    fails(place.alexnet(&["figures", "relu-vs-tahn"]), 2, &words);
}

#[test]
fn an_unknown_preset_names_those_there_are_and_the_nearest() {
    let place = Place::new();
    let words = ["--preset smok", "smoke, laptop, overnight, paper", "did you mean `smoke`"];
    fails(place.alexnet(&["run", "--preset", "smok"]), 2, &words);
    assert!(place.results().is_empty());
}

#[test]
fn an_unknown_key_of_the_preset_names_the_nearest() {
    wrong_usage(&["--set", "relu-vs-tanh.batchs=2"], &["`batchs`", "did you mean `batch`"]);
    wrong_usage(&["--set", "relu-vs-tanh.serach.seed=2"], &["`serach`", "did you mean `search`"]);
    wrong_usage(&["--set", "relu-vs-tanh.batch"], &["--set relu-vs-tanh.batch", "key=value"]);
    wrong_usage(&["--set", "relu-vs-tanh.batch=many"], &["many", "batch"]);
}

#[test]
fn a_value_that_no_run_can_use_is_refused_before_anything_starts() {
    wrong_usage(&["--set", "relu-vs-tanh.batch=0"], &["batch"]);
    wrong_usage(&["--set", "relu-vs-tanh.pictures=0"], &["pictures"]);
    wrong_usage(&["--set", "relu-vs-tanh.epochs.relu=0"], &["epochs"]);
}

#[test]
fn unknown_devices_and_precisions_name_those_there_are() {
    let place = Place::new();
    for device in ["gpu", "cuda:x"] {
        let args = ["run", "--preset", "smoke", "--device", device];
        let flag = format!("--device {device}");
        fails(place.alexnet(&args), 2, &[&flag, "auto, cpu, cuda or cuda:<index>"]);
    }
    wrong_usage(&["--precision", "fp16"], &["--precision fp16", "fp32, tf32 or bf16"]);
}

#[test]
fn a_gpu_that_is_not_there_is_an_error_that_says_what_is_missing() {
    if std::path::Path::new("/dev/nvidiactl").exists() {
        eprintln!("skipped: this machine has a GPU");
        return;
    }
    let place = Place::new();
    let args = ["run", "--preset", "smoke", "--data", "data", "--device", "cuda"];
    fails(place.alexnet(&args), 1, &["--device cuda", "no NVIDIA driver", "--device cpu"]);
}

#[test]
fn numbers_that_make_no_sense_are_refused() {
    let place = Place::new();
    let threads = ["run", "--preset", "smoke", "--threads", "0"];
    fails(place.alexnet(&threads), 2, &["--threads", "a whole number from 1"]);
    let mut environment = place.alexnet(&["run", "--preset", "smoke", "--data", "data"]);
    environment.env("OMP_NUM_THREADS", "many");
    fails(environment, 2, &["OMP_NUM_THREADS=many", "a whole number"]);
    wrong_usage(&["--seeds", "0"], &["--seeds"]);
}

#[test]
fn flags_that_contradict_each_other_are_refused() {
    wrong_usage(&["--seed", "1", "--seeds", "2"], &["--seed <SEED>", "--seeds <N>"]);
    wrong_usage(&["--resume", "--overwrite"], &["--resume", "--overwrite"]);
    wrong_usage(&["--allow-inexact"], &["--resume"]);
    wrong_usage(&["-q", "-v"], &["--quiet", "--verbose"]);
}

#[test]
fn the_seed_of_the_search_is_refused_before_the_search_starts() {
    wrong_usage(&["--seed", "1000"], &["1000", "search"]);
}

#[test]
fn a_dry_run_says_what_it_would_cost_and_writes_nothing() {
    let place = Place::new();
    let output = place.run(&[LONG.as_slice(), &["--dry-run"]].concat()).output().unwrap();
    for word in ["authors-relu/seed-0", "parameters", "updates", "memory", "time"] {
        assert!(stdout(&output).contains(word), "{word} is not in\n{}", stdout(&output));
    }
    assert!(place.results().is_empty());
}

#[test]
fn quiet_says_nothing_when_all_goes_well() {
    let place = Place::new();
    let args = ["--seed", "0", "--set", "relu-vs-tanh.epochs={sigmoid=1.0}", "--quiet"];
    let said = succeeds(place.run(&args));
    // Which data set is used, when it is not the first choice, is said in any case.
    let lines: Vec<&str> = said.lines().filter(|line| line.contains("INFO")).collect();
    assert!(lines.is_empty(), "{lines:?}");
}
