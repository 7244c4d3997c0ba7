//! The tokeniser against ftfy + spaCy and against transformers, whose results
//! `oracle/tokenizer_fixtures.py` stored in `fixtures/tokenizer/`.
//!
//! They need OpenAI's vocabulary and the novels from a mirror folder; without `LANDMARKS_MIRROR` they say
//! so and pass. The words before byte-pair encoding are compared without it, in `splitter.rs`.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::HashMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use common::data::catalog::Catalog;
use common::data::lookup::Lookup;
use common::data::tokenizer::{Mode, Tokenizer};
use ledger::run::hex;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

fn mirror() -> Option<PathBuf> {
    let mirror = std::env::var_os("LANDMARKS_MIRROR").map(PathBuf::from);
    if mirror.is_none() {
        eprintln!("skipped: LANDMARKS_MIRROR names no folder with OpenAI's vocabulary");
    }
    mirror
}

/// OpenAI's vocabulary, as the catalogue has it.
fn tokenizer(mode: Mode) -> Option<Tokenizer> {
    let cache = tempfile::tempdir().unwrap();
    let lookup = Lookup { mirror: Some(mirror()?), ..Lookup::in_cache(cache.path().to_owned()) };
    let files = Catalog::builtin().locate("gpt1-vocabulary", &lookup).unwrap().files;
    Some(Tokenizer::from_files(mode, &files[0].path, &files[1].path).unwrap())
}

fn fixture<T: DeserializeOwned>(name: &str) -> T {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tokenizer");
    serde_json::from_slice(&std::fs::read(folder.join(name)).unwrap()).unwrap()
}

#[derive(Deserialize)]
struct OpenAiLine {
    text: String,
    words: Vec<String>,
    ids: Vec<u32>,
}

#[derive(Deserialize)]
struct HfLine {
    text: String,
    fast: Vec<u32>,
    /// Only where it differs.
    slow: Option<Vec<u32>>,
    decoded: String,
}

#[derive(Deserialize)]
struct Book {
    book: String,
    /// Line numbers and sums.
    lines: Vec<(usize, String)>,
}

#[test]
fn the_golden_ids_come_out_in_both_modes() {
    for mode in [Mode::OpenAi, Mode::Hf] {
        let Some(tokenizer) = tokenizer(mode) else { return };
        assert_eq!(tokenizer.vocab_size(), 478 + 40_000);
        assert_eq!(tokenizer.encode("the president is"), [481, 4735, 544]);
        assert_eq!(tokenizer.encode("12345"), [13103, 43, 11421]);
        assert_eq!(tokenizer.encode("zyzzyva"), [20720, 1648, 15, 3242]);
    }
}

#[test]
fn openai_mode_equals_ftfy_and_spacy_on_hard_lines() {
    let Some(tokenizer) = tokenizer(Mode::OpenAi) else { return };
    for OpenAiLine { text, words, ids } in fixture::<Vec<_>>("openai-lines.json") {
        assert_eq!(tokenizer.encode(&text), ids, "{text:?}\nwith the words {words:?}");
    }
}

#[test]
fn hf_mode_equals_transformers_on_hard_lines_and_so_does_decoding() {
    let Some(tokenizer) = tokenizer(Mode::Hf) else { return };
    let mut slow_differs = 0;
    for HfLine { text, fast, slow, decoded } in fixture::<Vec<_>>("hf-lines.json") {
        assert_eq!(tokenizer.encode(&text), fast, "{text:?}");
        assert_eq!(tokenizer.decode(&fast).unwrap(), decoded, "{text:?}");
        if slow.is_some() {
            // The slow one takes `<UNK>` for the unknown token too, and deletes unassigned characters.
            assert!(text.contains("<UNK>") || text.contains('\u{378}'), "{text:?}");
            slow_differs += 1;
        }
    }
    assert_eq!(slow_differs, 2);
}

#[test]
fn openai_mode_equals_ftfy_and_spacy_on_3000_lines_of_the_novels() {
    let Some(tokenizer) = tokenizer(Mode::OpenAi) else { return };
    let books: Vec<Book> = fixture("openai-novels.json");
    let mut wanted: HashMap<_, _> = books.into_iter().map(|b| (b.book, b.lines)).collect();
    let archive = mirror().unwrap().join("books/novels.tar.xz");
    let archive = xz2::read::XzDecoder::new(std::fs::File::open(archive).unwrap());
    let (mut lines, mut different) = (0, Vec::new());
    for entry in tar::Archive::new(archive).entries().unwrap() {
        let mut entry = entry.unwrap();
        let book = entry.path().unwrap().to_str().unwrap().to_owned();
        let Some(wanted) = wanted.remove(&book) else { continue };
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        let text: Vec<_> = text.split('\n').collect();
        for (number, sum) in wanted {
            let ids: Vec<_> =
                tokenizer.encode(text[number]).iter().map(ToString::to_string).collect();
            let got = hex(&Sha256::digest(ids.join(" "))[..8]);
            lines += 1;
            if got != sum {
                different.push(format!("{book} {number}: {}", text[number]));
            }
        }
    }
    assert_eq!(lines, 3000);
    assert!(wanted.is_empty());
    assert!(different.is_empty(), "{} differ:\n{}", different.len(), different.join("\n"));
}
