//! Long texts by their authors: what a language model of long stretches is trained on.
//!
//! A book is a document `Author/Title`; no training example reaches from one into the next. Whole authors are held
//! out, so that a model is never judged on a style that it learned: [`parts`] says which.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use flate2::read::ZlibDecoder;
use ledger::run::hex;
use sha2::{Digest, Sha256};

use super::clean::decode;
use super::input::each_file;
use crate::data::catalog::Catalog;
use crate::data::error::DataError;
use crate::data::lookup::{Located, Lookup};
use crate::data::tokenizer::Document;
use crate::data::verify::{sum_of_file, sum_of_folder};

/// Which books a text is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// To learn from.
    Train,
    /// To look at on the way.
    Val,
    /// Read once, at the end.
    Test,
}

/// One author in so many is held out for validation, and as many for the test.
const ONE_IN: usize = 20;
/// A whole of Austen's novels has fewer lines than this; more means that the file is damaged.
const MOST_LINES: u32 = 1 << 20;

/// Books by their name in paths of results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Library {
    /// Its name.
    pub name: &'static str,
    /// The sets of the catalogue that it is made of; the first stands for it where one name is wanted.
    pub sets: &'static [&'static str],
}

/// All libraries, the best first.
pub const LIBRARIES: [Library; 2] = [
    Library { name: "novels", sets: &["novels"] },
    // What package registries have of long prose.
    Library { name: "registry-books", sets: &["austen", "moby-dick", "sotu"] },
];

/// Books at hand.
#[derive(Debug)]
pub struct Shelf {
    /// Its name in paths of results.
    pub name: String,
    /// Identifies the books: names and sums of the files that they come from.
    pub source: String,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Sets(Vec<Located>),
    Own(PathBuf),
}

impl Library {
    /// The library called `name`, if it is one of ours.
    pub fn get(name: &str) -> Option<Self> {
        LIBRARIES.into_iter().find(|library| library.name == name)
    }

    /// The first library whose files can be had.
    ///
    /// # Errors
    /// A file that is damaged; no library that is whole.
    pub fn first_available(lookup: &Lookup) -> Result<Self, DataError> {
        let firsts = LIBRARIES.map(|library| library.sets[0]);
        let located = Catalog::builtin().first_available(&firsts, lookup)?;
        let found = LIBRARIES.into_iter().find(|library| library.sets[0] == located.name);
        Ok(found.expect("one of the names asked for was located"))
    }

    /// Its books, found or fetched but not read yet.
    ///
    /// # Errors
    /// Files that are missing or damaged.
    pub fn shelf(self, lookup: &Lookup) -> Result<Shelf, DataError> {
        let catalog = Catalog::builtin();
        let located: Vec<Located> =
            self.sets.iter().map(|set| catalog.locate(set, lookup)).collect::<Result<_, _>>()?;
        let files = located.iter().flat_map(|set| &set.files);
        let sums: Vec<String> =
            files.map(|file| format!("{} {}", file.name, file.sha256)).collect();
        let (name, source) = (self.name.to_owned(), sums.join("\n"));
        Ok(Shelf { name, source, place: Place::Sets(located) })
    }
}

impl Shelf {
    /// The user's own books: a folder of `.txt` or `.md` files, in folders by author if there are several by one, or
    /// an archive of such a folder.
    ///
    /// # Errors
    /// A folder or file that cannot be read.
    pub fn own(path: &Path, lookup: &Lookup) -> Result<Self, DataError> {
        let source = if path.is_dir() {
            sum_of_folder(path, &is_book, &lookup.memory())?
        } else {
            sum_of_file(path, &lookup.memory())?
        };
        Ok(Self { name: "own-books".to_owned(), source, place: Place::Own(path.to_owned()) })
    }

    /// All books, sorted by name; about as much memory as they have text.
    ///
    /// # Errors
    /// Files that are damaged; an empty book; nothing that is a book.
    pub fn books(&self) -> Result<Vec<Document>, DataError> {
        let mut books = Vec::new();
        let mut push = |name: String, text: &str| books.push(Document { name, text: text.into() });
        match &self.place {
            Place::Own(path) => {
                each_book(path, "", &mut push)?;
                if books.is_empty() {
                    let wanted = "files that end in .txt or .md";
                    return Err(DataError::malformed(path, "its names", "no book", wanted));
                }
            }
            Place::Sets(sets) => {
                for set in sets {
                    let path = set.files[0].path.as_path();
                    match set.name.as_str() {
                        "novels" => each_book(path, "novels/", &mut push)?,
                        "austen" => austen(path, &mut push)?,
                        "moby-dick" => each_file(path, &|_| true, &mut |lines| {
                            let text = lines.rest()?;
                            push("Herman_Melville/Moby_Dick".into(), &paragraphs(&decode(&text).0));
                            Ok(())
                        })?,
                        "sotu" => sotu(path, &mut push)?,
                        name => {
                            return Err(DataError::Catalog(format!("`{name}` holds no books")));
                        }
                    }
                }
            }
        }
        books.sort_by(|a, b| a.name.cmp(&b.name));
        if let Some(empty) = books.iter().find(|book| book.text.trim().is_empty()) {
            let path = match &self.place {
                Place::Own(path) => path.as_path(),
                Place::Sets(sets) => sets[0].files[0].path.as_path(),
            };
            let wanted = "some text; take it out of the folder";
            return Err(DataError::malformed(path, &empty.name, "an empty book", wanted));
        }
        Ok(books)
    }
}

/// The author of a book: the first folder of its name, or the name itself.
pub fn author(book: &str) -> &str {
    book.split_once('/').map_or(book, |(author, _)| author)
}

/// The part of each of `books`, by name. Authors come in the order of their sha256; of the first twentieth the books
/// are for the test, of the next for validation, at least one author each.
///
/// # Errors
/// Fewer than three authors.
pub fn parts<S: AsRef<str>>(books: &[S]) -> Result<Vec<Part>, DataError> {
    let authors: BTreeSet<(String, &str)> = books
        .iter()
        .map(|book| author(book.as_ref()))
        .map(|author| (hex(&Sha256::digest(author)), author))
        .collect();
    if authors.len() < 3 {
        let found = authors.len();
        return Err(DataError::FewAuthors { found });
    }
    let n = authors.len().div_ceil(ONE_IN);
    let order: Vec<&str> = authors.into_iter().map(|(_, author)| author).collect();
    let part = |book: &S| match order.iter().position(|author_| *author_ == author(book.as_ref())) {
        Some(place) if place < n => Part::Test,
        Some(place) if place < 2 * n => Part::Val,
        _ => Part::Train,
    };
    Ok(books.iter().map(part).collect())
}

fn is_book(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|e| e == "txt" || e == "md")
}

/// Every book of a folder or an archive; `inside` is taken off its name.
fn each_book(
    path: &Path,
    inside: &str,
    push: &mut dyn FnMut(String, &str),
) -> Result<(), DataError> {
    each_file(path, &is_book, &mut |lines| {
        let name = lines.name_below(path);
        let text = lines.rest()?;
        let name = name.strip_prefix(inside).unwrap_or(&name);
        push(name.to_owned(), without_header(&decode(&text).0));
        Ok(())
    })
}

/// A novel of the mirror without the lines that name it: title, author and year up to a line of dashes.
fn without_header(text: &str) -> &str {
    let header = text.starts_with("# Title:").then(|| text.split_once("\n-------")).flatten();
    header.map_or(text, |(_, rest)| rest.trim_start_matches('-').trim_start())
}

/// Text broken into short lines, with a line for each paragraph.
fn paragraphs(text: &str) -> String {
    let mut whole = String::with_capacity(text.len());
    for line in text.lines().map(str::trim) {
        if line.is_empty() {
            if !whole.is_empty() && !whole.ends_with('\n') {
                whole.push('\n');
            }
        } else {
            if !whole.is_empty() && !whole.ends_with('\n') {
                whole.push(' ');
            }
            whole.push_str(line);
        }
    }
    whole
}

/// The addresses, each by its president: `1790_george_washington_n.txt`. The last piece of a name says for which
/// party he stood.
fn sotu(path: &Path, push: &mut dyn FnMut(String, &str)) -> Result<(), DataError> {
    let keep = |name: &str| Path::new(name).extension().is_some_and(|e| e == "txt");
    each_file(path, &keep, &mut |lines| {
        let name = lines.path_name();
        let stem = name.strip_suffix(".txt").unwrap_or(&name);
        let by = stem.split_once('_').and_then(|(_, rest)| rest.rsplit_once('_'));
        let (president, _) = by.ok_or_else(|| lines.wrong(&name, "YEAR_PRESIDENT_PARTY.txt"))?;
        let text = lines.rest()?;
        push(format!("{president}/{stem}"), &paragraphs(&decode(&text).0));
        Ok(())
    })
}

/// The six novels out of an R data base: records of a length in four bytes and R's serialisation under zlib, each a
/// vector of lines. The first line is the title.
///
/// Source: R Internals, section 1.8, "Serialization Formats".
fn austen(path: &Path, push: &mut dyn FnMut(String, &str)) -> Result<(), DataError> {
    let bytes = std::fs::read(path).map_err(DataError::io(path, "read"))?;
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let at = bytes.len() - rest.len();
        let wrong = |found: String| {
            let place = format!("the record at byte {at}");
            DataError::malformed(path, place, found, "lines of text as R 3.5 and later store them")
        };
        let body = rest.get(4..).ok_or_else(|| wrong("an end".into()))?;
        let mut decoder = ZlibDecoder::new(body);
        let mut record = Vec::new();
        decoder.read_to_end(&mut record).map_err(|error| wrong(error.to_string()))?;
        rest = &body[decoder.total_in() as usize..];
        let lines = lines_of_r(&record).ok_or_else(|| wrong("something else".into()))?;
        let title = lines.first().map(|title| title.trim().replace(' ', "_")).unwrap_or_default();
        push(format!("Jane_Austen/{title}"), &paragraphs(&lines.join("\n")));
    }
    Ok(())
}

/// A vector of strings in R's binary serialisation.
fn lines_of_r(record: &[u8]) -> Option<Vec<String>> {
    const STRINGS: u32 = 16;
    let mut rest = record.strip_prefix(b"X\n")?;
    let version = number(&mut rest)?;
    let _writer = number(&mut rest)?;
    let _oldest_reader = number(&mut rest)?;
    if version == 3 {
        let encoding = number(&mut rest)?;
        rest = rest.get(encoding as usize..)?;
    }
    (number(&mut rest)? & 0xff == STRINGS).then_some(())?;
    let n = number(&mut rest).filter(|n| *n < MOST_LINES)?;
    let mut lines = Vec::with_capacity(n as usize);
    for _ in 0..n {
        let _flags = number(&mut rest)?;
        let length = number(&mut rest)?;
        let (line, after) = rest.split_at_checked(length as usize)?;
        lines.push(String::from_utf8_lossy(line).into_owned());
        rest = after;
    }
    Some(lines)
}

/// Takes a number off the front.
fn number(rest: &mut &[u8]) -> Option<u32> {
    let (head, tail) = rest.split_first_chunk::<4>()?;
    *rest = tail;
    Some(u32::from_be_bytes(*head))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn lookup(cache: &Path) -> Lookup {
        Lookup::in_cache(cache.to_owned())
    }

    #[test]
    fn whole_authors_are_held_out_and_at_least_one_for_each_part() {
        let books: Vec<String> = (0..200).map(|i| format!("author{}/{i}", i % 50)).collect();
        let parts = parts(&books).unwrap();
        let authors_of = |wanted: Part| -> BTreeSet<&str> {
            let of = books.iter().zip(&parts).filter(|(_, part)| **part == wanted);
            of.map(|(book, _)| author(book)).collect()
        };
        let [train, val, test] = [Part::Train, Part::Val, Part::Test].map(authors_of);
        assert_eq!((train.len(), val.len(), test.len()), (44, 3, 3));
        assert!(train.is_disjoint(&val) && train.is_disjoint(&test) && val.is_disjoint(&test));
        let three = super::parts(&["a/1", "b/1", "c/1", "a/2"]).unwrap();
        assert_eq!(three[0], three[3]);
        for part in [Part::Train, Part::Val, Part::Test] {
            assert!(three.contains(&part), "{three:?}");
        }
        let error = super::parts(&["a/1", "a/2", "b/1"]).unwrap_err().to_string();
        assert!(error.contains("books of 2 authors"), "{error}");
    }

    #[test]
    fn paragraphs_are_lines_and_a_header_is_no_text() {
        let wrapped = "CHAPTER I\n\n\nIt was\n  late, and\ndark.\n\n\"Go,\"\nhe said.\n";
        assert_eq!(paragraphs(wrapped), "CHAPTER I\nIt was late, and dark.\n\"Go,\" he said.");
        let novel = "# Title: Emma\n\n## Year: 1815\n\n-------\n\n## I\n\nEmma";
        assert_eq!(without_header(novel), "## I\n\nEmma");
        assert_eq!(without_header("Emma\n-------\n"), "Emma\n-------\n");
    }

    #[test]
    fn lines_come_out_of_what_r_writes() {
        // saveRDS(c("EMMA", "", "é"), ascii = FALSE, compress = FALSE), R 4.
        let mut record = b"X\n\0\0\0\x03\0\x04\x02\x01\0\x03\x05\0\0\0\0\x05UTF-8".to_vec();
        record.extend(b"\0\0\0\x10\0\0\0\x03\0\x04\0\x09\0\0\0\x04EMMA");
        record.extend(b"\0\x04\0\x09\0\0\0\0\0\0\x80\x09\0\0\0\x02\xc3\xa9");
        assert_eq!(lines_of_r(&record).unwrap(), ["EMMA", "", "é"]);
        assert_eq!(lines_of_r(&record[..record.len() - 1]), None);
        assert_eq!(lines_of_r(b"X\n\0\0\0\x02"), None);
    }

    #[test]
    fn a_folder_of_ones_own_is_read_by_author_and_an_empty_book_is_named() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("mine");
        for (name, text) in [("b/two.txt", "Two."), ("a/one.md", "One."), ("c.txt", "Three.")] {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        fs::write(folder.join("cover.jpg"), "no book").unwrap();
        let shelf = Shelf::own(&folder, &lookup(place.path())).unwrap();
        let books = shelf.books().unwrap();
        let names: Vec<&str> = books.iter().map(|book| book.name.as_str()).collect();
        assert_eq!(names, ["a/one.md", "b/two.txt", "c.txt"]);
        assert_eq!(
            books.iter().map(|book| author(&book.name)).collect::<Vec<_>>(),
            ["a", "b", "c.txt"]
        );
        fs::write(folder.join("d.txt"), " \n").unwrap();
        let error = Shelf::own(&folder, &lookup(place.path())).unwrap().books().unwrap_err();
        assert!(error.to_string().contains("d.txt: found an empty book"), "{error}");
    }
}
