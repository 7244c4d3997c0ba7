//! Runs that start, go on, are skipped or refused.

use super::*;

const RESUME: Existing = Existing::Resume { allow_inexact: false };

fn record(config: Value) -> RunRecord {
    RunRecord {
        schema: SCHEMA,
        key: RunKey {
            experiment: "alexnet".into(),
            preset: "smoke".into(),
            study: "relu-vs-tanh".into(),
            data: "cifar10".into(),
            variant: "authors-relu".into(),
            seed: 3,
        },
        status: Status::Running,
        digest: digest(&config),
        config,
        build: Build {
            commit: "abc".into(),
            dirty: false,
            binary_sha256: "00".into(),
            versions: BTreeMap::new(),
        },
        host: Host {
            system: "linux x86_64".into(),
            cpu: "test".into(),
            cpu_capability: "AVX2".into(),
            cores: 2,
            gpu: None,
        },
        started: "2026-01-01T00:00:00Z".into(),
        elapsed_s: 0.1 + 0.2,
        peak_memory_bytes: 1,
        resumed: 0,
        inexact: false,
        metrics: BTreeMap::from([("test/error".into(), 0.25)]),
    }
}

fn open(root: &Path, lr: f64, existing: Existing) -> Result<Opened, RunError> {
    let config = serde_json::json!({"lr": lr, "net": {"act": "relu"}});
    RunFolder::open(root, record(config), existing, "alexnet run --resume")
}

fn ready(opened: Opened) -> (Box<RunFolder>, bool) {
    match opened {
        Opened::Ready { folder, resume } => (folder, resume),
        Opened::Complete(_) => panic!("the run is not complete"),
    }
}

#[test]
fn the_folder_is_the_one_the_design_names() {
    let relative = record(Value::Null).key.relative();
    let wanted = "alexnet/smoke/relu-vs-tanh/cifar10/authors-relu/seed-3";
    assert_eq!(relative, Path::new(wanted));
}

#[test]
fn a_record_survives_being_written_and_read() {
    let root = tempfile::tempdir().unwrap();
    let (folder, _) = ready(open(root.path(), 0.1, Existing::Keep).unwrap());
    let read = RunRecord::read(folder.path()).unwrap().unwrap();
    assert_eq!(read, folder.record);
}

#[test]
fn a_digest_ignores_the_order_of_keys_and_sees_every_value() {
    let parse = |text| digest(&serde_json::from_str(text).unwrap());
    let first = parse(r#"{"a": 1, "b": {"c": [1, 2], "d": "x"}}"#);
    assert_eq!(first, parse(r#"{"b": {"d": "x", "c": [1, 2]}, "a": 1}"#));
    for other in [
        r#"{"a": 2, "b": {"c": [1, 2], "d": "x"}}"#,
        r#"{"a": 1, "b": {"c": [2, 1], "d": "x"}}"#,
        r#"{"a": 1, "b": {"c": [1, 2], "d": "y"}}"#,
    ] {
        assert_ne!(first, parse(other));
    }
}

#[test]
fn a_half_done_run_is_refused_with_the_command_that_resumes_it() {
    let root = tempfile::tempdir().unwrap();
    drop(open(root.path(), 0.1, Existing::Keep).unwrap());
    let error = open(root.path(), 0.1, Existing::Keep).unwrap_err().to_string();
    assert!(error.contains("alexnet run --resume"), "{error}");
    assert!(ready(open(root.path(), 0.1, RESUME).unwrap()).1);
}

#[test]
fn another_configuration_is_refused_naming_the_keys_unless_overwritten() {
    let root = tempfile::tempdir().unwrap();
    drop(open(root.path(), 0.1, Existing::Keep).unwrap());
    for existing in [Existing::Keep, RESUME] {
        let error = open(root.path(), 0.2, existing).unwrap_err().to_string();
        assert!(error.contains("lr (0.1 → 0.2)"), "{error}");
    }
    let (folder, resume) = ready(open(root.path(), 0.2, Existing::Overwrite).unwrap());
    assert!(!resume);
    assert_eq!(folder.record.config["lr"], 0.2);
}

#[test]
fn other_conditions_are_refused_on_resume_unless_allowed_and_then_recorded() {
    let root = tempfile::tempdir().unwrap();
    let record = |threads: u32, binary: &str| {
        let config = serde_json::json!({"lr": 0.1, "conditions": {"threads": threads}});
        let mut record = record(config);
        record.build.binary_sha256 = binary.into();
        record
    };
    let open = |record, existing| RunFolder::open(root.path(), record, existing, "resume");
    drop(open(record(1, "aa"), Existing::Keep).unwrap());
    for (threads, binary, named) in [(2, "aa", "threads (1 → 2)"), (1, "bb", "binary (aa → bb)")]
    {
        let error = open(record(threads, binary), RESUME).unwrap_err().to_string();
        assert!(error.contains(named) && error.contains("--allow-inexact"), "{error}");
    }
    let allowed = Existing::Resume { allow_inexact: true };
    let (folder, resume) = ready(open(record(2, "bb"), allowed).unwrap());
    assert!(resume && folder.record.inexact && folder.record.resumed == 1);
    assert_eq!(folder.record.config["conditions"]["threads"], 2);
}

#[test]
fn a_finished_run_is_not_opened_again() {
    let root = tempfile::tempdir().unwrap();
    let (mut folder, _) = ready(open(root.path(), 0.1, Existing::Keep).unwrap());
    folder.record.status = Status::Complete;
    folder.save().unwrap();
    drop(folder);
    let opened = open(root.path(), 0.1, RESUME).unwrap();
    assert!(matches!(opened, Opened::Complete(_)));
    assert_eq!(finished_runs(root.path()).unwrap().len(), 1);
}

#[test]
fn a_second_holder_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let held = open(root.path(), 0.1, Existing::Keep).unwrap();
    let error = open(root.path(), 0.1, RESUME).unwrap_err();
    assert!(matches!(error, RunError::Locked(_)), "{error}");
    drop(held);
    assert!(open(root.path(), 0.1, RESUME).is_ok());
}

#[test]
fn a_damaged_record_is_named() {
    let root = tempfile::tempdir().unwrap();
    let (folder, _) = ready(open(root.path(), 0.1, Existing::Keep).unwrap());
    let path = folder.path().join(RECORD);
    drop(folder);
    fs::write(&path, "{\"schema\": 1").unwrap();
    let error = open(root.path(), 0.1, RESUME).unwrap_err().to_string();
    assert!(error.contains("run.json"), "{error}");
    assert!(open(root.path(), 0.1, Existing::Overwrite).is_ok());
}

#[cfg(unix)]
#[test]
fn others_may_read_what_is_written_as_they_may_any_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let [ours, usual] = ["ours", "usual"].map(|name| folder.path().join(name));
    write_atomic(&ours, b"text").unwrap();
    fs::write(&usual, b"text").unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&ours), mode(&usual));
}

#[test]
fn what_a_killed_process_left_half_written_is_removed_when_the_run_goes_on() {
    let root = tempfile::tempdir().unwrap();
    let (folder, _) = ready(open(root.path(), 0.1, Existing::Keep).unwrap());
    let path = folder.path().to_owned();
    drop(folder);
    fs::create_dir(path.join("weights")).unwrap();
    for name in
        ["metrics.csv", ".writing-ax21VH", "weights/.writing-b", "weights/model.safetensors"]
    {
        fs::write(path.join(name), "half").unwrap();
    }
    let (folder, resume) = ready(open(root.path(), 0.1, RESUME).unwrap());
    assert!(resume);
    assert!(!path.join(".writing-ax21VH").exists() && !path.join("weights/.writing-b").exists());
    assert!(path.join("metrics.csv").exists() && path.join("weights/model.safetensors").exists());
    drop(folder);
}
