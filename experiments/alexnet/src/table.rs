//! Tables in a run's folder: gzipped CSV, one row a value of a type.

use std::io::{Read as _, Write as _};
use std::path::Path;

use anyhow::Context as _;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use ledger::run::write_atomic;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Writes `rows`, the file whole or not at all.
///
/// # Errors
/// If the file cannot be written.
pub fn write<T: Serialize>(path: &Path, rows: &[T]) -> anyhow::Result<()> {
    let mut table = csv::Writer::from_writer(Vec::new());
    rows.iter().try_for_each(|row| table.serialize(row))?;
    let mut gz = GzEncoder::new(Vec::new(), Compression::best());
    gz.write_all(&table.into_inner()?)?;
    Ok(write_atomic(path, &gz.finish()?)?)
}

/// Reads what [`write()`] wrote.
///
/// # Errors
/// If the file cannot be read, or its rows are of another type.
pub fn read<T: DeserializeOwned>(path: &Path) -> anyhow::Result<Vec<T>> {
    let place = || path.display().to_string();
    let bytes = std::fs::read(path).with_context(place)?;
    let mut text = Vec::new();
    GzDecoder::new(bytes.as_slice()).read_to_end(&mut text).with_context(place)?;
    let rows = csv::Reader::from_reader(text.as_slice()).into_deserialize();
    rows.collect::<Result<_, _>>().with_context(place)
}
