//! A place of its own for each test: text, cache and results, and the binary started on them.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use testing::{Folder, files};

pub(crate) struct Place(Folder);

impl Deref for Place {
    type Target = Folder;

    fn deref(&self) -> &Folder {
        &self.0
    }
}

/// What every command of [`Place::run`] sets: the text is our own, and none other is judged.
const SETS: [&str; 6] =
    ["--set", "text.own=text.txt", "--set", "transfer=[]", "--set", "text.name=made-up"];

impl Place {
    /// A place with a text that can be learned: sentences of a few words in a few orders.
    pub(crate) fn new() -> Self {
        let place = Self(Folder::default());
        let words = ["the", "old", "house", "stood", "by", "a", "river", "and", "no", "one"];
        let line = |i: usize| {
            let words: Vec<&str> = (0..8).map(|j| words[(i * 3 + j * j + i * j) % 10]).collect();
            words.join(" ") + ".\n"
        };
        place.write("text.txt", (0..6000).map(line).collect::<String>());
        place
    }

    /// The binary with `args` and an environment of its own.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        self.0.command(env!("CARGO_BIN_EXE_scaling-laws"), args)
    }

    /// `run` (or `plan`) of the smoke preset on this place's text, one process at a time.
    pub(crate) fn on_text(&self, verb: &str, args: &[&str]) -> Command {
        let fixed = [verb, "--preset", "smoke", "--threads", "1", "--device", "cpu", "--offline"];
        self.command(&[&fixed[..], &SETS, args].concat())
    }

    /// Every `run.json` of a study.
    pub(crate) fn records(&self, study: &str) -> Vec<PathBuf> {
        let mut found = files(&self.path("results/scaling-laws"));
        let of_study = |path: &Path| path.components().any(|name| name.as_os_str() == study);
        found.retain(|path| path.ends_with("run.json") && of_study(path));
        found
    }
}

/// Runs a command that has to succeed; its stdout and stderr.
pub(crate) fn succeeds(mut command: Command) -> (String, String) {
    let output = command.output().unwrap();
    let (out, err) = texts(&output);
    assert!(output.status.success(), "{command:?}\n{out}\n{err}");
    (out, err)
}

/// Runs a command that has to fail; its stderr.
pub(crate) fn fails(mut command: Command) -> String {
    let output = command.output().unwrap();
    let (out, err) = texts(&output);
    assert!(!output.status.success(), "{command:?}\n{out}\n{err}");
    err
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}
