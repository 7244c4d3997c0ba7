//! The official files of every task, and such that are wrong.

use std::fs;
use std::path::Path;

use common::data::lookup::Lookup;
use testing::damage::survives_file;

use super::*;

fn lookup(dir: &Path) -> Lookup {
    Lookup {
        data_dir: Some(dir.to_owned()),
        data_dir_is_flag: true,
        ..Lookup::in_cache(dir.join("cache"))
    }
}

fn write(dir: &Path, name: &str, text: &str) {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn read(dir: &Path, task: &str) -> Result<TaskData, TaskError> {
    Task::get(task).unwrap().read(&lookup(dir))
}

fn all(data: &TaskData) -> Vec<Example> {
    let mut all = data.train.clone();
    all.extend(data.val.clone());
    all
}

/// Rows of a form for numbers 0 to 39, so that some are held out.
fn rows(header: &str, row: impl Fn(usize) -> String) -> String {
    let rows: String = (0..40).map(|i| row(i) + "\n").collect();
    if header.is_empty() { rows } else { format!("{header}\n{rows}") }
}

/// Official files of every task, as small as they may be.
fn write_official_files(dir: &Path) {
    for part in ["train", "dev"] {
        let sst = rows("sentence\tlabel", |i| format!("{part} {i}\t{}", i % 2));
        write(dir, &format!("SST-2/{part}.tsv"), &sst);
        let cola = rows("", |i| format!("gj04\t{}\t*\t{part} {i}", i % 2));
        write(dir, &format!("CoLA/{part}.tsv"), &cola);
        let rte = rows("index\tsentence1\tsentence2\tlabel", |i| {
            format!("{i}\t{part} {i}\th{i}\t{}", ["entailment", "not_entailment"][i % 2])
        });
        write(dir, &format!("RTE/{part}.tsv"), &rte);
        let qnli = rows("index\tquestion\tsentence\tlabel", |i| {
            format!("{i}\t{part} {i}\ts{i}\t{}", ["entailment", "not_entailment"][i % 2])
        });
        write(dir, &format!("QNLI/{part}.tsv"), &qnli);
        let qqp = rows("id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate", |i| {
            format!("{i}\t1\t2\t{part} {i}\tq{i}\t{}", i % 2)
        });
        write(dir, &format!("QQP/{part}.tsv"), &qqp);
        let sts = rows("index\tsentence1\tsentence2\tscore", |i| {
            format!("{i}\t{part} {i}\ts{i}\t{}.5", i % 5)
        });
        write(dir, &format!("STS-B/{part}.tsv"), &sts);
    }
    write(dir, "STS-B/sts-test.tsv", &rows("", |i| format!("g\tf\ty\t{i}\t2.5\ta{i}\tb{i}")));
    for part in ["train", "test"] {
        let mrpc = rows("\u{feff}Quality\t#1 ID\t#2 ID\t#1 String\t#2 String", |i| {
            format!("{}\t1\t2\t{part} {i}\ts{i}", i % 2)
        });
        write(dir, &format!("MRPC/msr_paraphrase_{part}.txt"), &mrpc);
    }
    for part in ["train", "dev_matched", "dev_mismatched"] {
        let mnli = rows("index\tsentence1\tsentence2\tgold_label", |i| {
            let label = ["entailment", "neutral", "contradiction"][i % 3];
            format!("{i}\t{part} {i}\th{i}\t{label}")
        });
        write(dir, &format!("MNLI/{part}.tsv"), &mnli);
    }
    for part in ["train", "dev", "test"] {
        let snli = rows("", |i| {
            let label = ["entailment", "neutral", "contradiction", "-"][i % 4];
            format!(
                "{{\"gold_label\": \"{label}\", \"sentence1\": \"{part} {i}\", \"sentence2\": \"h{i}\"}}"
            )
        });
        write(dir, &format!("snli_1.0/snli_1.0_{part}.jsonl"), &snli);
        let scitail = rows("", |i| format!("{part} {i}\th{i}\t{}", ["entails", "neutral"][i % 2]));
        write(dir, &format!("SciTailV1.1/scitail_1.0_{part}.tsv"), &scitail);
        let race = "{\"article\": \"a\", \"questions\": [\"what _ ?\", \"q2\"], \
                    \"options\": [[\"1\",\"2\",\"3\",\"4\"],[\"5\",\"6\",\"7\",\"8\"]], \
                    \"answers\": [\"C\", \"A\"], \"id\": \"x\"}";
        for level in ["middle", "high"] {
            write(dir, &format!("RACE/{part}/{level}/1.txt"), race);
        }
    }
    let header = "InputStoryid,InputSentence1,InputSentence2,InputSentence3,InputSentence4,\
                  RandomFifthSentenceQuiz1,RandomFifthSentenceQuiz2,AnswerRightEnding";
    for part in ["val", "test"] {
        let story = rows(header, |i| {
            format!("{i},{part} {i}.,\"B, b.\",C.,D.,right {i},wrong {i},{}", i % 2 + 1)
        });
        write(dir, &format!("ROCStories/cloze_test_{part}__spring2016.csv"), &story);
    }
    for part in ["train", "test"] {
        let gap = rows("", |i| {
            format!(
                "The bee {i} saw its flower because it is {part}.\nit\nThe bee,The flower\nthe flower\n"
            )
        });
        write(dir, &format!("DPRD/{part}.c.txt"), &gap);
    }
}

#[test]
fn official_files_of_every_task_are_read() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path();
    write_official_files(dir);
    for task in &TASKS {
        if task.name == "rotten-tomatoes" {
            continue; // of a registry package, in a form of its own
        }
        let data = read(dir, task.name).unwrap_or_else(|error| panic!("{error}"));
        let n = match task.name {
            "race" => 12,
            "snli" => 90,
            "sts-b" | "scitail" => 120,
            _ => 80,
        };
        assert_eq!(data.train.len() + data.val.len() + data.test.len(), n, "{}", task.name);
        for example in all(&data).iter().chain(&data.test) {
            let texts = match task.form {
                Form::Single => 1,
                Form::Entailment | Form::Similarity => 2,
                Form::Choice => 1 + task.classes,
                Form::Gap => 2 + task.classes,
            };
            assert_eq!(example.texts.len(), texts, "{}", task.name);
            assert!(
                task.is_regression() || example.label < task.classes as f64,
                "{}: {example:?}",
                task.name
            );
        }
    }
    let story = read(dir, "story-cloze").unwrap();
    let first = all(&story).into_iter().find(|e| e.texts[0].starts_with("val 1.")).unwrap();
    assert_eq!(first.texts, ["val 1. B, b. C. D.", "right 1", "wrong 1"]);
    assert!((first.label - 1.0).abs() < 1e-9);
    let race = read(dir, "race").unwrap();
    assert_eq!(race.test[0].texts[0], "a what _ ?");
    assert!((race.test[0].label - 2.0).abs() < 1e-9);
    // The first "it" that is a word of its own.
    let gap = read(dir, "winograd").unwrap();
    let texts = ["The bee 0 saw its flower because", "The bee", "The flower", "is test."];
    assert_eq!(
        (gap.test[0].texts.clone(), gap.test[0].label),
        (texts.map(String::from).to_vec(), 1.0)
    );
    let qnli = read(dir, "qnli").unwrap();
    let entailed = all(&qnli).into_iter().find(|e| e.texts[0] == "train 0").unwrap();
    assert!((entailed.label - 1.0).abs() < 1e-9);
}

#[test]
fn validation_comes_out_of_training_and_only_where_there_is_none() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path();
    let text = |part: &str| rows("", |i| format!("gj04\t1\t\t{part} {}", i / 2));
    write(dir, "CoLA/train.tsv", &text("train"));
    write(dir, "CoLA/dev.tsv", &text("dev"));
    let data = read(dir, "cola").unwrap();
    assert!(data.val.len() > 1 && data.val.len() < 12, "{}", data.val.len());
    assert_eq!(data.test.len(), 40);
    assert!(data.test.iter().all(|e| e.texts[0].starts_with("dev")));
    // What shares its first text stays together.
    assert!(data.val.iter().all(|v| data.train.iter().all(|t| t.texts[0] != v.texts[0])));
}

#[test]
fn a_missing_column_a_short_row_and_a_strange_label_are_named_with_file_and_line() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path();
    let good = rows("index\tsentence1\tsentence2\tlabel", |i| format!("{i}\ta {i}\tb\tentailment"));
    write(dir, "RTE/dev.tsv", &good);
    for (text, wanted) in [
        (
            good.replace("sentence2", "second"),
            "train.tsv: line 1: found the columns index, sentence1, second, label, wanted one called sentence2",
        ),
        (
            good.replace("\n3\ta 3\tb\tentailment", "\n3\ta 3"),
            "train.tsv: line 5: found 2 columns, wanted 4",
        ),
        (
            good.replace("7\ta 7\tb\tentailment", "7\ta 7\tb\tmaybe"),
            "train.tsv: line 9: found the label maybe, wanted not_entailment or entailment",
        ),
    ] {
        write(dir, "RTE/train.tsv", &text);
        let error = read(dir, "rte").unwrap_err().to_string();
        assert!(error.contains(wanted), "expected {wanted}\ngot      {error}");
    }
    let sentence = "She saw it.\n";
    for (text, wanted) in [
        (format!("{sentence}it\na,b\nc\n\n"), "train.c.txt: line 4: found c, wanted one of a, b"),
        (format!("{sentence}it\na\na\n\n"), "train.c.txt: line 3: found a, wanted two candidates"),
        (format!("{sentence}him\na,b\na\n\n"), "train.c.txt: line 2: found him, wanted a word of"),
        (format!("{sentence}it\na,b\n"), "train.c.txt: line 1: found 3 lines, wanted sentence"),
    ] {
        write(dir, "DPRD/train.c.txt", &text);
        write(dir, "DPRD/test.c.txt", &format!("{sentence}it\na,b\nb\n\n"));
        let error = read(dir, "winograd").unwrap_err().to_string();
        assert!(error.contains(wanted), "expected {wanted}\ngot      {error}");
    }
    let error = read(dir, "race").unwrap_err().to_string();
    assert!(
        error.contains("race: the data are not here") && error.contains("--data DIR"),
        "{error}"
    );
    assert!(Task::get("rse").unwrap_err().to_string().contains("no such task; there are sst-2"));
}

#[test]
fn damaged_files_of_every_task_survive() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path();
    write_official_files(dir);
    let files = [
        ("sst-2", "SST-2", "train.tsv"),
        ("cola", "CoLA", "train.tsv"),
        ("mrpc", "MRPC", "msr_paraphrase_train.txt"),
        ("sts-b", "STS-B", "train.tsv"),
        ("qqp", "QQP", "train.tsv"),
        ("mnli-m", "MNLI", "dev_matched.tsv"),
        ("qnli", "QNLI", "train.tsv"),
        ("rte", "RTE", "train.tsv"),
        ("snli", "snli_1.0", "snli_1.0_train.jsonl"),
        ("scitail", "SciTailV1.1", "scitail_1.0_train.tsv"),
        ("race", "RACE/train/middle", "1.txt"),
        ("story-cloze", "ROCStories", "cloze_test_val__spring2016.csv"),
    ];
    for (task, folder, name) in files {
        let folder = dir.join(folder);
        let whole = fs::read(folder.join(name)).unwrap();
        read(dir, task).unwrap();
        survives_file(&folder, name, &[whole], |_| drop(read(dir, task)));
    }
}
