// The build script of every experiment: hands the commit and whether the tree differs from it to
// `common::built_from!`. Runs again when a tracked file or the commit changes.

use std::process::Command;

fn main() {
    let commit = git(&["rev-parse", "HEAD"]).unwrap_or_else(|| "unknown".into());
    // A tree that git does not know may be anything. What is published does not change the binary.
    let sources = [":/", ":(top,exclude)results"];
    let status = ["status", "--porcelain", "--untracked-files=no", "--", sources[0], sources[1]];
    let dirty = git(&status).is_none_or(|changes| !changes.is_empty());
    println!("cargo::rustc-env=LANDMARKS_COMMIT={commit}");
    println!("cargo::rustc-env=LANDMARKS_DIRTY={dirty}");

    let root = git(&["rev-parse", "--show-toplevel"]).unwrap_or_default();
    for name in ["HEAD", "logs/HEAD"] {
        if let Some(path) = git(&["rev-parse", "--path-format=absolute", "--git-path", name]) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    let files = git(&["ls-files", "--full-name", "--", sources[0], sources[1]]).unwrap_or_default();
    for file in files.lines() {
        println!("cargo::rerun-if-changed={root}/{file}");
    }
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").env("GIT_OPTIONAL_LOCKS", "0").args(args).output().ok().filter(|o| o.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
