//! `--exclude`: which rows of a table are left out.
//!
//! Comparisons of a column with a number or a word, `<`, `<=`, `>`, `>=`, `==` or `!=`, joined by
//! `and` (`&&`) and `or` (`||`); `and` binds closer. A column or word with blanks or signs in it
//! stands in quotation marks: `tokens < 1e8 or "data set" == owt2`.

use std::fmt;

/// An expression that is none, or that a table cannot answer.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ExcludeError {
    /// It cannot be read.
    #[error(
        "--exclude {text:?}: {found} where {wanted} was wanted; write for example \
         'tokens < 1e8 or seed == 3'"
    )]
    Syntax {
        /// The whole expression.
        text: String,
        /// What stands there.
        found: String,
        /// What should.
        wanted: &'static str,
    },
    /// A cell is no number, but is compared like one.
    #[error("--exclude: column {column:?} holds {found:?}, which is no number to compare")]
    NotANumber {
        /// The column.
        column: String,
        /// What the cell holds.
        found: String,
    },
}

/// A readable expression.
#[derive(Debug, Clone, PartialEq)]
pub struct Exclude {
    /// Any of these, each all of its comparisons.
    any: Vec<Vec<Comparison>>,
}

#[derive(Debug, Clone, PartialEq)]
struct Comparison {
    column: String,
    sign: Sign,
    with: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    Less,
    AtMost,
    More,
    AtLeast,
    Equal,
    Unequal,
}

const SIGNS: [(&str, Sign); 7] = [
    ("<=", Sign::AtMost),
    (">=", Sign::AtLeast),
    ("==", Sign::Equal),
    ("!=", Sign::Unequal),
    ("<", Sign::Less),
    (">", Sign::More),
    ("=", Sign::Equal),
];

#[derive(Debug, Clone, PartialEq)]
enum Word {
    Sign(Sign),
    And,
    Or,
    Text(String),
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sign(sign) => {
                let (text, _) = SIGNS.iter().find(|(_, s)| s == sign).expect("all are listed");
                f.write_str(text)
            }
            Self::And => f.write_str("and"),
            Self::Or => f.write_str("or"),
            Self::Text(text) => write!(f, "{text:?}"),
        }
    }
}

/// The words of an expression; None where a quotation mark is not closed.
fn words(text: &str) -> Option<Vec<Word>> {
    let (mut rest, mut words) = (text.trim_start(), vec![]);
    while !rest.is_empty() {
        let sign = SIGNS.iter().find(|(text, _)| rest.starts_with(text));
        let (word, length) = if let Some((text, sign)) = sign {
            (Word::Sign(*sign), text.len())
        } else if rest.starts_with("&&") {
            (Word::And, 2)
        } else if rest.starts_with("||") {
            (Word::Or, 2)
        } else if let Some(quote) = rest.chars().next().filter(|c| ['"', '\''].contains(c)) {
            let inner = &rest[1..];
            let end = inner.find(quote)?;
            (Word::Text(inner[..end].to_owned()), end + 2)
        } else {
            let stop = |c: char| c.is_whitespace() || "<>=!&|\"'".contains(c);
            let end = rest.find(stop).unwrap_or(rest.len()).max(1);
            let word = match &rest[..end] {
                "and" => Word::And,
                "or" => Word::Or,
                text => Word::Text(text.to_owned()),
            };
            (word, end)
        };
        words.push(word);
        rest = rest[length..].trim_start();
    }
    Some(words)
}

impl Exclude {
    /// Reads an expression.
    ///
    /// # Errors
    /// Says what stands where something else was wanted.
    pub fn parse(text: &str) -> Result<Self, ExcludeError> {
        let wrong = |found: Option<&Word>, wanted| ExcludeError::Syntax {
            text: text.to_owned(),
            found: found.map_or_else(|| "the end".to_owned(), ToString::to_string),
            wanted,
        };
        let words = words(text).ok_or_else(|| ExcludeError::Syntax {
            text: text.to_owned(),
            found: "the end".to_owned(),
            wanted: "a closing quotation mark",
        })?;
        let mut words = words.iter();
        let mut any = vec![vec![]];
        loop {
            let column = match words.next() {
                Some(Word::Text(column)) => column.clone(),
                other => return Err(wrong(other, "a column")),
            };
            let sign = match words.next() {
                Some(Word::Sign(sign)) => *sign,
                other => return Err(wrong(other, "one of < <= > >= == !=")),
            };
            let with = match words.next() {
                Some(Word::Text(with)) => with.clone(),
                other => return Err(wrong(other, "a number or a word")),
            };
            let ordered = !matches!(sign, Sign::Equal | Sign::Unequal);
            if ordered && with.parse::<f64>().is_err() {
                return Err(wrong(Some(&Word::Text(with)), "a number"));
            }
            any.last_mut().expect("it begins with one").push(Comparison { column, sign, with });
            match words.next() {
                None => return Ok(Self { any }),
                Some(Word::And) => {}
                Some(Word::Or) => any.push(vec![]),
                other => return Err(wrong(other, "and, or")),
            }
        }
    }

    /// The columns it asks for.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.any.iter().flatten().map(|comparison| comparison.column.as_str())
    }

    /// Whether a row is left out; `cell` gives a column's text.
    ///
    /// # Errors
    /// A cell that is no number where one is compared.
    pub fn holds<'a>(&self, cell: impl Fn(&str) -> &'a str) -> Result<bool, ExcludeError> {
        for all in &self.any {
            let mut holds = true;
            for comparison in all {
                holds = holds && comparison.holds(cell(&comparison.column))?;
            }
            if holds {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Comparison {
    fn holds(&self, cell: &str) -> Result<bool, ExcludeError> {
        let numbers = (cell.parse::<f64>().ok(), self.with.parse::<f64>().ok());
        let ordered = || {
            let found = || (self.column.clone(), cell.to_owned());
            numbers.0.zip(numbers.1).ok_or_else(|| {
                let (column, found) = found();
                ExcludeError::NotANumber { column, found }
            })
        };
        let same = match numbers {
            (Some(a), Some(b)) => a.total_cmp(&b).is_eq(),
            _ => cell == self.with,
        };
        Ok(match self.sign {
            Sign::Equal => same,
            Sign::Unequal => !same,
            Sign::Less => ordered().map(|(a, b)| a < b)?,
            Sign::AtMost => ordered().map(|(a, b)| a <= b)?,
            Sign::More => ordered().map(|(a, b)| a > b)?,
            Sign::AtLeast => ordered().map(|(a, b)| a >= b)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(text: &str, row: &[(&str, &str)]) -> bool {
        let cell = |name: &str| row.iter().find(|(column, _)| *column == name).unwrap().1;
        Exclude::parse(text).unwrap().holds(cell).unwrap()
    }

    #[test]
    fn comparisons_are_those_of_numbers_where_both_are_numbers() {
        let row = [("tokens", "2e9"), ("data set", "owt2"), ("n", "10")];
        for (text, wanted) in [
            ("tokens < 1e10", true),
            ("tokens<2e9", false),
            ("tokens<=2000000000", true),
            ("n > 9", true),
            ("n == 1e1", true),
            ("n = 10", true),
            ("n != 10", false),
            ("'data set' == owt2", true),
            ("\"data set\" != owt2", false),
        ] {
            assert_eq!(holds(text, &row), wanted, "{text}");
        }
    }

    #[test]
    fn and_binds_closer_than_or() {
        let row = [("a", "1"), ("b", "2")];
        assert!(holds("a == 1 or a == 2 and b == 3", &row));
        assert!(!holds("a == 2 || a == 1 && b == 3", &row));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (text, wanted) in [
            ("", "the end where a column was wanted"),
            ("tokens", "the end where one of < <= > >= == != was wanted"),
            ("tokens <", "the end where a number or a word was wanted"),
            ("tokens < many", "\"many\" where a number was wanted"),
            ("tokens < 1 loss > 3", "\"loss\" where and, or was wanted"),
            ("'tokens < 1", "the end where a closing quotation mark was wanted"),
        ] {
            let error = Exclude::parse(text).unwrap_err().to_string();
            assert!(error.contains(wanted), "expected {wanted}\ngot {error}");
        }
        let error = Exclude::parse("seed < 3").unwrap().holds(|_| "first").unwrap_err();
        assert!(error.to_string().contains("\"first\", which is no number"), "{error}");
    }
}
