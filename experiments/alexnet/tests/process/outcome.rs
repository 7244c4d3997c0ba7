//! What a run ended with, as far as it must not depend on whether it was ever stopped.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use serde_json::Value;

use crate::place::{LONG, LONG_RUNS, Place, read_json, succeeds};

/// The column that tells how long training waited for pictures.
const WAIT: &str = "loader/wait";

/// Everything of one run except times.
#[derive(Debug, PartialEq)]
pub(crate) struct Outcome {
    /// Status, digest and final numbers of `run.json`.
    record: [Value; 3],
    /// Lines of `metrics.csv` without `elapsed_s` and `loader/wait`.
    rows: Vec<Vec<String>>,
    /// Events of the TensorBoard file without their times and `loader/wait`: step, tag and value as stored.
    events: Vec<Vec<u8>>,
    /// The last checkpoint's files; of its state, the step and what the loop stored.
    checkpoint: BTreeMap<String, Vec<u8>>,
}

impl Outcome {
    pub(crate) fn of(place: &Place, variant: &str) -> Self {
        let folder = place.run_folder(variant, 0);
        let record = read_json(&folder.join("run.json"));
        Self {
            record: ["status", "digest", "metrics"].map(|key| record[key].clone()),
            rows: rows(&folder.join("metrics.csv")),
            events: events(&folder.join("events.out.tfevents.run")),
            checkpoint: checkpoint(&place.checkpoints(variant)),
        }
    }

    /// Fails unless this outcome of `variant` is that of a run that nothing stopped.
    #[track_caller]
    pub(crate) fn assert_is(&self, unbroken: &Self, variant: &str) {
        assert_eq!(self.record, unbroken.record, "{variant}: run.json");
        assert_eq!(self.rows, unbroken.rows, "{variant}: metrics.csv");
        assert_eq!(self.events.len(), unbroken.events.len(), "{variant}: number of events");
        let differ = self.events.iter().zip(&unbroken.events).position(|(a, b)| a != b);
        assert_eq!(differ, None, "{variant}: this event is another");
        let sizes = |outcome: &Self| -> Vec<_> {
            outcome.checkpoint.iter().map(|(name, bytes)| (name.clone(), bytes.len())).collect()
        };
        assert_eq!(sizes(self), sizes(unbroken), "{variant}: files of the last checkpoint");
        for (name, bytes) in &unbroken.checkpoint {
            assert!(self.checkpoint[name] == *bytes, "{variant}: {name} has other bytes");
        }
    }
}

/// Fails unless both runs of [`LONG`] ended in `place` as they do when nothing stops them.
#[track_caller]
pub(crate) fn assert_as_unbroken(place: &Place) {
    for (variant, unbroken) in LONG_RUNS.into_iter().zip(unbroken()) {
        Outcome::of(place, variant).assert_is(unbroken, variant);
    }
}

/// The outcomes of [`LONG`] without an interruption; trained once for all tests.
fn unbroken() -> &'static [Outcome] {
    static UNBROKEN: OnceLock<Vec<Outcome>> = OnceLock::new();
    UNBROKEN.get_or_init(|| {
        let place = Place::new();
        succeeds(place.run(&LONG));
        LONG_RUNS.iter().map(|variant| Outcome::of(&place, variant)).collect()
    })
}

fn rows(path: &Path) -> Vec<Vec<String>> {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.ends_with('\n'), "{}: the last line is cut off", path.display());
    let head: Vec<&str> = text.lines().next().unwrap().split(',').collect();
    let kept = |at: &usize| !["elapsed_s", WAIT].contains(&head[*at]);
    text.lines()
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            (0..head.len()).filter(kept).map(|at| cells[at].to_owned()).collect()
        })
        .collect()
}

/// A record is a length (8 bytes), its sum (4), an event, and the event's sum (4). An event begins with
/// its time: the byte 0x09 and 8 more.
fn events(path: &Path) -> Vec<Vec<u8>> {
    let bytes = fs::read(path).unwrap();
    let mut rest = bytes.as_slice();
    let mut events = Vec::new();
    while let Some((length, tail)) = rest.split_first_chunk::<8>() {
        let (event, after) = tail[4..].split_at(u64::from_le_bytes(*length) as usize);
        assert_eq!(event[0], 0x09, "{}: an event begins with its time", path.display());
        if !event.windows(WAIT.len()).any(|bytes| bytes == WAIT.as_bytes()) {
            events.push(event[9..].to_owned());
        }
        rest = &after[4..];
    }
    events
}

fn checkpoint(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let last = folder.join(fs::read_to_string(folder.join("LATEST")).unwrap().trim());
    let mut state = read_json(&last.join("state.json"))["state"].take();
    assert!(state["elapsed_s"].take().is_f64(), "{}", last.display());
    let tensors = ["model.safetensors", "optim.safetensors"]
        .map(|name| (name.to_owned(), fs::read(last.join(name)).unwrap()));
    let mut files = BTreeMap::from(tensors);
    files.insert("state.json".to_owned(), state.to_string().into_bytes());
    files
}
