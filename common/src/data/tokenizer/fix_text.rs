//! Text as ftfy's `fix_text` leaves it: HTML entities, mojibake, ligatures, full-width letters, curly
//! quotes, line breaks, terminal escapes, control characters, NFC.
//!
//! Source: ftfy 6.3.1, `fix_text` with its default options. Differs: the original had ftfy 5 of 2018,
//! whose rules for mojibake were others; on clean text the two do the same. Lone surrogates, which ftfy
//! also mends, do not occur in a Rust string.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex};
use unicode_normalization::{IsNormalized, UnicodeNormalization as _, is_nfc_quick};

use super::ftfy_data::rules;
use super::mojibake;

/// ftfy looks at no more characters than this at once.
const LONGEST_SEGMENT: usize = 1_000_000;

/// Appends the fixed form of `text` to `out`. `entities` says whether HTML entities are still decoded:
/// from the first line with a `<` on, a text is HTML and keeps them.
pub(super) fn fix_text(text: &str, mut entities: bool, out: &mut String) {
    for line in text.split_inclusive('\n') {
        let mut rest = line;
        while !rest.is_empty() {
            let cut = if rest.len() <= LONGEST_SEGMENT {
                rest.len()
            } else {
                rest.char_indices().nth(LONGEST_SEGMENT).map_or(rest.len(), |(at, _)| at)
            };
            let (segment, after) = rest.split_at(cut);
            entities &= !segment.contains('<');
            out.push_str(&fix_segment(segment, entities));
            rest = after;
        }
    }
}

/// Whether nothing is to be done for a text of ASCII characters.
fn is_clean(text: &str, entities: bool) -> bool {
    text.bytes().all(|b| match b {
        b'\t' | b'\n' | b'\x0c' => true,
        b'&' => !entities,
        b => (b' '..b'\x7f').contains(&b),
    })
}

fn fix_segment(text: &str, entities: bool) -> Cow<'_, str> {
    if is_clean(text, entities) {
        return text.into();
    }
    let mut text = text.to_owned();
    loop {
        let mut fixed = text.clone();
        if entities && fixed.contains('&') {
            fixed = decode_entities(&fixed);
        }
        fixed = mojibake::fix_encoding(fixed);
        fixed = mojibake::fix_c1_controls(&fixed);
        fixed = characters(&fixed);
        if fixed.contains(['\r', '\u{2028}', '\u{2029}', '\u{85}']) {
            fixed = fixed.replace("\r\n", "\n");
            fixed = fixed.replace(['\r', '\u{2028}', '\u{2029}', '\u{85}'], "\n");
        }
        if fixed.contains('\x1b') {
            fixed = remove_terminal_escapes(&fixed);
        }
        fixed.retain(|c| !is_removed(c));
        if is_nfc_quick(fixed.chars()) != IsNormalized::Yes {
            fixed = fixed.nfc().collect();
        }
        if fixed == text || is_clean(&fixed, entities) {
            return fixed.into();
        }
        text = fixed;
    }
}

/// Ligatures taken apart, full- and half-width forms as ordinary ones, quotes straight.
fn characters(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if c.is_ascii() => out.push(c),
            '\u{3000}' => out.push(' '),
            '\u{ff01}'..='\u{ffef}' => out.extend(std::iter::once(c).nfkc()),
            c => match rules().ligatures.get(&c) {
                Some(letters) => out.push_str(letters),
                None => out.push(straight(c)),
            },
        }
    }
    // `ŉ` stands for a curly quote and an n.
    if out.contains('\u{2bc}') { out.replace('\u{2bc}', "'") } else { out }
}

fn straight(c: char) -> char {
    match c {
        '\u{2bc}' | '\u{2018}'..='\u{201b}' => '\'',
        '\u{201c}'..='\u{201f}' => '"',
        c => c,
    }
}

fn is_removed(c: char) -> bool {
    matches!(c, '\0'..='\x08' | '\x0b' | '\x0e'..='\x1f' | '\x7f' | '\u{206a}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffc}')
}

fn remove_terminal_escapes(text: &str) -> String {
    static ESCAPE: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"\x1b\[[\d;]*[a-zA-Z]").expect("the pattern is tested"));
    ESCAPE.replace_all(text, "").into_owned()
}

fn decode_entities(text: &str) -> String {
    static ENTITY: LazyLock<Regex> =
        LazyLock::new(|| Regex::new("&#?[0-9A-Za-z]{1,24};").expect("the pattern is tested"));
    let decode = |found: &Captures| {
        let entity = &found[0];
        let named = rules().entities.get(entity).cloned();
        named.or_else(|| decode_number(entity)).unwrap_or_else(|| entity.to_owned())
    };
    ENTITY.replace_all(text, decode).into_owned()
}

/// What `&#…;` stands for, as Python's `html.unescape` has it; `None` if it is to stay.
fn decode_number(entity: &str) -> Option<String> {
    let digits = entity.strip_prefix("&#")?.strip_suffix(';')?;
    let hex = digits.strip_prefix(['x', 'X']);
    let valid = hex.map_or_else(
        || digits.bytes().all(|b| b.is_ascii_digit()),
        |hex| !hex.is_empty() && hex.bytes().all(|b| b.is_ascii_hexdigit()),
    );
    if !valid {
        return None;
    }
    let number = hex.map_or_else(|| digits.parse().ok(), |hex| u32::from_str_radix(hex, 16).ok());
    // A number that does not fit is beyond the last character as well.
    match number.unwrap_or(u32::MAX) {
        0x3b => None, // what is decoded must not hold a semicolon
        0 => Some("\u{fffd}".into()),
        0x0d => Some("\r".into()),
        number @ 0x80..=0x9f => {
            let c = char::from_u32(number).expect("a C1 control character");
            Some(mojibake::fix_c1_controls(c.encode_utf8(&mut [0; 4])))
        }
        number => match char::from_u32(number) {
            None => Some("\u{fffd}".into()),
            Some(_) if rules().no_characters.contains(&number) => Some(String::new()),
            Some(c) => Some(c.into()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixed(text: &str) -> String {
        let mut out = String::new();
        fix_text(text, true, &mut out);
        out
    }

    #[test]
    fn what_ftfy_makes_of_such_texts_is_made_here() {
        for (text, wanted) in [
            ("clean text\n", "clean text\n"),
            ("\u{2714} No problems", "\u{2714} No problems"),
            ("\u{fb02}u\u{fb03}e\u{fb06}", "fluffiest"),
            ("\u{ff2c}\u{ff2f}\u{ff35}\u{ff24}\u{3000}NOISES", "LOUD NOISES"),
            ("\u{201c}here\u{2019}s a test\u{201d}", "\"here's a test\""),
            ("P&EACUTE;REZ &nTILDE; &lt;tag&gt;", "P\u{c9}REZ &nTILDE; <tag>"),
            ("s\u{c3}\u{b3}", "s\u{f3}"),
            ("voil\u{c3} le travail", "voil\u{e0} le travail"),
            ("\u{c3} la mode", "\u{e0} la mode"),
            ("\u{e2}\u{20ac}\u{153} like this \u{e2}\u{20ac}\u{fffd}", "\" like this \u{fffd}"),
            ("\x1b[36;44mblue\x1b[0m", "blue"),
            ("one\r\ntwo\rthree\u{2029}four", "one\ntwo\nthree\nfour"),
            ("cafe\u{301}", "caf\u{e9}"),
            ("\u{149}", "'n"),
            // Of these no encoding explains all: parts are decoded, or nothing.
            ("\u{a8}\u{a4} \u{e2}\u{20ac} \u{81}", "\u{a8}\u{a4} \u{2020}\u{81}"),
            ("\u{a8}\u{a4} \u{450} \u{81}", "\u{a8}\u{a4} \u{450} \u{81}"),
            ("\u{e2}\u{20ac}\u{153}x\u{450} \u{a8}\u{a4}", "\"x\u{450} \u{a8}\u{a4}"),
        ] {
            assert_eq!(fixed(text), wanted, "{text:?}");
        }
    }

    #[test]
    fn entities_are_kept_from_the_line_of_the_first_angle_on() {
        assert_eq!(fixed("&amp;\n&lt;\na < b &amp;\n&amp;"), "&\n<\na < b &amp;\n&amp;");
        let mut out = String::new();
        fix_text("&amp;", false, &mut out);
        assert_eq!(out, "&amp;");
    }

    #[test]
    fn a_line_of_millions_of_characters_is_fixed_in_parts() {
        let text = "\u{201c}a\u{2019}b ".repeat(600_000);
        assert_eq!(fixed(&text), text.replace('\u{201c}', "\"").replace('\u{2019}', "'"));
    }
}
