//! A made-up language whose only long-range structure is a hidden mood.
//!
//! A document is a row of made-up words. One in four is a mood word: it comes from the bright or from the dark list, by
//! the document's mood nine times in ten. The other words say nothing. So who knows the mood predicts the mood words
//! better than who does not, by the same rare hints that real reviews give, and nothing else in a document reaches
//! further than a word. In the control the mood is drawn anew for each word: the same words as often, and nothing to
//! remember.

use common::rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng as _;
use serde::{Deserialize, Serialize};

/// Words of each list.
const LIST: usize = 12;
/// Words that say nothing.
const NEUTRAL: usize = 40;
/// Words of a document.
const WORDS: usize = 30;
/// One word in so many is a mood word.
const MOOD_EVERY: u64 = 4;
/// So many mood words of ten come from the document's own mood's list.
const FAITHFUL: u64 = 9;

/// Whether documents have a mood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Language {
    /// One mood a document.
    Mood,
    /// A mood of its own for each word.
    Control,
}

/// A document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its words between blanks.
    pub text: String,
    /// Its mood; in the control a coin that the words know nothing of.
    pub bright: bool,
    /// Mood words of the bright list less those of the dark list: all that can be known of the mood.
    pub balance: i32,
}

/// Document `index` of one of the two languages.
pub fn document(language: Language, index: u64) -> Document {
    let mut rng = rng::chacha(0, "mood", index);
    let mut below = |bound: u64| rng.next_u64() % bound;
    let bright = below(2) == 0;
    let mut balance = 0;
    let words: Vec<String> = (0..WORDS)
        .map(|_| {
            if below(MOOD_EVERY) > 0 {
                return word(2 * LIST + below(NEUTRAL as u64) as usize);
            }
            let faithful = below(10) < FAITHFUL;
            let mood = if language == Language::Mood { bright } else { below(2) == 0 };
            let from_bright = mood == faithful;
            balance += if from_bright { 1 } else { -1 };
            word(below(LIST as u64) as usize + if from_bright { 0 } else { LIST })
        })
        .collect();
    Document { text: words.join(" "), bright, balance }
}

/// A made-up word of two syllables: the bright list, the dark list, then the words that say nothing. All lists are drawn
/// in the same way, so that no letter gives a mood away.
fn word(index: usize) -> String {
    const CONSONANTS: &[u8] = b"bdfgklmnprstvz";
    const VOWELS: &[u8] = b"aeiou";
    let mut rng: ChaCha8Rng = rng::chacha(1, "mood words", index as u64);
    let mut one =
        |letters: &[u8]| char::from(letters[(rng.next_u64() % letters.len() as u64) as usize]);
    [one(CONSONANTS), one(VOWELS), one(CONSONANTS), one(VOWELS)].iter().collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn all_words_differ() {
        let n = 2 * LIST + NEUTRAL;
        assert_eq!((0..n).map(word).collect::<BTreeSet<_>>().len(), n);
    }

    #[test]
    fn the_balance_tells_the_mood_and_in_the_control_nothing_does() {
        let right = |language| {
            let documents = (0..2000).map(|i| document(language, i));
            let told = documents.filter(|d| d.balance != 0).map(|d| (d.balance > 0) == d.bright);
            let told: Vec<bool> = told.collect();
            told.iter().filter(|&&right| right).count() as f64 / told.len() as f64
        };
        assert!(right(Language::Mood) > 0.97, "{}", right(Language::Mood));
        assert!((right(Language::Control) - 0.5).abs() < 0.05, "{}", right(Language::Control));
    }

    #[test]
    fn both_languages_use_each_word_about_as_often() {
        let share = |language| {
            let text: String = (0..500).map(|i| document(language, i).text + " ").collect();
            text.split(' ').filter(|found| (0..LIST).any(|i| word(i) == *found)).count() as f64
        };
        let ratio = share(Language::Mood) / share(Language::Control);
        assert!((0.9..1.1).contains(&ratio), "{ratio}");
    }
}
