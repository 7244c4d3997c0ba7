//! Raw outputs of a run as tables: gzipped CSV, a row a record.

use std::io::{Read as _, Write as _};
use std::path::Path;

use anyhow::Context as _;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use ledger::run::write_atomic;
use serde::de::DeserializeOwned;
use serde::{Serialize, Serializer};

/// Writes rows as gzipped CSV, the file whole or not at all.
///
/// # Errors
/// Rows that CSV cannot hold, a file that cannot be written.
pub fn write_rows<T: Serialize>(path: &Path, rows: &[T]) -> anyhow::Result<()> {
    let mut table = csv::Writer::from_writer(Vec::new());
    rows.iter().try_for_each(|row| table.serialize(row))?;
    let mut gz = GzEncoder::new(Vec::new(), Compression::best());
    gz.write_all(&table.into_inner()?)?;
    Ok(write_atomic(path, &gz.finish()?)?)
}

/// Six decimals of a score are enough in a table: for `#[serde(serialize_with = "rounded")]`.
///
/// # Errors
/// Those of the serialiser.
pub fn rounded<S: Serializer>(score: &f64, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64((score * 1e6).round() / 1e6)
}

/// Reads what [`write_rows`] wrote.
///
/// # Errors
/// A file that cannot be read or holds other rows.
pub fn read_rows<T: DeserializeOwned>(path: &Path) -> anyhow::Result<Vec<T>> {
    let place = || path.display().to_string();
    let bytes = std::fs::read(path).with_context(place)?;
    let mut text = Vec::new();
    GzDecoder::new(bytes.as_slice()).read_to_end(&mut text).with_context(place)?;
    let rows = csv::Reader::from_reader(text.as_slice()).into_deserialize();
    rows.collect::<Result<_, _>>().with_context(place)
}
