//! The original's own cleaning after ftfy: dashes and dots in ASCII, punctuation set apart, white
//! space made uniform.
//!
//! Source: openai/finetune-transformer-lm at f7c1330, `text_utils.py`, `text_standardize`. There the
//! pattern meant for backslashes stands in an ordinary string, where it means another plus: backslashes
//! are not set apart. Hugging Face's port, with a raw string, sets them apart; this follows the original.

/// Whether Python's `str.isspace` holds, which is also what `\s` means in its patterns.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// Whether runs of the character are set apart from their neighbours.
fn stands_alone(c: char) -> bool {
    "-~!\";?+,)(/*[]}{|_".contains(c)
}

/// Appends the standard form of `line`, which holds no line break, to `out`: pieces separated by one
/// blank each, none at the ends.
pub(super) fn standardize_line(line: &str, out: &mut String) {
    let begin = out.len();
    // The last character written, and whether a blank comes before the next.
    let mut last = None;
    let mut blank = false;
    let mut push = |out: &mut String, c: char| {
        if is_space(c) {
            blank = true;
            return;
        }
        let apart = |c: char| stands_alone(c) && last != Some(c);
        if blank || apart(c) || last.is_some_and(|l| stands_alone(l) && l != c) {
            if out.len() > begin {
                out.push(' ');
            }
            blank = false;
        }
        out.push(c);
        last = Some(c);
    };
    for c in line.chars() {
        match c {
            '—' | '–' | '―' => push(out, '-'),
            '…' => (0..3).for_each(|_| push(out, '.')),
            '´' => push(out, '\''),
            c => push(out, c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standard(line: &str) -> String {
        let mut out = String::from("before");
        standardize_line(line, &mut out);
        out.split_off("before".len())
    }

    #[test]
    fn runs_of_punctuation_stand_apart_and_blanks_are_single() {
        for (line, wanted) in [
            ("", ""),
            (" \t ", ""),
            ("one", "one"),
            ("  a\u{a0}\u{2003} b\u{1f}c ", "a b c"),
            ("well—no–yes―", "well - no - yes -"),
            ("(\"Wait!!\")", "( \" wait !! \" )".replace("wait", "Wait").as_str()),
            ("a--b", "a -- b"),
            ("a—-b", "a -- b"),
            ("a - - b", "a - - b"),
            ("a…b´s", "a...b's"),
            ("1+1++", "1 + 1 ++"),
            (r"a\b\\c", r"a\b\\c"),
            ("x_y__z", "x _ y __ z"),
            ("$5.00: a.b", "$5.00: a.b"),
        ] {
            assert_eq!(standard(line), wanted, "{line:?}");
        }
    }
}
