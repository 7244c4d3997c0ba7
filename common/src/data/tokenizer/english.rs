//! spaCy's tokeniser for English: what stands between blanks, taken apart into words and punctuation.
//!
//! Source: spaCy 3.8, `tokenizer.pyx`; its patterns and exceptions are data in `rules/spacy-en.json`.
//! Differs: the original had spaCy 2.0 of 2018, whose lists were slightly shorter; and an exception that
//! is looked for among neighbouring tokens is only found between two blanks, while in spaCy a match
//! across a blank, which changes nothing itself, may hide a later one.

use std::collections::{HashMap, HashSet};

use fancy_regex::Regex;
use serde::Deserialize;

/// The rules as they are stored; `tests/oracle/tokenizer_rules.py` wrote them.
#[derive(Deserialize)]
struct Rules {
    prefix: String,
    suffix: String,
    infix: String,
    url: String,
    /// Texts and their tokens.
    exceptions: HashMap<Box<str>, Vec<Box<str>>>,
    /// Exceptions that are also looked for inside other text, and the tokens they would be otherwise.
    neighbours: HashMap<Box<str>, Vec<Box<str>>>,
}

/// The tokeniser.
pub(super) struct English {
    prefix: Regex,
    suffix: Regex,
    infix: Regex,
    url: Regex,
    exceptions: HashMap<Box<str>, Vec<Box<str>>, ahash::RandomState>,
    /// By their first token.
    neighbours: HashMap<Box<str>, Vec<Neighbours>, ahash::RandomState>,
}

/// Tokens that stand for an exception when they follow each other.
struct Neighbours {
    /// Those after the first.
    others: Vec<Box<str>>,
    exception: Box<str>,
}

impl English {
    pub(super) fn new() -> Self {
        let rules: Rules =
            serde_json::from_str(include_str!("rules/spacy-en.json")).expect("the file is tested");
        let regex = |pattern: &str| Regex::new(pattern).expect("the pattern is tested");
        let mut neighbours: HashMap<_, Vec<_>, _> = HashMap::default();
        for (text, mut tokens) in rules.neighbours {
            let first = tokens.remove(0);
            neighbours
                .entry(first)
                .or_default()
                .push(Neighbours { others: tokens, exception: text });
        }
        Self {
            prefix: regex(&rules.prefix),
            suffix: regex(&rules.suffix),
            infix: regex(&rules.infix),
            url: regex(&rules.url),
            exceptions: rules.exceptions.into_iter().collect(),
            neighbours,
        }
    }

    /// The tokens of `span`, which is not empty and holds no white space, in order.
    pub(super) fn tokens<'t>(&'t self, span: &'t str) -> Vec<&'t str> {
        let mut tokens = Vec::new();
        if let Some(exception) = self.exceptions.get(span) {
            tokens.extend(exception.iter().map(|t| &**t));
        } else if span.bytes().all(|b| b.is_ascii_alphabetic()) {
            // No pattern matches in such a span; nearly all spans are such.
            tokens.push(span);
        } else {
            self.take_apart(span, &mut tokens);
        }
        self.restore_exceptions(tokens)
    }

    /// Splits affixes off, one at each end at a time, then the rest at its infixes.
    fn take_apart<'t>(&'t self, span: &'t str, tokens: &mut Vec<&'t str>) {
        let mut suffixes = Vec::new();
        let mut rest = span;
        while !rest.is_empty() && !self.exceptions.contains_key(rest) {
            let (prefix, without_prefix) = rest.split_at(length(&self.prefix, rest));
            if !prefix.is_empty() && self.exceptions.contains_key(without_prefix) {
                tokens.push(prefix);
                rest = without_prefix;
                break;
            }
            let suffix_length = length(&self.suffix, without_prefix);
            let (without_suffix, suffix) = rest.split_at(rest.len() - suffix_length);
            if !suffix.is_empty() && self.exceptions.contains_key(without_suffix) {
                suffixes.push(suffix);
                rest = without_suffix;
                break;
            }
            if prefix.is_empty() && suffix.is_empty() {
                break;
            }
            if !prefix.is_empty() {
                tokens.push(prefix);
            }
            if !suffix.is_empty() {
                suffixes.push(suffix);
            }
            rest = &rest[prefix.len()..rest.len() - suffix.len()];
        }
        if let Some(exception) = self.exceptions.get(rest) {
            tokens.extend(exception.iter().map(|t| &**t));
        } else if matches(&self.url, rest) {
            tokens.push(rest);
        } else {
            self.split_infixes(rest, tokens);
        }
        tokens.extend(suffixes.into_iter().rev());
    }

    fn split_infixes<'t>(&self, rest: &'t str, tokens: &mut Vec<&'t str>) {
        let mut done = 0;
        for infix in self.infix.find_iter(rest).map_while(Result::ok) {
            if infix.start() == 0 {
                continue;
            }
            if infix.start() > done {
                tokens.push(&rest[done..infix.start()]);
            }
            if !infix.as_str().is_empty() {
                tokens.push(infix.as_str());
            }
            done = infix.end();
        }
        if done < rest.len() {
            tokens.push(&rest[done..]);
        }
    }

    /// Puts exceptions that were taken apart together again: the longest first, of those of one length
    /// the first.
    fn restore_exceptions<'t>(&'t self, tokens: Vec<&'t str>) -> Vec<&'t str> {
        let mut found = Vec::new();
        for (start, first) in tokens.iter().enumerate() {
            for Neighbours { others, exception } in
                self.neighbours.get(*first).into_iter().flatten()
            {
                let rest = &tokens[start + 1..];
                if rest.len() >= others.len() && rest.iter().zip(others).all(|(a, b)| **a == **b) {
                    found.push((start, start + 1 + others.len(), exception));
                }
            }
        }
        if found.is_empty() {
            return tokens;
        }
        found.sort_by_key(|&(start, end, _)| (std::cmp::Reverse(end - start), start));
        let mut taken = HashSet::new();
        let mut chosen = HashMap::new();
        for (start, end, exception) in found {
            if !taken.contains(&start) && !taken.contains(&(end - 1)) {
                chosen.insert(start, (end, exception));
            }
            taken.extend(start..end);
        }
        let mut out = Vec::with_capacity(tokens.len());
        let mut at = 0;
        while at < tokens.len() {
            if let Some(&(end, exception)) = chosen.get(&at) {
                out.extend(self.exceptions[exception].iter().map(|t| &**t));
                at = end;
            } else {
                out.push(tokens[at]);
                at += 1;
            }
        }
        out
    }
}

/// The length in bytes of what `pattern` finds in `text`; a pattern that gives up finds nothing.
fn length(pattern: &Regex, text: &str) -> usize {
    pattern.find(text).ok().flatten().map_or(0, |found| found.as_str().len())
}

fn matches(pattern: &Regex, text: &str) -> bool {
    pattern.is_match(text).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn english() -> &'static English {
        static ENGLISH: std::sync::LazyLock<English> = std::sync::LazyLock::new(English::new);
        &ENGLISH
    }

    #[test]
    fn exceptions_affixes_and_infixes_are_found() {
        for (span, wanted) in [
            ("don't", "do n't"),
            ("cannot", "can not"),
            ("Mr.", "Mr."),
            ("(Mr.)", "( Mr. )"),
            ("end.Begin", "end . Begin"),
            ("well-known", "well - known"),
            ("'em'", "'em '"),
            ("10km.", "10 km ."),
            ("www.example.com/a-b", "www.example.com/a-b"),
            ("...", "..."),
        ] {
            assert_eq!(english().tokens(span).join(" "), wanted, "{span}");
        }
    }

    #[test]
    fn an_exception_that_was_taken_apart_is_put_together_again() {
        // The infix takes `:` out; `:D` is an exception, and `:` and `D` are neighbours here.
        assert_eq!(english().tokens("a:'(b").concat(), "a:'(b");
        assert_eq!(english().restore_exceptions(vec!["a", "'", "em", "b"]), ["a", "'em", "b"]);
        assert_eq!(english().restore_exceptions(vec!["'", "em", "'", "s"]), ["'em", "'s"]);
    }

    proptest! {
        #[test]
        fn letters_alone_match_no_pattern(span in "[A-Za-z]{1,12}") {
            let mut tokens = Vec::new();
            if !english().exceptions.contains_key(&*span) {
                english().take_apart(&span, &mut tokens);
                prop_assert_eq!(tokens, vec![&*span]);
            }
        }

        #[test]
        fn tokens_make_up_the_span(span in "[a-zA-Z0-9.,:'$%°’\u{2014}()/@_<>=+-]{1,16}") {
            prop_assert_eq!(english().tokens(&span).concat(), span);
        }
    }
}
