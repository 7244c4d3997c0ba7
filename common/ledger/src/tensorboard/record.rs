//! Frames data as records with sums, and takes a file apart again.

use super::crc32c::masked;

/// Bytes before the data: its length and the length's sum.
const HEAD: usize = 12;
/// Bytes after the data: its sum.
const FOOT: usize = 4;

/// One record of a file.
pub(super) struct Record<'a> {
    /// Where the record begins in the file.
    pub(super) offset: usize,
    /// The record as it stands in the file.
    pub(super) framed: &'a [u8],
    /// What it carries.
    pub(super) data: &'a [u8],
}

/// How a file ends after its whole records.
pub(super) enum Tail {
    /// With the last record.
    Clean,
    /// With the beginning of a record, or with the zeros a power cut leaves.
    Torn,
    /// With bytes that are no record.
    Damaged { offset: usize, what: &'static str },
}

/// `data` as one record.
pub(super) fn frame(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let mut bytes = Vec::with_capacity(HEAD + data.len() + FOOT);
    bytes.extend_from_slice(&length);
    bytes.extend_from_slice(&masked(&length).to_le_bytes());
    bytes.extend_from_slice(data);
    bytes.extend_from_slice(&masked(data).to_le_bytes());
    bytes
}

/// The whole records of a file, and what follows them.
pub(super) fn records(bytes: &[u8]) -> (Vec<Record<'_>>, Tail) {
    let mut found = Vec::new();
    let mut offset = 0;
    let tail = loop {
        let rest = &bytes[offset..];
        if rest.is_empty() {
            break Tail::Clean;
        }
        if rest.len() < HEAD || rest.iter().all(|&b| b == 0) {
            break Tail::Torn;
        }
        let (length, sum) = rest[..HEAD].split_at(8);
        if sum != masked(length).to_le_bytes() {
            break Tail::Damaged { offset, what: "a record whose length does not match its sum" };
        }
        let length = u64::from_le_bytes(length.try_into().expect("split at 8")) as usize;
        let Some(framed) = length.checked_add(HEAD + FOOT).and_then(|n| rest.get(..n)) else {
            break Tail::Torn;
        };
        let (data, sum) = framed[HEAD..].split_at(length);
        if sum != masked(data).to_le_bytes() {
            let last = framed.len() == rest.len();
            let what = "a record whose data does not match its sum";
            break if last { Tail::Torn } else { Tail::Damaged { offset, what } };
        }
        found.push(Record { offset, framed, data });
        offset += framed.len();
    };
    (found, tail)
}
