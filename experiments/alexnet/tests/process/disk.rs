//! A disk that fills while a checkpoint is written.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::outcome::assert_as_unbroken;
use crate::place::{LONG, LONG_RUNS, Place, assert_code, succeeds};

/// A `bash` that runs `script` with `command` as its arguments.
fn in_shell(place: &Place, script: &str, command: &Command) -> Command {
    let words: Vec<String> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let mut all = vec!["-c", script, "bash"];
    all.extend(words.iter().map(String::as_str));
    place.command("bash", &all)
}

fn checkpoints(place: &Place) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let files = testing::files(&place.checkpoints(LONG_RUNS[0]));
    files.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

#[test]
fn a_write_beyond_the_file_size_limit_is_an_error_that_keeps_the_checkpoint_before() {
    let place = Place::new();
    place.half_done();
    let before = checkpoints(&place);
    // 200 KiB: rows and events fit, the parameters do not.
    let limited = r#"ulimit -f 200; exec "$@""#;
    let output = in_shell(&place, limited, &place.resume(&LONG)).output().unwrap();
    assert_code(&output, 1);
    let said = testing::said(&output);
    for word in ["model.safetensors", "File too large", "the checkpoint before it is untouched"] {
        assert!(said.contains(word), "expected: {word}\n     got: {said}");
    }
    assert_eq!(place.record(LONG_RUNS[0])["status"], "failed");
    assert!(checkpoints(&place) == before, "other files than before");
    succeeds(place.resume(&LONG));
    assert_as_unbroken(&place);
}

/// A file system of its own that holds two checkpoints and no third, seen only by this shell and what it
/// starts; made larger after the run has failed. Everything is copied out in the end.
const SMALL_DISK: &str = r#"
mkdir -p cache && mount -t tmpfs -o size=1700k tmpfs cache || exit 77
"$@" 2> first.txt; echo $? > first.code
cp results/alexnet/*/relu-vs-tanh/fashion-mnist/authors-relu/seed-0/run.json first.json
find cache/checkpoints -type f > first.files
mount -o remount,size=64m cache || exit 77
"$@" --resume 2> second.txt; echo $? > second.code
cp -r cache kept; umount cache; rmdir cache; mv kept cache
"#;

#[test]
fn a_full_disk_is_an_error_that_names_the_file_and_leaves_a_run_that_goes_on_exactly() {
    if !may_mount() {
        eprintln!("skipped: this user may not mount a small file system");
        return;
    }
    let place = Place::new();
    let shell = in_shell(&place, SMALL_DISK, &place.run(&LONG));
    let mut command = place.command("unshare", &["--mount"]);
    command.arg("bash").args(shell.get_args());
    assert_code(&command.output().unwrap(), 0);
    let read = |name: &str| fs::read_to_string(place.path(name)).unwrap();
    let said = read("first.txt");
    assert_eq!(read("first.code"), "1\n", "{said}");
    for word in [".safetensors", "No space left", "the checkpoint before it is untouched"] {
        assert!(said.contains(word), "expected: {word}\n     got: {said}");
    }
    assert!(read("first.json").contains(r#""status": "failed""#));
    assert!(!read("first.files").contains(".writing-"), "{}", read("first.files"));
    assert_eq!(read("second.code"), "0\n", "{}", read("second.txt"));
    assert_as_unbroken(&place);
}

fn may_mount() -> bool {
    let script = "mount -t tmpfs -o size=64k tmpfs /tmp";
    let tried = Command::new("unshare").args(["--mount", "sh", "-c", script]).output();
    Path::new("/proc/self/ns/mnt").exists() && tried.is_ok_and(|output| output.status.success())
}
