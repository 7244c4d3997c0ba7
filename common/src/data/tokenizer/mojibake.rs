//! UTF-8 that was read in another encoding, put right as ftfy does it.
//!
//! Source: ftfy 6.3.1, `fix_encoding` with its default options; its patterns and tables are data in
//! `rules/ftfy.json`.

use std::collections::HashMap;
use std::sync::LazyLock;

use regex::{Regex, bytes};

use super::ftfy_data::rules;

/// The text with its mojibake decoded; unchanged if none can be told.
pub(super) fn fix_encoding(text: String) -> String {
    let mut text = text;
    while let Some(fixed) = one_step(&text) {
        if fixed == text {
            break;
        }
        text = fixed;
    }
    text
}

fn is_bad(text: &str) -> bool {
    static BAD: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(&rules().bad).expect("the pattern is tested"));
    !text.is_ascii() && BAD.is_match(text)
}

fn one_step(text: &str) -> Option<String> {
    if !is_bad(text) {
        return None;
    }
    let encodings = encodings();
    // 1. All of it was UTF-8, read in one single-byte encoding.
    for encoding in encodings {
        let Some(bytes) = encoding.encode(text) else { continue };
        let bytes = if encoding.name == "macroman" { bytes } else { restore_byte_a0(bytes) };
        let bytes = if encoding.sloppy { replace_lossy(&bytes) } else { bytes };
        if let Some(fixed) = decode_utf8(&bytes) {
            return Some(fixed);
        }
    }
    // 2. Parts of it were.
    let fixed = decode_parts(text);
    if fixed != text {
        return Some(fixed);
    }
    // 3. Windows-1252, read as Latin-1.
    if let Some(bytes) = encodings[0].encode(text) {
        let table = &rules().windows_1252;
        let fixed: Option<String> = bytes
            .iter()
            .map(|&b| if b < 0x80 { Some(b.into()) } else { table[usize::from(b) - 0x80] })
            .collect();
        if let Some(fixed) = fixed.filter(|fixed| fixed != text) {
            return Some(fixed);
        }
    }
    Some(fix_c1_controls(text))
}

/// C1 control characters as what Windows-1252 has in their places.
pub(super) fn fix_c1_controls(text: &str) -> String {
    let table = &encodings()[1].high;
    text.chars()
        .map(|c| match c {
            '\u{80}'..='\u{9f}' => table[c as usize - 0x80],
            c => c,
        })
        .collect()
}

/// A single-byte encoding; below 0x80 it is ASCII.
struct Encoding {
    name: &'static str,
    /// Byte 0x1a stands for the replacement character.
    sloppy: bool,
    high: Vec<char>,
    bytes: HashMap<char, u8>,
}

/// Latin-1, Windows-1252, and the others in the order tried.
fn encodings() -> &'static [Encoding] {
    static ENCODINGS: LazyLock<Vec<Encoding>> = LazyLock::new(|| {
        let new = |(name, high): &'static (String, String)| {
            let high: Vec<char> = high.chars().collect();
            let mut bytes: HashMap<char, u8> =
                (0x80..=0xff).map(|b: u8| (high[usize::from(b) - 0x80], b)).collect();
            let sloppy = name.starts_with("sloppy");
            bytes.insert(if sloppy { '\u{fffd}' } else { '\u{1a}' }, 0x1a);
            Encoding { name, sloppy, high, bytes }
        };
        rules().encodings.iter().map(new).collect()
    });
    &ENCODINGS
}

impl Encoding {
    fn encode(&self, text: &str) -> Option<Vec<u8>> {
        let byte = |c: char| match c {
            '\u{1a}' => self.bytes.get(&c).copied(),
            c if c.is_ascii() => Some(c as u8),
            c => self.bytes.get(&c).copied(),
        };
        text.chars().map(byte).collect()
    }
}

fn bytes_pattern(pattern: &str) -> bytes::Regex {
    bytes::Regex::new(pattern).expect("the pattern is tested")
}

/// Puts back bytes 0xa0 that someone took for blanks, where they make UTF-8 whole.
fn restore_byte_a0(bytes: Vec<u8>) -> Vec<u8> {
    static ALTERED: LazyLock<bytes::Regex> = LazyLock::new(|| bytes_pattern(&rules().altered_utf8));
    if !ALTERED.is_match(&bytes) {
        return bytes;
    }
    let mut spread = Vec::with_capacity(bytes.len());
    for (at, &byte) in bytes.iter().enumerate() {
        // "Ã la" is "à la": the blank was one as well, unless the word goes on as Portuguese words do.
        let rest = &bytes[at + 1..];
        let goes_on = [&b" "[..], b"quele", b"quela", b"quilo", b"s "]
            .iter()
            .any(|end| rest.starts_with(end));
        if byte == b' ' && at > 0 && bytes[at - 1] == 0xc3 && !goes_on {
            spread.push(0xa0);
        }
        spread.push(byte);
    }
    let whole = |found: &bytes::Captures| -> Vec<u8> {
        found[0].iter().map(|&b| if b == b' ' { 0xa0 } else { b }).collect()
    };
    ALTERED.replace_all(&spread, whole).into_owned()
}

/// Sequences that would be UTF-8 but for bytes that were lost, as the replacement character.
fn replace_lossy(bytes: &[u8]) -> Vec<u8> {
    static LOSSY: LazyLock<bytes::Regex> = LazyLock::new(|| bytes_pattern(&rules().lossy_utf8));
    LOSSY.replace_all(bytes, &b"\xef\xbf\xbd"[..]).into_owned()
}

/// UTF-8, also with characters written as two surrogates and NUL written as two bytes.
fn decode_utf8(bytes: &[u8]) -> Option<String> {
    static VARIANT: LazyLock<bytes::Regex> = LazyLock::new(|| {
        bytes_pattern(r"(?-u)\xc0\x80|\xed[\xa0-\xaf][\x80-\xbf]\xed[\xb0-\xbf][\x80-\xbf]")
    });
    let mut text = String::with_capacity(bytes.len());
    let mut done = 0;
    for found in VARIANT.find_iter(bytes) {
        text.push_str(std::str::from_utf8(&bytes[done..found.start()]).ok()?);
        text.push(match *found.as_bytes() {
            [_, b, c, _, e, f] => {
                let bits = |byte: u8, mask: u8, shift: u32| u32::from(byte & mask) << shift;
                let low = bits(c, 0x3f, 10) + bits(e, 0x0f, 6) + bits(f, 0x3f, 0);
                char::from_u32(0x1_0000 + bits(b, 0x0f, 16) + low)?
            }
            _ => '\0',
        });
        done = found.end();
    }
    text.push_str(std::str::from_utf8(&bytes[done..]).ok()?);
    Some(text)
}

/// Decodes stretches that look like UTF-8 in a text that is something else as a whole.
fn decode_parts(text: &str) -> String {
    static DETECTOR: LazyLock<fancy_regex::Regex> = LazyLock::new(|| {
        fancy_regex::Regex::new(&rules().utf8_detector).expect("the pattern is tested")
    });
    let decode = |found: &fancy_regex::Captures| {
        let part = &found[0];
        // A part that is all of the text would come back here for ever.
        if part.len() < text.len() && is_bad(part) {
            fix_encoding(part.to_owned())
        } else {
            part.to_owned()
        }
    };
    DETECTOR.replace_all(text, decode).into_owned()
}
