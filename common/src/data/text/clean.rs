//! What is done to a review before a network sees it.
//!
//! Source: Radford, Jozefowicz & Sutskever 2017, section 4, and `utils.py` of their release: unescape HTML, newlines
//! to blanks, strip, then a newline and a blank in front and a blank behind. Python's `html.unescape` and `str.strip`
//! are what was called, so their corners are kept: a test compares with Python.

use std::borrow::Cow;

use htmlize::ENTITIES;

/// Stands before every review: a reader that starts at zero state knows that one begins.
pub const PREFIX: &str = "\n ";
/// Stands behind every review: the state that features are read from has seen that the last word is over.
pub const SUFFIX: &str = " ";

/// The longest name that Python's pattern takes, in characters.
const LONGEST_NAME: usize = 32;

/// What the numbers 0x80 to 0x9f mean as character references: Windows-1252, as browsers read them.
const WINDOWS_1252: [char; 32] = [
    '\u{20ac}', '\u{81}', '\u{201a}', '\u{192}', '\u{201e}', '\u{2026}', '\u{2020}', '\u{2021}',
    '\u{2c6}', '\u{2030}', '\u{160}', '\u{2039}', '\u{152}', '\u{8d}', '\u{17d}', '\u{8f}',
    '\u{90}', '\u{2018}', '\u{2019}', '\u{201c}', '\u{201d}', '\u{2022}', '\u{2013}', '\u{2014}',
    '\u{2dc}', '\u{2122}', '\u{161}', '\u{203a}', '\u{153}', '\u{9d}', '\u{17e}', '\u{178}',
];

/// The text of `bytes`, and whether all of them were UTF-8. A byte that is not part of UTF-8 is read as the Latin-1
/// character of that number, which is what old collections of reviews hold.
pub fn decode(bytes: &[u8]) -> (Cow<'_, str>, bool) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return (Cow::Borrowed(text), true);
    }
    let mut text = String::with_capacity(bytes.len() + 16);
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|&byte| char::from(byte)));
    }
    (Cow::Owned(text), false)
}

/// The review as the network sees it; `None` if nothing is left of it.
pub fn clean(review: &str) -> Option<String> {
    let body = body(review);
    (!body.is_empty()).then(|| [PREFIX, &body, SUFFIX].concat())
}

/// The review without prefix and suffix.
pub fn body(review: &str) -> String {
    unescape(review).replace('\n', " ").trim_matches(is_python_space).to_owned()
}

/// `str.isspace` of Python: Unicode's white space and the four separators of ASCII.
fn is_python_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// Character references replaced by what they stand for, as Python's `html.unescape` does it: names may lack their
/// semicolon, and of a longer word the longest name in front counts.
pub fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        rest = &rest[reference(rest, &mut out)..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Writes what the reference behind an ampersand stands for, or the ampersand; returns the bytes it took.
fn reference(rest: &str, out: &mut String) -> usize {
    if let Some(number) = rest.strip_prefix('#') {
        let (digits, radix) = match number.strip_prefix(['x', 'X']) {
            Some(hex) => (hex, 16),
            None => (number, 10),
        };
        let n = digits.find(|c: char| !c.is_digit(radix)).unwrap_or(digits.len());
        if n == 0 {
            out.push('&');
            return 0;
        }
        // Zeros in front mean nothing; nine digits more are beyond Unicode whatever they are.
        let significant = digits[..n].trim_start_matches('0');
        let value = match significant.len() {
            0 => 0,
            1..=9 => u32::from_str_radix(significant, radix).unwrap_or(u32::MAX),
            _ => u32::MAX,
        };
        out.extend(numbered(value));
        let taken = rest.len() - digits.len() + n;
        return taken + usize::from(rest[taken..].starts_with(';'));
    }
    let ends = |c: char| matches!(c, '\t' | '\n' | '\u{c}' | ' ' | '<' | '&' | '#' | ';');
    let name: usize =
        rest.chars().take(LONGEST_NAME).take_while(|&c| !ends(c)).map(char::len_utf8).sum();
    if name == 0 {
        out.push('&');
        return 0;
    }
    let whole = name + usize::from(rest[name..].starts_with(';'));
    let known = |name: &str| {
        let meaning = ENTITIES.get(format!("&{name}").as_bytes())?;
        std::str::from_utf8(meaning).ok()
    };
    if let Some(meaning) = known(&rest[..whole]) {
        out.push_str(meaning);
        return whole;
    }
    // Python tries all beginnings of at least two characters, without the last character.
    let mut ends: Vec<usize> = rest[..whole].char_indices().map(|(at, _)| at).skip(2).collect();
    ends.reverse();
    for end in ends {
        if let Some(meaning) = known(&rest[..end]) {
            out.push_str(meaning);
            return end;
        }
    }
    out.push('&');
    0
}

/// The character with this number; none for numbers that no character may have.
fn numbered(number: u32) -> Option<char> {
    match number {
        0 => Some('\u{fffd}'),
        0x0d => Some('\r'),
        0x80..=0x9f => Some(WINDOWS_1252[number as usize - 0x80]),
        0x01..=0x08 | 0x0b | 0x0e..=0x1f | 0x7f | 0xfdd0..=0xfdef => None,
        _ if number <= 0x10_ffff && number & 0xfffe == 0xfffe => None,
        _ => Some(char::from_u32(number).unwrap_or('\u{fffd}')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_example_becomes_the_published_bytes() {
        let cleaned = clean("Great &amp; cheap\n").unwrap();
        let wanted = [
            0x0a, 0x20, 0x47, 0x72, 0x65, 0x61, 0x74, 0x20, 0x26, 0x20, 0x63, 0x68, 0x65, 0x61,
            0x70, 0x20,
        ];
        assert_eq!(cleaned.as_bytes(), wanted);
    }

    #[test]
    fn cleaning_agrees_with_python_on_every_corner() {
        let cases: Vec<(String, String)> =
            serde_json::from_str(include_str!("../../../tests/fixtures/clean.json")).unwrap();
        assert!(cases.len() > 60);
        for (raw, wanted) in cases {
            assert_eq!(body(&raw), wanted, "of {raw:?}");
        }
    }

    #[test]
    fn nothing_but_blanks_is_no_review() {
        assert_eq!(clean(" \n&nbsp;\t\u{1f}"), None);
        assert_eq!(clean(""), None);
    }

    #[test]
    fn a_byte_outside_utf_8_is_read_as_latin_1_and_reported() {
        assert_eq!(decode("crème".as_bytes()), (Cow::Borrowed("crème"), true));
        assert_eq!(
            decode(b"cr\xe8me \xe2\x82"),
            (Cow::Owned("crème \u{e2}\u{82}".to_owned()), false)
        );
    }
}
