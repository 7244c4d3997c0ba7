//! What tests that start the binaries share: a folder and an environment for each test, a process that does not outlive its
//! test, and several processes that train together, started as `torchrun` starts them.
//!
//! A helper that cannot go on panics, as the tests that call it do.
#![warn(missing_docs)]
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::ffi::OsStr;
use std::fs;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

pub mod damage;

/// How long [`wait_until`] waits before a test gives up; the machine may be busy.
const PATIENCE: Duration = Duration::from_mins(4);
/// How long processes that train together wait for each other, seconds.
const TIMEOUT_S: u64 = 120;

/// A folder of its own for one test, with its data, results and cache; removed at the test's end.
#[derive(Debug)]
pub struct Folder(tempfile::TempDir);

impl Default for Folder {
    fn default() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
}

impl Folder {
    /// What is, or will be, called `name` in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file, and the folders that it lies in.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Books of ten authors below `books`: forty sentences each of twelve of the `words`.
    pub fn write_books(&self, words: &[&str]) {
        for book in 0..10_usize {
            let word = |line: usize, i: usize| words[(line * 3 + i * i + book * i) % words.len()];
            let line = |line| (0..12).map(|i| word(line, i)).collect::<Vec<_>>().join(" ") + ".";
            let lines: Vec<String> = (0..40).map(line).collect();
            self.write(&format!("books/author{book}/one.txt"), lines.join("\n"));
        }
    }

    /// `program` with `args`, started in the folder, with nothing in its environment but `PATH` and a cache in the folder.
    pub fn command(&self, program: impl AsRef<OsStr>, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(args).current_dir(self.0.path()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("LANDMARKS_CACHE", self.path("cache"));
        command
    }
}

/// Every file below `folder`, sorted; what a process that is at work there takes away meanwhile is left out.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut pending = vec![folder.to_owned()];
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() { &mut pending } else { &mut found }.push(path);
        }
    }
    found.sort();
    found
}

/// What a process said on stderr.
pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A process that leads a group of its own; the group is killed when a test fails before its end.
#[derive(Debug)]
pub struct Running(Option<Child>);

impl Running {
    /// Starts `command` without input; what it says is kept for [`Running::end`].
    pub fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(Some(command.process_group(0).spawn().unwrap()))
    }

    /// Sends a signal, by its name without `SIG`, to the process alone, as `kill` does.
    pub fn signal(&self, signal: &str) {
        kill(signal, &self.id().to_string());
    }

    /// Sends a signal to the process and those that it started, as a terminal does.
    pub fn signal_all(&self, signal: &str) {
        kill(signal, &format!("-{}", self.id()));
    }

    /// Waits until the process and those that it started have closed their output.
    pub fn end(mut self) -> Output {
        self.0.take().unwrap().wait_with_output().unwrap()
    }

    fn id(&self) -> u32 {
        self.0.as_ref().unwrap().id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            // Not yet waited for, so its number is still its own.
            kill("KILL", &format!("-{}", child.id()));
            child.wait().unwrap();
        }
    }
}

fn kill(signal: &str, whom: &str) {
    let script = r#"kill -s "$0" -- "$1""#;
    let status = Command::new("/bin/sh").args(["-c", script, signal, whom]).status().unwrap();
    assert!(status.success(), "kill -s {signal} {whom}: {status}");
}

/// Waits until `ready`; fails saying for `what`.
#[track_caller]
pub fn wait_until(what: &str, mut ready: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !ready() {
        assert!(begun.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        sleep(Duration::from_millis(5));
    }
}

/// A port of this machine where nobody listens.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Makes `command` process `rank` of `size` that meet on this machine at `port`.
pub fn place(command: &mut Command, rank: usize, size: usize, port: u16) {
    for (name, value) in [("RANK", rank), ("LOCAL_RANK", rank), ("WORLD_SIZE", size)] {
        command.env(name, value.to_string());
    }
    command.env("MASTER_ADDR", "127.0.0.1").env("MASTER_PORT", port.to_string());
    command.env("LANDMARKS_TIMEOUT_S", TIMEOUT_S.to_string());
}

/// Starts `size` processes that train together; `command` makes that of a rank.
pub fn several(size: usize, command: impl Fn(usize) -> Command) -> Vec<Running> {
    let port = free_port();
    let start = |rank| {
        let mut command = command(rank);
        place(&mut command, rank, size, port);
        Running::start(command)
    };
    (0..size).map(start).collect()
}

/// As [`several`], to the end of all of them; each must succeed.
#[track_caller]
pub fn together(size: usize, command: impl Fn(usize) -> Command) {
    let outputs: Vec<Output> = several(size, command).into_iter().map(Running::end).collect();
    for (rank, output) in outputs.iter().enumerate() {
        let [out, err] = [&output.stdout, &output.stderr].map(|said| String::from_utf8_lossy(said));
        assert!(output.status.success(), "process {rank}: {}\n{out}\n{err}", output.status);
    }
}
