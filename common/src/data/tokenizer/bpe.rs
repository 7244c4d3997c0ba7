//! Byte-pair encoding of single words, over characters, with `</w>` at the end of a word.
//!
//! Source: Sennrich, Haddow, Birch 2016, as in openai/finetune-transformer-lm, `text_utils.py`: of all
//! neighbours in a word the pair that was learned first is joined wherever it stands, from left to
//! right, until no learned pair is left.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use ledger::run::hex;
use sha2::{Digest, Sha256};

/// Marks the last piece of a word.
pub(super) const END_OF_WORD: &str = "</w>";

/// The token for characters that the vocabulary lacks.
pub(super) const UNKNOWN: &str = "<unk>";

/// A character that the vocabulary lacks, while its word is being joined.
const NO_TOKEN: u32 = u32::MAX;

/// No neighbour.
const NONE: usize = usize::MAX;

/// A vocabulary and its merges.
#[derive(Debug)]
pub(super) struct Bpe {
    /// Texts by id.
    tokens: Vec<Box<str>>,
    /// Pairs of ids in the order learned.
    merges: Vec<(u32, u32)>,
    /// The rank of a pair and the id that it makes.
    joins: HashMap<(u32, u32), (u32, u32), ahash::RandomState>,
    /// Ids of a character within and at the end of a word; [`NO_TOKEN`] where there is none.
    characters: HashMap<char, [u32; 2], ahash::RandomState>,
    unknown: u32,
}

/// A merge whose halves or whole are not in the vocabulary.
#[derive(Debug)]
pub(super) struct Unfit {
    /// Which merge, from 0.
    pub index: usize,
    /// The text that is missing.
    pub missing: String,
}

impl Bpe {
    /// From the texts by id, one of which is `<unk>`, and the merges in the order learned.
    pub(super) fn new(tokens: Vec<Box<str>>, merges: &[(String, String)]) -> Result<Self, Unfit> {
        let ids: HashMap<&str, u32> =
            tokens.iter().enumerate().map(|(id, text)| (&**text, id as u32)).collect();
        let id = |index: usize, text: &str| {
            ids.get(text).copied().ok_or_else(|| Unfit { index, missing: text.to_owned() })
        };
        let mut pairs = Vec::with_capacity(merges.len());
        let mut joins = HashMap::default();
        for (rank, (left, right)) in merges.iter().enumerate() {
            let pair = (id(rank, left)?, id(rank, right)?);
            // A pair that is listed twice counts where it stands last, as in the original's table.
            joins.insert(pair, (rank as u32, id(rank, &format!("{left}{right}"))?));
            pairs.push(pair);
        }
        let mut characters = HashMap::default();
        for (text, &id) in &ids {
            let (rest, place) = text.strip_suffix(END_OF_WORD).map_or((*text, 0), |rest| (rest, 1));
            let mut chars = rest.chars();
            if let (Some(c), None) = (chars.next(), chars.next()) {
                characters.entry(c).or_insert([NO_TOKEN; 2])[place] = id;
            }
        }
        let unknown = ids.get(UNKNOWN).copied().expect("the caller has seen to `<unk>`");
        Ok(Self { tokens, merges: pairs, joins, characters, unknown })
    }

    /// Appends the ids of `word`, which is not empty.
    pub(super) fn encode_word(&self, word: &str, out: &mut Vec<u32>) {
        let mut pieces = self.characters_of(word);
        self.join(&mut pieces);
        let ids = pieces.iter().filter(|piece| piece.alive).map(|piece| piece.id);
        out.extend(ids.map(|id| if id == NO_TOKEN { self.unknown } else { id }));
    }

    fn characters_of(&self, word: &str) -> Vec<Piece> {
        let last = word.char_indices().next_back().map_or(0, |(at, _)| at);
        let ids = word.char_indices().map(|(at, c)| {
            self.characters.get(&c).map_or(NO_TOKEN, |ids| ids[usize::from(at == last)])
        });
        let mut pieces: Vec<_> = ids
            .enumerate()
            .map(|(i, id)| Piece { id, before: i.wrapping_sub(1), after: i + 1, alive: true })
            .collect();
        if let Some(piece) = pieces.last_mut() {
            piece.after = NONE;
        }
        pieces
    }

    /// Joins pairs in place: in the order of ranks, and of one rank from left to right. Takes
    /// n log n steps, so that a "word" of a million letters is no trap.
    fn join(&self, pieces: &mut [Piece]) {
        let mut queue = BinaryHeap::new();
        for at in 0..pieces.len() {
            self.look(pieces, at, &mut queue);
        }
        let mut fresh = Vec::new();
        while let Some(&Reverse((rank, ..))) = queue.peek() {
            while let Some(&Reverse(found @ (found_rank, at, pair, joined))) = queue.peek()
                && found_rank == rank
            {
                debug_assert_eq!(found.0, rank);
                queue.pop();
                let Piece { id, after, alive, .. } = pieces[at];
                if !alive || after == NONE || (id, pieces[after].id) != pair {
                    continue; // one of the two has been joined to something else
                }
                pieces[at].id = joined;
                pieces[at].after = pieces[after].after;
                pieces[after].alive = false;
                if let Some(next) = pieces.get_mut(pieces[at].after) {
                    next.before = at;
                }
                fresh.push(at);
            }
            // New pairs wait until this rank is done everywhere, whatever their own rank.
            for at in fresh.drain(..).filter(|&at| pieces[at].alive) {
                self.look(pieces, at, &mut queue);
                if pieces[at].before != NONE {
                    self.look(pieces, pieces[at].before, &mut queue);
                }
            }
        }
    }

    /// Queues the pair that begins at `at`, if it was learned.
    fn look(&self, pieces: &[Piece], at: usize, queue: &mut Queue) {
        let Some(next) = pieces.get(pieces[at].after) else { return };
        let pair = (pieces[at].id, next.id);
        if let Some(&(rank, joined)) = self.joins.get(&pair) {
            queue.push(Reverse((rank, at, pair, joined)));
        }
    }

    /// Texts by id.
    pub(super) fn tokens(&self) -> &[Box<str>] {
        &self.tokens
    }

    /// Pairs of texts in the order learned.
    pub(super) fn merges(&self) -> impl Iterator<Item = (&str, &str)> {
        self.merges.iter().map(|&(a, b)| (&*self.tokens[a as usize], &*self.tokens[b as usize]))
    }

    /// The id of `<unk>`.
    pub(super) fn unknown(&self) -> u32 {
        self.unknown
    }

    /// sha256 over tokens and merges.
    pub(super) fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for token in &self.tokens {
            hash.update((token.len() as u64).to_le_bytes());
            hash.update(token.as_bytes());
        }
        for (left, right) in &self.merges {
            hash.update(left.to_le_bytes());
            hash.update(right.to_le_bytes());
        }
        hex(&hash.finalize())
    }
}

/// What is waiting to be joined: rank, place of the first half, the pair, what it makes.
type Queue = BinaryHeap<Reverse<(u32, usize, (u32, u32), u32)>>;

/// A piece of a word in a doubly linked list.
#[derive(Clone, Copy)]
struct Piece {
    id: u32,
    before: usize,
    after: usize,
    alive: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bpe(tokens: &[&str], merges: &[(&str, &str)]) -> Bpe {
        let merges: Vec<_> = merges.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect();
        Bpe::new(tokens.iter().map(|&t| t.into()).collect(), &merges).unwrap()
    }

    fn texts<'a>(bpe: &'a Bpe, word: &str) -> Vec<&'a str> {
        let mut ids = Vec::new();
        bpe.encode_word(word, &mut ids);
        ids.iter().map(|&id| &*bpe.tokens[id as usize]).collect()
    }

    /// The definition, word by word: join the lowest rank everywhere, begin again.
    fn plain(merges: &[(&str, &str)], word: &str) -> Vec<String> {
        let mut pieces: Vec<String> = word.chars().map(String::from).collect();
        pieces.last_mut().unwrap().push_str(END_OF_WORD);
        loop {
            let best = merges
                .iter()
                .find(|(a, b)| pieces.windows(2).any(|pair| pair[0] == *a && pair[1] == *b));
            let Some((a, b)) = best else { return pieces };
            let mut at = 0;
            while at + 1 < pieces.len() {
                if pieces[at] == *a && pieces[at + 1] == *b {
                    let right = pieces.remove(at + 1);
                    pieces[at].push_str(&right);
                }
                at += 1;
            }
        }
    }

    const TOKENS: [&str; 14] = [
        "<unk>", "a", "b", "c", "a</w>", "b</w>", "c</w>", "ab", "aa", "aab", "bc</w>", "ba",
        "bab", "caa",
    ];
    // The sixth makes `aab` before the pair that it takes apart has been joined everywhere.
    const MERGES: [(&str, &str); 7] =
        [("b", "a"), ("a", "a"), ("b", "c</w>"), ("a", "b"), ("ba", "b"), ("a", "ab"), ("c", "aa")];

    #[test]
    fn joining_by_queue_equals_joining_the_lowest_rank_everywhere() {
        let bpe = bpe(&TOKENS, &MERGES);
        for n in 0..3_usize.pow(8) {
            let word: String =
                (0..8).map(|i| ['a', 'b', 'c'][n / 3_usize.pow(i) % 3]).skip(n % 7).collect();
            assert_eq!(texts(&bpe, &word), plain(&MERGES, &word), "{word}");
        }
    }

    #[test]
    fn an_unknown_character_is_unk_and_splits_its_word() {
        let bpe = bpe(&TOKENS, &MERGES);
        assert_eq!(texts(&bpe, "aa?ab"), ["aa", "<unk>", "a", "b</w>"]);
        assert_eq!(texts(&bpe, "☃"), ["<unk>"]);
    }

    #[test]
    fn a_word_of_a_million_letters_is_encoded() {
        // Searching the whole word for each merge would take hours.
        let bpe = bpe(&TOKENS, &MERGES);
        let mut ids = Vec::new();
        bpe.encode_word(&"abcaab".repeat(170_000), &mut ids);
        assert!(ids.len() > 100_000, "{}", ids.len());
    }

    #[test]
    fn a_merge_that_the_vocabulary_lacks_is_named() {
        let tokens: Vec<Box<str>> = vec!["<unk>".into(), "a".into(), "b".into()];
        let unfit = Bpe::new(tokens, &[("a".into(), "b".into())]).unwrap_err();
        assert_eq!((unfit.index, &*unfit.missing), (0, "ab"));
    }
}
