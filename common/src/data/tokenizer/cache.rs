//! The ids of spans that have been seen, shared by all threads.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

/// Threads that want different spans seldom wait for each other with so many parts.
const N_PARTS: usize = 64;

/// Of each part; about 100 MB in all for the spans of ordinary text.
const MOST_SPANS: usize = (1 << 20) / N_PARTS;

/// A longer span is not kept: it is not likely to come back.
const LONGEST_SPAN: usize = 64;

type Part = HashMap<Box<str>, Box<[u32]>, ahash::RandomState>;

/// Ids by span.
#[derive(Debug)]
pub(super) struct Cache {
    parts: Vec<RwLock<Part>>,
    hash: ahash::RandomState,
}

impl Cache {
    pub(super) fn new() -> Self {
        let parts = (0..N_PARTS).map(|_| RwLock::default()).collect();
        Self { parts, hash: ahash::RandomState::new() }
    }

    /// Appends the ids of `span` to `out`; `make` appends them when they are not known yet.
    pub(super) fn append(&self, span: &str, out: &mut Vec<u32>, make: impl FnOnce(&mut Vec<u32>)) {
        let part = &self.parts[self.hash.hash_one(span) as usize % N_PARTS];
        if let Some(ids) = part.read().unwrap_or_else(PoisonError::into_inner).get(span) {
            out.extend_from_slice(ids);
            return;
        }
        let begin = out.len();
        make(out);
        if span.len() <= LONGEST_SPAN {
            let mut part = part.write().unwrap_or_else(PoisonError::into_inner);
            if part.len() < MOST_SPANS {
                part.insert(span.into(), out[begin..].into());
            }
        }
    }
}
