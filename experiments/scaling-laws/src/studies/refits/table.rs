//! A published table of runs: where its file lies, which rows count, what its authors found.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use common::data::catalog::Catalog;
use common::data::error::DataError;
use common::data::lookup::Lookup;
use common::data::text::input::each_file;
use serde::{Deserialize, Serialize};

use crate::exclude::Exclude;
use crate::fit::{Form, Point};
use crate::studies::DELTA;
use crate::table::{Column, Variables, read_from};

/// A table of runs. One of your own takes `name`, `file` and the columns that are called otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Its name in paths.
    pub name: String,
    /// The set of the catalogue that has the file; without one, `file` is a path.
    pub set: Option<String>,
    /// The file, CSV or a JSON object a line, packed or not.
    pub file: PathBuf,
    /// Column of parameters.
    #[serde(default = "params")]
    pub params: String,
    /// Column of tokens.
    #[serde(default = "tokens")]
    pub tokens: String,
    /// Column of losses.
    #[serde(default = "loss")]
    pub loss: String,
    /// Rows left out, as `fit --exclude` takes them.
    pub exclude: Option<String>,
    /// The law that its authors fit.
    #[serde(default = "form")]
    pub form: Form,
    /// Huber's delta, in log loss.
    #[serde(default = "delta")]
    pub delta: f64,
    /// Of runs planned at equal compute, `6·N·D` to a tenth: the standard deviation of a loss over
    /// seeds, in nats, with which the best sizes are found as in [`crate::frontier::isoflop`].
    pub seed_noise: Option<f64>,
    /// The authors' own constants, by key of the form or `a`, the exponent of the best size.
    #[serde(default)]
    pub authors: BTreeMap<String, f64>,
    /// The claims that these constants answer, by the same keys.
    #[serde(default)]
    pub claims: BTreeMap<String, String>,
}

fn params() -> String {
    "params".to_owned()
}

fn tokens() -> String {
    "tokens".to_owned()
}

fn loss() -> String {
    "loss".to_owned()
}

fn form() -> Form {
    Form::Hoffmann
}

fn delta() -> f64 {
    DELTA
}

impl Table {
    /// Where its file lies; None where its set cannot be had here.
    pub(super) fn find(&self, lookup: &Lookup) -> anyhow::Result<Option<PathBuf>> {
        let Some(set) = &self.set else { return Ok(Some(self.file.clone())) };
        match Catalog::builtin().locate(set, lookup) {
            Ok(located) => {
                let name = self.file.to_string_lossy();
                let found = located.files.into_iter().find(|file| file.name == name);
                let found = found.with_context(|| format!("the set {set} has no file {name}"))?;
                Ok(Some(found.path))
            }
            Err(DataError::Unavailable { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The runs of its file at `path`, less those that it leaves out.
    pub(super) fn points(&self, path: &Path) -> anyhow::Result<Vec<Point>> {
        let mut bytes = Vec::new();
        each_file(path, &|_| true, &mut |lines| {
            bytes.append(&mut lines.rest()?);
            Ok(())
        })?;
        let column = |name: &str, flag| Column { name: name.to_owned(), flag };
        let variables = Variables::ParamsTokens(
            column(&self.params, "params in the preset"),
            column(&self.tokens, "tokens in the preset"),
        );
        let exclude = self.exclude.as_deref().map(Exclude::parse).transpose()?;
        let loss = column(&self.loss, "loss in the preset");
        let as_json = path.to_string_lossy().contains(".jsonl");
        let text = if as_json { csv_of_json_lines(path, &bytes)? } else { bytes };
        Ok(read_from(path, text.as_slice(), &variables, &loss, exclude.as_ref())?)
    }
}

/// A table of JSON objects, one a line, as CSV with the first object's keys.
fn csv_of_json_lines(path: &Path, bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    type Object = serde_json::Map<String, serde_json::Value>;
    let mut out = csv::Writer::from_writer(Vec::new());
    let mut keys: Vec<String> = Vec::new();
    for (i, line) in String::from_utf8_lossy(bytes).lines().enumerate() {
        let place = || format!("{}, line {}: wanted a JSON object", path.display(), i + 1);
        let object: Object = serde_json::from_str(line).with_context(place)?;
        if keys.is_empty() {
            keys = object.keys().cloned().collect();
            out.write_record(&keys)?;
        }
        let cell = |key: &String| match object.get(key) {
            Some(serde_json::Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => String::new(),
        };
        out.write_record(keys.iter().map(cell))?;
    }
    Ok(out.into_inner()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_lines_become_a_table() {
        let bytes = b"{\"run\":\"a,b\",\"params\":1e6,\"loss\":3.5}\n{\"run\":\"c\",\"loss\":3,\"params\":2e6}";
        let text = csv_of_json_lines(Path::new("x.jsonl"), bytes).unwrap();
        let text = String::from_utf8(text).unwrap();
        let mut lines = text.lines();
        let header = lines.next().unwrap();
        let columns: Vec<&str> = header.split(',').collect();
        let at = |name: &str| columns.iter().position(|column| *column == name).unwrap();
        let rows: Vec<csv::StringRecord> =
            csv::Reader::from_reader(text.as_bytes()).records().collect::<Result<_, _>>().unwrap();
        assert_eq!(&rows[0][at("run")], "a,b");
        let number = |name: &str| rows[1][at(name)].parse::<f64>().unwrap();
        assert!((number("params") - 2e6).abs() < 1e-6 && (number("loss") - 3.0).abs() < 1e-12);
        let error = csv_of_json_lines(Path::new("x.jsonl"), b"{}\nno").unwrap_err().to_string();
        assert!(error.contains("x.jsonl, line 2"), "{error}");
    }
}
