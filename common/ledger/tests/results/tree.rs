//! A repository with one experiment, `demo`, whose study `speed` has three claims.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use ledger::claims::{Measured, write_measured};
use ledger::plot::{Axis, Figure, Panel, Series, Style};
use ledger::run::{Build, Host, RunKey, RunRecord, SCHEMA, Status, digest};
use ledger::stats::{Bound, Estimate};

const CLAIMS: &str = "\
id,study,metric,op,published,low,high,no_effect,tolerance,tolerance_reason,unit,scale,source,where,confidence,needs
factor,speed,how much faster,ratio,6,,,1,1.5,one curve,x,log,A paper,Fig. 1,seen in source,
memory,speed,points won,ge,1.4,,,0,0.7,half,points,natural,A paper,p. 2,from memory,
size,speed,parameters,eq,60000000,,,,1000000,rounded,parameters,natural,A paper,p. 3,seen in source,not_built
";

/// The repository; removed when dropped.
pub(crate) struct Tree {
    dir: tempfile::TempDir,
}

impl Tree {
    pub(crate) fn new() -> Self {
        let tree = Self { dir: tempfile::tempdir().unwrap() };
        tree.write("experiments/demo/claims.csv", CLAIMS);
        tree
    }

    pub(crate) fn root(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    pub(crate) fn results(&self) -> PathBuf {
        self.path("results")
    }

    pub(crate) fn reference(&self) -> PathBuf {
        self.path("results/reference")
    }

    pub(crate) fn read(&self, file: &str) -> String {
        fs::read_to_string(self.path(file)).unwrap()
    }

    pub(crate) fn write(&self, file: &str, text: impl AsRef<[u8]>) {
        let path = self.path(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Replaces a text that must be there.
    pub(crate) fn edit(&self, file: &str, from: &str, to: &str) {
        let text = self.read(file);
        assert!(text.contains(from), "{file} holds {from:?}:\n{text}");
        self.write(file, text.replacen(from, to, 1));
    }

    /// Writes a finished run of seed 0 as `edit` changes it, and returns its folder below `base`.
    pub(crate) fn run(&self, base: &str, edit: impl FnOnce(&mut RunRecord)) -> String {
        let mut record = record();
        record.digest = String::new();
        edit(&mut record);
        if record.digest.is_empty() {
            record.digest = digest(&record.config);
        }
        let run = record.key.relative().to_str().unwrap().to_owned();
        let text = serde_json::to_string_pretty(&record).unwrap();
        self.write(&format!("{base}/{run}/run.json"), text + "\n");
        self.write(&format!("{base}/{run}/metrics.csv"), "step,elapsed_s,loss\n1,0.5,2.25\n");
        self.write(&format!("{base}/{run}/.lock"), "");
        run
    }

    /// Writes the measured values of the study at a preset: that `factor` is `value`.
    pub(crate) fn measured(&self, base: &str, preset: &str, value: f64) {
        let estimate = |value: f64, bound| Estimate {
            value,
            low: Some(value - 1.0),
            high: Some(value + 1.0),
            bound,
            n_seeds: 3,
            n: 3,
            method: "t".into(),
        };
        let row = |id: &str, estimate, protocol_ok| Measured {
            id: id.into(),
            preset: preset.into(),
            data: "cifar10".into(),
            estimate,
            evidence: String::new(),
            protocol_ok,
        };
        let folder = self.path(&format!("{base}/demo/{preset}/speed"));
        fs::create_dir_all(&folder).unwrap();
        let rows = [
            row("factor", estimate(value, Bound::Exact), true),
            row("memory", estimate(2.5, Bound::AtLeast), false),
        ];
        write_measured(&folder.join("measured.csv"), &rows).unwrap();
    }

    /// Draws a figure of the study.
    pub(crate) fn figure(&self, base: &str, preset: &str) {
        let panel = Panel {
            x: Axis::linear("epochs"),
            y: Axis::linear("error"),
            series: vec![Series::new("ours", Style::Line, vec![(0.0, 1.0), (1.0, 0.5)])],
            ..Panel::default()
        };
        let figure = Figure {
            title: "Error & epochs".into(),
            caption: format!("Error < 1 at the preset {preset}, 3 seeds."),
            panels: vec![panel],
            columns: 1,
        };
        figure.write(&self.path(&format!("{base}/demo/{preset}/speed/error"))).unwrap();
    }

    /// The program, started in the repository.
    pub(crate) fn ledger(&self, arguments: &[&str]) -> Command {
        let mut command = Command::cargo_bin("ledger").unwrap();
        command.current_dir(self.root()).args(arguments);
        command
    }

    /// Every file below a folder, by its place there.
    pub(crate) fn files(&self, folder: &str) -> Vec<String> {
        let base = self.path(folder);
        let files = testing::files(&base);
        files.iter().map(|file| file.strip_prefix(&base).unwrap().display().to_string()).collect()
    }
}

fn record() -> RunRecord {
    RunRecord {
        schema: SCHEMA,
        key: RunKey {
            experiment: "demo".into(),
            preset: "overnight".into(),
            study: "speed".into(),
            data: "cifar10".into(),
            variant: "fast".into(),
            seed: 0,
        },
        status: Status::Complete,
        digest: String::new(),
        config: serde_json::json!({"lr": 0.1}),
        build: Build {
            commit: "0123456789abcdef".into(),
            dirty: false,
            binary_sha256: "00".into(),
            versions: BTreeMap::from([("libtorch".into(), "2.13.0".into())]),
        },
        host: Host {
            system: "linux x86_64".into(),
            cpu: "A processor".into(),
            cpu_capability: "AVX2".into(),
            cores: 2,
            gpu: None,
        },
        started: "2026-01-01T00:00:00Z".into(),
        elapsed_s: 185.0,
        peak_memory_bytes: 1_500_000_000,
        resumed: 0,
        inexact: false,
        metrics: BTreeMap::from([("test/error".into(), 0.25)]),
    }
}
