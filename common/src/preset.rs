//! Presets: a TOML file whose comment header says what to expect, and `--set key=value` over it.
//!
//! A preset is read into a struct with `deny_unknown_fields`; an unknown key, in the file or in
//! `--set`, is an error that names the nearest key there is.

use serde::de::DeserializeOwned;
use toml::{Table, Value};

/// A preset that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PresetError {
    /// No preset of that name.
    #[error("--preset {name}: no such preset; there are {}{}", known.join(", "), did_you_mean(nearest.as_deref()))]
    Unknown {
        /// The name asked for.
        name: String,
        /// The presets there are.
        known: Vec<String>,
        /// The closest of them, if one is close.
        nearest: Option<String>,
    },
    /// `--set` without `=`.
    #[error("--set {0}: wanted key=value, e.g. --set train.lr=0.01")]
    Assignment(String),
    /// `--set a.b=…` where `a` is not a table.
    #[error("--set {key}: `{part}` holds a value, not a table of keys")]
    NotATable {
        /// The whole key.
        key: String,
        /// The part that is a plain value.
        part: String,
    },
    /// A value that no run can use.
    #[error("preset {preset}: {key} is {found}, wanted {wanted}")]
    Value {
        /// The preset's name.
        preset: String,
        /// The key, as `--set` takes it, or a flag.
        key: String,
        /// What it holds.
        found: String,
        /// What a run can use.
        wanted: &'static str,
    },
    /// A key or value that the configuration does not take.
    #[error("preset {preset}: {message}{hint}")]
    Config {
        /// The preset's name.
        preset: String,
        /// Where and what.
        message: String,
        /// When the key is unknown: keys deeper in the preset that end so, or the closest one.
        hint: String,
    },
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}

/// A preset as written, one of those a binary carries.
#[derive(Debug, Clone, Copy)]
pub struct Source {
    /// `smoke`, `laptop`, `overnight` or `paper`.
    pub name: &'static str,
    /// The file's text.
    pub text: &'static str,
}

impl Source {
    /// The preset of that name.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(sources: &[Self], name: &str) -> Result<Self, PresetError> {
        sources.iter().find(|source| source.name == name).copied().ok_or_else(|| {
            let known: Vec<String> = sources.iter().map(|source| source.name.into()).collect();
            let nearest = nearest(name, known.iter().map(String::as_str));
            PresetError::Unknown { name: name.into(), known, nearest }
        })
    }

    /// The comment lines that open the file, without their marks: the result and time to expect.
    pub fn header(&self) -> String {
        let lines = self.text.lines().take_while(|line| line.starts_with('#'));
        lines.map(|line| line.trim_start_matches('#').trim()).collect::<Vec<_>>().join("\n")
    }

    /// Reads the configuration with the `sets` (each `key=value`, keys dotted) laid over it.
    ///
    /// A value is read as TOML (`0.01`, `true`, `["a", "b"]`) and, where it is none, as a string.
    ///
    /// # Errors
    /// When a key is unknown, or a value has the wrong type.
    pub fn load<T: DeserializeOwned>(&self, sets: &[String]) -> Result<T, PresetError> {
        let config_error =
            |message: String, hint| PresetError::Config { preset: self.name.into(), message, hint };
        let mut table: Table = self
            .text
            .parse()
            .map_err(|error: toml::de::Error| config_error(error.to_string(), String::new()))?;
        let carried = table.clone();
        for set in sets {
            let (key, value) =
                set.split_once('=').ok_or_else(|| PresetError::Assignment(set.clone()))?;
            assign(&mut table, key.trim(), parse_value(value.trim()))?;
        }
        table.try_into().map_err(|error: toml::de::Error| {
            let message = error.to_string().trim_end().replace('\n', " ");
            let hint = hint(&message, &carried, sets);
            config_error(message, hint)
        })
    }
}

fn parse_value(text: &str) -> Value {
    let as_toml = format!("value = {text}").parse::<Table>();
    as_toml
        .ok()
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| Value::String(text.into()))
}

fn assign(table: &mut Table, key: &str, value: Value) -> Result<(), PresetError> {
    let mut parts: Vec<&str> = key.split('.').collect();
    let last = parts.pop().expect("split yields at least one part");
    let mut at = table;
    for part in parts {
        let next = at.entry(part).or_insert_with(|| Value::Table(Table::new()));
        at = next
            .as_table_mut()
            .ok_or_else(|| PresetError::NotATable { key: key.into(), part: part.into() })?;
    }
    // `lr=1` for a key that holds a float means 1.0.
    let value = match (at.get(last), value) {
        (Some(Value::Float(_)), Value::Integer(whole)) => Value::Float(whole as f64),
        (_, value) => value,
    };
    at.insert(last.into(), value);
    Ok(())
}

/// What may have been meant by the unknown key of serde's `message`: a key of `carried` that ends as one
/// of `sets` does, e.g. `train.lr` for `lr`, or else the closest where it was looked for.
fn hint(message: &str, carried: &Table, sets: &[String]) -> String {
    const SHOWN: usize = 4;
    if !message.contains("unknown") {
        return String::new();
    }
    let unknown = message.split('`').nth(1).unwrap_or_default();
    let mut all = Vec::new();
    keys(carried, "", &mut all);
    let mut set = sets.iter().filter_map(|set| Some(set.split_once('=')?.0.trim()));
    let ending =
        set.find(|key| key.split('.').any(|part| part == unknown)).map(|key| format!(".{key}"));
    let nested: Vec<String> = all
        .into_iter()
        .filter(|key| ending.as_ref().is_some_and(|ending| key.ends_with(ending)))
        .map(|key| format!("`{key}`"))
        .collect();
    if nested.is_empty() {
        return did_you_mean(nearest_in_message(message).as_deref());
    }
    let more = nested.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" or {more} others that end so") } else { String::new() };
    let shown = &nested[..nested.len().min(SHOWN)];
    format!("; did you mean {}{more}?", shown.join(" or "))
}

/// The dotted keys of all values in `table`, below `path`.
fn keys(table: &Table, path: &str, found: &mut Vec<String>) {
    for (key, value) in table {
        let path = format!("{path}{key}");
        match value {
            Value::Table(inner) => keys(inner, &format!("{path}."), found),
            _ => found.push(path),
        }
    }
}

/// serde's message lists the keys there are; finds the one closest to the unknown one.
fn nearest_in_message(message: &str) -> Option<String> {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let (unknown, known) = quoted.split_first()?;
    message.contains("unknown").then(|| nearest(unknown, known.iter().copied()))?
}

/// The candidate closest to `name`, if it is close enough to be a slip of the finger.
pub fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<String> {
    candidates
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate.to_owned())
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Config {
        epochs: u64,
        train: Train,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Train {
        lr: f64,
        lrs: Vec<f64>,
        activation: String,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Tables {
        #[expect(dead_code, reason = "only read")]
        t: Table,
    }

    const SOURCE: Source = Source {
        name: "smoke",
        text: "# Expect 3 % in 2 s.\n# Second line.\nepochs = 2\n\
               [train]\nlr = 0.1 # paper: same\nlrs = [0.1]\nactivation = 'relu'\n",
    };

    fn load(sets: &[&str]) -> Result<Config, String> {
        let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
        SOURCE.load(&sets).map_err(|error| error.to_string())
    }

    #[test]
    fn the_header_is_the_leading_comment() {
        assert_eq!(SOURCE.header(), "Expect 3 % in 2 s.\nSecond line.");
    }

    #[test]
    fn set_replaces_values_of_every_kind() {
        let config =
            load(&["epochs=5", "train.lr=1", "train.lrs=[0.2, 0.3]", "train.activation=tanh"]);
        let train = Train { lr: 1.0, lrs: vec![0.2, 0.3], activation: "tanh".into() };
        assert_eq!(config, Ok(Config { epochs: 5, train }));
    }

    #[test]
    fn an_unknown_key_names_the_nearest() {
        for (set, wanted) in [("epoch=5", "`epochs`"), ("train.activatoin=x", "`activation`")] {
            let error = load(&[set]).unwrap_err();
            assert!(error.contains(&format!("did you mean {wanted}")), "{error}");
        }
    }

    #[test]
    fn a_key_without_the_tables_it_is_in_names_where_it_is() {
        let error = load(&["lr=0.1"]).unwrap_err();
        assert!(error.contains("did you mean `train.lr`?"), "{error}");
        let tables: Vec<String> = (0..6).map(|i| format!("[t.{i}]\nbatch = 1\n")).collect();
        let source = Source { name: "smoke", text: tables.concat().leak() };
        let error = source.load::<Tables>(&["batch=2".to_owned()]).unwrap_err().to_string();
        let wanted = "`t.0.batch` or `t.1.batch` or `t.2.batch` or `t.3.batch` or 2 others";
        assert!(error.contains(wanted), "{error}");
    }

    #[test]
    fn wrong_types_and_forms_are_errors_that_say_what_was_wanted() {
        assert!(load(&["epochs"]).unwrap_err().contains("key=value"));
        assert!(load(&["epochs.x=1"]).unwrap_err().contains("`epochs` holds a value"));
        let error = load(&["train.lr=fast"]).unwrap_err();
        assert!(error.contains("fast") && error.contains("lr"), "{error}");
    }

    #[test]
    fn an_unknown_preset_lists_those_there_are() {
        let error = Source::find(&[SOURCE], "smok").unwrap_err().to_string();
        assert!(error.contains("there are smoke") && error.contains("did you mean"), "{error}");
    }
}
