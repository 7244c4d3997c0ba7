//! `setup/install-libtorch` as a process, with a Python that only pretends to install.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use assert_cmd::Command;
use predicates::prelude::*;

/// Stands in for `python3`: answers what the script asks, and as `pip install` writes a torch folder
/// of `$FAKE_VERSION`, or fails saying `$FAKE_FAILURE`.
const PYTHON: &str = r#"#!/bin/bash
case "$1 $2 $3" in
    "-c "*) echo "cpython ${FAKE_PYTHON:-3 11}"; exit ;;
    "-m pip --version") exit 0 ;;
    "-m pip install") ;;
    *) exit 9 ;;
esac
echo "$@" >> "$FAKE_CALLS"
while [ $# -gt 0 ]; do
    case $1 in --target) target=$2 ;; --log) log=$2 ;; esac
    shift
done
if [ -n "${FAKE_FAILURE:-}" ]; then mkdir -p "$target/torch"; echo "$FAKE_FAILURE" > "$log"; exit 1; fi
mkdir -p "$target/torch/lib"
echo > "$target/torch/lib/libtorch_cpu.so"
echo "__version__ = '${FAKE_VERSION:-2.13.0+cu130}'" > "$target/torch/version.py"
"#;

/// The script that builds the shim over libtorch.
const BUILD_SCRIPT: &str = "common/build.rs";

/// A work tree with the real scripts, the pretended Python and an empty cache.
struct Tree {
    dir: tempfile::TempDir,
}

impl Tree {
    fn new() -> Self {
        let tree = Self { dir: tempfile::tempdir().unwrap() };
        let mut copy = Command::new("cp");
        copy.arg("-r").arg(repository().join("setup")).arg(tree.dir.path()).assert().success();
        fs::create_dir(tree.path("common")).unwrap();
        fs::write(tree.path(BUILD_SCRIPT), "").unwrap();
        tree.script("python", PYTHON);
        tree
    }

    fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    fn script(&self, name: &str, text: &str) {
        // By another process: a program that this one still holds open for writing, or that a test
        // starting at this instant inherits, does not start ("text file busy").
        let mut write = Command::new("/bin/sh");
        write.args(["-c", r#"cat > "$0" && chmod 755 "$0""#]).arg(self.path(name));
        write.write_stdin(text).assert().success();
    }

    fn install(&self, vars: &[(&str, &str)]) -> Command {
        let mut command = Command::new(self.path("setup/install-libtorch"));
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", self.path("home"))
            .env("PYTHON", self.path("python"))
            .env("FAKE_CALLS", self.path("calls"))
            .envs(vars.iter().copied());
        command
    }

    /// How often pip was asked to install, and with what.
    fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("calls")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// What is in the cache's folder for libtorch, the lock aside.
    fn installed(&self) -> Vec<String> {
        let Ok(folder) = fs::read_dir(self.path("home/.cache/landmarks/libtorch")) else {
            return Vec::new();
        };
        let names = folder.map(|e| e.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name != ".lock").collect()
    }
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn it_installs_once_and_then_only_looks() {
    let tree = Tree::new();
    // The size is said before anything is fetched.
    tree.install(&[])
        .arg("cpu")
        .assert()
        .success()
        .stderr(predicate::str::contains("540 MB to fetch"));
    let link = fs::read_link(tree.path(".libtorch")).unwrap();
    assert_eq!(link, tree.path("home/.cache/landmarks/libtorch/2.13.0-cpu/torch"));
    assert_eq!(tree.installed(), ["2.13.0-cpu"], "nothing else is left behind");
    tree.install(&[]).arg("cpu").assert().success().stderr("");
    fs::remove_file(tree.path(".libtorch")).unwrap();
    tree.install(&[]).arg("cpu").assert().success();
    assert!(tree.path(".libtorch/version.py").exists(), "a lost link is placed again");
    let calls = tree.calls();
    assert_eq!(calls.len(), 1, "{calls:?}");
    for option in ["--require-hashes", "--no-deps", "requirements-cpu.txt"] {
        assert!(calls[0].contains(option), "{option} is missing: {}", calls[0]);
    }
}

#[test]
fn a_link_to_another_libtorch_has_the_shim_built_again() {
    let tree = Tree::new();
    let script = || File::options().write(true).open(tree.path(BUILD_SCRIPT)).unwrap();
    let changed = |kind: &str| {
        script().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        tree.install(&[]).arg(kind).assert().success();
        script().metadata().unwrap().modified().unwrap() != SystemTime::UNIX_EPOCH
    };
    assert!(changed("cpu"), "the first");
    assert!(!changed("cpu"), "it only looked");
    assert!(changed("gpu"), "with NCCL's headers");
}

#[test]
fn a_gpu_brings_the_full_set_also_over_an_installation_without() {
    let tree = Tree::new();
    tree.install(&[]).arg("cpu").assert().success();
    tree.script("nvidia-smi", "#!/bin/sh\necho 'GPU 0: NVIDIA H200 (UUID: GPU-1)'\n");
    let path = format!("{}:/usr/bin:/bin", tree.dir.path().display());
    tree.install(&[("PATH", &path)]).assert().success();
    let link = fs::read_link(tree.path(".libtorch")).unwrap();
    assert!(link.ends_with("2.13.0-gpu/torch"), "{}", link.display());
    let calls = tree.calls();
    assert!(calls[1].contains("requirements-gpu.txt") && !calls[1].contains("--no-deps"));
    // The machine's next boot finds no GPU: the full set serves there too.
    tree.install(&[]).assert().success().stderr("");
    // A driver that does not answer is no GPU.
    let ill = Tree::new();
    ill.script("nvidia-smi", "#!/bin/sh\necho 'NVIDIA-SMI has failed'; exit 9\n");
    let path = format!("{}:/usr/bin:/bin", ill.dir.path().display());
    ill.install(&[("PATH", &path)]).assert().success();
    assert_eq!(ill.installed(), ["2.13.0-cpu"]);
}

#[test]
fn each_failure_has_its_own_words_and_leaves_nothing() {
    for (said, wanted) in [
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES", "is not the one that was pinned"),
        ("NewConnectionError: Failed to establish", "could not reach its package index"),
        ("OSError: [Errno 28] No space left on device", "the disk filled"),
        ("ERROR: No matching distribution found", "finds no torch 2.13.0 wheel"),
        ("something new", "pip failed"),
    ] {
        let tree = Tree::new();
        let vars = [("FAKE_FAILURE", said)];
        let way_out = predicate::str::contains(wanted).and(predicate::str::contains("→"));
        tree.install(&vars).arg("cpu").assert().code(1).stderr(way_out);
        assert_eq!(tree.installed(), [""; 0], "{said}");
        assert!(!tree.path(".libtorch").exists());
        tree.install(&[]).arg("cpu").assert().success(); // and the next try works
    }
}

#[test]
fn an_installation_of_the_wrong_version_is_never_placed() {
    let tree = Tree::new();
    let message = predicate::str::contains("torch '2.12.0', wanted 2.13.0");
    tree.install(&[("FAKE_VERSION", "2.12.0+cpu")]).arg("cpu").assert().code(1).stderr(message);
    assert_eq!(tree.installed(), [""; 0]);
}

#[test]
fn a_half_installed_folder_and_the_leftovers_of_a_killed_one_are_replaced() {
    let tree = Tree::new();
    let root = tree.path("home/.cache/landmarks/libtorch");
    fs::create_dir_all(root.join("2.13.0-cpu/torch")).unwrap();
    fs::create_dir_all(root.join(".installing-abc123/site")).unwrap();
    tree.install(&[]).arg("cpu").assert().success();
    assert_eq!(tree.installed(), ["2.13.0-cpu"]);
    assert!(root.join("2.13.0-cpu/torch/version.py").exists());
}

#[test]
fn a_link_of_the_users_own_is_kept_if_its_version_fits_and_refused_if_not() {
    let tree = Tree::new();
    let own = tree.path("own/torch");
    fs::create_dir_all(own.join("lib")).unwrap();
    fs::write(own.join("lib/libtorch_cpu.so"), "").unwrap();
    fs::write(own.join("version.py"), "__version__ = '2.13.0'\n").unwrap();
    symlink(&own, tree.path(".libtorch")).unwrap();
    tree.install(&[]).arg("cpu").assert().success();
    assert_eq!(fs::read_link(tree.path(".libtorch")).unwrap(), own);
    fs::write(own.join("version.py"), "__version__ = '2.9.1'\n").unwrap();
    let message = predicate::str::contains("which is torch 2.9.1; this program needs 2.13.0");
    tree.install(&[]).arg("cpu").assert().code(1).stderr(message);
    assert_eq!(tree.calls(), [""; 0]);
    // A link to a folder that was removed is replaced.
    fs::remove_dir_all(&own).unwrap();
    tree.install(&[]).arg("cpu").assert().success();
    assert_ne!(fs::read_link(tree.path(".libtorch")).unwrap(), own);
}

#[test]
fn what_is_missing_is_named_before_anything_is_fetched() {
    let tree = Tree::new();
    let none = [("PYTHON", "/nonexistent/python3")];
    let package = predicate::str::contains("apt-get install -y python3 python3-pip");
    tree.install(&none).arg("cpu").assert().code(1).stderr(package);
    tree.script("nopip", "#!/bin/sh\nexit 1\n");
    let nopip = tree.path("nopip").display().to_string();
    let package = predicate::str::contains("apt-get install -y python3-pip");
    tree.install(&[("PYTHON", &nopip)]).arg("cpu").assert().code(1).stderr(package);
    let homeless = predicate::str::contains("set LANDMARKS_CACHE");
    tree.install(&[]).arg("cpu").env_remove("HOME").assert().code(1).stderr(homeless);
    let kind = predicate::str::contains("use auto, cpu or gpu");
    tree.install(&[]).arg("tpu").assert().code(1).stderr(kind);
    fs::create_dir_all(tree.path(".libtorch")).unwrap();
    let folder = predicate::str::contains("is not a link");
    tree.install(&[]).arg("cpu").assert().code(1).stderr(folder);
    assert_eq!(tree.calls(), [""; 0]);
}

#[test]
fn a_python_without_a_wheel_of_its_own_takes_another_ones() {
    let tree = Tree::new();
    tree.install(&[("FAKE_PYTHON", "3 15")]).arg("cpu").assert().success();
    let calls = tree.calls();
    assert!(calls[0].contains("--abi cp312 "), "{}", calls[0]);
    assert!(calls[0].contains("--platform manylinux_2_28_"), "{}", calls[0]);
}

#[test]
fn every_place_that_names_the_version_names_the_same_one() {
    let text = |file: &str| fs::read_to_string(repository().join(file)).unwrap();
    let version = "2.13.0";
    assert!(text("setup/install-libtorch").contains(&format!("\nversion={version}\n")));
    assert!(text("common/ledger/src/doctor/libtorch.rs").contains(&format!("= \"{version}\"")));
    for kind in ["cpu", "gpu"] {
        let requirements = text(&format!("setup/requirements-{kind}.txt"));
        assert!(requirements.contains(&format!("\ntorch=={version} \\\n")), "{kind}");
        for line in requirements.lines().filter(|l| !l.starts_with([' ', '#'])) {
            assert!(line.contains("==") && line.ends_with('\\'), "not pinned and hashed: {line}");
        }
    }
}

#[test]
fn clean_cache_removes_only_what_the_project_put_there_and_asks_first() {
    let tree = Tree::new();
    let cache = tree.path("cache");
    for folder in ["libtorch/x", "data/x", "checkpoints/x", "holiday-pictures"] {
        fs::create_dir_all(cache.join(folder)).unwrap();
    }
    let clean = || {
        let mut command = Command::new(tree.path("setup/clean-cache"));
        command.env("LANDMARKS_CACHE", &cache).env_remove("YES");
        command
    };
    clean().assert().code(1).stderr(predicate::str::contains("YES=1"));
    assert!(cache.join("data").exists(), "asking removes nothing");
    clean().env("YES", "1").assert().success().stdout(predicate::str::contains("checkpoints"));
    let left: Vec<_> = fs::read_dir(&cache).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["holiday-pictures"]);
    clean()
        .env("YES", "1")
        .assert()
        .success()
        .stdout(predicate::str::contains("nothing to remove"));
}
