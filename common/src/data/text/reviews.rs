//! The reviews in the files of the collections we know.

use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, Serialize};

use super::input::Lines;
use crate::data::error::DataError;

/// How a file holds its reviews.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// One review a line.
    Lines,
    /// One JSON object a line with the review as `reviewText`, as the dumps of Amazon reviews are (`McAuley` et al. 2015).
    AmazonJson,
    /// The pseudo-XML of Blitzer's multi-domain set: what stands between the lines `<review_text>` and
    /// `</review_text>`.
    Blitzer,
    /// The last of three columns that tabs part, as our copy of IMDB: name, rating, review.
    ThirdColumn,
    /// The file is one review.
    Whole,
}

impl Format {
    /// The format that a file of this name has, as far as a name can tell.
    pub fn of_name(name: &str) -> Option<Self> {
        let name =
            [".gz", ".xz", ".bz2"].iter().fold(name, |n, end| n.strip_suffix(end).unwrap_or(n));
        match name.rsplit_once('.')?.1 {
            "json" | "jsonl" => Some(Self::AmazonJson),
            "review" => Some(Self::Blitzer),
            "tsv" => Some(Self::ThirdColumn),
            "txt" => Some(Self::Whole),
            _ => None,
        }
    }
}

/// A JSON string as bytes: neither wrong UTF-8 nor half a surrogate pair ends the reading of a dump.
#[derive(Default)]
struct Bytes(Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Take;
        impl Visitor<'_> for Take {
            type Value = Bytes;
            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("a string")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_owned()))
            }
            fn visit_str<E>(self, text: &str) -> Result<Bytes, E> {
                Ok(Bytes(text.as_bytes().to_owned()))
            }
        }
        deserializer.deserialize_bytes(Take)
    }
}

/// The one field of a dump's line that is read; a line without it is an empty review.
#[derive(Deserialize)]
struct AmazonLine {
    #[serde(rename = "reviewText", default)]
    review_text: Option<Bytes>,
}

/// Shows `take` every review of a file, as it stands there.
///
/// # Errors
/// A damaged file, a line that breaks the format; what `take` says.
pub fn each_review(
    lines: &mut Lines,
    format: Format,
    take: &mut dyn FnMut(&[u8]) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let mut line = Vec::new();
    match format {
        Format::Whole => return take(&lines.rest()?),
        Format::Lines => {
            while lines.next(&mut line)? {
                take(&line)?;
            }
        }
        Format::AmazonJson => {
            while lines.next(&mut line)? {
                if line.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                let read: AmazonLine = serde_json::from_slice(&line).map_err(|e| {
                    lines.wrong(e.to_string(), "one JSON object a line, with a string reviewText")
                })?;
                take(&read.review_text.unwrap_or_default().0)?;
            }
        }
        Format::Blitzer => {
            let mut review: Option<Vec<u8>> = None;
            while lines.next(&mut line)? {
                match (line.trim_ascii(), review.take()) {
                    (b"<review_text>", None) => review = Some(Vec::new()),
                    (b"</review_text>", Some(text)) => take(&text)?,
                    (b"<review_text>" | b"</review>", Some(_)) => {
                        return Err(lines.wrong("the next tag", "</review_text> before it"));
                    }
                    (_, Some(mut text)) => {
                        text.extend_from_slice(&line);
                        text.push(b'\n');
                        review = Some(text);
                    }
                    (_, None) => {}
                }
            }
            if review.is_some() {
                return Err(lines.wrong("the end of the file", "</review_text> before it"));
            }
        }
        Format::ThirdColumn => {
            while lines.next(&mut line)? {
                let text = third_column(&line)
                    .ok_or_else(|| lines.wrong("fewer than three columns", "name, rating, review"))?
                    .2;
                take(&without_breaks(text))?;
            }
        }
    }
    Ok(())
}

/// The three columns of a line; the last may hold tabs.
pub(super) fn third_column(line: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let mut parts = line.splitn(3, |&byte| byte == b'\t');
    Some((parts.next()?, parts.next()?, parts.next()?))
}

/// IMDB's `<br />` are the line breaks of the reviews' own text, so they become newlines again.
pub(super) fn without_breaks(text: &[u8]) -> Vec<u8> {
    const BREAK: &[u8] = b"<br />";
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.windows(BREAK.len()).position(|window| window == BREAK) {
        out.extend_from_slice(&rest[..at]);
        out.push(b'\n');
        rest = &rest[at + BREAK.len()..];
    }
    out.extend_from_slice(rest);
    out
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::data::text::input::each_file;

    fn read(content: &[u8], format: Format) -> Result<Vec<Vec<u8>>, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, content).unwrap();
        let mut reviews = Vec::new();
        each_file(&path, &|_| true, &mut |lines| {
            each_review(lines, format, &mut |review| {
                reviews.push(review.to_owned());
                Ok(())
            })
        })
        .map_err(|e| e.to_string())?;
        Ok(reviews)
    }

    #[test]
    fn a_dumps_escapes_missing_texts_and_broken_characters_are_read() {
        let dump = b"{\"reviewText\": \"a \\\"b\\\" \\u00e9\\n\", \"overall\": 5.0}\n\n{\"overall\": 1}\n\
                     {\"x\": [1, {\"y\": \"\xff\"}], \"reviewText\": \"\xe8 \\ud83d\"}\n{\"reviewText\": null}";
        let read = read(dump, Format::AmazonJson).unwrap();
        assert_eq!(read[0], "a \"b\" é\n".as_bytes());
        assert_eq!((read[1].len(), read[3].len()), (0, 0));
        assert!(read[2].starts_with(b"\xe8 "), "{:?}", read[2]);
    }

    #[test]
    fn a_dumps_line_that_is_no_json_is_an_error_with_its_number() {
        let error = read(b"{\"reviewText\": \"x\"}\n{'reviewText': 'x'}\n", Format::AmazonJson)
            .unwrap_err();
        assert!(error.contains("line 2") && error.contains("one JSON object a line"), "{error}");
    }

    #[test]
    fn blitzers_reviews_stand_between_their_tags() {
        let file = b"<data>\n<review>\n<rating>\n1.0\n</rating>\n<review_text>\none\n\ntwo\n</review_text>\n</review>\n\
                     <review>\n<review_text>\nthree\n</review_text>\n</review>";
        assert_eq!(
            read(file, Format::Blitzer).unwrap(),
            [b"one\n\ntwo\n".to_vec(), b"three\n".to_vec()]
        );
        for open in [&b"<review_text>\none\n</review>\n"[..], b"<review_text>\none"] {
            let error = read(open, Format::Blitzer).unwrap_err();
            assert!(error.contains("</review_text> before it"), "{error}");
        }
    }

    #[test]
    fn of_three_columns_the_last_may_hold_tabs_and_breaks_become_newlines() {
        let read = read(b"neg/0\t3\ta\tb<br /><br />c <br>\n", Format::ThirdColumn).unwrap();
        assert_eq!(read, [b"a\tb\n\nc <br>".to_vec()]);
    }

    #[test]
    fn a_name_tells_the_format_through_its_packing() {
        let of = Format::of_name;
        assert_eq!(of("reviews_Books.json.gz"), Some(Format::AmazonJson));
        assert_eq!(
            (of("a/x.review"), of("x.txt.xz")),
            (Some(Format::Blitzer), Some(Format::Whole))
        );
        assert_eq!((of("README"), of("x.gz")), (None, None));
    }
}
