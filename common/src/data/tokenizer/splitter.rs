//! From a text to words ready for byte-pair encoding, in the two ways that GPT-1's vocabulary is used.
//!
//! Both ways, what a word becomes depends on nothing beyond the white space around it. So a text is cut
//! into spans at white space, and what a span's words are need be found only once.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::{
    NormalizedString, Normalizer as _, OffsetReferential, OffsetType, PreTokenizedString,
    PreTokenizer as _,
};

use super::bpe::UNKNOWN;
use super::english::English;
use super::fix_text::fix_text;
use super::standardize::standardize_line;

/// How a text becomes words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// As the original: ftfy, its own cleaning, spaCy's English tokeniser, lower case; a line break is
    /// a token.
    OpenAi,
    /// As Hugging Face's `OpenAIGPTTokenizer`: BERT's cleaning and splitting, accents stripped, lower
    /// case; a line break is a blank.
    Hf,
}

impl Mode {
    /// Its name in presets and token files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Hf => "hf",
        }
    }
}

/// What a text is cut into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Span<'t> {
    /// Text without white space, to be taken apart into words.
    Text(&'t str),
    /// A line break.
    LineBreak,
    /// The literal text of the unknown token, which stands for it.
    Unknown,
}

/// A part of a document that can be encoded by itself: whole lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece<'t> {
    pub text: &'t str,
    /// Whether HTML entities are decoded, see [`fix_text`].
    pub entities: bool,
}

/// Cuts texts in one mode.
pub(super) enum Splitter {
    OpenAi(Box<English>),
    Hf,
}

impl Splitter {
    pub(super) fn new(mode: Mode) -> Self {
        match mode {
            Mode::OpenAi => Self::OpenAi(Box::new(English::new())),
            Mode::Hf => Self::Hf,
        }
    }

    /// Cuts `text` after line breaks into pieces of about `size_bytes`.
    pub(super) fn pieces(text: &str, size_bytes: usize) -> Vec<Piece<'_>> {
        let first_angle = text.find('<').unwrap_or(text.len());
        let mut pieces = Vec::with_capacity(text.len() / size_bytes + 1);
        let mut begin = 0;
        while begin < text.len() {
            let enough = begin.saturating_add(size_bytes).min(text.len());
            // A line break is one byte, and no other character has that byte in it.
            let rest = &text.as_bytes()[enough..];
            let end =
                rest.iter().position(|&b| b == b'\n').map_or(text.len(), |at| enough + at + 1);
            let entities = begin <= first_angle;
            pieces.push(Piece { text: &text[begin..end], entities });
            begin = end;
        }
        pieces
    }

    /// Calls `each` with the spans of `piece` in order; line breaks stand only between spans.
    pub(super) fn spans(&self, piece: Piece, each: &mut impl FnMut(Span)) {
        match self {
            Self::OpenAi(_) => {
                let mut fixed = String::with_capacity(piece.text.len() + 16);
                fix_text(piece.text, piece.entities, &mut fixed);
                let mut line_of_spans = String::new();
                let mut first = true;
                for line in fixed.split('\n') {
                    line_of_spans.clear();
                    standardize_line(line, &mut line_of_spans);
                    if line_of_spans.is_empty() {
                        continue;
                    }
                    if !first {
                        each(Span::LineBreak);
                    }
                    first = false;
                    line_of_spans.split(' ').for_each(|span| each(Span::Text(span)));
                }
            }
            Self::Hf => {
                for (i, part) in piece.text.split(UNKNOWN).enumerate() {
                    if i > 0 {
                        each(Span::Unknown);
                    }
                    let spans = part.split(is_blank).filter(|span| !span.is_empty());
                    spans.for_each(|span| each(Span::Text(span)));
                }
            }
        }
    }

    /// The words of a span, in lower case.
    pub(super) fn words<'t>(&'t self, span: &'t str) -> Vec<Cow<'t, str>> {
        match self {
            Self::OpenAi(english) => english.tokens(span).into_iter().map(lower).collect(),
            Self::Hf => bert_words(span).into_iter().map(Cow::Owned).collect(),
        }
    }
}

fn lower(word: &str) -> Cow<'_, str> {
    if word.bytes().all(|b| b.is_ascii() && !b.is_ascii_uppercase()) {
        word.into()
    } else {
        word.to_lowercase().into()
    }
}

/// White space that BERT's cleaning leaves; the other control characters it deletes.
fn is_blank(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r') || (c.is_whitespace() && !c.is_control())
}

/// What BERT's normaliser and pre-tokeniser make of a span.
fn bert_words(span: &str) -> Vec<String> {
    if span.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return vec![span.to_ascii_lowercase()];
    }
    let mut normal = NormalizedString::from(span);
    BertNormalizer::default().normalize(&mut normal).expect("it knows no errors");
    let mut words = PreTokenizedString::from(normal);
    BertPreTokenizer.pre_tokenize(&mut words).expect("it knows no errors");
    let words = words.get_splits(OffsetReferential::Normalized, OffsetType::None);
    words.into_iter().map(|(word, ..)| word.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(mode: Mode, text: &str) -> Vec<String> {
        let mut out = Vec::new();
        let splitter = Splitter::new(mode);
        splitter.spans(Piece { text, entities: true }, &mut |span| {
            out.push(match span {
                Span::Text(text) => splitter.words(text).join("|"),
                Span::LineBreak => "\n".into(),
                Span::Unknown => UNKNOWN.into(),
            });
        });
        out
    }

    #[test]
    fn the_two_modes_differ_in_line_breaks_accents_and_contractions() {
        let text = "“Don’t,” said\n\n Zoë.";
        let original = ["\"", "do|n't", ",", "\"", "said", "\n", "zoë|."];
        assert_eq!(spans(Mode::OpenAi, text), original);
        assert_eq!(spans(Mode::Hf, text), ["“|don|’|t|,|”", "said", "zoe|."]);
    }

    /// Lines with the words that the originals make of them; see `tests/oracle/tokenizer_fixtures.py`.
    fn words_of_originals(file: &str) -> Vec<(String, Vec<String>)> {
        #[derive(Deserialize)]
        struct Line {
            text: String,
            words: Vec<String>,
        }
        let folder =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tokenizer");
        let lines = std::fs::read(folder.join(file)).unwrap();
        let lines: Vec<Line> = serde_json::from_slice(&lines).unwrap();
        assert!(lines.len() > 200);
        lines.into_iter().map(|line| (line.text, line.words)).collect()
    }

    #[test]
    fn words_are_those_of_the_originals_on_hard_lines() {
        for (mode, file) in [(Mode::OpenAi, "openai-lines.json"), (Mode::Hf, "hf-lines.json")] {
            let splitter = Splitter::new(mode);
            for (text, wanted) in words_of_originals(file) {
                let mut words = Vec::new();
                for piece in Splitter::pieces(&text, usize::MAX) {
                    splitter.spans(piece, &mut |span| match span {
                        Span::LineBreak => words.push("\n".to_owned()),
                        Span::Unknown => words.push(UNKNOWN.to_owned()),
                        Span::Text(text) => {
                            words.extend(splitter.words(text).into_iter().map(Cow::into_owned));
                        }
                    });
                }
                assert_eq!(words, wanted, "{} {text:?}", mode.as_str());
            }
        }
    }

    #[test]
    fn pieces_are_whole_lines_and_make_up_the_text() {
        let text = "one\ntwo é\n\n<b>\nthree\n\nfour";
        for size_bytes in 1..30 {
            let pieces = Splitter::pieces(text, size_bytes);
            assert_eq!(pieces.iter().map(|p| p.text).collect::<String>(), text);
            let (last, others) = pieces.split_last().unwrap();
            assert!(others.iter().all(|p| p.text.ends_with('\n')), "{pieces:?}");
            assert_eq!(last.entities, text.find(last.text).unwrap() <= text.find('<').unwrap());
        }
        assert_eq!(Splitter::pieces("", 8), []);
    }

    #[test]
    fn a_blank_text_has_no_spans() {
        for mode in [Mode::OpenAi, Mode::Hf] {
            assert_eq!(spans(mode, " \n\t\u{a0}\n"), Vec::<String>::new());
        }
    }
}
