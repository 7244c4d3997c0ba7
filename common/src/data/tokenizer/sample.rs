//! A small corpus and vocabularies learned from it, for tests.

use std::path::Path;
use std::sync::LazyLock;

use serde::Deserialize;

use super::{Document, Mode, Tokenizer};

#[derive(Deserialize)]
struct Line {
    text: String,
}

/// Lines of novels and lines made up, as six documents of several paragraphs.
pub(super) fn documents() -> Vec<Document> {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tokenizer/openai-lines.json");
    let lines: Vec<Line> = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let document = |(i, lines): (usize, &[Line])| Document {
        name: format!("book {i}"),
        text: lines.iter().flat_map(|line| [&*line.text, "\n\n"]).collect(),
    };
    lines.chunks(lines.len().div_ceil(6)).enumerate().map(document).collect()
}

/// A vocabulary of 1,000 tokens.
pub(super) fn tokenizer(mode: Mode) -> &'static Tokenizer {
    static BOTH: LazyLock<[Tokenizer; 2]> = LazyLock::new(|| {
        [Mode::OpenAi, Mode::Hf]
            .map(|mode| Tokenizer::train(mode, documents().into_iter().map(Ok), 1000).unwrap())
    });
    &BOTH[usize::from(mode == Mode::Hf)]
}
