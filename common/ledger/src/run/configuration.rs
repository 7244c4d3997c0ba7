//! Configurations compared: one digest whatever the order of keys, and in what two of them differ.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;
use sha2::{Digest, Sha256};

/// sha256 of a configuration, independent of the order its keys were written in.
pub fn digest(config: &Value) -> String {
    let mut canonical = String::new();
    write_canonical(config, &mut canonical);
    hex(&Sha256::digest(canonical.as_bytes()))
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        write!(out, "{byte:02x}").expect("writing to a string");
        out
    })
}

fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let sorted: BTreeMap<_, _> = map.iter().collect();
            out.push('{');
            for (key, value) in sorted {
                let _ = write!(out, "{key:?}:");
                write_canonical(value, out);
                out.push(',');
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for item in items {
                write_canonical(item, out);
                out.push(',');
            }
            out.push(']');
        }
        plain => {
            let _ = write!(out, "{plain}");
        }
    }
}

/// The keys in which two configurations differ, each as `key (a → b)`.
pub fn differences(a: &Value, b: &Value) -> Vec<String> {
    fn flatten(prefix: &str, value: &Value, out: &mut BTreeMap<String, String>) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    let dot = if prefix.is_empty() { "" } else { "." };
                    flatten(&format!("{prefix}{dot}{key}"), value, out);
                }
            }
            plain => {
                out.insert(prefix.to_owned(), plain.to_string());
            }
        }
    }
    let (mut left, mut right) = (BTreeMap::new(), BTreeMap::new());
    flatten("", a, &mut left);
    flatten("", b, &mut right);
    let keys: std::collections::BTreeSet<_> = left.keys().chain(right.keys()).collect();
    let absent = || "absent".to_owned();
    keys.into_iter()
        .filter(|key| left.get(*key) != right.get(*key))
        .map(|key| {
            let show = |side: &BTreeMap<_, _>| side.get(key).cloned().unwrap_or_else(absent);
            format!("{key} ({} → {})", show(&left), show(&right))
        })
        .collect()
}
