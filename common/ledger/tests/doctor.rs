//! `ledger doctor` as a process, in work trees and environments that lack one thing each.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde_json::Value;

/// A work tree with tools that answer, and nothing else.
struct Tree {
    dir: tempfile::TempDir,
}

impl Tree {
    fn new() -> Self {
        let tree = Self { dir: tempfile::tempdir().unwrap() };
        let real = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        fs::create_dir_all(tree.path("common")).unwrap();
        for file in ["rust-toolchain.toml", "common/datasets.toml"] {
            fs::copy(real.join(file), tree.path(file)).unwrap();
        }
        let rust = fs::read_to_string(tree.path("rust-toolchain.toml")).unwrap();
        let rust = rust.split('"').nth(1).unwrap();
        tree.tool("rustc", &format!("echo 'rustc {rust} (made up)'"));
        tree.tool("cargo", &format!("echo 'cargo {rust} (made up)'"));
        tree.tool("c++", "echo 'c++ 12.2.0'");
        tree.tool("make", "echo 'GNU Make 4.3'");
        tree.tool("python3", "echo 'pip 23.0 from somewhere'");
        tree
    }

    fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    /// Puts a shell script of this name on the path.
    fn tool(&self, name: &str, script: &str) {
        let path = self.path("bin").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        // By another process: a program that this one still holds open for writing, or that a test
        // starting at this instant inherits, does not start ("text file busy").
        let mut write = Command::new("/bin/sh");
        write.args(["-c", r#"cat > "$0" && chmod 755 "$0""#]).arg(path);
        write.write_stdin(format!("#!/bin/sh\n{script}\n")).assert().success();
    }

    /// A folder that looks like the torch folder of the wheel, with this as its library.
    fn libtorch(&self, version: &str, library: &[u8]) {
        let torch = self.path("cache/libtorch/2.13.0-cpu/torch");
        fs::create_dir_all(torch.join("lib")).unwrap();
        fs::write(torch.join("version.py"), format!("__version__ = '{version}'\n")).unwrap();
        fs::write(torch.join("lib/libtorch_cpu.so"), library).unwrap();
        symlink(&torch, self.path(".libtorch")).unwrap();
    }

    fn doctor(&self, vars: &[(&str, &str)]) -> Command {
        let mut command = Command::cargo_bin("ledger").unwrap();
        command
            .arg("doctor")
            .current_dir(self.dir.path())
            .env_clear()
            .env("PATH", self.path("bin"))
            .env("LANDMARKS_CACHE", self.path("cache"))
            .envs(vars.iter().copied());
        command
    }

    /// The one check called `what` as `[status, found, fix]`.
    fn check(&self, what: &str, vars: &[(&str, &str)]) -> [String; 3] {
        let output = self.doctor(vars).arg("--json").output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let report: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
        let failed = report["checks"].as_array().unwrap().iter().any(|c| c["status"] == "fail");
        assert_eq!(report["ok"], !failed);
        assert_eq!(output.status.code(), Some(i32::from(failed)), "the exit code tells");
        let found: Vec<&Value> =
            report["checks"].as_array().unwrap().iter().filter(|c| c["what"] == what).collect();
        assert_eq!(found.len(), 1, "{what}: {text}");
        ["status", "found", "fix"].map(|key| found[0][key].as_str().unwrap_or_default().to_owned())
    }
}

/// A real shared library, so that a test can see one load: the C++ runtime every build needs.
fn a_real_library() -> PathBuf {
    let output = Command::new("c++").arg("-print-file-name=libm.so.6").output().unwrap();
    fs::canonicalize(String::from_utf8(output.stdout).unwrap().trim()).unwrap()
}

#[test]
fn before_set_up_only_libtorch_fails_and_the_line_says_make_setup() {
    let tree = Tree::new();
    let output = tree.doctor(&[]).assert().code(1);
    let text = String::from_utf8(output.get_output().stdout.clone()).unwrap();
    let failed: Vec<&str> = text.lines().filter(|l| l.starts_with("FAIL")).collect();
    assert_eq!(failed.len(), 1, "{text}");
    assert!(failed[0].contains("libtorch"), "{text}");
    assert!(failed[0].ends_with("→ make setup"), "{text}");
    for line in text.lines().filter(|l| l.starts_with("warn")) {
        assert!(line.contains(" → "), "a warning without a way out: {line}");
    }
}

#[test]
fn a_libtorch_that_loads_is_fine() {
    let tree = Tree::new();
    tree.libtorch("2.13.0+cu130", &fs::read(a_real_library()).unwrap());
    assert_eq!(tree.check("libtorch", &[])[0], "ok");
    assert_eq!(tree.check("libtorch loads", &[])[0], "ok");
    tree.doctor(&[]).assert().success();
}

#[test]
fn a_libtorch_of_another_version_fails_with_both_versions() {
    let tree = Tree::new();
    tree.libtorch("2.12.1+cpu", b"");
    let [status, found, fix] = tree.check("libtorch", &[]);
    assert_eq!(status, "fail");
    assert!(found.contains("version 2.12.1+cpu") && found.contains("wanted 2.13.0"), "{found}");
    assert!(fix.contains("make setup"), "{fix}");
}

#[test]
fn a_broken_library_fails_with_the_loaders_words() {
    let tree = Tree::new();
    tree.libtorch("2.13.0+cu130", b"not a library");
    let [status, found, fix] = tree.check("libtorch loads", &[]);
    assert_eq!(status, "fail");
    assert!(found.contains("libtorch_cpu.so"), "{found}");
    assert!(found.contains("file too short") || found.contains("invalid ELF header"), "{found}");
    assert!(fix.contains("make setup"), "{fix}");
}

#[test]
fn a_link_to_a_removed_folder_and_an_empty_folder_fail() {
    let tree = Tree::new();
    symlink(tree.path("gone"), tree.path(".libtorch")).unwrap();
    let [status, found, fix] = tree.check("libtorch", &[]);
    assert_eq!((status.as_str(), fix.as_str()), ("fail", "make setup"));
    assert!(found.contains("which is gone"), "{found}");
    fs::create_dir_all(tree.path("gone")).unwrap();
    let [status, found, _] = tree.check("libtorch", &[]);
    assert_eq!(status, "fail");
    assert!(found.contains("holds no lib/libtorch_cpu.so"), "{found}");
}

#[test]
fn missing_and_old_tools_fail_with_the_package_to_install() {
    let tree = Tree::new();
    tree.tool("rustc", "echo 'rustc 1.63.0 (4b91a6ea7 2022-08-08)'");
    let [status, found, fix] = tree.check("rustc", &[]);
    assert_eq!(status, "fail");
    assert!(found.contains("1.63.0") && found.contains("wants 1.95.0"), "{found}");
    assert!(fix.contains("rustup"), "{fix}");
    fs::remove_file(tree.path("bin/c++")).unwrap();
    let [status, found, fix] = tree.check("C++ compiler", &[]);
    assert_eq!((status.as_str(), found.as_str()), ("fail", "not found"));
    assert!(fix.ends_with("apt-get install g++"), "{fix}");
    tree.tool("python3", r#"[ "$1" = --version ] && echo 'Python 3.11.2'"#);
    let [status, found, fix] = tree.check("Python with pip", &[]);
    assert_eq!((status.as_str(), found.as_str()), ("fail", "Python 3.11.2 without pip"));
    assert!(fix.ends_with("apt-get install python3-pip"), "{fix}");
}

#[test]
fn a_compiler_named_by_the_environment_is_the_one_asked() {
    let tree = Tree::new();
    let [status, found, fix] = tree.check("C++ compiler", &[("CXX", "nosuch++ -O2")]);
    assert_eq!(status, "fail");
    assert!(found.contains("CXX is `nosuch++ -O2`"), "{found}");
    assert!(fix.contains("CXX"), "{fix}");
}

#[test]
fn gloo_is_looked_for_where_the_environment_says() {
    let tree = Tree::new();
    let include = tree.path("include");
    let vars = [("GLOO_INCLUDE", include.to_str().unwrap())];
    assert_eq!(tree.check("gloo headers", &vars)[0], "warn");
    fs::create_dir_all(include.join("gloo")).unwrap();
    fs::write(include.join("gloo/context.h"), "").unwrap();
    assert_eq!(tree.check("gloo headers", &vars)[0], "ok");
}

#[test]
fn without_any_cache_folder_the_report_says_which_variable_to_set() {
    let tree = Tree::new();
    let mut command = tree.doctor(&[]);
    let output = command.env_remove("LANDMARKS_CACHE").assert().code(1);
    let text = String::from_utf8(output.get_output().stdout.clone()).unwrap();
    assert!(text.contains("set LANDMARKS_CACHE"), "{text}");
}

#[test]
fn a_closed_output_is_no_crash() {
    let tree = Tree::new();
    let doctor = assert_cmd::cargo::cargo_bin("ledger");
    let script = format!("'{}' doctor | true", doctor.display());
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &script]).current_dir(tree.dir.path());
    command.assert().success().stderr("");
}
