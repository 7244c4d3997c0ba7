//! ftfy's patterns and tables, from `rules/ftfy.json`, which `tests/oracle/tokenizer_rules.py` wrote.

use std::collections::HashMap;
use std::sync::OnceLock;

use serde::{Deserialize, Deserializer};

#[derive(Deserialize)]
pub(super) struct Rules {
    /// Sequences of characters that hardly anybody means.
    pub bad: String,
    /// What looks like UTF-8 in another encoding.
    pub utf8_detector: String,
    /// UTF-8 whose byte 0xa0 has become a blank; on bytes.
    pub altered_utf8: String,
    /// UTF-8 of which bytes were lost; on bytes.
    pub lossy_utf8: String,
    /// Names of encodings and what their bytes from 0x80 stand for.
    pub encodings: Vec<(String, String)>,
    /// What the bytes from 0x80 stand for in Windows-1252 proper; `None` where it has a hole.
    #[serde(deserialize_with = "with_holes")]
    pub windows_1252: Vec<Option<char>>,
    /// Ligatures and their letters.
    pub ligatures: HashMap<char, String>,
    /// HTML entities, from `&` to `;`.
    pub entities: HashMap<String, String>,
    /// Numbers that stand for nothing in HTML.
    pub no_characters: Vec<u32>,
}

fn with_holes<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Option<char>>, D::Error> {
    let text = String::deserialize(from)?;
    Ok(text.chars().map(|c| (c != '\u{fffd}').then_some(c)).collect())
}

/// The rules, read once.
pub(super) fn rules() -> &'static Rules {
    static RULES: OnceLock<Rules> = OnceLock::new();
    RULES.get_or_init(|| {
        serde_json::from_str(include_str!("rules/ftfy.json")).expect("the file is tested")
    })
}
