//! Damaged files: whole ones with a few edits, drawn by proptest, and a reader that must survive them.

use std::fs;
use std::path::Path;

use peak_alloc::PeakAlloc;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// What one reading of a file of a few kilobytes may hold in memory, where nothing else is said: 64 MiB.
const MOST_MEMORY: usize = 64 << 20;

/// What breaks readers more often than chance: lengths at their limits, numbers that are none, deep nesting.
const PIECES: [&[u8]; 20] = [
    b"\0",
    b"\xff\xff\xff\xff",
    b"\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"\x80\0\0\0",
    b"\n",
    b",",
    b"\"",
    b"\t",
    b"-1",
    b"0",
    b"1e999",
    b"NaN",
    b"18446744073709551616",
    b"null",
    b"{}",
    b"\\u0000",
    b"\xf0\x9f\x98",
    b"../",
    b"[[[[[[[[[[[[[[[[",
    b"{\"a\":",
];

/// One change of a file.
#[derive(Debug, Clone)]
enum Edit {
    Flip { at: Index, bit: u8 },
    Set { at: Index, byte: u8 },
    Insert { at: Index, piece: usize, times: usize },
    Overwrite { at: Index, piece: usize },
    Remove { from: Index, to: Index },
    Repeat { from: Index, to: Index },
    End { at: Index },
}

impl Edit {
    fn any() -> impl Strategy<Value = Self> {
        let at = any::<Index>;
        let piece = || 0..PIECES.len();
        prop_oneof![
            4 => (at(), 0..8_u8).prop_map(|(at, bit)| Self::Flip { at, bit }),
            4 => (at(), any::<u8>()).prop_map(|(at, byte)| Self::Set { at, byte }),
            2 => (at(), piece(), prop_oneof![9 => Just(1), 1 => 1..200_usize])
                .prop_map(|(at, piece, times)| Self::Insert { at, piece, times }),
            3 => (at(), piece()).prop_map(|(at, piece)| Self::Overwrite { at, piece }),
            1 => (at(), at()).prop_map(|(from, to)| Self::Remove { from, to }),
            1 => (at(), at()).prop_map(|(from, to)| Self::Repeat { from, to }),
            1 => at().prop_map(|at| Self::End { at }),
        ]
    }

    fn apply(&self, file: &mut Vec<u8>) {
        if file.is_empty() {
            return;
        }
        let place = |index: &Index, file: &[u8]| index.index(file.len());
        let range = |from: &Index, to: &Index, file: &[u8]| {
            let [a, b] = [place(from, file), place(to, file)];
            a.min(b)..a.max(b) + 1
        };
        match self {
            Self::Flip { at, bit } => {
                let at = place(at, file);
                file[at] ^= 1 << bit;
            }
            Self::Set { at, byte } => {
                let at = place(at, file);
                file[at] = *byte;
            }
            Self::Insert { at, piece, times } => {
                let at = place(at, file);
                file.splice(at..at, PIECES[*piece].repeat(*times));
            }
            Self::Overwrite { at, piece } => {
                let at = place(at, file);
                let end = (at + PIECES[*piece].len()).min(file.len());
                file.splice(at..end, PIECES[*piece].iter().copied());
            }
            Self::Remove { from, to } => {
                let range = range(from, to, file);
                file.drain(range);
            }
            Self::Repeat { from, to } => {
                let range = range(from, to, file);
                let (end, copy) = (range.end, file[range].to_vec());
                file.splice(end..end, copy);
            }
            Self::End { at } => {
                let at = place(at, file);
                file.truncate(at);
            }
        }
    }
}

/// One of the files `whole` with up to five changes, or any few bytes at all.
fn damaged(whole: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let edited = (prop::sample::select(whole), prop::collection::vec(Edit::any(), 1..6));
    let edited = edited.prop_map(|(mut file, edits)| {
        for edit in &edits {
            edit.apply(&mut file);
        }
        file
    });
    prop_oneof![15 => edited, 1 => prop::collection::vec(any::<u8>(), 0..200)]
}

/// Shows `read` damaged forms of the files `whole`, each a few kilobytes. Whatever it says of them, it must come back
/// without a panic and without having held more than 64 MiB.
///
/// `PROPTEST_CASES` says how many; 256 where it is not set. A failure prints the smallest file that was found.
#[track_caller]
pub fn survives(whole: &[Vec<u8>], read: impl Fn(&[u8])) {
    survives_within(MOST_MEMORY, whole, read);
}

/// As [`survives`], where a damaged file may claim up to `most_memory` bytes; a whole one still takes at most 64 MiB.
#[track_caller]
pub fn survives_within(most_memory: usize, whole: &[Vec<u8>], read: impl Fn(&[u8])) {
    let config = Config { failure_persistence: None, ..Config::default() };
    let held = |bytes: &[u8]| {
        let before = ALLOCATOR.current_usage();
        ALLOCATOR.reset_peak_usage();
        read(bytes);
        ALLOCATOR.peak_usage().saturating_sub(before)
    };
    for file in whole {
        assert!(
            held(file) <= MOST_MEMORY,
            "a whole file already takes more than {MOST_MEMORY} bytes"
        );
    }
    let found = TestRunner::new(config).run(&damaged(whole.to_vec()), |file| {
        let most = held(&file);
        if most > most_memory {
            let what = format!("{most} bytes of memory for a file of {}", file.len());
            return Err(TestCaseError::fail(what));
        }
        Ok(())
    });
    if let Err(error) = found {
        panic!("{error}");
    }
}

/// As [`survives`], for a reader of the file called `name`; what else it needs lies in `folder`.
#[track_caller]
pub fn survives_file(folder: &Path, name: &str, whole: &[Vec<u8>], read: impl Fn(&Path)) {
    let path = folder.join(name);
    survives(whole, |bytes| {
        fs::write(&path, bytes).unwrap();
        read(&path);
    });
    fs::remove_file(&path).unwrap();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "index out of bounds")]
    fn finds_a_reader_that_trusts_a_length() {
        survives(&[vec![3, 1, 2, 3, 4]], |file| {
            if let Some((&n, rest)) = file.split_first() {
                let _ = rest.is_empty() || rest[usize::from(n)] == 4;
            }
        });
    }

    #[test]
    #[should_panic(expected = "bytes of memory")]
    fn finds_a_reader_that_makes_room_before_it_looks() {
        survives(&[vec![0, 0, 0, 3, 1, 2, 3]], |file| {
            if let Some((n, _)) = file.split_first_chunk::<4>() {
                drop(Vec::<u8>::with_capacity(u32::from_be_bytes(*n) as usize));
            }
        });
    }
}
