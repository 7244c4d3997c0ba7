//! How large published files may be: a repository is cloned by everyone who only wants to read it.

use std::collections::BTreeMap;
use std::fmt;

use crate::plot::MAX_SVG_BYTES;
use crate::report::bytes;

/// A raw output, e.g. `predictions.csv.gz`.
pub const RAW: u64 = 1_000_000;
/// A figure as SVG.
pub const SVG: u64 = MAX_SVG_BYTES as u64;
/// All weights (`*.safetensors`) of an experiment.
pub const WEIGHTS: u64 = 10_000_000;
/// Everything published.
pub const WHOLE: u64 = 80_000_000;

/// Something larger than its limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excess {
    /// The file, or what the sum is over.
    pub what: String,
    /// Its size in bytes.
    pub found: u64,
    /// The limit in bytes.
    pub limit: u64,
    /// What to do about it.
    pub way_out: &'static str,
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, found, limit, way_out } = self;
        let (found, limit) = (bytes(*found), bytes(*limit));
        write!(f, "{what}: {found}, at most {limit} may be published; {way_out}")
    }
}

/// What is too large among files with these places and sizes. The pages at the top are written by
/// `report`, hold every figure, and count in the whole only.
pub fn excess(sizes: &BTreeMap<String, u64>) -> Vec<Excess> {
    let mut found = Vec::new();
    let mut weights: BTreeMap<&str, u64> = BTreeMap::new();
    for (file, &size) in sizes {
        let Some((experiment, _)) = file.split_once('/') else { continue };
        let (limit, way_out) = match file.rsplit_once('.').map(|(_, suffix)| suffix) {
            Some("safetensors") => {
                *weights.entry(experiment).or_default() += size;
                continue;
            }
            Some("svg") => (SVG, "draw fewer series or split the figure"),
            _ => (RAW, "have the study write less of it, or gzip it"),
        };
        if size > limit {
            found.push(Excess { what: file.clone(), found: size, limit, way_out });
        }
    }
    for (experiment, size) in weights.into_iter().filter(|(_, size)| *size > WEIGHTS) {
        let below = format!("{experiment}/");
        let of_it = |file: &str| file.starts_with(&below) && file.ends_with(".safetensors");
        found.push(Excess {
            what: format!("{experiment}/**/*.safetensors ({})", largest(sizes, of_it)),
            found: size,
            limit: WEIGHTS,
            way_out: "publish the weights of fewer runs, or of smaller models",
        });
    }
    let whole = sizes.values().sum();
    if whole > WHOLE {
        found.push(Excess {
            what: format!("all published files ({})", largest(sizes, |_| true)),
            found: whole,
            limit: WHOLE,
            way_out: "publish fewer runs, or have the studies write less",
        });
    }
    found
}

/// Names the largest of some files.
fn largest(sizes: &BTreeMap<String, u64>, of: impl Fn(&str) -> bool) -> String {
    let largest = sizes.iter().filter(|(file, _)| of(file)).max_by_key(|(_, size)| **size);
    largest.map_or("none".into(), |(file, size)| format!("the largest is {file}, {}", bytes(*size)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(sizes: &[(&str, u64)]) -> Vec<u64> {
        let sizes = sizes.iter().map(|(file, size)| ((*file).to_owned(), *size)).collect();
        excess(&sizes).iter().map(|e| e.limit).collect()
    }

    #[test]
    fn each_limit_holds_at_its_value_and_not_one_byte_above() {
        let at_each = [("a/x.csv", RAW), ("a/x.svg", SVG), ("a/x.safetensors", WEIGHTS)];
        assert!(found(&at_each).is_empty());
        assert_eq!(found(&[("a/p/x.csv", RAW + 1)]), [RAW]);
        assert_eq!(found(&[("a/p/x.svg", SVG + 1)]), [SVG]);
        assert_eq!(found(&[("a/x.safetensors", WEIGHTS), ("a/y.safetensors", 1)]), [WEIGHTS]);
        assert!(found(&[("a/x.safetensors", WEIGHTS), ("ab/y.safetensors", 1)]).is_empty());
        assert!(found(&[("index.html", WHOLE)]).is_empty());
        assert_eq!(found(&[("index.html", WHOLE), ("a/x.csv", 1)]), [WHOLE]);
    }
}
