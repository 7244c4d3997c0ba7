//! The same text in bytes and in pairs: which exponents move.

use std::collections::BTreeMap;

use common::experiment::{Drawings, Finished};
use common::session::Session;
use ledger::claims::Measured;
use ledger::stats::Estimate;
use serde::Deserialize;

use super::loss_vs_size::longest;
use super::{Fitted, by_data, estimate, make, n_seeds, rows, runs_of};
use crate::figures;
use crate::fit::{Form, Point};
use crate::rows::Row;
use crate::text::{TextConfig, Vocabulary};

/// Its name.
pub const STUDY: &str = "tokenisation";

/// `[tokenisation]` of a preset.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// Bytes of the text that are read.
    pub bytes: u64,
    /// Tokens of the learned vocabulary.
    pub pairs: usize,
    /// The models, for both ways of writing.
    pub grid: crate::runs::Grid,
}

/// How data is called in paths: the text and how it is written.
const WRITTEN: [&str; 2] = ["bytes", "pairs"];

/// Makes every run that is not done yet.
///
/// # Errors
/// As [`make`].
pub fn run(session: &Session) -> anyhow::Result<()> {
    let preset: super::Preset = session.preset()?;
    let own = &preset.tokenisation;
    let mut runs = Vec::new();
    let vocabularies = [Vocabulary::Bytes, Vocabulary::Pairs(own.pairs)];
    for (vocabulary, written) in vocabularies.into_iter().zip(WRITTEN) {
        let config = TextConfig { bytes: own.bytes, vocabulary, ..preset.text.clone() };
        let mut read = preset.read_as(&config, &session.lookup)?;
        read.data = format!("{}-{written}", read.data);
        read.transfer.clear(); // judged by `joint-fit`
        runs.extend(runs_of(session, std::slice::from_ref(&own.grid), &read)?);
    }
    make(session, STUDY, &runs)
}

/// By text, then as bytes and as pairs: bits per byte against size and against tokens.
fn fits(rows: Vec<Row>) -> BTreeMap<String, [BTreeMap<&'static str, Fitted>; 2]> {
    let mut found: BTreeMap<String, [BTreeMap<&'static str, Fitted>; 2]> = BTreeMap::new();
    for (data, rows) in by_data(rows) {
        let Some((text, written)) = data.rsplit_once('-') else { continue };
        let Some(i) = WRITTEN.iter().position(|name| *name == written) else { continue };
        let seeds = n_seeds(&rows);
        let longest = longest(&rows);
        let largest = rows.iter().map(|row| row.params).fold(0.0, f64::max);
        let of_largest = rows.iter().filter(|row| row.params >= largest);
        let by_tokens =
            of_largest.map(|row| Point { x: row.tokens, y: 1.0, loss: row.bits_per_byte });
        let by_size =
            longest.iter().map(|row| Point { x: row.params, y: 1.0, loss: row.bits_per_byte });
        for (variable, points) in
            [("size", by_size.collect::<Vec<_>>()), ("data", by_tokens.collect())]
        {
            if let Some(fitted) = Fitted::new(STUDY, Form::PurePower, points, seeds) {
                found.entry(text.to_owned()).or_default()[i].insert(variable, fitted);
            }
        }
    }
    found
}

/// The exponent with pairs over that with bytes; its interval joins the ends of both, which is wide.
fn ratio(bytes: &Fitted, pairs: &Fitted) -> Estimate {
    let (bytes, pairs) = (bytes.constant("k"), pairs.constant("k"));
    let ends = [(pairs.low, bytes.high), (pairs.high, bytes.low)]
        .map(|(over, under)| over.zip(under).map_or(f64::NAN, |(over, under)| over / under));
    let method = "ends of two bootstrap intervals, a wide bound";
    estimate(pairs.value / bytes.value, ends, pairs.n_seeds, pairs.n + bytes.n, method)
}

/// How the exponents of size and data differ.
///
/// # Errors
/// Files that cannot be read.
pub fn measure(finished: &Finished) -> anyhow::Result<Vec<Measured>> {
    let mut found = Vec::new();
    for (text, [bytes, pairs]) in fits(rows(finished)) {
        for (variable, of_bytes) in &bytes {
            let Some(of_pairs) = pairs.get(variable) else { continue };
            let id = format!("exponent-of-{variable}-pairs-over-bytes");
            let row = finished.measured(&id, &text, ratio(of_bytes, of_pairs));
            found.push(Measured { evidence: ".".to_owned(), ..row });
        }
    }
    Ok(super::finite(found))
}

/// Bits per byte against size, both ways.
///
/// # Errors
/// Files that cannot be read.
pub fn figures(finished: &Finished) -> anyhow::Result<Drawings> {
    let draw = |(text, fits): (String, [BTreeMap<&'static str, Fitted>; 2])| {
        (format!("tokenisation-{text}"), figures::tokenisation(&text, &fits))
    };
    Ok(fits(rows(finished)).into_iter().map(draw).collect())
}
