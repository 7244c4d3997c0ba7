//! Bags of n-grams: which words and pairs of words a text has, in whatever order. The plain baseline.

use std::collections::HashMap;

use super::features::Features;

/// The n-grams that a classifier knows.
#[derive(Clone, Debug)]
pub struct Bag {
    columns: HashMap<String, u32>,
    longest: usize,
}

impl Bag {
    /// The n-grams of 1 to `longest` words that are in at least `min_texts` of the training texts.
    pub fn new<S: AsRef<str>>(texts: &[S], longest: usize, min_texts: usize) -> Self {
        let mut seen: HashMap<String, (u32, usize)> = HashMap::new(); // first place, texts
        for text in texts {
            for gram in n_grams(text.as_ref(), longest) {
                let next = seen.len() as u32;
                seen.entry(gram).or_insert((next, 0)).1 += 1;
            }
        }
        let mut kept: Vec<(u32, String)> = seen
            .into_iter()
            .filter(|(_, (_, texts))| *texts >= min_texts)
            .map(|(gram, (first, _))| (first, gram))
            .collect();
        kept.sort_unstable();
        let columns = kept.into_iter().zip(0..).map(|((_, gram), column)| (gram, column)).collect();
        Self { columns, longest }
    }

    /// 1 where a text has the n-gram, else 0: `[texts, n-grams]`.
    pub fn features<S: AsRef<str>>(&self, texts: &[S]) -> Features {
        let mut columns: Vec<Vec<(u32, f32)>> = vec![Vec::new(); self.columns.len()];
        for (row, text) in texts.iter().enumerate() {
            for gram in n_grams(text.as_ref(), self.longest) {
                if let Some(&column) = self.columns.get(&gram) {
                    columns[column as usize].push((row as u32, 1.0));
                }
            }
        }
        Features::sparse(texts.len(), &columns)
    }

    /// How many n-grams.
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }
}

/// The different n-grams of a text, sorted.
fn n_grams(text: &str, longest: usize) -> Vec<String> {
    let words = words(text);
    let mut grams: Vec<String> =
        (1..=longest).flat_map(|n| words.windows(n).map(|some| some.join(" "))).collect();
    grams.sort_unstable();
    grams.dedup();
    grams
}

/// Lower-case words: runs of letters, digits and apostrophes; every other character that is no blank is a word too.
pub fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    for c in text.chars().flat_map(char::to_lowercase) {
        if c.is_alphanumeric() || c == '\'' {
            word.push(c);
            continue;
        }
        if !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if !c.is_whitespace() {
            words.push(c.to_string());
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_lower_case_and_punctuation_counts() {
        assert_eq!(words("Don't  STOP, élan2!"), ["don't", "stop", ",", "élan2", "!"]);
    }

    #[test]
    fn features_say_which_known_n_grams_a_text_has() {
        let bag = Bag::new(&["a good film", "a bad film", "good good film"], 2, 2);
        // In two texts or more: a, film, good, "good film".
        assert_eq!(bag.len(), 4);
        let features = bag.features(&["Good film film", "unknown a"]);
        let rows: Vec<Vec<f32>> = (0..4).map(|j| features.column(j)).collect();
        let column = |gram: &str| rows[bag.columns[gram] as usize].clone();
        assert_eq!(column("good film"), [1.0, 0.0]);
        assert_eq!(column("a"), [0.0, 1.0]);
        assert_eq!(rows.iter().flatten().filter(|&&x| x > 0.5).count(), 4);
    }
}
