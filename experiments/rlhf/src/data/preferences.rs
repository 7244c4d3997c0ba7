//! Files of comparisons in the forms that people publish them in, told by their keys:
//!
//! | form | keys |
//! | --- | --- |
//! | Anthropic hh-rlhf | `chosen`, `rejected`: whole dialogues |
//! | OpenAI's summarize-from-feedback | `info.post`, `summaries[].text`, `choice` |
//! | OpenAI's `webgpt_comparisons` | `question.full_text`, `answer_0`, `answer_1`, `score_0`, `score_1` |
//! | Auto-J | `prompt`, `response 1`, `response 2`, `label` (0, 1, 2: a tie) |
//! | `LLMBar` | `input`, `output_1`, `output_2`, `label` (1, 2) |
//! | `PandaLM` | `instruction`, `input`, `response1`, `response2`, `annotator1` to `annotator3` (0: a tie) |
//! | Fine-Grained RLHF | `question`, `prediction 1` to `prediction 4`, `preference` of the six pairs |
//! | ours, from `rlhf label` | `prompt`, `better`, `worse` |
//!
//! A file is a JSON array or has one object a line, packed or not. Ties are left out.

use std::path::Path;

use common::data::error::DataError;
use common::data::text::input::{Lines, each_file};
use serde_json::Value;

use super::Comparison;
use super::dialogue::{Role, prompt, turns};

/// What a record says that is no comparison.
enum Trouble {
    /// Left out: a tie, an empty answer, prompts that differ.
    LeaveOut,
    /// Wrong: what was found and what was wanted.
    Wrong(String, &'static str),
}

use Trouble::{LeaveOut, Wrong};

/// All comparisons of a file.
///
/// # Errors
/// A file that is damaged; a record of no known form, with equal texts, or with an unknown role; a file without any.
pub fn read(path: &Path) -> Result<Vec<Comparison>, DataError> {
    let mut comparisons = Vec::new();
    let (mut records, mut left_out) = (0_usize, 0_usize);
    each_file(path, &|_| true, &mut |lines| {
        let mut line = Vec::new();
        while lines.next(&mut line)? {
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            // An array begins with a line of its own or is the whole file.
            if records == 0 && line.trim_ascii_start().first() == Some(&b'[') {
                let mut all = line.clone();
                all.push(b'\n');
                all.extend(lines.rest()?);
                for record in array(&all, lines)? {
                    records += 1;
                    let found = comparisons_of(&record);
                    take(found, &mut comparisons, &mut left_out, &|found, wanted| {
                        lines.wrong(format!("record {records}: {found}"), wanted)
                    })?;
                }
                return Ok(());
            }
            records += 1;
            let record: Value = serde_json::from_slice(&line)
                .map_err(|error| lines.wrong(error.to_string(), "a JSON object"))?;
            let found = comparisons_of(&record);
            take(found, &mut comparisons, &mut left_out, &|found, wanted| {
                lines.wrong(found, wanted)
            })?;
        }
        if comparisons.is_empty() {
            return Err(lines.wrong(
                format!("{records} records, {left_out} of them ties or without an answer"),
                "at least one comparison",
            ));
        }
        Ok(())
    })?;
    if left_out > 0 {
        tracing::info!(
            "{}: {left_out} of {records} records left out: ties, empty answers or prompts that differ",
            path.display()
        );
    }
    Ok(comparisons)
}

fn array(bytes: &[u8], lines: &Lines) -> Result<Vec<Value>, DataError> {
    serde_json::from_slice(bytes)
        .map_err(|error| lines.wrong(error.to_string(), "a JSON array of objects"))
}

/// Keeps what a record holds, counts what is left out.
fn take(
    found: Vec<Result<Comparison, Trouble>>,
    kept: &mut Vec<Comparison>,
    left_out: &mut usize,
    wrong: &dyn Fn(String, &'static str) -> DataError,
) -> Result<(), DataError> {
    for one in found {
        match one {
            Ok(comparison) if comparison.texts[0] == comparison.texts[1] => {
                let start: String = comparison.texts[0].chars().take(40).collect();
                let found = format!("two equal texts, one preferred (\"{start}\")");
                return Err(wrong(found, "two different texts"));
            }
            Ok(comparison) => kept.push(comparison),
            Err(LeaveOut) => *left_out += 1,
            Err(Wrong(found, wanted)) => return Err(wrong(found, wanted)),
        }
    }
    Ok(())
}

/// The comparisons of a record, by the form that its keys tell.
fn comparisons_of(record: &Value) -> Vec<Result<Comparison, Trouble>> {
    let has = |key: &str| !record[key].is_null();
    if has("chosen") && has("rejected") {
        vec![dialogues(record)]
    } else if has("summaries") && has("choice") {
        vec![summaries(record)]
    } else if has("answer_0") {
        vec![webgpt(record)]
    } else if has("preference") {
        fine_grained(record)
    } else if has("response 1") {
        let label = record["label"].as_i64();
        let first = match label {
            Some(0) => Ok(true),
            Some(1) => Ok(false),
            Some(2) => Err(LeaveOut),
            _ => Err(Wrong(format!("label {}", record["label"]), "0, 1, or 2 for a tie")),
        };
        vec![two(record, "prompt", ["response 1", "response 2"], first)]
    } else if has("output_1") {
        let first = match record["label"].as_i64() {
            Some(1) => Ok(true),
            Some(2) => Ok(false),
            _ => Err(Wrong(format!("label {}", record["label"]), "1 or 2")),
        };
        vec![two(record, "input", ["output_1", "output_2"], first)]
    } else if has("annotator1") {
        vec![panda(record)]
    } else if has("better") && has("worse") {
        vec![two(record, "prompt", ["better", "worse"], Ok(true))]
    } else {
        let keys: Vec<&str> =
            record.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
        let found = format!("an object with the keys {}", keys.join(", "));
        vec![Err(Wrong(found, "the keys of a known form (see docs/data.md)"))]
    }
}

fn text(record: &Value, key: &str) -> Result<String, Trouble> {
    match record[key].as_str() {
        Some(text) => Ok(text.trim().to_owned()),
        None => Err(Wrong(format!("{key} {}", record[key]), "a text")),
    }
}

/// A pair of two keys' texts.
fn two(
    record: &Value,
    asked: &str,
    keys: [&str; 2],
    first: Result<bool, Trouble>,
) -> Result<Comparison, Trouble> {
    let first = first?;
    let (prompt, a, b) = (text(record, asked)?, text(record, keys[0])?, text(record, keys[1])?);
    pair(prompt, a, b, first)
}

fn pair(prompt: String, a: String, b: String, first: bool) -> Result<Comparison, Trouble> {
    if a.is_empty() || b.is_empty() {
        return Err(LeaveOut);
    }
    let (better, worse) = if first { (a, b) } else { (b, a) };
    Ok(Comparison::pair(prompt, better, worse))
}

fn dialogues(record: &Value) -> Result<Comparison, Trouble> {
    let read = |key: &str| {
        let unknown = |role| Wrong(format!("{key}: a turn by \"{role}\""), "Human: or Assistant:");
        turns(&text(record, key)?).map_err(unknown)
    };
    let (mut chosen, mut rejected) = (read("chosen")?, read("rejected")?);
    let (Some(better), Some(worse)) = (chosen.pop(), rejected.pop()) else {
        return Err(LeaveOut);
    };
    if chosen != rejected || better.role != Role::Assistant || worse.role != Role::Assistant {
        return Err(LeaveOut);
    }
    pair(prompt(&chosen), better.text, worse.text, true)
}

fn summaries(record: &Value) -> Result<Comparison, Trouble> {
    let info = &record["info"];
    let or_empty = |key: &str| info[key].as_str().unwrap_or_default().trim().to_owned();
    let post = if info["post"].is_string() { or_empty("post") } else { or_empty("article") };
    let mut asked = String::new();
    for (name, text) in [("SUBREDDIT: r/", or_empty("subreddit")), ("TITLE: ", or_empty("title"))] {
        if !text.is_empty() {
            asked.extend([name, &text, "\n"]);
        }
    }
    asked.extend(["POST: ", &post, "\nTL;DR:"]);
    let of = |i: usize| text(&record["summaries"][i], "text");
    let first = match record["choice"].as_i64() {
        Some(0) => true,
        Some(1) => false,
        _ => return Err(Wrong(format!("choice {}", record["choice"]), "0 or 1")),
    };
    pair(asked, of(0)?, of(1)?, first)
}

fn webgpt(record: &Value) -> Result<Comparison, Trouble> {
    let asked = text(&record["question"], "full_text")?;
    let score = |key: &str| {
        record[key].as_f64().ok_or_else(|| Wrong(format!("{key} {}", record[key]), "a number"))
    };
    let (a, b) = (score("score_0")?, score("score_1")?);
    if (a - b).abs() < f64::EPSILON {
        return Err(LeaveOut);
    }
    pair(asked, text(record, "answer_0")?, text(record, "answer_1")?, a > b)
}

fn panda(record: &Value) -> Result<Comparison, Trouble> {
    let mut votes = [0, 0];
    for key in ["annotator1", "annotator2", "annotator3"] {
        match record[key].as_i64() {
            Some(0) => {}
            Some(vote @ 1..=2) => votes[vote as usize - 1] += 1,
            _ => return Err(Wrong(format!("{key} {}", record[key]), "0, 1 or 2")),
        }
    }
    if votes[0] == votes[1] {
        return Err(LeaveOut);
    }
    let (instruction, input) = (text(record, "instruction")?, text(record, "input")?);
    let asked = if input.is_empty() { instruction } else { format!("{instruction}\n{input}") };
    let (a, b) = (text(record, "response1")?, text(record, "response2")?);
    pair(asked, a, b, votes[0] > votes[1])
}

/// Six preferences over four answers: pairs 12, 13, 14, 23, 24, 34; 0 is a tie.
fn fine_grained(record: &Value) -> Vec<Result<Comparison, Trouble>> {
    const PAIRS: [(usize, usize); 6] = [(1, 2), (1, 3), (1, 4), (2, 3), (2, 4), (3, 4)];
    let of = |(k, (i, j)): (usize, (usize, usize))| {
        let said = &record["preference"][k];
        let first = match said.as_i64() {
            Some(0) => return Err(LeaveOut),
            Some(1) => true,
            Some(2) => false,
            _ => return Err(Wrong(format!("preference {said}"), "0, 1 or 2")),
        };
        let answer = |n: usize| text(record, &format!("prediction {n}"));
        pair(text(record, "question")?, answer(i)?, answer(j)?, first)
    };
    PAIRS.into_iter().enumerate().map(of).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use testing::damage::survives_file;

    use super::*;

    fn file(name: &str, bytes: &[u8]) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        (folder, path)
    }

    fn of(text: &str) -> Result<Vec<Comparison>, String> {
        let (_folder, path) = file("some.jsonl", text.as_bytes());
        read(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn every_published_form_is_read() {
        let pair =
            |prompt: &str| vec![Comparison::pair(prompt.into(), "good".into(), "bad".into())];
        let hh = r#"{"chosen": "\n\nHuman: hi\n\nAssistant: good", "rejected": "\n\nHuman: hi\n\nAssistant: bad"}"#;
        assert_eq!(of(hh).unwrap(), pair("Human: hi\nAssistant:"));
        let summary = r#"{"info": {"post": "p", "title": "t", "subreddit": "s"},
            "summaries": [{"text": " bad"}, {"text": " good"}], "choice": 1}"#
            .replace('\n', "");
        assert_eq!(of(&summary).unwrap(), pair("SUBREDDIT: r/s\nTITLE: t\nPOST: p\nTL;DR:"));
        let webgpt = r#"{"question": {"full_text": "q"}, "answer_0": "bad", "answer_1": "good", "score_0": -0.5, "score_1": 0.5}"#;
        assert_eq!(of(webgpt).unwrap(), pair("q"));
        let autoj = r#"{"prompt": "q", "response 1": "bad", "response 2": "good", "label": 1}"#;
        assert_eq!(of(autoj).unwrap(), pair("q"));
        let llmbar = "[\n {\"input\": \"q\", \"output_1\": \"good\", \"output_2\": \"bad\", \"label\": 1}\n]";
        assert_eq!(of(llmbar).unwrap(), pair("q"));
        let panda = r#"[{"instruction": "q", "input": "", "response1": "bad", "response2": "good",
            "annotator1": 2, "annotator2": 0, "annotator3": 2}]"#;
        assert_eq!(of(panda).unwrap(), pair("q"));
        let ours = r#"{"prompt": "q", "better": "good", "worse": "bad"}"#;
        assert_eq!(of(ours).unwrap(), pair("q"));
        let fine = r#"{"question": "q", "prediction 1": "bad", "prediction 2": "good", "prediction 3": "c",
            "prediction 4": "d", "preference": [2, 0, 0, 0, 0, 0]}"#.replace('\n', "");
        assert_eq!(of(&fine).unwrap(), pair("q"));
    }

    #[test]
    fn equal_texts_unknown_roles_and_unknown_keys_are_named_with_their_line() {
        let good = r#"{"prompt": "q", "better": "a", "worse": "b"}"#;
        let equal = r#"{"prompt": "q", "better": "a", "worse": "a"}"#;
        let said = of(&format!("{good}\n{equal}\n")).unwrap_err();
        assert!(said.contains("line 2: found two equal texts"), "{said}");
        let robot = r#"{"chosen": "\n\nRobot: beep", "rejected": "\n\nHuman: hi"}"#;
        let said = of(robot).unwrap_err();
        assert!(said.contains("line 1") && said.contains("a turn by \"Robot\""), "{said}");
        assert!(of(r#"{"x": 1}"#).unwrap_err().contains("keys x"));
        assert!(of("{\"prompt\": ").unwrap_err().contains("wanted a JSON object"));
        let tie = r#"{"prompt": "q", "response 1": "a", "response 2": "b", "label": 2}"#;
        assert!(of(tie).unwrap_err().contains("at least one comparison"));
    }

    #[test]
    fn a_damaged_gz_is_told_with_the_place() {
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        for i in 0..2000 {
            writeln!(gz, r#"{{"prompt": "q{i}", "better": "a{i}", "worse": "b"}}"#).unwrap();
        }
        let bytes = gz.finish().unwrap();
        let (_folder, path) = file("whole.jsonl.gz", &bytes);
        assert_eq!(read(&path).unwrap().len(), 2000);
        let (_folder, path) = file("cut.jsonl.gz", &bytes[..bytes.len() / 2]);
        let said = read(&path).unwrap_err().to_string();
        assert!(said.contains("cut.jsonl.gz: byte") && said.contains("whole gzip file"), "{said}");
    }

    #[test]
    fn damaged_files_survive() {
        let forms = [
            r#"{"chosen": "\n\nHuman: hi\n\nAssistant: good", "rejected": "\n\nHuman: hi\n\nAssistant: bad"}"#,
            r#"{"info": {"post": "p"}, "summaries": [{"text": " bad"}, {"text": " good"}], "choice": 1}"#,
            r#"{"question": {"full_text": "q"}, "answer_0": "b", "answer_1": "g", "score_0": -0.5, "score_1": 0.5}"#,
            r#"{"prompt": "q", "response 1": "bad", "response 2": "good", "label": 1}"#,
            r#"[{"input": "q", "output_1": "bad", "output_2": "good", "label": 2}]"#,
            r#"{"instruction": "i", "input": "", "response1": "b", "response2": "g", "annotator1": 2, "annotator2": 2,
                "annotator3": 0}"#,
            r#"{"question": "q", "prediction 1": "a", "prediction 2": "b", "prediction 3": "c", "prediction 4": "d",
                "preference": [1, 2, 0, 1, 1, 2]}"#,
            r#"{"prompt": "q", "better": "good", "worse": "bad"}"#,
        ];
        let plain = forms.map(|form| form.replace('\n', "").into_bytes());
        let folder = tempfile::tempdir().unwrap();
        survives_file(folder.path(), "some.jsonl", &plain, |path| drop(read(path)));
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(&plain.concat()).unwrap();
        survives_file(folder.path(), "some.jsonl.gz", &[gz.finish().unwrap()], |path| {
            drop(read(path));
        });
    }
}
