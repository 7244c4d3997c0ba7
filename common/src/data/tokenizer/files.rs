//! The files of a vocabulary: OpenAI's `encoder_bpe_40000.json` and `vocab_40000.bpe`, and Hugging
//! Face's `vocab.json` and `merges.txt`, which have the same form.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::bpe::{Bpe, UNKNOWN};
use super::error::TokenizerError;
use crate::data::error::DataError;
use crate::data::verify::write_atomically;

/// A vocabulary and its merges as Hugging Face calls them.
pub(in crate::data) const HUGGING_FACE: [&str; 2] = ["vocab.json", "merges.txt"];
/// The same files of GPT-1 as OpenAI calls them.
const OPENAI: [&str; 2] = ["encoder_bpe_40000.json", "vocab_40000.bpe"];

/// The first line of a file of merges.
const VERSION: &str = "#version: 0.2";

/// The vocabulary and the merges in `folder`, under Hugging Face's names or OpenAI's, gzipped or not.
pub(super) fn find(folder: &Path) -> Result<[PathBuf; 2], TokenizerError> {
    for names in [HUGGING_FACE, OPENAI] {
        let paths = names.map(|name| {
            let plain = folder.join(name);
            if plain.exists() { plain } else { folder.join(format!("{name}.gz")) }
        });
        if paths.iter().all(|path| path.exists()) {
            return Ok(paths);
        }
    }
    let wanted = [HUGGING_FACE, OPENAI].map(|[a, b]| format!("{a} with {b}")).join(", or ");
    Err(TokenizerError::NoFiles { folder: folder.to_owned(), wanted })
}

/// Reads a vocabulary and its merges.
pub(super) fn read(vocab: &Path, merges: &Path) -> Result<Bpe, TokenizerError> {
    let tokens = read_vocab(vocab)?;
    let Merges { pairs, lines } = read_merges(merges)?;
    Bpe::new(tokens, &pairs).map_err(|unfit| {
        let (left, right) = &pairs[unfit.index];
        TokenizerError::DoNotFit {
            merges: merges.to_owned(),
            line: lines[unfit.index],
            merge: format!("{left} {right}"),
            missing: unfit.missing,
            vocab: vocab.to_owned(),
        }
    })
}

/// Writes `vocab.json` and `merges.txt` into `folder`, as Hugging Face's tokenisers read them.
pub(super) fn write(bpe: &Bpe, folder: &Path) -> Result<(), TokenizerError> {
    let mut vocab = String::from("{");
    for (id, token) in bpe.tokens().iter().enumerate() {
        let text = serde_json::to_string(token).expect("a string");
        write!(vocab, "{}{text}: {id}", if id > 0 { ", " } else { "" }).expect("to a string");
    }
    vocab.push('}');
    let mut merges = format!("{VERSION}\n");
    for (left, right) in bpe.merges() {
        writeln!(merges, "{left} {right}").expect("to a string");
    }
    let [vocab_name, merges_name] = HUGGING_FACE;
    write_atomically(&folder.join(vocab_name), &[vocab.as_bytes()])?;
    write_atomically(&folder.join(merges_name), &[merges.as_bytes()])?;
    Ok(())
}

fn read_text(path: &Path) -> Result<String, DataError> {
    let mut file = File::open(path).map_err(DataError::io(path, "open"))?;
    let mut bytes = Vec::new();
    if path.extension().is_some_and(|e| e == "gz") {
        MultiGzDecoder::new(file).read_to_end(&mut bytes)
    } else {
        file.read_to_end(&mut bytes)
    }
    .map_err(DataError::io(path, "read"))?;
    String::from_utf8(bytes).map_err(|e| {
        let place = format!("byte {}", e.utf8_error().valid_up_to());
        DataError::malformed(path, place, "bytes that are no UTF-8", "UTF-8")
    })
}

/// Texts by id.
fn read_vocab(path: &Path) -> Result<Vec<Box<str>>, DataError> {
    let ids: BTreeMap<String, u32> = serde_json::from_str(&read_text(path)?).map_err(|e| {
        let place = format!("line {}, column {}", e.line(), e.column());
        DataError::malformed(path, place, e.to_string(), "a JSON object of tokens and their ids")
    })?;
    let wrong = |token: &str, found: String, wanted: String| {
        DataError::malformed(path, format!("token `{token}`"), found, wanted)
    };
    let mut tokens: Vec<Option<Box<str>>> = vec![None; ids.len()];
    for (token, id) in &ids {
        let n = tokens.len();
        let place = tokens.get_mut(*id as usize).ok_or_else(|| {
            wrong(token, format!("id {id}"), format!("ids 0 to {} for {n} tokens", n - 1))
        })?;
        if let Some(other) = place.replace(token.as_str().into()) {
            return Err(wrong(token, format!("id {id}"), format!("one that `{other}` has not")));
        }
    }
    if !ids.contains_key(UNKNOWN) {
        let found = format!("{} tokens without it", ids.len());
        return Err(wrong(UNKNOWN, found, "the token for unknown characters".into()));
    }
    Ok(tokens.into_iter().map(|token| token.expect("as many ids as places, none twice")).collect())
}

/// Merges in order, and the line of each.
#[derive(Default)]
struct Merges {
    pairs: Vec<(String, String)>,
    lines: Vec<usize>,
}

fn read_merges(path: &Path) -> Result<Merges, DataError> {
    let mut merges = Merges::default();
    // Not `str::lines`: a token may hold a carriage return.
    for (i, line) in read_text(path)?.split('\n').enumerate() {
        if line.is_empty() || (i == 0 && line.starts_with("#version")) {
            continue;
        }
        match line.split(' ').collect::<Vec<_>>()[..] {
            [left, right] if !left.is_empty() && !right.is_empty() => {
                merges.pairs.push((left.to_owned(), right.to_owned()));
                merges.lines.push(i + 1);
            }
            _ => {
                let place = format!("line {}", i + 1);
                let wanted = "two pieces with a blank between them";
                return Err(DataError::malformed(path, place, format!("`{line}`"), wanted));
            }
        }
    }
    Ok(merges)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"<unk>": 0, "a": 1, "b</w>": 2, "ab</w>": 3}"#;

    fn read_both(vocab: &str, merges: &str) -> Result<Bpe, String> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("vocab.json"), vocab).unwrap();
        std::fs::write(dir.path().join("merges.txt"), merges).unwrap();
        let [vocab, merges] = find(dir.path()).unwrap();
        read(&vocab, &merges).map_err(|e| e.to_string())
    }

    #[test]
    fn what_was_written_is_read_again() {
        let bpe = read_both(GOOD, "#version: 0.2\na b</w>\n").unwrap();
        let dir = tempfile::tempdir().unwrap();
        write(&bpe, dir.path()).unwrap();
        let [vocab, merges] = find(dir.path()).unwrap();
        assert_eq!(std::fs::read_to_string(&vocab).unwrap(), GOOD);
        assert_eq!(std::fs::read_to_string(&merges).unwrap(), "#version: 0.2\na b</w>\n");
        assert_eq!(read(&vocab, &merges).unwrap().digest(), bpe.digest());
    }

    #[test]
    fn files_that_do_not_fit_or_are_damaged_are_named_with_the_place() {
        let merges = "#version: 0.2\na b</w>\n";
        for (vocab, merges, wanted) in [
            (
                GOOD,
                "#version: 0.2\na b</w>\nab</w> a\n",
                "line 3: the merge `ab</w> a` needs the token `ab</w>a`",
            ),
            (GOOD, "#version: 0.2\na b</w> c\n", "merges.txt: line 2: found `a b</w> c`"),
            (
                r#"{"<unk>": 0, "a": 5}"#,
                merges,
                "token `a`: found id 5, wanted ids 0 to 1 for 2 tokens",
            ),
            (
                r#"{"<unk>": 0, "a": 0}"#,
                merges,
                "token `a`: found id 0, wanted one that `<unk>` has not",
            ),
            (r#"{"a": 0}"#, merges, "token `<unk>`: found 1 tokens without it"),
            (r#"{"<unk>": 0"#, merges, "vocab.json: line 1"),
            ("{}", merges, "token `<unk>`"),
        ] {
            let error = read_both(vocab, merges).unwrap_err();
            assert!(error.contains(wanted), "expected {wanted}\ngot      {error}");
        }
        let dir = tempfile::tempdir().unwrap();
        let error = find(dir.path()).unwrap_err().to_string();
        assert!(error.contains("vocab.json with merges.txt, or encoder_bpe_40000.json"), "{error}");
    }
}
